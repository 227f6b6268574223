//! What goes wrong between us and a vendor, as adapters report it: an error of the vendor's, a reply that cannot be decoded, and a field that
//! the vendor cannot take. Texts here may still hold keys and be of any length; `error_body` and `secrets` mend that.

use std::time::Duration;

use http::StatusCode;

/// OpenAI's code for a prompt or an answer that a filter refused. No other provider should be asked to answer it.
pub(super) const CONTENT_FILTER: &str = "content_filter";

/// Our code for an answer that the model itself spoilt, such as a call that cannot be read: its provider is well, and another try may succeed.
pub(super) const MODEL_FAILED: &str = "model_failed";

/// What a vendor says went wrong, in its own words.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ProviderError {
    pub(super) message: Option<String>,
    /// OpenAI's `error.type`, `error.code` and `error.param`, or what comes nearest.
    pub(super) kind: Option<String>,
    pub(super) code: Option<String>,
    pub(super) param: Option<String>,
    /// How long to wait, if the body says it.
    pub(super) retry_after: Option<Duration>,
    /// A quota, a budget or a daily limit is used up: trying the same key again soon is no use.
    pub(super) exhausted: bool,
    /// The status that the error amounts to, if the one that came says less (a key refused with 400).
    pub(super) amounts_to: Option<StatusCode>,
}

/// Why a reply cannot be used.
#[derive(Debug, PartialEq)]
pub(super) enum DecodeError {
    /// It is an error inside a reply that began as a success, with the status that it stands for.
    Error(StatusCode, ProviderError),
    /// It is not what the vendor's documents say; the text says what is wrong.
    Malformed(String),
}

impl DecodeError {
    /// The model spoilt the answer; `message` says how.
    pub(super) fn model_failed(message: String) -> Self {
        let error = ProviderError { message: Some(message), code: Some(MODEL_FAILED.to_owned()), ..ProviderError::default() };
        Self::Error(StatusCode::BAD_GATEWAY, error)
    }

    pub(super) fn is_of_the_model(&self) -> bool {
        matches!(self, Self::Error(_, error) if error.code.as_deref() == Some(MODEL_FAILED))
    }
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
