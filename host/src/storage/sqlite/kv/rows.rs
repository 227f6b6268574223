//! The statements over the table `kv`. Each finds its row by an index and is one statement, so that it is done whole or not at all.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::sandbox::kv::{Bucket, ENTRY_BYTES};

/// One key.
pub(super) struct Row {
    pub(super) id: i64,
    /// Empty if it was not asked for.
    pub(super) value: Vec<u8>,
    pub(super) value_bytes: u64,
    pub(super) version: i64,
    /// Unix time in milliseconds.
    pub(super) expires: Option<i64>,
}

/// What one plugin keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) bytes: u64,
    pub(super) keys: u64,
}

/// A key whose time is over.
pub(super) struct Expired {
    pub(super) id: i64,
    pub(super) plugin: Arc<str>,
    /// Of owner, key and value.
    pub(super) bytes: u64,
}

impl Row {
    pub(super) fn is_live(&self, now: i64) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }
}

pub(super) fn with_value(connection: &Connection, bucket: &Bucket, key: &str) -> rusqlite::Result<Option<Row>> {
    const SQL: &str = "SELECT id, length(value), version, expires, value FROM kv WHERE plugin = ?1 AND owner = ?2 AND key = ?3";
    one(connection, SQL, bucket, key)
}

pub(super) fn without_value(connection: &Connection, bucket: &Bucket, key: &str) -> rusqlite::Result<Option<Row>> {
    const SQL: &str = "SELECT id, length(value), version, expires, x'' FROM kv WHERE plugin = ?1 AND owner = ?2 AND key = ?3";
    one(connection, SQL, bucket, key)
}

fn one(connection: &Connection, sql: &str, bucket: &Bucket, key: &str) -> rusqlite::Result<Option<Row>> {
    let row = |row: &rusqlite::Row<'_>| {
        Ok(Row { id: row.get(0)?, value_bytes: number(row, 1)?, version: row.get(2)?, expires: row.get(3)?, value: row.get(4)? })
    };
    connection.prepare_cached(sql)?.query_row(params![bucket.plugin, bucket.owner, key], row).optional()
}

pub(super) fn insert(
    connection: &Connection,
    bucket: &Bucket,
    key: &str,
    value: &[u8],
    version: i64,
    expires: Option<i64>,
) -> rusqlite::Result<()> {
    const SQL: &str = "INSERT INTO kv (plugin, owner, key, value, version, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let values = params![bucket.plugin, bucket.owner, key, value, version, expires];
    connection.prepare_cached(SQL)?.execute(values).map(drop)
}

pub(super) fn update(connection: &Connection, id: i64, value: &[u8], version: i64, expires: Option<i64>) -> rusqlite::Result<()> {
    const SQL: &str = "UPDATE kv SET value = ?2, version = ?3, expires = ?4 WHERE id = ?1";
    connection.prepare_cached(SQL)?.execute(params![id, value, version, expires]).map(drop)
}

pub(super) fn delete(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM kv WHERE id = ?1")?.execute([id]).map(drop)
}

/// Rows that have expired are stepped over here and not in the statement, which would search beyond the prefix for one that has not.
pub(super) fn keys(
    connection: &Connection,
    bucket: &Bucket,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    now: i64,
) -> rusqlite::Result<Vec<String>> {
    const SQL: &str = "SELECT key, expires FROM kv WHERE plugin = ?1 AND owner = ?2 AND key >= ?3 AND key > ?4 ORDER BY key";
    let mut statement = connection.prepare_cached(SQL)?;
    // No key is empty.
    let mut rows = statement.query(params![bucket.plugin, bucket.owner, prefix, after.unwrap_or_default()])?;
    let mut keys = Vec::new();
    while keys.len() < limit
        && let Some(row) = rows.next()?
    {
        let key: String = row.get(0)?;
        if !key.starts_with(prefix) {
            break;
        }
        if row.get::<_, Option<i64>>(1)?.is_none_or(|expires| expires > now) {
            keys.push(key);
        }
    }
    Ok(keys)
}

pub(super) fn expired(connection: &Connection, plugin: Option<&str>, now: i64, most: usize) -> rusqlite::Result<Vec<Expired>> {
    const BYTES: &str = "length(CAST(owner AS BLOB)) + length(CAST(key AS BLOB)) + length(value)";
    let sql = format!(
        "SELECT id, plugin, {BYTES} FROM kv WHERE expires <= ?1 {} ORDER BY expires LIMIT ?2",
        if plugin.is_some() { "AND plugin = ?3" } else { "AND ?3 IS NULL" }
    );
    let row = |row: &rusqlite::Row<'_>| Ok(Expired { id: row.get(0)?, plugin: row.get(1)?, bytes: number(row, 2)? });
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    connection.prepare_cached(&sql)?.query_map(params![now, most, plugin], row)?.collect()
}

/// What each plugin keeps, as it was written last.
pub(super) fn kept_sums(connection: &Connection) -> rusqlite::Result<HashMap<Arc<str>, Used>> {
    let row = |row: &rusqlite::Row<'_>| {
        let (keys, bytes) = (number(row, 1)?, number(row, 2)?);
        Ok((row.get(0)?, Used { bytes: bytes + keys * ENTRY_BYTES, keys }))
    };
    connection.prepare_cached("SELECT plugin, keys, bytes FROM used")?.query_map([], row)?.collect()
}

/// Writes what a plugin keeps.
pub(super) fn keep_sum(connection: &Connection, plugin: &str, used: Used) -> rusqlite::Result<()> {
    if used.keys == 0 {
        return connection.prepare_cached("DELETE FROM used WHERE plugin = ?1")?.execute([plugin]).map(drop);
    }
    const SQL: &str = "INSERT INTO used (plugin, keys, bytes) VALUES (?1, ?2, ?3)
             ON CONFLICT (plugin) DO UPDATE SET keys = excluded.keys, bytes = excluded.bytes";
    let bytes = used.bytes.saturating_sub(used.keys * ENTRY_BYTES);
    let number = |count| i64::try_from(count).unwrap_or(i64::MAX);
    connection.prepare_cached(SQL)?.execute(params![plugin, number(used.keys), number(bytes)]).map(drop)
}

/// What each plugin keeps, counted.
#[cfg(test)]
pub(super) fn sums(connection: &Connection) -> rusqlite::Result<HashMap<Arc<str>, Used>> {
    const SQL: &str = "SELECT plugin, count(*),
             sum(length(CAST(owner AS BLOB)) + length(CAST(key AS BLOB)) + length(value)) FROM kv GROUP BY plugin";
    let row = |row: &rusqlite::Row<'_>| {
        let (keys, bytes) = (number(row, 1)?, number(row, 2)?);
        Ok((row.get(0)?, Used { bytes: bytes + keys * ENTRY_BYTES, keys }))
    };
    connection.prepare_cached(SQL)?.query_map([], row)?.collect()
}

/// Counts this opening of the file, so that no version of an earlier one is used again.
pub(super) fn count_opening(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("UPDATE openings SET times = times + 1 RETURNING times", [], |row| row.get(0))
}

/// A number that is another one after somebody else has changed the file (<https://sqlite.org/pragma.html#pragma_data_version>).
pub(super) fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// A count, which is never negative.
fn number(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(|number| u64::try_from(number).unwrap_or(0))
}
