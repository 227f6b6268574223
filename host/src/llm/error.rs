//! Why no provider gave a reply. One variant per decision of a caller; must not know the status codes we answer with.

use std::time::Duration;

use super::MissingSecret;

/// The last attempt's end, after all that the chain allows was tried.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The provider answered with an error status.
    #[error("provider `{provider}` answered {status}: {message}")]
    Status {
        provider: String,
        status: u16,
        /// The provider's own words, cut to a sane length.
        message: String,
        /// `error.type`, `error.code` and `error.param` of the provider's body, where it had them.
        kind: Option<String>,
        code: Option<String>,
        param: Option<String>,
        retry_after: Option<Duration>,
        /// A quota, a budget or a daily limit is used up: trying again soon is no use.
        exhausted: bool,
    },
    /// The provider has no equal to a field of the request.
    #[error("{param}: {message} (provider `{provider}`)")]
    UnsupportedField { provider: String, param: String, message: String },
    /// The provider computes no vectors.
    #[error("provider `{provider}` has no embeddings")]
    NoEmbeddings { provider: String },
    /// No connection, or it was lost before the first event.
    #[error("provider `{provider}` cannot be reached: {cause}")]
    Unreachable { provider: String, cause: String },
    /// A time limit passed.
    #[error("provider `{provider}` took longer than {} ms ({phase})", limit.as_millis())]
    Timeout { provider: String, phase: Phase, limit: Duration },
    /// The reply is not what the API says: no JSON, no event, too large.
    #[error("provider `{provider}` sent a reply that cannot be used: {cause}")]
    InvalidReply { provider: String, cause: String },
    /// The secret that the pipeline names cannot be had.
    #[error("the secret `{name}` for provider `{provider}` {cause}")]
    SecretMissing { provider: String, name: String, cause: MissingSecret },
    /// The pipeline names a provider that the operator's file does not have.
    #[error("there is no provider `{provider}`; add `[providers.{provider}]` to the configuration")]
    UnknownProvider { provider: String },
    /// Nobody was asked: every provider of the chain said not long ago to stay away, this one for the shortest time.
    #[error("provider `{provider}` is not asked again for {} ms, as it wanted", retry_after.as_millis())]
    CircuitOpen {
        provider: String,
        /// It spoke of a rate or a quota, not of the key.
        limited: bool,
        retry_after: Duration,
    },
}

impl Error {
    /// One word for metrics and logs.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::UnsupportedField { .. } => "unfit",
            Self::NoEmbeddings { .. } => "no_embeddings",
            Self::Unreachable { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::InvalidReply { .. } => "garbled",
            Self::SecretMissing { .. } => "secret_missing",
            Self::UnknownProvider { .. } => "unknown_provider",
            Self::CircuitOpen { .. } => "benched",
        }
    }
}

/// Which wait a timeout ended; its name is the key of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Connect,
    FirstByte,
    Idle,
    Total,
    /// What was left to the whole exchange.
    Deadline,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "limits.providers.connect",
            Self::FirstByte => "limits.providers.first_byte",
            Self::Idle => "limits.providers.idle",
            Self::Total => "limits.providers.total",
            Self::Deadline => "limits.http.request_time",
        })
    }
}
