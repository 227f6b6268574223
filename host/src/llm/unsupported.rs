//! Fields of the client's request that a vendor cannot take, and what becomes of them. Each is reported by its path and with a remedy.

/// What becomes of a field that a vendor cannot take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsupported {
    /// The request fails with a 400 that names the field.
    #[default]
    Refuse,
    /// The field is left out.
    Drop,
}

/// A field of the client's request that a vendor cannot take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnsupportedField {
    /// The field's path in the client's body, e.g. `messages[2].content[0].image_url`.
    pub(super) param: String,
    /// What is wrong and what would be right. It reads as a continuation of the field's name.
    pub(super) message: String,
}

impl UnsupportedField {
    pub(super) fn new(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: param.into(), message: message.into() }
    }
}
