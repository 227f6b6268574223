//! The nearest neighbours of a vector among those of one namespace: usearch, and which chunk ids are in it.
//! It proposes; scores and texts come from SQLite. Must not know SQLite, documents or locks.

mod file;

use std::collections::HashSet;

use usearch::{IndexOptions, MetricKind, ScalarKind};

pub(super) use file::write;

use super::Error;

/// Up to so many vectors every one is compared, which takes about a millisecond and misses none; over it the graph is walked.
const EXACT_VECTORS: usize = 16_384;

/// An index of vectors by chunk id. Not for several threads at once: usearch has a fixed number of places for them.
pub(super) struct Index {
    inner: usearch::Index,
    ids: HashSet<i64>,
    /// Vectors added or removed since the file was written.
    unsaved: usize,
}

impl Index {
    /// # Errors
    /// `Index`, as of every call here: usearch is out of memory.
    pub(super) fn new(dimensions: usize) -> Result<Self, Error> {
        let options = IndexOptions {
            dimensions,
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
        Ok(Self { inner, ids: HashSet::new(), unsaved: 0 })
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        self.ids.contains(&id)
    }

    /// Adds a vector; one of the same id is left as it is.
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
