//! Why a provider's reply cannot be used, and what the provider itself says about it. Decoders and adapters share these, so they stand below
//! both. Texts here may still hold keys and have any length; `error_body` sanitizes them.

use std::time::Duration;

use http::StatusCode;

/// Why a reply cannot be used.
#[derive(Debug, PartialEq)]
pub(super) enum DecodeError {
    /// It is an error inside a reply that began as a success, with the status that it stands for.
    Error(StatusCode, ProviderError),
    /// It is not what the vendor's documents say; the text says what is wrong.
    Malformed(String),
}

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
