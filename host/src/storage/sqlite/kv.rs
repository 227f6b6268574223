//! What plugins keep, in a file of its own: a plugin that floods it waits for its own disk writes, and no ledger or document for a lock.
//! One connection, whose transaction stays open while changes are relaxed, serves reads and writes alike, so every call sees every change.
//! A short call is done at once if nobody else has the file; all others wait their turn on few threads.

mod committer;
mod file;
mod rows;
mod sums;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, oneshot};

use self::committer::Committer;
use self::file::File;
use super::error::Error;
use crate::sandbox::kv::{Bucket, Entry, KvError, KvLimits, KvStore, UnixClock, Write};

/// Threads that may wait for the file at once. tokio has 512 for all who block, and one file needs no more than one.
const THREADS: usize = 4;
/// A value up to this many bytes is written without a change of thread.
const SHORT: usize = 16 << 10;

/// The file `kv.db`.
pub(super) struct KvFile {
    committer: Committer,
    threads: Arc<Semaphore>,
    /// One turn for each plugin, so that none has more than one of the threads.
    turns: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

/// What may be done on the thread that a call comes on.
#[derive(Clone, Copy)]
enum Inline {
    Nothing,
    /// A read, which waits for nobody.
    Read,
    /// A change, if no other server has the file.
    Change,
}

impl KvFile {
    /// Blocks.
    pub(super) fn open(path: &Path, limits: KvLimits, clock: UnixClock) -> Result<Self, Error> {
        let committer = Committer::start(File::open(path, limits, clock)?, limits.flush);
        Ok(Self { committer, threads: Arc::new(Semaphore::new(THREADS)), turns: Mutex::default() })
    }

    fn turn(&self, plugin: &Arc<str>) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(plugin.clone()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
    }

    /// Does `work` on this thread if it may and the file is free; else gives it back.
    fn at_once<T, W: FnOnce(&mut File) -> T>(&self, inline: Inline, work: W) -> Result<T, W> {
        if matches!(inline, Inline::Nothing) {
            return Err(work);
        }
        let mut file = match self.committer.file().try_lock() {
            Ok(file) => file,
            Err(TryLockError::Poisoned(file)) => file.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(work),
        };
        if matches!(inline, Inline::Change) && !file.begin_at_once() {
            return Err(work);
        }
        let done = work(&mut file);
        if file.take_wake() {
            self.committer.wake();
        }
        Ok(done)
    }

    /// Does `work` with the file, on this thread if it may and the file is free. Work that began is done to its end even if nobody waits for
    /// it any more.
    async fn with<T: Send + 'static>(
        &self,
        plugin: &Arc<str>,
        inline: Inline,
        work: impl FnOnce(&mut File) -> T + Send + 'static,
    ) -> Result<T, KvError> {
        let work = match self.at_once(inline, work) {
            Ok(done) => return Ok(done),
            Err(work) => work,
        };
        let ended = |error: &dyn std::fmt::Display| KvError::Store(format!("a task ended early: {error}"));
        let turn = self.turn(plugin).acquire_owned().await.map_err(|closed| ended(&closed))?;
        let thread = self.threads.clone().acquire_owned().await.map_err(|closed| ended(&closed))?;
        let shared = self.committer.shared();
        let done = tokio::task::spawn_blocking(move || {
            let mut file = shared.lock();
            let done = work(&mut file);
            // Here and not where the answer is awaited: whoever waits may have left.
            let wake = file.take_wake();
            drop(file);
            if wake {
                shared.wake();
            }
            drop((turn, thread));
            done
        });
        done.await.map_err(|error| ended(&error))
    }

    /// Does `change`, and unless it is relaxed waits until it is on the disk.
    async fn change<T: Send + 'static>(
        &self,
        plugin: &Arc<str>,
        short: bool,
        relaxed: bool,
        change: impl FnOnce(&mut File) -> Result<T, KvError> + Send + 'static,
    ) -> Result<T, KvError> {
        let inline = if short { Inline::Change } else { Inline::Nothing };
        let done = self.with(plugin, inline, move |file| {
            let done = change(file)?;
            let written = (!relaxed).then(|| file.when_written());
            Ok((done, written))
        });
        let (done, written): (T, Option<oneshot::Receiver<Result<(), KvError>>>) = done.await??;
        if let Some(written) = written {
            written.await.unwrap_or_else(|_| Err(KvError::Store("it was closed".into())))?;
        }
        Ok(done)
    }
}

impl KvStore for KvFile {
    fn get<'a>(&'a self, bucket: &'a Bucket, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, KvError>> {
        let (of, bucket, key) = (&bucket.plugin, bucket.clone(), key.to_owned());
        Box::pin(async move { self.with(of, Inline::Read, move |file| file.get(&bucket, &key)).await? })
    }

    fn set<'a>(&'a self, bucket: &'a Bucket, key: &'a str, value: Vec<u8>, write: Write) -> BoxFuture<'a, Result<(), KvError>> {
        let (of, bucket, key) = (&bucket.plugin, bucket.clone(), key.to_owned());
        let short = value.len() <= SHORT;
        Box::pin(self.change(of, short, write.relaxed, move |file| file.set(&bucket, &key, &value, write)))
    }

    fn swap<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a str,
        expected: Option<&'a str>,
        value: Vec<u8>,
        write: Write,
    ) -> BoxFuture<'a, Result<bool, KvError>> {
        let (of, bucket, key, expected) = (&bucket.plugin, bucket.clone(), key.to_owned(), expected.map(str::to_owned));
        let short = value.len() <= SHORT;
        Box::pin(self.change(of, short, write.relaxed, move |file| file.swap(&bucket, &key, expected.as_deref(), &value, write)))
    }

    fn increment<'a>(&'a self, bucket: &'a Bucket, key: &'a str, by: i64, write: Write) -> BoxFuture<'a, Result<i64, KvError>> {
        let (of, bucket, key) = (&bucket.plugin, bucket.clone(), key.to_owned());
        Box::pin(self.change(of, true, write.relaxed, move |file| file.increment(&bucket, &key, by, write)))
    }

    fn delete<'a>(&'a self, bucket: &'a Bucket, key: &'a str) -> BoxFuture<'a, Result<bool, KvError>> {
        let (of, bucket, key) = (&bucket.plugin, bucket.clone(), key.to_owned());
        Box::pin(self.change(of, true, false, move |file| file.delete(&bucket, &key)))
    }

    fn keys<'a>(
        &'a self,
        bucket: &'a Bucket,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, KvError>> {
        let (of, bucket, prefix, after) = (&bucket.plugin, bucket.clone(), prefix.to_owned(), after.map(str::to_owned));
        Box::pin(async move { self.with(of, Inline::Nothing, move |file| file.keys(&bucket, &prefix, after.as_deref(), limit)).await? })
    }

    fn hand_over(&self) -> BoxFuture<'_, Result<(), KvError>> {
        Box::pin(async move { self.with(&"".into(), Inline::Nothing, File::share).await })
    }
}

#[cfg(test)]
mod tests;
