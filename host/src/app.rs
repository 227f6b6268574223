//! The composition root: with its folder the only place that names every room. Opens them in order, runs the server, closes them in reverse.
//! It plugs one room's implementation into another one's port and holds no logic of its own.

pub mod backup;
mod behind;
mod components;
mod data_dir;
mod granted;
mod plugin_models;
mod ports;
mod rooms;
mod sources;

use std::fs::File;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::Config;
use crate::http::{Asked, Bound, Inherited, ReloadError, Reloaded, Reloads, Server, Switch};
use crate::ledger::flusher::Flusher;
use crate::llm;
use crate::rag::{Embedder, Knowledge};
use crate::sandbox::{DoneQueue, Registry};
use crate::telemetry::{self, Metrics};
use ports::Collector;
use rooms::Rooms;

pub use data_dir::locked;
pub use rooms::Source;

/// How long the watching of plugins and the writing of what was used may take to end, when the server stops.
const HANDOVER_TIME: Duration = Duration::from_secs(10);

/// A server that is bound and ready to serve.
pub struct App {
    server: Server,
    rooms: Rooms,
    knowledge: Arc<Knowledge>,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    secrets: llm::Secrets,
    reloads: (Reloads, mpsc::Receiver<Asked>),
    /// The task that sends traces, and what stops it.
    exporting: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
    flusher: Flusher,
    /// Held while anything is changed: two servers on one data_dir would each miss what the other wrote.
    data_dir: File,
    /// Clients may be waiting that another server would have answered. They wait so long at most for the plugins.
    takes_over: Option<Duration>,
    done: Arc<DoneQueue>,
    /// From the signal to stop on, for connections and then for done-hooks.
    drain_time: Duration,
}

impl App {
    /// Opens everything; once it returns, connections are accepted by the kernel. Plugins are loaded meanwhile: `plugins_loaded` waits for
    /// them, and `/readyz` and requests say so until then.
    ///
    /// # Errors
    /// The first thing that could not be opened, with what it was for.
    pub async fn open(config: Config, sockets: Inherited) -> anyhow::Result<Self> {
        let unread = || format!("secret_dir {} cannot be read", config.secret_dir.clone().unwrap_or_default().display());
        let secrets = llm::sources(config.secret_dir.clone()).with_context(unread)?;
        Self::open_by(config, sockets, None, secrets).await
    }

    /// As `open`, with another embedder than the configuration's and other secrets, which tests replace.
    ///
    /// # Errors
    /// As `open`.
    pub async fn open_with(config: Config, sockets: Inherited, embedder: Arc<dyn Embedder>, secrets: llm::Secrets) -> anyhow::Result<Self> {
        Self::open_by(config, sockets, Some(embedder), secrets).await
    }

    async fn open_by(
        config: Config,
        sockets: Inherited,
        embedder: Option<Arc<dyn Embedder>>,
        secrets: llm::Secrets,
    ) -> anyhow::Result<Self> {
        let (data_dir, waited) = data_dir::handed_over(&config.data_dir, config.handover_time).await?;
        let takes_over = (waited || !sockets.is_empty()).then_some(config.handover_time);
        let (reloads, flush) = (Reloads::queue(config.http.reloads), config.ledger.flush);
        let rooms = Rooms::open(config, embedder, secrets.clone(), reloads.0.clone()).await?;
        let flusher = Flusher::start(rooms.ledger.clone(), flush);
        let server = Server::bind(rooms.http(), sockets, rooms.state()).await?;
        let (knowledge, registry, metrics) = (rooms.knowledge.clone(), rooms.registry.clone(), rooms.metrics.clone());
        let (done, drain_time) = (rooms.done.clone(), rooms.http().limits.drain_time);
        let exporting = None;
        Ok(Self {
            server,
            rooms,
            knowledge,
            registry,
            metrics,
            secrets,
            reloads,
            exporting,
            flusher,
            data_dir,
            takes_over,
            done,
            drain_time,
        })
    }

    /// Where clients reach it.
    pub fn bound(&self) -> Vec<Bound> {
        self.server.bound()
    }

    /// Where the operator reaches it, if not there.
    pub fn admin_bound(&self) -> Vec<Bound> {
        self.server.admin_bound()
    }

    /// Where Open WebUI's surface is alone, if it has an address of its own.
    pub fn open_webui_bound(&self) -> Vec<Bound> {
        self.server.open_webui_bound()
    }

    /// Waits until every file that was in the plugin directory at the start is live or was refused.
    pub async fn plugins_loaded(&self) {
        self.registry.loaded().await;
    }

    /// For the demo, which fills it.
    pub fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    /// Where reloads can be asked for.
    pub fn reloads(&self) -> Reloads {
        self.reloads.0.clone()
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

    /// Serves until `shutdown`, then finishes what runs. `source` is what a reload reads. The data directory is free for the next server before
    /// that: once nothing changes it any more.
    ///
    /// # Errors
    /// When the listener is lost.
    pub async fn serve(self, source: Source, shutdown: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        let Self { server, rooms, reloads: (_, asked), flusher, data_dir, takes_over, exporting, done, drain_time, .. } = self;
        let (stop, stopped) = oneshot::channel();
        let reloading = tokio::spawn(reloading(rooms, asked, source, server.switch(), stopped));
        let (told, mut since) = oneshot::channel();
        let shutdown = async {
            shutdown.await;
            // It is read at the end.
            let _ = told.send(Instant::now());
        };
        let shutdown = shutdown.shared();
        if let Some(time) = takes_over {
            // Those that wait in the backlog are answered a little later, and not with an error because a plugin is still loading.
            tokio::select! {
                _ = tokio::time::timeout(time, server.plugins_tried()) => {}
                () = shutdown.clone() => {}
            }
        }
        let served = server.serve(shutdown).await;
        // Let go at the very end.
        let not_handed_over;
        let ended = match served {
            Ok(draining) => {
                let changes_end = draining.changes_end();
                let handover = async {
                    // A reload is a change too, and may still need the watcher.
                    changes_end.await;
                    drop(stop);
                    let ending = async {
                        match reloading.await {
                            Ok(rooms) => rooms.hand_over().await,
                            Err(error) => tracing::error!("the task that reloads failed: {error}"),
                        }
                    };
                    if tokio::time::timeout(HANDOVER_TIME, ending).await.is_err() {
                        tracing::error!(
                            "data_dir stays with this server to its end: what writes there has not ended within {HANDOVER_TIME:?}"
                        );
                        return Some(data_dir);
                    }
                    drop(data_dir);
                    tracing::info!("data_dir is free for the next server");
                    None
                };
                let (_, kept) = tokio::join!(draining.finish(), handover);
                not_handed_over = kept;
                Ok(())
            }
            Err(error) => {
                not_handed_over = Some(data_dir);
                reloading.abort();
                Err(error)
            }
        };
        // What is left of the time belongs to the hooks that no client waits for; connections have had theirs.
        let since = since.try_recv().unwrap_or_else(|_| Instant::now());
        let cut = done.drain(since + drain_time).await;
        if cut > 0 {
            tracing::warn!(cut, "calls of hooks that no client waits for did not end within `drain_time` and are cut");
        }
        flusher.finish().await;
        if let Some((stop, sending)) = exporting {
            drop(stop);
            sending.await.context("the task that sends traces failed")?;
        }
        drop(not_handed_over);
        Ok(ended?)
    }
}

/// Carries out the reloads that are asked for, one after the other, until it is stopped; gives back the rooms that are in force then.
async fn reloading(
    mut rooms: Rooms,
    mut asked: mpsc::Receiver<Asked>,
    source: Source,
    switch: Switch,
    mut stopped: oneshot::Receiver<()>,
) -> Rooms {
    loop {
        let asked = tokio::select! {
            Some(asked) = asked.recv() => asked,
            _ = &mut stopped => return rooms,
        };
        // What follows must not end with one reload. What takes effect does so at its end, so a panic before that changed nothing.
        let reloaded = tokio::select! {
            reloaded = AssertUnwindSafe(rooms.reload(&source, &switch)).catch_unwind() => Some(reloaded),
            // A file that cannot be read to its end, as on a disk of the network that is gone, does not keep the server from stopping.
            _ = &mut stopped => None,
        };
        let Some(reloaded) = reloaded else { return rooms };
        let reloaded = reloaded.unwrap_or_else(|_| Err(ReloadError::Failed("the reload panicked".into())));
        report(&rooms.metrics, &reloaded);
        // Whoever asked may have gone.
        let _ = asked.send(reloaded);
    }
}

/// Says in the log what a reload did.
fn report(metrics: &Metrics, reloaded: &Result<Reloaded, ReloadError>) {
    match reloaded {
        Ok(Reloaded { changed, needs_restart, warnings }) => {
            metrics.config_reload("applied");
            let changed: Vec<_> = changed.iter().map(|(key, change)| format!("{key} ({change})")).collect();
            let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
            tracing::info!("configuration read again; what changed: {changed}");
            if !needs_restart.is_empty() {
                tracing::warn!("these keys of the configuration need a restart: {}", needs_restart.join(", "));
            }
            for warning in warnings {
                tracing::warn!("{warning}");
            }
        }
        Err(error) => {
            metrics.config_reload("refused");
            tracing::error!("{error}");
        }
    }
}
