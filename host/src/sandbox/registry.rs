//! The plugin directory and what of it is live: scan, compare, admit, publish by swapping one `Arc`.
//! A bad file never replaces a good one, and who holds a snapshot keeps its versions. Must not know pipelines.

mod scan;
mod watch;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use super::admit::Admission;
use super::compile::{Cache, Compiler};
use super::engine::engine;
use super::limiter::Budget;
use super::plugin::{Plugin, Shared};
use super::{Fault, FaultKind, OnFailure, PluginConfig, PluginStatus, ServerLimits};
use crate::telemetry::Metrics;

pub use watch::Watcher;

/// Where plugins come from and what the operator decided about them.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    pub plugin_dir: PathBuf,
    /// Compiled code is kept here.
    pub cache_dir: PathBuf,
    pub plugins: BTreeMap<String, PluginConfig>,
    pub limits: ServerLimits,
    pub compiler: Compiler,
}

/// Why the room cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the WebAssembly engine cannot be set up: {0}")]
    Engine(String),
    #[error("the directory {path} cannot be used: {cause}")]
    Directory { path: PathBuf, cause: std::io::Error },
}

/// The live plugins by name: one immutable set, held by an exchange from its start to its end.
#[derive(Default)]
pub struct Plugins {
    by_name: HashMap<Arc<str>, Arc<Plugin>>,
    /// Names whose `on_failure` is `skip`, loaded or not.
    skippable: Arc<HashSet<String>>,
}

impl Plugins {
    /// # Errors
    /// A fault of kind `NotLoaded`, for `hook`.
    pub fn get(&self, name: &str, hook: &'static str) -> Result<&Arc<Plugin>, Fault> {
        let missing = || Fault { plugin: name.into(), version: "unknown".into(), hook, kind: FaultKind::NotLoaded };
        self.by_name.get(name).ok_or_else(missing)
    }

    pub fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// What a fault of that plugin does to a request; also for a plugin that is not there.
    pub fn on_failure(&self, name: &str) -> OnFailure {
        if self.skippable.contains(name) { OnFailure::Skip } else { OnFailure::Reject }
    }
}

/// The plugins of one directory.
pub struct Registry {
    live: ArcSwap<Plugins>,
    status: ArcSwap<Vec<PluginStatus>>,
}

impl Registry {
    /// Reads the directory once, then returns; the watcher that comes with it reads again on every change until it is dropped.
    ///
    /// # Errors
    /// When the engine or a directory cannot be used. A bad plugin is no error: its status says why it was refused.
    pub async fn open(config: RegistryConfig, metrics: Arc<Metrics>) -> Result<(Arc<Self>, Watcher), OpenError> {
        let unusable = |path: &PathBuf| {
            let path = path.clone();
            move |cause| OpenError::Directory { path, cause }
        };
        std::fs::create_dir_all(&config.plugin_dir).map_err(unusable(&config.plugin_dir))?;
        let cache = Cache::new(config.cache_dir.clone(), config.compiler, config.limits.clone()).map_err(unusable(&config.cache_dir))?;
        let broken = |error: wasmtime::Error| OpenError::Engine(format!("{error:#}"));
        let room = Shared {
            engine: engine(config.limits.calls).map_err(broken)?,
            permits: Arc::new(Semaphore::new(config.limits.calls as usize)),
            memory: Budget::new(config.limits.memory),
            queue_time: config.limits.queue_time,
            metrics: metrics.clone(),
        };
        let admission = Admission::new(Arc::new(room), cache, config.plugins, config.limits.calls_per_plugin).map_err(broken)?;
        let registry = Arc::new(Self { live: ArcSwap::default(), status: ArcSwap::default() });
        let scanner = scan::Scanner::new(config.plugin_dir, config.limits.clone(), admission, registry.clone(), metrics);
        let watcher = Watcher::start(scanner, &config.limits).await;
        Ok((registry, watcher))
    }

    /// The plugins as they are now.
    pub fn snapshot(&self) -> Arc<Plugins> {
        self.live.load_full()
    }

    /// Every file of the directory and what became of it, by file name.
    pub fn status(&self) -> Arc<Vec<PluginStatus>> {
        self.status.load_full()
    }

    fn publish(&self, plugins: Plugins, status: Vec<PluginStatus>) {
        self.live.store(Arc::new(plugins));
        self.status.store(Arc::new(status));
    }
}
