//! Names of tools on the wire, for vendors that take fewer characters or shorter names than clients use, such as those of MCP servers. Each of the
//! client's names has one of its own on the wire, the same if the vendor takes it, and can be changed back.

use std::collections::HashMap;

use super::unique_names::UniqueNames;

/// The names that a vendor takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameRule {
    pub(super) bytes: usize,
    /// Whether a name may begin with a character.
    pub(super) begins: fn(char) -> bool,
    /// Whether a name may go on with one; all that may begin one may. `_` may stand anywhere.
    pub(super) goes_on: fn(char) -> bool,
}

/// The names of one request.
#[derive(Debug)]
pub(super) struct ToolNames {
    rule: NameRule,
    wire_names: HashMap<String, String>,
    unique: UniqueNames,
}

impl ToolNames {
    pub(super) fn new(rule: NameRule) -> Self {
        Self { rule, wire_names: HashMap::new(), unique: UniqueNames::default() }
    }

    /// Keeps a name for a tool of ours.
    pub(super) fn reserve(&mut self, name: &str) {
        self.unique.reserve(name);
    }

    /// The name on the wire for the client's name.
    pub(super) fn wire_name(&mut self, name: &str) -> String {
        if let Some(wire) = self.wire_names.get(name) {
            return wire.clone();
        }
        let wire = self.unique.unique(&self.rule.plain(name), self.rule.bytes);
        self.wire_names.insert(name.to_owned(), wire.clone());
        wire
    }

    /// Whether this client's name has a name on the wire.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.wire_names.contains_key(name)
    }

    /// The client's names by those on the wire, if they differ.
    pub(super) fn into_client_names(self) -> HashMap<String, String> {
        self.wire_names.into_iter().filter(|(name, wire)| name != wire).map(|(name, wire)| (wire, name)).collect()
    }
}

impl NameRule {
    fn plain(&self, name: &str) -> String {
        let mut plain: String = name.chars().map(|c| if (self.goes_on)(c) { c } else { '_' }).collect();
        if !plain.chars().next().is_some_and(self.begins) {
            plain.insert(0, '_');
        }
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_what_the_vendor_takes_and_comes_back() {
        let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
        let mut names = ToolNames::new(NameRule { bytes: 16, begins: letter, goes_on: |c| c.is_ascii_alphanumeric() || "_.".contains(c) });
        let pairs =
            [("ok.name_1", "ok.name_1"), ("21st_magic", "_21st_magic"), ("a b", "a_b"), ("a_b", "a_b_2"), ("", "_"), ("größe", "gr__e")];
        for (name, wire) in pairs {
            assert_eq!(names.wire_name(name), wire);
            assert_eq!(names.wire_name(name), wire, "the same again");
        }
        assert_eq!(names.wire_name(&"x".repeat(70)), "x".repeat(16));
        let back = names.into_client_names();
        assert_eq!((back["_21st_magic"].as_str(), back["a_b_2"].as_str(), back.get("ok.name_1")), ("21st_magic", "a_b", None));
    }
}
