//! Opening the plugin directory: engine, shared limits, admission and the first scan, put together in one place.
//! A bad plugin never keeps the server from starting; an engine or a directory that cannot be used does.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::last_good::LastGood;
use super::live::Registry;
use super::scan::Scanner;
use super::watch::Watcher;
use crate::fair::Shares;
use crate::sandbox::admit::Admission;
use crate::sandbox::compile::{Cache, Compiler};
use crate::sandbox::engine::engine;
use crate::sandbox::guests::Guests;
use crate::sandbox::limiter::Budget;
use crate::sandbox::shared::{Background, Shared};
use crate::sandbox::ticker::Ticker;
use crate::sandbox::{PluginConfig, Ports, ServerLimits, capability};
use crate::telemetry::Metrics;

/// Where plugins come from and what the operator decided about them.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    pub plugin_dir: PathBuf,
    /// Compiled code is kept here.
    pub cache_dir: PathBuf,
    /// The last version of each plugin that was admitted is kept here.
    pub last_good_dir: PathBuf,
    pub plugins: BTreeMap<String, PluginConfig>,
    pub limits: ServerLimits,
    pub compiler: Compiler,
}

/// Why the sandbox cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the WebAssembly engine cannot be set up: {0}")]
    Engine(String),
    #[error("the thread that loads plugins cannot be started: {0}")]
    Thread(std::io::Error),
    #[error("no threads for plugins can be started (`limits.plugins.threads`): {0}")]
    Threads(std::io::Error),
    #[error("the directory {path} cannot be used: {cause}")]
    Directory { path: PathBuf, cause: std::io::Error },
}

impl Registry {
    /// Begins to read the directory and returns; `loaded` says when every file was tried. The watcher that comes with it reads again on
    /// every change until it is dropped.
    ///
    /// # Errors
    /// When the engine or a directory cannot be used. A bad plugin is no error: its status says why it was refused.
    pub fn open(config: RegistryConfig, ports: Ports, metrics: Arc<Metrics>) -> Result<(Arc<Self>, Watcher), OpenError> {
        let unusable = |path: &PathBuf| {
            let path = path.clone();
            move |cause| OpenError::Directory { path, cause }
        };
        std::fs::create_dir_all(&config.plugin_dir).map_err(unusable(&config.plugin_dir))?;
        let cache = Cache::new(config.cache_dir.clone(), config.compiler, config.limits.clone()).map_err(unusable(&config.cache_dir))?;
        let last_good = LastGood::open(config.last_good_dir.clone(), config.limits.last_good_bytes);
        let last_good = last_good.map_err(unusable(&config.last_good_dir))?;
        let broken = |error: wasmtime::Error| OpenError::Engine(format!("{error:#}"));
        let ServerLimits { calls, streams, model_calls, done_calls, .. } = config.limits;
        let instances = [streams, model_calls, done_calls].into_iter().fold(calls, u32::saturating_add);
        let engine = engine(instances).map_err(broken)?;
        let [permits, models, done] = [calls, model_calls, done_calls].map(|calls| Shares::new(calls as usize));
        let pushes = Arc::new(AtomicUsize::new(0));
        let runs = {
            let (held, pushes) = ([permits.clone(), models.clone(), done.clone()], pushes.clone());
            move || held.iter().any(|permits| permits.held() > 0) || pushes.load(Ordering::Relaxed) > 0
        };
        let shared = Shared {
            guests: Arc::new(Guests::start(config.limits.guest_threads()).map_err(OpenError::Threads)?),
            ticker: Arc::new(Ticker::start(&engine, runs).map_err(OpenError::Threads)?),
            engine,
            permits,
            pushes,
            streams: Shares::new(config.limits.streams as usize),
            streams_memory: Budget::new(config.limits.streams_memory),
            stream_buffer: config.limits.stream_buffer,
            models,
            models_memory: Budget::new(config.limits.model_memory),
            memory: Budget::new(config.limits.memory),
            done: Background { permits: done, memory: Budget::new(config.limits.done_memory) },
            queue_time: config.limits.queue_time,
            starve_time: config.limits.starve_time,
            metrics: metrics.clone(),
        };
        let limits = config.limits.clone();
        let registry = Arc::new(Self::new(ports.settings.clone(), config.limits.file_bytes));
        let admission = Admission::new(Arc::new(shared), cache, config.plugins, limits, capability::ALL, ports).map_err(broken)?;
        let scanner = Scanner::new(config.plugin_dir, config.limits.clone(), admission, last_good, registry.clone(), metrics);
        let watcher = Watcher::start(scanner).map_err(OpenError::Thread)?;
        Ok((registry, watcher))
    }
}
