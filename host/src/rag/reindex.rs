//! Namespaces that are embedded anew, beside everything else: the old vectors serve until every chunk has a new one, and then one step swaps them.
//! What was embedded stays embedded if it is cut short; the next start, or the next who asks for it, goes on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedRwLockReadGuard, RwLock, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::choice::BUILTIN;
use super::embed::Priority;
use super::open::OpenEmbedder;
use super::spaces::{Recorded, Swap};
use super::store::DocumentStore;
use super::{Error, Namespace};
use crate::chat::Client;
use crate::telemetry;

/// Chunks that are embedded and kept together: what is lost if the process is killed.
const BATCH: usize = 64;
/// How many times everything that came meanwhile is embedded while others write, before they wait for the last of it.
const ROUNDS: usize = 3;
/// How long after a failure nobody who only wants to search begins one again.
const PAUSE: Duration = Duration::from_secs(30);

/// How far a reindex is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub state: Reindexed,
    /// The name of the embedder.
    pub embedder: String,
    /// Chunks that have a new vector.
    pub done: usize,
    /// All chunks, when it began.
    pub of: usize,
}

/// What a reindex does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reindexed {
    /// Others are under way.
    Waiting,
    Running,
    /// Why it ended. What it did is kept for the next one.
    Failed(String),
}

/// All that are under way, and the last one of each namespace if it failed. Dropping it cuts them short.
pub(super) struct Reindexes {
    shared: Arc<Shared>,
    tasks: Mutex<JoinSet<()>>,
    /// Held by whoever begins one, so that no two begin one of a namespace.
    beginning: tokio::sync::Mutex<()>,
    /// Set when they are to end.
    stop: watch::Sender<bool>,
}

struct Shared {
    store: Arc<dyn DocumentStore>,
    jobs: Mutex<Jobs>,
    /// Told when one has ended, or when more may run at once.
    freed: Notify,
}

struct Jobs {
    at_once: usize,
    running: usize,
    of: HashMap<Namespace, Arc<Job>>,
}

struct Job {
    embedder: Arc<OpenEmbedder>,
    /// Whoever writes to the namespace takes part of it; the job takes it whole if what comes in would keep it from coming to its end.
    writing: Arc<RwLock<()>>,
    progress: Mutex<(Progress, Instant)>,
}

/// One of those that may run at once.
struct Turn(Arc<Shared>);

impl Reindexes {
    pub(super) fn new(store: Arc<dyn DocumentStore>, at_once: usize) -> Self {
        let jobs = Mutex::new(Jobs { at_once, running: 0, of: HashMap::new() });
        let shared = Arc::new(Shared { store, jobs, freed: Notify::new() });
        Self { shared, tasks: Mutex::default(), beginning: tokio::sync::Mutex::default(), stop: watch::Sender::new(false) }
    }

    /// So many may run at once from now on; those that run go on.
    pub(super) fn resize(&self, at_once: usize) {
        self.shared.jobs().at_once = at_once;
        self.shared.freed.notify_waiters();
    }

    /// How far the namespace's is; none if nothing was begun or it came to its end.
    pub(super) fn progress(&self, namespace: &Namespace) -> Option<Progress> {
        Some(self.shared.jobs().of.get(namespace)?.progress().0.clone())
    }

    /// To be held while something is written to the namespace.
    pub(super) async fn may_write(&self, namespace: &Namespace) -> Option<OwnedRwLockReadGuard<()>> {
        let writing = Arc::clone(&self.shared.jobs().of.get(namespace)?.writing);
        Some(writing.read_owned().await)
    }

    /// Begins one at once. When this returns, the next start goes on with it.
    ///
    /// # Errors
    /// `ReindexRuns` if the namespace has one already, `TooManyReindexes` if others have all turns, `Store`.
    pub(super) async fn begin(&self, namespace: &Namespace, embedder: &Arc<OpenEmbedder>) -> Result<(), Error> {
        let _one_at_a_time = self.beginning.lock().await;
        let turn = {
            let mut jobs = self.shared.jobs();
            if jobs.is_under_way(namespace) {
                return Err(Error::ReindexRuns { namespace: namespace.name.clone() });
            }
            if jobs.running >= jobs.at_once {
                return Err(Error::TooManyReindexes { running: jobs.running });
            }
            jobs.running += 1;
            Turn(Arc::clone(&self.shared))
        };
        self.shared.store.begin_filling(namespace, &embedder.planned()).await?;
        self.spawn(namespace, embedder, Some(turn));
        Ok(())
    }

    /// Begins one when it is its turn, unless the namespace has one already or one failed just now.
    pub(super) fn begin_in_turn(&self, namespace: &Namespace, embedder: &Arc<OpenEmbedder>) {
        let is_pointless = {
            let jobs = self.shared.jobs();
            let failed_just_now = jobs.of.get(namespace).is_some_and(|job| job.progress().1.elapsed() < PAUSE);
            failed_just_now || jobs.is_under_way(namespace)
        };
        if !is_pointless {
            self.spawn(namespace, embedder, None);
        }
    }

    /// What whoever needs vectors of a namespace is told if no embedder makes such as it has. If a reindex mends that by itself, it is begun: of what the
    /// embedder inside the program embedded, when another release has another model, and of what an earlier release left, which did the same.
    pub(super) fn without(&self, namespace: &Namespace, serves: &Recorded, wanted: &Arc<OpenEmbedder>) -> Error {
        if mends_itself(serves, wanted) {
            self.begin_in_turn(namespace, wanted);
            return Error::BeingReindexed { namespace: namespace.name.clone() };
        }
        if self.shared.jobs().is_under_way(namespace) {
            return Error::BeingReindexed { namespace: namespace.name.clone() };
        }
        Error::EmbedderGone { namespace: namespace.name.clone(), embedder: serves.embedder.clone(), wanted: wanted.name.clone() }
    }

    /// Forgets that the namespace's last one failed.
    pub(super) fn forget(&self, namespace: &Namespace) {
        let mut jobs = self.shared.jobs();
        if !jobs.is_under_way(namespace) {
            jobs.of.remove(namespace);
        }
    }

    /// Ends all that are under way, so that nothing is written any more.
    pub(super) async fn stop(&self) {
        self.stop.send_replace(true);
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }

    fn spawn(&self, namespace: &Namespace, embedder: &Arc<OpenEmbedder>, turn: Option<Turn>) {
        let job = Arc::new(Job::new(embedder, turn.is_some()));
        self.shared.jobs().of.insert(namespace.clone(), Arc::clone(&job));
        let (shared, namespace, mut stop) = (Arc::clone(&self.shared), namespace.clone(), self.stop.subscribe());
        let work = async move {
            tokio::select! {
                // First, so that nothing begins afterwards. A change of the database that has begun runs to its end on its thread.
                biased;
                _ = stop.wait_for(|stop| *stop) => {}
                () = shared.run(&namespace, &job, turn) => {}
            }
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work);
    }
}

/// Whether nobody has to ask for the reindex of a namespace whose vectors no embedder makes.
pub(super) fn mends_itself(serves: &Recorded, wanted: &OpenEmbedder) -> bool {
    serves.embedder.is_empty() || (serves.embedder == BUILTIN && wanted.name == BUILTIN)
}

impl Shared {
    /// No code that can panic runs under the lock.
    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: &Arc<Self>, namespace: &Namespace, job: &Job, turn: Option<Turn>) {
        let Namespace { api, name } = namespace;
        let _turn = match turn {
            Some(turn) => turn,
            None => self.turn().await,
        };
        tracing::info!(api, namespace = name, embedder = job.embedder.name, "the namespace is being embedded anew");
        let begun = Instant::now();
        let ended = self.reindex(namespace, job).await;
        match ended {
            Ok(is_swapped) => {
                self.jobs().of.remove(namespace);
                if !is_swapped {
                    return tracing::info!(api, namespace = name, "the namespace was deleted before it had its new vectors");
                }
                let (chunks, seconds) = (job.progress().0.of, begun.elapsed().as_secs());
                tracing::info!(api, namespace = name, embedder = job.embedder.name, chunks, seconds, "the namespace has its new vectors");
            }
            Err(error) => {
                let why = telemetry::chain(&error);
                job.says(Reindexed::Failed(why.clone()));
                tracing::warn!(
                    api,
                    namespace = name,
                    error = why,
                    "the namespace could not be embedded anew and keeps its old vectors; a reindex or the next start goes on"
                );
            }
        }
    }

    async fn turn(self: &Arc<Self>) -> Turn {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            {
                let mut jobs = self.jobs();
                if jobs.running < jobs.at_once {
                    jobs.running += 1;
                    return Turn(Arc::clone(self));
                }
            }
            freed.await;
        }
    }

    /// Gives false if the namespace was deleted meanwhile.
    async fn reindex(&self, namespace: &Namespace, job: &Job) -> Result<bool, Error> {
        job.says(Reindexed::Running);
        job.counts(0, self.store.chunk_count(namespace, "").await?);
        let maker = job.embedder.recorded(job.embedder.space().await?);
        let Some(filling) = self.store.begin_filling(namespace, &maker).await? else { return Ok(false) };
        job.counts(filling.done, filling.of);
        for round in 0_usize.. {
            // Documents go on coming as long as it cannot be told that there would be no end of it.
            let _alone = if round < ROUNDS { None } else { Some(job.writing.write().await) };
            self.embed_missing(namespace, filling.id, job).await?;
            match self.store.swap(namespace, filling.id).await? {
                Swap::Done => break,
                Swap::Gone => return Ok(false),
                Swap::Missing => {}
            }
        }
        while self.store.settle(namespace).await? {}
        Ok(true)
    }

    /// Embeds every chunk that was there when this began and has no new vector.
    async fn embed_missing(&self, namespace: &Namespace, filling: i64, job: &Job) -> Result<(), Error> {
        let mut after = None;
        loop {
            let mut found = self.store.unembedded(namespace, filling, after.as_ref(), BATCH).await?;
            let texts: Vec<String> = found.iter_mut().map(|chunk| std::mem::take(&mut chunk.text)).collect();
            let vectors = job.embedder.workers.embed(Priority::Document, &Client::Host, Arc::new(texts)).await?;
            let filled: Vec<_> = found.iter().map(|chunk| chunk.chunk).zip(vectors).collect();
            let count = filled.len();
            after = found.pop();
            if after.is_none() || !self.store.fill(namespace, filling, filled).await? {
                return Ok(());
            }
            job.has_done(count);
        }
    }
}

impl Jobs {
    fn is_under_way(&self, namespace: &Namespace) -> bool {
        self.of.get(namespace).is_some_and(|job| !matches!(job.progress().0.state, Reindexed::Failed(_)))
    }
}

impl Job {
    fn new(embedder: &Arc<OpenEmbedder>, runs: bool) -> Self {
        let state = if runs { Reindexed::Running } else { Reindexed::Waiting };
        let progress = Progress { state, embedder: embedder.name.clone(), done: 0, of: 0 };
        Self { embedder: Arc::clone(embedder), writing: Arc::default(), progress: Mutex::new((progress, Instant::now())) }
    }

    /// How far it is, and when its state changed last.
    fn progress(&self) -> MutexGuard<'_, (Progress, Instant)> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn says(&self, state: Reindexed) {
        let mut progress = self.progress();
        progress.0.state = state;
        progress.1 = Instant::now();
    }

    fn counts(&self, done: usize, of: usize) {
        let mut progress = self.progress();
        (progress.0.done, progress.0.of) = (done, of);
    }

    fn has_done(&self, count: usize) {
        let mut progress = self.progress();
        progress.0.done += count;
        // Documents may have come meanwhile.
        progress.0.of = progress.0.of.max(progress.0.done);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.jobs().running -= 1;
        self.0.freed.notify_waiters();
    }
}
