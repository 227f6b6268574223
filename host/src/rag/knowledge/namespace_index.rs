//! A namespace in memory: its index, whose turn it is to write, and how it comes into agreement with SQLite when it is first used.
//! Must not know documents' texts but to embed them again for another model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use super::super::embed::Lane;
use super::super::index::{Index, write};
use super::super::{Error, Namespace};
use super::Inner;

/// Chunks read from SQLite at once while an index is built.
const BUILD_ROWS: usize = 256;

pub(super) struct NamespaceIndex {
    pub(super) namespace: Namespace,
    pub(super) file: PathBuf,
    /// Held over a write to SQLite and to the index.
    pub(super) turn: Arc<Mutex<()>>,
    /// tokio's lock because it is fair: a document of many chunks takes it again and again, and searches get their turn.
    index: OnceCell<Mutex<Index>>,
}

impl NamespaceIndex {
    pub(super) fn new(namespace: Namespace, folder: &Path) -> Self {
        // Names hold any character, file names do not; the length keeps ("a", "bc") apart from ("ab", "c").
        let name = Sha256::digest(format!("{} {}{}", namespace.api.len(), namespace.api, namespace.name));
        let name: String = name.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self { namespace, file: folder.join(name), turn: Arc::default(), index: OnceCell::new() }
    }

    /// The index, for a short while, on a thread that may block.
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.get().expect("`Inner::shelf` gives loaded shelves only").blocking_lock()
    }

    /// Loads the index if nobody has. Who waits may go away; the work goes on for the next one.
    pub(super) async fn load(this: &Arc<Self>, inner: &Arc<Inner>) -> Result<(), Error> {
        if this.index.initialized() {
            return Ok(());
        }
        let (shelf, inner) = (Arc::clone(this), Arc::clone(inner));
        let load = tokio::spawn(async move { shelf.index.get_or_try_init(|| shelf.agree(&inner)).await.map(|_| ()) });
        load.await.unwrap_or_else(|e| Err(Error::Index(format!("loading it ended early: {e}"))))
    }

    async fn agree(self: &Arc<Self>, inner: &Arc<Inner>) -> Result<Mutex<Index>, Error> {
        self.embed_again(inner).await?;
        let shelf = Arc::clone(self);
        inner.blocking(move |inner| shelf.build(inner)).await.map(Mutex::new)
    }

    /// Brings every document to the embedder's model, one transaction each: what is done stays done if this is cut short.
    async fn embed_again(&self, inner: &Arc<Inner>) -> Result<(), Error> {
        let namespace = self.namespace.clone();
        let model = inner.workers.embedder().model().to_owned();
        let documents = inner.blocking(move |inner| inner.records.documents_of_other_models(&namespace, &model)).await?;
        for id in documents {
            let of = id.clone();
            let (ids, texts) = inner.blocking(move |inner| inner.records.texts(&of)).await?;
            let vectors = inner.workers.embed(Lane::Document, Arc::new(texts)).await?;
            let update = move |inner: &Inner| inner.records.set_vectors(&id, inner.workers.embedder().model(), &ids, &vectors);
            inner.blocking(update).await?;
        }
        Ok(())
    }

    /// From the file as far as it is right, the rest from SQLite. Chunk ids are never used twice, so that comparing ids is enough.
    fn build(&self, inner: &Inner) -> Result<Index, Error> {
        let embedder = inner.workers.embedder();
        let ids = inner.records.ids(&self.namespace)?;
        let saved = std::fs::read(&self.file).ok();
        let mut index = match saved.and_then(|bytes| Index::from_bytes(&bytes, embedder.model(), embedder.dimensions())) {
            Some(index) => index,
            None => Index::new(embedder.dimensions())?,
        };
        index.remove(&index.unknown(&ids))?;
        let missing: Vec<i64> = ids.into_iter().filter(|id| !index.contains(*id)).collect();
        for ids in missing.chunks(BUILD_ROWS) {
            for row in inner.records.rows(ids)? {
                index.add(row.id, &row.vector)?;
            }
        }
        self.save(index.due_bytes(embedder.model()));
        Ok(index)
    }

    /// Puts the content in the file. A file that cannot be written costs the next start some time, no more.
    pub(super) fn save(&self, due: Result<Option<Vec<u8>>, Error>) {
        let written = match due {
            Ok(None) => return,
            Ok(Some(bytes)) => write(&self.file, &bytes).map_err(|e| Error::Index(e.to_string())),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(%error, path = %self.file.display(), "the vector index could not be saved");
        }
    }
}
