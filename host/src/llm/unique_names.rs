//! Names of which no two are alike, for vendors that take fewer characters or shorter names than OpenAI's clients send.
//! The time is linear in the names, however many of them come out alike.

use std::collections::{HashMap, HashSet};

/// Bytes of `_` and the largest number.
const NUMBER_BYTES: usize = 11;

/// Gives out names of which no two are alike.
#[derive(Debug, Default)]
pub(super) struct UniqueNames {
    taken: HashSet<String>,
    /// The last number behind each stem, so that the search for a free one begins where the last one ended.
    counts: HashMap<String, u32>,
}

impl UniqueNames {
    /// Keeps a name from being given out.
    pub(super) fn reserve(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// `name` itself if it is free, otherwise with a number behind it. It has at most `bytes` bytes, which are cut from its end.
    pub(super) fn unique(&mut self, name: &str, bytes: usize) -> String {
        let base = &name[..name.floor_char_boundary(bytes)];
        if self.taken.insert(base.to_owned()) {
            return base.to_owned();
        }
        // Every number fits behind the stem, so names that are alike but for their ends share one count.
        let stem = &base[..base.floor_char_boundary(bytes.saturating_sub(NUMBER_BYTES))];
        let count = self.counts.entry(stem.to_owned()).or_insert(1);
        loop {
            *count += 1;
            let numbered = format!("{stem}_{count}");
            if self.taken.insert(numbered.clone()) {
                return numbered;
            }
        }
    }

    /// As [`Self::unique`], in letters, digits, `_` and `-` only.
    pub(super) fn unique_identifier(&mut self, name: &str, bytes: usize) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
        let base: String = name.chars().map(plain).collect();
        self.unique(if base.is_empty() { "_" } else { &base }, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_that_come_out_alike_are_told_apart_in_linear_time() {
        let mut names = UniqueNames::default();
        let given: HashSet<String> = (0..50_000).map(|_| names.unique_identifier("?", 64)).collect();
        assert_eq!(given.len(), 50_000);
        assert!(given.contains("_") && given.contains("__50000"));
        // The same if only the ends differ, which are cut off to make room for the number.
        let mut names = UniqueNames::default();
        let long = |at: usize| format!("{}{at:06}", "x".repeat(58));
        let given: HashSet<String> = (0..40_000).map(|at| names.unique_identifier(&long(at % 20_000), 64)).collect();
        assert_eq!(given.len(), 40_000);
        assert!(given.contains(&format!("{}_20001", "x".repeat(53))), "each number is tried once");
    }
}
