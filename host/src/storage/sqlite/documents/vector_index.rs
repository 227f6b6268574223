//! The nearest neighbours of a vector among those of one namespace: usearch, and which chunk ids are in it.
//! It proposes, and SQLite decides: scores and texts are read there. As a file it carries a checksum and a stamp, because usearch trusts what
//! it loads; a file that is missing, torn, of another model or another usearch is no error, it is no index.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};
use usearch::{IndexOptions, MetricKind, ScalarKind};

use super::super::error::Error;
use crate::files;
use crate::rag::VectorSpace;

/// Up to this number every vector is compared, which takes about a millisecond and misses none; over it the graph is walked.
const EXACT_VECTORS: usize = 16_384;

/// Changes before a file is written again; as many are built in a fifth of a second, so that smaller namespaces need no file at all.
const UNSAVED_VECTORS: usize = 1_000;
/// And at least one vector in so many has changed: all writing together stays in proportion to all adding.
const UNSAVED_ONE_IN: usize = 8;

const CHECKSUM_BYTES: usize = 32;

/// The content of a file that lacks its checksum, which takes longer than all the rest: searches need not wait for it.
pub(super) struct Unsealed(Vec<u8>);

/// An index of the vectors of one space by chunk id. It is not for several threads at once: usearch has a fixed number of slots for them.
pub(super) struct VectorIndex {
    inner: usearch::Index,
    space: VectorSpace,
    ids: HashSet<i64>,
    /// Vectors added or removed since the file was written.
    unsaved: usize,
}

impl VectorIndex {
    /// # Errors
    /// `Index`, as for every call here: usearch is out of memory.
    pub(super) fn new(space: &VectorSpace) -> Result<Self, Error> {
        let options = IndexOptions {
            dimensions: space.dimensions,
            metric: MetricKind::Cos,
            // Half the memory of f32 at the same speed; of 2000 true neighbours it missed 4, which the margin of `nearest`'s caller covers.
            quantization: ScalarKind::BF16,
            // usearch's default degree (16); a build twice as fast as with its default effort, and no measurable loss.
            connectivity: 0,
            expansion_add: 64,
            expansion_search: 128,
            multi: false,
        };
        let inner = usearch::Index::new(&options).map_err(failed)?;
        Ok(Self { inner, space: space.clone(), ids: HashSet::new(), unsaved: 0 })
    }

    pub(super) fn space(&self) -> &VectorSpace {
        &self.space
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        self.ids.contains(&id)
    }

    /// Adds a vector of the space's length; one of the same id is left as it is.
    pub(super) fn add(&mut self, id: i64, vector: &[f32]) -> Result<(), Error> {
        if self.ids.contains(&id) {
            return Ok(());
        }
        if self.inner.size() >= self.inner.capacity() {
            self.inner.reserve((self.inner.capacity() * 2).max(64)).map_err(failed)?;
        }
        self.inner.add(key(id), vector).map_err(failed)?;
        self.ids.insert(id);
        self.unsaved += 1;
        Ok(())
    }

    /// Removes vectors; ids that are not there are passed over.
    pub(super) fn remove(&mut self, ids: &[i64]) -> Result<(), Error> {
        for id in ids.iter().filter(|id| self.ids.remove(id)) {
            self.inner.remove(key(*id)).map_err(failed)?;
            self.unsaved += 1;
        }
        Ok(())
    }

    /// The ids of about the `count` nearest vectors, in no order that one may rely on.
    pub(super) fn nearest(&self, vector: &[f32], count: usize) -> Result<Vec<i64>, Error> {
        let count = count.min(self.len());
        if count == 0 {
            return Ok(Vec::new());
        }
        let matches = match self.len() {
            ..=EXACT_VECTORS => self.inner.exact_search(vector, count),
            _ => self.inner.search(vector, count),
        };
        Ok(matches.map_err(failed)?.keys.into_iter().map(u64::cast_signed).collect())
    }

    /// As `nearest`, of these ids alone.
    pub(super) fn nearest_within(&self, vector: &[f32], count: usize, within: &HashSet<i64>) -> Result<Vec<i64>, Error> {
        let count = count.min(self.len());
        if count == 0 {
            return Ok(Vec::new());
        }
        let matches = self.inner.filtered_search(vector, count, |key| within.contains(&key.cast_signed()));
        Ok(matches.map_err(failed)?.keys.into_iter().map(u64::cast_signed).collect())
    }

    /// The ids in it that are not in `known`.
    pub(super) fn unknown(&self, known: &[i64]) -> Vec<i64> {
        let known: HashSet<&i64> = known.iter().collect();
        self.ids.iter().filter(|id| !known.contains(id)).copied().collect()
    }

    /// The content of a new file, if so much has changed that one is due.
    pub(super) fn due_bytes(&mut self) -> Result<Option<Unsealed>, Error> {
        if self.unsaved < UNSAVED_VECTORS.max(self.len() / UNSAVED_ONE_IN) {
            return Ok(None);
        }
        self.unsaved = 0;
        self.to_bytes().map(Some)
    }

    fn to_bytes(&self) -> Result<Unsealed, Error> {
        let mut bytes = vec![0; CHECKSUM_BYTES];
        let stamp = stamp(&self.space);
        bytes.extend((stamp.len() as u64).to_le_bytes());
        bytes.extend(stamp.as_bytes());
        bytes.extend((self.ids.len() as u64).to_le_bytes());
        for id in &self.ids {
            bytes.extend(id.to_le_bytes());
        }
        let start = bytes.len();
        bytes.resize(start + self.inner.serialized_length(), 0);
        self.inner.save_to_buffer(&mut bytes[start..]).map_err(failed)?;
        Ok(Unsealed(bytes))
    }

    /// The index in a file's content, if it is whole and of this space.
    pub(super) fn from_bytes(bytes: &[u8], space: &VectorSpace) -> Option<Self> {
        let (sum, rest) = bytes.split_at_checked(CHECKSUM_BYTES)?;
        // usearch trusts what it loads: nothing reaches it that it did not write itself.
        if Sha256::digest(rest).as_slice() != sum {
            return None;
        }
        let (length, rest) = number(rest)?;
        let (found, rest) = rest.split_at_checked(length)?;
        if found != stamp(space).as_bytes() {
            return None;
        }
        let (count, rest) = number(rest)?;
        let (ids, rest) = rest.split_at_checked(count.checked_mul(8)?)?;
        let mut index = Self::new(space).ok()?;
        index.inner.load_from_buffer(rest).ok()?;
        index.ids = ids.as_chunks::<8>().0.iter().map(|id| i64::from_le_bytes(*id)).collect();
        (index.inner.size() == index.ids.len()).then_some(index)
    }
}

impl Unsealed {
    pub(super) fn seal(self) -> Vec<u8> {
        let Self(mut bytes) = self;
        let sum = Sha256::digest(&bytes[CHECKSUM_BYTES..]);
        bytes[..CHECKSUM_BYTES].copy_from_slice(&sum);
        bytes
    }
}

/// Puts the content in place in one step. No fsync: what a power cut tears has a wrong checksum.
pub(super) fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    files::private_directory(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Deletes the file if there is one; the index is then built from SQLite.
pub(super) fn discard(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

/// What must be the same for a file to be of use.
fn stamp(space: &VectorSpace) -> String {
    format!("cofferdam index 1, usearch {}, bf16, {} dimensions, {}", usearch::version(), space.dimensions, space.model)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((usize::try_from(u64::from_le_bytes(*number)).ok()?, rest))
}

/// SQLite's ids are positive.
fn key(id: i64) -> u64 {
    id.cast_unsigned()
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Index(error.to_string())
}

#[cfg(test)]
mod tests;
