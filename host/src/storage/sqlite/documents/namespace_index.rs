//! One namespace's vector indexes, one for each space that is in use, and the one order in which SQLite and they change.
//! An index gets a document's chunks before SQLite does and loses them after it, and only what SQLite has is a hit; so a search that sees the
//! namespace at one moment finds all that there was then, and waits for nobody who writes. All calls block.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data_encoding::HEXLOWER;
use rusqlite::Transaction;
use sha2::{Digest, Sha256};

use super::super::error::Error;
use super::candidates::{Candidates, nearest};
use super::filling::Next;
use super::merger::Merger;
use super::rows::{self, Rows, Written};
use super::vector_index::{VectorIndex, View, discard};
use super::{filter, keywords};
use crate::rag::{Candidate, Lookup, Namespace, NewDocument, Precision, Put, Swap, VectorSpace};

/// Spaces of one namespace that are searched at a time: the one that it is in, and the one that it goes over to.
const SPACES_MAX: usize = 2;

pub(super) struct NamespaceIndex {
    namespace: Namespace,
    /// The folder of all indexes, and how the names of this namespace's begin.
    folder: PathBuf,
    prefix: String,
    precision: Precision,
    rows: Arc<Rows>,
    merger: Arc<Merger>,
    /// Held over every change of the namespace and over the loading of its indexes, by whoever calls a method that says so.
    pub(super) changing: Arc<tokio::sync::Mutex<()>>,
    /// Those that were loaded, the oldest first. Locked for a moment.
    indexes: Mutex<Vec<Arc<VectorIndex>>>,
}

impl NamespaceIndex {
    pub(super) fn new(namespace: Namespace, folder: &Path, precision: Precision, rows: Arc<Rows>, merger: Arc<Merger>) -> Self {
        // Names hold any character, file names do not; the length keeps ("a", "bc") apart from ("ab", "c").
        let prefix = short_hash(&format!("{} {}{}", namespace.api.len(), namespace.api, namespace.name));
        let (changing, indexes) = (Arc::default(), Mutex::default());
        Self { namespace, folder: folder.into(), prefix, precision, rows, merger, changing, indexes }
    }

    fn indexes(&self) -> MutexGuard<'_, Vec<Arc<VectorIndex>>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn loaded(&self, space: &VectorSpace) -> Option<Arc<VectorIndex>> {
        self.indexes().iter().find(|index| index.space() == space && !index.view().is_closed()).cloned()
    }

    fn file(&self, space: &VectorSpace) -> PathBuf {
        self.folder.join(format!("{}-{}", self.prefix, short_hash(&format!("{} {}", space.dimensions, space.model))))
    }

    /// Whether the namespace is searched in another space; then nothing is found in this one.
    fn is_of_another(&self, space: &VectorSpace) -> Result<bool, Error> {
        Ok(self.rows.spaces(&self.namespace)?.is_some_and(|spaces| spaces.serves.space != *space))
    }

    /// Loads the index of the space, unless it is loaded or the namespace is searched in another one. The caller holds `changing`.
    pub(super) fn load(&self, space: &VectorSpace) -> Result<(), Error> {
        if !self.is_of_another(space)? {
            self.open(space)?;
        }
        Ok(())
    }

    fn open(&self, space: &VectorSpace) -> Result<Arc<VectorIndex>, Error> {
        if let Some(index) = self.loaded(space) {
            return Ok(index);
        }
        let ids = || self.rows.ids(&self.namespace, &space.model);
        let vectors = |ids: &[i64]| {
            let vectors = self.rows.vectors_of(ids)?;
            vectors.iter().try_for_each(|(_, vector)| fits(vector, space))?;
            Ok(vectors)
        };
        let index = Arc::new(VectorIndex::open(&self.file(space), space, self.precision, &ids, &vectors)?);
        self.show(&index);
        self.drop_unused_files();
        self.merge_if_due(&index);
        Ok(index)
    }

    /// Whoever searches in the index's space finds it from now on.
    fn show(&self, index: &Arc<VectorIndex>) {
        let mut indexes = self.indexes();
        indexes.retain(|index| !index.view().is_closed());
        while indexes.len() >= SPACES_MAX {
            indexes.remove(0).close();
        }
        indexes.push(Arc::clone(index));
    }

    /// The index of the space that is being filled, as far as it is, beside the one that is searched. None if none is being filled.
    pub(super) fn build_next(&self) -> Result<Option<VectorIndex>, Error> {
        let Some(next) = self.rows.next(&self.namespace)? else { return Ok(None) };
        let file = self.file(&next.space);
        // A namespace may come back to a space that it once was in, and its chunks keep their ids.
        discard(&file).map_err(|error| Error::Index(error.to_string()))?;
        let ids = || self.rows.next_ids(&self.namespace, &next);
        VectorIndex::open(&file, &next.space, self.precision, &ids, &|ids| self.next_vectors(ids, &next)).map(Some)
    }

    fn next_vectors(&self, ids: &[i64], next: &Next) -> Result<Vec<(i64, Vec<f32>)>, Error> {
        let vectors = self.rows.next_vectors(ids, next)?;
        vectors.iter().try_for_each(|(_, vector)| fits(vector, &next.space))?;
        Ok(vectors)
    }

    /// See `SpaceStore::swap`. The index was built by `build_next`, while others wrote. The caller holds `changing`.
    pub(super) fn swap(&self, filling: i64, built: Option<VectorIndex>) -> Result<Swap, Error> {
        let next = self.rows.next(&self.namespace)?.filter(|next| next.id == filling);
        let Some((next, built)) = next.zip(built).filter(|(next, built)| *built.space() == next.space) else { return Ok(Swap::Gone) };
        built.catch_up(&self.rows.next_ids(&self.namespace, &next)?, &|ids| self.next_vectors(ids, &next))?;
        let built = Arc::new(built);
        // Before the database says so: whoever searches in the new space finds it there, and nobody does yet.
        self.show(&built);
        let swapped = self.rows.swap(&self.namespace, filling);
        let over = if matches!(swapped, Ok(Swap::Done)) {
            self.merge_if_due(&built);
            self.indexes().extract_if(.., |index| !Arc::ptr_eq(index, &built)).collect()
        } else {
            self.indexes().retain(|index| !Arc::ptr_eq(index, &built));
            vec![built]
        };
        // Whoever searches in one of these begins anew, in the space that the namespace is in.
        for index in over {
            if let Err(error) = index.discard() {
                tracing::warn!(%error, "the file of a vector index that nobody needs any more cannot be deleted");
            }
        }
        swapped
    }

    /// Deletes the files of spaces that nobody asks for any more, and of earlier releases.
    fn drop_unused_files(&self) {
        let used: Vec<PathBuf> = self.indexes().iter().map(|index| self.file(index.space())).collect();
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(self.prefix.as_bytes()) && !used.contains(&path) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// No index writes anything any more.
    pub(super) fn close(&self) {
        self.indexes().drain(..).for_each(|index| index.close());
    }

    /// See `DocumentStore::put`. The caller holds `changing`.
    pub(super) fn put(&self, document: &NewDocument, chunks_max: usize) -> Result<Put, Error> {
        let NewDocument { space, chunks, vectors, .. } = document;
        if chunks.len() != vectors.len() {
            return Err(Error::Vectors(format!("{} vectors for {} chunks", vectors.len(), chunks.len())));
        }
        vectors.iter().try_for_each(|vector| fits(vector, space))?;
        // As long as something of a deleted namespace is left, all that is in it is hidden.
        self.sweep()?;
        if self.is_of_another(space)? {
            return Ok(Put::OtherSpace);
        }
        let index = self.open(space)?;
        let first_chunk = self.rows.allocate(chunks.len());
        let ids: Vec<i64> = (first_chunk..).take(chunks.len()).collect();
        index.add(&ids, vectors);
        match self.rows.put(&self.namespace, document, first_chunk, chunks_max) {
            Ok(Written::Stored { replaced, gone }) => {
                self.settle(&gone);
                Ok(Put::Stored { replaced })
            }
            Ok(Written::Full) => {
                self.settle(&ids);
                Ok(Put::Full)
            }
            Ok(Written::OtherSpace) => {
                self.settle(&ids);
                Ok(Put::OtherSpace)
            }
            Err(error) => {
                self.settle(&ids);
                Err(error)
            }
        }
    }

    /// See `DocumentStore::delete`. The caller holds `changing`.
    pub(super) fn delete(&self, document_id: &str) -> Result<bool, Error> {
        let Some(gone) = self.rows.delete(&self.namespace, document_id)? else { return Ok(false) };
        self.settle(&gone);
        Ok(true)
    }

    /// See `DocumentStore::clear`. The caller holds `changing`.
    pub(super) fn clear(&self) -> Result<Option<usize>, Error> {
        self.sweep()?;
        let Some(documents) = self.rows.hide(&self.namespace)? else { return Ok(None) };
        // Empty ones, and not none: whoever searches now must not wait until everything is swept.
        let indexes = self.indexes().clone();
        let cleared = indexes.iter().try_for_each(|index| index.clear());
        self.drop_unused_files();
        if let Err(error) = cleared.and_then(|()| self.sweep()) {
            tracing::warn!(%error, "a deleted namespace is hidden and still takes room; the next upload to it, or the next start, goes on");
        }
        Ok(Some(documents))
    }

    /// Deletes what is left of a namespace that was deleted, in many small steps. The caller holds `changing`.
    pub(super) fn sweep(&self) -> Result<(), Error> {
        while self.rows.sweep(&self.namespace)? {}
        Ok(())
    }

    /// See `DocumentStore::look_up`. None if the index of the vector's space is not loaded.
    pub(super) fn look_up(&self, wanted: &Lookup) -> Result<Option<Vec<Candidate>>, Error> {
        let index = match &wanted.like {
            None => None,
            Some((space, vector)) => {
                fits(vector, space)?;
                let Some(index) = self.loaded(space) else { return Ok(self.is_of_another(space)?.then(Vec::new)) };
                Some(index)
            }
        };
        let mut reader = self.rows.reader();
        let (moment, number, view) = loop {
            let before = index.as_ref().map(|index| index.view());
            let moment = reader.transaction()?;
            // The moment begins with its first statement.
            let number = keywords::known_number(&moment, &self.namespace)?;
            match (before, &index) {
                (Some(before), Some(index)) => {
                    // All that was committed before the moment is in the index by now. What was taken out of it in between may be of the moment.
                    let view = index.view();
                    if view.is_closed() {
                        return Ok(None);
                    }
                    if view.epoch() == before.epoch() {
                        break (moment, number, Some(view));
                    }
                }
                _ => break (moment, number, None),
            }
        };
        self.look_up_at(&moment, number, view.as_deref(), wanted).map(Some)
    }

    fn look_up_at(
        &self,
        moment: &Transaction<'_>,
        number: Option<i64>,
        view: Option<&View>,
        wanted: &Lookup,
    ) -> Result<Vec<Candidate>, Error> {
        let mut found = Candidates::default();
        let within = filter::chunks(moment, &self.namespace, &wanted.filter)?;
        if let (Some((space, vector)), Some(view)) = (&wanted.like, view) {
            found.add_nearest(nearest(moment, view, space, vector, wanted.count, within.as_ref())?);
        }
        if let (Some(text), Some(number)) = (&wanted.text, number) {
            let count = view.map_or_else(|| rows::chunk_count(moment, &self.namespace, ""), |view| Ok(view.len()))?;
            let matches = keywords::search(moment, number, count, text, within.as_ref())?;
            found.add_matches(moment, &matches, wanted)?;
        }
        Ok(found.done())
    }

    /// After the database has a change: takes the chunks that it does not have any more out of every index, and merges where it is due.
    /// A chunk too many in an index is no hit, so that a failure changes nothing.
    fn settle(&self, gone: &[i64]) {
        let indexes = self.indexes().clone();
        for index in indexes {
            index.remove(gone);
            index.settle();
            self.merge_if_due(&index);
        }
    }

    fn merge_if_due(&self, index: &Arc<VectorIndex>) {
        if !index.is_due() {
            return;
        }
        if !index.merges_at_once() {
            return self.merger.soon(index);
        }
        if let Err(error) = index.merge() {
            tracing::warn!(%error, "a vector index could not be merged; searches of it get slower until the next change of it tries again");
        }
    }
}

fn short_hash(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text)[..16])
}

fn fits(vector: &[f32], space: &VectorSpace) -> Result<(), Error> {
    if vector.len() == space.dimensions {
        return Ok(());
    }
    Err(Error::Vectors(format!("a vector of {} numbers in a space of {}", vector.len(), space.dimensions)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rag::{Chunk, DocumentInfo, Filter};
    use crate::storage::sqlite::database::Database;

    fn space() -> VectorSpace {
        VectorSpace { model: "m".into(), dimensions: 2 }
    }

    fn document(id: &str) -> NewDocument {
        let info = DocumentInfo { id: id.into(), name: id.into(), ..DocumentInfo::default() };
        NewDocument { info, space: space(), chunks: Arc::new(vec![Chunk::of(id)]), vectors: vec![vec![1.0, 0.0]] }
    }

    fn found(index: &NamespaceIndex) -> Option<Vec<String>> {
        let like = Some((space(), vec![1.0, 0.0].into()));
        let found = index.look_up(&Lookup { like, text: Some("first".into()), count: 9, filter: Filter::default() }).unwrap()?;
        Some(found.into_iter().map(|candidate| candidate.hit.text).collect())
    }

    #[test]
    fn a_search_waits_neither_for_whoever_changes_the_namespace_nor_for_a_commit() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&folder.path().join("cofferdam.db")).unwrap());
        let rows = Arc::new(Rows::open(database).unwrap());
        let namespace = Namespace { api: "support".into(), name: "n".into() };
        let index = NamespaceIndex::new(namespace, &folder.path().join("index"), Precision::default(), Arc::clone(&rows), Arc::default());
        assert_eq!(found(&index), None, "it is not loaded");
        index.put(&document("first"), 9).unwrap();
        let _changing = index.changing.try_lock().unwrap();
        let mut writer = rows.writer();
        let writing = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        writing.execute("DELETE FROM documents", []).unwrap();
        // The vectors of a document on its way in are there before it is.
        index.loaded(&space()).unwrap().add(&[1_000], &[vec![1.0, 0.0]]);
        assert_eq!(found(&index).unwrap(), ["first"]);
    }

    #[test]
    fn an_index_that_is_given_up_is_loaded_anew_by_whoever_searches() {
        let folder = tempfile::tempdir().unwrap();
        let database = Arc::new(Database::open(&folder.path().join("cofferdam.db")).unwrap());
        let rows = Arc::new(Rows::open(database).unwrap());
        let namespace = Namespace { api: "support".into(), name: "n".into() };
        let index = NamespaceIndex::new(namespace, &folder.path().join("index"), Precision::default(), rows, Arc::default());
        index.put(&document("first"), 9).unwrap();
        index.loaded(&space()).unwrap().close();
        assert_eq!(found(&index), None);
        index.load(&space()).unwrap();
        assert_eq!(found(&index).unwrap(), ["first"]);
        // Of a space that the namespace is not searched in nothing is loaded, and nothing is found in it.
        let other = VectorSpace { model: "n".into(), dimensions: 2 };
        index.load(&other).unwrap();
        assert!(index.loaded(&other).is_none());
        let like = Some((other, vec![1.0, 0.0].into()));
        let found = index.look_up(&Lookup { like, text: Some("first".into()), count: 9, filter: Filter::default() }).unwrap();
        assert_eq!(found, Some(Vec::new()));
    }
}
