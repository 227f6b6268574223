//! The index against exact arithmetic, through removals, growth and its file.

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

fn index(vectors: &[Vec<f32>]) -> VectorIndex {
    let mut index = VectorIndex::new(&space("model", DIMENSIONS)).unwrap();
    for (id, vector) in (1..).zip(vectors) {
        index.add(id, vector).unwrap();
    }
    index
}

/// The share of the ten true neighbours among twenty proposed ones.
fn recall(index: &VectorIndex, vectors: &[Vec<f32>], queries: &[Vec<f32>]) -> f64 {
    let mut found = 0;
    for query in queries {
        let mut exact: Vec<(f32, i64)> =
            vectors.iter().zip(1..).map(|(v, id)| (-v.iter().zip(query).map(|(a, b)| a * b).sum::<f32>(), id)).collect();
        exact.sort_by(|a, b| a.0.total_cmp(&b.0));
        let proposed = index.nearest(query, 20).unwrap();
        found += exact[..10].iter().filter(|(_, id)| proposed.contains(id)).count();
    }
    found as f64 / (10 * queries.len()) as f64
}

fn sorted(mut ids: Vec<i64>) -> Vec<i64> {
    ids.sort_unstable();
    ids
}

#[test]
fn a_small_index_misses_nothing_and_a_large_one_hardly_anything() {
    let all = vectors(EXACT_VECTORS + 101);
    let (queries, vectors) = all.split_at(100);
    let small = index(&vectors[..2000]);
    assert!(recall(&small, &vectors[..2000], queries) > 0.9999);
    let large = index(vectors);
    assert!(large.len() > EXACT_VECTORS);
    let recall = recall(&large, vectors, queries);
    assert!(recall > 0.98, "{recall}");
}

#[test]
fn what_is_removed_is_never_proposed_and_its_place_is_used_again() {
    let vectors = vectors(500);
    let mut index = index(&vectors[..300]);
    index.remove(&(1..=290).collect::<Vec<_>>()).unwrap();
    index.remove(&[1, 9999]).unwrap();
    assert_eq!(sorted(index.nearest(&vectors[0], 300).unwrap()), (291..=300).collect::<Vec<_>>());
    for (id, vector) in (1001..).zip(&vectors[300..]) {
        index.add(id, vector).unwrap();
        index.add(id, vector).unwrap();
    }
    assert_eq!(index.len(), 210);
    assert_eq!(sorted(index.nearest(&vectors[0], 1000).unwrap()), (291..=300).chain(1001..=1200).collect::<Vec<_>>());
}

#[test]
fn an_empty_index_proposes_nothing() {
    let mut index = VectorIndex::new(&space("model", DIMENSIONS)).unwrap();
    assert_eq!(index.nearest(&[1.0; DIMENSIONS], 5).unwrap(), [0; 0]);
    index.add(1, &[1.0; DIMENSIONS]).unwrap();
    index.remove(&[1]).unwrap();
    assert_eq!(index.nearest(&[1.0; DIMENSIONS], 5).unwrap(), [0; 0]);
}

#[test]
fn a_file_gives_the_same_index_which_goes_on_growing() {
    let vectors = vectors(1300);
    let mut written = index(&vectors[..1200]);
    written.remove(&(1..=200).collect::<Vec<_>>()).unwrap();
    let bytes = written.due_bytes().unwrap().expect("due").seal();
    let mut read = VectorIndex::from_bytes(&bytes, &space("model", DIMENSIONS)).expect("whole");
    assert_eq!(sorted(read.nearest(&vectors[7], 30).unwrap()), sorted(written.nearest(&vectors[7], 30).unwrap()));
    for (id, vector) in (5001..).zip(&vectors[1200..]) {
        read.add(id, vector).unwrap();
    }
    assert!(read.nearest(&vectors[1250], 1).unwrap() == [5051] && read.len() == 1100);
    assert_eq!(sorted(read.unknown(&(202..=6000).collect::<Vec<_>>())), [201]);
}

#[test]
fn a_file_is_due_only_after_enough_changes() {
    let vectors = vectors(10_000);
    let mut index = index(&vectors[..999]);
    assert!(index.due_bytes().unwrap().is_none());
    index.add(5000, &vectors[0]).unwrap();
    assert!(index.due_bytes().unwrap().is_some());
    assert!(index.due_bytes().unwrap().is_none());
    for (id, vector) in (6000..).zip(&vectors[1000..]) {
        index.add(id, vector).unwrap();
    }
    assert!(index.due_bytes().unwrap().is_some());
    index.remove(&(1..=999).collect::<Vec<_>>()).unwrap();
    index.remove(&(6000..=6101).collect::<Vec<_>>()).unwrap();
    assert!(index.due_bytes().unwrap().is_none(), "1101 of 8899 are less than an eighth");
    index.remove(&[6102, 6103, 6104]).unwrap();
    index.remove(&(6105..=6200).collect::<Vec<_>>()).unwrap();
    assert!(index.due_bytes().unwrap().is_some());
}

#[test]
fn a_file_that_is_torn_changed_or_of_another_model_is_no_index() {
    let mut index = index(&vectors(1000));
    let bytes = index.due_bytes().unwrap().expect("due").seal();
    let read = |bytes: &[u8], model: &str, dimensions| VectorIndex::from_bytes(bytes, &space(model, dimensions)).is_some();
    assert!(read(&bytes, "model", DIMENSIONS));
    assert!(!read(&bytes, "another", DIMENSIONS));
    assert!(!read(&bytes, "model", DIMENSIONS * 2));
    for length in [0, 31, 32, 40, 100, bytes.len() / 2, bytes.len() - 1] {
        assert!(!read(&bytes[..length], "model", DIMENSIONS), "{length} bytes");
    }
    for at in [0, 33, 45, 200, bytes.len() / 2, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(!read(&changed, "model", DIMENSIONS), "byte {at}");
    }
}
