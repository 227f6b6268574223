//! One scan of the directory: a new file is read once, hashed and admitted; a file that went away is taken out.
//! A scan compares everything with what is known, so that a lost event costs nothing but time.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::live::{PluginStatus, Plugins, Registry};
use crate::sandbox::admit::Admission;
use crate::sandbox::plugin::Plugin;
use crate::sandbox::refusal::Refusal;
use crate::sandbox::{OnFailure, PluginConfig, ServerLimits};
use crate::telemetry::Metrics;

/// How often a file is tried that fails for a reason of the machine's.
const TRIES_MAX: u8 = 3;

/// Reads the directory and keeps what it knows of each file.
pub(super) struct Scanner {
    directory: PathBuf,
    limits: ServerLimits,
    admission: Admission,
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    files: BTreeMap<String, Known>,
    skippable: Arc<HashSet<String>>,
}

/// What is known of one file.
#[derive(Default)]
struct Known {
    stamp: Option<Stamp>,
    /// The hash of the bytes that were tried last.
    hash: String,
    live: Option<Arc<Plugin>>,
    refusal: Option<String>,
    compiling: bool,
    /// Its file is no longer there.
    gone: bool,
    /// It was refused because another file has its plugin's name.
    name_taken: bool,
    /// Tries of these bytes that failed for a reason of the machine's.
    tries: u8,
}

/// What changes when a file changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<std::time::SystemTime>,
    #[cfg(unix)]
    inode: (u64, i64, i64),
}

impl Scanner {
    pub(super) fn new(
        directory: PathBuf,
        limits: ServerLimits,
        admission: Admission,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
    ) -> Self {
        // The path is made canonical so that a link's target can be compared with it.
        let directory = directory.canonicalize().unwrap_or(directory);
        let skip = |(name, config): (&String, &PluginConfig)| (config.on_failure == OnFailure::Skip).then(|| name.clone());
        let skippable = Arc::new(admission.configs.iter().filter_map(skip).collect());
        Self { directory, limits, admission, registry, metrics, files: BTreeMap::new(), skippable }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Reads the directory and publishes what changed.
    pub(super) async fn scan(&mut self) {
        let found = match self.list() {
            Ok(found) => found,
            // A directory that is gone for a moment, as in a remount, takes no plugin away.
            Err(error) => return tracing::error!(directory = %self.directory.display(), %error, "the plugin directory cannot be read"),
        };
        // A plugin whose file was renamed serves until the new file is admitted, so gone files are removed at the end of the scan.
        self.files.iter_mut().for_each(|(file, known)| known.gone = !found.iter().any(|(name, _)| name == file));
        let mut changed = false;
        for (file, path) in found {
            changed |= self.visit(file, &path).await;
        }
        changed |= self.remove_gone();
        if changed || self.files.is_empty() {
            self.publish();
            let live: HashSet<&str> =
                self.files.values().filter_map(|known| known.live.as_deref()).map(|plugin| plugin.hash.as_str()).collect();
            if let Err(error) = self.admission.cache.prune(&live) {
                tracing::warn!(%error, "old compiled code cannot be removed");
            }
        }
    }

    /// Warns of entries of the operator's file that no plugin has the name of: a misspelt name leaves a plugin with default limits.
    pub(super) fn warn_of_unused_entries(&self) {
        let live: HashSet<&str> = self.files.values().filter_map(|known| known.live.as_deref()).map(|plugin| plugin.name()).collect();
        for name in self.admission.configs.keys().filter(|name| !live.contains(name.as_str())) {
            tracing::warn!(plugin = name, "the configuration has `[plugins.{name}]`, but no plugin of that name is loaded");
        }
    }

    /// Takes out the files that are gone; returns whether there were any.
    fn remove_gone(&mut self) -> bool {
        let before = self.files.len();
        self.files.retain(|file, known| {
            if let (true, Some(plugin)) = (known.gone, &known.live) {
                tracing::info!(file, plugin = plugin.name(), "plugin removed");
            }
            !known.gone
        });
        let changed = before != self.files.len();
        if changed {
            self.retry_taken_names();
        }
        changed
    }

    /// Has the next scan try again the files that were refused because their name was taken.
    fn retry_taken_names(&mut self) {
        let refused = self.files.values_mut().filter(|known| known.name_taken);
        refused.for_each(|known| (known.stamp, known.hash) = (None, String::new()));
    }

    /// The files that may be plugins, by name.
    fn list(&self) -> std::io::Result<Vec<(String, PathBuf)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Hidden names are copies in progress, or directories in which mounted volumes keep their versions.
            if !name.starts_with('.') && name.ends_with(".wasm") {
                found.push((name, entry.path()));
            }
        }
        found.sort();
        if found.len() > self.limits.files {
            let limit = self.limits.files;
            tracing::error!(limit, "more plugin files than `limits.plugins.files`; those last by name are left out");
            found.truncate(limit);
        }
        Ok(found)
    }

    /// Looks at one file; returns whether anything is to be published.
    async fn visit(&mut self, file: String, path: &Path) -> bool {
        let stamp = stamp(path);
        let known = self.files.entry(file.clone()).or_default();
        if known.stamp.is_some() && known.stamp == stamp {
            return false;
        }
        known.stamp = stamp;
        let bytes = match self.read(path) {
            Ok(bytes) => bytes,
            Err(reason) => {
                self.refuse(&file, reason);
                return true;
            }
        };
        let hash = HEXLOWER.encode(&Sha256::digest(&bytes));
        let known = self.files.entry(file.clone()).or_default();
        if known.hash == hash {
            let runs = known.live.as_ref().is_some_and(|live| live.hash == hash);
            return runs && known.refusal.take().is_some();
        }
        known.hash.clone_from(&hash);
        known.compiling = true;
        self.publish();
        let stem = file.strip_suffix(".wasm").unwrap_or(&file).to_owned();
        let admitted = match self.admission.admit(&stem, &bytes, &hash).await {
            Ok(plugin) => self.unique(&file, plugin),
            Err(refusal) => Err(refusal),
        };
        let known = self.files.entry(file.clone()).or_default();
        known.compiling = false;
        match admitted {
            Err(Refusal::Transient(reason)) => {
                known.tries += 1;
                if known.tries < TRIES_MAX {
                    // The file counts as unknown again, so that the next scan tries it, at the latest the next poll.
                    (known.stamp, known.hash) = (None, String::new());
                }
                self.refuse(&file, reason);
            }
            Err(Refusal::Invalid(reason)) => self.refuse(&file, reason),
            Ok(plugin) => {
                tracing::info!(file, plugin = plugin.name(), version = &*plugin.callee.version, hash, "plugin loaded");
                self.metrics.plugin_load("loaded");
                let renamed = known.live.as_ref().is_some_and(|before| before.name() != plugin.name());
                known.live = Some(Arc::new(plugin));
                known.refusal = None;
                known.tries = 0;
                if renamed {
                    self.retry_taken_names();
                }
                self.publish();
            }
        }
        true
    }

    /// Bytes of a regular file inside the directory, read once; only these bytes are used from here on.
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let target = path.canonicalize().map_err(|e| format!("the file cannot be opened: {e}"))?;
        if !target.starts_with(&self.directory) {
            return Err("the file is a link to a place outside the plugin directory; copy the component itself".into());
        }
        // This comes before opening, because opening a pipe would wait for somebody to write to it.
        if !std::fs::metadata(&target).is_ok_and(|data| data.is_file()) {
            return Err("this is not a regular file".into());
        }
        let file = std::fs::File::open(&target).map_err(|e| format!("the file cannot be opened: {e}"))?;
        let mut bytes = Vec::new();
        let limit = self.limits.file_bytes;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, limit + 1), &mut bytes)
            .map_err(|e| format!("the file cannot be read: {e}"))?;
        if bytes.len() as u64 > limit {
            return Err(format!("the file is larger than {limit} bytes (raise `limits.plugins.file_bytes`)"));
        }
        Ok(bytes)
    }

    /// A name belongs to the file that had it first.
    fn unique(&mut self, file: &str, plugin: Plugin) -> Result<Plugin, Refusal> {
        let has_name = |known: &Known| !known.gone && known.live.as_ref().is_some_and(|live| live.name() == plugin.name());
        let holder = self.files.iter().find(|(other, known)| *other != file && has_name(known)).map(|(other, _)| other.clone());
        let name_taken = holder.is_some();
        self.files.entry(file.to_owned()).or_default().name_taken = name_taken;
        match holder {
            Some(other) => Err(format!("{other} has the name `{}` already; remove one of the two files", plugin.name()).into()),
            None => Ok(plugin),
        }
    }

    fn refuse(&mut self, file: &str, reason: String) {
        tracing::error!(file, reason, "plugin file refused");
        self.metrics.plugin_load("refused");
        self.files.entry(file.to_owned()).or_default().refusal = Some(reason);
    }

    fn publish(&self) {
        // Plugins whose file is gone come first, so that a file that took over the name replaces them.
        let (gone, there): (Vec<&Known>, Vec<&Known>) = self.files.values().partition(|known| known.gone);
        let live = gone.into_iter().chain(there).filter_map(|known| known.live.clone());
        let by_name = live.map(|plugin| (plugin.callee.name.clone(), plugin)).collect();
        let plugins = Plugins { by_name, skippable: self.skippable.clone() };
        self.registry.publish(plugins, self.files.iter().map(|(file, known)| known.status(file)).collect());
    }
}

impl Known {
    fn status(&self, file: &str) -> PluginStatus {
        let live = self.live.as_ref();
        PluginStatus {
            name: live.map_or_else(|| file.trim_end_matches(".wasm").to_owned(), |plugin| plugin.name().to_owned()),
            version: live.map(|plugin| plugin.callee.version.to_string()),
            summary: live.and_then(|plugin| plugin.summary.clone()),
            file: file.to_owned(),
            hash: live.map(|plugin| plugin.hash.clone()),
            hooks: live.map(|plugin| plugin.hooks()).unwrap_or_default(),
            state: match (self.compiling, live.is_some(), self.refusal.is_some()) {
                (true, ..) => "compiling",
                (_, true, true) => "stale",
                (_, true, false) => "live",
                (_, false, _) => "refused",
            },
            reason: self.refusal.clone(),
            config_schema: live.and_then(|plugin| plugin.config_schema.clone()),
        }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let data = std::fs::metadata(path).ok()?;
    Some(Stamp {
        bytes: data.len(),
        modified: data.modified().ok(),
        #[cfg(unix)]
        inode: {
            use std::os::unix::fs::MetadataExt;
            (data.ino(), data.ctime(), data.ctime_nsec())
        },
    })
}
