//! What is being admitted: files whose code is kept, files that are compiled for the first time, and those whose first try was too short.
//! Each kind has places of its own, so that what takes long holds up only what takes long as well.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, BoxFuture, abortable};
use futures_util::stream::FuturesUnordered;

use crate::sandbox::admit::{Admission, Looked};
use crate::sandbox::plugin::Plugin;
use crate::sandbox::refusal::Refusal;

/// Files with kept code that are admitted at once: a guest that sleeps in its `describe` holds up none of the others.
const CACHED_MAX: usize = 8;
/// Components whose first try was too short that are compiled at once.
const LONG_MAX: usize = 1;
/// Seconds of a processor for the first try. Some times what a large Rust plugin takes; interpreters need the second try.
const FIRST_TRY: Duration = Duration::from_secs(5);

/// How much a file needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Its code is kept.
    Cached,
    /// Its first try.
    Quick,
    /// All the time that the operator allows.
    Long,
}

/// One file on its way.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) file: String,
    pub(super) stem: String,
    pub(super) hash: String,
    pub(super) looked: Looked,
    pub(super) lane: Lane,
    /// It is the last good version of the file, and not what the file holds.
    pub(super) last_good: bool,
    /// The operator's configuration names it, so it comes before those that nobody named.
    pub(super) wanted: bool,
    /// The file's size. Small files come first, because they take the least time.
    pub(super) bytes: usize,
}

/// How a job ended.
pub(super) enum Done {
    /// With the bytes that it was started with.
    Admitted(Box<Plugin>, Vec<u8>),
    Refused(Refusal),
    /// It is tried again in that lane.
    Again(Lane),
    /// Another version of the file took its place.
    Aborted,
}

/// All jobs.
#[derive(Default)]
pub(super) struct Work {
    waiting: VecDeque<Job>,
    running: FuturesUnordered<BoxFuture<'static, (Job, Done)>>,
    places: Vec<Place>,
}

/// What a running job holds.
struct Place {
    file: String,
    last_good: bool,
    lane: Lane,
    handle: AbortHandle,
}

impl Work {
    /// Puts a file into the queue; what is under way for an earlier version of it ends.
    pub(super) fn add(&mut self, job: Job) {
        self.cancel(&job.file, job.last_good);
        let rank = |job: &Job| (!job.wanted, job.bytes);
        let at = self.waiting.iter().position(|other| rank(other) > rank(&job));
        self.waiting.insert(at.unwrap_or(self.waiting.len()), job);
    }

    /// Ends what is under way for a file, or for its last good version.
    pub(super) fn cancel(&mut self, file: &str, last_good: bool) {
        self.waiting.retain(|job| (job.file.as_str(), job.last_good) != (file, last_good));
        let places = self.places.iter().filter(|place| (place.file.as_str(), place.last_good) == (file, last_good));
        places.for_each(|place| place.handle.abort());
    }

    /// Hashes of the components on their way.
    pub(super) fn hashes(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|job| job.hash.as_str())
    }

    /// The next job for which there is a place.
    pub(super) fn next(&mut self, compiles: usize) -> Option<Job> {
        let taken = |lane: Lane| self.places.iter().filter(|place| place.lane == lane).count();
        let free = |lane: Lane| match lane {
            Lane::Cached => taken(lane) < CACHED_MAX,
            Lane::Quick => taken(lane) < compiles,
            Lane::Long => taken(lane) < LONG_MAX,
        };
        let at = self.waiting.iter().position(|job| free(job.lane))?;
        self.waiting.remove(at)
    }

    /// Starts a job. `bytes` are the component's, if it must be compiled, or kept.
    pub(super) fn start(&mut self, admission: Arc<Admission>, job: Job, bytes: Vec<u8>) {
        if job.lane != Lane::Cached {
            tracing::debug!(file = job.file, lane = ?job.lane, "compiling");
        }
        let (work, handle) = abortable(run(admission, job.clone(), bytes));
        self.places.push(Place { file: job.file.clone(), last_good: job.last_good, lane: job.lane, handle });
        self.running.push(Box::pin(async move {
            let done = work.await.unwrap_or(Done::Aborted);
            (job, done)
        }));
    }

    /// Waits for a job to end; for ever if none runs.
    pub(super) async fn ended(&mut self) -> (Job, Done) {
        match self.running.next().await {
            Some((job, done)) => {
                // An aborted job's place may stand beside that of the file's next one; it is the earlier of the two.
                let of_job = |place: &Place| (&place.file, place.last_good, place.lane) == (&job.file, job.last_good, job.lane);
                if let Some(at) = self.places.iter().position(of_job) {
                    self.places.remove(at);
                }
                (job, done)
            }
            None => std::future::pending().await,
        }
    }
}

async fn run(admission: Arc<Admission>, job: Job, bytes: Vec<u8>) -> Done {
    let engine = admission.engine();
    let component = match job.lane {
        Lane::Cached => match admission.cache.cached(engine, &job.hash) {
            Ok(Some(component)) => Ok(component),
            Err(refusal) => Err(refusal),
            // It was damaged.
            Ok(None) => return Done::Again(Lane::Quick),
        },
        lane @ (Lane::Quick | Lane::Long) => {
            let whole = admission.compile_time();
            let time = if lane == Lane::Quick { whole.min(FIRST_TRY) } else { whole };
            admission.cache.compile(engine, &bytes, &job.hash, time).await
        }
    };
    let admitted = match component {
        Ok(component) => admission.admit(&job.stem, &component, &job.looked, &job.hash).await,
        Err(refusal) => Err(refusal),
    };
    match admitted {
        Ok(plugin) => Done::Admitted(Box::new(plugin), bytes),
        Err(Refusal::Slow) => Done::Again(Lane::Long),
        Err(refusal) => Done::Refused(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(file: &str, lane: Lane, wanted: bool) -> Job {
        Job { file: file.into(), stem: file.into(), hash: file.into(), looked: Looked::default(), lane, last_good: false, wanted, bytes: 1 }
    }

    /// Takes what there are places for, and starts none of it.
    fn taken(work: &mut Work, compiles: usize) -> Vec<String> {
        let next = || {
            let job = work.next(compiles)?;
            let Job { file, last_good, lane, .. } = job.clone();
            work.places.push(Place { file, last_good, lane, handle: AbortHandle::new_pair().0 });
            Some(job.file)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn what_takes_long_holds_up_only_what_takes_long_as_well() {
        for (compiles, expected) in [(1, vec!["l1", "q1", "c1"]), (2, vec!["l1", "q1", "q2", "c1"])] {
            let mut work = Work::default();
            for (file, lane) in [("l1", Lane::Long), ("l2", Lane::Long), ("q1", Lane::Quick), ("q2", Lane::Quick), ("q3", Lane::Quick)] {
                work.add(job(file, lane, false));
            }
            work.add(job("c1", Lane::Cached, false));
            assert_eq!(taken(&mut work, compiles), expected);
        }
        let mut work = Work::default();
        (0..=CACHED_MAX).for_each(|i| work.add(job(&i.to_string(), Lane::Cached, false)));
        assert_eq!(taken(&mut work, 1).len(), CACHED_MAX);
    }

    #[test]
    fn what_the_operator_named_comes_first_and_a_new_version_takes_the_place_of_the_old() {
        let mut work = Work::default();
        for (file, wanted) in [("a", false), ("b", true), ("c", false), ("d", true)] {
            work.add(job(file, Lane::Quick, wanted));
        }
        assert_eq!(taken(&mut work, 1), ["b"]);
        let handle = work.places[0].handle.clone();
        work.add(Job { last_good: true, ..job("b", Lane::Cached, true) });
        assert!(!handle.is_aborted(), "the last good version of a file and what the file holds are two things");
        work.cancel("b", true);
        work.add(job("b", Lane::Quick, true));
        assert!(handle.is_aborted());
        work.places.clear();
        assert_eq!(taken(&mut work, 9), ["d", "b", "a", "c"]);
        work.places.clear();
        for (file, bytes) in [("large", 3), ("small", 1), ("middle", 2)] {
            work.add(Job { bytes, ..job(file, Lane::Quick, false) });
        }
        assert_eq!(taken(&mut work, 9), ["small", "middle", "large"]);
    }
}
