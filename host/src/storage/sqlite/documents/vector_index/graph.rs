//! usearch's graph over the vectors of one space, and which chunk ids are in it. Once it is shared it is never changed: it is mapped from its file
//! or lies in memory, and a changed one is a copy. All searches run under a connection that reads, which bounds how many there are at once.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;

use usearch::{IndexOptions, MetricKind, ScalarKind};

use super::super::super::database::READERS;
use super::super::super::error::Error;
use super::tail;
use crate::rag::{Precision, VectorSpace};

/// Up to this number every vector is compared, which takes about a millisecond and misses none; over it the graph is walked.
pub(super) const EXACT_VECTORS: usize = 16_384;

/// Candidates that are kept while a new vector's neighbours are looked for, and while those of a question are.
const EXPANSION_ADD: usize = 64;
const EXPANSION_SEARCH: usize = 128;

/// usearch refuses a search for which it has no slot.
const SLOTS: usize = READERS + 1;

/// What adds hand out: some ids with their vectors, or none if there are no more.
pub(super) type Batches<'a> = &'a (dyn Fn() -> Result<Option<Vec<(i64, Vec<f32>)>>, Error> + Sync);

pub(super) struct Graph {
    inner: usearch::Index,
    space: VectorSpace,
    precision: Precision,
    /// In order.
    ids: Vec<i64>,
    /// What it is mapped from; none if it is in memory.
    file: Option<PathBuf>,
}

impl Graph {
    /// # Errors
    /// `Index`, as for every call here: usearch is out of memory.
    pub(super) fn empty(space: &VectorSpace, precision: Precision) -> Result<Self, Error> {
        let options = IndexOptions {
            dimensions: space.dimensions,
            // The inner product of rounded unit vectors would rank those first whose rounding made them longest.
            metric: MetricKind::Cos,
            quantization: match precision {
                Precision::F32 => ScalarKind::F32,
                // Of the two formats of two bytes the one whose arithmetic is quick on every processor; of 5,000 true neighbours both missed 5 to 9.
                Precision::F16 => ScalarKind::BF16,
                Precision::I8 => ScalarKind::I8,
            },
            // usearch's default degree (16).
            connectivity: 0,
            expansion_add: EXPANSION_ADD,
            expansion_search: EXPANSION_SEARCH,
            multi: false,
        };
        let inner = usearch::Index::new(&options).map_err(failed)?;
        inner.reserve_capacity_and_threads(0, SLOTS).map_err(failed)?;
        Ok(Self { inner, space: space.clone(), precision, ids: Vec::new(), file: None })
    }

    /// The one that `save` wrote into the file, with its ids in order. Nothing but what was checked may be in the file: usearch trusts it.
    pub(super) fn view(path: &Path, ids: Vec<i64>, space: &VectorSpace, precision: Precision) -> Result<Self, Error> {
        let mut graph = Self::empty(space, precision)?;
        graph.inner.view(text(path)?).map_err(failed)?;
        if graph.inner.size() != ids.len() || graph.inner.dimensions() != space.dimensions {
            return Err(Error::Index(format!("{} vectors for {} ids", graph.inner.size(), ids.len())));
        }
        graph.ids = ids;
        graph.file = Some(path.into());
        Ok(graph)
    }

    /// After its file has another name.
    pub(super) fn moved(&mut self, path: &Path) {
        self.file = Some(path.into());
    }

    pub(super) fn save(&self, path: &Path) -> Result<(), Error> {
        self.inner.save(text(path)?).map_err(failed)
    }

    /// How long the file is that `save` writes.
    pub(super) fn bytes(&self) -> usize {
        self.inner.serialized_length()
    }

    /// The same one in memory, to be changed.
    pub(super) fn copy(&self) -> Result<Self, Error> {
        let mut copy = Self::empty(&self.space, self.precision)?;
        let loaded = self.file.as_ref().is_some_and(|path| text(path).is_ok_and(|path| copy.inner.load(path).is_ok()));
        if !loaded {
            // It has no file, or no more.
            let mut bytes = vec![0; self.inner.serialized_length()];
            self.inner.save_to_buffer(&mut bytes).map_err(failed)?;
            copy = Self::empty(&self.space, self.precision)?;
            copy.inner.load_from_buffer(&bytes).map_err(failed)?;
        }
        if copy.inner.size() != self.ids.len() {
            return Err(Error::Index("the index does not hold what it held".into()));
        }
        copy.ids.clone_from(&self.ids);
        Ok(copy)
    }

    /// Takes out the vectors of these ids.
    pub(super) fn remove(&mut self, gone: impl Fn(i64) -> bool) -> Result<(), Error> {
        for id in self.ids.iter().filter(|id| gone(**id)) {
            self.inner.remove(key(*id)).map_err(failed)?;
        }
        self.ids.retain(|id| !gone(*id));
        Ok(())
    }

    /// Adds at most `count` vectors of the space's length, whose ids are new, by several threads.
    pub(super) fn add(&mut self, count: usize, threads: usize, batches: Batches<'_>) -> Result<(), Error> {
        self.inner.reserve_capacity_and_threads(self.ids.len() + count, threads.max(SLOTS)).map_err(failed)?;
        let ids = Mutex::new(std::mem::take(&mut self.ids));
        let work = || -> Result<(), Error> {
            while let Some(batch) = batches()? {
                let mut added = Vec::with_capacity(batch.len());
                for (id, vector) in batch {
                    self.add_one(id, &vector)?;
                    added.push(id);
                }
                ids.lock().unwrap_or_else(PoisonError::into_inner).extend(added);
            }
            Ok(())
        };
        let done = std::thread::scope(|scope| {
            // Without them it takes longer.
            let helping = (1..threads).filter_map(|_| Builder::new().spawn_scoped(scope, work).ok());
            let helping: Vec<_> = helping.collect();
            let mut done = work();
            for thread in helping {
                let helped = thread.join().unwrap_or_else(|_| Err(Error::Index("a thread that added vectors ended".into())));
                done = done.and(helped);
            }
            done
        });
        self.ids = ids.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.ids.sort_unstable();
        done
    }

    fn add_one(&self, id: i64, vector: &[f32]) -> Result<(), Error> {
        match self.precision {
            Precision::I8 => self.inner.add(key(id), &tail::bytes(vector).0.collect::<Vec<i8>>()),
            Precision::F32 | Precision::F16 => self.inner.add(key(id), vector),
        }
        .map_err(failed)
    }

    /// In order.
    pub(super) fn ids(&self) -> &[i64] {
        &self.ids
    }

    pub(super) fn contains(&self, id: i64) -> bool {
        self.ids.binary_search(&id).is_ok()
    }

    /// About the `count` nearest vectors, with what their cosines are but for rounding.
    pub(super) fn nearest(&self, vector: &[f32], count: usize) -> Result<Vec<(f32, i64)>, Error> {
        let count = count.min(self.ids.len());
        if count == 0 {
            return Ok(Vec::new());
        }
        let exact = self.ids.len() <= EXACT_VECTORS;
        let bytes = || tail::bytes(vector).0.collect::<Vec<i8>>();
        let matches = match (self.precision, exact) {
            (Precision::I8, true) => self.inner.exact_search(&bytes(), count),
            (Precision::I8, false) => self.inner.search(&bytes(), count),
            (Precision::F32 | Precision::F16, true) => self.inner.exact_search(vector, count),
            (Precision::F32 | Precision::F16, false) => self.inner.search(vector, count),
        };
        let matches = matches.map_err(failed)?;
        Ok(found(matches.keys, matches.distances))
    }

    /// As `nearest`, without those that are gone: few.
    pub(super) fn nearest_without(&self, vector: &[f32], count: usize, gone: impl Fn(i64) -> bool) -> Result<Vec<(f32, i64)>, Error> {
        if self.ids.len() > EXACT_VECTORS {
            return self.nearest_of(vector, count, |id| !gone(id));
        }
        let mut asked = count.saturating_add(32);
        loop {
            let mut nearest = self.nearest(vector, asked)?;
            nearest.retain(|(_, id)| !gone(*id));
            if nearest.len() >= count || asked >= self.ids.len() {
                return Ok(nearest);
            }
            asked = asked.saturating_mul(4);
        }
    }

    /// As `nearest`, of those that are wanted, by the graph.
    pub(super) fn nearest_of(&self, vector: &[f32], count: usize, wanted: impl Fn(i64) -> bool) -> Result<Vec<(f32, i64)>, Error> {
        let count = count.min(self.ids.len());
        if count == 0 {
            return Ok(Vec::new());
        }
        let wanted = |key: u64| wanted(key.cast_signed());
        let matches = match self.precision {
            Precision::I8 => self.inner.filtered_search(&tail::bytes(vector).0.collect::<Vec<i8>>(), count, wanted),
            Precision::F32 | Precision::F16 => self.inner.filtered_search(vector, count, wanted),
        };
        let matches = matches.map_err(failed)?;
        Ok(found(matches.keys, matches.distances))
    }
}

fn found(keys: Vec<u64>, distances: Vec<f32>) -> Vec<(f32, i64)> {
    distances.into_iter().map(|distance| 1.0 - distance).zip(keys.into_iter().map(u64::cast_signed)).collect()
}

/// SQLite's ids are positive.
fn key(id: i64) -> u64 {
    id.cast_unsigned()
}

/// usearch opens files by text.
fn text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| Error::Index(format!("the path {} is not in UTF-8", path.display())))
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Index(error.to_string())
}
