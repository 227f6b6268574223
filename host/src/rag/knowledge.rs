//! The way of a document in and of a query out: what is cut, embedded, stored and ranked, in which order, and who waits for what.
//! All that is ranked together has vectors of one space, the one that the namespace is searched in at that moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::OnceCell;

use super::calibration::Scale;
use super::choice::{BUILTIN, Embedders};
use super::embed::Priority;
use super::open::{OpenEmbedder, OpenEmbedders};
use super::reindex::Reindexes;
use super::rerank::{Rerankers, reranked};
use super::spaces::{Recorded, VectorSpace};
use super::store::{Candidate, DocumentInfo, DocumentStore, Lookup, NewDocument, Put};
use super::{Chunk, Document, Embedder, Error, Found, Limits, Mode, Namespace, Query, Receipt, chunk, fusion, same, turns};
use crate::chat::Client;

/// Candidates of each kind for every hit wanted, and at least: two rankings say more together the more of each is known.
const CANDIDATES_PER_HIT: usize = 4;
const CANDIDATES_MIN: usize = 50;

/// All documents of all namespaces. Cheap to share behind an `Arc`.
pub struct Knowledge {
    limits: Limits,
    store: Arc<dyn DocumentStore>,
    embedders: Arc<OpenEmbedders>,
    reindexes: Arc<Reindexes>,
    /// None if the configuration names no model that ranks.
    rerankers: Option<Rerankers>,
    /// Set for each namespace that was got ready since the process began.
    ready: Arc<Mutex<HashMap<Namespace, Arc<OnceCell<()>>>>>,
}

impl Knowledge {
    /// With one embedder, as if it were the one inside the program.
    ///
    /// # Errors
    /// `Embed` if no thread can be started.
    pub fn new(store: Arc<dyn DocumentStore>, embedder: Arc<dyn Embedder>, limits: Limits) -> Result<Self, Error> {
        let embedders = OpenEmbedders::start([(BUILTIN.to_owned(), embedder)].into(), Embedders::default(), &limits)?;
        Ok(Self::with(store, embedders, limits))
    }

    /// With these embedders.
    pub fn with(store: Arc<dyn DocumentStore>, embedders: OpenEmbedders, limits: Limits) -> Self {
        let reindexes = Arc::new(Reindexes::new(Arc::clone(&store), limits.reindexes));
        Self { limits, store, embedders: Arc::new(embedders), reindexes, rerankers: None, ready: Arc::default() }
    }

    /// With models that rank what was found, in place of those before.
    #[must_use]
    pub fn with_rerankers(self, rerankers: Rerankers) -> Self {
        Self { rerankers: Some(rerankers).filter(|rerankers| !rerankers.named.is_empty()), ..self }
    }

    /// The same documents and the same embedders under other limits.
    #[must_use]
    pub fn renewed(&self, limits: Limits) -> Self {
        let Self { store, embedders, reindexes, rerankers, ready, .. } = self;
        let (embedders, reindexes) = (Arc::clone(embedders), Arc::clone(reindexes));
        Self { limits, store: Arc::clone(store), embedders, reindexes, rerankers: rerankers.clone(), ready: Arc::clone(ready) }
    }

    /// Its limits are in force: as many may wait for each embedder as they say.
    pub fn take_effect(&self) {
        self.embedders.resize(&self.limits);
        self.reindexes.resize(self.limits.reindexes);
    }

    /// Adds a document, or replaces the one of its name. When this returns it is stored and every search finds it.
    /// A future that is dropped has either added the whole document or nothing. What the namespace has already is not embedded again, and one
    /// that is there with the same name and content stays.
    ///
    /// # Errors
    /// `Empty`, `TooLarge` and `Busy` by the document and the moment; the others are ours. Nothing was stored then.
    pub async fn add(&self, namespace: &Namespace, document: Document, client: &Client) -> Result<Receipt, Error> {
        self.take_in(namespace, document, client, false).await
    }

    /// As `add`, but waits for a place in the embedder's queue.
    ///
    /// # Errors
    /// As for `add`, but for `Busy`.
    pub async fn add_in_turn(&self, namespace: &Namespace, document: Document, client: &Client) -> Result<Receipt, Error> {
        self.take_in(namespace, document, client, true).await
    }

    async fn take_in(&self, namespace: &Namespace, document: Document, client: &Client, waits: bool) -> Result<Receipt, Error> {
        let (mut embedder, mut space) = self.embedder(namespace).await?;
        let mut permit = embedder.place(client, waits).await?;
        let (info, chunks, texts) = self.split(document).await?;
        let (store, texts) = (&*self.store, Arc::new(texts));
        loop {
            let alike = same::alike(store, namespace, &info, &space).await?;
            if let Some(receipt) = same::unchanged(store, namespace, &info, alike.as_ref()).await? {
                return Ok(receipt);
            }
            // Before it is embedded, which may take minutes; `put` counts again.
            if store.chunk_count(namespace, &info.name).await? + chunks.len() > self.limits.chunks_per_namespace {
                return Err(self.full(namespace));
            }
            let vectors = match same::vectors(store, alike.as_ref(), chunks.len(), &space).await? {
                Some(vectors) => vectors,
                None => embedder.workers.embed(Priority::Document, client, Arc::clone(&texts)).await?,
            };
            self.get_ready(namespace, &space).await?;
            let document = NewDocument { info: info.clone(), space: space.clone(), chunks: Arc::clone(&chunks), vectors };
            match self.put(namespace, &embedder.recorded(space), document).await? {
                Put::Stored { replaced } => {
                    let DocumentInfo { id: document_id, bytes, .. } = info;
                    let bytes = bytes as usize;
                    return Ok(Receipt { document_id, chunks: chunks.len(), bytes, replaced, unchanged: false });
                }
                Put::Full => return Err(self.full(namespace)),
                // Meanwhile a reindex came to its end, or the namespace was deleted and is another one now.
                Put::OtherSpace => {
                    drop(permit);
                    (embedder, space) = self.embedder(namespace).await?;
                    permit = embedder.place(client, waits).await?;
                }
            }
        }
    }

    async fn put(&self, namespace: &Namespace, maker: &Recorded, document: NewDocument) -> Result<Put, Error> {
        let _may_write = self.reindexes.may_write(namespace).await;
        self.store.record(namespace, maker).await?;
        self.store.put(namespace, document, self.limits.chunks_per_namespace).await
    }

    /// The embedder whose vectors the namespace has, or that the operator wants for it if it has none, and their space.
    async fn embedder(&self, namespace: &Namespace) -> Result<(Arc<OpenEmbedder>, VectorSpace), Error> {
        let Some(spaces) = self.store.spaces(namespace).await? else {
            let wanted = Arc::clone(self.embedders.wanted(namespace));
            let space = wanted.space().await?;
            return Ok((wanted, space));
        };
        match self.embedders.of(&spaces.serves) {
            Some(embedder) => Ok((Arc::clone(embedder), spaces.serves.space)),
            None => Err(self.reindexes.without(namespace, &spaces.serves, self.embedders.wanted(namespace))),
        }
    }

    /// The texts' vectors, one each in their order, computed at the priority of documents; none of the texts may be blank.
    ///
    /// # Errors
    /// `Busy` by the moment, `Embed`.
    pub async fn embed(&self, texts: Vec<String>, client: &Client) -> Result<Vec<Vec<f32>>, Error> {
        let workers = &self.embedders.builtin().workers;
        let _permit = workers.permit(Priority::Document, client)?;
        workers.embed(Priority::Document, client, Arc::new(texts)).await
    }

    pub(super) fn store(&self) -> &dyn DocumentStore {
        &*self.store
    }

    pub(super) fn embedders(&self) -> &OpenEmbedders {
        &self.embedders
    }

    pub(super) fn reindexes(&self) -> &Reindexes {
        &self.reindexes
    }

    /// The length of every vector that clients get.
    pub fn dimensions(&self) -> usize {
        self.embedders.builtin().dimensions()
    }

    /// Whether the configuration names such a model that ranks.
    pub fn has_reranker(&self, name: &str) -> bool {
        self.rerankers.as_ref().is_some_and(|rerankers| rerankers.named.contains_key(name))
    }

    /// Documents on their way in and queries that wait, each counted from when it took its permit until it is done.
    pub fn queued(&self) -> usize {
        self.embedders.held()
    }

    /// Questions whose vector was remembered, and those whose was computed.
    pub fn asked(&self) -> (u64, u64) {
        self.embedders.asked()
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
        if text.is_empty() || self.store.is_empty(namespace).await? {
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

    /// Those of the first text, or of both together, and the scale of the first. All are of one space: if a reindex put another one in its place
    /// meanwhile, it is looked once more.
    async fn candidates(
        &self,
        namespace: &Namespace,
        query: &Query,
        texts: Vec<String>,
        top_k: usize,
    ) -> Result<(Vec<Candidate>, Scale), Error> {
        if query.mode == Mode::Keyword {
            return self.found(namespace, query, texts, top_k, self.embedders.wanted(namespace), None).await;
        }
        loop {
            let (embedder, space) = self.embedder(namespace).await?;
            let found = self.found(namespace, query, texts.clone(), top_k, &embedder, Some(&space)).await?;
            if self.store.spaces(namespace).await?.is_none_or(|now| now.serves.space == space) {
                return Ok(found);
            }
        }
    }

    /// The candidates in a space; without one, by words alone.
    async fn found(
        &self,
        namespace: &Namespace,
        query: &Query,
        texts: Vec<String>,
        top_k: usize,
        OpenEmbedder { workers, .. }: &OpenEmbedder,
        space: Option<&VectorSpace>,
    ) -> Result<(Vec<Candidate>, Scale), Error> {
        let mode = query.mode;
        // At least one, for the best score.
        let wanted = top_k.max(self.handed_over(query)).max(1);
        let count =
            if mode == Mode::Vector && query.mmr >= 1.0 { wanted } else { (top_k * CANDIDATES_PER_HIT).max(CANDIDATES_MIN).max(wanted) };
        let within = match space {
            None => None,
            Some(space) => Some((space, workers.background().await?)),
        };
        if let Some(space) = space {
            self.get_ready(namespace, space).await?;
        }
        // Not before: getting ready may take long, and queries of other namespaces must not be refused meanwhile. Held until everything is looked up,
        // so that what waits for the store is bounded too, whichever way it is looked for.
        let _permit = workers.permit(Priority::Query, &query.client)?;
        let (mut candidates, mut first) = (None, None);
        for text in texts {
            let (mut like, mut scale) = (None, None);
            if let Some((space, background)) = within {
                let vector = workers.query(&query.client, text.clone()).await?;
                scale = Some(background.scale(&vector));
                like = Some((space.clone(), vector.into()));
            }
            let text = (mode != Mode::Vector).then_some(text);
            let mut found = self.store.look_up(namespace, Lookup { like, text, count, filter: query.filter.clone() }).await?;
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

    /// Sees to it that the store is prepared for searches in the space. A caller that waits for this may go away; the work goes on for the next one.
    async fn get_ready(&self, namespace: &Namespace, space: &VectorSpace) -> Result<(), Error> {
        let cell = {
            let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(ready.entry(namespace.clone()).or_default())
        };
        if cell.initialized() {
            return Ok(());
        }
        let (store, namespace, space) = (Arc::clone(&self.store), namespace.clone(), space.clone());
        let work = tokio::spawn(async move { cell.get_or_try_init(|| store.prepare(&namespace, &space)).await.copied() });
        work.await.unwrap_or_else(|e| Err(Error::Index(format!("loading it ended early: {e}"))))
    }
}
