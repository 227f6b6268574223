//! What plugins keep, in a file of its own: a plugin that floods it waits for its own disk writes, and no ledger or document for a lock.
//! One connection, whose transaction stays open while changes are relaxed, serves reads and writes alike, so every call sees every change.
//! A short call is done at once if nobody else has the file; all others wait their turn on few threads.

mod committer;
mod file;
mod rows;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, TryLockError};

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
    /// Another server may have the file locked, so nothing is done on the thread of a request.
    shared: AtomicBool,
}

impl KvFile {
    /// Blocks.
    pub(super) fn open(path: &Path, limits: KvLimits, clock: UnixClock) -> Result<Self, Error> {
        let committer = Committer::start(File::open(path, limits, clock)?, limits.flush);
        Ok(Self { committer, threads: Arc::new(Semaphore::new(THREADS)), shared: AtomicBool::new(false) })
    }

    /// Does `work` with the file, on this thread if it is `short` and the file is free. Work that began is done to its end even if nobody
    /// waits for it any more.
    async fn with<T: Send + 'static>(&self, short: bool, work: impl FnOnce(&mut File) -> T + Send + 'static) -> Result<T, KvError> {
        if short && !self.shared.load(Ordering::Relaxed) {
            match self.committer.file().try_lock() {
                Ok(mut file) => return Ok(work(&mut file)),
                Err(TryLockError::Poisoned(file)) => return Ok(work(&mut file.into_inner())),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        let ended = |error: &dyn std::fmt::Display| KvError::Store(format!("a task ended early: {error}"));
        let permit = self.threads.clone().acquire_owned().await.map_err(|closed| ended(&closed))?;
        let shared = self.committer.shared();
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&mut shared.lock());
            drop(permit);
            done
        });
        done.await.map_err(|error| ended(&error))
    }

    /// Does `change`, and unless it is relaxed waits until it is on the disk.
    async fn change<T: Send + 'static>(
        &self,
        short: bool,
        relaxed: bool,
        change: impl FnOnce(&mut File) -> Result<T, KvError> + Send + 'static,
    ) -> Result<T, KvError> {
        let done = self.with(short, move |file| {
            let done = change(file);
            let written = (done.is_ok() && !relaxed).then(|| file.when_written());
            // After a refusal, too, for the transaction is open.
            (done, written, file.take_wake())
        });
        let (done, written, wake): (_, Option<oneshot::Receiver<Result<(), KvError>>>, bool) = done.await?;
        if wake {
            self.committer.wake();
        }
        let done = done?;
        if let Some(written) = written {
            written.await.unwrap_or_else(|_| Err(KvError::Store("it was closed".into())))?;
        }
        Ok(done)
    }
}

impl KvStore for KvFile {
    fn get<'a>(&'a self, bucket: &'a Bucket, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, KvError>> {
        let (bucket, key) = (bucket.clone(), key.to_owned());
        Box::pin(async move { self.with(true, move |file| file.get(&bucket, &key)).await? })
    }

    fn set<'a>(&'a self, bucket: &'a Bucket, key: &'a str, value: Vec<u8>, write: Write) -> BoxFuture<'a, Result<(), KvError>> {
        let (bucket, key) = (bucket.clone(), key.to_owned());
        let short = value.len() <= SHORT;
        Box::pin(self.change(short, write.relaxed, move |file| file.set(&bucket, &key, &value, write)))
    }

    fn swap<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a str,
        expected: Option<&'a str>,
        value: Vec<u8>,
        write: Write,
    ) -> BoxFuture<'a, Result<bool, KvError>> {
        let (bucket, key, expected) = (bucket.clone(), key.to_owned(), expected.map(str::to_owned));
        let short = value.len() <= SHORT;
        Box::pin(self.change(short, write.relaxed, move |file| file.swap(&bucket, &key, expected.as_deref(), &value, write)))
    }

    fn increment<'a>(&'a self, bucket: &'a Bucket, key: &'a str, by: i64, write: Write) -> BoxFuture<'a, Result<i64, KvError>> {
        let (bucket, key) = (bucket.clone(), key.to_owned());
        Box::pin(self.change(true, write.relaxed, move |file| file.increment(&bucket, &key, by, write)))
    }

    fn delete<'a>(&'a self, bucket: &'a Bucket, key: &'a str) -> BoxFuture<'a, Result<bool, KvError>> {
        let (bucket, key) = (bucket.clone(), key.to_owned());
        Box::pin(self.change(true, false, move |file| file.delete(&bucket, &key)))
    }

    fn keys<'a>(
        &'a self,
        bucket: &'a Bucket,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, KvError>> {
        let (bucket, prefix, after) = (bucket.clone(), prefix.to_owned(), after.map(str::to_owned));
        Box::pin(async move { self.with(false, move |file| file.keys(&bucket, &prefix, after.as_deref(), limit)).await? })
    }

    fn hand_over(&self) -> BoxFuture<'_, Result<(), KvError>> {
        self.shared.store(true, Ordering::Relaxed);
        Box::pin(async move { self.with(false, File::share).await })
    }
}

#[cfg(test)]
mod tests;
