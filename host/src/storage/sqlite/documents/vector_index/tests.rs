//! The index against exact arithmetic, through removals, merges and its file.

use std::io::Write as _;

use super::*;

const DIMENSIONS: usize = 16;

/// Unit vectors, the same on every run.
fn vectors(count: usize) -> Vec<Vec<f32>> {
    let mut state = 42_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    let mut vector = || {
        let raw: Vec<f32> = (0..DIMENSIONS).map(|_| random()).collect();
        let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
        raw.iter().map(|x| x / length).collect()
    };
    (0..count).map(|_| vector()).collect()
}

fn space(model: &str, dimensions: usize) -> VectorSpace {
    VectorSpace { model: model.into(), dimensions }
}

/// A folder for the file, and what the database has: vectors by id.
struct Place {
    folder: tempfile::TempDir,
    database: HashMap<i64, Vec<f32>>,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), database: HashMap::new() }
    }

    /// With the vectors from id 1 on in the database.
    fn with(vectors: &[Vec<f32>]) -> Self {
        let mut place = Self::new();
        place.store(1, vectors);
        place
    }

    fn store(&mut self, first: i64, vectors: &[Vec<f32>]) -> Vec<i64> {
        let ids: Vec<i64> = (first..).take(vectors.len()).collect();
        self.database.extend(ids.iter().copied().zip(vectors.iter().cloned()));
        ids
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("index/n-s")
    }

    fn open_as(&self, precision: Precision) -> VectorIndex {
        let mut ids: Vec<i64> = self.database.keys().copied().collect();
        ids.sort_unstable();
        let vectors = |ids: &[i64]| Ok(ids.iter().filter_map(|id| Some((*id, self.database.get(id)?.clone()))).collect());
        VectorIndex::open(&self.file(), &space("model", DIMENSIONS), precision, &|| Ok(ids.clone()), &vectors).unwrap()
    }

    fn open(&self) -> VectorIndex {
        self.open_as(Precision::default())
    }

    /// Whether the file is of use to the next start.
    fn is_of_use(&self, model: &str, dimensions: usize, precision: Precision) -> bool {
        snapshot::open(&self.file(), &space(model, dimensions), precision).is_some()
    }

    /// Adds vectors to both, as a document is put.
    fn put(&mut self, index: &VectorIndex, first: i64, vectors: &[Vec<f32>]) {
        let ids = self.store(first, vectors);
        index.add(&ids, vectors);
        index.settle();
    }

    fn delete(&mut self, index: &VectorIndex, ids: &[i64]) {
        ids.iter().for_each(|id| {
            self.database.remove(id);
        });
        index.remove(ids);
        index.settle();
    }

    /// Everything that is proposed is in the database, once, and everything in the database is proposed.
    fn agrees(&self, index: &VectorIndex) {
        let view = index.view();
        let mut known: Vec<i64> = self.database.keys().copied().collect();
        known.sort_unstable();
        assert_eq!(view.len(), known.len());
        assert_eq!(sorted(view.nearest(&vectors(1)[0], usize::MAX, None).unwrap()), known);
    }
}

/// The share of the ten true neighbours among the proposed ones.
fn recall(index: &VectorIndex, place: &Place, queries: &[Vec<f32>], proposed: usize) -> f64 {
    let mut found = 0;
    for query in queries {
        let cosine = |vector: &[f32]| vector.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
        let mut exact: Vec<(f32, i64)> = place.database.iter().map(|(id, vector)| (-cosine(vector), *id)).collect();
        exact.sort_by(|a, b| a.0.total_cmp(&b.0));
        let proposed = index.view().nearest(query, proposed, None).unwrap();
        found += exact[..10].iter().filter(|(_, id)| proposed.contains(id)).count();
    }
    found as f64 / (10 * queries.len()) as f64
}

fn sorted(mut ids: Vec<i64>) -> Vec<i64> {
    ids.sort_unstable();
    ids
}

#[test]
fn a_small_index_misses_nothing_and_a_large_one_hardly_anything_in_any_precision() {
    let all = vectors(EXACT_VECTORS + 600);
    let (queries, vectors) = all.split_at(100);
    for precision in [Precision::F32, Precision::F16, Precision::I8] {
        let small = Place::with(&vectors[..2000]);
        let built = small.open_as(precision);
        assert!(recall(&built, &small, queries, 20) > 0.999, "{precision:?}");
        // The same without a graph.
        let few = Place::with(&vectors[..900]);
        assert!(recall(&few.open_as(precision), &few, queries, 20) > 0.999, "{precision:?}");
        assert!(!few.file().exists());

        let mut large = Place::with(&vectors[..EXACT_VECTORS + 100]);
        let built = large.open_as(precision);
        let beside = &vectors[EXACT_VECTORS + 100..];
        large.put(&built, 100_001, beside);
        large.delete(&built, &[5, 6, 7, 100_003]);
        assert!(built.view().graph.as_ref().is_some_and(|graph| graph.ids().len() == EXACT_VECTORS + 100));
        assert_eq!((built.view().tail.len(), built.view().gone.len()), (beside.len() - 1, 4));
        let recall = recall(&built, &large, queries, 20);
        assert!(recall > 0.98, "{precision:?}: {recall}");
    }
}

#[test]
fn what_is_removed_is_never_proposed_whether_it_was_in_the_graph_or_in_the_tail() {
    let vectors = vectors(2_000);
    let mut place = Place::with(&vectors[..1_100]);
    let index = place.open();
    place.put(&index, 2_001, &vectors[1_100..1_400]);
    place.delete(&index, &(1..=290).collect::<Vec<_>>());
    place.delete(&index, &[1, 9_999, 2_001, 2_300]);
    place.agrees(&index);
    assert_eq!(index.view().len(), 1_100 - 290 + 300 - 2);
    assert!(!index.is_due());
    // Of few ids alone, and of the tail alone.
    let within: HashSet<i64> = [1, 300, 301, 2_001, 2_002, 2_003].into();
    assert_eq!(sorted(index.view().nearest(&vectors[0], 9, Some(&within)).unwrap()), [300, 301, 2_002, 2_003]);
    place.put(&index, 3_001, &vectors[1_400..]);
    assert!(index.is_due());
    index.merge().unwrap();
    assert_eq!((index.view().tail.len(), index.view().gone.len()), (0, 0));
    place.agrees(&index);
    place.agrees(&place.open());
}

#[test]
fn an_empty_index_proposes_nothing() {
    let mut place = Place::new();
    let index = place.open();
    let vector = vec![0.25; DIMENSIONS];
    assert_eq!(index.view().nearest(&vector, 5, None).unwrap(), [0; 0]);
    place.put(&index, 1, std::slice::from_ref(&vector));
    assert_eq!(index.view().nearest(&vector, 5, None).unwrap(), [1]);
    place.delete(&index, &[1]);
    assert_eq!(index.view().nearest(&vector, 5, None).unwrap(), [0; 0]);
}

#[test]
fn a_file_gives_the_same_index_which_goes_on_growing() {
    let vectors = vectors(1_300);
    let mut place = Place::with(&vectors[..1_200]);
    place.open();
    // Changes that the file does not know of.
    (1..=200).for_each(|id| {
        place.database.remove(&id);
    });
    place.store(5_001, &vectors[1_200..1_250]);
    let index = place.open();
    assert_eq!((index.view().tail.len(), index.view().gone.len()), (50, 200));
    place.agrees(&index);
    place.put(&index, 6_001, &vectors[1_250..]);
    assert_eq!(index.view().nearest(&vectors[1_275], 1, None).unwrap(), [6_026]);
    assert_eq!(index.view().nearest(&vectors[1_225], 1, None).unwrap(), [5_026]);
    place.agrees(&index);
}

#[test]
fn a_merge_is_due_only_after_enough_changes() {
    let vectors = vectors(10_000);
    let mut place = Place::with(&vectors[..999]);
    let index = place.open();
    assert!(!index.is_due() && !place.file().exists());
    place.put(&index, 5_000, &vectors[..1]);
    assert!(index.is_due());
    index.merge().unwrap();
    assert!(!index.is_due() && place.is_of_use("model", DIMENSIONS, Precision::F16));
    place.put(&index, 6_000, &vectors[1_000..]);
    assert!(index.is_due());
    index.merge().unwrap();
    // An eighth of ten thousand.
    place.delete(&index, &(1..=999).collect::<Vec<_>>());
    place.delete(&index, &(6_000..6_250).collect::<Vec<_>>());
    assert!(!index.is_due(), "1249 of 10000 are less than an eighth");
    let written = std::fs::metadata(place.file()).unwrap().modified().unwrap();
    index.merge().unwrap();
    assert_eq!(std::fs::metadata(place.file()).unwrap().modified().unwrap(), written, "nothing was due");
    place.put(&index, 20_000, &vectors[..1]);
    assert!(index.is_due());
    index.merge().unwrap();
    place.agrees(&index);
    place.agrees(&place.open());
}

#[test]
fn what_the_database_does_not_have_yet_is_proposed_and_in_no_file() {
    let vectors = vectors(2_200);
    let mut place = Place::with(&vectors[..500]);
    let index = place.open();
    place.put(&index, 1_001, &vectors[500..1_600]);
    index.add(&[9_001, 9_002], &vectors[1_600..1_602]);
    index.merge().unwrap();
    assert_eq!(index.view().tail.entries().map(|entry| entry.id).collect::<Vec<_>>(), [9_001, 9_002]);
    assert!(index.view().nearest(&vectors[1_600], 1, None).unwrap() == [9_001]);
    // Its transaction failed: the ids may be given to other chunks.
    index.remove(&[9_001, 9_002]);
    index.settle();
    place.agrees(&index);
    place.store(9_001, &vectors[2_000..2_002]);
    let again = place.open();
    assert_eq!(again.view().nearest(&vectors[2_000], 1, None).unwrap(), [9_001]);
    place.agrees(&again);
    // However much of it there is, it makes no merge due.
    again.add(&(20_000..21_500).collect::<Vec<_>>(), &vectors[..1_500]);
    assert!(!again.is_due());
}

#[test]
fn what_changes_during_a_merge_is_found_before_and_after_it() {
    let vectors = vectors(5_000);
    let mut place = Place::with(&vectors[..1_500]);
    let index = place.open();
    place.put(&index, 2_001, &vectors[1_500..3_500]);
    // A merge as `merge` does it, and others who change the index between its beginning and its end.
    let (from, settled) = (index.view(), lock(&index.changes).settled);
    let mut graph = from.graph.as_ref().unwrap().copy().unwrap();
    let mut new = Some(from.tail.entries().map(|entry| (entry.id, entry.vector.to_vec())).collect::<Vec<_>>());
    let batches = Mutex::new(&mut new);
    graph.add(2_000, 1, &|| Ok(lock(&batches).take())).unwrap();
    place.put(&index, 7_001, &vectors[3_500..3_600]);
    place.delete(&index, &[1, 2, 2_001, 2_002, 7_001]);
    place.agrees(&index);
    let epoch = index.view().epoch();
    index.take_over(&from, settled, index.written(graph)).unwrap();
    assert!(index.view().epoch() > epoch, "whoever looks for longer sees that something was taken out");
    assert_eq!((index.view().tail.len(), index.view().gone.len()), (99, 5));
    place.agrees(&index);
    assert_eq!(index.view().nearest(&vectors[3_550], 1, None).unwrap(), [7_051]);
    place.agrees(&place.open());
}

#[test]
fn a_merge_of_what_was_cleared_or_given_up_meanwhile_leaves_nothing_behind() {
    let vectors = vectors(1_200);
    for clear in [true, false] {
        let place = Place::with(&vectors);
        let index = place.open();
        let (from, settled) = (index.view(), lock(&index.changes).settled);
        let graph = from.graph.as_ref().unwrap().copy().unwrap();
        let written = index.written(graph);
        if clear {
            index.clear().unwrap();
            assert_eq!(index.view().nearest(&vectors[0], 5, None).unwrap(), [0; 0]);
        } else {
            index.discard().unwrap();
        }
        index.take_over(&from, settled, written).unwrap();
        assert_eq!((index.view().len() == 0, index.view().is_closed()), (clear, !clear));
        assert_eq!(std::fs::read_dir(place.folder.path().join("index")).unwrap().count(), 0);
    }
}

#[test]
fn an_index_whose_vectors_all_went_has_no_file() {
    let vectors = vectors(1_200);
    let mut place = Place::with(&vectors);
    let index = place.open();
    assert!(place.file().exists());
    place.delete(&index, &(1..=1_200).collect::<Vec<_>>());
    index.merge().unwrap();
    assert!(!place.file().exists());
    place.put(&index, 2_001, &vectors[..5]);
    place.agrees(&index);
}

#[test]
fn a_file_that_cannot_be_written_leaves_the_index_in_memory() {
    let vectors = vectors(2_600);
    let mut place = Place::with(&vectors[..1_200]);
    let blocked = place.folder.path().join("index");
    std::fs::write(&blocked, "a file where the folder should be").unwrap();
    let index = place.open();
    place.put(&index, 2_001, &vectors[1_200..2_300]);
    index.merge().unwrap();
    assert_eq!(index.view().tail.len(), 0);
    place.agrees(&index);
    // The next merge finds room, and copies what has no file.
    std::fs::remove_file(&blocked).unwrap();
    place.put(&index, 5_001, &vectors[1_400..2_600]);
    index.merge().unwrap();
    place.agrees(&index);
    assert!(place.is_of_use("model", DIMENSIONS, Precision::F16));
    // And when its file is gone, it goes on with what is mapped.
    std::fs::remove_file(place.file()).unwrap();
    place.agrees(&index);
    place.put(&index, 9_001, &vectors[..1_200]);
    index.merge().unwrap();
    place.agrees(&index);
    place.agrees(&place.open());
}

#[test]
fn a_file_that_is_torn_changed_or_of_another_kind_is_no_index() {
    let place = Place::with(&vectors(1_000));
    place.open();
    assert!(place.is_of_use("model", DIMENSIONS, Precision::F16));
    assert!(!place.is_of_use("another", DIMENSIONS, Precision::F16));
    assert!(!place.is_of_use("model", DIMENSIONS * 2, Precision::F16));
    assert!(!place.is_of_use("model", DIMENSIONS, Precision::F32));
    assert!(!place.is_of_use("model", DIMENSIONS, Precision::I8));
    let bytes = std::fs::read(place.file()).unwrap();
    let write = |bytes: &[u8]| std::fs::File::create(place.file()).unwrap().write_all(bytes).unwrap();
    for length in [0, 1, 43, 44, 45, 100, bytes.len() / 2, bytes.len() - 44, bytes.len() - 1] {
        write(&bytes[..length]);
        assert!(!place.is_of_use("model", DIMENSIONS, Precision::F16), "{length} bytes");
    }
    write(&[&bytes[..], b"more"].concat());
    assert!(!place.is_of_use("model", DIMENSIONS, Precision::F16));
    // Each byte of both ends, and others all over the file.
    let end = bytes.len() - 200;
    for at in (0..200).chain((200..end).step_by(1_009)).chain(end..bytes.len()) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        write(&changed);
        assert!(!place.is_of_use("model", DIMENSIONS, Precision::F16), "byte {at} of {}", bytes.len());
    }
    // Whatever is there, what is found is what the database has, and the file is whole again.
    place.agrees(&place.open());
    assert!(place.is_of_use("model", DIMENSIONS, Precision::F16));
}

#[test]
fn another_precision_is_built_from_the_database_and_saved() {
    let place = Place::with(&vectors(1_500));
    for precision in [Precision::F16, Precision::I8, Precision::F32] {
        place.agrees(&place.open_as(precision));
        assert!(place.is_of_use("model", DIMENSIONS, precision));
    }
}

#[test]
fn what_a_killed_process_did_not_finish_is_deleted() {
    let place = Place::with(&vectors(1_000));
    place.open();
    let folder = place.folder.path().join("index");
    std::fs::write(folder.join(".tmpA1b2C3"), "half").unwrap();
    tidy_up(&folder);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    assert!(place.file().exists());
    tidy_up(&place.folder.path().join("nowhere"));
}

#[test]
fn differences_are_those_of_two_lists_in_order() {
    assert_eq!(differences(&[1, 2, 5, 9], &[2, 3, 5, 10, 11]), (vec![1, 9], vec![3, 10, 11]));
    assert_eq!(differences(&[], &[1]), (vec![], vec![1]));
    assert_eq!(differences(&[1], &[]), (vec![1], vec![]));
}
