//! Keys of properties in a tool's schema, for vendors that take fewer characters or shorter keys than the tools of MCP servers have (`$filter`,
//! `user id`), and refuse every tool of a request for one of them. Each has another on the wire; in the arguments of a call it is the client's again.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::unique_names::UniqueNames;

/// The client's keys of one tool by those on the wire.
pub(super) type Keys = HashMap<String, String>;

/// The keys that a vendor takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyRule {
    pub(super) bytes: usize,
    pub(super) takes: fn(char) -> bool,
}

impl KeyRule {
    fn is_taken(self, key: &str) -> bool {
        (1..=self.bytes).contains(&key.len()) && key.chars().all(self.takes)
    }

    /// Changes the keys in `schema` that the vendor does not take. Gives those that were changed.
    pub(super) fn apply(self, schema: &mut Value) -> Keys {
        let mut odd = false;
        let mut unique = UniqueNames::default();
        each_properties(schema, &mut |object| {
            for key in object.get("properties").and_then(Value::as_object).into_iter().flat_map(Map::keys) {
                odd |= !self.is_taken(key);
                unique.reserve(key);
            }
        });
        if !odd {
            return Keys::new();
        }
        let mut wire_keys: HashMap<String, String> = HashMap::new();
        let mut wire = |key: &str| match wire_keys.get(key) {
            Some(wire) => wire.clone(),
            None => {
                let plain: String = key.chars().map(|c| if (self.takes)(c) { c } else { '_' }).collect();
                let wire = unique.unique(if plain.is_empty() { "_" } else { &plain }, self.bytes);
                wire_keys.insert(key.to_owned(), wire.clone());
                wire
            }
        };
        each_properties(schema, &mut |object| {
            if let Some(Value::Object(properties)) = object.get_mut("properties") {
                let renamed = |(key, schema): (String, Value)| if self.is_taken(&key) { (key, schema) } else { (wire(&key), schema) };
                *properties = std::mem::take(properties).into_iter().map(renamed).collect();
            }
            for key in object.get_mut("required").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(odd) = key.as_str().filter(|key| !self.is_taken(key)) {
                    *key = wire(odd).into();
                }
            }
        });
        wire_keys.into_iter().map(|(key, wire)| (wire, key)).collect()
    }
}

/// Visits every object in a schema that may have properties. The parser's limit on nesting bounds the depth.
fn each_properties(schema: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    match schema {
        Value::Array(list) => list.iter_mut().for_each(|schema| each_properties(schema, visit)),
        Value::Object(object) => {
            visit(object);
            object.values_mut().for_each(|schema| each_properties(schema, visit));
        }
        _ => {}
    }
}

/// The arguments of a call under the client's keys; as they came if they are no JSON.
pub(super) fn with_client_keys(arguments: String, keys: &Keys) -> String {
    match serde_json::from_str(&arguments) {
        Ok(mut value) => {
            rename(&mut value, keys);
            value.to_string()
        }
        Err(_) => arguments,
    }
}

fn rename(value: &mut Value, keys: &Keys) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, keys)),
        Value::Object(fields) => {
            let renamed = |(key, mut value): (String, Value)| {
                rename(&mut value, keys);
                (keys.get(&key).cloned().unwrap_or(key), value)
            };
            *fields = std::mem::take(fields).into_iter().map(renamed).collect();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULE: KeyRule = KeyRule { bytes: 8, takes: |c| c.is_ascii_alphanumeric() || c == '_' };

    #[test]
    fn keys_that_are_not_taken_are_changed_at_every_level_and_come_back() {
        let mut schema = json!({"properties": {
            "$filter": {"type": "string"}, "_filter": {}, "a b": {"items": {"properties": {"a b": {}, "größe": {}}, "required": ["a b"]}},
        }, "required": ["$filter", "a b"]});
        let keys = RULE.apply(&mut schema);
        let expected = json!({"properties": {
            "_filte_2": {"type": "string"}, "_filter": {}, "a_b": {"items": {"properties": {"a_b": {}, "gr__e": {}}, "required": ["a_b"]}},
        }, "required": ["_filte_2", "a_b"]});
        // However a number is made to fit, the key is none that there was.
        let wire = keys.iter().find_map(|(wire, key)| (key == "$filter").then(|| wire.clone())).expect("changed");
        let text = expected.to_string().replace("_filte_2", &wire);
        assert_eq!(schema.to_string(), text);
        let arguments = format!(r#"{{"{wire}":"x","_filter":1,"a_b":[{{"a_b":1.50,"gr__e":null}}]}}"#);
        assert_eq!(with_client_keys(arguments, &keys), r#"{"$filter":"x","_filter":1,"a b":[{"a b":1.5,"größe":null}]}"#);
        assert_eq!(with_client_keys("{\"a".into(), &keys), "{\"a");
    }

    #[test]
    fn a_schema_with_keys_that_are_taken_stays() {
        let mut schema = json!({"properties": {"a": {"properties": {"b": {}}}}});
        let before = schema.clone();
        assert!(RULE.apply(&mut schema).is_empty());
        assert_eq!(schema, before);
    }
}
