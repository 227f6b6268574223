//! What is live: the set of plugins, swapped whole, and what became of each file.
//! Who holds a snapshot keeps its versions until it lets go of it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::change::Desk;
use crate::sandbox::plugin::Plugin;
use crate::sandbox::settings::{self, Book, ChangeError, SettingsView, StoreError};
use crate::sandbox::{Fault, FaultKind, Hook, ModelInfo, OnFailure};

/// The live plugins by name: one immutable set, held by an exchange from its start to its end.
#[derive(Default)]
pub struct Plugins {
    pub(super) by_name: HashMap<Arc<str>, Arc<Plugin>>,
    /// Names whose `on_failure` is `skip`, loaded or not.
    pub(super) skippable: Arc<HashSet<String>>,
    pub(super) pending: Pending,
}

/// Plugins of which nobody knows yet whether they are any good. One of these is not missing, so it is not skipped either.
#[derive(Debug)]
pub(super) enum Pending {
    /// The directory was not read yet.
    All,
    Some {
        /// Not tried yet.
        new: HashSet<String>,
        /// Tried, and the machine was at fault that it came to nothing.
        failed: HashSet<String>,
    },
}

/// The plugins of one directory under one configuration. Once there is a later one, this one no longer changes.
pub struct Registry {
    live: ArcSwap<Plugins>,
    /// Of the files, whatever is configured, so that who waits for one hears of it also after a reload.
    status: Arc<ArcSwap<Vec<PluginStatus>>>,
    /// Whether every file that was there at the start was tried.
    loaded: watch::Sender<bool>,
    settings: Arc<Book>,
    /// Told of each publication.
    changed: watch::Sender<()>,
    /// Where changes of the directory are handed in.
    desk: Arc<OnceLock<Desk>>,
    file_bytes: u64,
}

/// One line of `GET /api/v1/plugins`.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginStatus {
    /// The plugin's own name; the file's stem if it could not be read.
    pub name: String,
    pub version: Option<String>,
    pub summary: Option<String>,
    /// File name inside the plugin directory.
    pub file: String,
    /// SHA-256 of the live component in hex; none if nothing is live.
    pub hash: Option<String>,
    /// `pre_hook`, `post_hook`, `stream_hook`, `model`, `embed`, `done_hook`.
    pub hooks: Vec<&'static str>,
    /// `live`: the file as it is runs. `stale`: an older version runs, the file was refused. `refused`: nothing runs. `compiling`: on its way.
    pub state: &'static str,
    /// Why the file was refused, and what to do.
    pub reason: Option<String>,
    /// The machine was at fault that the file is not live, and it is tried again by itself.
    pub tried_again: bool,
    /// The JSON Schema of its configuration.
    pub config_schema: Option<String>,
    /// What its hooks are handed, in words of the contract; none for everything, or if nothing is live.
    pub reads: Option<Vec<String>>,
    /// What its hooks may change.
    pub writes: Option<Vec<String>>,
}

impl Plugins {
    /// The plugin of that name, which has a place in the stage of that hook: of those in `post_hook`, some have a stream hook or a done-hook only.
    ///
    /// # Errors
    /// A fault of kind `NotLoaded`, `Loading` or `NoHook`.
    pub fn get(&self, name: &str, hook: Hook) -> Result<&Arc<Plugin>, Fault> {
        let fault = |version: &str, kind| Fault { plugin: name.into(), version: version.into(), hook, kind };
        match self.by_name.get(name) {
            Some(plugin) if plugin.serves(hook) => Ok(plugin),
            Some(plugin) => Err(fault(&plugin.callee.version, FaultKind::NoHook)),
            None => {
                let failed = matches!(&self.pending, Pending::Some { failed, .. } if failed.contains(name));
                let kind = if failed || self.is_loading(name) { FaultKind::Loading } else { FaultKind::NotLoaded };
                Err(fault("unknown", kind))
            }
        }
    }

    /// All that are live, by name.
    pub fn all(&self) -> Vec<Arc<Plugin>> {
        let mut all: Vec<_> = self.by_name.values().cloned().collect();
        all.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        all
    }

    /// The live plugin of that name, whatever it does.
    pub fn find(&self, name: &str) -> Option<&Arc<Plugin>> {
        self.by_name.get(name)
    }

    /// The models of all plugins that are models, each with its name `PLUGIN` or `PLUGIN/ID`, in the order of these.
    pub fn models(&self) -> Vec<(String, ModelInfo)> {
        let named = |plugin: &Arc<Plugin>| {
            let name = |id: &str| if id.is_empty() { plugin.name().to_owned() } else { format!("{}/{id}", plugin.name()) };
            plugin.models().into_iter().map(|model| (name(&model.id), model)).collect::<Vec<_>>()
        };
        let mut models: Vec<_> = self.by_name.values().flat_map(named).collect();
        models.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        models
    }

    /// Looks for the model `PLUGIN` or `PLUGIN/ID`.
    ///
    /// # Errors
    /// As `get`, and `NoModel`.
    pub fn check_model(&self, model: &str) -> Result<(), Fault> {
        let (name, id) = model.split_once('/').unwrap_or((model, ""));
        let plugin = self.get(name, Hook::Answer)?;
        let fault = |kind| Fault { plugin: name.into(), version: plugin.callee.version.clone(), hook: Hook::Answer, kind };
        plugin.model.as_ref().map_or(Ok(()), |models| models.check(id)).map_err(fault)
    }

    /// Whether no plugin of that name is live, and a file that may be it is still to be tried.
    pub fn is_loading(&self, name: &str) -> bool {
        !self.by_name.contains_key(name)
            && match &self.pending {
                Pending::All => true,
                Pending::Some { new, .. } => new.contains(name),
            }
    }

    /// What a fault does to a request, also one of a plugin that is not there.
    pub fn on_failure(&self, fault: &Fault) -> OnFailure {
        let skips = fault.kind.is_the_plugins_own() && self.skippable.contains(&*fault.plugin);
        if skips { OnFailure::Skip } else { OnFailure::Reject }
    }
}

/// What a task that changes settings came to.
async fn done<T>(task: JoinHandle<Result<T, ChangeError>>) -> Result<T, ChangeError> {
    task.await.unwrap_or_else(|error| Err(StoreError(format!("the task that changes settings failed: {error}")).into()))
}

impl Default for Pending {
    fn default() -> Self {
        Self::Some { new: HashSet::new(), failed: HashSet::new() }
    }
}

impl Registry {
    pub(super) fn new(settings: Arc<Book>, file_bytes: u64) -> Self {
        Self {
            live: ArcSwap::default(),
            status: Arc::default(),
            loaded: watch::Sender::default(),
            settings,
            changed: watch::Sender::default(),
            desk: Arc::default(),
            file_bytes,
        }
    }

    /// The settings of a live plugin, secrets masked.
    ///
    /// # Errors
    /// `NoPlugin`.
    pub fn settings(&self, name: &str) -> Result<SettingsView, ChangeError> {
        let plugin = self.live_plugin(name).ok_or_else(|| ChangeError::NoPlugin(name.to_owned()))?;
        Ok(settings::view(name, &plugin.callee.settings, &self.settings))
    }

    /// Waits for changes of settings that are under way, and takes no more.
    pub async fn hand_over(&self) {
        self.settings.close().await;
    }

    /// Changes the settings of a live plugin; the next call sees them. It is done to its end, even if nobody waits for it any more.
    ///
    /// # Errors
    /// As `ChangeError` says; nothing was changed.
    pub async fn put_settings(self: &Arc<Self>, name: &str, sent: Map<String, Value>) -> Result<SettingsView, ChangeError> {
        let plugin = self.live_plugin(name).ok_or_else(|| ChangeError::NoPlugin(name.to_owned()))?;
        let (registry, name) = (self.clone(), name.to_owned());
        done(tokio::spawn(async move {
            settings::put(&name, &plugin.callee.settings, &registry.settings, sent).await?;
            registry.refresh_settings();
            registry.settings(&name)
        }))
        .await
    }

    /// What the host keeps beside a plugin's settings, which the plugin does not see.
    pub fn beside(&self, name: &str) -> Option<Map<String, Value>> {
        self.settings.of(&settings::beside(name)).map(|kept| kept.values.clone())
    }

    /// Keeps that in place of what was kept beside the settings of a live plugin. It is done to its end, even if nobody waits for it any more.
    ///
    /// # Errors
    /// As `ChangeError` says; nothing was changed.
    pub async fn put_beside(self: &Arc<Self>, name: &str, values: Map<String, Value>) -> Result<(), ChangeError> {
        self.live_plugin(name).ok_or_else(|| ChangeError::NoPlugin(name.to_owned()))?;
        let (registry, beside) = (self.clone(), settings::beside(name));
        done(tokio::spawn(async move { settings::put_beside(&beside, &registry.settings, values).await })).await
    }

    /// Forgets what was set through the API.
    ///
    /// # Errors
    /// As `ChangeError` says; nothing was changed.
    pub async fn delete_settings(self: &Arc<Self>, name: &str) -> Result<(), ChangeError> {
        let (registry, name) = (self.clone(), name.to_owned());
        done(tokio::spawn(async move {
            let plugin = registry.live_plugin(&name);
            settings::delete(&name, plugin.as_ref().map(|plugin| &plugin.callee.settings), &registry.settings).await?;
            registry.refresh_settings();
            Ok(())
        }))
        .await
    }

    fn live_plugin(&self, name: &str) -> Option<Arc<Plugin>> {
        self.snapshot().by_name.get(name).cloned()
    }

    /// Every live plugin takes over what is kept. Done after each change of either, so that neither is missed.
    fn refresh_settings(&self) {
        self.snapshot().by_name.values().for_each(|plugin| plugin.refresh_settings(&self.settings));
    }

    /// Bytes that a file may have.
    pub fn file_bytes(&self) -> usize {
        usize::try_from(self.file_bytes).unwrap_or(usize::MAX)
    }

    /// The plugins as they are now.
    pub fn snapshot(&self) -> Arc<Plugins> {
        self.live.load_full()
    }

    /// Every file of the directory and what became of it, by file name.
    pub fn status(&self) -> Arc<Vec<PluginStatus>> {
        self.status.load_full()
    }

    /// Waits until every file that was there when the registry was opened is live or was refused.
    pub async fn loaded(&self) {
        // It ends early only with the registry, which the caller holds.
        let _ = self.loaded.subscribe().wait_for(|loaded| *loaded).await;
    }

    /// The registry of the next configuration, which begins with the same plugins.
    pub(super) fn renewed(&self, file_bytes: u64) -> Self {
        let Self { live: _, status, loaded, settings, changed, desk, file_bytes: _ } = self;
        let (status, loaded, settings) = (status.clone(), loaded.clone(), settings.clone());
        let (changed, desk) = (changed.clone(), desk.clone());
        Self { live: ArcSwap::new(self.snapshot()), status, loaded, settings, changed, desk, file_bytes }
    }

    pub(super) fn publish(&self, plugins: Plugins, status: Vec<PluginStatus>) {
        self.live.store(Arc::new(plugins));
        self.refresh_settings();
        self.status.store(Arc::new(status));
        self.changed.send_replace(());
    }

    /// Tells of what is published from now on, and of what is there.
    pub(super) fn changed(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn desk(&self) -> Option<&Desk> {
        self.desk.get()
    }

    /// The loader takes changes from there.
    pub(super) fn set_desk(&self, desk: Desk) {
        // There is one loader.
        let _ = self.desk.set(desk);
    }

    pub(super) fn set_loaded(&self) {
        self.loaded.send_replace(true);
    }
}
