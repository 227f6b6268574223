//! Vectors of the questions that were asked last: people ask the same again, and a conversation's retries do. A vector never changes, so what is
//! found here is what the embedder would compute. Bounded by bytes; what was not asked for longest goes first.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an entry takes beside its text, twice a pointer to it, and its vector.
const ENTRY_BYTES: usize = 160;

#[derive(Default)]
pub(super) struct Cache {
    entries: Mutex<Entries>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Default)]
struct Entries {
    bytes: usize,
    bytes_max: usize,
    /// Counts uses; the lowest is the oldest.
    clock: u64,
    vectors: HashMap<Arc<str>, (u64, Vec<f32>)>,
    by_use: BTreeMap<u64, Arc<str>>,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Self {
        let cache = Self::default();
        cache.resize(bytes_max);
        cache
    }

    pub(super) fn get(&self, text: &str) -> Option<Vec<f32>> {
        let found = self.entries().get(text);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    pub(super) fn put(&self, text: &str, vector: &[f32]) {
        self.entries().put(text, vector);
    }

    /// So many bytes from now on; with 0, nothing is kept.
    pub(super) fn resize(&self, bytes_max: usize) {
        let mut entries = self.entries();
        entries.bytes_max = bytes_max;
        entries.shrink();
    }

    /// Questions whose vector was there, and those whose was not.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn get(&mut self, text: &str) -> Option<Vec<f32>> {
        self.clock += 1;
        let (used, vector) = self.vectors.get_mut(text)?;
        let name = self.by_use.remove(used);
        *used = self.clock;
        self.by_use.extend(name.map(|name| (self.clock, name)));
        Some(vector.clone())
    }

    fn put(&mut self, text: &str, vector: &[f32]) {
        // Two may have asked at the same time.
        if bytes(text, vector) > self.bytes_max || self.vectors.contains_key(text) {
            return;
        }
        self.clock += 1;
        let name: Arc<str> = text.into();
        self.bytes += bytes(text, vector);
        self.vectors.insert(Arc::clone(&name), (self.clock, vector.to_vec()));
        self.by_use.insert(self.clock, name);
        self.shrink();
    }

    fn shrink(&mut self) {
        while self.bytes > self.bytes_max
            && let Some((_, name)) = self.by_use.pop_first()
        {
            if let Some((_, vector)) = self.vectors.remove(&name) {
                self.bytes -= bytes(&name, &vector);
            }
        }
    }
}

fn bytes(text: &str, vector: &[f32]) -> usize {
    text.len() + size_of_val(vector) + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_longest_ago_goes_first_and_the_bytes_are_never_exceeded() {
        let one = bytes("a", &[1.0]);
        let cache = Cache::new(2 * one);
        cache.put("a", &[1.0]);
        cache.put("b", &[2.0]);
        assert_eq!(cache.get("a"), Some(vec![1.0]));
        cache.put("c", &[3.0]);
        assert_eq!([cache.get("a"), cache.get("b"), cache.get("c")], [Some(vec![1.0]), None, Some(vec![3.0])]);
        assert_eq!((cache.counts(), cache.entries().bytes), ((3, 1), 2 * one));
        // Put again, it counts once.
        cache.put("c", &[3.0]);
        assert_eq!(cache.entries().bytes, 2 * one);
        cache.resize(one);
        assert_eq!([cache.get("a"), cache.get("c")], [None, Some(vec![3.0])]);
        cache.resize(one - 1);
        assert_eq!((cache.get("c"), cache.entries().bytes), (None, 0));
        cache.put("d", &[4.0]);
        assert_eq!(cache.get("d"), None, "what is larger than the cache is not kept");
    }
}
