//! Asking a model: the providers of the operator's file, and tries at them with retries, fallbacks, hedges and circuit breakers.
//! A reader follows `Llm::answer`, `attempt/walk.rs`, `provider.rs`, `provider/receive.rs` and, for a stream, `relay.rs`.

mod adapter;
mod attempt;
mod base64;
mod budget;
mod call_id;
mod config;
mod content_coding;
mod decoder;
mod error;
mod error_body;
mod fit;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod golden;
mod id;
mod json_repair;
mod limits;
mod meter;
mod model_path;
mod plugin;
mod post;
mod provider;
mod provider_error;
mod providers;
mod ranking;
mod received;
mod relay;
mod secrets;
mod target;
mod tool_keys;
mod tool_names;
mod tool_schema;
mod transport;
mod unique_names;
mod used;
mod vendor;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::chat::{Completion, Embed, Embedded, Exchange, Message, Reply};
use attempt::walk::{Attempts, Of, Walk};
use attempt::{Attempt, Backend, Failure};
use plugin::{NoPlugins, PluginVendor};
use provider::embeddings::Embeddings;
use provider::rerank::Relevance;
use provider::{Call, Chat, Provider};
use received::ReplyMemory;
use transport::Tls;

pub use adapter::Unsupported;
pub use attempt::circuits::{CircuitPhase, CircuitState, Whose};
pub use attempt::{Answered, Observer};
pub use budget::{Ask, Hold};
pub use config::{Config, Kind, Options, ProviderConfig};
pub use error::{BudgetRemedy, Error, Phase, PluginTrouble};
pub use id::sortable_id;
pub use limits::Limits;
pub use plugin::{OfferedModel, PluginAnswer, PluginSaid, PluginVectors, Plugins};
pub use post::Post;
pub use provider::embeddings::{Asker, TEXTS_ONLY};
pub use providers::anthropic::AnthropicOptions;
pub use providers::azure::{AzureOptions, MaxTokensField};
pub use providers::openai::{CustomTools, KeyHeader, OpenAiOptions};
pub use ranking::{Rerank, Reranked};
pub use secrets::{MissingSecret, NAME as SECRET_NAME, OAuthConfig, Secret, Secrets, is_name as is_secret_name, sources};
pub use target::{Chain, Mode, Target};
pub use used::Used;
pub use vendor::{OptionKeys, VendorInfo};

/// Bytes of a model's name that a client chooses if `*` offers all models: it goes into logs, the ledger and headers.
const OFFERED_BYTES_MAX: usize = 200;

/// The providers of the operator's file, ready to be asked.
pub struct Llm {
    providers: BTreeMap<String, Vendor>,
    secrets: Secrets,
    attempts: Attempts,
    /// The models of each provider that clients may name.
    offers: BTreeMap<String, Vec<String>>,
    config: Config,
    common: Common,
}

/// What all providers share, under every configuration.
#[derive(Clone)]
struct Common {
    tls: Arc<Tls>,
    memory: ReplyMemory,
}

/// Who answers under a provider's name.
enum Vendor {
    Http(Box<Provider>),
    Builtin,
    Plugin(Box<PluginVendor>),
}

impl Llm {
    /// Connects to nobody yet; the system's trusted roots are read when the first https provider is asked.
    ///
    /// # Errors
    /// `Unreachable` if a provider's `base_url` is no http or https URL.
    pub fn new(config: Config, secrets: Secrets, observer: Arc<dyn Observer>) -> Result<Self, Error> {
        let common = Common { tls: Arc::default(), memory: ReplyMemory::new(config.limits.replies_bytes) };
        let attempts = Attempts::new(config.limits.clone(), Arc::clone(&observer), config.providers.keys());
        let fresh = |_: &str, _: &ProviderConfig| None;
        Self::with(config, secrets, &observer, attempts, common, fresh)
    }

    /// The next configuration's providers. Of each whose endpoint is the same, its connections, tokens and circuits go on; requests that
    /// began with this one end with it.
    ///
    /// # Errors
    /// As `new`; nothing has changed then.
    pub fn renewed(&self, config: Config, secrets: Secrets, observer: Arc<dyn Observer>) -> Result<Self, Error> {
        let same = |name: &str, entry: &ProviderConfig| {
            let before = self.config.providers.get(name);
            before.is_some_and(|before| before.names_the_endpoint_of(entry))
        };
        let attempts = self.attempts.renewed(config.limits.clone(), Arc::clone(&observer), config.providers.iter(), same);
        let alike = config.limits.bound_an_attempt_as(&self.config.limits);
        let kept = |name: &str, entry: &ProviderConfig| match self.providers.get(name)? {
            Vendor::Http(provider) if alike && same(name, entry) => Some(provider.renewed(entry, &observer)),
            _ => None,
        };
        Self::with(config, secrets, &observer, attempts, self.common.clone(), kept)
    }

    /// This configuration is the one in force: what all of them share is as large as it says, and what a provider that is gone had failed at
    /// is forgotten.
    pub fn take_effect(&self) {
        self.common.memory.resize(self.config.limits.replies_bytes);
        self.attempts.take_effect();
    }

    fn with(
        config: Config,
        secrets: Secrets,
        observer: &Arc<dyn Observer>,
        attempts: Attempts,
        common: Common,
        kept: impl Fn(&str, &ProviderConfig) -> Option<Provider>,
    ) -> Result<Self, Error> {
        let Common { tls, memory } = &common;
        let vendor = |name: &str, entry: &ProviderConfig| {
            let Some(dialect) = entry.dialect() else {
                return Ok(match entry.kind() {
                    Kind::Plugin => Vendor::Plugin(Box::new(PluginVendor {
                        name: name.into(),
                        plugins: Arc::new(NoPlugins),
                        observer: Arc::clone(observer),
                        memory: memory.clone(),
                        limits: config.limits.clone(),
                    })),
                    _ => Vendor::Builtin,
                });
            };
            let fresh = || Provider::new(name, entry, dialect, &config.limits, (memory, tls), observer);
            Ok(Vendor::Http(Box::new(kept(name, entry).map_or_else(fresh, Ok)?)))
        };
        let providers = config.providers.iter().map(|(name, entry)| Ok((name.clone(), vendor(name, entry)?)));
        let providers = providers.collect::<Result<_, Error>>()?;
        let offering = |(name, entry): (&String, &ProviderConfig)| (name.clone(), entry.models.clone());
        let offers = config.providers.iter().filter(|(_, entry)| !entry.models.is_empty()).map(offering).collect();
        Ok(Self { providers, secrets, attempts, offers, config, common })
    }

    /// With the plugins of this server, which providers of the kind `plugin` ask.
    #[must_use]
    pub fn with_plugins(mut self, plugins: &Arc<dyn Plugins>) -> Self {
        for vendor in self.providers.values_mut() {
            if let Vendor::Plugin(vendor) = vendor {
                vendor.plugins = Arc::clone(plugins);
            }
        }
        self
    }

    /// Whether a pipeline may name this provider.
    pub fn knows(&self, provider: &str) -> bool {
        self.providers.contains_key(provider)
    }

    /// Why the secret of a target cannot be had now, with the secret's name.
    pub fn missing_secret<'t>(&'t self, target: &'t Target) -> Option<(&'t str, MissingSecret)> {
        let Vendor::Http(provider) = self.providers.get(&target.provider)? else { return None };
        let name = provider.key_name(target)?;
        (self.secrets)(name).err().map(|why| (name, why))
    }

    /// The plugin that a target asks, if it is one.
    pub fn plugin_of<'t>(&self, target: &'t Target) -> Option<&'t str> {
        match self.providers.get(&target.provider)? {
            Vendor::Plugin(_) => Some(PluginVendor::plugin_of(&target.model)),
            Vendor::Http(_) | Vendor::Builtin => None,
        }
    }

    /// The provider that asks the plugins of this server; none if the operator's file has none.
    pub fn plugin_provider(&self) -> Option<&str> {
        self.providers.iter().find_map(|(name, vendor)| matches!(vendor, Vendor::Plugin(_)).then_some(name.as_str()))
    }

    /// Whether the provider is the one inside this program.
    pub fn is_builtin(&self, provider: &str) -> bool {
        matches!(self.providers.get(provider), Some(Vendor::Builtin))
    }

    /// The target of a name such as `openai/gpt-4o`, if the operator lets clients name that provider's models.
    pub fn offered(&self, name: &str) -> Option<Target> {
        self.offered_if(name, |plugins, model| plugins.models().iter().any(|known| known.name == model))
    }

    /// The same of a model that is asked for vectors. A plugin says not which of these it has.
    pub fn offered_embedding(&self, name: &str) -> Option<Target> {
        self.offered_if(name, |plugins, model| plugins.embeds(model))
    }

    fn offered_if(&self, name: &str, has: impl Fn(&dyn Plugins, &str) -> bool) -> Option<Target> {
        let (provider, model) = name.split_once('/')?;
        let valid = !model.is_empty() && model.len() <= OFFERED_BYTES_MAX && !model.contains(char::is_control);
        // Which models a plugin has is known; of others `*` stands for any name.
        let exists = || match self.providers.get(provider) {
            Some(Vendor::Plugin(vendor)) => has(&*vendor.plugins, model),
            Some(Vendor::Http(_) | Vendor::Builtin) | None => true,
        };
        let offers = |offered: &String| (offered == "*" && exists()) || offered == model;
        let found = valid && self.offers.get(provider)?.iter().any(offers);
        let target = || Target { provider: provider.to_owned(), model: model.to_owned(), secret_key_name: None, on_status: None };
        found.then(target)
    }

    /// All models that clients may name by themselves, each with its provider; the models that a `*` stands for, and what they say of
    /// themselves, are known of plugins alone.
    pub fn offers(&self) -> impl Iterator<Item = (OfferedModel, &str)> {
        let named = |provider: &String, models: &[String]| {
            let known = match self.providers.get(provider) {
                Some(Vendor::Plugin(vendor)) => vendor.plugins.models(),
                _ => Vec::new(),
            };
            if matches!(self.providers.get(provider), Some(Vendor::Plugin(_))) && models.iter().any(|model| model == "*") {
                return known;
            }
            let told = |name: &String| known.iter().find(|model| model.name == *name).cloned();
            let named = models.iter().filter(|model| *model != "*");
            named.map(|name| told(name).unwrap_or_else(|| OfferedModel { name: name.clone(), ..OfferedModel::default() })).collect()
        };
        self.offers.iter().flat_map(move |(provider, models)| {
            let full = move |model: OfferedModel| (OfferedModel { name: format!("{provider}/{}", model.name), ..model }, provider.as_str());
            named(provider, models).into_iter().map(full)
        })
    }

    /// Every provider's name, sorted.
    pub fn names(&self) -> Vec<&str> {
        self.providers.keys().map(String::as_str).collect()
    }

    /// With the same pauses and random choices in every run, for tests.
    #[must_use]
    pub fn seeded(self, seed: u64) -> Self {
        Self { attempts: self.attempts.seeded(seed), ..self }
    }

    /// Every circuit that remembers a failure: a provider and key that failed lately.
    pub fn circuits(&self) -> Vec<CircuitState> {
        self.attempts.circuits()
    }

    /// Asks the targets until one replies: equals by weighted random choice, or the one that a hook chose, then the fallbacks in order, each with
    /// its retries. A stream is
    /// returned once its first event is there; what breaks it later is its last item. Dropping the future or the reply closes the
    /// provider's connection.
    ///
    /// # Errors
    /// The last failure; `CircuitOpen` if nobody was asked; `UnknownProvider` if the chain is empty, or does not have
    /// what the hook chose.
    pub async fn answer<'a>(&self, chain: impl Into<Chain<'a>>, exchange: &Exchange, mode: Mode) -> Result<Answered<Reply>, Error> {
        let chat = Chat { exchange, mode };
        let Exchange { deadline, tries, .. } = exchange;
        let (target, chosen) = (exchange.target.as_deref(), exchange.model.as_deref());
        let of = Of { caller: exchange.caller.as_deref(), deadline: *deadline, tries, target, chosen };
        Walk::new(self, &self.attempts, &chat, chain.into(), of).run().await
    }

    /// Asks `target` for vectors.
    ///
    /// # Errors
    /// As for a reply; `NoEmbeddings` if the provider computes none.
    pub async fn embed(&self, target: &Target, embed: &Embed, asker: &Asker<'_>) -> Result<Embedded, Error> {
        let (request, chain) = (Embeddings { embed, asker }, std::slice::from_ref(target).into());
        let of = Of { caller: asker.caller, deadline: asker.deadline, tries: asker.tries, target: None, chosen: None };
        Ok(Walk::new(self, &self.attempts, &request, chain, of).run().await?.reply)
    }

    /// Asks `target` how much each document has to do with the question.
    ///
    /// # Errors
    /// As for a reply; `UnsupportedField` if the provider is of a kind that ranks none.
    pub async fn rerank(&self, target: &Target, rerank: Rerank<'_>, asker: &Asker<'_>) -> Result<Reranked, Error> {
        let (request, chain) = (Relevance { rerank, asker }, std::slice::from_ref(target).into());
        let of = Of { caller: asker.caller, deadline: asker.deadline, tries: asker.tries, target: None, chosen: None };
        Ok(Walk::new(self, &self.attempts, &request, chain, of).run().await?.reply)
    }

    /// OpenTelemetry's name of the provider's kind.
    fn system(&self, provider: &str) -> &'static str {
        match self.providers.get(provider) {
            Some(Vendor::Http(provider)) => provider.system(),
            Some(Vendor::Builtin) => Kind::Builtin.system(),
            Some(Vendor::Plugin(_)) => Kind::Plugin.system(),
            // The convention's word for what it has no word for.
            None => "_OTHER",
        }
    }
}

impl<C: Call> Backend<C> for Llm {
    async fn attempt(&self, attempt: Attempt<'_, C>) -> Result<C::Reply, Failure> {
        match self.providers.get(&attempt.target.provider) {
            None => Err(Error::UnknownProvider { provider: attempt.target.provider.clone() }.into()),
            Some(Vendor::Builtin) => C::builtin(&attempt),
            Some(Vendor::Plugin(vendor)) => C::plugin(vendor, &attempt).await,
            Some(Vendor::Http(provider)) => provider.attempt(&self.secrets, &attempt).await,
        }
    }

    fn system(&self, provider: &str) -> &'static str {
        self.system(provider)
    }

    fn key_name<'t>(&'t self, target: &'t Target, model: &'t str) -> Option<&'t str> {
        match self.providers.get(&target.provider) {
            Some(Vendor::Http(provider)) => provider.key_name(target),
            Some(Vendor::Plugin(_)) => Some(PluginVendor::plugin_of(model)),
            Some(Vendor::Builtin) | None => target.secret_key_name.as_deref(),
        }
    }
}

/// A completion of one message that no model wrote, under `model`'s name.
pub fn completion_of(message: Message, model: &str) -> Completion {
    providers::builtin::completion_of(message, model)
}

#[cfg(test)]
mod tests;
