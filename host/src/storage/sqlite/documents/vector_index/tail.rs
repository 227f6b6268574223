//! The vectors that the graph does not have yet: every one is compared, so that adding one costs nothing and none is missed.
//! A tail is never changed; each change gives another one, which shares what stayed the same.

use std::sync::Arc;

/// Entries that are copied at most when some are added or removed.
const BLOCK: usize = 256;

/// The largest code of a vector that is kept. In bytes, because reading them is what a search of many waits for; the error of a product of two
/// unit vectors is about 0.0005.
const KEPT_MAX: f32 = 127.0;
/// The largest code of a question. The sum of products of `KEPT_MAX` and this over 8,192 numbers, the most that a vector may have, fits into an i32.
const ASKED_MAX: f32 = 2_047.0;

/// Vectors by chunk id, in the order in which they were added.
#[derive(Clone, Default)]
pub(super) struct Tail {
    blocks: Vec<Arc<Block>>,
    len: usize,
}

#[derive(Clone, Default)]
struct Block {
    entries: Vec<Entry>,
    /// The codes of all entries, one after the other.
    codes: Vec<i8>,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) id: i64,
    /// Which change of the index added it.
    pub(super) change: u64,
    pub(super) vector: Arc<[f32]>,
    /// By which its codes are multiplied.
    scale: f32,
}

impl Tail {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.blocks.iter().flat_map(|block| &block.entries)
    }

    /// With these vectors after all others, the first of them as `change` and each further one as the next.
    pub(super) fn with(&self, ids: &[i64], vectors: &[Vec<f32>], change: u64) -> Self {
        let mut blocks = self.blocks.clone();
        let mut filling = match blocks.last() {
            Some(last) if last.entries.len() < BLOCK => blocks.pop().map_or_else(Block::default, |block| (*block).clone()),
            _ => Block::default(),
        };
        for ((id, vector), change) in ids.iter().zip(vectors).zip(change..) {
            if filling.entries.len() == BLOCK {
                blocks.push(Arc::new(std::mem::take(&mut filling)));
            }
            filling.push(*id, vector, change);
        }
        if !filling.entries.is_empty() {
            blocks.push(Arc::new(filling));
        }
        Self { blocks, len: self.len + ids.len() }
    }

    /// Those entries alone.
    pub(super) fn only(&self, keep: impl Fn(&Entry) -> bool) -> Self {
        let kept = |block: &Arc<Block>| match block.entries.iter().filter(|entry| keep(entry)).count() {
            0 => None,
            all if all == block.entries.len() => Some(Arc::clone(block)),
            _ => Some(Arc::new(block.only(&keep))),
        };
        let blocks: Vec<_> = self.blocks.iter().filter_map(kept).collect();
        let len = blocks.iter().map(|block| block.entries.len()).sum();
        Self { blocks, len }
    }

    /// The `count` nearest of those that are wanted, in no order, with what their cosines are but for rounding.
    pub(super) fn nearest(&self, vector: &[f32], count: usize, wanted: impl Fn(i64) -> bool) -> Vec<(f32, i64)> {
        let (asked, scale) = coded(vector, ASKED_MAX);
        let mut found: Vec<(f32, i64)> = Vec::with_capacity(self.len);
        for block in &self.blocks {
            for (entry, codes) in block.entries.iter().zip(block.codes.chunks_exact(asked.len().max(1))) {
                if wanted(entry.id) {
                    found.push((product(&asked, codes) as f32 * entry.scale * scale, entry.id));
                }
            }
        }
        if found.len() > count {
            found.select_nth_unstable_by(count, |(a, _), (b, _)| b.total_cmp(a));
            found.truncate(count);
        }
        found
    }
}

impl Block {
    fn push(&mut self, id: i64, vector: &[f32], change: u64) {
        let (codes, scale) = bytes(vector);
        self.codes.extend(codes);
        self.entries.push(Entry { id, change, vector: vector.into(), scale });
    }

    fn only(&self, keep: impl Fn(&Entry) -> bool) -> Self {
        let mut block = Self::default();
        let dimensions = self.codes.len() / self.entries.len().max(1);
        for (entry, codes) in self.entries.iter().zip(self.codes.chunks_exact(dimensions.max(1))) {
            if keep(entry) {
                block.codes.extend(codes);
                block.entries.push(entry.clone());
            }
        }
        block
    }
}

/// A vector in bytes, and by what they are to be multiplied. Each vector has the scale that it needs: numbers of a long unit vector are small.
#[expect(clippy::cast_possible_truncation, reason = "no code is over 127")]
pub(super) fn bytes(vector: &[f32]) -> (impl Iterator<Item = i8>, f32) {
    let (codes, scale) = coded(vector, KEPT_MAX);
    (codes.into_iter().map(|code| code as i8), scale)
}

/// Whole numbers up to `max`, and by what they are to be multiplied to have the length 1.
#[expect(clippy::cast_possible_truncation, reason = "no code is over `max`")]
fn coded(vector: &[f32], max: f32) -> (Vec<i16>, f32) {
    let largest = vector.iter().fold(0.0, |largest: f32, number| largest.max(number.abs()));
    if largest <= 0.0 {
        return (vec![0; vector.len()], 0.0);
    }
    let codes: Vec<i16> = vector.iter().map(|number| (number / largest * max).round() as i16).collect();
    // By their own length, or those would rank first whose rounding made them longest.
    let length = codes.iter().map(|code| f32::from(*code) * f32::from(*code)).sum::<f32>().sqrt();
    (codes, 1.0 / length)
}

fn product(asked: &[i16], kept: &[i8]) -> i32 {
    asked.iter().zip(kept).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(tail: &Tail) -> Vec<i64> {
        tail.entries().map(|entry| entry.id).collect()
    }

    fn tail(count: i64) -> Tail {
        let ids: Vec<i64> = (1..=count).collect();
        let vectors: Vec<Vec<f32>> = ids.iter().map(|id| vec![(*id as f32).cos(), (*id as f32).sin()]).collect();
        Tail::default().with(&ids, &vectors, 1)
    }

    #[test]
    fn entries_keep_their_order_across_blocks_and_others_do_not_see_changes() {
        let before = tail(BLOCK as i64 * 2 + 5);
        let after = before.with(&[9_001, 9_002], &[vec![1.0, 0.0], vec![0.0, 1.0]], 9_000);
        assert_eq!((before.len(), after.len()), (BLOCK * 2 + 5, BLOCK * 2 + 7));
        assert_eq!(ids(&before), (1..=BLOCK as i64 * 2 + 5).collect::<Vec<_>>());
        assert_eq!(ids(&after)[BLOCK * 2 + 5..], [9_001, 9_002]);
        assert!(Arc::ptr_eq(&before.blocks[1], &after.blocks[1]), "full blocks are shared");
        assert_eq!(after.entries().last().map(|entry| entry.change), Some(9_001));

        let fewer = after.only(|entry| entry.id != 3 && entry.change < 9_001);
        assert_eq!((fewer.len(), after.len()), (BLOCK * 2 + 5, BLOCK * 2 + 7));
        assert!(!ids(&fewer).contains(&3) && ids(&fewer).contains(&9_001) && !ids(&fewer).contains(&9_002));
        assert!(Arc::ptr_eq(&fewer.blocks[1], &after.blocks[1]));
        assert_eq!(fewer.only(|_| false).blocks.len(), 0);
    }

    #[test]
    fn cosines_are_right_but_for_rounding_in_every_block() {
        let tail = tail(BLOCK as i64 + 40).only(|entry| entry.id % 7 != 0);
        let found = tail.nearest(&[0.6, 0.8], usize::MAX, |id| id > 10);
        assert_eq!(found.len(), ids(&tail).iter().filter(|id| **id > 10).count());
        for (cosine, id) in found {
            let exact = 0.6 * (id as f32).cos() + 0.8 * (id as f32).sin();
            assert!((cosine - exact).abs() < 0.01, "{id}: {cosine} for {exact}");
        }
        let nearest = tail.nearest(&[1.0, 0.0], 3, |_| true);
        assert_eq!(nearest.len(), 3);
        assert!(nearest.iter().all(|(cosine, _)| *cosine > 0.99), "{nearest:?}");
    }

    #[test]
    fn the_longest_and_flattest_vectors_do_not_overflow() {
        let number = (1.0_f32 / 8_192.0).sqrt();
        let flat = vec![number; 8_192];
        let tail = Tail::default().with(&[1, 2], &[flat.clone(), vec![-number; 8_192]], 1);
        let mut found = tail.nearest(&flat, 2, |_| true);
        found.sort_by_key(|(_, id)| *id);
        assert!((found[0].0 - 1.0).abs() < 0.001 && (found[1].0 + 1.0).abs() < 0.001, "{found:?}");
        assert_eq!(Tail::default().with(&[1], &[vec![0.0; 4]], 1).nearest(&[0.0; 4], 1, |_| true), [(0.0, 1)]);
    }
}
