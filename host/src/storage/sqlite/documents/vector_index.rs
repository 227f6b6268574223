//! The nearest neighbours of a vector among those of one namespace and space: a graph that never changes, and beside it a tail of what was added
//! since and the ids that are gone. It proposes, and SQLite decides: scores and texts are read there. Searches hold no lock: they look at a
//! `View`, and each change puts another one in its place. Now and then the tail is merged into a copy of the graph, which becomes the next one.

mod graph;
mod snapshot;
mod tail;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::graph::{EXACT_VECTORS, Graph};
use self::snapshot::Unplaced;
use self::tail::Tail;
use super::super::error::Error;
use crate::rag::{Precision, VectorSpace};

pub(super) use self::snapshot::{discard, tidy_up};

/// Changes before a merge; as many are built in a fifth of a second, so that smaller namespaces need no file at all.
const MERGED_MIN: usize = 1_000;
/// And at least one vector in so many has changed: all writing together stays in proportion to all adding.
const MERGED_ONE_IN: usize = 8;
/// But after so many in any case, because a search compares each vector of the tail: half a millisecond.
const MERGED_MAX: usize = 8_192;
/// Whoever adds to a tail of so many waits until it is merged.
const TAIL_MAX: usize = 4 * MERGED_MAX;

/// Vectors read from SQLite at once.
const BATCH: usize = 256;

/// What gives the ids that are in the database.
pub(super) type Ids<'a> = &'a dyn Fn() -> Result<Vec<i64>, Error>;
/// What gives the vectors of ids that are in the database.
pub(super) type Vectors<'a> = &'a (dyn Fn(&[i64]) -> Result<Vec<(i64, Vec<f32>)>, Error> + Sync);

/// An index of the vectors of one space by chunk id. Whoever calls a method that changes it holds `NamespaceIndex::changing`, but for `merge`.
pub(super) struct VectorIndex {
    space: VectorSpace,
    precision: Precision,
    /// Where the graph is saved.
    file: PathBuf,
    /// Locked for the moment in which it is looked at or replaced.
    view: Mutex<Arc<View>>,
    /// Locked over each replacement of the view.
    changes: Mutex<Changes>,
    /// Locked over a merge, which takes long.
    merging: Mutex<()>,
    /// Whether somebody has been told that a merge is due.
    told: AtomicBool,
}

/// The number of the last change, and of the last one that the database has: until then ids may be given to other chunks.
#[derive(Clone, Copy, Default)]
struct Changes {
    last: u64,
    settled: u64,
}

/// What a search sees.
pub(super) struct View {
    graph: Option<Arc<Graph>>,
    tail: Tail,
    /// Ids that are to be passed over in the graph, each by the change that took it out.
    gone: Arc<HashMap<i64, u64>>,
    /// How many vectors there are.
    len: usize,
    /// Another number whenever something was taken out. Between two views of the same number nothing was.
    epoch: u64,
    /// Another number whenever all was taken out at once.
    generation: u64,
    /// It is no more kept up to date.
    closed: bool,
}

impl VectorIndex {
    /// The index of the chunks of these ids, which are in order: from the file as far as that is right, the rest from the database. To compare ids
    /// is enough, because they are never used twice.
    pub(super) fn open(file: &Path, space: &VectorSpace, precision: Precision, ids: Ids<'_>, vectors: Vectors<'_>) -> Result<Self, Error> {
        // Each takes half a second of a million.
        let (graph, ids) = std::thread::scope(|scope| {
            let open = || snapshot::open(file, space, precision);
            let opening = std::thread::Builder::new().spawn_scoped(scope, open);
            let ids = ids();
            (opening.map_or_else(|_| open(), |thread| thread.join().unwrap_or_default()), ids)
        });
        let ids = ids?;
        let (unknown, missing) = graph.as_ref().map_or_else(|| (Vec::new(), ids.clone()), |graph| differences(graph.ids(), &ids));
        let view =
            View { graph: None, tail: Tail::default(), gone: Arc::default(), len: ids.len(), epoch: 0, generation: 0, closed: false };
        let index = Self {
            space: space.clone(),
            precision,
            file: file.into(),
            view: Mutex::new(Arc::new(view)),
            changes: Mutex::default(),
            merging: Mutex::default(),
            told: AtomicBool::new(false),
        };
        let many = missing.len() >= if graph.is_some() { TAIL_MAX } else { MERGED_MIN };
        let (graph, tail, gone) = match graph {
            graph if many => {
                let gone: HashSet<i64> = unknown.into_iter().collect();
                (Some(index.built(graph.as_ref(), |id| gone.contains(&id), &missing, vectors)?), Tail::default(), HashMap::new())
            }
            graph => {
                let mut tail = Tail::default();
                for ids in missing.chunks(BATCH) {
                    let (ids, vectors): (Vec<i64>, Vec<Vec<f32>>) = vectors(ids)?.into_iter().unzip();
                    tail = tail.with(&ids, &vectors, tail.len() as u64 + 1);
                }
                let changes = tail.len() as u64;
                *lock(&index.changes) = Changes { last: changes, settled: changes };
                (graph, tail, unknown.into_iter().map(|id| (id, 0)).collect())
            }
        };
        index.show(View { graph: graph.map(Arc::new), tail, gone: Arc::new(gone), ..index.view().moved_on() });
        Ok(index)
    }

    pub(super) fn space(&self) -> &VectorSpace {
        &self.space
    }

    pub(super) fn view(&self) -> Arc<View> {
        Arc::clone(&lock(&self.view))
    }

    fn show(&self, view: View) {
        *lock(&self.view) = Arc::new(view);
    }

    /// Adds vectors of the space's length, whose ids are new. Until `settle` they are in no file.
    pub(super) fn add(&self, ids: &[i64], vectors: &[Vec<f32>]) {
        let mut changes = lock(&self.changes);
        let now = self.view();
        let tail = now.tail.with(ids, vectors, changes.last + 1);
        changes.last += ids.len() as u64;
        self.show(View { tail, len: now.len + ids.len(), ..now.same() });
    }

    /// Takes ids out, of which some may not be there.
    pub(super) fn remove(&self, ids: &[i64]) {
        let mut changes = lock(&self.changes);
        let now = self.view();
        let mut there: HashSet<i64> = ids.iter().copied().filter(|id| now.in_graph(*id)).collect();
        let ids: HashSet<i64> = ids.iter().copied().collect();
        there.extend(now.tail.entries().map(|entry| entry.id).filter(|id| ids.contains(id)));
        if there.is_empty() {
            return;
        }
        changes.last += 1;
        let mut gone = (*now.gone).clone();
        // Those of the tail too, because a graph with them may be in the making.
        gone.extend(there.iter().map(|id| (*id, changes.last)));
        let tail = now.tail.only(|entry| !there.contains(&entry.id));
        self.show(View { tail, gone: Arc::new(gone), len: now.len - there.len(), ..now.moved_on() });
    }

    /// Brings it to these ids, which are in order and which the database has; the vectors of those that it lacks come from there.
    pub(super) fn catch_up(&self, ids: &[i64], vectors: Vectors<'_>) -> Result<(), Error> {
        let (unknown, missing) = differences(&self.view().ids(), ids);
        self.remove(&unknown);
        for ids in missing.chunks(BATCH) {
            let (ids, vectors): (Vec<i64>, Vec<Vec<f32>>) = vectors(ids)?.into_iter().unzip();
            self.add(&ids, &vectors);
        }
        self.settle();
        Ok(())
    }

    /// Notes that the database has what was changed so far.
    pub(super) fn settle(&self) {
        let mut changes = lock(&self.changes);
        changes.settled = changes.last;
    }

    /// Takes everything out, and deletes the file.
    pub(super) fn clear(&self) -> Result<(), Error> {
        let _changes = lock(&self.changes);
        let now = self.view();
        let generation = now.generation + 1;
        self.show(View { graph: None, tail: Tail::default(), gone: Arc::default(), len: 0, generation, ..now.moved_on() });
        snapshot::discard(&self.file).map_err(failed)
    }

    /// Gives the index up: nothing is written any more, and whoever looks at it learns that it is out of date.
    pub(super) fn close(&self) {
        let _changes = lock(&self.changes);
        let now = self.view();
        self.show(View { closed: true, ..now.moved_on() });
    }

    /// As `close`, and deletes the file.
    pub(super) fn discard(&self) -> Result<(), Error> {
        self.close();
        snapshot::discard(&self.file).map_err(failed)
    }

    /// Whether so much has changed that a merge is due.
    pub(super) fn is_due(&self) -> bool {
        let (now, Changes { settled, .. }) = (self.view(), *lock(&self.changes));
        let added = now.tail.entries().take_while(|entry| entry.change <= settled).count();
        let changed = added + now.gone.values().filter(|change| **change <= settled).count();
        let graph = now.graph.as_ref().map_or(0, |graph| graph.ids().len());
        !now.closed && changed >= (graph / MERGED_ONE_IN).clamp(MERGED_MIN, MERGED_MAX)
    }

    /// Whether whoever changed it may as well merge it: it takes no longer than what was changed, or others must not add any more.
    pub(super) fn merges_at_once(&self) -> bool {
        let now = self.view();
        now.len.max(now.graph.as_ref().map_or(0, |graph| graph.ids().len())) <= EXACT_VECTORS || now.tail.len() >= TAIL_MAX
    }

    /// Whether this is the first one who wants to tell that a merge is due.
    pub(super) fn tell(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }

    pub(super) fn was_told(&self) {
        self.told.store(false, Ordering::Relaxed);
    }

    /// Puts a graph with all settled changes in the place of the present one, and saves it; searches and changes go on meanwhile.
    /// If it cannot be saved, as when the disk is full, it stays in memory.
    pub(super) fn merge(&self) -> Result<(), Error> {
        let _alone = lock(&self.merging);
        if !self.is_due() {
            return Ok(());
        }
        let (from, Changes { settled, .. }) = {
            let changes = lock(&self.changes);
            (self.view(), *changes)
        };
        let new: Vec<_> = from.tail.entries().take_while(|entry| entry.change <= settled).collect();
        let gone = |id: i64| from.gone.get(&id).is_some_and(|change| *change <= settled);
        let batches = Mutex::new(new.chunks(BATCH));
        let next = || Ok(lock(&batches).next().map(|batch| batch.iter().map(|entry| (entry.id, entry.vector.to_vec())).collect()));
        let mut graph = from.graph.as_deref().map_or_else(|| Graph::empty(&self.space, self.precision), Graph::copy)?;
        graph.remove(gone)?;
        graph.add(new.len(), 1, &next)?;
        let graph = self.written(graph);
        self.take_over(&from, settled, graph)
    }

    /// The end of a merge.
    fn take_over(&self, from: &View, settled: u64, (mut graph, file): (Graph, Option<Unplaced>)) -> Result<(), Error> {
        let _changes = lock(&self.changes);
        let now = self.view();
        if now.closed || now.generation != from.generation {
            return Ok(());
        }
        if let Some(file) = file {
            self.place(&mut graph, file);
        }
        let gone = now.gone.iter().filter(|(_, change)| **change > settled).map(|(id, change)| (*id, *change)).collect();
        let tail = now.tail.only(|entry| entry.change > settled);
        let graph = Some(graph).filter(|graph| !graph.ids().is_empty());
        let emptied = graph.is_none();
        self.show(View { graph: graph.map(Arc::new), tail, gone: Arc::new(gone), ..now.moved_on() });
        if emptied {
            snapshot::discard(&self.file).map_err(failed)?;
        }
        Ok(())
    }

    /// A graph of what another one holds and of these ids, built by all processors and saved. Nothing can be searched meanwhile.
    fn built(&self, before: Option<&Graph>, gone: impl Fn(i64) -> bool, ids: &[i64], vectors: Vectors<'_>) -> Result<Graph, Error> {
        let mut graph = before.map_or_else(|| Graph::empty(&self.space, self.precision), Graph::copy)?;
        graph.remove(gone)?;
        let batches = Mutex::new(ids.chunks(BATCH));
        let next = || {
            let ids = lock(&batches).next();
            ids.map(vectors).transpose()
        };
        // A small one is the same however often it is built.
        let threads = if ids.len() > EXACT_VECTORS { std::thread::available_parallelism().map_or(1, usize::from) } else { 1 };
        graph.add(ids.len(), threads, &next)?;
        let (mut graph, file) = self.written(graph);
        if let Some(file) = file {
            self.place(&mut graph, file);
        }
        Ok(graph)
    }

    /// The graph as it is mapped from a file that is not yet in its place; or as it was, if it cannot be saved.
    fn written(&self, graph: Graph) -> (Graph, Option<Unplaced>) {
        let file = snapshot::write(&graph, &self.file, &self.space, self.precision).map_err(failed);
        let mapped = file.and_then(|file| Ok((Graph::view(file.path(), graph.ids().to_vec(), &self.space, self.precision)?, file)));
        match mapped {
            Ok((mapped, file)) => (mapped, Some(file)),
            Err(error) => {
                tracing::warn!(%error, path = %self.file.display(), "the vector index could not be saved; it stays in memory");
                (graph, None)
            }
        }
    }

    /// A file that is not in its place costs the next start some time, no more.
    fn place(&self, graph: &mut Graph, file: Unplaced) {
        match file.place(&self.file) {
            Ok(()) => graph.moved(&self.file),
            Err(error) => tracing::warn!(%error, path = %self.file.display(), "the vector index could not be saved"),
        }
    }
}

impl View {
    /// This one, to change something of it.
    fn same(&self) -> Self {
        Self { graph: self.graph.clone(), tail: self.tail.clone(), gone: Arc::clone(&self.gone), ..*self }
    }

    /// As `same`, and whoever looks at it sees that something was taken out.
    fn moved_on(&self) -> Self {
        Self { epoch: self.epoch + 1, ..self.same() }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// All that are there, in order.
    fn ids(&self) -> Vec<i64> {
        let graph = self.graph.iter().flat_map(|graph| graph.ids()).copied().filter(|id| !self.gone.contains_key(id));
        let mut ids: Vec<i64> = graph.chain(self.tail.entries().map(|entry| entry.id)).collect();
        ids.sort_unstable();
        ids
    }

    fn in_graph(&self, id: i64) -> bool {
        self.graph.as_ref().is_some_and(|graph| graph.contains(id)) && !self.gone.contains_key(&id)
    }

    /// The ids of about the `count` nearest vectors, each once; with `within`, of these alone.
    pub(super) fn nearest(&self, vector: &[f32], count: usize, within: Option<&HashSet<i64>>) -> Result<Vec<i64>, Error> {
        let count = count.min(self.len);
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut found = match (&self.graph, within) {
            (None, _) => Vec::new(),
            (Some(graph), None) if self.gone.is_empty() => graph.nearest(vector, count)?,
            (Some(graph), None) => graph.nearest_without(vector, count, |id| self.gone.contains_key(&id))?,
            (Some(graph), Some(within)) => graph.nearest_of(vector, count, |id| within.contains(&id) && !self.gone.contains_key(&id))?,
        };
        found.extend(self.tail.nearest(vector, count, |id| within.is_none_or(|within| within.contains(&id))));
        found.sort_unstable_by(|(a, left), (b, right)| b.total_cmp(a).then(left.cmp(right)));
        found.truncate(count);
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }
}

/// The ids of the first list that are not in the second, and those of the second that are not in the first. Both are in order.
fn differences(first: &[i64], second: &[i64]) -> (Vec<i64>, Vec<i64>) {
    let (mut left, mut right) = (first.iter().copied().peekable(), second.iter().copied().peekable());
    let (mut only_first, mut only_second) = (Vec::new(), Vec::new());
    loop {
        match (left.peek(), right.peek()) {
            (None, None) => return (only_first, only_second),
            (Some(a), Some(b)) if a == b => {
                left.next();
                right.next();
            }
            (Some(a), b) if b.is_none_or(|b| a < b) => only_first.extend(left.next()),
            _ => only_second.extend(right.next()),
        }
    }
}

/// A panic elsewhere leaves a view that is whole.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Index(error.to_string())
}

#[cfg(test)]
mod tests;
