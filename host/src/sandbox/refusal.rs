//! Why a file of the plugin directory was not admitted. Each reason is a sentence for the plugin's author that says what to do.

/// A refusal, by whether it is worth another try.
#[derive(Debug)]
pub(super) enum Refusal {
    /// These bytes will always be refused.
    Invalid(String),
    /// The machine was at fault, so another try of the same bytes may succeed.
    Transient(String),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Invalid(reason)
    }
}
