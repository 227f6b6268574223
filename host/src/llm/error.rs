//! Why no provider gave a reply: one variant for each decision that a caller can make.
//! The texts hold no key: every error of a try is redacted before it leaves this room.

use std::sync::Arc;
use std::time::Duration;

use super::secrets::MissingSecret;

/// What kind of failure a plugin's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PluginTrouble {
    /// There is no such plugin or model, or not yet.
    Missing,
    /// Nobody could run it.
    Busy,
    /// It took too long.
    Slow,
    /// It failed by itself.
    Failed,
    /// This server failed; what it says is for the log alone.
    Host,
}

/// How the last attempt failed, after everything that the chain allows was tried.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The provider answered with an error status.
    #[error("provider `{provider}` answered {status}: {message}")]
    Status {
        provider: String,
        status: u16,
        /// The provider's own message, cut to a sane length.
        message: String,
        /// `error.type`, `error.code` and `error.param` of the provider's body, if it had them.
        kind: Option<String>,
        code: Option<String>,
        param: Option<String>,
        retry_after: Option<Duration>,
        /// A quota, a budget or a daily limit is used up, so that a retry soon is of no use.
        exhausted: bool,
    },
    /// The provider has no equivalent of a field of the request.
    #[error("{param}: {message} (provider `{provider}`)")]
    UnsupportedField { provider: String, param: String, message: String },
    /// The provider computes no vectors.
    #[error("provider `{provider}` has no embeddings")]
    NoEmbeddings { provider: String },
    /// There was no connection, or it was lost before the first event.
    #[error("provider `{provider}` cannot be reached: {cause}")]
    Unreachable { provider: String, cause: String },
    /// A time limit passed.
    #[error("provider `{provider}` took longer than {} ms ({phase})", limit.as_millis())]
    Timeout { provider: String, phase: Phase, limit: Duration },
    /// The reply is not what the API promises: no JSON, no event, too large.
    #[error("provider `{provider}` sent a reply that cannot be used: {cause}")]
    InvalidReply { provider: String, cause: String },
    /// The reply did not fit into what this server may hold, or into what its client may.
    #[error(
        "the server holds as many bytes of replies as it can, or as many of yours, and had no room for one of provider `{provider}` \
         (`limits.providers.replies_bytes`); try again shortly"
    )]
    Overloaded { provider: String },
    /// The secret that the pipeline names has no value.
    #[error("the secret `{name}` for provider `{provider}` {cause}")]
    SecretMissing { provider: String, name: String, cause: MissingSecret },
    /// The pipeline names a provider that the operator's file does not have.
    #[error("there is no provider `{provider}`; add `[providers.{provider}]` to the configuration")]
    UnknownProvider { provider: String },
    /// A plugin that is a model failed, or is not there.
    #[error("{cause}")]
    Plugin { provider: String, trouble: PluginTrouble, cause: Arc<dyn std::error::Error + Send + Sync> },
    /// A plugin that is a model refused the request; the message is the plugin's own.
    #[error("{message}")]
    Refused { provider: String, status: u16, code: String, message: String, retry_after: Option<u32> },
    /// The caller's budget has nothing left for this try.
    #[error("{message}")]
    OverBudget { message: String, remedy: BudgetRemedy, retry_after: Duration },
    /// Nobody was asked, because the circuit of every target is open and the provider itself said so; this one closes first.
    #[error("provider `{provider}` is not asked again for {} ms, as it wanted", retry_after.as_millis())]
    CircuitOpen {
        provider: String,
        /// The provider reported a rate limit or a quota, not an overload.
        limited: bool,
        retry_after: Duration,
    },
}

impl Error {
    /// The outcome's label in metrics and logs.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::UnsupportedField { .. } => "unfit",
            Self::NoEmbeddings { .. } => "no_embeddings",
            Self::Unreachable { .. } => "unreachable",
            Self::Timeout { .. } => "timeout",
            Self::InvalidReply { .. } => "garbled",
            Self::Overloaded { .. } => "overloaded",
            Self::SecretMissing { .. } => "secret_missing",
            Self::UnknownProvider { .. } => "unknown_provider",
            Self::Plugin { .. } => "plugin",
            Self::Refused { .. } => "refused",
            Self::OverBudget { .. } => "over_budget",
            Self::CircuitOpen { .. } => "benched",
        }
    }
}

/// What a client whose budget has nothing left should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetRemedy {
    /// Wait a little.
    Wait,
    /// Nothing that a program can do: the budget is renewed much later.
    Later,
    /// Ask another model: the budget is in dollars, and this one has no price.
    OtherModel,
}

/// What took too long; the text is the key of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Connect,
    FirstByte,
    Idle,
    Total,
    /// What was left of the exchange's time.
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
