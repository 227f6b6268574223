//! What operators set through the API, of all plugins: read from its store once, held in memory, and changed in the store first.
//! Whoever loads plugins is told of each change, because a plugin that was refused for its settings may fit now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde_json::{Map, Value};
use tokio::sync::{MutexGuard, Notify};

use super::store::{Expected, PluginStore, Put, StoreError};

/// What is kept of one plugin's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptSettings {
    pub version: u64,
    pub values: Map<String, Value>,
}

/// All of them, by the plugins' names.
pub struct Book {
    store: Arc<dyn PluginStore>,
    kept: RwLock<BTreeMap<String, Arc<KeptSettings>>>,
    /// Held by whoever changes the store, so that changes reach the memory in the order of their versions.
    writing: tokio::sync::Mutex<()>,
    /// Plugins whose settings have changed since somebody looked.
    changed: Mutex<BTreeSet<String>>,
    hint: Notify,
    /// Another server has the store.
    closed: AtomicBool,
}

/// The right to change what is kept.
pub(super) struct Writing<'a> {
    book: &'a Book,
    _turn: MutexGuard<'a, ()>,
}

impl Book {
    /// Reads what is kept.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn open(store: Arc<dyn PluginStore>) -> Result<Self, StoreError> {
        let mut kept = BTreeMap::new();
        for (plugin, of_it) in store.all().await? {
            // Only this file writes there; what another program left must not keep the server from starting.
            match serde_json::from_str(&of_it.json) {
                Ok(values) => drop(kept.insert(plugin, Arc::new(KeptSettings { version: of_it.version, values }))),
                Err(error) => tracing::error!(plugin, %error, "what is kept of the plugin's settings is no JSON object, and is left out"),
            }
        }
        let (writing, changed) = (tokio::sync::Mutex::default(), Mutex::default());
        Ok(Self { store, kept: RwLock::new(kept), writing, changed, hint: Notify::new(), closed: AtomicBool::new(false) })
    }

    pub(in crate::sandbox) fn of(&self, plugin: &str) -> Option<Arc<KeptSettings>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).get(plugin).cloned()
    }

    /// Waits for a change.
    pub(in crate::sandbox) async fn hint(&self) {
        self.hint.notified().await;
    }

    /// The plugins whose settings have changed since this was called last.
    pub(in crate::sandbox) fn take_changed(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) async fn writing(&self) -> Writing<'_> {
        Writing { _turn: self.writing.lock().await, book: self }
    }

    /// Waits for changes under way, whose clients may have left, and takes no more: another server has the store next.
    pub(in crate::sandbox) async fn close(&self) {
        let _turn = self.writing.lock().await;
        self.closed.store(true, Ordering::Relaxed);
    }

    fn put(&self, plugin: &str, kept: Option<KeptSettings>) {
        let mut all = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        match kept {
            Some(kept) => drop(all.insert(plugin.to_owned(), Arc::new(kept))),
            None => drop(all.remove(plugin)),
        }
        drop(all);
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(plugin.to_owned());
        self.hint.notify_one();
    }
}

impl Writing<'_> {
    fn open(&self) -> Result<(), StoreError> {
        if self.book.closed.load(Ordering::Relaxed) { Err(StoreError("the server is stopping".to_owned())) } else { Ok(()) }
    }

    /// When this returns, a killed process loses nothing of it.
    pub(super) async fn keep(&self, plugin: &str, values: Map<String, Value>) -> Result<(), StoreError> {
        self.open()?;
        let json = Value::Object(values.clone()).to_string();
        match self.book.store.put(plugin, &json, Expected::Anything).await? {
            Put::Kept { version } => self.book.put(plugin, Some(KeptSettings { version, values })),
            Put::Other { found } => return Err(StoreError(format!("anything was expected, and version {found:?} is not that"))),
        }
        Ok(())
    }

    pub(super) async fn forget(&self, plugin: &str) -> Result<(), StoreError> {
        self.open()?;
        self.book.store.delete(plugin).await?;
        self.book.put(plugin, None);
        Ok(())
    }
}
