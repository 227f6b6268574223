//! The way of a document in and of a query out: what is cut, embedded, stored and ranked, in which order, and who waits for what.
//! A namespace's documents all have vectors of the embedder's own model before anything is ranked in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::OnceCell;

use super::embed::{Priority, Workers};
use super::store::{Candidate, DocumentInfo, DocumentStore, Lookup, NewDocument, Put, VectorSpace};
use super::{Chunk, Document, Embedder, Error, Found, Limits, Mode, Namespace, Query, Receipt, chunk, fusion, same, turns};
use crate::chat::Client;

/// Candidates of each kind for every hit wanted, and at least: two rankings say more together the more of each is known.
const CANDIDATES_PER_HIT: usize = 4;
const CANDIDATES_MIN: usize = 50;

/// All documents of all namespaces. Cheap to share behind an `Arc`.
pub struct Knowledge {
    limits: Limits,
    space: VectorSpace,
    /// Who computes the vectors that clients ask for, and their length.
    for_clients: (Arc<Workers>, usize),
    parts: Parts,
    /// Set for each namespace that was got ready since the process began.
    ready: Arc<Mutex<HashMap<Namespace, Arc<OnceCell<()>>>>>,
}

/// What the work needs that goes on in the background.
#[derive(Clone)]
struct Parts {
    store: Arc<dyn DocumentStore>,
    workers: Arc<Workers>,
}

impl Knowledge {
    /// A namespace whose vectors are of another model than the embedder's is embedded again when it is first used.
    ///
    /// # Errors
    /// `Embed` if no thread can be started.
    pub fn new(store: Arc<dyn DocumentStore>, embedder: Arc<dyn Embedder>, limits: Limits) -> Result<Self, Error> {
        let space = VectorSpace { model: embedder.model().into(), dimensions: embedder.dimensions() };
        let workers = Arc::new(Workers::start(embedder, &limits)?);
        let for_clients = (Arc::clone(&workers), space.dimensions);
        Ok(Self { limits, space, for_clients, parts: Parts { store, workers }, ready: Arc::default() })
    }

    /// The same, but clients' own texts are embedded by this one.
    ///
    /// # Errors
    /// As for `new`.
    pub fn with_for_clients(self, embedder: Arc<dyn Embedder>) -> Result<Self, Error> {
        let dimensions = embedder.dimensions();
        let workers = Arc::new(Workers::start(embedder, &self.limits)?);
        Ok(Self { for_clients: (workers, dimensions), ..self })
    }

    /// The same documents and the same embedder under other limits.
    #[must_use]
    pub fn renewed(&self, limits: Limits) -> Self {
        Self {
            limits,
            space: self.space.clone(),
            for_clients: self.for_clients.clone(),
            parts: self.parts.clone(),
            ready: Arc::clone(&self.ready),
        }
    }

    /// Its limits are in force: as many may wait for the embedder as they say.
    pub fn take_effect(&self) {
        self.parts.workers.resize(&self.limits);
        self.for_clients.0.resize(&self.limits);
    }

    /// Adds a document, or replaces the one of its name. When this returns it is stored and every search finds it.
    /// A future that is dropped has either added the whole document or nothing. What the namespace has already is not embedded again, and one
    /// that is there with the same name and content stays.
    ///
    /// # Errors
    /// `Empty`, `TooLarge` and `Busy` by the document and the moment; the others are ours. Nothing was stored then.
    pub async fn add(&self, namespace: &Namespace, document: Document, client: &Client) -> Result<Receipt, Error> {
        let _permit = self.parts.workers.permit(Priority::Document, client)?;
        self.take_in(namespace, document, client).await
    }

    /// As `add`, but waits for a place in the embedder's queue.
    ///
    /// # Errors
    /// As for `add`, but for `Busy`.
    pub async fn add_in_turn(&self, namespace: &Namespace, document: Document, client: &Client) -> Result<Receipt, Error> {
        let _permit = self.parts.workers.turn(Priority::Document, client).await;
        self.take_in(namespace, document, client).await
    }

    /// The caller holds the document's permit.
    async fn take_in(&self, namespace: &Namespace, document: Document, client: &Client) -> Result<Receipt, Error> {
        let Parts { store, workers } = &self.parts;
        let (info, chunks, texts) = self.split(document).await?;
        let alike = same::alike(&**store, namespace, &info, &self.space).await?;
        if let Some(receipt) = same::unchanged(&**store, namespace, &info, alike.as_ref()).await? {
            return Ok(receipt);
        }
        // Before it is embedded, which may take minutes; `put` counts again.
        if store.chunk_count(namespace, &info.name).await? + chunks.len() > self.limits.chunks_per_namespace {
            return Err(self.full(namespace));
        }
        let vectors = match same::vectors(&**store, alike.as_ref(), chunks.len(), &self.space).await? {
            Some(vectors) => vectors,
            None => workers.embed(Priority::Document, client, Arc::new(texts)).await?,
        };
        self.get_ready(namespace).await?;
        let (document_id, bytes, count) = (info.id.clone(), info.bytes, chunks.len());
        let document = NewDocument { info, space: self.space.clone(), chunks, vectors };
        match store.put(namespace, document, self.limits.chunks_per_namespace).await? {
            Put::Stored { replaced } => Ok(Receipt { document_id, chunks: count, bytes: bytes as usize, replaced, unchanged: false }),
            Put::Full => Err(self.full(namespace)),
        }
    }

    /// The texts' vectors, one each in their order, computed at the priority of documents; none of the texts may be blank.
    ///
    /// # Errors
    /// `Busy` by the moment, `Embed`.
    pub async fn embed(&self, texts: Vec<String>, client: &Client) -> Result<Vec<Vec<f32>>, Error> {
        let workers = &self.for_clients.0;
        let _permit = workers.permit(Priority::Document, client)?;
        workers.embed(Priority::Document, client, Arc::new(texts)).await
    }

    pub(super) fn store(&self) -> &dyn DocumentStore {
        &*self.parts.store
    }

    /// The length of every vector that clients get.
    pub fn dimensions(&self) -> usize {
        self.for_clients.1
    }

    /// Documents on their way in and queries that wait, each counted from when it took its permit until it is done.
    pub fn queued(&self) -> usize {
        let Self { parts, for_clients, .. } = self;
        let others = if Arc::ptr_eq(&parts.workers, &for_clients.0) { 0 } else { for_clients.0.held() };
        parts.workers.held() + others
    }

    /// Questions whose vector was remembered, and those whose was computed.
    pub fn asked(&self) -> (u64, u64) {
        self.parts.workers.asked()
    }

    /// The chunks that fit the query best.
    ///
    /// # Errors
    /// `Busy` by the moment; the others are ours.
    pub async fn search(&self, namespace: &Namespace, query: Query) -> Result<Found, Error> {
        let (mode, top_k, threshold) = (query.mode, query.top_k.min(self.limits.top_k), query.score_threshold);
        // The start is kept: it is what the embedder reads of a long text anyway, so that the cut changes nothing that is found.
        let text = query.text.trim_start();
        let text = text[..text.floor_char_boundary(self.limits.query_bytes)].to_owned();
        // Before the embedder: if there is nothing to find, it need not be loaded and nobody need wait for it.
        if text.is_empty() || self.parts.store.is_empty(namespace).await? {
            return Ok(Found { top_k, ..Found::default() });
        }
        let together = turns::together(&text, &query.earlier, self.limits.query_bytes);
        let texts = std::iter::once(text).chain(together).collect();
        let candidates = self.candidates(namespace, &query, texts, top_k).await?;
        let best_score = candidates.iter().find(|candidate| candidate.vector_rank == Some(1)).map(|best| best.hit.score);
        let ranked = fusion::rank(candidates, mode);
        let best_score = best_score.or_else(|| ranked.iter().map(|ranked| ranked.hit.score).max_by(f32::total_cmp));
        let (mut passed, mut below): (Vec<_>, Vec<_>) = ranked.into_iter().partition(|ranked| ranked.passes(mode, threshold));
        passed = fusion::diverse(passed, top_k, query.mmr);
        below.truncate(top_k);
        let (hits, evidence) = passed.into_iter().map(|ranked| (ranked.hit, ranked.evidence)).unzip();
        let below = below.into_iter().map(|ranked| (ranked.hit, ranked.evidence)).collect();
        Ok(Found { hits, evidence, below, best_score, top_k })
    }

    /// Those of the first text, or of both together.
    async fn candidates(&self, namespace: &Namespace, query: &Query, texts: Vec<String>, top_k: usize) -> Result<Vec<Candidate>, Error> {
        let Parts { store, workers } = &self.parts;
        let mode = query.mode;
        // At least one, for the best score.
        let count = if mode == Mode::Vector && query.mmr >= 1.0 { top_k.max(1) } else { (top_k * CANDIDATES_PER_HIT).max(CANDIDATES_MIN) };
        if mode != Mode::Keyword {
            self.get_ready(namespace).await?;
        }
        // Not before: getting ready may take long, and queries of other namespaces must not be refused meanwhile. Held until everything is looked up,
        // so that what waits for the store is bounded too, whichever way it is looked for.
        let _permit = workers.permit(Priority::Query, &query.client)?;
        let mut candidates = None;
        for text in texts {
            let like = match mode {
                Mode::Keyword => None,
                Mode::Vector | Mode::Hybrid => Some((self.space.clone(), workers.query(&query.client, text.clone()).await?.into())),
            };
            let text = (mode != Mode::Vector).then_some(text);
            let found = store.look_up(namespace, Lookup { like, text, count, filter: query.filter.clone() }).await?;
            candidates = Some(match candidates {
                None => found,
                Some(newest) => turns::merged(newest, found),
            });
        }
        Ok(candidates.unwrap_or_default())
    }

    /// Cuts a text on a thread that may block: a long one takes seconds. The last of it is what is to be embedded of each chunk.
    async fn split(&self, document: Document) -> Result<(DocumentInfo, Arc<Vec<Chunk>>, Vec<String>), Error> {
        let limits = self.limits.clone();
        let split = tokio::task::spawn_blocking(move || {
            let chunks = chunk::split(&document, &limits)?;
            let Document { name, text, title, metadata, .. } = document;
            let texts: Vec<String> = chunks.iter().map(|chunk| chunk.embedded(title.as_deref())).collect();
            let sha256 = same::sha256(&text);
            let info = DocumentInfo {
                id: uuid::Uuid::now_v7().to_string(),
                name,
                content: same::content(&sha256, title.as_deref(), &chunks, &texts),
                sha256,
                bytes: text.len() as u64,
                created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
                title,
                metadata,
            };
            Ok((info, Arc::new(chunks), texts))
        });
        split.await.unwrap_or_else(|e| Err(Error::Store(format!("a task ended early: {e}"))))
    }

    fn full(&self, namespace: &Namespace) -> Error {
        let what = format!("the number of chunks in the namespace `{}`", namespace.name);
        Error::TooLarge { what, limit: self.limits.chunks_per_namespace, key: "limits.rag.chunks_per_namespace" }
    }

    /// Sees to it that every document of the namespace has vectors of the embedder's model and that the store is prepared. A caller that waits
    /// for this may go away; the work goes on for the next one.
    async fn get_ready(&self, namespace: &Namespace) -> Result<(), Error> {
        let cell = {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(ready.entry(namespace.clone()).or_default())
        };
        if cell.initialized() {
            return Ok(());
        }
        let (parts, namespace, space) = (self.parts.clone(), namespace.clone(), self.space.clone());
        let work = tokio::spawn(async move { cell.get_or_try_init(|| parts.get_ready(&namespace, &space)).await.copied() });
        work.await.unwrap_or_else(|e| Err(Error::Index(format!("loading it ended early: {e}"))))
    }
}

impl Parts {
    /// One document after another, each in one transaction: what is done stays done if this is cut short.
    async fn get_ready(&self, namespace: &Namespace, space: &VectorSpace) -> Result<(), Error> {
        for id in self.store.stale(namespace, &space.model).await? {
            let texts = self.store.texts(&id).await?;
            let vectors = self.workers.embed(Priority::Document, &Client::Host, Arc::new(texts)).await?;
            // It may have been replaced meanwhile; then the vectors of the new one are its writer's concern.
            self.store.set_vectors(namespace, &id, space, vectors).await?;
        }
        self.store.prepare(namespace, space).await
    }
}
