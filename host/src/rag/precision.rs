//! How finely the vector index keeps vectors. It proposes what may be near, and whole vectors decide, so a coarse index costs recall, never a wrong
//! score; what it saves is memory.

use std::collections::BTreeMap;

use super::Namespace;

/// One number of a vector in the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// Four bytes.
    F32,
    /// Two bytes.
    #[default]
    F16,
    /// One byte.
    I8,
}

impl Precision {
    pub const WORDS: [(&'static str, Self); 3] = [("f32", Self::F32), ("f16", Self::F16), ("i8", Self::I8)];

    /// As the configuration has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, precision)| *precision == self).map_or("", |(word, _)| word)
    }
}

/// What the operator chose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precisions {
    pub default: Precision,
    /// Of others, by `NAMESPACE`, of every API, or `API/NAMESPACE`.
    pub namespaces: BTreeMap<String, Precision>,
}

impl Precisions {
    #[must_use]
    pub fn of(&self, namespace: &Namespace) -> Precision {
        let Namespace { api, name } = namespace;
        let said = self.namespaces.get(&format!("{api}/{name}")).or_else(|| self.namespaces.get(name));
        said.copied().unwrap_or(self.default)
    }
}
