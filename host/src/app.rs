//! The composition root: the only file that names every room. Opens them in order, runs the server, closes them in reverse.
//! Must hold no logic of its own.

use std::fs::File;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::Config;
use crate::http::{self, Server};
use crate::llm::{self, Llm};
use crate::pipeline::{Catalog, Runner};
use crate::rag::{Embedder, Knowledge, Pocket};
use crate::sandbox::{Compiler, Registry, RegistryConfig, Watcher};
use crate::store;
use crate::telemetry::{self, Metrics};

/// A server that is bound and ready to serve.
pub struct App {
    server: Server,
    knowledge: Arc<Knowledge>,
    metrics: Arc<Metrics>,
    secrets: llm::Secrets,
    /// The task that sends traces, and what stops it.
    exporting: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// Ends the watching of the plugin directory when it is dropped.
    _watcher: Watcher,
    /// Held to the end: two servers on one data_dir would each miss what the other wrote.
    _data_dir: File,
}

impl App {
    /// Opens everything; once it returns, connections are accepted by the kernel.
    ///
    /// # Errors
    /// The first thing that could not be opened, with what it was for.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        let unread = || format!("secret_dir {} cannot be read", config.secret_dir.clone().unwrap_or_default().display());
        let secrets = llm::sources(config.secret_dir.clone()).with_context(unread)?;
        Self::open_with(config, Arc::new(Pocket::default()), secrets).await
    }

    /// As `open`, with another embedder and other secrets: the outer rim that tests replace.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_with(config: Config, embedder: Arc<dyn Embedder>, secrets: llm::Secrets) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&config.data_dir).with_context(|| format!("data_dir {} cannot be made", config.data_dir.display()))?;
        let data_dir = locked(&config.data_dir)?;
        let database = config.data_dir.join("cofferdam.db");
        let metrics = Metrics::new();
        let kept = Arc::new(store::Pipelines::open(&database).context("the database cannot be opened")?);
        let knowledge = Arc::new(Knowledge::open(&database, embedder, config.rag).context("the knowledge base cannot be opened")?);
        let llm =
            Arc::new(Llm::new(config.llm, secrets.clone(), Arc::new(Attempts(metrics.clone()))).context("the providers cannot be set up")?);
        let plugins = RegistryConfig {
            plugin_dir: config.plugin_dir,
            cache_dir: config.data_dir.join("compiled"),
            plugins: config.plugins,
            limits: config.sandbox,
            compiler: Compiler::Child(this_program()?),
        };
        let (registry, watcher) = Registry::open(plugins, metrics.clone()).await.context("the sandbox cannot be set up")?;
        let catalog = Catalog::open(config.pipelines, kept, llm.clone(), registry.clone(), config.pipelines_max);
        let catalog = Arc::new(catalog.context("the kept pipelines cannot be read")?);
        let runner = Runner { registry: registry.clone(), knowledge: knowledge.clone(), llm, metrics: metrics.clone() };
        let state = http::State { catalog, runner: Arc::new(runner), registry, knowledge: knowledge.clone(), metrics: metrics.clone() };
        let http = http::Config { listen: config.listen, limits: config.http, keys: config.keys };
        let server = Server::bind(http, state).await?;
        Ok(Self { server, knowledge, metrics, secrets, exporting: None, _watcher: watcher, _data_dir: data_dir })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// For the demo, which fills it.
    pub fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    /// Sends these spans to the collector from now on.
    ///
    /// # Errors
    /// Its URL is none, or the secret with its headers cannot be had.
    pub fn export(&mut self, spans: telemetry::Spans) -> anyhow::Result<()> {
        let export = spans.export();
        let url = format!("{}/v1/traces", export.otlp_endpoint.as_deref().unwrap_or_default());
        let mut post = llm::Post::new("the collector of traces", &url, &llm::Limits::default()).context("traces cannot be sent")?;
        if let Some(name) = &export.otlp_headers_secret {
            let unfit = |why: &dyn std::fmt::Display| anyhow::anyhow!("the secret `{name}` of `telemetry.otlp_headers_secret` {why}");
            let headers = (self.secrets)(name).map_err(|why| unfit(&why))?;
            post = post.with_headers(&headers).map_err(|why| unfit(&why))?;
        }
        let collector = Collector { post, time: export.otlp_timeout };
        let (stop, stopped) = oneshot::channel();
        self.exporting = Some((stop, tokio::spawn(spans.send(collector, self.metrics.clone(), stopped))));
        Ok(())
    }

    /// Serves until `shutdown`, then finishes what runs.
    ///
    /// # Errors
    /// When the listener is lost.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let served = self.server.serve(shutdown).await;
        if let Some((stop, sending)) = self.exporting {
            drop(stop);
            sending.await.context("the task that sends traces failed")?;
        }
        served?;
        Ok(())
    }
}

/// Takes the data directory for this process.
///
/// # Errors
/// Another server has it.
pub fn locked(data_dir: &Path) -> anyhow::Result<File> {
    let file = File::create(data_dir.join("lock")).with_context(|| format!("data_dir {} cannot be written", data_dir.display()))?;
    file.try_lock().with_context(|| format!("data_dir {} is in use by another server; give each its own", data_dir.display()))?;
    Ok(file)
}

/// Plugs the metrics into the llm room's port.
struct Attempts(Arc<Metrics>);

impl llm::Observer for Attempts {
    fn attempt(&self, provider: &str, _model: &str, outcome: &'static str, seconds: f64) {
        // Models are not a label: clients' hooks choose them, and each would be a series for ever.
        self.0.llm_attempt(provider, outcome, seconds);
    }

    fn operation(&self, of: telemetry::Operation<'_>, error: Option<&'static str>, seconds: f64) {
        self.0.operation(of, error, seconds);
    }

    fn first_chunk(&self, of: telemetry::Operation<'_>, seconds: f64) {
        self.0.first_chunk(of, seconds);
    }
}

/// Plugs the llm room's transport into the telemetry room's port.
struct Collector {
    post: llm::Post,
    time: Duration,
}

impl telemetry::Deliver for Collector {
    fn deliver(&self, json: Vec<u8>) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            match self.post.send("application/json", json.into(), self.time).await {
                Ok((200..300, _)) => Ok(()),
                Ok((status, _)) => Err(format!("it answered {status}")),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

/// On Linux the running program itself, also after the file was replaced by an upgrade.
fn this_program() -> anyhow::Result<PathBuf> {
    if cfg!(target_os = "linux") {
        return Ok("/proc/self/exe".into());
    }
    std::env::current_exe().context("this program's own path is unknown, and it compiles plugins by calling itself")
}
