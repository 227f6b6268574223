//! The settings of plugins that came in through the API, each as the JSON that it was given as.
//! A row stays when its settings are deleted, so that a version never comes twice.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rusqlite::{OptionalExtension as _, Row, TransactionBehavior, params};

use super::database::Database;
use super::error::Error;
use crate::sandbox::settings::{Expected, Kept, PluginStore, Put, StoreError};

/// The table `plugin_settings`.
pub(super) struct Plugins {
    database: Arc<Database>,
}

impl Plugins {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

impl PluginStore for Plugins {
    fn all(&self) -> BoxFuture<'_, Result<Vec<(String, Kept)>, StoreError>> {
        Box::pin(self.database.on_blocking_thread(|database| {
            const SQL: &str = "SELECT json, version, plugin FROM plugin_settings WHERE json IS NOT NULL ORDER BY plugin";
            let reader = database.reader();
            let mut rows = reader.prepare_cached(SQL)?;
            let all = rows.query_map([], |row| Ok((row.get(2)?, kept(row)?)))?.collect::<Result<_, _>>()?;
            Ok(all)
        }))
    }

    fn get<'a>(&'a self, plugin: &'a str) -> BoxFuture<'a, Result<Option<Kept>, StoreError>> {
        let plugin = plugin.to_owned();
        Box::pin(self.database.on_blocking_thread(move |database| {
            const SQL: &str = "SELECT json, version FROM plugin_settings WHERE plugin = ?1 AND json IS NOT NULL";
            let reader = database.reader();
            let kept = reader.prepare_cached(SQL)?.query_row([plugin], kept).optional()?;
            Ok(kept)
        }))
    }

    fn put<'a>(&'a self, plugin: &'a str, json: &'a str, expected: Expected) -> BoxFuture<'a, Result<Put, StoreError>> {
        let (plugin, json) = (plugin.to_owned(), json.to_owned());
        Box::pin(self.database.on_blocking_thread(move |database| put(database, &plugin, &json, expected)))
    }

    fn delete<'a>(&'a self, plugin: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        let plugin = plugin.to_owned();
        Box::pin(self.database.on_blocking_thread(move |database| {
            const SQL: &str = "UPDATE plugin_settings SET json = NULL, version = version + 1 WHERE plugin = ?1 AND json IS NOT NULL";
            Ok(database.writer().execute(SQL, [plugin])? > 0)
        }))
    }
}

fn put(database: &Database, plugin: &str, json: &str, expected: Expected) -> Result<Put, Error> {
    const SQL: &str = "INSERT INTO plugin_settings (plugin, version, json) VALUES (?1, 1, ?2)
         ON CONFLICT (plugin) DO UPDATE SET version = version + 1, json = ?2 RETURNING version";
    let mut writer = database.writer();
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = "SELECT version FROM plugin_settings WHERE plugin = ?1 AND json IS NOT NULL";
    let found: Option<u64> = transaction.query_row(found, [plugin], |row| version(row, 0)).optional()?;
    if !expected.is(found) {
        return Ok(Put::Other { found });
    }
    let now = transaction.query_row(SQL, params![plugin, json], |row| version(row, 0))?;
    transaction.commit()?;
    Ok(Put::Kept { version: now })
}

fn kept(row: &Row<'_>) -> rusqlite::Result<Kept> {
    Ok(Kept { json: row.get(0)?, version: version(row, 1)? })
}

/// Counted from 1.
fn version(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(|version| u64::try_from(version).unwrap_or(0))
}
