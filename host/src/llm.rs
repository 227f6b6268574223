//! Asking a model: providers, attempts with fallback, transport, the SSE decoder, and the built-in answerer.
//! Must not know hooks, retrieval's inside, or the client's connection.

mod error;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::chat::Reply;

pub use error::{Error, Phase};

/// One model at one provider, as a pipeline names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub provider: String,
    pub model: String,
    /// The name of the secret that holds the provider's key; the value comes from `Secrets`.
    pub secret_key_name: Option<String>,
    /// On a fallback: the statuses of the try before it that make it run. None means the default list.
    pub on_status: Option<Vec<u16>>,
}

/// A secret's value by its name.
pub type Secrets = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The vendors' dialects that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenAI's chat completions, and every server that speaks them.
    OpenAi,
    /// The answerer inside this program; needs no network.
    Builtin,
}

/// One entry under `[providers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConfig {
    pub kind: Kind,
    /// Up to and including `/v1`, without a slash at its end.
    pub base_url: String,
}

/// What the operator's file says about models; `openai` and `builtin` are there without it.
#[derive(Clone, Debug)]
pub struct Config {
    pub providers: BTreeMap<String, ProviderConfig>,
    pub limits: Limits,
}

/// Limits of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub connect: Duration,
    /// From the request's last byte to the first event of a streamed reply.
    pub first_byte: Duration,
    /// Between two reads of a streamed reply.
    pub idle: Duration,
    /// A whole attempt, streamed or not.
    pub total: Duration,
    /// One event of a stream.
    pub event_bytes: usize,
    /// A reply in one piece.
    pub reply_bytes: usize,
    /// Idle connections kept per provider host.
    pub idle_connections: usize,
}

/// How the reply is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Stream,
    Whole,
}

/// A reply and who gave it.
pub struct Answer {
    pub reply: Reply,
    pub provider: String,
    pub model: String,
    /// How many tries it took, 1 for the first.
    pub attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            // Reasoning models think for a while before their first token.
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            // OpenAI's own clients wait ten minutes.
            total: Duration::from_secs(600),
            event_bytes: 4 << 20,
            reply_bytes: 32 << 20,
            idle_connections: 64,
        }
    }
}
