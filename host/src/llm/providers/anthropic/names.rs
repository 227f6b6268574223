//! Names and ids as Anthropic takes them, in fewer characters than OpenAI's clients send. Each is changed on the way out in one way only,
//! so that it can be changed back. Linear in the names, however many of them come out alike. Must not know what is named.

use std::collections::{HashMap, HashSet};

/// Bytes of a tool's name.
const NAME_BYTES: usize = 128;

/// Bytes of `_` and the largest number.
const NUMBER_BYTES: usize = 11;

/// Gives out names of which no two are alike.
#[derive(Debug, Default)]
pub(super) struct Fresh {
    taken: HashSet<String>,
    /// The last number behind each stem, so that the search for a free one begins where the last one ended.
    counts: HashMap<String, u32>,
}

impl Fresh {
    /// Keeps a name out of what is given out.
    pub(super) fn take(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// `name` itself if it is free, or with a number behind it; at most `bytes` long, which are cut from its end.
    pub(super) fn unlike(&mut self, name: &str, bytes: usize) -> String {
        let base = &name[..name.floor_char_boundary(bytes)];
        if self.taken.insert(base.to_owned()) {
            return base.to_owned();
        }
        // Every number fits behind the stem, so names that are alike but for their ends share one count.
        let stem = &base[..base.floor_char_boundary(bytes.saturating_sub(NUMBER_BYTES))];
        let count = self.counts.entry(stem.to_owned()).or_insert(1);
        loop {
            *count += 1;
            let fresh = format!("{stem}_{count}");
            if self.taken.insert(fresh.clone()) {
                return fresh;
            }
        }
    }

    /// As [`Self::unlike`], in letters, digits, `_` and `-` only.
    pub(super) fn plain(&mut self, name: &str, bytes: usize) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
        let base: String = name.chars().map(plain).collect();
        self.unlike(if base.is_empty() { "_" } else { &base }, bytes)
    }
}

/// Names of tools, one on the wire for each of the client's.
#[derive(Debug, Default)]
pub(super) struct Names {
    wires: HashMap<String, String>,
    fresh: Fresh,
}

impl Names {
    /// Keeps a name for ourselves.
    pub(super) fn reserve(&mut self, name: &str) {
        self.fresh.take(name);
    }

    /// The wire's name for the client's: the same one if it can be.
    pub(super) fn wire(&mut self, name: &str) -> String {
        if let Some(wire) = self.wires.get(name) {
            return wire.clone();
        }
        let wire = self.fresh.plain(name, NAME_BYTES);
        self.wires.insert(name.to_owned(), wire.clone());
        wire
    }

    /// Whether the client's name has come up.
    pub(super) fn know(&self, name: &str) -> bool {
        self.wires.contains_key(name)
    }

    /// The client's names by the wire's, of those that differ.
    pub(super) fn back(self) -> HashMap<String, String> {
        self.wires.into_iter().filter(|(name, wire)| name != wire).map(|(name, wire)| (wire, name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c20_names_with_dots_and_slashes_round_trip() {
        let mut names = Names::default();
        let wires: Vec<String> = ["plain-1_a", "fs.read/now", "fs/read.now", "größe", "", "plain-1_a"].map(|name| names.wire(name)).into();
        assert_eq!(wires, ["plain-1_a", "fs_read_now", "fs_read_now_2", "gr__e", "_", "plain-1_a"]);
        let back = names.back();
        assert_eq!((back.len(), back["fs_read_now"].as_str(), back["fs_read_now_2"].as_str()), (4, "fs.read/now", "fs/read.now"));
    }

    #[test]
    fn long_names_stay_apart() {
        let mut names = Names::default();
        let (a, b) = (names.wire(&"x".repeat(200)), names.wire(&"x".repeat(201)));
        assert_eq!(a.len(), NAME_BYTES);
        assert!(b.len() < NAME_BYTES && b.ends_with("x_2"), "{b}");
    }

    #[test]
    fn a_name_that_is_ours_is_changed() {
        let mut names = Names::default();
        names.reserve("json_tool_call");
        assert_eq!(names.wire("json_tool_call"), "json_tool_call_2");
    }

    #[test]
    fn many_names_that_come_out_alike_are_told_apart_in_linear_time() {
        let mut fresh = Fresh::default();
        let given: HashSet<String> = (0..50_000).map(|_| fresh.plain("?", 64)).collect();
        assert_eq!(given.len(), 50_000);
        assert!(given.contains("_") && given.contains("__50000"));
        // The same where only the ends differ, which are cut off to make room for the number.
        let mut fresh = Fresh::default();
        let long = |at: usize| format!("{}{at:06}", "x".repeat(58));
        let given: HashSet<String> = (0..40_000).map(|at| fresh.plain(&long(at % 20_000), 64)).collect();
        assert_eq!(given.len(), 40_000);
        assert!(given.contains(&format!("{}_20001", "x".repeat(53))), "each number is tried once");
    }
}
