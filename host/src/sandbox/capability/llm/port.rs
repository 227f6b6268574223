//! What the host must provide for `llm`. Whoever implements it charges the exchange's caller, and runs no hook.

use futures_util::future::BoxFuture;

use crate::chat::{Exchange, ReplyStream};

/// The operator's models.
pub trait AskModels: Send + Sync {
    /// Asks one model, with the retries and the circuits of any request to it; what it uses is charged to the exchange's caller. Dropping the reply
    /// hangs up.
    fn ask<'a>(&'a self, target: &'a ModelTarget, exchange: &'a Exchange) -> BoxFuture<'a, Result<ReplyStream, AskFailed>>;

    /// One vector for each text, and the tokens of all of them as far as they are known. `model` is an id of `[[embeddings]]`.
    fn embed<'a>(&'a self, model: &'a str, texts: Vec<String>, exchange: &'a Exchange) -> BoxFuture<'a, Result<Embedded, AskFailed>>;
}

/// Vectors, one for each text, and the tokens that they took.
pub(super) type Embedded = (Vec<Vec<f32>>, u64);

/// One model of one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelTarget {
    pub provider: String,
    pub model: String,
    /// The name of the secret with the provider's key; none for the provider's own.
    pub secret_key_name: Option<String>,
}

/// Why a model did not answer. The sentences are for the plugin's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskFailed {
    /// A budget or a rate is used up.
    Exhausted(String),
    Timeout(String),
    /// The question is at fault.
    Invalid(String),
    /// Another try may work.
    Unavailable(String),
}
