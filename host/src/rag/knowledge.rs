//! The way of a document in and of a query out: what is cut, embedded, stored and ranked, in which order, and who waits for what.
//! A namespace's documents all have vectors of the embedder's own model before anything is ranked in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::calibration::Scale;
use super::embed::{Priority, Workers};
use super::rerank::{Rerankers, reranked};
use super::store::{Candidate, DocumentInfo, DocumentStore, Lookup, NewDocument, Put, VectorSpace};
use super::{Chunk, Document, Embedder, Error, Found, Limits, Mode, Namespace, Query, Receipt, chunk, fusion, turns};
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
    /// None if the configuration names no model that ranks.
    rerankers: Option<Rerankers>,
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
        Ok(Self { limits, space, for_clients, rerankers: None, parts: Parts { store, workers }, ready: Arc::default() })
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

    /// With models that rank what was found, in place of those before.
    #[must_use]
    pub fn with_rerankers(self, rerankers: Rerankers) -> Self {
        Self { rerankers: Some(rerankers).filter(|rerankers| !rerankers.named.is_empty()), ..self }
    }

    /// The same documents and the same embedder under other limits.
    #[must_use]
    pub fn renewed(&self, limits: Limits) -> Self {
        Self {
            limits,
            space: self.space.clone(),
            for_clients: self.for_clients.clone(),
            rerankers: self.rerankers.clone(),
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
    /// A future that is dropped has either added the whole document or nothing.
    ///
    /// # Errors
    /// `Empty`, `TooLarge` and `Busy` by the document and the moment; the others are ours. Nothing was stored then.
    pub async fn add(&self, namespace: &Namespace, document: Document, client: &Client) -> Result<Receipt, Error> {
        let Parts { store, workers } = &self.parts;
        let _permit = workers.permit(Priority::Document, client)?;
        let (info, chunks) = self.split(document).await?;
        // Before it is embedded, which may take minutes; `put` counts again.
        if store.chunk_count(namespace, &info.name).await? + chunks.len() > self.limits.chunks_per_namespace {
            return Err(self.full(namespace));
        }
        let texts = chunks.iter().map(|chunk| chunk.embedded(info.title.as_deref())).collect();
        let vectors = workers.embed(Priority::Document, client, Arc::new(texts)).await?;
        self.get_ready(namespace).await?;
        let (document_id, bytes, count) = (info.id.clone(), info.bytes, chunks.len());
        let document = NewDocument { info, space: self.space.clone(), chunks, vectors };
        match store.put(namespace, document, self.limits.chunks_per_namespace).await? {
            Put::Stored { replaced } => Ok(Receipt { document_id, chunks: count, bytes: bytes as usize, replaced }),
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

    /// Whether the configuration names such a model that ranks.
    pub fn has_reranker(&self, name: &str) -> bool {
        self.rerankers.as_ref().is_some_and(|rerankers| rerankers.named.contains_key(name))
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
        let (candidates, scale) = self.candidates(namespace, &query, texts, top_k).await?;
        let ranked = fusion::rank(candidates, mode, scale);
        let best_score = ranked.iter().map(|ranked| ranked.hit.score).max_by(f32::total_cmp);
        let (mut passed, mut below): (Vec<_>, Vec<_>) = ranked.into_iter().partition(|ranked| ranked.hit.score >= threshold);
        let mut reranking = None;
        if let Some(name) = &query.rerank {
            (passed, reranking) = reranked(self.rerankers.as_ref(), name, &query.text, top_k, passed).await;
        }
        passed = fusion::diverse(passed, top_k, query.mmr);
        below.truncate(top_k);
        let (hits, evidence) = passed.into_iter().map(|ranked| (ranked.hit, ranked.evidence)).unzip();
        let below = below.into_iter().map(|ranked| (ranked.hit, ranked.evidence)).collect();
        Ok(Found { hits, evidence, below, best_score, top_k, reranking })
    }

    /// Those of the first text, or of both together, and the scale of the first.
    async fn candidates(
        &self,
        namespace: &Namespace,
        query: &Query,
        texts: Vec<String>,
        top_k: usize,
    ) -> Result<(Vec<Candidate>, Scale), Error> {
        let Parts { store, workers } = &self.parts;
        let mode = query.mode;
        // At least one, for the best score.
        let wanted = top_k.max(self.handed_over(query)).max(1);
        let count =
            if mode == Mode::Vector && query.mmr >= 1.0 { wanted } else { (top_k * CANDIDATES_PER_HIT).max(CANDIDATES_MIN).max(wanted) };
        let background = if mode == Mode::Keyword { None } else { Some(workers.background().await?) };
        if background.is_some() {
            self.get_ready(namespace).await?;
        }
        // Not before: getting ready may take long, and queries of other namespaces must not be refused meanwhile. Held until everything is looked up,
        // so that what waits for the store is bounded too, whichever way it is looked for.
        let _permit = workers.permit(Priority::Query, &query.client)?;
        let (mut candidates, mut first) = (None, None);
        for text in texts {
            let (mut like, mut scale) = (None, None);
            if let Some(background) = background {
                let vector = workers.query(&query.client, text.clone()).await?;
                scale = Some(background.scale(&vector));
                like = Some((self.space.clone(), vector.into()));
            }
            let text = (mode != Mode::Vector).then_some(text);
            let mut found = store.look_up(namespace, Lookup { like, text, count, filter: query.filter.clone() }).await?;
            if let Some(scale) = scale {
                scale.apply(&mut found);
                first.get_or_insert(scale);
            }
            candidates = Some(match candidates {
                None => found,
                Some(newest) => turns::merged(newest, found),
            });
        }
        Ok((candidates.unwrap_or_default(), first.unwrap_or(Scale::PLAIN)))
    }

    /// How many hits a model is to rank.
    fn handed_over(&self, query: &Query) -> usize {
        let named = |rerankers: &Rerankers| Some(rerankers.named.get(query.rerank.as_ref()?)?.candidates);
        self.rerankers.as_ref().and_then(named).unwrap_or(0)
    }

    /// Cuts a text on a thread that may block: a long one takes seconds.
    async fn split(&self, document: Document) -> Result<(DocumentInfo, Arc<Vec<Chunk>>), Error> {
        let limits = self.limits.clone();
        let split = tokio::task::spawn_blocking(move || {
            let chunks = chunk::split(&document, &limits)?;
            let Document { name, text, title, metadata, .. } = document;
            let info = DocumentInfo {
                id: uuid::Uuid::now_v7().to_string(),
                name,
                sha256: HEXLOWER.encode(&Sha256::digest(&text)),
                bytes: text.len() as u64,
                created: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
                title,
                metadata,
            };
            Ok((info, Arc::new(chunks)))
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
