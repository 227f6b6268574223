//! Scans of the directory: a new file is read, hashed and looked at, and queued to be admitted; a file that went away is taken out.
//! A scan compares everything with what is known, so that a lost event costs nothing but time.

mod change;
mod models;
mod restore;
mod settings;
mod words;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use self::words::{told, unreadable};
use super::desk;
use super::known::{Files, Holders, Known, Restore, pending, stamp, stem};
use super::last_good::LastGood;
use super::live::{Pending, Plugins, Registry};
use super::work::{Done, Job, Lane, Work};
use crate::files;
use crate::sandbox::admit::{Admission, own_name};
use crate::sandbox::refusal::Refusal;
use crate::sandbox::{OnFailure, PluginConfig, ServerLimits};
use crate::telemetry::Metrics;

/// What the operator decides about all plugins.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub plugins: BTreeMap<String, PluginConfig>,
    pub limits: ServerLimits,
}

/// Reads the directory and keeps what it knows of each file.
pub(super) struct Scanner {
    directory: PathBuf,
    limits: ServerLimits,
    admission: Arc<Admission>,
    last_good: LastGood,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    files: Files,
    work: Work,
    skippable: Arc<HashSet<String>>,
    listed: bool,
    loaded: bool,
}

impl Scanner {
    pub(super) fn new(
        directory: PathBuf,
        limits: ServerLimits,
        admission: Admission,
        last_good: LastGood,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
    ) -> Self {
        // The path is made canonical so that a link's target can be compared with it.
        let directory = directory.canonicalize().unwrap_or(directory);
        let skippable = skippable(&admission.configs);
        let admission = Arc::new(admission);
        desk::clear(&directory);
        let (files, work) = (Files::new(), Work::default());
        let scanner =
            Self { directory, limits, admission, last_good, registry, metrics, files, work, skippable, listed: false, loaded: false };
        scanner.publish();
        scanner
    }

    /// The pauses before a scan after a hint, and between two without one.
    pub(super) fn pauses(&self) -> (Duration, Duration) {
        (self.limits.debounce, self.limits.poll)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Reads the directory, queues what changed and publishes the rest.
    pub(super) fn scan(&mut self) {
        let found = match self.list() {
            Ok(found) => found,
            // A directory that is gone for a moment, as in a remount, takes no plugin away.
            Err(error) => return tracing::error!(directory = %self.directory.display(), %error, "the plugin directory cannot be read"),
        };
        // Every file is known before one of them is looked at: whose name is whose does not depend on their order.
        for (file, known) in &mut self.files {
            known.gone = !found.contains_key(file);
        }
        for file in found.keys() {
            if !self.files.contains_key(file) {
                self.files.insert(file.clone(), Known::found());
            }
        }
        let first = !self.listed;
        self.listed = true;
        if first {
            self.last_good.retain(|file| found.contains_key(file));
            self.publish();
        }
        for (file, path) in found {
            self.visit(&file, &path);
        }
        self.start();
        self.publish_all();
    }

    /// Says that every file was tried.
    pub(super) fn set_loaded(&self) {
        self.registry.set_loaded();
    }

    /// Waits until a file was admitted or refused, and publishes that.
    pub(super) async fn settle(&mut self) {
        let (job, done) = self.work.ended().await;
        self.settled(job, done);
        self.start();
        self.publish_all();
    }

    /// Whether every file of the first scan was tried, for the first time that it is so.
    pub(super) fn is_loaded_now(&mut self) -> bool {
        let now = !self.loaded && self.listed && !self.files.values().any(Known::is_on_its_way);
        self.loaded |= now;
        now
    }

    /// Warns of entries of the operator's file that no plugin has the name of: a misspelt name leaves a plugin with default limits.
    pub(super) fn warn_of_unused_entries(&self) {
        let live: HashSet<&str> = self.files.values().filter_map(|known| known.live.as_deref()).map(|plugin| plugin.name()).collect();
        for name in self.admission.configs.keys().filter(|name| !live.contains(name.as_str())) {
            tracing::warn!(plugin = name, "the configuration has `[plugins.{name}]`, but no plugin of that name is loaded");
        }
    }

    /// The files that may be plugins, by name. No more of them are held than may be, however many there are.
    fn list(&self) -> std::io::Result<BTreeMap<String, PathBuf>> {
        let mut found: BTreeMap<(bool, String), PathBuf> = BTreeMap::new();
        let (mut over, limit) = (false, self.limits.files);
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Hidden names are copies in progress, or directories in which mounted volumes keep their versions.
            if !name.starts_with('.') && name.ends_with(".wasm") {
                // What the operator named is not crowded out by names that come before it.
                found.insert((!self.is_wanted(stem(&name)), name), entry.path());
            }
            if found.len() > limit {
                found.pop_last();
                over = true;
            }
        }
        if over {
            tracing::error!(limit, "more plugin files than `limits.plugins.files`; those last by name are left out");
        }
        Ok(found.into_iter().map(|((_, name), path)| (name, path)).collect())
    }

    fn is_wanted(&self, stem: &str) -> bool {
        self.admission.configs.contains_key(stem) || self.admission.configs.contains_key(&own_name(stem))
    }

    /// Looks at one file if it changed, and queues it if it may become a plugin.
    fn visit(&mut self, file: &str, path: &Path) {
        let (stamp, now) = (stamp(path), Instant::now());
        if self.known(file).is_due(stamp, now)
            && let Err(refusal) = self.queue(file, path)
        {
            self.refuse(file, refusal);
        }
        if self.known(file).wants_restoring(now)
            && let Err(refusal) = self.restore(file)
        {
            self.not_restored(file, refusal);
        }
        if self.known(file).keeping.is_due(now) {
            self.keep_again(file, path);
        }
    }

    fn queue(&mut self, file: &str, path: &Path) -> Result<(), Refusal> {
        let bytes = self.read(path)?;
        let hash = HEXLOWER.encode(&Sha256::digest(&bytes));
        let known = self.known(file);
        if known.hash == hash {
            // The bytes are those that were tried last, or are on their way.
            if known.live.as_ref().is_some_and(|live| live.hash == hash) {
                known.refusal = None;
            }
            return Ok(());
        }
        self.work.cancel(file, false);
        self.known(file).hash.clone_from(&hash);
        let job = self.job(file, hash, &bytes, false)?;
        self.work.add(job);
        self.known(file).loading = true;
        Ok(())
    }

    /// What has to be done for a component that may become the plugin of a file.
    fn job(&self, file: &str, hash: String, bytes: &[u8], last_good: bool) -> Result<Job, Refusal> {
        let stem = stem(file);
        let looked = self.admission.look(stem, bytes)?;
        let (engine, cache) = (self.admission.engine(), &self.admission.cache);
        if let Some(reason) = cache.refused(engine, &hash) {
            return Err(reason.into());
        }
        let lane = if cache.has(engine, &hash) { Lane::Cached } else { Lane::Quick };
        let (file, stem, wanted) = (file.to_owned(), stem.to_owned(), self.is_wanted(stem));
        Ok(Job { file, stem, hash, looked, lane, last_good, wanted, bytes: bytes.len() })
    }

    /// Starts what there are places for.
    fn start(&mut self) {
        while let Some(job) = self.work.next(self.limits.compiles) {
            let is_kept = job.last_good || self.last_good.hash(&job.file) == Some(&*job.hash);
            if job.lane == Lane::Cached && is_kept {
                self.work.start(self.admission.clone(), job, Vec::new());
                continue;
            }
            // Only now, so that a long queue holds no bytes.
            let bytes = if job.last_good {
                self.last_good.read(&job.file, self.limits.file_bytes).map(Option::unwrap_or_default).map_err(unreadable)
            } else {
                self.read(&self.directory.join(&job.file))
            };
            match bytes {
                Ok(bytes) if HEXLOWER.encode(&Sha256::digest(&bytes)) == job.hash => self.work.start(self.admission.clone(), job, bytes),
                // It was damaged meanwhile, and is gone.
                Ok(_) if job.last_good => self.known(&job.file).restore = Restore::Over(None),
                // It has changed; the next scan looks at it.
                Ok(_) => (self.known(&job.file).stamp, self.known(&job.file).hash) = (None, String::new()),
                Err(refusal) if job.last_good => self.not_restored(&job.file, refusal),
                Err(refusal) => self.refuse(&job.file, refusal),
            }
        }
    }

    fn settled(&mut self, job: Job, done: Done) {
        if job.last_good {
            return self.last_good_settled(job, done);
        }
        if self.files.get(&job.file).is_none_or(|known| known.hash != job.hash) {
            return;
        }
        match done {
            Done::Aborted => {}
            Done::Again(lane) => self.work.add(Job { lane, ..job }),
            Done::Refused(refusal) => self.refuse(&job.file, refusal),
            Done::Admitted(plugin, bytes) => {
                let (file, hash) = (job.file, job.hash);
                tracing::info!(file, plugin = plugin.name(), version = &*plugin.callee.version, hash, "plugin loaded");
                self.work.cancel(&file, true);
                self.known(&file).admitted(*plugin);
                self.metrics.plugin_load("loaded");
                // Before it is published: whoever sees that it is live may rely on it.
                self.keep(&file, &hash, &bytes);
                // Its settings may have changed while it was on its way.
                self.relink(&file);
            }
        }
    }

    /// Bytes of a regular file inside the directory, read once; only these bytes are used from here on.
    fn read(&self, path: &Path) -> Result<Vec<u8>, Refusal> {
        files::open_within(&self.directory, path).and_then(|file| files::read(&file, self.limits.file_bytes)).map_err(unreadable)
    }

    fn refuse(&mut self, file: &str, refusal: Refusal) {
        let (poll, now) = (self.limits.poll, Instant::now());
        let (reason, again) = told(refusal);
        if again {
            tracing::error!(file, reason, "plugin file cannot be loaded now");
        } else {
            tracing::error!(file, reason, "plugin file refused");
        }
        self.metrics.plugin_load(if again { "failed" } else { "refused" });
        let known = self.known(file);
        known.refused(reason);
        if again {
            known.try_again(poll, now);
        }
    }

    fn known(&mut self, file: &str) -> &mut Known {
        self.files.entry(file.to_owned()).or_default()
    }

    /// Publishes, takes out the files that are gone, and removes code that nobody needs.
    fn publish_all(&mut self) {
        // A plugin whose file was renamed serves until the new file was tried.
        let successor = |gone: &str, files: &Files| {
            let name = own_name(stem(gone));
            files.iter().any(|(file, known)| !known.gone && known.is_on_its_way() && own_name(stem(file)) == name)
        };
        let over: Vec<String> =
            self.files.iter().filter(|(file, known)| known.gone && !successor(file, &self.files)).map(|(file, _)| file.clone()).collect();
        for file in over {
            self.work.cancel(&file, false);
            self.work.cancel(&file, true);
            self.last_good.remove(&file);
            if let Some(plugin) = self.files.remove(&file).and_then(|known| known.live) {
                tracing::info!(file, plugin = plugin.name(), "plugin removed");
            }
        }
        Holders::of(&self.files).log(&mut self.files);
        self.publish();
        let live = self.files.values().filter_map(|known| known.live.as_deref()).map(|plugin| plugin.hash.as_str());
        let on_its_way = self.files.values().filter(|known| known.loading).map(|known| known.hash.as_str());
        self.admission
            .cache
            .need(live.chain(on_its_way).chain(self.work.hashes()).chain(self.last_good.hashes()).map(str::to_owned).collect());
        if let Err(error) = self.admission.cache.prune() {
            tracing::warn!(%error, "old compiled code cannot be removed");
        }
    }

    fn publish(&self) {
        let holders = Holders::of(&self.files);
        let status = holders.status(&self.files);
        let by_name = holders.plugins.into_iter().map(|plugin| (plugin.callee.name.clone(), plugin)).collect();
        let pending = if self.listed { pending(&self.files) } else { Pending::All };
        self.registry.publish(Plugins { by_name, skippable: self.skippable.clone(), pending }, status);
    }
}

/// Names whose `on_failure` is `skip`.
fn skippable(configs: &BTreeMap<String, PluginConfig>) -> Arc<HashSet<String>> {
    let skip = |(name, config): (&String, &PluginConfig)| (config.on_failure == OnFailure::Skip).then(|| name.clone());
    Arc::new(configs.iter().filter_map(skip).collect())
}
