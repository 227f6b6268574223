//! Every pipeline by its id: the operator's, which only the file changes, and the API's, which a store keeps.
//! A definition is checked before it is kept, and what is kept and what is live change together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::definition::{Definition, Problem};
use super::store::{PipelineStore, StoreError};
use crate::chat::{NAME_RULE, is_name};
use crate::llm::{Llm, OfferedModel, Target};
use crate::sandbox::{Fault, FaultKind, Hook, OnFailure, Plugins, Registry};

/// A definition under its id.
#[derive(Clone, Debug)]
pub struct Pipeline {
    pub id: Arc<str>,
    pub definition: Definition,
    pub origin: Origin,
}

/// Where a pipeline was defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `cofferdam.toml`, or built in: read-only through the API.
    File,
    /// `PUT /api/v1/gateway/apis/{id}/pipeline`, kept by the store.
    Api,
}

/// A model that clients name to get vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingModel {
    pub id: Arc<str>,
    pub target: Target,
}

/// All pipelines under one configuration. Those of a later one share what the API keeps: see `renewed`.
pub struct Catalog {
    /// The operator's.
    from_file: Pipelines,
    /// The API's, those that the operator's stand in for too.
    kept: Arc<ArcSwap<Pipelines>>,
    store: Arc<dyn PipelineStore>,
    llm: Arc<Llm>,
    registry: Arc<Registry>,
    /// Pipelines kept through the API.
    kept_max: usize,
    embeddings: Vec<EmbeddingModel>,
    /// One change at a time.
    writing: Arc<Mutex<()>>,
}

/// A pipeline that cannot run, or a name for embeddings that cannot be asked for, and the plugin for want of which it cannot.
#[derive(Clone, Debug)]
pub struct Blocked {
    pub pipeline: Arc<str>,
    pub fault: Fault,
}

type Pipelines = BTreeMap<Arc<str>, Arc<Pipeline>>;

/// A pipeline that was kept.
#[derive(Debug)]
pub struct Put {
    /// There was none of that id before.
    pub created: bool,
    /// What will fail when it is used, e.g. a plugin that is not loaded or lacks the hook, a secret that is not set.
    pub warnings: Vec<String>,
}

/// Why a pipeline was not kept.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    #[error("the pipeline's id must be {NAME_RULE}")]
    Name,
    #[error("the pipeline is not valid")]
    Invalid(Vec<Problem>),
    #[error("the pipeline is defined in the operator's file and can only be changed there")]
    ReadOnly,
    #[error("there are {0} pipelines already (`limits.pipelines`)")]
    Full(usize),
    #[error("the pipeline could not be stored: {0}")]
    Store(String),
}

impl Catalog {
    /// Reads what is kept; of two pipelines of one id the operator's counts.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn open(
        from_file: Vec<Pipeline>,
        store: Arc<dyn PipelineStore>,
        llm: Arc<Llm>,
        registry: Arc<Registry>,
        kept_max: usize,
        embeddings: Vec<EmbeddingModel>,
    ) -> Result<Self, StoreError> {
        let mut kept = Pipelines::new();
        for (id, text) in store.all().await? {
            let parsed = serde_json::from_str::<Value>(&text).map_err(|e| e.to_string());
            match parsed.and_then(|source| Definition::parse(&source).map_err(|problems| list(&problems))) {
                Ok(definition) => {
                    let id: Arc<str> = id.into();
                    kept.insert(id.clone(), Arc::new(Pipeline { id, definition, origin: Origin::Api }));
                }
                Err(problem) => tracing::error!(pipeline = id, problem, "a kept pipeline is no longer valid and is left out"),
            }
        }
        for pipeline in kept.values() {
            // Its provider went from the operator's file since it was put.
            for (key, target) in pipeline.definition.llm.keys().filter(|(_, target)| !llm.knows(&target.provider)) {
                let (id, provider) = (&*pipeline.id, &target.provider);
                tracing::error!(pipeline = id, key, provider, "a kept pipeline names a provider that the configuration does not have");
            }
        }
        let kept = Arc::new(ArcSwap::from_pointee(kept));
        let (from_file, writing) = (by_id(from_file, &kept.load()), Arc::default());
        Ok(Self { from_file, kept, store, llm, registry, kept_max, embeddings, writing })
    }

    /// The catalogue of the next configuration. What the API kept is in both, whichever it is put through.
    #[must_use]
    pub fn renewed(
        &self,
        from_file: Vec<Pipeline>,
        llm: Arc<Llm>,
        registry: Arc<Registry>,
        kept_max: usize,
        embeddings: Vec<EmbeddingModel>,
    ) -> Self {
        let (kept, store, writing) = (self.kept.clone(), self.store.clone(), self.writing.clone());
        Self { from_file: by_id(from_file, &kept.load()), kept, store, llm, registry, kept_max, embeddings, writing }
    }

    pub fn get(&self, id: &str) -> Option<Arc<Pipeline>> {
        self.from_file.get(id).cloned().or_else(|| self.kept.load().get(id).cloned())
    }

    /// What fails when a pipeline is used, of all of them: a provider that is not there, a plugin that is not loaded.
    pub fn all_warnings(&self) -> Vec<String> {
        let of = |pipeline: &Arc<Pipeline>| {
            let targets: BTreeSet<_> = pipeline.definition.llm.keys().map(|(_, target)| target.provider.clone()).collect();
            let unknown = targets.into_iter().filter(|provider| !self.llm.knows(provider));
            let unknown = unknown.map(|provider| format!("there is no provider `{provider}`"));
            let warnings: Vec<_> = unknown.chain(self.warnings(&pipeline.definition)).collect();
            warnings.into_iter().map(|warning| format!("pipeline `{}`: {warning}", pipeline.id)).collect::<Vec<_>>()
        };
        let plugins = self.registry.snapshot();
        let embeddings = self.missing_embedders(&plugins).map(|(id, Fault { plugin, kind, .. })| {
            let until = "requests for its vectors fail until it is there";
            match kind {
                FaultKind::NoHook => format!("embeddings `{id}`: plugin `{plugin}` computes no vectors; {until}"),
                kind => format!("embeddings `{id}`: plugin `{plugin}`: {kind}; {until}"),
            }
        });
        self.list().iter().flat_map(of).chain(embeddings).collect()
    }

    /// The names for embeddings whose plugins cannot be asked for vectors.
    fn missing_embedders(&self, plugins: &Plugins) -> impl Iterator<Item = (&Arc<str>, Fault)> {
        self.embedding_plugins().filter_map(|(id, plugin)| Some((id, plugins.get(plugin, Hook::Embed).err()?)))
    }

    /// The pipeline that a client's `model` names: one of this id, or one that only asks a model which the operator offers by its own name.
    pub fn named(&self, model: &str) -> Option<Arc<Pipeline>> {
        let offered = || self.llm.offered(model).map(|target| self.offering(model, target));
        self.get(model).or_else(offered)
    }

    /// The provider by which plugins that are models are asked; none if the operator's file has none.
    pub fn plugin_provider(&self) -> Option<&str> {
        self.llm.plugin_provider()
    }

    /// The models that the operator offers by their own names, each with its provider.
    pub fn offers(&self) -> impl Iterator<Item = (OfferedModel, &str)> {
        self.llm.offers()
    }

    /// Every plugin that a definition names: those of its hooks, and those that are its models.
    pub fn plugins<'a>(&'a self, definition: &'a Definition) -> impl Iterator<Item = &'a str> {
        definition.plugins().chain(definition.llm.targets.iter().filter_map(move |target| self.llm.plugin_of(target)))
    }

    /// The target behind a name for embeddings: an entry of the operator's file, or a model offered by its own name.
    pub fn embedding(&self, model: &str) -> Option<Target> {
        let entry = self.embeddings.iter().find(|entry| &*entry.id == model).map(|entry| entry.target.clone());
        entry.or_else(|| self.llm.offered_embedding(model))
    }

    /// The operator's names for embeddings that plugins compute, each with its plugin.
    pub fn embedding_plugins(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        self.embeddings.iter().filter_map(|EmbeddingModel { id, target }| Some((id, self.llm.plugin_of(target)?)))
    }

    /// The names for embeddings, except those of the embedder inside this program.
    pub fn embeddings(&self) -> impl Iterator<Item = &EmbeddingModel> {
        self.embeddings.iter().filter(|entry| !self.llm.is_builtin(&entry.target.provider))
    }

    fn offering(&self, model: &str, target: Target) -> Arc<Pipeline> {
        Arc::new(Pipeline { id: model.into(), definition: Definition::of(target), origin: Origin::File })
    }

    /// Every pipeline, sorted by id.
    pub fn list(&self) -> Vec<Arc<Pipeline>> {
        let mut all = Pipelines::clone(&self.kept.load());
        all.extend(self.from_file.iter().map(|(id, pipeline)| (id.clone(), pipeline.clone())));
        all.into_values().collect()
    }

    /// Checks a definition and keeps it; a restart finds it once this returns.
    ///
    /// # Errors
    /// See [`PutError`]; what was there before stays.
    pub async fn put(&self, id: &str, source: &Value) -> Result<Put, PutError> {
        if !is_name(id) {
            return Err(PutError::Name);
        }
        let definition = Definition::parse(source).map_err(PutError::Invalid)?;
        self.check_providers(&definition)?;
        let warnings = self.warnings(&definition);
        let one_at_a_time = self.writing.clone().lock_owned().await;
        if self.from_file.contains_key(id) {
            return Err(PutError::ReadOnly);
        }
        let mut kept = Pipelines::clone(&self.kept.load());
        let created = !kept.contains_key(id);
        if created && kept.len() >= self.kept_max {
            return Err(PutError::Full(self.kept_max));
        }
        let (store, text, key) = (self.store.clone(), definition.source().to_string(), Arc::<str>::from(id));
        kept.insert(key.clone(), Arc::new(Pipeline { id: key.clone(), definition, origin: Origin::Api }));
        self.keep(one_at_a_time, kept, async move { store.put(&key, &text).await }).await?;
        Ok(Put { created, warnings })
    }

    /// Removes a pipeline that came in through the API; a restart does not bring it back once this returns. Requests that run keep it. Gives
    /// false if there is none, not even one that was left out because it is no longer valid. Its knowledge stays where it is.
    ///
    /// # Errors
    /// `ReadOnly` for one of the file, `Store`; it stays.
    pub async fn delete(&self, id: &str) -> Result<bool, PutError> {
        let one_at_a_time = self.writing.clone().lock_owned().await;
        if self.from_file.contains_key(id) {
            return Err(PutError::ReadOnly);
        }
        let mut kept = Pipelines::clone(&self.kept.load());
        kept.remove(id);
        let (store, key) = (self.store.clone(), id.to_owned());
        self.keep(one_at_a_time, kept, async move { store.delete(&key).await }).await
    }

    /// Makes pipelines live once the store has them, to its end even if the client hangs up: what is kept and what is live change together.
    async fn keep<T: Send + 'static>(
        &self,
        one_at_a_time: OwnedMutexGuard<()>,
        kept: Pipelines,
        stored: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, PutError> {
        let live = self.kept.clone();
        let stored = tokio::spawn(async move {
            let _held = one_at_a_time;
            stored.await.inspect(|_| live.store(Arc::new(kept)))
        });
        stored.await.map_err(|e| PutError::Store(e.to_string()))?.map_err(|e| PutError::Store(e.to_string()))
    }

    fn check_providers(&self, definition: &Definition) -> Result<(), PutError> {
        let unknown = definition.llm.keys().filter(|(_, target)| !self.llm.knows(&target.provider));
        let problems: Vec<Problem> = unknown
            .map(|(key, target)| Problem {
                path: format!("pipeline.llm.config.{key}.provider"),
                message: format!("there is no provider `{}`; this server has {}", target.provider, self.llm.names().join(", ")),
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(PutError::Invalid(problems)) }
    }

    /// What would fail, or be passed over, as things are now. It is no reason to refuse the definition, for plugins and secrets may come later.
    fn warnings(&self, definition: &Definition) -> Vec<String> {
        let plugins = self.registry.snapshot();
        let mut warnings = Vec::new();
        for (stage, hook) in definition.hook_stages() {
            for fault in stage.plugins.iter().filter_map(|name| plugins.get(name, hook).err()) {
                let until = match (stage.enabled, plugins.on_failure(&fault)) {
                    (_, OnFailure::Skip) => "requests pass it over until it is there",
                    (true, OnFailure::Reject) => "requests fail until it is there",
                    (false, OnFailure::Reject) => "requests that switch the stage on fail until it is there",
                };
                let name = &fault.plugin;
                warnings.push(match fault.kind {
                    FaultKind::NoHook => format!("plugin `{name}` has no {hook}; {until}"),
                    FaultKind::Loading => format!("plugin `{name}` is still being loaded; {until}"),
                    _ => format!("plugin `{name}` is not loaded; {until}: drop it into the plugin directory"),
                });
            }
        }
        for (key, target) in definition.llm.keys() {
            if self.llm.plugin_of(target).is_some()
                && let Err(Fault { plugin, kind, .. }) = plugins.check_model(&target.model)
            {
                let until = "requests go on to the next target, or fail, until it is there";
                let why = match kind {
                    FaultKind::NoHook => format!("plugin `{plugin}` has no model; {until}"),
                    FaultKind::Loading => format!("plugin `{plugin}` is still being loaded; {until}"),
                    FaultKind::NotLoaded => format!("plugin `{plugin}` is not loaded; {until}: drop it into the plugin directory"),
                    other => format!("plugin `{plugin}`: {other}; {until}"),
                };
                warnings.push(format!("pipeline.llm.config.{key}: {why}"));
            }
            if let Some((name, why)) = self.llm.missing_secret(target) {
                warnings.push(format!("pipeline.llm.config.{key}: the secret `{name}` for provider `{}` {why}", target.provider));
            }
        }
        warnings
    }

    /// The plugins for want of which pipelines of the operator's file cannot run, in the order of the pipelines' ids, and behind these the names
    /// for embeddings that cannot be asked for. A stage that is off until
    /// a client switches it on needs none, and a pipeline runs as long as one of its targets is no plugin or is there.
    pub fn blocked(&self) -> Vec<Blocked> {
        let plugins = self.registry.snapshot();
        let of = |pipeline: &Arc<Pipeline>| -> Vec<Blocked> {
            let definition = &pipeline.definition;
            let on = definition.hook_stages().filter(|(stage, _)| stage.enabled);
            let hooks = on.flat_map(|(stage, hook)| stage.missing(hook, &plugins));
            let missing = |target: &Target| plugins.get(self.llm.plugin_of(target)?, Hook::Answer).err();
            // None if there is a target that can be asked.
            let models: Option<Vec<Fault>> = definition.llm.targets.iter().map(missing).collect();
            let faults = hooks.chain(models.into_iter().flatten());
            faults.map(|fault| Blocked { pipeline: pipeline.id.clone(), fault }).collect()
        };
        let embeddings = self.missing_embedders(&plugins).map(|(id, fault)| Blocked { pipeline: id.clone(), fault });
        self.from_file.values().flat_map(of).chain(embeddings).collect()
    }

    /// Says in the log which pipelines of the operator's file cannot run.
    pub fn log_blocked(&self) {
        for Blocked { pipeline, fault: Fault { plugin, hook, kind, .. } } in self.blocked() {
            tracing::error!(
                pipeline = &*pipeline,
                plugin = &*plugin,
                hook = hook.word(),
                "{}: its plugin is missing: {kind}",
                if hook == Hook::Embed { "the name for embeddings cannot be asked for" } else { "the pipeline cannot run" }
            );
        }
    }
}

/// The operator's pipelines.
fn by_id(from_file: Vec<Pipeline>, kept: &Pipelines) -> Pipelines {
    for pipeline in from_file.iter().filter(|pipeline| kept.contains_key(&pipeline.id)) {
        tracing::warn!(pipeline = &*pipeline.id, "the operator's file stands in for a kept pipeline of the same id");
    }
    from_file.into_iter().map(|pipeline| (pipeline.id.clone(), Arc::new(pipeline))).collect()
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
