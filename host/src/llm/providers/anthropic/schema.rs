//! JSON schemas in the subsets that the API takes: of a tool's input, and of output that is held to its schema.
//! If a keyword must go, its text moves into the description, so that the model still reads what it is not held to. Objects keep the order of
//! their keys, because that is the order in which a model answers. The parser's limit on nesting bounds the depth of every walk.
//! Source: Anthropic's "Structured outputs", limitations.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::llm::tool_schema::folded;
use crate::llm::unique_names::UniqueNames;

/// Keywords that constrained output refuses, some of them only with certain values, see [`is_taken`].
const REFUSED: [&str; 30] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "prefixItems",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "patternProperties",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedItems",
    "unevaluatedProperties",
    "if",
    "then",
    "else",
    "not",
    "format",
    "pattern",
    "additionalProperties",
];

/// Formats that constrained output takes.
const FORMATS: [&str; 10] = ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// Keywords that say nothing about a value.
const DROPPED: [&str; 2] = ["$schema", "$id"];

/// A tool's input: an object, whatever was given, with every definition where the API looks for it.
pub(super) fn input(schema: Option<Value>) -> Value {
    let mut object = match schema {
        Some(Value::Object(object)) => folded(object),
        _ => Map::new(),
    };
    if object.get("type").and_then(Value::as_str) != Some("object") {
        object.insert("type".to_owned(), json!("object"));
    }
    if object.len() == 1 {
        object.insert("properties".to_owned(), json!({}));
    }
    definitions(Value::Object(object))
}

/// An enforceable schema with its definitions in their place, in the subset that constrained output takes.
pub(super) fn strict(mut schema: Value) -> Value {
    restrict(&mut schema);
    schema
}

/// Moves `definitions` and `components.schemas` to `$defs`, the one place that the API knows, and changes the references to them. Nothing is
/// copied, so a schema never grows by more than the names.
pub(super) fn definitions(schema: Value) -> Value {
    let Value::Object(mut object) = schema else { return schema };
    let mut defs = take_object(&mut object, "$defs");
    let mut unique = UniqueNames::default();
    defs.keys().for_each(|name| unique.reserve(name));
    let mut moved = Moved::new();
    let mut sections = vec![("#/definitions/", take_object(&mut object, "definitions"))];
    let mut components = take_object(&mut object, "components");
    sections.push(("#/components/schemas/", take_object(&mut components, "schemas")));
    for (prefix, section) in sections {
        let mut names = HashMap::new();
        for (name, value) in section {
            let new = unique.unique(&name, usize::MAX);
            names.insert(escaped(&name), format!("#/$defs/{}", escaped(&new)));
            defs.insert(new, value);
        }
        moved.push((prefix, names));
    }
    if !defs.is_empty() {
        object.insert("$defs".to_owned(), Value::Object(defs));
    }
    let mut schema = Value::Object(object);
    if moved.iter().any(|(_, names)| !names.is_empty()) {
        repoint(&mut schema, &moved);
    }
    schema
}

/// Takes out a field that is an object; an empty one if there is none.
fn take_object(object: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match object.get(name) {
        Some(Value::Object(_)) => match object.shift_remove(name) {
            Some(Value::Object(taken)) => taken,
            _ => Map::new(),
        },
        _ => Map::new(),
    }
}

/// Where definitions stood, with the new references by their names there. Both are written as references write names.
type Moved = Vec<(&'static str, HashMap<String, String>)>;

/// A name as a reference (a JSON pointer) writes it.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Changes the references to what was moved. A reference may point into a definition; what follows the definition's name stays.
fn repoint(schema: &mut Value, moved: &Moved) {
    match schema {
        Value::Array(list) => list.iter_mut().for_each(|item| repoint(item, moved)),
        Value::Object(object) => {
            for (name, value) in object {
                let Some(old) = value.as_str().filter(|_| name == "$ref") else {
                    repoint(value, moved);
                    continue;
                };
                let found = moved.iter().find_map(|(prefix, names)| {
                    let rest = old.strip_prefix(prefix)?;
                    let (name, within) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                    Some(json!(format!("{}{within}", names.get(name)?)))
                });
                if let Some(new) = found {
                    *value = new;
                }
            }
        }
        _ => {}
    }
}

fn restrict(schema: &mut Value) {
    let Value::Object(object) = schema else { return };
    let mut removed = Vec::new();
    object.retain(|name, value| {
        let refused = REFUSED.contains(&name.as_str()) && !is_taken(name, value);
        // That other properties are welcome says nothing about those that are there.
        let open = name == "additionalProperties" && *value == Value::Bool(true);
        if refused && !open {
            removed.push(format!("{name}: {value}"));
        }
        !refused && !DROPPED.contains(&name.as_str())
    });
    if object.contains_key("oneOf") {
        let renamed = |(name, value)| if name == "oneOf" { ("anyOf".to_owned(), value) } else { (name, value) };
        *object = std::mem::take(object).into_iter().map(renamed).collect();
    }
    for (name, value) in object.iter_mut() {
        match (name.as_str(), value) {
            ("properties" | "$defs", Value::Object(schemas)) => schemas.values_mut().for_each(restrict),
            ("anyOf" | "allOf" | "items", Value::Array(schemas)) => schemas.iter_mut().for_each(restrict),
            ("items", schema) => restrict(schema),
            _ => {}
        }
    }
    if is_object(object) {
        object.insert("additionalProperties".to_owned(), json!(false));
    }
    if !removed.is_empty() {
        let removed = removed.join("; ");
        let described = object.get("description").and_then(Value::as_str).map(|old| format!("{old} ({removed})"));
        object.insert("description".to_owned(), described.unwrap_or(removed).into());
    }
}

/// Whether constrained output takes a keyword of [`REFUSED`] with this value.
fn is_taken(name: &str, value: &Value) -> bool {
    match (name, value) {
        ("minItems", least) => least.as_u64().is_some_and(|least| least <= 1),
        ("format", format) => format.as_str().is_some_and(|format| FORMATS.contains(&format)),
        ("pattern", pattern) => pattern.as_str().is_some_and(is_plain),
        ("additionalProperties", Value::Bool(false)) => true,
        _ => false,
    }
}

/// Whether a pattern has no lookaround, no word boundaries and no back references.
fn is_plain(pattern: &str) -> bool {
    let refused = ["(?=", "(?!", "(?<", "\\b", "\\B"].iter().any(|what| pattern.contains(what));
    let back = pattern.as_bytes().windows(2).any(|pair| pair[0] == b'\\' && matches!(pair[1], b'1'..=b'9'));
    !refused && !back
}

/// Whether a schema allows objects.
fn is_object(schema: &Map<String, Value>) -> bool {
    match schema.get("type") {
        Some(Value::Array(names)) => names.iter().any(|name| name.as_str() == Some("object")),
        Some(name) => name.as_str() == Some("object"),
        None => schema.contains_key("properties"),
    }
}

/// Whether output can be held to a schema whose definitions stand under `$defs`. One that is open or recursive cannot be enforced, and closing
/// it would change what may be answered.
pub(super) fn is_enforceable(schema: &Value) -> bool {
    let mut survey = Survey::default();
    survey.visit(schema, None);
    !survey.is_open && !survey.is_recursive()
}

#[derive(Default)]
struct Survey<'a> {
    /// Some object may have any properties.
    is_open: bool,
    /// What each definition refers to. A reference to the root, or out of the schema, counts as one to [`ELSEWHERE`].
    references: HashMap<&'a str, Vec<&'a str>>,
}

/// The name of no definition; whatever refers to it counts as recursive.
const ELSEWHERE: &str = "#";

impl<'a> Survey<'a> {
    /// `within`: the definition that `schema` is a part of.
    fn visit(&mut self, schema: &'a Value, within: Option<&'a str>) {
        let Value::Object(object) = schema else { return };
        self.is_open |= is_open(object);
        for (name, value) in object {
            match (name.as_str(), value) {
                ("$defs", Value::Object(defs)) if within.is_none() => defs.iter().for_each(|(name, def)| self.visit(def, Some(name))),
                ("properties", Value::Object(schemas)) => schemas.values().for_each(|schema| self.visit(schema, within)),
                ("anyOf" | "oneOf" | "allOf" | "items", Value::Array(schemas)) => {
                    schemas.iter().for_each(|schema| self.visit(schema, within))
                }
                ("items", schema) => self.visit(schema, within),
                ("$ref", target) => {
                    let target = target.as_str().and_then(|target| target.strip_prefix("#/$defs/"));
                    let target = target.map(|target| target.split('/').next().unwrap_or(target));
                    // A name that is escaped is not looked up; the schema is then not enforced.
                    let target = target.filter(|target| !target.contains(['~', '%']));
                    self.references.entry(within.unwrap_or_default()).or_default().push(target.unwrap_or(ELSEWHERE));
                }
                _ => {}
            }
        }
    }

    /// Removes the definitions that refer to nothing, then those that referred only to these, and so on. What remains is a cycle or leads into
    /// one.
    fn is_recursive(&self) -> bool {
        let counts = |target: &&&str| **target == ELSEWHERE || self.references.contains_key(**target);
        let mut open: HashMap<&str, usize> = HashMap::new();
        let mut referrers: HashMap<&str, Vec<&str>> = HashMap::new();
        for (name, targets) in &self.references {
            open.insert(name, targets.iter().filter(counts).count());
            targets.iter().for_each(|target| referrers.entry(target).or_default().push(name));
        }
        let mut free: Vec<&str> = open.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
        let mut removed = 0;
        while let Some(name) = free.pop() {
            removed += 1;
            for referrer in referrers.remove(name).unwrap_or_default() {
                let count = open.get_mut(referrer).expect("every referrer has a count");
                *count -= 1;
                if *count == 0 {
                    free.push(referrer);
                }
            }
        }
        removed < open.len()
    }
}

/// Whether an object names no property, or allows others than it names.
fn is_open(schema: &Map<String, Value>) -> bool {
    let named = schema.get("properties").and_then(Value::as_object).is_some_and(|properties| !properties.is_empty());
    let others = match schema.get("additionalProperties") {
        Some(Value::Object(_)) => true,
        Some(Value::Bool(false)) => false,
        _ => !named,
    };
    is_object(schema) && others || schema.contains_key("patternProperties")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c27_unsupported_keywords_move_into_the_description() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "age": {"type": "integer", "maximum": 130, "minimum": 0, "description": "In years"},
                "name": {"type": "string", "minLength": 1, "format": "email"},
                "odd": {"type": "string", "format": "iri", "pattern": "^a"},
                "word": {"type": "string", "pattern": "^(?!x)"},
                "tags": {"type": "array", "items": {"type": "string", "maxLength": 9}, "minItems": 2, "uniqueItems": true},
                "some": {"type": "array", "items": {"type": "number", "multipleOf": 5}, "minItems": 1},
                "minimum": {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"x": {"not": {"type": "null"}}}}]},
            },
            "patternProperties": {"^x": {"type": "string"}},
            "additionalProperties": true,
            "required": ["age"],
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "age": {"type": "integer", "description": "In years (maximum: 130; minimum: 0)"},
                "name": {"type": "string", "format": "email", "description": "minLength: 1"},
                "word": {"type": "string", "description": "pattern: \"^(?!x)\""},
                "odd": {"type": "string", "pattern": "^a", "description": "format: \"iri\""},
                "tags": {"type": "array", "items": {"type": "string", "description": "maxLength: 9"}, "description": "minItems: 2; uniqueItems: true"},
                "some": {"type": "array", "items": {"type": "number", "description": "multipleOf: 5"}, "minItems": 1},
                "minimum": {"anyOf": [
                    {"type": "string"},
                    {"type": "object", "properties": {"x": {"description": "not: {\"type\":\"null\"}"}}, "additionalProperties": false},
                ]},
            },
            "description": "patternProperties: {\"^x\":{\"type\":\"string\"}}",
            "additionalProperties": false,
            "required": ["age"],
        });
        assert_eq!(strict(schema), expected);
    }

    #[test]
    fn properties_keep_their_order() {
        let text = r#"{"type":"object","properties":{"reason":{"type":"string"},"answer":{"type":"string"}},"additionalProperties":false}"#;
        let strict = strict(serde_json::from_str(text).expect("JSON"));
        assert_eq!(serde_json::to_string(&strict).expect("JSON"), text);
    }

    #[test]
    fn a_tools_input_is_an_object() {
        let of = input;
        let nothing = json!({"type": "object", "properties": {}});
        assert_eq!(of(None), nothing);
        assert_eq!(of(Some(json!({}))), nothing);
        assert_eq!(of(Some(json!({"type": "object", "properties": {}}))), nothing);
        let untyped = json!({"properties": {"a": {"minimum": 1}}});
        assert_eq!(of(Some(untyped)), json!({"type": "object", "properties": {"a": {"minimum": 1}}}));
    }

    #[test]
    fn definitions_move_to_where_they_are_found() {
        let schema = json!({
            "type": "object",
            "properties": {"a": {"$ref": "#/definitions/A"}, "b": {"$ref": "#/components/schemas/A/properties/x"}, "c": {"$ref": "#/$defs/C"}},
            "definitions": {"A": {"type": "string"}},
            "components": {"schemas": {"A": {"type": "object", "properties": {"x": {"$ref": "#/definitions/A"}}}}},
            "$defs": {"C": {"type": "null"}},
        });
        let expected = json!({
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#/$defs/A_2/properties/x"}, "c": {"$ref": "#/$defs/C"}},
            "$defs": {"C": {"type": "null"}, "A": {"type": "string"}, "A_2": {"type": "object", "properties": {"x": {"$ref": "#/$defs/A"}}}},
        });
        assert_eq!(input(Some(schema)), expected);
    }

    #[test]
    fn references_to_names_with_slashes_move_too_and_a_long_one_takes_no_longer() {
        let long = format!("#/definitions/a~1b{}", "/".repeat(2_000_000));
        let schema =
            json!({"properties": {"a": {"$ref": "#/definitions/a~1b"}, "b": {"$ref": long}}, "definitions": {"a/b": {"type": "string"}}});
        let moved = input(Some(schema));
        assert_eq!(moved["properties"]["a"], json!({"$ref": "#/$defs/a~1b"}));
        assert_eq!(moved["properties"]["b"]["$ref"].as_str().map(str::len), Some(long.len() - "definitions".len() + "$defs".len()));
    }

    fn holds(schema: Value) -> bool {
        is_enforceable(&schema)
    }

    #[test]
    fn closed_schemas_can_be_enforced() {
        assert!(holds(json!({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": true})));
        assert!(holds(json!({"type": "object", "properties": {}, "additionalProperties": false})));
        let chain = json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/c/properties/x"}, "c": {"type": "string"}}});
        assert!(holds(chain));
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
