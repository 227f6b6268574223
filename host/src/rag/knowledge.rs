//! The way of a document in and of a query out.
//! An index gets a document's chunks before SQLite does, and only what SQLite has is a hit; the commit and the end of the chunks that
//! were replaced are one step for every search. So a document is seen whole, in its old or its new form. Must not know HTTP or pipelines.

mod namespace_index;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use self::namespace_index::NamespaceIndex;
use super::embed::{Lane, Workers};
use super::records::{Entry, Records, Written};
use super::{Document, Embedder, Error, Found, Limits, Namespace, Query, Receipt, chunk};

/// Vectors put into an index under one lock, a few milliseconds; searches come in between.
const ADD_VECTORS: usize = 16;

/// All documents of all namespaces. Cheap to share behind an `Arc`; one process has a database to itself.
pub struct Knowledge {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Limits,
    records: Records,
    workers: Workers,
    /// The folder of the index files, beside the database.
    folder: PathBuf,
    shelves: Mutex<HashMap<Namespace, Arc<NamespaceIndex>>>,
}

impl Knowledge {
    /// Opens the database. Indexes are loaded when their namespace is first used; documents whose vectors are of another model than the
    /// embedder's are then embedded again. Blocks.
    ///
    /// # Errors
    /// `Store` where the file cannot be used, `Embed` where no thread can be started.
    pub fn open(database: &Path, embedder: Arc<dyn Embedder>, limits: Limits) -> Result<Self, Error> {
        let records = Records::open(database)?;
        let workers = Workers::start(embedder, &limits)?;
        let folder = database.with_file_name("index");
        Ok(Self { inner: Arc::new(Inner { limits, records, workers, folder, shelves: Mutex::default() }) })
    }

    /// Adds a document, or replaces the one of its name. When this returns it is on the disk and every search finds it.
    /// A future that is dropped has either added the whole document or nothing.
    ///
    /// # Errors
    /// `Empty`, `TooLarge` and `Busy` by the document and the moment; the others are ours. Nothing was stored then.
    pub async fn add(&self, namespace: &Namespace, document: Document) -> Result<Receipt, Error> {
        let inner = &self.inner;
        let _permit = inner.workers.permit(Lane::Document)?;
        let split = move |inner: &Inner| chunk::split(&document, &inner.limits).map(|chunks| (document, Arc::new(chunks)));
        let (document, chunks) = inner.blocking(split).await?;
        let (name, count) = (document.name.clone(), chunks.len());
        let space = namespace.clone();
        inner.blocking(move |inner| inner.records.check_room(&space, &name, count, &inner.limits)).await?;
        let vectors = inner.workers.embed(Lane::Document, Arc::clone(&chunks)).await?;
        let shelf = Inner::shelf(inner, namespace).await?;
        let turn = Arc::clone(&shelf.turn).lock_owned().await;
        let written = inner.blocking(move |inner| {
            let _turn = turn;
            inner.put(&shelf, &document, &chunks, &vectors).map(|written| (written, document.text.len()))
        });
        let (Written { document_id, replaced, .. }, bytes) = written.await?;
        Ok(Receipt { document_id, chunks: count, bytes, replaced })
    }

    /// The texts' vectors, one each in their order, computed when no query waits; none may be blank.
    ///
    /// # Errors
    /// `Busy` by the moment, `Embed`.
    pub async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, Error> {
        let workers = &self.inner.workers;
        let _permit = workers.permit(Lane::Document)?;
        workers.embed(Lane::Document, Arc::new(texts)).await
    }

    /// The length of every vector.
    pub fn dimensions(&self) -> usize {
        self.inner.workers.embedder().dimensions()
    }

    /// Documents on their way in and queries that wait, each counted from when it took its place in the queue until it is done.
    pub fn queued(&self) -> usize {
        self.inner.workers.taken()
    }

    /// The chunks most like the query.
    ///
    /// # Errors
    /// `Busy` by the moment; the others are ours.
    pub async fn search(&self, namespace: &Namespace, query: Query) -> Result<Found, Error> {
        let inner = &self.inner;
        let (top_k, threshold) = (query.top_k.min(inner.limits.top_k), query.score_threshold);
        // The start is kept: it is what the embedder reads of a long text anyway, so that the cut changes nothing that is found.
        let text = query.text.trim_start();
        let text = text[..text.floor_char_boundary(inner.limits.query_bytes)].to_owned();
        let space = namespace.clone();
        // Before the embedder: it need not be loaded, and nobody need wait, where there is nothing to find.
        if text.is_empty() || inner.blocking(move |inner| inner.records.is_empty(&space)).await? {
            return Ok(Found { hits: Vec::new(), best_score: None, top_k });
        }
        let shelf = Inner::shelf(inner, namespace).await?;
        // Not before: loading an index takes its time, and other namespaces must not wait for places meanwhile.
        let _permit = inner.workers.permit(Lane::Query)?;
        let vector = inner.workers.embed(Lane::Query, Arc::new(vec![text])).await?.pop().expect("one text gives one vector");
        inner.blocking(move |inner| inner.find(&shelf, &vector, top_k, threshold)).await
    }
}

impl Inner {
    /// Runs what blocks on a thread that may block. It runs to its end even if nobody waits for it any more.
    async fn blocking<T, F>(self: &Arc<Self>, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    {
        let inner = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|e| Err(Error::Store(format!("a task ended early: {e}"))))
    }

    /// The namespace's shelf, its index loaded and in agreement with SQLite.
    async fn shelf(this: &Arc<Self>, namespace: &Namespace) -> Result<Arc<NamespaceIndex>, Error> {
        let shelf = {
            let mut shelves = this.shelves.lock().unwrap_or_else(PoisonError::into_inner);
            let made = || Arc::new(NamespaceIndex::new(namespace.clone(), &this.folder));
            Arc::clone(shelves.entry(namespace.clone()).or_insert_with(made))
        };
        NamespaceIndex::load(&shelf, this).await?;
        Ok(shelf)
    }

    /// The caller has the shelf's turn: writes to one namespace reach SQLite and the index in the same order.
    fn put(&self, shelf: &NamespaceIndex, document: &Document, chunks: &[String], vectors: &[Vec<f32>]) -> Result<Written, Error> {
        let first_chunk = self.records.allocate(chunks.len());
        let ids: Vec<i64> = (first_chunk..).take(chunks.len()).collect();
        let written = self.propose(shelf, &ids, vectors).and_then(|()| {
            let model = self.workers.embedder().model();
            let entry = Entry { namespace: &shelf.namespace, document, model, first_chunk, chunks, vectors };
            self.records.write(&entry, &self.limits, || shelf.index())
        });
        // A vector too many in the index is no hit, so that a failure to remove it takes nothing back.
        let (written, removed, due) = match written {
            Ok((written, mut index)) => {
                let removed = index.remove(&written.gone);
                (Ok(written), removed, index.due_bytes(self.workers.embedder().model()))
            }
            Err(error) => (Err(error), shelf.index().remove(&ids), Ok(None)),
        };
        if let Err(error) = removed {
            tracing::warn!(%error, "chunks that are gone stay in the vector index until it is rebuilt");
        }
        shelf.save(due);
        written
    }

    fn propose(&self, shelf: &NamespaceIndex, ids: &[i64], vectors: &[Vec<f32>]) -> Result<(), Error> {
        for (ids, vectors) in ids.chunks(ADD_VECTORS).zip(vectors.chunks(ADD_VECTORS)) {
            let mut index = shelf.index();
            for (id, vector) in ids.iter().zip(vectors) {
                index.add(*id, vector)?;
            }
        }
        Ok(())
    }

    fn find(&self, shelf: &NamespaceIndex, vector: &[f32], top_k: usize, threshold: f32) -> Result<Found, Error> {
        let wanted = top_k.max(1);
        // More than wanted, because the index ranks by rounded vectors; SQLite has them whole.
        let mut count = wanted * 2 + 16;
        // Held until the rows are read: no commit comes in between.
        let index = shelf.index();
        let rows = loop {
            let rows = self.records.rows(&index.nearest(vector, count)?)?;
            // Some are missing only while a document is on its way in.
            if rows.len() >= wanted || count >= index.len() {
                break rows;
            }
            count *= 2;
        };
        drop(index);
        let mut scored: Vec<_> = rows.into_iter().map(|row| (cosine(vector, &row.vector), row)).collect();
        scored.sort_by(|(a, left), (b, right)| b.total_cmp(a).then(left.id.cmp(&right.id)));
        let best_score = scored.first().map(|(score, _)| *score);
        let hits = scored.into_iter().take(top_k).filter(|(score, _)| *score >= threshold);
        let hits = hits.map(|(score, row)| crate::chat::Hit { score, ..row.hit }).collect();
        Ok(Found { hits, best_score, top_k })
    }
}

/// Of unit vectors; rounding may carry the product over 1.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>().clamp(-1.0, 1.0)
}
