//! One upload that goes on after its answer. Its outcomes are added one by one, and whoever asks sees those that are there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::chat::{Client, RequestId};
use crate::http::error::{Failure, Refusal};
use crate::http::taken::{RefusedFile, StoredDocument};

/// What a job is about.
pub(in crate::http) struct NewJob {
    pub(in crate::http) api: String,
    pub(in crate::http) namespace: String,
    /// Of its files.
    pub(in crate::http) names: Vec<String>,
    /// What became of the first of them already.
    pub(in crate::http) stored: Vec<StoredDocument>,
    pub(in crate::http) refused: Vec<RefusedFile>,
    /// The request that it came with, whose id its log lines have.
    pub(in crate::http) request: RequestId,
    /// Says of a file why it is refused.
    pub(in crate::http) tell: fn(String, &Failure) -> RefusedFile,
}

/// An upload and what became of it so far.
pub(in crate::http) struct Job {
    pub(in crate::http) id: String,
    pub(in crate::http) namespace: String,
    /// Unix time in seconds.
    pub(in crate::http) created: u64,
    pub(super) client: Client,
    api: String,
    names: Vec<String>,
    tell: fn(String, &Failure) -> RefusedFile,
    /// The server stops.
    stopping: Arc<AtomicBool>,
    progress: Mutex<Progress>,
    task: OnceLock<AbortHandle>,
}

#[derive(Default)]
struct Progress {
    begun: bool,
    stored: Vec<StoredDocument>,
    refused: Vec<RefusedFile>,
    /// By two clocks: one to tell, the other to count by.
    ended: Option<(u64, Instant)>,
}

/// How a job is at a moment.
pub(in crate::http) struct Standing {
    pub(in crate::http) status: &'static str,
    pub(in crate::http) finished: Option<u64>,
    pub(in crate::http) counts: Counts,
    pub(in crate::http) stored: Vec<StoredDocument>,
    pub(in crate::http) refused: Vec<RefusedFile>,
}

/// How many files of a job there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(in crate::http) struct Counts {
    pub(in crate::http) total: usize,
    pub(in crate::http) stored: usize,
    pub(in crate::http) refused: usize,
}

impl Job {
    pub(super) fn new(
        client: Client,
        NewJob { api, namespace, names, stored, refused, tell, .. }: NewJob,
        stopping: Arc<AtomicBool>,
    ) -> Self {
        let (id, created) = (uuid::Uuid::now_v7().to_string(), unix_seconds());
        let (progress, task) = (Mutex::new(Progress { stored, refused, ..Progress::default() }), OnceLock::new());
        Self { id, namespace, created, client, api, names, tell, stopping, progress, task }
    }

    pub(super) fn is_of(&self, api: &str, client: &Client) -> bool {
        self.api == api && self.client == *client
    }

    pub(super) fn is_done_by(&self, task: AbortHandle) {
        // It is told once.
        let _ = self.task.set(task);
    }

    pub(super) fn cut(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    /// Gives whether it may: not if the server stops.
    pub(super) fn begins(&self) -> bool {
        let mut progress = self.progress();
        progress.begun = !self.stopping();
        progress.begun
    }

    pub(super) fn has_begun(&self) -> bool {
        self.progress().begun
    }

    pub(super) fn has_ended(&self) -> bool {
        self.progress().ended.is_some()
    }

    pub(super) fn ended_at(&self) -> Option<Instant> {
        self.progress().ended.map(|(_, at)| at)
    }

    /// Whether no other file should be begun.
    pub(in crate::http) fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(in crate::http) fn stored(&self, document: StoredDocument) {
        self.progress().stored.push(document);
    }

    pub(in crate::http) fn refused(&self, name: String, failure: &Failure) {
        let refused = (self.tell)(name, failure);
        self.progress().refused.push(refused);
    }

    /// Ends it. The files that have no outcome yet get one: the server stops, or it failed.
    pub(super) fn end(&self) -> Standing {
        let failure = || if self.stopping() { Failure::Refused(Refusal::Stopping) } else { Failure::Panicked };
        let done = {
            let progress = self.progress();
            progress.stored.len() + progress.refused.len()
        };
        for name in self.names.iter().skip(done) {
            self.refused(name.clone(), &failure());
        }
        self.progress().ended = Some((unix_seconds(), Instant::now()));
        self.standing()
    }

    pub(in crate::http) fn standing(&self) -> Standing {
        let progress = self.progress();
        let Progress { begun, stored, refused, ended } = &*progress;
        let status = match (ended, begun) {
            (Some(_), _) if refused.is_empty() => "completed",
            (Some(_), _) => "failed",
            (None, true) => "in_progress",
            (None, false) => "queued",
        };
        let counts = Counts { total: self.names.len(), stored: stored.len(), refused: refused.len() };
        let finished = ended.map(|(at, _)| at);
        Standing { status, finished, counts, stored: stored.clone(), refused: refused.clone() }
    }

    /// No code that can panic runs under the lock.
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
