//! The file and what is known of it: who keeps how much, what waits to be written. Nothing is changed without a look at the quotas, and
//! the sums agree with the rows (`the_sums_are_those_of_the_rows`), those of another server that has the file at the same time included.

#[cfg(test)]
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::super::database::{connect, for_us_alone};
use super::super::error::Error;
use super::super::migrations;
#[cfg(test)]
use super::rows::Used;
use super::rows::{self, Row};
use super::sums::Sums;
use crate::sandbox::kv::{Bucket, ENTRY_BYTES, Entry, KvError, KvLimits, NUMBER_MAX, Quota, UnixClock, Write};
use crate::telemetry::chain;

/// Rows that are deleted in one go, with everybody waiting.
const STEP: usize = 100;
/// Bytes of relaxed changes that are written before their time is over, so that the open transaction stays small.
const UNWRITTEN_MAX: u64 = 4 << 20;
/// How long to wait for another program that has the file locked: shorter than for the main database, as a thread of a request may wait.
const LOCKED_TIME: Duration = Duration::from_millis(500);

/// The open file. Everything here blocks.
pub(super) struct File {
    connection: Connection,
    limits: KvLimits,
    clock: UnixClock,
    sums: Sums,
    /// The number of this opening of the file, and of the last change since.
    opening: i64,
    changes: i64,
    unwritten: Unwritten,
    /// Another server changes the file too, so nothing stays open.
    shared: bool,
    closed: bool,
}

/// Changes in the open transaction.
#[derive(Default)]
struct Unwritten {
    since: Option<Instant>,
    bytes: u64,
    /// Those who are told when it is written.
    waiting: Vec<oneshot::Sender<Result<(), KvError>>>,
    /// Whether the committer knows.
    told: bool,
}

/// When the committer has to write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    In(Duration),
    Never,
    End,
}

impl File {
    pub(super) fn open(path: &Path, limits: KvLimits, clock: UnixClock) -> Result<Self, Error> {
        for_us_alone(path).map_err(|source| Error::Folder { path: path.into(), source })?;
        let opened = |source| Error::Open { path: path.into(), source };
        let mut connection = connect(path).map_err(opened)?;
        connection.set_prepared_statement_cache_capacity(32);
        migrations::run(&mut connection, migrations::KV_STEPS)?;
        let opening = rows::count_opening(&connection)?;
        // Only now: until here the server that has the file may take its time.
        connection.busy_timeout(LOCKED_TIME).map_err(opened)?;
        let mut file = Self {
            connection,
            limits,
            clock,
            sums: Sums::default(),
            opening,
            changes: 0,
            unwritten: Unwritten::default(),
            shared: false,
            closed: false,
        };
        file.sums.read(&file.connection)?;
        Ok(file)
    }

    pub(super) fn get(&self, bucket: &Bucket, key: &str) -> Result<Option<Entry>, KvError> {
        let (row, now) = (rows::with_value(&self.connection, bucket, key), self.now());
        let live = row.map_err(failed)?.filter(|row| row.is_live(now));
        Ok(live.map(|Row { value, version, .. }| Entry { value, version: version_text(version) }))
    }

    pub(super) fn set(&mut self, bucket: &Bucket, key: &str, value: &[u8], write: Write) -> Result<(), KvError> {
        self.begin()?;
        let (old, now) = (rows::without_value(&self.connection, bucket, key).map_err(failed)?, self.now());
        self.put(bucket, key, old.as_ref(), value, (now, expires(now, write.ttl)), write.quota)
    }

    pub(super) fn swap(&mut self, bucket: &Bucket, key: &str, expected: Option<&str>, value: &[u8], write: Write) -> Result<bool, KvError> {
        self.begin()?;
        let (old, now) = (rows::without_value(&self.connection, bucket, key).map_err(failed)?, self.now());
        let found = old.as_ref().filter(|row| row.is_live(now)).map(|row| version_text(row.version));
        if found.as_deref() != expected {
            return Ok(false);
        }
        self.put(bucket, key, old.as_ref(), value, (now, expires(now, write.ttl)), write.quota).map(|()| true)
    }

    pub(super) fn increment(&mut self, bucket: &Bucket, key: &str, by: i64, write: Write) -> Result<i64, KvError> {
        self.begin()?;
        let (old, now) = (rows::with_value(&self.connection, bucket, key).map_err(failed)?, self.now());
        let live = old.as_ref().filter(|row| row.is_live(now));
        let number = |row: &Row| std::str::from_utf8(&row.value).ok()?.parse::<i64>().ok();
        let (before, expires) = match live {
            None => (0, expires(now, write.ttl)),
            Some(row) => (number(row).ok_or(KvError::Invalid("what is under the key is no whole number"))?, row.expires),
        };
        let fits = |sum: &i64| (-NUMBER_MAX..=NUMBER_MAX).contains(sum);
        let sum = before.checked_add(by).filter(fits).ok_or(KvError::Invalid("the sum would pass 2^53"))?;
        self.put(bucket, key, old.as_ref(), sum.to_string().as_bytes(), (now, expires), write.quota).map(|()| sum)
    }

    pub(super) fn delete(&mut self, bucket: &Bucket, key: &str) -> Result<bool, KvError> {
        self.begin()?;
        let now = self.now();
        let Some(old) = rows::without_value(&self.connection, bucket, key).map_err(failed)? else { return Ok(false) };
        self.remove(&bucket.plugin, old.id, size(bucket, key.len(), old.value_bytes))?;
        Ok(old.is_live(now))
    }

    pub(super) fn keys(&self, bucket: &Bucket, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<String>, KvError> {
        rows::keys(&self.connection, bucket, prefix, after, limit, self.now()).map_err(failed)
    }

    /// Deletes some of what has expired; whether there may be more.
    pub(super) fn sweep(&mut self) -> bool {
        self.sweep_of(None, self.now()).unwrap_or_else(|error| {
            tracing::error!(%error, "what plugins kept and has expired cannot be deleted");
            0
        }) == STEP
    }

    /// Tells, later, whether all that was changed so far is on the disk.
    pub(super) fn when_written(&mut self) -> oneshot::Receiver<Result<(), KvError>> {
        let (tell, told) = oneshot::channel();
        if self.closed {
            drop(tell);
        } else if self.unwritten.since.is_none() {
            // As for a key that was not there and is deleted.
            drop(tell.send(Ok(())));
        } else {
            self.unwritten.waiting.push(tell);
            self.unwritten.told = false;
        }
        told
    }

    /// Whether the committer has to be told of what was changed.
    pub(super) fn take_wake(&mut self) -> bool {
        let due = self.unwritten.since.is_some() && !std::mem::replace(&mut self.unwritten.told, true);
        due || self.unwritten.bytes > UNWRITTEN_MAX
    }

    pub(super) fn due(&self, now: Instant, flush: Duration) -> Due {
        if self.closed {
            return Due::End;
        }
        let Some(since) = self.unwritten.since else { return Due::Never };
        if self.shared {
            return Due::Now;
        }
        let left = flush.saturating_sub(now.saturating_duration_since(since));
        if !self.unwritten.waiting.is_empty() || self.unwritten.bytes > UNWRITTEN_MAX || left.is_zero() { Due::Now } else { Due::In(left) }
    }

    /// Writes all that was changed, and tells those who wait for it.
    pub(super) fn commit(&mut self) {
        let Unwritten { since, waiting, .. } = std::mem::take(&mut self.unwritten);
        if since.is_none() {
            return;
        }
        let written =
            self.sums.write(&self.connection).and_then(|()| self.connection.execute_batch("COMMIT")).map_err(|error| self.lost(&error));
        for tell in waiting {
            drop(tell.send(written.clone()));
        }
    }

    /// Leaves the file to another server: from now on what is changed is written at once.
    pub(super) fn share(&mut self) {
        self.shared = true;
        self.commit();
    }

    /// Nothing is changed from now on but what the committer writes last.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    fn put(
        &mut self,
        bucket: &Bucket,
        key: &str,
        old: Option<&Row>,
        value: &[u8],
        // One reading of the clock for all of a call, so that nothing is live for one step and over for the next.
        (now, expires): (i64, Option<i64>),
        quota: Quota,
    ) -> Result<(), KvError> {
        let old = match old {
            Some(row) if !row.is_live(now) => {
                self.remove(&bucket.plugin, row.id, size(bucket, key.len(), row.value_bytes))?;
                None
            }
            old => old,
        };
        let before = old.map(|row| size(bucket, key.len(), row.value_bytes));
        let after = size(bucket, key.len(), value.len() as u64);
        while let Err(refused) = self.sums.room(&bucket.plugin, before, after, quota, self.limits.bytes) {
            // What has expired makes room: the plugin's own, or if all plugins together have too much, everybody's.
            let plugin = Some(&*bucket.plugin).filter(|_| !matches!(refused, KvError::Full { .. }));
            if self.sweep_of(plugin, now)? == 0 {
                return Err(refused);
            }
        }
        self.begin()?;
        self.changes += 1;
        let version = self.opening << 40 | self.changes;
        let done = match old {
            Some(row) => rows::update(&self.connection, row.id, value, version, expires),
            None => rows::insert(&self.connection, bucket, key, value, version, expires),
        };
        self.changed(done)?;
        self.unwritten.bytes += value.len() as u64;
        if let Some(before) = before {
            self.sums.forget(&bucket.plugin, before);
        }
        self.sums.add(&bucket.plugin, after);
        Ok(())
    }

    fn remove(&mut self, plugin: &Arc<str>, id: i64, bytes: u64) -> Result<(), KvError> {
        self.begin()?;
        let deleted = rows::delete(&self.connection, id);
        self.changed(deleted)?;
        self.sums.forget(plugin, bytes);
        Ok(())
    }

    /// Deletes up to `STEP` rows that have expired, of one plugin or of all; how many there were.
    fn sweep_of(&mut self, plugin: Option<&str>, now: i64) -> Result<usize, KvError> {
        if rows::expired(&self.connection, plugin, now, 1).map_err(failed)?.is_empty() {
            return Ok(0);
        }
        self.begin()?;
        let expired = rows::expired(&self.connection, plugin, now, STEP).map_err(failed)?;
        for row in &expired {
            self.remove(&row.plugin, row.id, ENTRY_BYTES + row.bytes)?;
        }
        Ok(expired.len())
    }

    /// Opens the transaction that the committer ends. What a change depends on is read after this: before, another server may change it.
    fn begin(&mut self) -> Result<(), KvError> {
        if self.closed {
            return Err(KvError::Store("it was closed".into()));
        }
        if self.unwritten.since.is_none() {
            self.connection.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([])).map_err(failed)?;
            self.begun()?;
        }
        Ok(())
    }

    /// The same if nobody else has the file; whether the transaction is open. Waits for nothing.
    pub(super) fn begin_at_once(&mut self) -> bool {
        if self.closed || self.unwritten.since.is_some() {
            return true;
        }
        let patience = |time| self.connection.busy_timeout(time);
        let begun = patience(Duration::ZERO).and_then(|()| self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop));
        // It cannot fail: it sets a number.
        drop(patience(LOCKED_TIME));
        begun.is_ok() && self.begun().is_ok()
    }

    /// Another server may have changed the file before the transaction, and then the sums are its.
    fn begun(&mut self) -> Result<(), KvError> {
        self.unwritten = Unwritten { since: Some(Instant::now()), ..Unwritten::default() };
        self.sums.refresh(&self.connection).map_err(|error| {
            self.unwritten = Unwritten::default();
            self.lost(&error)
        })
    }

    /// After a full disk and the like SQLite undoes the whole transaction, and with it what others changed.
    fn changed(&mut self, done: rusqlite::Result<()>) -> Result<(), KvError> {
        let Err(error) = done else { return Ok(()) };
        if !self.connection.is_autocommit() {
            return Err(failed(error));
        }
        let waiting = std::mem::take(&mut self.unwritten).waiting;
        let lost = self.lost(&error);
        for tell in waiting {
            drop(tell.send(Err(lost.clone())));
        }
        Err(lost)
    }

    /// The transaction is lost: the rows are again what was written last, and so are the sums.
    fn lost(&mut self, error: &rusqlite::Error) -> KvError {
        if !self.connection.is_autocommit() {
            drop(self.connection.execute_batch("ROLLBACK"));
        }
        let why = chain(error);
        tracing::error!(error = %why, "what plugins changed last is lost: it cannot be written");
        if let Err(error) = self.sums.read(&self.connection) {
            tracing::error!(error = %chain(&error), "what plugins keep cannot be counted; nothing is kept from now on");
            self.closed = true;
        }
        KvError::Store(why)
    }

    fn now(&self) -> i64 {
        millis((self.clock)())
    }

    #[cfg(test)]
    pub(super) fn state(&self) -> (&Connection, &HashMap<Arc<str>, Used>, u64) {
        (&self.connection, self.sums.used(), self.sums.total())
    }
}

/// What a row counts.
fn size(bucket: &Bucket, key_bytes: usize, value_bytes: u64) -> u64 {
    ENTRY_BYTES + bucket.owner.len() as u64 + key_bytes as u64 + value_bytes
}

fn expires(now: i64, ttl: Option<Duration>) -> Option<i64> {
    ttl.map(|ttl| now.saturating_add(millis(ttl)))
}

fn version_text(version: i64) -> String {
    format!("{version:x}")
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

fn failed(error: rusqlite::Error) -> KvError {
    KvError::Store(chain(&error))
}
