//! Hides the values that a schema calls `writeOnly` from whoever reads settings, and puts them back where the mask was sent back.
//! A value is hidden if any part of the schema that may speak of it says so, and a mask never stands for a value of another place: in a list
//! it is that of the item that is the same but for its masks.

use std::collections::HashMap;

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
            let mut kept = KeptItems { root, items: kept.and_then(Value::as_array).map_or(&[], Vec::as_slice), by_schemas: HashMap::new() };
            let item = |(index, item): (usize, &Value)| {
                let schemas = root.item(schemas, index);
                // Without a mask in it, it needs nothing that is kept.
                let kept = if holds_mask(item) { kept.same_but_masked(&schemas, items, index) } else { None };
                unmasked(root, &schemas, item, kept, &format!("{path}/{index}"), problems)
            };
            Value::Array(items.iter().enumerate().map(item).collect())
        }
        value => value.clone(),
    }
}

fn holds_mask(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().any(holds_mask),
        Value::Array(items) => items.iter().any(holds_mask),
        value => value == MASK,
    }
}

/// The items of a list that is kept, to be found by what they are when they are masked. Each is masked once for all items that the same schemas speak of.
struct KeptItems<'k> {
    root: Root<'k>,
    items: &'k [Value],
    by_schemas: HashMap<Vec<*const Value>, HashMap<Value, Found>>,
}

/// The items that are the same but for what is masked.
#[derive(Clone, Copy)]
enum Found {
    One(usize),
    Several,
}

impl<'k> KeptItems<'k> {
    /// The item that was kept and, masked, is the one that was sent: the only one, or of several the one at the same place of a list that was
    /// not made longer or shorter.
    fn same_but_masked(&mut self, schemas: &[&Value], sent: &[Value], index: usize) -> Option<&'k Value> {
        let Self { root, items, by_schemas } = self;
        let key = schemas.iter().map(|schema| std::ptr::from_ref(*schema)).collect();
        let by_masked = by_schemas.entry(key).or_insert_with(|| {
            let mut by_masked = HashMap::new();
            for (index, item) in items.iter().enumerate() {
                by_masked.entry(masked(*root, schemas, item)).and_modify(|found| *found = Found::Several).or_insert(Found::One(index));
            }
            by_masked
        });
        match by_masked.get(&sent[index])? {
            Found::One(at) => items.get(*at),
            Found::Several => {
                items.get(index).filter(|_| sent.len() == items.len()).filter(|kept| masked(*root, schemas, kept) == sent[index])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_of_tens_of_thousands_of_masks_is_looked_through_once() {
        let schema = json!({"properties": {"list": {"items": {"properties": {"key": {"writeOnly": true}}}}}});
        let root = Root(&schema);
        // Comparing each with each would be some hundred million maskings.
        let kept: Vec<Value> = (0..20_000).map(|n| json!({"name": format!("n{n}"), "key": format!("secret {n}")})).collect();
        let kept = json!({"list": kept}).as_object().unwrap().clone();
        let mut sent = mask(root, &kept);
        assert_eq!(unmask(root, &sent, &kept).unwrap(), kept);
        sent["list"].as_array_mut().unwrap().reverse();
        let unmasked = unmask(root, &sent, &kept).unwrap();
        assert_eq!(unmasked["list"][0], json!({"name": "n19999", "key": "secret 19999"}));
        // All the same: by their places.
        let same = json!({"list": vec![json!({"key": "a"}); 20_000]}).as_object().unwrap().clone();
        assert_eq!(unmask(root, &mask(root, &same), &same).unwrap(), same);
    }
}
