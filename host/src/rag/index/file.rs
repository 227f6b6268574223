//! An index as a file, so that a restart need not build it again: a checksum, a stamp, the chunk ids, usearch's own bytes.
//! A file that is missing, torn, of another model or another usearch is no error, it is no index. Must not know which ids are right.

use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Error, Index, failed};

/// Changes before a file is written again; as many are built in a fifth of a second, so that smaller namespaces need no file at all.
const UNSAVED_VECTORS: usize = 1_000;
/// And at least one vector in so many has changed: all writing together stays in proportion to all adding.
const UNSAVED_ONE_IN: usize = 8;

const CHECKSUM_BYTES: usize = 32;

impl Index {
    /// The content of a new file, if so much has changed that one is due.
    pub(in crate::rag) fn due_bytes(&mut self, model: &str) -> Result<Option<Vec<u8>>, Error> {
        if self.unsaved < UNSAVED_VECTORS.max(self.len() / UNSAVED_ONE_IN) {
            return Ok(None);
        }
        self.unsaved = 0;
        self.to_bytes(model).map(Some)
    }

    fn to_bytes(&self, model: &str) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; CHECKSUM_BYTES];
        let stamp = stamp(model, self.inner.dimensions());
        bytes.extend((stamp.len() as u64).to_le_bytes());
        bytes.extend(stamp.as_bytes());
        bytes.extend((self.ids.len() as u64).to_le_bytes());
        for id in &self.ids {
            bytes.extend(id.to_le_bytes());
        }
        let start = bytes.len();
        bytes.resize(start + self.inner.serialized_length(), 0);
        self.inner.save_to_buffer(&mut bytes[start..]).map_err(failed)?;
        let sum = Sha256::digest(&bytes[CHECKSUM_BYTES..]);
        bytes[..CHECKSUM_BYTES].copy_from_slice(&sum);
        Ok(bytes)
    }

    /// The index in a file's content, if it is whole and of this model.
    pub(in crate::rag) fn from_bytes(bytes: &[u8], model: &str, dimensions: usize) -> Option<Self> {
        let (sum, rest) = bytes.split_at_checked(CHECKSUM_BYTES)?;
        // usearch trusts what it loads: nothing reaches it that it did not write itself.
        if Sha256::digest(rest).as_slice() != sum {
            return None;
        }
        let (length, rest) = number(rest)?;
        let (found, rest) = rest.split_at_checked(length)?;
        if found != stamp(model, dimensions).as_bytes() {
            return None;
        }
        let (count, rest) = number(rest)?;
        let (ids, rest) = rest.split_at_checked(count.checked_mul(8)?)?;
        let mut index = Self::new(dimensions).ok()?;
        index.inner.load_from_buffer(rest).ok()?;
        index.ids = ids.as_chunks::<8>().0.iter().map(|id| i64::from_le_bytes(*id)).collect();
        (index.inner.size() == index.ids.len()).then_some(index)
    }

    /// The ids in it that are not in `known`.
    pub(in crate::rag) fn unknown(&self, known: &[i64]) -> Vec<i64> {
        let known: std::collections::HashSet<&i64> = known.iter().collect();
        self.ids.iter().filter(|id| !known.contains(id)).copied().collect()
    }
}

/// Puts the content in place in one step. No fsync: what a power cut tears has a wrong checksum.
pub(in crate::rag) fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// What must be the same for a file to be of use.
fn stamp(model: &str, dimensions: usize) -> String {
    format!("cofferdam index 1, usearch {}, bf16, {dimensions} dimensions, {model}", usearch::version())
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((usize::try_from(u64::from_le_bytes(*number)).ok()?, rest))
}
