//! Asking a model: providers, attempts with fallback, transport, the SSE decoder, and the built-in answerer.
//! Must not know hooks, retrieval's inside, or the client's connection.

mod adapter;
mod anthropic;
mod attempt;
mod azure;
mod builtin;
mod call_id;
mod embeddings;
mod error;
mod gemini;
#[cfg(test)]
mod golden;
mod meter;
mod provider;
mod refusal;
mod relay;
mod remote;
mod secrets;
mod shaped;
mod sse;
mod transport;
mod tree;
mod used;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::chat::{Completion, Exchange, Message, Reply};
use crate::telemetry::Operation;
use adapter::Dialect;
use attempt::{Ask, Attempts, Failure, Walk, Won};
use remote::{Remote, Try};
use transport::Tls;

pub use adapter::Unsupported;
pub use attempt::{CircuitPhase, CircuitState, Observer};
pub use embeddings::Asker;
pub use error::{Error, Phase};
pub use secrets::{Lacking, NAME as SECRET_NAME, OAuthConfig, Secret, Secrets, is_name as is_secret_name, sources};
pub use sse::events;
pub use transport::Post;
pub use used::Used;

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
            let Some(dialect) = dialect(entry) else { return Ok(Vendor::Builtin) };
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
        let offers = |offered: &String| offered == "*" || offered == model;
        let found = !model.is_empty() && self.offers.get(provider)?.iter().any(offers);
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
    /// The last failure; `Benched` where nobody was asked; `UnknownProvider` where the chain is empty.
    pub async fn answer<'a>(&self, chain: impl Into<Chain<'a>>, exchange: &Exchange, mode: Mode) -> Result<Answer, Error> {
        let chat = Chat { llm: self, exchange, mode };
        let walk = Walk::new(&chat, &self.attempts, chain.into(), exchange.deadline, exchange.model.as_deref());
        let Won { reply, target, model, attempts } = walk.run().await?;
        Ok(Answer { reply, provider: target.provider.clone(), model: model.to_owned(), attempts })
    }

    async fn ask(&self, target: &Target, model: &str, exchange: &Exchange, mode: Mode, others: u32) -> Result<Reply, Failure> {
        match self.providers.get(&target.provider) {
            None => Err(Error::UnknownProvider { provider: target.provider.clone() }.into()),
            Some(Vendor::Builtin) => Ok(builtin::reply(model, exchange, mode)),
            Some(Vendor::Http(remote)) => remote.call(&self.secrets, Try { target, model, exchange, mode, others }).await,
        }
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

    fn streams(&self) -> bool {
        self.mode == Mode::Stream
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

/// Where one exchange may be answered.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    /// The equals first, then the fallbacks.
    pub targets: &'a [Target],
    /// Of the equals, as many as there are; none or one where the primary has no equals.
    pub weights: &'a [u32],
    /// How long the first event of a stream, or a whole reply, may be late before the next target is asked beside the first.
    pub hedge_after: Option<Duration>,
}

/// A primary and its fallbacks.
impl<'a> From<&'a [Target]> for Chain<'a> {
    fn from(targets: &'a [Target]) -> Self {
        Self { targets, weights: &[], hedge_after: None }
    }
}

impl<'a, const N: usize> From<&'a [Target; N]> for Chain<'a> {
    fn from(targets: &'a [Target; N]) -> Self {
        targets.as_slice().into()
    }
}

/// The vendors' dialects that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenAI's chat completions, and every server that speaks them.
    OpenAi,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's generateContent.
    Gemini,
    /// OpenAI's models on Azure, by deployment.
    AzureOpenAi,
    /// Cloudflare's models, behind their OpenAI-compatible or their own API.
    WorkersAi,
    /// The answerer inside this program; needs no network.
    Builtin,
}

impl Kind {
    /// What OpenTelemetry's semantic conventions call the provider; the last two are ours.
    pub fn system(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gcp.gemini",
            Self::AzureOpenAi => "azure.ai.openai",
            Self::WorkersAi => "cloudflare.workers_ai",
            Self::Builtin => "cofferdam.builtin",
        }
    }
}

/// One entry under `[providers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderConfig {
    pub kind: Kind,
    /// Up to and including the API's version, such as `/v1`, without a slash at its end.
    pub base_url: String,
    /// The secret of targets that name none.
    pub secret_key_name: Option<String>,
    /// Secrets are those of this OAuth client; tokens that it gets for them are the keys.
    pub oauth: Option<OAuthConfig>,
    /// What becomes of a field that the vendor cannot take.
    pub unsupported: Unsupported,
    /// Models that clients may name as `PROVIDER/MODEL` without a pipeline; `*` stands for every one.
    pub models: Vec<String>,
    /// Azure: the dated API, whose URLs name the deployment. None is the `v1` API.
    pub api_version: Option<String>,
    /// Azure: keys are bearer tokens of Entra.
    pub bearer: bool,
    /// Anthropic: tokens of a reply where the client names no limit, which its API requires.
    pub max_tokens: u32,
}

impl ProviderConfig {
    /// With the defaults of everything else.
    pub fn new(kind: Kind, base_url: impl Into<String>) -> Self {
        Self {
            kind,
            base_url: base_url.into(),
            secret_key_name: None,
            oauth: None,
            unsupported: Unsupported::Refuse,
            models: Vec::new(),
            api_version: None,
            bearer: false,
            max_tokens: 4096,
        }
    }
}

/// How an entry's provider speaks; none for the one inside this program.
fn dialect(entry: &ProviderConfig) -> Option<Box<dyn Dialect>> {
    Some(match entry.kind {
        Kind::OpenAi => Box::new(shaped::OpenAi::at(&entry.base_url)),
        Kind::Anthropic => Box::new(anthropic::Anthropic::new(entry.max_tokens)),
        Kind::Gemini => Box::new(gemini::Gemini::new()),
        Kind::AzureOpenAi => Box::new(azure::Azure::new(entry.api_version.clone(), entry.bearer)),
        Kind::WorkersAi => Box::new(workers::Workers::at(&entry.base_url)),
        Kind::Builtin => return None,
    })
}

/// What the operator's file says about models; `openai` and `builtin` are there without it.
#[derive(Clone, Debug)]
pub struct Config {
    pub providers: BTreeMap<String, ProviderConfig>,
    pub limits: Limits,
}

/// Limits of one attempt, and of all attempts for one exchange.
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
    /// Tries at the same target after the first.
    pub retries: u32,
    /// All pauses of one exchange before tries again; also the longest wait of a provider's wish that is obeyed by waiting.
    pub retry_budget: Duration,
    /// The longest pause before the first try again; doubles with each further one.
    pub retry_backoff: Duration,
    /// Failures in a row that open the circuit of a provider and key; with 0 no circuit opens, whatever the provider says.
    pub circuit_failures: u32,
    /// How long a circuit stays open at first; doubles with each probe that fails.
    pub circuit_time: Duration,
    /// The longest that a circuit stays open, whatever the provider says.
    pub circuit_time_max: Duration,
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
    /// How many tries were begun, those at the same provider and hedges included; 1 where the first answered.
    pub attempts: u32,
}

impl Default for Config {
    fn default() -> Self {
        let entry = |name: &str, kind, base_url: &str| (name.to_owned(), ProviderConfig::new(kind, base_url));
        let providers = [
            entry("anthropic", Kind::Anthropic, "https://api.anthropic.com/v1"),
            entry("builtin", Kind::Builtin, ""),
            entry("gemini", Kind::Gemini, "https://generativelanguage.googleapis.com/v1beta"),
            entry("openai", Kind::OpenAi, "https://api.openai.com/v1"),
        ];
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
            // As OpenAI's own clients do.
            retries: 2,
            // Longer, and the next provider has answered before the wait is over.
            retry_budget: Duration::from_secs(5),
            retry_backoff: Duration::from_millis(200),
            circuit_failures: 5,
            circuit_time: Duration::from_secs(10),
            circuit_time_max: Duration::from_secs(600),
        }
    }
}
