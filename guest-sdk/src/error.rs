//! The two ways to say no: a rejection is a decision about the request, an error a hook that could not decide.

use crate::{Failure, HookError, Rejection};

impl Rejection {
    /// `status` is an HTTP status from 400 to 499, `code` a word for programs, `message` a sentence for people.
    #[must_use]
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), retry_after: None }
    }

    /// Says in how many seconds it is worth another try.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl From<String> for HookError {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

impl From<&str> for HookError {
    fn from(text: &str) -> Self {
        Self::Other(text.to_owned())
    }
}

/// What an import failed with, as the hook's own failure, so that `?` hands it on.
impl From<Failure> for HookError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Denied(text) | Failure::Exhausted(text) | Failure::Timeout(text) | Failure::Unavailable(text) => {
                Self::Unavailable(text)
            }
            Failure::Invalid(text) | Failure::Other(text) => Self::Other(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_an_error_of_no_special_kind() {
        fn fail() -> Result<(), HookError> {
            Err("no")?
        }
        assert!(matches!(fail(), Err(HookError::Other(text)) if text == "no"));
        assert!(matches!(HookError::from(String::from("no")), HookError::Other(_)));
    }

    #[test]
    fn a_rejection_may_say_when_to_come_back() {
        let rejection = Rejection::new(429, "slow", "Slow down.");
        assert_eq!(rejection.retry_after, None);
        assert_eq!(rejection.retry_after(30).retry_after, Some(30));
    }
}
