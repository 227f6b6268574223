//! One namespace's vector index, and the one order in which SQLite and the index change.
//! The index gets a document's chunks before SQLite does, and only what SQLite has is a hit; the commit and the end of the chunks that were
//! replaced are one step for every search. So a document is seen whole, in its old or its new form. All calls block.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard};

use super::super::error::Error;
use super::candidates::{Candidates, nearest};
use super::filling::Next;
use super::rows::{self, Rows, Written};
use super::vector_index::{Unsealed, VectorIndex, discard, write};
use super::{filter, keywords};
use crate::rag::{Candidate, Lookup, Namespace, NewDocument, Put, Swap, VectorSpace};

/// Chunks read from SQLite at once while an index is built.
const BUILD_ROWS: usize = 256;

/// Vectors put into an index under one lock, a few milliseconds; searches come in between.
const ADD_VECTORS: usize = 16;

pub(super) struct NamespaceIndex {
    namespace: Namespace,
    /// Where the index is saved.
    file: PathBuf,
    rows: Arc<Rows>,
    /// Held over every change of the namespace and over the loading of its index, by whoever calls a method that says so.
    pub(super) changing: Arc<Mutex<()>>,
    /// None until it is loaded; of the space that the namespace is searched in. tokio's lock because it is fair: a document of many chunks takes
    /// it again and again, and searches come in between.
    index: Mutex<Option<VectorIndex>>,
}

/// The index, if it is loaded.
type Index<'a> = MutexGuard<'a, Option<VectorIndex>>;

impl NamespaceIndex {
    pub(super) fn new(namespace: Namespace, folder: &Path, rows: Arc<Rows>) -> Self {
        // Names hold any character, file names do not; the length keeps ("a", "bc") apart from ("ab", "c").
        let hash = Sha256::digest(format!("{} {}{}", namespace.api.len(), namespace.api, namespace.name));
        let file = folder.join(HEXLOWER.encode(&hash[..16]));
        Self { namespace, file, rows, changing: Arc::default(), index: Mutex::default() }
    }

    fn index(&self) -> Index<'_> {
        self.index.blocking_lock()
    }

    fn is_loaded(&self, space: &VectorSpace) -> bool {
        self.index().as_ref().is_some_and(|index| index.space() == space)
    }

    /// Whether the namespace is searched in another space; then that one's index must not take the place of the other.
    fn is_of_another(&self, space: &VectorSpace) -> Result<bool, Error> {
        Ok(self.rows.spaces(&self.namespace)?.is_some_and(|spaces| spaces.serves.space != *space))
    }

    /// Loads the index of the space, unless it is loaded or the namespace is searched in another one. The caller holds `changing`.
    ///
    /// It comes from the file as far as that is right, the rest from SQLite. To compare ids is enough: they are never used twice, and
    /// `swap` discards the file.
    pub(super) fn load(&self, space: &VectorSpace) -> Result<(), Error> {
        if self.is_loaded(space) || self.is_of_another(space)? {
            return Ok(());
        }
        let ids = self.rows.ids(&self.namespace, &space.model)?;
        let saved = std::fs::read(&self.file).ok();
        let mut index = match saved.and_then(|bytes| VectorIndex::from_bytes(&bytes, space)) {
            Some(index) => index,
            None => VectorIndex::new(space)?,
        };
        let vectors = |ids: &[i64]| Ok(self.rows.rows(ids, &space.model)?.into_iter().map(|row| (row.id, row.vector)).collect());
        bring_up_to_date(&mut index, space, ids, vectors)?;
        self.save(index.due_bytes());
        *self.index() = Some(index);
        Ok(())
    }

    /// The index of the space that is being filled, as far as it is, beside the one that is searched. None if none is being filled.
    pub(super) fn build_next(&self) -> Result<Option<VectorIndex>, Error> {
        let Some(next) = self.rows.next(&self.namespace)? else { return Ok(None) };
        let mut index = VectorIndex::new(&next.space)?;
        self.bring_next_up_to_date(&mut index, &next)?;
        Ok(Some(index))
    }

    fn bring_next_up_to_date(&self, index: &mut VectorIndex, next: &Next) -> Result<(), Error> {
        let ids = self.rows.next_ids(&self.namespace, next)?;
        bring_up_to_date(index, &next.space, ids, |ids| self.rows.next_vectors(ids, next))
    }

    /// See `SpaceStore::swap`. The index was built by `build_next`, while others wrote. The caller holds `changing`.
    pub(super) fn swap(&self, filling: i64, built: Option<VectorIndex>) -> Result<Swap, Error> {
        let next = self.rows.next(&self.namespace)?.filter(|next| next.id == filling);
        let Some((next, mut built)) = next.zip(built).filter(|(next, built)| *built.space() == next.space) else { return Ok(Swap::Gone) };
        self.bring_next_up_to_date(&mut built, &next)?;
        // A namespace may come back to a space that it once was in, and its chunks keep their ids.
        discard(&self.file)?;
        let (swap, held) = self.rows.swap(&self.namespace, filling, || self.index())?;
        if let Some(mut held) = held {
            let due = built.due_bytes();
            *held = Some(built);
            drop(held);
            self.save(due);
        }
        Ok(swap)
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
        self.load(space)?;
        let first_chunk = self.rows.allocate(chunks.len());
        let ids: Vec<i64> = (first_chunk..).take(chunks.len()).collect();
        let written =
            self.propose(&ids, vectors).and_then(|()| self.rows.put(&self.namespace, document, first_chunk, chunks_max, || self.index()));
        match written {
            Ok(Written::Stored { replaced, gone, held }) => {
                self.forget(held, &gone);
                Ok(Put::Stored { replaced })
            }
            Ok(Written::Full) => {
                self.forget(self.index(), &ids);
                Ok(Put::Full)
            }
            Ok(Written::OtherSpace) => {
                self.forget(self.index(), &ids);
                Ok(Put::OtherSpace)
            }
            Err(error) => {
                self.forget(self.index(), &ids);
                Err(error)
            }
        }
    }

    /// See `DocumentStore::delete`. The caller holds `changing`.
    pub(super) fn delete(&self, document_id: &str) -> Result<bool, Error> {
        let Some((gone, held)) = self.rows.delete(&self.namespace, document_id, || self.index())? else { return Ok(false) };
        self.forget(held, &gone);
        Ok(true)
    }

    /// See `DocumentStore::clear`. The caller holds `changing`.
    pub(super) fn clear(&self) -> Result<Option<usize>, Error> {
        self.sweep()?;
        let Some((documents, mut held)) = self.rows.hide(&self.namespace, || self.index())? else { return Ok(None) };
        // An empty one in its place, and not none: whoever searches now must not wait until everything is swept.
        *held = held.take().and_then(|index| VectorIndex::new(index.space()).ok());
        drop(held);
        if let Err(error) = discard(&self.file).and_then(|()| self.sweep()) {
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
        let held = match &wanted.like {
            None => None,
            Some((space, vector)) => {
                fits(vector, space)?;
                let held = self.index();
                if held.as_ref().is_none_or(|index| index.space() != space) {
                    return Ok(self.is_of_another(space)?.then(Vec::new));
                }
                Some(held)
            }
        };
        let mut found = Candidates::default();
        // The moment begins with its first statement, under the lock: no commit comes in between.
        let mut reader = self.rows.reader();
        let moment = reader.transaction()?;
        let number = keywords::known_number(&moment, &self.namespace)?;
        let within = filter::chunks(&moment, &self.namespace, &wanted.filter)?;
        if let (Some((space, vector)), Some(index)) = (&wanted.like, held.as_deref().and_then(Option::as_ref)) {
            found.add_nearest(nearest(&moment, index, space, vector, wanted.count, within.as_ref())?);
        }
        let loaded = held.as_deref().and_then(Option::as_ref).map(VectorIndex::len);
        drop(held);
        if let (Some(text), Some(number)) = (&wanted.text, number) {
            let count = loaded.map_or_else(|| rows::chunk_count(&moment, &self.namespace, ""), Ok)?;
            let matches = keywords::search(&moment, number, count, text, within.as_ref())?;
            found.add_matches(&moment, &matches, wanted)?;
        }
        Ok(Some(found.done()))
    }

    /// Puts vectors into the index in place of those of the same ids, a few under each lock.
    fn propose(&self, ids: &[i64], vectors: &[Vec<f32>]) -> Result<(), Error> {
        for (ids, vectors) in ids.chunks(ADD_VECTORS).zip(vectors.chunks(ADD_VECTORS)) {
            let mut held = self.index();
            let index = held.as_mut().expect("the caller loaded it and holds `changing`");
            index.remove(ids)?;
            for (id, vector) in ids.iter().zip(vectors) {
                index.add(*id, vector)?;
            }
        }
        Ok(())
    }

    /// Takes chunks out of the index and saves it if that is due. A chunk too many in the index is no hit, so that a failure changes nothing.
    fn forget(&self, mut held: Index<'_>, gone: &[i64]) {
        let Some(index) = held.as_mut() else { return };
        let removed = index.remove(gone);
        let due = index.due_bytes();
        drop(held);
        if let Err(error) = removed {
            tracing::warn!(%error, "chunks that are gone stay in the vector index until it is rebuilt");
        }
        self.save(due);
    }

    /// Puts the content in the file. A file that cannot be written costs the next start some time, no more.
    fn save(&self, due: Result<Option<Unsealed>, Error>) {
        let written = match due {
            Ok(None) => return,
            Ok(Some(bytes)) => write(&self.file, &bytes.seal()).map_err(|e| Error::Index(e.to_string())),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(%error, path = %self.file.display(), "the vector index could not be saved");
        }
    }
}

/// Takes out of an index what is not among the ids, and puts in what it lacks of them.
fn bring_up_to_date(
    index: &mut VectorIndex,
    space: &VectorSpace,
    ids: Vec<i64>,
    vectors: impl Fn(&[i64]) -> Result<Vec<(i64, Vec<f32>)>, Error>,
) -> Result<(), Error> {
    index.remove(&index.unknown(&ids))?;
    let missing: Vec<i64> = ids.into_iter().filter(|id| !index.contains(*id)).collect();
    for ids in missing.chunks(BUILD_ROWS) {
        for (id, vector) in vectors(ids)? {
            fits(&vector, space)?;
            index.add(id, &vector)?;
        }
    }
    Ok(())
}

fn fits(vector: &[f32], space: &VectorSpace) -> Result<(), Error> {
    if vector.len() == space.dimensions {
        return Ok(());
    }
    Err(Error::Vectors(format!("a vector of {} numbers in a space of {}", vector.len(), space.dimensions)))
}
