//! The thread that writes what was changed: at once if somebody waits for it, together with all that others changed meanwhile; else within
//! `flush`. When nothing is to be written it deletes, step by step, what has expired. It ends, and writes the rest, when the store is dropped.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::file::{Due, File};

/// Time between two looks for expired keys. Nobody sees them, and whoever needs their room has them deleted earlier.
const SWEEP: Duration = Duration::from_secs(1);

/// The thread and what it shares.
pub(super) struct Committer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

pub(super) struct Shared {
    file: Mutex<File>,
    changed: Condvar,
}

impl Shared {
    /// A panic elsewhere leaves whole statements done.
    pub(super) fn lock(&self) -> MutexGuard<'_, File> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the thread to look what is due.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }
}

impl Committer {
    pub(super) fn start(file: File, flush: Duration) -> Self {
        let shared = Arc::new(Shared { file: Mutex::new(file), changed: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("kv".into()).spawn(move || run(&of_thread, flush));
        if let Err(error) = &thread {
            // Whoever waits for a durable change would wait for ever, so nothing is accepted.
            tracing::error!(%error, "the thread that writes what plugins keep cannot be started");
            shared.lock().close();
        }
        Self { shared, thread: thread.ok() }
    }

    pub(super) fn file(&self) -> &Mutex<File> {
        &self.shared.file
    }

    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Tells the thread to look what is due.
    pub(super) fn wake(&self) {
        self.shared.wake();
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.shared.lock().close();
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It has logged what went wrong.
            drop(thread.join());
        }
    }
}

fn run(shared: &Shared, flush: Duration) {
    let mut file = shared.lock();
    let mut swept = Instant::now();
    loop {
        let wait = match file.due(Instant::now(), flush) {
            Due::End => return file.commit(),
            Due::Now => {
                file.commit();
                continue;
            }
            Due::In(wait) => wait,
            Due::Never => SWEEP.saturating_sub(swept.elapsed()),
        };
        if wait.is_zero() {
            let more = file.sweep();
            swept = if more { swept } else { Instant::now() };
            // Others come in between two steps.
            drop(file);
            std::thread::yield_now();
            file = shared.lock();
            continue;
        }
        file = shared.changed.wait_timeout(file, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}
