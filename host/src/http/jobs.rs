//! Uploads that go on after their answer, and what became of each, kept for a while for whoever asks.
//! Invariants: a job is known to its own client and under its own API alone; what waits, what it holds and what is remembered is bounded; every file of a
//! job that has ended has an outcome, however it ended. A job ends with the process: what it says is stored is, and nothing else of it.

mod job;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument as _;

use super::error::Refusal;
use super::limits::Limits;
use crate::chat::Client;
use crate::fair::{Share, Shares};

pub(super) use job::{Counts, Job, NewJob, Standing};

/// Between two looks whether all have ended.
const PAUSE: Duration = Duration::from_millis(10);

/// The jobs of all clients.
pub(super) struct Jobs {
    /// `limits.http.jobs`
    places: Shares,
    /// `limits.http.jobs_bytes`
    bytes: Shares,
    /// `limits.http.jobs_running`
    running: Shares,
    stopping: Arc<AtomicBool>,
    list: Mutex<List>,
}

struct List {
    /// By id, which is the order in which they came.
    jobs: BTreeMap<String, Arc<Job>>,
    kept: usize,
    kept_time: Duration,
}

/// Room for one job, until it has ended.
pub(super) struct Ticket {
    client: Client,
    _place: Share,
    _bytes: Share,
}

impl Jobs {
    pub(super) fn new(limits: &Limits) -> Self {
        let [places, bytes, running] = sizes(limits).map(Shares::new);
        let list = List { jobs: BTreeMap::new(), kept: limits.jobs_kept, kept_time: limits.jobs_kept_time };
        Self { places, bytes, running, stopping: Arc::default(), list: Mutex::new(list) }
    }

    /// Its limits are in force; jobs that are there go on.
    pub(super) fn resize(&self, limits: &Limits) {
        for (shares, size) in [&self.places, &self.bytes, &self.running].into_iter().zip(sizes(limits)) {
            shares.resize(size);
        }
        let mut list = self.list();
        (list.kept, list.kept_time) = (limits.jobs_kept, limits.jobs_kept_time);
        list.forget();
    }

    /// Room for a job that holds so many bytes; one of more than a client's whole share is taken when it is alone.
    ///
    /// # Errors
    /// `JobsFull`, `Stopping`.
    pub(super) fn take(&self, client: &Client, bytes: usize) -> Result<Ticket, Refusal> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(Refusal::Stopping);
        }
        let full = |key| Refusal::JobsFull { key };
        let place = self.places.take(client, 1).ok_or_else(|| full("limits.http.jobs"))?;
        let bytes = self.bytes.take(client, bytes.min(self.bytes.most())).ok_or_else(|| full("limits.http.jobs_bytes"))?;
        Ok(Ticket { client: client.clone(), _place: place, _bytes: bytes })
    }

    /// Begins the work when it is its turn, clients taking turns, and gives the job at once.
    pub(super) fn start<W>(self: &Arc<Self>, ticket: Ticket, new: NewJob, work: impl FnOnce(Arc<Job>) -> W + Send + 'static) -> Arc<Job>
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let client = ticket.client.clone();
        let span = tracing::info_span!("job", request.id = &*new.request);
        let job = Arc::new(Job::new(client.clone(), new, Arc::clone(&self.stopping)));
        {
            let mut list = self.list();
            list.forget();
            list.jobs.insert(job.id.clone(), Arc::clone(&job));
        }
        // Made here and not in the task, which may be ended before it runs.
        let ending = Ending { jobs: Arc::clone(self), job: Arc::clone(&job), _ticket: ticket };
        let task = async move {
            let _turn = ending.jobs.running.wait(&client, 1).await;
            if ending.job.begins() {
                work(Arc::clone(&ending.job)).await;
            }
        };
        job.is_done_by(tokio::spawn(task.instrument(span)).abort_handle());
        job
    }

    /// A job of that API and that client.
    pub(super) fn find(&self, api: &str, client: &Client, id: &str) -> Option<Arc<Job>> {
        let mut list = self.list();
        list.forget();
        list.jobs.get(id).filter(|job| job.is_of(api, client)).cloned()
    }

    /// The jobs of that API and that client with ids behind `after`.
    pub(super) fn page(&self, api: &str, client: &Client, after: &str, count: usize) -> Vec<Arc<Job>> {
        let mut list = self.list();
        list.forget();
        list.jobs.values().filter(|job| job.id.as_str() > after && job.is_of(api, client)).take(count).cloned().collect()
    }

    /// No job begins any more, and those that run have so much time for the file at hand. What is left then is cut.
    pub(super) async fn end(&self, time: Duration) {
        self.stopping.store(true, Ordering::SeqCst);
        let under_way = |begun_too: bool| {
            let list = self.list();
            let cut = list.jobs.values().filter(|job| !job.has_ended() && (begun_too || !job.has_begun())).inspect(|job| job.cut());
            cut.count()
        };
        let waiting = under_way(false);
        if self.places.held() > 0 {
            tracing::info!("no upload begins in the background any more; a file at hand has `drain_time` to be stored");
        }
        let ended = async {
            while self.places.held() > 0 {
                tokio::time::sleep(PAUSE).await;
            }
        };
        let running = match tokio::time::timeout(time, ended).await {
            Ok(()) => 0,
            Err(_) => under_way(true),
        };
        if waiting + running > 0 {
            tracing::warn!(
                waiting,
                running,
                "uploads in the background are cut, because the server stops; what they had not stored must be sent again"
            );
        }
        // A task that is cut ends where it next waits.
        while self.places.held() > 0 {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Each change is complete when the lock is given back.
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    /// Forgets what ended long ago, and the oldest of whoever has most, if too many have ended.
    fn forget(&mut self) {
        let (now, time) = (Instant::now(), self.kept_time);
        self.jobs.retain(|_, job| job.ended_at().is_none_or(|ended| now.duration_since(ended) < time));
        let mut ended: HashMap<&Client, Vec<&str>> = HashMap::new();
        for job in self.jobs.values().filter(|job| job.has_ended()) {
            ended.entry(&job.client).or_default().push(&job.id);
        }
        let over = ended.values().map(Vec::len).sum::<usize>().saturating_sub(self.kept);
        let mut gone = Vec::with_capacity(over);
        for _ in 0..over {
            let most = ended.values_mut().max_by_key(|ids| ids.len()).expect("somebody has one");
            gone.push(most.remove(0).to_owned());
        }
        for id in gone {
            self.jobs.remove(&id);
        }
    }
}

/// Sees to it that a job ends, also if its task panics or is cut; its room is free after that.
struct Ending {
    jobs: Arc<Jobs>,
    job: Arc<Job>,
    _ticket: Ticket,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Standing { counts, .. } = self.job.end();
        tracing::info!(job = %self.job.id, stored = counts.stored, refused = counts.refused, "an upload in the background has ended");
        self.jobs.list().forget();
    }
}

/// In the order of the fields of `Jobs`.
fn sizes(limits: &Limits) -> [usize; 3] {
    [limits.jobs, limits.jobs_bytes, limits.jobs_running]
}

#[cfg(test)]
mod tests;
