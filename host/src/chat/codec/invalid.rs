//! Why a JSON text is not taken. The message names the field and is fit for whoever sent it.

/// What is wrong with a JSON text, and in which field.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The field's path, e.g. `messages[0].role`; none if the text is no JSON at all.
    pub param: Option<String>,
    pub message: String,
}
