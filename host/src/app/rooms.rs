//! The rooms as one configuration wants them, and the way from one configuration to the next while the server runs.
//! Invariants: what can fail comes before what takes effect, so a file that is wrong changes nothing; and each room of the next configuration
//! shares with the one before what must go on: counters, circuits, connections, compiled plugins, kept pipelines.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;

use super::behind::{self, Behind};
use super::components::Components;
use super::granted;
use super::plugin_models::PluginModels;
use super::ports::{Attempts, PluginSecrets};
use super::sources::Sources;
use crate::config::{self, Config};
use crate::http::{self, ReloadError, Reloaded, Reloads, Switch};
use crate::ledger::{self, Ledger};
use crate::llm::{self, Llm};
use crate::pipeline::{Catalog, Runner};
use crate::rag::{self, Embedder, Extractor, Knowledge, OpenEmbedders};
use crate::sandbox::kv::KvStore;
use crate::sandbox::settings::Book;
use crate::sandbox::{Compiler, DoneQueue, Outside, Ports, Registry, RegistryConfig, Settings, Watcher};
use crate::storage::{self, Stores};
use crate::telemetry::{self, Metrics};

/// Reads the operator's file.
pub type Source = Arc<dyn Fn() -> Result<Config, config::Error> + Send + Sync>;

/// Problems of a file that a reload tells; a file that is none of ours may have one in each of its characters.
const PROBLEMS_MAX: usize = 20;

/// The rooms under the configuration that is in force.
pub(super) struct Rooms {
    config: Config,
    secrets: llm::Secrets,
    plugin_secrets: PluginSecrets,
    behind: Arc<Behind>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) knowledge: Arc<Knowledge>,
    extractor: Arc<Extractor>,
    sources: Sources,
    kv: Arc<dyn KvStore>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) registry: Arc<Registry>,
    llm: Arc<Llm>,
    catalog: Arc<Catalog>,
    /// Calls of done-hooks, which go on when the configuration changes and when the last connection has ended.
    pub(super) done: Arc<DoneQueue>,
    /// Ends the watching of the plugin directory when it is dropped.
    watcher: Watcher,
    reloads: Reloads,
}

impl Rooms {
    /// # Errors
    /// The first thing that could not be opened, with what it was for.
    pub(super) async fn open(
        config: Config,
        embedder: Option<Arc<dyn Embedder>>,
        secrets: llm::Secrets,
        reloads: Reloads,
    ) -> anyhow::Result<Self> {
        let database = config.data_dir.join(storage::sqlite::DATABASE);
        let metrics = Metrics::new();
        let stores = storage::sqlite::open_with(&database, config.kv, Arc::new(unix_time), config.precisions.clone());
        let Stores { pipelines, usage, documents, kv, plugins: settings } = stores.context("the database cannot be opened")?;
        let behind = Behind::new(metrics.clone());
        let knowledge = knowledge(&config, embedder, documents, behind.clone()).await.context("the knowledge base cannot be opened")?;
        let knowledge = knowledge.with_rerankers(rerankers(&config, &behind));
        let extractor = Arc::new(Extractor::new(this_program()?, config.rag.clone()));
        let ledger = Ledger::open(usage, charging(&config), ledger::clock::system(), metrics.clone());
        let ledger = Arc::new(ledger.await.context("what was used today cannot be read")?);
        let attempts = Arc::new(Attempts { metrics: metrics.clone(), ledger: ledger.clone() });
        let plugin_secrets = PluginSecrets::new(secrets.clone());
        let plugins = RegistryConfig {
            plugin_dir: config.plugin_dir.clone(),
            cache_dir: config.data_dir.join("compiled"),
            last_good_dir: config.data_dir.join("last-good"),
            plugins: config.plugins.clone(),
            limits: config.sandbox.clone(),
            compiler: Compiler::Child(this_program()?),
        };
        let done = DoneQueue::new(config.sandbox.clone(), metrics.clone());
        let settings = Arc::new(Book::open(settings).await.context("the kept settings of plugins cannot be read")?);
        let outside = Outside::network(plugin_secrets.look_up());
        let ports = Ports { kv: kv.clone(), settings, outside, knowledge: behind.clone(), models: behind.clone() };
        let (registry, watcher) = Registry::open(plugins, ports, metrics.clone()).context("the sandbox cannot be set up")?;
        let llm = Llm::new(config.llm.clone(), secrets.clone(), attempts).context("the providers cannot be set up")?;
        let llm = Arc::new(llm.with_plugins(&PluginModels::of(&registry)));
        let (from_file, embeddings) = (config.pipelines.clone(), config.embeddings.clone());
        let catalog = Catalog::open(from_file, pipelines, llm.clone(), registry.clone(), config.pipelines_max, embeddings);
        let catalog = Arc::new(catalog.await.context("the kept pipelines cannot be read")?);
        let knowledge = Arc::new(knowledge);
        let reviewed = knowledge.clone();
        tokio::spawn(async move { reviewed.review().await });
        let (loading, pipelines, models, documents) = (registry.clone(), catalog.clone(), llm.clone(), knowledge.clone());
        let (plugins, look_up) = (config.plugins.clone(), plugin_secrets.look_up());
        tokio::spawn(async move {
            loading.loaded().await;
            pipelines.log_blocked();
            let rooms = granted::Rooms { catalog: &pipelines, llm: &models, registry: &loading, knowledge: &documents, secrets: look_up };
            rooms.warnings(&plugins).await.iter().for_each(|warning| tracing::warn!("{warning}"));
        });
        let sources = Sources::start(&config, &knowledge, &extractor, &metrics);
        let rooms = Self {
            config,
            secrets,
            plugin_secrets,
            behind,
            metrics,
            knowledge,
            extractor,
            sources,
            kv,
            ledger,
            registry,
            llm,
            catalog,
            done,
            watcher,
            reloads,
        };
        rooms.behind.take_effect(rooms.for_plugins());
        Ok(rooms)
    }

    /// What plugins reach of them.
    fn for_plugins(&self) -> behind::Rooms {
        let Self { knowledge, llm, catalog, registry, done, .. } = self;
        behind::Rooms {
            knowledge: Arc::downgrade(knowledge),
            llm: Arc::downgrade(llm),
            catalog: Arc::downgrade(catalog),
            registry: Arc::downgrade(registry),
            done: Arc::downgrade(done),
        }
    }

    /// Where what grants name is looked for.
    fn granted(&self) -> granted::Rooms<'_> {
        let Self { catalog, llm, registry, knowledge, plugin_secrets, .. } = self;
        granted::Rooms { catalog, llm, registry, knowledge, secrets: plugin_secrets.look_up() }
    }

    /// What the server decides by.
    pub(super) fn http(&self) -> http::Config {
        let Config { listen, admin_listen, socket_mode, tls, http, keys, cors_origins, ready_requires_plugins, open_webui, .. } =
            self.config.clone();
        http::Config { listen, admin_listen, socket_mode, tls, limits: http, keys, cors_origins, ready_requires_plugins, open_webui }
    }

    /// What the server answers with.
    pub(super) fn state(&self) -> http::State {
        let Self { metrics, knowledge, extractor, ledger, registry, llm, catalog, done, reloads, .. } = self;
        let (registry, knowledge, metrics) = (registry.clone(), knowledge.clone(), metrics.clone());
        let (llm, done) = (llm.clone(), done.clone());
        let runner = Runner { registry: registry.clone(), knowledge: knowledge.clone(), llm, metrics: metrics.clone(), done };
        let (runner, catalog, ledger, reloads) = (Arc::new(runner), catalog.clone(), ledger.clone(), reloads.clone());
        let (extractor, fetch) = (extractor.clone(), Arc::new(Components));
        http::State { catalog, runner, registry, knowledge, extractor, ledger, metrics, reloads, fetch }
    }

    /// Ends what changes the data directory, and writes down what was used up to now: another server has the directory next.
    pub(super) async fn hand_over(self) {
        self.sources.stop().await;
        self.watcher.stop().await;
        self.registry.hand_over().await;
        self.knowledge.hand_over().await;
        if let Err(error) = self.kv.hand_over().await {
            tracing::error!("what plugins keep could not be written: {error}");
        }
        if let Err(error) = self.ledger.hand_over().await {
            tracing::error!("what was used up to now could not be written down: {error}");
        }
    }

    /// Reads the file again. If it is right, what it changes takes effect for the requests that begin from now on; those under way go on with
    /// the rooms that they began with.
    ///
    /// # Errors
    /// Nothing was changed then.
    pub(super) async fn reload(&mut self, source: &Source, switch: &Switch) -> Result<Reloaded, ReloadError> {
        let file = load(source).await?;
        let mut config = file.clone();
        config.keep_what_needs_a_restart(&self.config);
        // The addresses of the file, too, though they wait for a restart: the next start must not fail because of them.
        let checked = file.check_listen().and_then(|()| config.check_listen()).and_then(|()| config.check_keys(&self.config));
        checked.map_err(|problem| ReloadError::Invalid(vec![problem.to_string()]))?;
        let changes = self.config.changes(&config);
        let needs_restart = config.changes(&file).into_iter().map(|change| change.key).collect();
        if !changes.is_empty() {
            self.renew(config, switch).await?;
        }
        let changed = changes.into_iter().map(|change| (change.key, change.kind.word())).collect();
        let mut warnings = self.catalog.all_warnings();
        warnings.extend(self.granted().warnings(&self.config.plugins).await);
        Ok(Reloaded { changed, needs_restart, warnings })
    }

    /// Makes the rooms of the next configuration, and only then lets them take effect, all together.
    async fn renew(&mut self, config: Config, switch: &Switch) -> Result<(), ReloadError> {
        let secrets = match config.secret_dir == self.config.secret_dir {
            true => self.secrets.clone(),
            false => llm::sources(config.secret_dir.clone()).map_err(|error| wrong("secret_dir", &error))?,
        };
        let (ledger, allowances) = self.ledger.renewed(charging(&config)).await.map_err(|error| failed(&error))?;
        let ledger = Arc::new(ledger);
        let attempts = Arc::new(Attempts { metrics: self.metrics.clone(), ledger: ledger.clone() });
        let llm = self.llm.renewed(config.llm.clone(), secrets.clone(), attempts).map_err(|error| wrong("providers", &error))?;
        // The last step that can fail. Its plugins are for the next configuration alone until the switch.
        let registry = match (&config.plugins, &config.sandbox) == (&self.config.plugins, &self.config.sandbox) {
            true => self.registry.clone(),
            false => {
                let settings = Settings { plugins: config.plugins.clone(), limits: config.sandbox.clone() };
                self.watcher.renew(settings).await.map_err(|error| failed(&error))?
            }
        };
        let llm = Arc::new(llm.with_plugins(&PluginModels::of(&registry)));
        let (from_file, embeddings) = (config.pipelines.clone(), config.embeddings.clone());
        let catalog = self.catalog.renewed(from_file, llm.clone(), registry.clone(), config.pipelines_max, embeddings);
        (self.config, self.secrets, self.ledger, self.llm, self.registry) = (config, secrets, ledger, llm, registry);
        self.catalog = Arc::new(catalog);
        let rerankers = rerankers(&self.config, &self.behind);
        self.knowledge = Arc::new(self.knowledge.renewed(self.config.rag.clone()).with_rerankers(rerankers));
        self.knowledge.take_effect();
        self.extractor = Arc::new(self.extractor.renewed(self.config.rag.clone()));
        self.extractor.take_effect();
        self.sources.take_effect(&self.knowledge, &self.extractor).await;
        self.ledger.take_effect(&allowances);
        self.llm.take_effect();
        self.done.renew(&self.config.sandbox);
        self.plugin_secrets.take_effect(self.secrets.clone());
        self.behind.take_effect(self.for_plugins());
        // It was checked with the file.
        let _ = telemetry::filter_log(self.config.log_filter.as_deref());
        switch.to(self.http(), self.state());
        Ok(())
    }
}

/// The documents, with the embedders of the configuration; `embedder` takes the place of the default one.
async fn knowledge(
    config: &Config,
    embedder: Option<Arc<dyn Embedder>>,
    documents: Arc<dyn rag::DocumentStore>,
    behind: Arc<Behind>,
) -> Result<Knowledge, rag::Error> {
    let (chosen, limits) = (config.embedders.clone(), config.rag.clone());
    let open = move || {
        let port: Arc<dyn rag::AskVectors> = behind;
        let mut embedders = chosen.open(&port)?;
        embedders.extend(embedder.map(|embedder| (chosen.embedder.clone(), embedder)));
        Ok(Knowledge::with(documents, OpenEmbedders::start(embedders, chosen, &limits)?, limits))
    };
    // A model's files are read.
    tokio::task::spawn_blocking(open).await.unwrap_or_else(|e| Err(rag::Error::Embed(format!("it ended early: {e}"))))
}

/// The models that rank, and the way to them.
fn rerankers(config: &Config, behind: &Arc<Behind>) -> rag::Rerankers {
    rag::Rerankers { named: config.rerankers.clone(), port: behind.clone() }
}

fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Reads the file on a thread that may wait for a disk.
async fn load(source: &Source) -> Result<Config, ReloadError> {
    let source = source.clone();
    let loaded = tokio::task::spawn_blocking(move || source()).await.map_err(|error| failed(&error))?;
    loaded.map_err(|error| {
        let lines = telemetry::chain(&error);
        let mut problems: Vec<_> = lines.lines().take(PROBLEMS_MAX).map(str::to_owned).collect();
        let more = lines.lines().count() - problems.len();
        problems.extend((more > 0).then(|| format!("and {more} more, which `cofferdam check-config` shows")));
        ReloadError::Invalid(problems)
    })
}

fn wrong(key: &str, error: &dyn std::error::Error) -> ReloadError {
    ReloadError::Invalid(vec![format!("{key}: {error}")])
}

fn failed(error: &dyn std::error::Error) -> ReloadError {
    ReloadError::Failed(telemetry::chain(error))
}

/// What the ledger is told of a configuration.
fn charging(config: &Config) -> ledger::Config {
    let allowances = config.keys.client.iter().map(|key| (key.name.clone(), key.allowance)).collect();
    let end_users = config.keys.end_users.as_ref().map(|end_users| end_users.limits.clone());
    ledger::Config { allowances, end_users, prices: config.prices.clone(), limits: config.ledger.clone() }
}

/// On Linux the running program itself, also after the file was replaced by an upgrade.
fn this_program() -> anyhow::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    std::env::current_exe().context("this program's own path is unknown, and it compiles plugins and reads documents by calling itself")
}
