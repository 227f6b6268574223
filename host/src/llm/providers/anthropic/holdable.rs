//! Whether output can be held to a schema at all. What is open or goes in circles cannot be, and taking the openness away would change what
//! may be answered. Source: Anthropic's "Structured outputs", limitations. Must not know what becomes of a schema that cannot.

use std::collections::HashMap;

use super::schema::is_object;
use crate::llm::tree::{Object, Tree, field};

/// Looks at a schema whose definitions stand under `$defs`.
pub(super) fn holdable(schema: &Tree) -> bool {
    let mut found = Found::default();
    found.look(schema, None);
    !found.open && !found.goes_in_circles()
}

#[derive(Default)]
struct Found<'a> {
    /// Some object may have any properties.
    open: bool,
    /// What each definition refers to. A reference to the root, or out of the schema, is one to a name that refers to itself.
    refers: HashMap<&'a str, Vec<&'a str>>,
}

/// Stands for what no definition is.
const ELSEWHERE: &str = "#";

impl<'a> Found<'a> {
    /// `within`: the definition that is looked at.
    fn look(&mut self, schema: &'a Tree, within: Option<&'a str>) {
        let Tree::Object(object) = schema else { return };
        self.open |= is_open(object);
        for (name, value) in object {
            match (name.as_str(), value) {
                ("$defs", Tree::Object(defs)) if within.is_none() => defs.iter().for_each(|(name, def)| self.look(def, Some(name))),
                ("properties", Tree::Object(schemas)) => schemas.iter().for_each(|(_, schema)| self.look(schema, within)),
                ("anyOf" | "oneOf" | "allOf" | "items", Tree::List(schemas)) => schemas.iter().for_each(|schema| self.look(schema, within)),
                ("items", schema) => self.look(schema, within),
                ("$ref", to) => {
                    let to = to.as_str().and_then(|to| to.strip_prefix("#/$defs/")).map(|to| to.split('/').next().unwrap_or(to));
                    // A name that is written in another way than where it is defined is not worth the search.
                    let to = to.filter(|to| !to.contains(['~', '%']));
                    self.refers.entry(within.unwrap_or_default()).or_default().push(to.unwrap_or(ELSEWHERE));
                }
                _ => {}
            }
        }
    }

    /// Takes away what refers to nothing, then what referred to that only, and so on; what stays is a circle or leads into one.
    fn goes_in_circles(&self) -> bool {
        let known = |to: &&&str| **to == ELSEWHERE || self.refers.contains_key(**to);
        let mut waits: HashMap<&str, usize> = HashMap::new();
        let mut waiting: HashMap<&str, Vec<&str>> = HashMap::new();
        for (name, to) in &self.refers {
            waits.insert(name, to.iter().filter(known).count());
            to.iter().for_each(|to| waiting.entry(to).or_default().push(name));
        }
        let mut free: Vec<&str> = waits.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
        let mut gone = 0;
        while let Some(name) = free.pop() {
            gone += 1;
            for other in waiting.remove(name).unwrap_or_default() {
                let count = waits.get_mut(other).expect("whoever waits is counted");
                *count -= 1;
                if *count == 0 {
                    free.push(other);
                }
            }
        }
        gone < waits.len()
    }
}

/// An object of which no property is named, or that names a schema for the properties that are not.
fn is_open(schema: &Object) -> bool {
    let named = matches!(field(schema, "properties"), Some(Tree::Object(properties)) if !properties.is_empty());
    let others = match field(schema, "additionalProperties") {
        Some(Tree::Object(_)) => true,
        Some(Tree::Bool(false)) => false,
        _ => !named,
    };
    is_object(schema) && others || field(schema, "patternProperties").is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn holds(schema: Value) -> bool {
        holdable(&serde_json::from_value(schema).expect("a tree"))
    }

    #[test]
    fn closed_schemas_can_be_held_to() {
        assert!(holds(json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": true})));
        assert!(holds(json!({"type": "object", "properties": {}, "additionalProperties": false})));
        let tree = json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/c/properties/x"}, "c": {"type": "string"}}});
        assert!(holds(tree));
    }

    #[test]
    fn open_objects_cannot() {
        for open in [json!({"type": "object"}), json!({"type": ["object", "null"], "properties": {}}), json!({"patternProperties": {}})] {
            assert!(!holds(open.clone()), "{open}");
            assert!(!holds(json!({"type": "object", "properties": {"a": {"anyOf": [{"items": open}]}}})), "{open}");
        }
        let map = json!({"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "string"}});
        assert!(!holds(map));
    }

    #[test]
    fn long_chains_can_and_circles_cannot() {
        let link = |at: usize| (format!("d{at}"), json!({"$ref": format!("#/$defs/d{}", at + 1)}));
        assert!(holds(json!({"$ref": "#/$defs/d0", "$defs": (0..20_000).map(link).collect::<serde_json::Map<_, _>>()})));
        assert!(!holds(json!({"properties": {"a": {"$ref": "#"}}})));
        assert!(!holds(json!({"$ref": "https://example.org/schema"})));
        assert!(!holds(json!({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"items": {"$ref": "#/$defs/a~1b"}}}})));
        assert!(!holds(json!({"$defs": {"a": {"properties": {"b": {"$ref": "#/$defs/b"}}}, "b": {"items": {"$ref": "#/$defs/a"}}}})));
    }
}
