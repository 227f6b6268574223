//! Which keys differ between two configurations.
//! No value is repeated, only the paths of keys; the hashes of `[keys]` are compared and never shown.

use std::collections::BTreeMap;
use std::fmt;

use toml::{Table, Value};

use super::json::quote_key;
use crate::http::{Key, Keys};

/// A key, or a table of keys, that two configurations do not have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// For example `providers.openai.base_url`.
    pub key: String,
    pub kind: ChangeKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Added,
    Removed,
    Changed,
}

impl ChangeKind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.key, self.kind.word())
    }
}

/// What differs, between two configurations as they are printed, with their keys.
pub(super) fn changes(before: (&str, &Keys), after: (&str, &Keys)) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", &tree(before), &tree(after), &mut changes);
    changes
}

/// A configuration as a tree. Lists of tables are tables by their names, and the hash of each key stands in it.
fn tree((printed, keys): (&str, &Keys)) -> Table {
    let mut tree: Table = printed.parse().expect("what is printed is read back, which tests check");
    for name in ["pipelines", "embeddings"] {
        let Some(Value::Array(list)) = tree.remove(name) else { continue };
        let by_id = list.into_iter().filter_map(|entry| Some((entry.get("id")?.as_str()?.to_owned(), entry)));
        // As one value each: what differs inside a definition is for whoever wrote it to see.
        tree.insert(name.to_owned(), Value::Table(by_id.map(|(id, entry)| (id, Value::String(entry.to_string()))).collect()));
    }
    if let Value::Table(table) = tree.entry("keys").or_insert_with(|| Value::Table(Table::new())) {
        table.insert("client".into(), by_name(&keys.client));
        table.insert("admin".into(), by_name(&keys.admin));
    }
    if let (Some(key), Some(Value::Table(surfaces))) = (&keys.open_webui, tree.get_mut("surfaces"))
        && let Some(Value::Table(table)) = surfaces.get_mut("pipelines")
    {
        table.insert("key".into(), secret(key));
    }
    tree
}

fn secret(key: &Key) -> Value {
    Value::String(format!("{:?}", (key.sha256, key.allowance)))
}

fn by_name(keys: &[Key]) -> Value {
    Value::Table(keys.iter().map(|key| (key.name.to_string(), secret(key))).collect())
}

/// Adds what differs below `path`. A table that one side does not have is named as a whole, but for those of the first level.
fn compare(path: &str, before: &Table, after: &Table, changes: &mut Vec<Change>) {
    let names: BTreeMap<&String, ()> = before.keys().chain(after.keys()).map(|name| (name, ())).collect();
    for name in names.into_keys() {
        let key = if path.is_empty() { quote_key(name) } else { format!("{path}.{}", quote_key(name)) };
        let kind = match (before.get(name), after.get(name)) {
            (Some(Value::Table(table)), None) if path.is_empty() => {
                compare(&key, table, &Table::new(), changes);
                continue;
            }
            (None, Some(Value::Table(table))) if path.is_empty() => {
                compare(&key, &Table::new(), table, changes);
                continue;
            }
            (Some(Value::Table(before)), Some(Value::Table(after))) => {
                compare(&key, before, after, changes);
                continue;
            }
            (Some(before), Some(after)) if before == after => continue,
            (Some(_), Some(_)) => ChangeKind::Changed,
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
        };
        changes.push(Change { key, kind });
    }
}
