//! Why a request of a plugin came to nothing. One variant for each thing that its author or operator can do about it.
//! No text holds a secret or an address that the plugin did not name.

/// Each text is a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The operator has not allowed it; the text names the key that would.
    #[error("{0}")]
    Denied(String),
    /// A limit of the grant is reached; the text names its key.
    #[error("{0}")]
    Exhausted(String),
    /// It took longer than it may; the text names what allows no more.
    #[error("{0}")]
    Timeout(String),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The server cannot be reached or gave no reply; another try may work.
    #[error("{0}")]
    Unreachable(String),
}
