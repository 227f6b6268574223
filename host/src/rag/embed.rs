//! Texts to vectors, on threads of their own: an embedder computes for tens of milliseconds, which would hold up tokio's threads.
//! Queries and documents have a pool of threads each, and documents the lower priority: a query waits for no batch of a document, and documents
//! go on while queries never end. In each pool clients take turns, and so do the documents of one client.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::cache::Cache;
use super::calibration::Background;
use super::spaces::VectorSpace;
use super::{Error, Limits};
use crate::chat::Client;
use crate::fair::{Lanes, Share, Shares, step_back};

/// How much less than others the threads of documents get while the processors are short: at 10, a tenth. So a query takes about as long beside
/// documents as without them, and documents never stand still.
const DOCUMENT_NICENESS: i32 = 10;

/// Turns texts into vectors. Its calls block and come from several threads at once.
pub trait Embedder: Send + Sync + 'static {
    /// Names the space that the vectors lie in. Vectors of two models are never compared.
    fn model(&self) -> &str;

    /// The length of every vector.
    fn dimensions(&self) -> usize;

    /// Whether its vectors lie in that space, as far as it knows without asking anybody.
    fn makes(&self, space: &VectorSpace) -> bool {
        *space.model == *self.model() && space.dimensions == self.dimensions()
    }

    /// Learns what `model` and `dimensions` say, if it must ask for that. Nothing is embedded before it succeeded, or `makes` said yes.
    ///
    /// # Errors
    /// Says what failed.
    fn find_out(&self) -> Result<(), String> {
        Ok(())
    }

    /// One unit vector for each text, in order. No text is blank.
    ///
    /// # Errors
    /// Says what failed, without the texts.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String>;

    /// As `embed`, for questions, which some models want to be told.
    ///
    /// # Errors
    /// As for `embed`.
    fn embed_queries(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, String> {
        self.embed(texts)
    }

    /// Whether texts that have nothing to do with one another are known to have a cosine of 0. Of other models that is measured.
    fn is_centred(&self) -> bool {
        false
    }

    /// What a thread hands over at a time. Clients take turns from batch to batch, so it is no more than what the embedder gains from.
    fn batch_size(&self) -> BatchSize {
        BatchSize { texts: 2, bytes: usize::MAX }
    }
}

/// The most of a request that is embedded before it is the next one's turn; at least one text.
#[derive(Clone, Copy, Debug)]
pub struct BatchSize {
    pub texts: usize,
    pub bytes: usize,
}

/// What the texts are of, which decides whose threads embed them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Priority {
    /// A question: somebody waits for the answer.
    Query,
    Document,
}

/// The threads that embed, and the permits that bound how many may wait for them.
pub(super) struct Workers {
    queries: Pool,
    documents: Pool,
    asked: Cache,
    background: OnceCell<Background>,
}

/// The threads for one kind of texts.
struct Pool {
    shared: Arc<Shared>,
    permits: Shares,
}

struct Shared {
    embedder: Arc<dyn Embedder>,
    priority: Priority,
    queue: Mutex<Queue>,
    work: Condvar,
}

struct Queue {
    requests: Lanes<Request>,
    batch_size: BatchSize,
    closed: bool,
}

/// Texts that somebody waits for.
struct Request {
    texts: Arc<Vec<String>>,
    /// The first text that no thread has taken.
    next: usize,
    results: UnboundedSender<BatchResult>,
}

/// The part of a request that one thread works on.
struct Batch {
    texts: Arc<Vec<String>>,
    range: Range<usize>,
    results: UnboundedSender<BatchResult>,
}

/// The vectors of a request's texts from `start` on.
struct BatchResult {
    start: usize,
    vectors: Result<Vec<Vec<f32>>, String>,
}

impl Workers {
    /// # Errors
    /// `Embed` if the system gives no thread.
    pub(super) fn start(embedder: Arc<dyn Embedder>, limits: &Limits) -> Result<Self, Error> {
        let queries = Pool::start(Priority::Query, embedder.clone(), limits)?;
        let documents = Pool::start(Priority::Document, embedder, limits)?;
        Ok(Self { queries, documents, asked: Cache::new(limits.query_cache_bytes), background: OnceCell::new() })
    }

    fn of(&self, priority: Priority) -> &Pool {
        match priority {
            Priority::Query => &self.queries,
            Priority::Document => &self.documents,
        }
    }

    /// A permit to wait in the queue, to be held until the work is done. It is given or refused at once, so that the caller can try elsewhere.
    ///
    /// # Errors
    /// `Busy`: the queue is full, or it is the client's share of it that is.
    pub(super) fn permit(&self, priority: Priority, client: &Client) -> Result<Share, Error> {
        self.of(priority).permits.take(client, 1).ok_or(Error::Busy)
    }

    /// As `permit`, but waits for it; clients take turns.
    pub(super) async fn turn(&self, priority: Priority, client: &Client) -> Share {
        self.of(priority).permits.wait(client, 1).await
    }

    /// What the embedder makes of texts that have nothing to do with any question, measured at first use.
    ///
    /// # Errors
    /// `Embed`; it is measured again by whoever asks next.
    pub(super) async fn background(&self) -> Result<&Background, Error> {
        let measure = async {
            if self.queries.shared.embedder.is_centred() {
                return Ok(Background::of(Vec::new()));
            }
            // As documents, which some models want to be told from questions.
            self.embed(Priority::Document, &Client::Host, Arc::new(Background::texts())).await.map(Background::of)
        };
        self.background.get_or_try_init(|| measure).await
    }

    /// So many may wait from now on, of each priority, and so many bytes of questions are remembered.
    pub(super) fn resize(&self, limits: &Limits) {
        self.queries.permits.resize(limits.queue);
        self.documents.permits.resize(limits.queue);
        self.asked.resize(limits.query_cache_bytes);
    }

    /// Questions whose vector was remembered, and those whose was computed.
    pub(super) fn asked(&self) -> (u64, u64) {
        self.asked.counts()
    }

    /// Permits that are held, of both priorities.
    pub(super) fn held(&self) -> usize {
        self.queries.permits.held() + self.documents.permits.held()
    }

    /// A question's vector. One that was asked before waits for nobody. The caller holds the question's permit.
    ///
    /// # Errors
    /// `Embed`.
    pub(super) async fn query(&self, client: &Client, text: String) -> Result<Vec<f32>, Error> {
        if let Some(vector) = self.asked.get(&text) {
            return Ok(vector);
        }
        let texts = Arc::new(vec![text]);
        let vector = self.embed(Priority::Query, client, Arc::clone(&texts)).await?.pop().expect("one text gives one vector");
        self.asked.put(&texts[0], &vector);
        Ok(vector)
    }

    /// The texts' vectors in their order; blank texts must not be among them. Dropping the future takes what is left out of the queue.
    ///
    /// # Errors
    /// `Embed`, at the first text that fails.
    pub(super) async fn embed(&self, priority: Priority, client: &Client, texts: Arc<Vec<String>>) -> Result<Vec<Vec<f32>>, Error> {
        let count = texts.len();
        let (results, batches) = unbounded_channel();
        if count > 0 {
            let shared = &self.of(priority).shared;
            shared.queue().requests.push(client, Request { texts, next: 0, results });
            shared.work.notify_all();
        }
        collect(batches, count).await
    }
}

impl Pool {
    fn start(priority: Priority, embedder: Arc<dyn Embedder>, limits: &Limits) -> Result<Self, Error> {
        let name = match priority {
            Priority::Query => "embed-query",
            Priority::Document => "embed-doc",
        };
        let queue = Queue { requests: Lanes::default(), batch_size: embedder.batch_size(), closed: false };
        let shared = Arc::new(Shared { embedder, priority, queue: Mutex::new(queue), work: Condvar::new() });
        for number in 0..limits.embed_threads.max(1) {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("{name}-{number}"));
            thread.spawn(move || shared.work()).map_err(|e| Error::Embed(format!("no thread for it: {e}")))?;
        }
        Ok(Self { shared, permits: Shares::new(limits.queue) })
    }
}

impl Drop for Pool {
    /// The threads end by themselves after the batch at hand; waiting for them here would block a thread of tokio's.
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.work.notify_all();
    }
}

async fn collect(mut batches: UnboundedReceiver<BatchResult>, count: usize) -> Result<Vec<Vec<f32>>, Error> {
    let mut vectors = vec![Vec::new(); count];
    let mut missing = count;
    while missing > 0 {
        let batch = batches.recv().await.ok_or_else(|| Error::Embed("it was stopped".into()))?;
        let found = batch.vectors.map_err(Error::Embed)?;
        missing -= found.len();
        for (slot, vector) in vectors[batch.start..].iter_mut().zip(found) {
            *slot = vector;
        }
    }
    Ok(vectors)
}

impl Shared {
    fn work(&self) {
        if let Priority::Document = self.priority {
            step_back(DOCUMENT_NICENESS);
        }
        loop {
            let mut queue = self.queue();
            let Batch { texts, range, results } = loop {
                if queue.closed {
                    return;
                }
                match queue.take() {
                    Some(batch) => break batch,
                    None => queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(queue);
            let start = range.start;
            let vectors = self.embed(&texts[range]);
            // If nobody listens any more, the request is gone and nobody needs the answer.
            let _ = results.send(BatchResult { start, vectors });
        }
    }

    /// The embedder's answer, checked: a wrong vector would be stored otherwise.
    fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, String> {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let embed = || match self.priority {
            Priority::Query => self.embedder.embed_queries(&texts),
            Priority::Document => self.embedder.embed(&texts),
        };
        // A panic must not end the thread, or fewer and fewer would serve the queue.
        let vectors = catch_unwind(AssertUnwindSafe(embed)).unwrap_or_else(|_| Err("it panicked".into()))?;
        let whole = |vector: &Vec<f32>| vector.len() == self.embedder.dimensions() && vector.iter().all(|x| x.is_finite());
        if vectors.len() != texts.len() || !vectors.iter().all(whole) {
            return Err("it gave too few vectors, or broken ones".into());
        }
        Ok(vectors)
    }

    /// No code that can panic runs under the lock.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// The next batch, of the client whose turn it is.
    fn take(&mut self) -> Option<Batch> {
        // Who went away waits for nothing, and takes nobody's turn.
        self.requests.retain(|request| !request.results.is_closed());
        let (client, mut request) = self.requests.take()?;
        let range = self.batch_size.first(request.next, &request.texts);
        let batch = Batch { texts: Arc::clone(&request.texts), range: range.clone(), results: request.results.clone() };
        request.next = range.end;
        if request.next < request.texts.len() {
            self.requests.push(&client, request);
        }
        Some(batch)
    }
}

impl BatchSize {
    /// What it takes of the texts from `next` on.
    fn first(self, next: usize, texts: &[String]) -> Range<usize> {
        let mut bytes = 0_usize;
        let fits = texts[next..].iter().take(self.texts.max(1)).take_while(|text| {
            bytes = bytes.saturating_add(text.len());
            bytes <= self.bytes
        });
        next..next + fits.count().max(1)
    }
}

#[cfg(test)]
mod tests;
