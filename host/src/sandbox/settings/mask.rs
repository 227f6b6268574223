//! Hides the values that a schema calls `writeOnly` from whoever reads settings, and puts them back where the mask was sent back.
//! A value is hidden if any part of the schema that may speak of it says so, and a mask never stands for a value of another place: in a list
//! it is that of the item that is the same but for its masks.

use serde_json::{Map, Value};

use super::place::Root;
use super::problem::Problem;

/// What stands in the place of a value that is not shown.
pub const MASK: &str = "********";

pub(super) fn mask(root: Root<'_>, settings: &Map<String, Value>) -> Map<String, Value> {
    masked_fields(root, &root.at(root.0, false), settings)
}

/// # Errors
/// Each mask that stands for no value that is kept.
pub(super) fn unmask(root: Root<'_>, sent: &Map<String, Value>, kept: &Map<String, Value>) -> Result<Map<String, Value>, Vec<Problem>> {
    let mut problems = Vec::new();
    let kept = Value::Object(kept.clone());
    let unmasked = unmasked(root, &root.at(root.0, false), &Value::Object(sent.clone()), Some(&kept), "", &mut problems);
    match (problems.is_empty(), unmasked) {
        (true, Value::Object(fields)) => Ok(fields),
        _ => Err(problems),
    }
}

fn is_write_only(schemas: &[&Value]) -> bool {
    schemas.iter().any(|schema| schema.get("writeOnly") == Some(&Value::Bool(true)))
}

fn masked(root: Root<'_>, schemas: &[&Value], value: &Value) -> Value {
    if is_write_only(schemas) {
        return MASK.into();
    }
    match value {
        Value::Object(fields) => Value::Object(masked_fields(root, schemas, fields)),
        Value::Array(items) => items.iter().enumerate().map(|(index, item)| masked(root, &root.item(schemas, index), item)).collect(),
        value => value.clone(),
    }
}

fn masked_fields(root: Root<'_>, schemas: &[&Value], fields: &Map<String, Value>) -> Map<String, Value> {
    fields.iter().map(|(name, value)| (name.clone(), masked(root, &root.field(schemas, name), value))).collect()
}

fn unmasked(root: Root<'_>, schemas: &[&Value], sent: &Value, kept: Option<&Value>, path: &str, problems: &mut Vec<Problem>) -> Value {
    if is_write_only(schemas) && sent == MASK {
        return kept.cloned().unwrap_or_else(|| {
            problems.push(Problem::new(path, "this is the mask of a value that is not kept; send the value itself"));
            Value::Null
        });
    }
    match sent {
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
                let kept = kept.and_then(|kept| kept.get(name));
                (name.clone(), unmasked(root, &root.field(schemas, name), value, kept, &path, problems))
            };
            Value::Object(fields.iter().map(field).collect())
        }
        Value::Array(items) => {
            let item = |(index, item): (usize, &Value)| {
                let schemas = root.item(schemas, index);
                let kept = kept.and_then(Value::as_array).and_then(|kept| same_but_masked(root, &schemas, items, index, kept));
                unmasked(root, &schemas, item, kept, &format!("{path}/{index}"), problems)
            };
            Value::Array(items.iter().enumerate().map(item).collect())
        }
        value => value.clone(),
    }
}

/// The item that was kept and, masked, is the one that was sent: the only one, or of several the one at the same place of a list that was
/// not made longer or shorter.
fn same_but_masked<'k>(root: Root<'_>, schemas: &[&Value], sent: &[Value], index: usize, kept: &'k [Value]) -> Option<&'k Value> {
    let is_same = |kept: &&Value| masked(root, schemas, kept) == sent[index];
    let mut found = kept.iter().filter(is_same);
    let first = found.next()?;
    if found.next().is_none() {
        return Some(first);
    }
    kept.get(index).filter(|_| sent.len() == kept.len()).filter(is_same)
}
