//! Asking a model: providers, attempts with fallback, transport, the SSE decoder, and the built-in answerer.
//! Must not know hooks, retrieval's inside, or the client's connection.

#[allow(dead_code, reason = "the adapters that use all of it land one by one")]
mod adapter;
mod attempt;
mod builtin;
mod error;
mod openai;
mod passthrough;
mod secrets;
mod sse;
mod transport;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use crate::chat::{Completion, Exchange, Message, Reply};
use attempt::{Failure, Watch, runs};
use openai::{Call, OpenAi};
use transport::Tls;

pub use attempt::Observer;
pub use error::{Error, Phase};
pub use secrets::{Lacking, OAuthConfig, Secret, Secrets, is_name as is_secret_name, sources};
pub use transport::Post;

/// The providers of the operator's file, ready to be asked.
pub struct Llm {
    providers: BTreeMap<String, Provider>,
    secrets: Secrets,
    metrics: Arc<dyn Observer>,
}

enum Provider {
    OpenAi(Box<OpenAi>),
    Builtin,
}

impl Llm {
    /// Connects to nobody yet; the system's trusted roots are read when the first https provider is asked.
    ///
    /// # Errors
    /// `Unreachable` where a provider's `base_url` is no http or https URL.
    pub fn new(config: Config, secrets: Secrets, metrics: Arc<dyn Observer>) -> Result<Self, Error> {
        let tls = Arc::new(Tls::default());
        let ready = |name: &str, entry: &ProviderConfig| match entry.kind {
            Kind::OpenAi => {
                let openai = OpenAi::new(name, &entry.base_url, config.limits.clone(), Arc::clone(&tls))?;
                Ok(Provider::OpenAi(Box::new(openai)))
            }
            Kind::Builtin => Ok(Provider::Builtin),
        };
        let providers = config.providers.iter().map(|(name, entry)| Ok((name.clone(), ready(name, entry)?)));
        Ok(Self { providers: providers.collect::<Result<_, Error>>()?, secrets, metrics })
    }

    /// Whether a pipeline may name this provider.
    pub fn knows(&self, provider: &str) -> bool {
        self.providers.contains_key(provider)
    }

    /// Every provider's name, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.providers.keys().map(String::as_str).collect()
    }

    /// Asks the targets in order, the primary first, until one replies. A stream is returned once its first event is there; what
    /// breaks it later is its last item. Dropping the future or the reply closes the provider's connection.
    ///
    /// # Errors
    /// The last failure; `UnknownProvider` where the chain is empty.
    pub async fn answer(&self, chain: &[Target], exchange: &Exchange, mode: Mode) -> Result<Answer, Error> {
        let mut attempts = 0;
        let mut last: Option<(&Target, Failure)> = None;
        for (place, target) in chain.iter().enumerate() {
            if let Some((before, failure)) = &last {
                if exchange.deadline.remaining().is_zero() {
                    break;
                }
                if !runs(target, before, failure) {
                    continue;
                }
                tracing::warn!(llm.provider = target.provider, "falling back to provider `{}`: {}", target.provider, failure.error);
            }
            attempts += 1;
            let model = exchange.model.as_ref().filter(|_| place == 0).unwrap_or(&target.model);
            let others = u32::try_from(chain.len() - place - 1).unwrap_or(u32::MAX);
            match self.attempt(target, model, attempts, exchange, mode, others).await {
                Ok(reply) => return Ok(Answer { reply, provider: target.provider.clone(), model: model.clone(), attempts }),
                Err(failure) => last = Some((target, failure)),
            }
        }
        Err(last.map_or_else(|| Error::UnknownProvider { provider: String::new() }, |(_, failure)| failure.error))
    }

    async fn attempt(
        &self,
        target: &Target,
        model: &str,
        attempt: u32,
        exchange: &Exchange,
        mode: Mode,
        others: u32,
    ) -> Result<Reply, Failure> {
        let watch = Watch::new(&*self.metrics, self.system(&target.provider), &target.provider, model, attempt);
        let result = self.ask(target, model, exchange, mode, others).instrument(watch.span.clone()).await;
        watch.ends(result.as_ref().err().map(|failure| &failure.error), mode);
        result
    }

    /// What OpenTelemetry's conventions call the kind of this provider.
    fn system(&self, provider: &str) -> &'static str {
        match self.providers.get(provider) {
            Some(Provider::OpenAi(_)) => "openai",
            Some(Provider::Builtin) => "cofferdam.builtin",
            None => "_OTHER",
        }
    }

    async fn ask(&self, target: &Target, model: &str, exchange: &Exchange, mode: Mode, others: u32) -> Result<Reply, Failure> {
        match self.providers.get(&target.provider) {
            None => Err(Error::UnknownProvider { provider: target.provider.clone() }.into()),
            Some(Provider::Builtin) => Ok(builtin::reply(model, exchange, mode)),
            Some(Provider::OpenAi(openai)) => {
                let key = target.secret_key_name.as_deref().map(|name| self.key(target, name)).transpose()?;
                let reply = openai.call(&Call { model, key: key.as_ref().map(Secret::expose), exchange, mode, others }).await;
                match key {
                    Some(key) => key.kept_out_of(reply),
                    None => reply,
                }
            }
        }
    }

    fn key(&self, target: &Target, name: &str) -> Result<Secret, Error> {
        (self.secrets)(name).map_err(|cause| Error::SecretMissing { provider: target.provider.clone(), name: name.to_owned(), cause })
    }
}

/// A completion of one message that no model wrote, under `model`'s name.
pub fn completion_of(message: Message, model: &str) -> Completion {
    builtin::completion_of(message, model)
}

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
    /// From when there is a connection, so that sending the request counts, to the first event of a streamed reply. A whole reply has
    /// `total` only.
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

impl Default for Config {
    fn default() -> Self {
        let entry = |name: &str, kind, base_url: &str| (name.to_owned(), ProviderConfig { kind, base_url: base_url.to_owned() });
        let providers = [entry("openai", Kind::OpenAi, "https://api.openai.com/v1"), entry("builtin", Kind::Builtin, "")];
        Self { providers: providers.into(), limits: Limits::default() }
    }
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
