//! What each plugin keeps, and all of them: known without counting rows. The file has the same sums, written in the transaction that changes
//! the rows, so that another server that has the file reads them in place of its own.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;

use super::rows::{self, Used};
use crate::sandbox::kv::{KvError, Quota};

#[derive(Default)]
pub(super) struct Sums {
    used: HashMap<Arc<str>, Used>,
    total: u64,
    /// Those whose sums are other than in the file.
    changed: HashSet<Arc<str>>,
    /// What SQLite calls the state in which others left the file (`PRAGMA data_version`) when the sums were read.
    read_at: i64,
}

impl Sums {
    /// Takes over what is in the file.
    pub(super) fn read(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        // Before the sums: what others change between the two is then read again.
        let read_at = rows::data_version(connection)?;
        self.used = rows::kept_sums(connection)?;
        self.total = self.used.values().map(|used| used.bytes).sum();
        self.changed.clear();
        self.read_at = read_at;
        Ok(())
    }

    /// The same if another server has changed the file. Inside a transaction, before it changes anything.
    pub(super) fn refresh(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if rows::data_version(connection)? == self.read_at { Ok(()) } else { self.read(connection) }
    }

    /// Writes what has changed, at the end of the transaction.
    pub(super) fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for plugin in self.changed.drain() {
            rows::keep_sum(connection, &plugin, self.used.get(&plugin).copied().unwrap_or_default())?;
        }
        Ok(())
    }

    /// One more row.
    pub(super) fn add(&mut self, plugin: &Arc<str>, bytes: u64) {
        let used = self.used.entry(plugin.clone()).or_default();
        used.bytes += bytes;
        used.keys += 1;
        self.total += bytes;
        self.changed.insert(plugin.clone());
    }

    /// One row less.
    pub(super) fn forget(&mut self, plugin: &Arc<str>, bytes: u64) {
        self.total = self.total.saturating_sub(bytes);
        self.changed.insert(plugin.clone());
        if let Some(used) = self.used.get_mut(plugin) {
            used.bytes = used.bytes.saturating_sub(bytes);
            used.keys = used.keys.saturating_sub(1);
            if used.keys == 0 {
                self.used.remove(plugin);
            }
        }
    }

    /// Whether a row of `after` bytes fits in place of one of `before`, if there is one. One that is no larger always does: a quota that was
    /// made smaller must not keep a plugin from making do with less. `max` is what all plugins may keep together.
    pub(super) fn room(&self, plugin: &str, before: Option<u64>, after: u64, quota: Quota, max: u64) -> Result<(), KvError> {
        let used = self.used.get(plugin).copied().unwrap_or_default();
        if before.is_some_and(|before| after <= before) {
            return Ok(());
        }
        if before.is_none() && used.keys >= quota.keys {
            return Err(KvError::QuotaKeys { max: quota.keys });
        }
        let before = before.unwrap_or(0);
        let bytes = used.bytes.saturating_sub(before) + after;
        if bytes > quota.bytes {
            return Err(KvError::QuotaBytes { bytes, max: quota.bytes });
        }
        if self.total.saturating_sub(before) + after > max {
            return Err(KvError::Full { max });
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> &HashMap<Arc<str>, Used> {
        &self.used
    }

    #[cfg(test)]
    pub(super) fn total(&self) -> u64 {
        self.total
    }
}
