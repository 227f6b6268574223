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

impl Error {
    /// The same with its text changed.
    pub(super) fn map(self, text: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Denied(why) => Self::Denied(text(&why)),
            Self::Exhausted(why) => Self::Exhausted(text(&why)),
            Self::Timeout(why) => Self::Timeout(text(&why)),
            Self::Invalid(why) => Self::Invalid(text(&why)),
            Self::Unreachable(why) => Self::Unreachable(text(&why)),
        }
    }

    /// As it is told of a request that a server sent on: that server could have put into the URL what it was sent, and the text of an error
    /// about the next one would hand it to the plugin.
    pub(super) fn behind_a_redirect(self) -> Self {
        match self {
            Self::Denied(_) => Self::Denied("the server redirects to what `grants.http` does not allow".into()),
            Self::Invalid(_) | Self::Unreachable(_) => Self::Unreachable("the server that it was redirected to cannot be asked".into()),
            limit @ (Self::Exhausted(_) | Self::Timeout(_)) => limit,
        }
    }
}
