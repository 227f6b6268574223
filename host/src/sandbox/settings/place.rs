//! Which parts of a schema speak about a value: those that stand at the same place, and those that a field or an item of it meets.
//! `bounds` has refused what would lead in a circle or anywhere but into the same document, so every walk here ends.

use serde_json::Value;

/// The whole schema, in which references are looked up.
#[derive(Clone, Copy)]
pub(super) struct Root<'a>(pub(super) &'a Value);

/// Keywords whose schemas speak about the same value as the schema that they stand in, each a list of schemas.
pub(super) const LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// The same, one schema each. `not` and `if` say nothing of what a value is for; they are checked, but not looked into for it.
pub(super) const SINGLES: [&str; 4] = ["not", "if", "then", "else"];
/// The same, a schema for each name; `dependencies` is the same of earlier drafts.
pub(super) const BY_NAME: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Keywords for what is inside a value, one schema each.
pub(super) const INNER_SINGLES: [&str; 8] = [
    "additionalProperties",
    "propertyNames",
    "unevaluatedProperties",
    "items",
    "additionalItems",
    "contains",
    "unevaluatedItems",
    "contentSchema",
];
/// The same, a list of schemas.
pub(super) const INNER_LISTS: [&str; 1] = ["prefixItems"];
/// The same, a schema for each name.
pub(super) const INNER_BY_NAME: [&str; 2] = ["properties", "patternProperties"];

impl<'a> Root<'a> {
    /// What `$ref` leads to; none for what is not in this document.
    pub(super) fn resolve(self, reference: &str) -> Option<&'a Value> {
        let pointer = reference.strip_prefix('#')?;
        if pointer.contains('%') {
            return None;
        }
        self.0.pointer(pointer)
    }

    /// The schema and all that speak of the same value. With `surely`, only those that every value has to fit.
    pub(super) fn at(self, schema: &'a Value, surely: bool) -> Vec<&'a Value> {
        let mut found = vec![schema];
        let mut next = 0;
        while let Some(schema) = found.get(next).copied() {
            next += 1;
            found.extend(schema.get("$ref").and_then(Value::as_str).and_then(|reference| self.resolve(reference)));
            let lists: &[&str] = if surely { &["allOf"] } else { &LISTS };
            found.extend(lists.iter().filter_map(|key| schema.get(key)?.as_array()).flatten());
            if !surely {
                found.extend(["then", "else"].iter().filter_map(|key| schema.get(key)));
                found.extend(BY_NAME.iter().filter_map(|key| schema.get(key)?.as_object()).flat_map(|map| map.values()));
            }
        }
        found
    }

    /// What speaks of the field `name` of a value of which `schemas` speak. Patterns are all taken to fit.
    pub(super) fn field(self, schemas: &[&'a Value], name: &str) -> Vec<&'a Value> {
        let mut found = Vec::new();
        for schema in schemas {
            let named = schema.get("properties").and_then(|properties| properties.get(name));
            found.extend(named);
            found.extend(schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(|map| map.values()));
            if named.is_none() {
                found.extend(["additionalProperties", "unevaluatedProperties"].iter().filter_map(|key| schema.get(key)));
            }
        }
        found.into_iter().flat_map(|schema| self.at(schema, false)).collect()
    }

    /// What speaks of the items of a list.
    pub(super) fn item(self, schemas: &[&'a Value], index: usize) -> Vec<&'a Value> {
        let mut found = Vec::new();
        for schema in schemas {
            found.extend(schema.get("prefixItems").and_then(|items| items.get(index)));
            found.extend(["items", "contains", "unevaluatedItems"].iter().filter_map(|key| schema.get(key)));
        }
        found.into_iter().flat_map(|schema| self.at(schema, false)).collect()
    }
}
