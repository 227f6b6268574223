//! Asking a model: providers, attempts with fallback, transport, the SSE decoder, and the built-in answerer.
//! Must not know hooks, retrieval's inside, or the client's connection.

mod adapter;
mod attempt;
mod base64;
mod call_id;
mod config;
mod embeddings;
mod error;
mod error_body;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod golden;
mod limits;
mod meter;
mod model_path;
mod provider;
mod provider_error;
mod providers;
mod relay;
mod remote;
mod secrets;
mod sse;
mod target;
mod transport;
mod unique_names;
mod used;
mod vendor;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::chat::{Completion, Exchange, Message, Reply};
use crate::telemetry::Operation;
use attempt::{Ask, Attempts, Failure, Walk, Won};
use remote::{Remote, Try};
use transport::Tls;

pub use adapter::Unsupported;
pub use attempt::{CircuitPhase, CircuitState, Observer};
pub use config::{Config, Kind, Options, ProviderConfig};
pub use embeddings::Asker;
pub use error::{Error, Phase};
pub use limits::Limits;
pub use providers::anthropic::AnthropicOptions;
pub use providers::azure::{AzureOptions, MaxTokensField};
pub use providers::openai::OpenAiOptions;
pub use secrets::{MissingSecret, NAME as SECRET_NAME, OAuthConfig, Secret, Secrets, is_name as is_secret_name, sources};
pub use sse::events;
pub use target::{Chain, Target};
pub use transport::Post;
pub use used::Used;
pub use vendor::{OptionKeys, VendorInfo};

/// Bytes of a model's name that a client chooses, where `*` offers all: it goes into logs, books and headers.
const OFFERED_BYTES_MAX: usize = 200;

/// The providers of the operator's file, ready to be asked.
pub struct Llm {
    providers: BTreeMap<String, Vendor>,
    secrets: Secrets,
    attempts: Attempts,
    /// The models of each provider that clients may name.
    offers: BTreeMap<String, Vec<String>>,
}

/// Who answers under a provider's name.
enum Vendor {
    Http(Box<Remote>),
    Builtin,
}

impl Llm {
    /// Connects to nobody yet; the system's trusted roots are read when the first https provider is asked.
    ///
    /// # Errors
    /// `Unreachable` where a provider's `base_url` is no http or https URL.
    pub fn new(config: Config, secrets: Secrets, observer: Arc<dyn Observer>) -> Result<Self, Error> {
        let tls = Arc::new(Tls::default());
        let ready = |name: &str, entry: &ProviderConfig| {
            let Some(dialect) = entry.dialect() else { return Ok(Vendor::Builtin) };
            Ok(Vendor::Http(Box::new(Remote::new(name, entry, dialect, &config.limits, &tls, &observer)?)))
        };
        let providers = config.providers.iter().map(|(name, entry)| Ok((name.clone(), ready(name, entry)?)));
        let providers = providers.collect::<Result<_, Error>>()?;
        let offering = |(name, entry): (&String, &ProviderConfig)| (name.clone(), entry.models.clone());
        let offers = config.providers.iter().filter(|(_, entry)| !entry.models.is_empty()).map(offering).collect();
        Ok(Self { providers, secrets, attempts: Attempts::new(config.limits, observer), offers })
    }

    /// Whether a pipeline may name this provider.
    pub fn knows(&self, provider: &str) -> bool {
        self.providers.contains_key(provider)
    }

    /// Whether the provider is the one inside this program.
    pub fn is_builtin(&self, provider: &str) -> bool {
        matches!(self.providers.get(provider), Some(Vendor::Builtin))
    }

    /// The target of a name such as `openai/gpt-4o`, where the operator lets clients name that provider's models.
    pub fn offered(&self, name: &str) -> Option<Target> {
        let (provider, model) = name.split_once('/')?;
        let fit = !model.is_empty() && model.len() <= OFFERED_BYTES_MAX && !model.contains(char::is_control);
        let offers = |offered: &String| offered == "*" || offered == model;
        let found = fit && self.offers.get(provider)?.iter().any(offers);
        let target = || Target { provider: provider.to_owned(), model: model.to_owned(), secret_key_name: None, on_status: None };
        found.then(target)
    }

    /// The names of all models that clients may name by themselves, each with its provider; those behind a `*` are not known.
    pub fn offers(&self) -> impl Iterator<Item = (String, &str)> {
        let named = |models: &'_ [String]| models.iter().filter(|model| *model != "*").cloned().collect::<Vec<_>>();
        self.offers.iter().flat_map(move |(provider, models)| {
            named(models).into_iter().map(move |model| (format!("{provider}/{model}"), provider.as_str()))
        })
    }

    /// Every provider's name, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.providers.keys().map(String::as_str).collect()
    }

    /// The same pauses and draws in every run, for tests.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        Self { attempts: self.attempts.seeded(seed), ..self }
    }

    /// Every circuit that is not at rest: a provider and key that failed lately.
    pub fn circuits(&self) -> Vec<CircuitState> {
        self.attempts.circuits()
    }

    /// Asks the targets until one replies: equals by lot, then the fallbacks in order, each with its tries again; see README, "Retries and
    /// circuits". A stream is returned once its first event is there; what breaks it later is its last item. Dropping the future or the
    /// reply closes the provider's connection.
    ///
    /// # Errors
    /// The last failure; `CircuitOpen` where nobody was asked; `UnknownProvider` where the chain is empty.
    pub async fn answer<'a>(&self, chain: impl Into<Chain<'a>>, exchange: &Exchange, mode: Mode) -> Result<Answered, Error> {
        let chat = Chat { llm: self, exchange, mode };
        let walk = Walk::new(&chat, &self.attempts, chain.into(), exchange.deadline, exchange.tries.clone());
        let walk = walk.choosing(exchange.model.as_deref());
        let Won { reply, target, model, attempts } = walk.run().await?;
        Ok(Answered { reply, provider: target.provider.clone(), model: model.to_owned(), attempts })
    }

    async fn ask(&self, target: &Target, model: &str, exchange: &Exchange, mode: Mode, others: u32) -> Result<Reply, Failure> {
        match self.providers.get(&target.provider) {
            None => Err(Error::UnknownProvider { provider: target.provider.clone() }.into()),
            Some(Vendor::Builtin) => Ok(providers::builtin::reply(model, exchange, mode)),
            Some(Vendor::Http(remote)) => remote.call(&self.secrets, Try { target, model, exchange, mode, others }).await,
        }
    }

    /// The name of the secret that a try at `target` takes its key from.
    fn key_name<'t>(&'t self, target: &'t Target) -> Option<&'t str> {
        target.secret_key_name.as_deref().or_else(|| match self.providers.get(&target.provider)? {
            Vendor::Http(remote) => remote.own_key_name(),
            Vendor::Builtin => None,
        })
    }

    /// What OpenTelemetry's conventions call the kind of this provider.
    fn system(&self, provider: &str) -> &'static str {
        match self.providers.get(provider) {
            Some(Vendor::Http(remote)) => remote.system(),
            Some(Vendor::Builtin) => Kind::Builtin.system(),
            // The convention's word for what it has no word for.
            None => "_OTHER",
        }
    }
}

/// One exchange, as it is asked of one provider after the other.
struct Chat<'a> {
    llm: &'a Llm,
    exchange: &'a Exchange,
    mode: Mode,
}

impl Ask for Chat<'_> {
    type Reply = Reply;

    async fn ask(&self, target: &Target, model: &str, others: u32) -> Result<Reply, Failure> {
        self.llm.ask(target, model, self.exchange, self.mode, others).await
    }

    fn operation<'m>(&self, provider: &str, model: &'m str) -> Operation<'m> {
        Operation { name: "chat", system: self.llm.system(provider), model }
    }

    fn key_name<'t>(&'t self, target: &'t Target) -> Option<&'t str> {
        self.llm.key_name(target)
    }

    fn streams(&self) -> bool {
        self.mode == Mode::Stream
    }
}

/// A completion of one message that no model wrote, under `model`'s name.
pub fn completion_of(message: Message, model: &str) -> Completion {
    providers::builtin::completion_of(message, model)
}

/// How the reply is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Stream,
    Whole,
}

/// A reply and who gave it.
pub struct Answered {
    pub reply: Reply,
    pub provider: String,
    pub model: String,
    /// How many tries were begun, those at the same provider and hedges included; 1 where the first answered.
    pub attempts: u32,
}

#[cfg(test)]
mod tests;
