//! What is refused of a schema before it is compiled, because a few lines of it could keep a validator busy for years: references in a
//! circle, references out of the document, and references that double at every step. Counted is what the schema is with every reference
//! written out, without writing it out.

use std::collections::HashMap;

use serde_json::Value;

use super::place::{BY_NAME, INNER_BY_NAME, INNER_LISTS, INNER_SINGLES, LISTS, Root, SINGLES};
use super::problem::{DEPTH_MAX, Problem};

/// Bytes of a schema as JSON.
const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// Schemas in it, with every reference written out.
const SCHEMAS_MAX: u64 = 2_000;
/// Values in it, schemas or not.
const VALUES_MAX: usize = 10_000;
/// Different patterns.
const PATTERNS_MAX: usize = 64;

/// Keywords that lead to schemas by other names than their place, or change what a reference means.
/// The last two ask what every branch beside them looked at, which takes a validator time without bound in the branches' depth.
const REFUSED: [&str; 8] = [
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    "$anchor",
    "$vocabulary",
    "unevaluatedProperties",
    "unevaluatedItems",
];
/// The names of the one draft.
const DRAFTS: [&str; 2] = ["https://json-schema.org/draft/2020-12/schema", "https://json-schema.org/draft/2020-12/schema#"];

/// # Errors
/// What is too much of it, or not in this document.
pub(super) fn check(schema: &Value) -> Result<(), Problem> {
    let bytes = schema.to_string().len();
    if bytes > SCHEMA_BYTES_MAX {
        return Err(of_schema("", format!("{bytes} bytes; at most {SCHEMA_BYTES_MAX} are allowed")));
    }
    let mut tally = Tally { values: 0, patterns: 0 };
    tally.look(schema, 0)?;
    if let Some(draft) = schema.get("$schema")
        && !draft.as_str().is_some_and(|draft| DRAFTS.contains(&draft))
    {
        return Err(of_schema("/$schema", "only draft 2020-12 is known".to_owned()));
    }
    let mut weigher = Weigher { root: Root(schema), weights: HashMap::new() };
    let weight = weigher.weigh(schema, "", 0)?;
    if weight > SCHEMAS_MAX {
        return Err(of_schema("", format!("with its references written out it has more than {SCHEMAS_MAX} schemas")));
    }
    Ok(())
}

fn of_schema(path: &str, message: String) -> Problem {
    Problem::new(path, format!("the schema cannot be used: {message}"))
}

/// Counts every value, whatever it is for.
struct Tally {
    values: usize,
    patterns: usize,
}

impl Tally {
    fn look(&mut self, value: &Value, depth: usize) -> Result<(), Problem> {
        self.values += 1;
        // A schema's depth is twice that of what it describes.
        if depth > 2 * DEPTH_MAX || self.values > VALUES_MAX {
            let message = format!("more than {VALUES_MAX} values, or more than {} inside each other", 2 * DEPTH_MAX);
            return Err(of_schema("", message));
        }
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.look(item, depth + 1)),
            Value::Object(fields) => {
                self.patterns += usize::from(fields.get("pattern").is_some_and(Value::is_string));
                self.patterns += fields.get("patternProperties").and_then(Value::as_object).map_or(0, serde_json::Map::len);
                if self.patterns > PATTERNS_MAX {
                    return Err(of_schema("", format!("more than {PATTERNS_MAX} patterns")));
                }
                fields.values().try_for_each(|field| self.look(field, depth + 1))
            }
            _ => Ok(()),
        }
    }
}

/// The number of schemas below each schema, itself included; none while it is being counted. Each is counted once.
struct Weigher<'a> {
    root: Root<'a>,
    weights: HashMap<*const Value, Option<u64>>,
}

impl<'a> Weigher<'a> {
    fn weigh(&mut self, schema: &'a Value, path: &str, depth: usize) -> Result<u64, Problem> {
        match self.weights.get(&std::ptr::from_ref(schema)) {
            Some(Some(weight)) => return Ok(*weight),
            Some(None) => return Err(of_schema(path, "it refers to itself, at once or over others".to_owned())),
            None => {}
        }
        if depth > 4 * DEPTH_MAX {
            return Err(of_schema(path, format!("more than {} references inside each other", 4 * DEPTH_MAX)));
        }
        self.weights.insert(std::ptr::from_ref(schema), None);
        let mut weight = 1_u64;
        for (key, inner) in self.inner(schema, path)? {
            weight = weight.saturating_add(self.weigh(inner, &key, depth + 1)?);
        }
        self.weights.insert(std::ptr::from_ref(schema), Some(weight));
        Ok(weight)
    }

    /// The schemas that are part of this one, with their paths.
    fn inner(&self, schema: &'a Value, path: &str) -> Result<Vec<(String, &'a Value)>, Problem> {
        let Some(fields) = schema.as_object() else { return Ok(Vec::new()) };
        if let Some(key) = REFUSED.iter().find(|key| fields.contains_key(**key)) {
            return Err(of_schema(path, format!("`{key}` is not supported; use `$ref` with a pointer such as `#/$defs/NAME`")));
        }
        if fields.contains_key("$id") && !path.is_empty() {
            return Err(of_schema(path, "`$id` may stand at the top only".to_owned()));
        }
        let mut inner = Vec::new();
        if let Some(reference) = fields.get("$ref") {
            let found = reference.as_str().and_then(|reference| self.root.resolve(reference));
            let elsewhere =
                || of_schema(path, "a `$ref` leads to a place in the same schema, such as `#/$defs/NAME`; nothing is fetched".into());
            inner.push((format!("{path}/$ref"), found.ok_or_else(elsewhere)?));
        }
        for (key, value) in fields {
            let place = format!("{path}/{key}");
            let key = key.as_str();
            if SINGLES.contains(&key) || INNER_SINGLES.contains(&key) {
                inner.push((place, value));
            } else if LISTS.contains(&key) || INNER_LISTS.contains(&key) {
                inner.extend(value.as_array().into_iter().flatten().map(|value| (place.clone(), value)));
            } else if BY_NAME.contains(&key) || INNER_BY_NAME.contains(&key) || key == "$defs" {
                inner.extend(value.as_object().into_iter().flatten().map(|(name, value)| (format!("{place}/{name}"), value)));
            }
        }
        Ok(inner)
    }
}
