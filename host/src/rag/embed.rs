//! Texts to vectors, on threads of their own: an embedder computes for tens of milliseconds, which tokio's threads must not.
//! A query goes before documents, and documents take turns, so that nobody waits behind a whole book.
//! Must not know where texts come from or vectors go to.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Error, Limits};

/// Texts that one thread takes at a time. A query waits for at most so many; an embedder that gains from batches still gets some.
const BATCH_TEXTS: usize = 2;

/// Turns texts into vectors. Its calls block and come from several threads at once.
pub trait Embedder: Send + Sync + 'static {
    /// Names the space that the vectors lie in. Vectors of two models are never compared; documents of another one are embedded again.
    fn model(&self) -> &str;

    /// The length of every vector.
    fn dimensions(&self) -> usize;

    /// One unit vector for each text, in order. No text is blank.
    ///
    /// # Errors
    /// Says what failed, without the texts.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String>;
}

/// Who waits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lane {
    Query,
    Document,
}

/// The threads that embed, and the places for those who wait for them.
pub(super) struct Workers {
    shared: Arc<Shared>,
    /// Places of each lane.
    places: usize,
    queries: Semaphore,
    documents: Semaphore,
}

struct Shared {
    embedder: Arc<dyn Embedder>,
    lanes: Mutex<Lanes>,
    work: Condvar,
}

#[derive(Default)]
struct Lanes {
    queries: VecDeque<Job>,
    documents: VecDeque<Job>,
    closed: bool,
}

/// Texts on their way; `next` is the first that no thread has taken.
struct Job {
    texts: Arc<Vec<String>>,
    next: usize,
    done: UnboundedSender<Batch>,
}

/// The part of a job that one thread works on.
struct Taken {
    texts: Arc<Vec<String>>,
    range: Range<usize>,
    done: UnboundedSender<Batch>,
}

/// The vectors of the texts from `start` on.
struct Batch {
    start: usize,
    vectors: Result<Vec<Vec<f32>>, String>,
}

impl Workers {
    /// # Errors
    /// `Embed` where the system gives no thread.
    pub(super) fn start(embedder: Arc<dyn Embedder>, limits: &Limits) -> Result<Self, Error> {
        let shared = Arc::new(Shared { embedder, lanes: Mutex::default(), work: Condvar::new() });
        for number in 0..limits.embed_threads.max(1) {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("embed-{number}"));
            thread.spawn(move || shared.work()).map_err(|e| Error::Embed(format!("no thread for it: {e}")))?;
        }
        let places = limits.queue.min(Semaphore::MAX_PERMITS);
        Ok(Self { shared, places, queries: Semaphore::new(places), documents: Semaphore::new(places) })
    }

    pub(super) fn embedder(&self) -> &dyn Embedder {
        &*self.shared.embedder
    }

    /// A place in the queue, to be held until the work is done. It waits for nothing: who is told at once can try elsewhere.
    ///
    /// # Errors
    /// `Busy`.
    pub(super) fn permit(&self, lane: Lane) -> Result<SemaphorePermit<'_>, Error> {
        let places = match lane {
            Lane::Query => &self.queries,
            Lane::Document => &self.documents,
        };
        places.try_acquire().map_err(|_| Error::Busy)
    }

    /// Places that are taken, of both lanes.
    pub(super) fn taken(&self) -> usize {
        2 * self.places - self.queries.available_permits() - self.documents.available_permits()
    }

    /// The texts' vectors in their order; blank texts must not be among them. Dropping the future takes what is left out of the queue.
    ///
    /// # Errors
    /// `Embed`, at the first text that fails.
    pub(super) async fn embed(&self, lane: Lane, texts: Arc<Vec<String>>) -> Result<Vec<Vec<f32>>, Error> {
        let count = texts.len();
        let (done, batches) = unbounded_channel();
        if count > 0 {
            let mut lanes = self.shared.lanes();
            match lane {
                Lane::Query => lanes.queries.push_back(Job { texts, next: 0, done }),
                Lane::Document => lanes.documents.push_back(Job { texts, next: 0, done }),
            }
            drop(lanes);
            self.shared.work.notify_all();
        }
        collect(batches, count).await
    }
}

impl Drop for Workers {
    /// The threads end by themselves after the batch at hand; waiting for them here would block a thread of tokio's.
    fn drop(&mut self) {
        self.shared.lanes().closed = true;
        self.shared.work.notify_all();
    }
}

async fn collect(mut batches: UnboundedReceiver<Batch>, count: usize) -> Result<Vec<Vec<f32>>, Error> {
    let mut vectors = vec![Vec::new(); count];
    let mut missing = count;
    while missing > 0 {
        let batch = batches.recv().await.ok_or_else(|| Error::Embed("it was stopped".into()))?;
        let found = batch.vectors.map_err(Error::Embed)?;
        missing -= found.len();
        for (place, vector) in vectors[batch.start..].iter_mut().zip(found) {
            *place = vector;
        }
    }
    Ok(vectors)
}

impl Shared {
    fn work(&self) {
        loop {
            let mut lanes = self.lanes();
            let Taken { texts, range, done } = loop {
                if lanes.closed {
                    return;
                }
                match lanes.take() {
                    Some(taken) => break taken,
                    None => lanes = self.work.wait(lanes).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(lanes);
            let start = range.start;
            let vectors = self.embed(&texts[range]);
            // Where nobody listens any more, the request is gone, and so is the use of the answer.
            let _ = done.send(Batch { start, vectors });
        }
    }

    /// The embedder's answer, checked: what it breaks here would be on the disk otherwise.
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        // A thread that dies with a panic would leave the queue to fewer and fewer.
        let vectors = catch_unwind(AssertUnwindSafe(|| self.embedder.embed(&texts))).unwrap_or_else(|_| Err("it panicked".into()))?;
        let whole = |vector: &Vec<f32>| vector.len() == self.embedder.dimensions() && vector.iter().all(|x| x.is_finite());
        if vectors.len() != texts.len() || !vectors.iter().all(whole) {
            return Err("it gave too few vectors, or broken ones".into());
        }
        Ok(vectors)
    }

    /// No code that can panic runs under the lock.
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    /// The next batch: of the oldest query, or of the document whose turn it is.
    fn take(&mut self) -> Option<Taken> {
        loop {
            let lane = if self.queries.is_empty() { &mut self.documents } else { &mut self.queries };
            let mut job = lane.pop_front()?;
            if job.done.is_closed() {
                continue;
            }
            let range = job.next..(job.next + BATCH_TEXTS).min(job.texts.len());
            let taken = Taken { texts: Arc::clone(&job.texts), range: range.clone(), done: job.done.clone() };
            job.next = range.end;
            if job.next < job.texts.len() {
                lane.push_back(job);
            }
            return Some(taken);
        }
    }
}

#[cfg(test)]
mod tests;
