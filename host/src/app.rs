//! The composition root: the only file that names every room. Opens them in order, runs the server, closes them in reverse.
//! It plugs one room's implementation into another one's port and holds no logic of its own.

pub mod backup;

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
use tokio::time::Instant;

use crate::chat::Usage;
use crate::config::Config;
use crate::files;
use crate::http::{self, Server};
use crate::ledger::flusher::Flusher;
use crate::ledger::{self, Ledger};
use crate::llm::{self, Llm};
use crate::pipeline::{Catalog, Runner};
use crate::rag::{Embedder, Knowledge, Pocket};
use crate::sandbox::{Compiler, DoneQueue, Registry, RegistryConfig, Watcher};
use crate::storage::sqlite::backup::Parts;
use crate::storage::{self, Stores};
use crate::telemetry::{self, Metrics};

/// What of `data_dir` a backup has beside the databases: the folders whose files cannot be made again. Machine code and vector indexes can.
const KEPT: Parts = Parts::with_folders(&["last-good"]);

/// A server that is bound and ready to serve.
pub struct App {
    server: Server,
    knowledge: Arc<Knowledge>,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    secrets: llm::Secrets,
    /// The task that sends traces, and what stops it.
    exporting: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    /// Ends the watching of the plugin directory when it is dropped.
    _watcher: Watcher,
    flusher: Flusher,
    /// Calls of done-hooks, which may be under way when the last connection has ended.
    done: Arc<DoneQueue>,
    drain_time: Duration,
    /// Held to the end: two servers on one data_dir would each miss what the other wrote.
    _data_dir: File,
}

impl App {
    /// Opens everything; once it returns, connections are accepted by the kernel. Plugins are loaded meanwhile: `plugins_loaded` waits for
    /// them, and `/readyz` and requests say so until then.
    ///
    /// # Errors
    /// The first thing that could not be opened, with what it was for.
    pub async fn open(config: Config) -> anyhow::Result<Self> {
        let unread = || format!("secret_dir {} cannot be read", config.secret_dir.clone().unwrap_or_default().display());
        let secrets = llm::sources(config.secret_dir.clone()).with_context(unread)?;
        Self::open_with(config, Arc::new(Pocket::default()), secrets).await
    }

    /// As `open`, with another embedder and other secrets, which tests replace.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_with(config: Config, embedder: Arc<dyn Embedder>, secrets: llm::Secrets) -> anyhow::Result<Self> {
        let data_dir = locked(&config.data_dir)?;
        if let Some(before) = storage::sqlite::restore::finish(&config.data_dir, &KEPT).context("a restore cannot be finished")? {
            tracing::warn!(before = %before.display(), "a restore that was cut off is finished now");
        }
        let database = config.data_dir.join(storage::sqlite::DATABASE);
        let metrics = Metrics::new();
        let Stores { pipelines, usage, documents } = storage::sqlite::open(&database).context("the database cannot be opened")?;
        let knowledge = Knowledge::new(documents, embedder, config.rag).context("the knowledge base cannot be opened")?;
        let knowledge = Arc::new(knowledge);
        let flush = config.ledger.flush;
        let allowances = config.keys.client.iter().map(|key| (key.name.clone(), key.allowance)).collect();
        let end_users = config.keys.end_users.as_ref().map(|end_users| end_users.limits.clone());
        let charging = ledger::Config { allowances, end_users, prices: config.prices, limits: config.ledger };
        let ledger = Ledger::open(usage, charging, ledger::clock::system(), metrics.clone());
        let ledger = Arc::new(ledger.await.context("what was used today cannot be read")?);
        let attempts = Arc::new(Attempts { metrics: metrics.clone(), ledger: ledger.clone() });
        let llm = Arc::new(Llm::new(config.llm, secrets.clone(), attempts).context("the providers cannot be set up")?);
        let done = DoneQueue::new(config.sandbox.clone(), metrics.clone());
        let plugins = RegistryConfig {
            plugin_dir: config.plugin_dir,
            cache_dir: config.data_dir.join("compiled"),
            last_good_dir: config.data_dir.join("last-good"),
            plugins: config.plugins,
            limits: config.sandbox,
            compiler: Compiler::Child(this_program()?),
        };
        let (registry, watcher) = Registry::open(plugins, metrics.clone()).context("the sandbox cannot be set up")?;
        let catalog = Catalog::open(config.pipelines, pipelines, llm.clone(), registry.clone(), config.pipelines_max, config.embeddings);
        let catalog = Arc::new(catalog.await.context("the kept pipelines cannot be read")?);
        let runner = Runner { registry: registry.clone(), knowledge: knowledge.clone(), llm, metrics: metrics.clone(), done: done.clone() };
        let flusher = Flusher::start(ledger.clone(), flush);
        let (runner, shown) = (Arc::new(runner), knowledge.clone());
        let state = http::State { catalog, runner, registry: registry.clone(), knowledge: shown, ledger, metrics: metrics.clone() };
        let (loading, pipelines) = (registry.clone(), state.catalog.clone());
        tokio::spawn(async move {
            loading.loaded().await;
            pipelines.log_blocked();
        });
        let drain_time = config.http.drain_time;
        let http = http::Config {
            listen: config.listen,
            limits: config.http,
            keys: config.keys,
            cors_origins: config.cors_origins,
            ready_requires_plugins: config.ready_requires_plugins,
        };
        let server = Server::bind(http, state).await?;
        Ok(Self {
            server,
            knowledge,
            registry,
            metrics,
            secrets,
            exporting: None,
            _watcher: watcher,
            flusher,
            done,
            drain_time,
            _data_dir: data_dir,
        })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Waits until every file that was in the plugin directory at the start is live or was refused.
    pub async fn plugins_loaded(&self) {
        self.registry.loaded().await;
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
            let unusable = |why: &dyn std::fmt::Display| anyhow::anyhow!("the secret `{name}` of `telemetry.otlp_headers_secret` {why}");
            let headers = (self.secrets)(name).map_err(|why| unusable(&why))?;
            post = post.with_headers(&headers).map_err(|why| unusable(&why))?;
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
        let (told, mut stopped) = oneshot::channel();
        let shutdown = async {
            shutdown.await;
            let _ = told.send(Instant::now());
        };
        let served = self.server.serve(shutdown).await;
        // What is left of the time belongs to the done-hooks; connections have had theirs.
        let since = stopped.try_recv().unwrap_or_else(|_| Instant::now());
        let cut = self.done.drain(since + self.drain_time).await;
        if cut > 0 {
            tracing::warn!(cut, "calls of done-hooks did not end within `drain_time` and are cut");
        }
        self.flusher.finish().await;
        if let Some((stop, sending)) = self.exporting {
            drop(stop);
            sending.await.context("the task that sends traces failed")?;
        }
        served?;
        Ok(())
    }
}

/// Takes the data directory for this process. It is made if it is missing, and closed to other users: it holds what clients uploaded and
/// machine code that is trusted, and whoever can open the lock can keep every server from starting.
///
/// # Errors
/// Another server has it, or it cannot be used.
pub fn locked(data_dir: &Path) -> anyhow::Result<File> {
    let exposed = files::private_directory(data_dir).with_context(|| format!("data_dir {} cannot be made", data_dir.display()))?;
    if let Some(exposed) = exposed {
        tracing::warn!(data_dir = %data_dir.display(), "other users can reach data_dir: {exposed}");
    }
    let file = files::private_file(&data_dir.join("lock")).with_context(|| format!("data_dir {} cannot be written", data_dir.display()))?;
    file.try_lock().with_context(|| format!("data_dir {} is in use by another server; give each its own", data_dir.display()))?;
    Ok(file)
}

/// Plugs the metrics and the ledger into the llm room's port.
struct Attempts {
    metrics: Arc<Metrics>,
    ledger: Arc<Ledger>,
}

impl llm::Observer for Attempts {
    fn attempt(&self, provider: &str, _model: &str, outcome: &'static str, seconds: f64) {
        // Models are not a label: clients' hooks choose them, and each would be a series for ever.
        self.metrics.llm_attempt(provider, outcome, seconds);
    }

    fn reserve<'a>(&'a self, ask: &'a llm::Ask<'a>) -> BoxFuture<'a, Result<Option<Box<dyn llm::Hold>>, llm::Error>> {
        let llm::Ask { caller, end_user, provider, model, prompt, completion, choices } = *ask;
        Box::pin(async move {
            let ask = ledger::reservation::Ask { caller, end_user, provider, model, prompt, completion, choices };
            let reserved = self.ledger.reserve(&ask).await.map_err(|refused| over_budget(&refused))?;
            let held = |reservation| Box::new(Held { reservation, metrics: self.metrics.clone() }) as Box<dyn llm::Hold>;
            Ok(reserved.map(held))
        })
    }

    fn used(&self, used: &llm::Used<'_>) {
        count(&self.metrics, used);
        self.ledger.used(&entry(used));
    }

    fn circuits(&self, provider: &str, open: usize) {
        self.metrics.llm_circuits(provider, open);
    }

    fn operation(&self, of: telemetry::Operation<'_>, error: Option<&'static str>, seconds: f64) {
        self.metrics.operation(of, error, seconds);
    }

    fn first_chunk(&self, of: telemetry::Operation<'_>, seconds: f64) {
        self.metrics.first_chunk(of, seconds);
    }
}

/// Plugs a reservation of the ledger into the llm room's port.
struct Held {
    reservation: ledger::reservation::Reservation,
    metrics: Arc<Metrics>,
}

impl llm::Hold for Held {
    fn expected(&self) -> Usage {
        self.reservation.expected()
    }

    fn extend(&mut self, completion: u64) -> bool {
        self.reservation.extend(completion)
    }

    fn settle(self: Box<Self>, used: &llm::Used<'_>) {
        count(&self.metrics, used);
        self.reservation.settle(&entry(used));
    }

    fn release(self: Box<Self>) {
        self.reservation.release();
    }
}

fn entry<'a>(used: &llm::Used<'a>) -> ledger::Entry<'a> {
    let llm::Used { pipeline, caller, provider, model, usage, estimated, .. } = *used;
    ledger::Entry { pipeline, caller, provider, model, usage, estimated }
}

/// In OpenTelemetry's terms. The convention wants the provider's own count.
fn count(metrics: &Metrics, used: &llm::Used<'_>) {
    let llm::Used { operation, system, model, usage, estimated, .. } = *used;
    if !estimated {
        metrics.operation_tokens(telemetry::Operation { name: operation, system, model }, usage.prompt, usage.completion);
    }
}

fn over_budget(refused: &ledger::Refused) -> llm::Error {
    let remedy = match refused.remedy() {
        ledger::Remedy::Wait => llm::BudgetRemedy::Wait,
        ledger::Remedy::Later => llm::BudgetRemedy::Later,
        ledger::Remedy::OtherModel => llm::BudgetRemedy::OtherModel,
    };
    llm::Error::OverBudget { message: refused.to_string(), remedy, retry_after: refused.retry_after }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Observer as _;

    #[tokio::test]
    async fn what_a_reply_used_reaches_the_ledger_the_budget_and_the_metrics() {
        let (folder, metrics) = (tempfile::tempdir().unwrap(), Metrics::new());
        let allowance = ledger::Allowance { tokens_per_day: Some(29), ..ledger::Allowance::default() };
        let config = ledger::Config { allowances: [("team-a".into(), allowance)].into(), ..ledger::Config::default() };
        let usage = storage::sqlite::open(&folder.path().join("db")).unwrap().usage;
        let ledger = Ledger::open(usage, config, Arc::new(ledger::clock::Moment::default), metrics.clone()).await.unwrap();
        let attempts = Attempts { metrics: metrics.clone(), ledger: Arc::new(ledger) };
        let usage = Usage { prompt: 20, completion: 9, cached: 15, reasoning: 4, ..Usage::default() };
        let (pipeline, provider, operation, system, model) = ("support", "openai", "chat", "openai", "gpt-4o");
        let used = llm::Used { pipeline, caller: Some("team-a"), provider, operation, system, model, usage, estimated: true };
        attempts.used(&used);
        let today = attempts.ledger.today();
        let rows = attempts.ledger.report(today, today, None).await.unwrap();
        let sums =
            ledger::Sums { replies: 1, prompt: 20, completion: 9, cached: 15, reasoning: 4, estimated: 1, ..ledger::Sums::default() };
        assert_eq!((rows.len(), rows[0].caller.as_str(), rows[0].model.as_str(), rows[0].sums), (1, "team-a", "gpt-4o", sums));
        assert_eq!(attempts.ledger.admit("team-a").unwrap_err().limit, ledger::Limit::TokensPerDay);
        let line = r#"cofferdam_tokens_total{pipeline="support",caller="team-a",provider="openai",model="gpt-4o",type="reasoning"} 4"#;
        assert!(metrics.render().lines().any(|l| l == line));
        // What was guessed is not the provider's count, which alone goes under the convention's name.
        assert!(!metrics.render().contains("gen_ai_client_token_usage_sum"));
        attempts.used(&llm::Used { estimated: false, ..used });
        let line = r#"gen_ai_client_token_usage_sum{gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o",gen_ai_token_type="output"} 9.0"#;
        assert!(metrics.render().lines().any(|l| l == line), "{}", metrics.render());
    }
}
