//! JSON schemas in the subsets that the API takes: of a tool's input, and of output that is held to its schema.
//! Where a keyword must go, its words move into the description, so that the model still reads what it is not held to.
//! Source: Anthropic's "Structured outputs", limitations. Must not know tools or messages.

use std::collections::HashMap;

use super::names::Fresh;
use crate::llm::tree::{Object, Tree, field, set};

/// Keywords that constrained output refuses. Some are taken with certain values, see [`stays`].
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

/// Says nothing about a value, or confuses.
const DROPPED: [&str; 2] = ["$schema", "$id"];

/// A tool's input: an object, whatever was given, with every definition where the API looks for it.
pub(super) fn input(schema: Option<Tree>) -> Tree {
    let mut object = match schema {
        Some(Tree::Object(object)) => object,
        _ => Object::new(),
    };
    if field(&object, "type").and_then(Tree::as_str) != Some("object") {
        set(&mut object, "type", Tree::text("object"));
    }
    if object.len() == 1 {
        set(&mut object, "properties", Tree::Object(Object::new()));
    }
    definitions(Tree::Object(object))
}

/// `schema`, which can be held to and has its definitions in their place, in the words that output is held by.
pub(super) fn strict(mut schema: Tree) -> Tree {
    restrict(&mut schema);
    schema
}

/// Moves `definitions` and `components.schemas` to `$defs`, the one place that is known, and the references with them. Nothing is copied,
/// so a schema never grows by more than the names.
pub(super) fn definitions(schema: Tree) -> Tree {
    let Tree::Object(mut object) = schema else { return schema };
    let mut defs = take_object(&mut object, "$defs");
    let mut fresh = Fresh::default();
    defs.iter().for_each(|(name, _)| fresh.take(name));
    let mut moved = Moved::new();
    let mut sections = vec![("#/definitions/", take_object(&mut object, "definitions"))];
    let mut components = take_object(&mut object, "components");
    sections.push(("#/components/schemas/", take_object(&mut components, "schemas")));
    for (prefix, section) in sections {
        let mut names = HashMap::new();
        for (name, value) in section {
            let new = fresh.unlike(&name, usize::MAX);
            names.insert(escaped(&name), format!("#/$defs/{}", escaped(&new)));
            defs.push((new, value));
        }
        moved.push((prefix, names));
    }
    if !defs.is_empty() {
        object.push(("$defs".to_owned(), Tree::Object(defs)));
    }
    let mut tree = Tree::Object(object);
    if moved.iter().any(|(_, names)| !names.is_empty()) {
        repoint(&mut tree, &moved);
    }
    tree
}

fn take_object(object: &mut Object, name: &str) -> Object {
    let at = object.iter().position(|(key, value)| key == name && matches!(value, Tree::Object(_)));
    match at.map(|at| object.remove(at).1) {
        Some(Tree::Object(taken)) => taken,
        _ => Object::new(),
    }
}

/// Where definitions stood, with the references to them by their names there. Both as references write names.
type Moved = Vec<(&'static str, HashMap<String, String>)>;

/// A name as a reference (a JSON pointer) writes it.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A reference may point into a definition; what follows its name stays.
fn repoint(tree: &mut Tree, moved: &Moved) {
    match tree {
        Tree::List(list) => list.iter_mut().for_each(|item| repoint(item, moved)),
        Tree::Object(object) => {
            for (name, value) in object {
                let Some(old) = value.as_str().filter(|_| name == "$ref") else {
                    repoint(value, moved);
                    continue;
                };
                let found = moved.iter().find_map(|(prefix, names)| {
                    let rest = old.strip_prefix(prefix)?;
                    let (name, within) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                    Some(Tree::text(format!("{}{within}", names.get(name)?)))
                });
                if let Some(new) = found {
                    *value = new;
                }
            }
        }
        _ => {}
    }
}

fn restrict(schema: &mut Tree) {
    let Tree::Object(object) = schema else { return };
    let mut said = Vec::new();
    object.retain(|(name, value)| {
        let refused = REFUSED.contains(&name.as_str()) && !stays(name, value);
        // That more properties are welcome says nothing of those that are there.
        let welcome = name == "additionalProperties" && *value == Tree::Bool(true);
        if refused && !welcome {
            said.push(format!("{name}: {}", json_of(value)));
        }
        !refused && !DROPPED.contains(&name.as_str())
    });
    for (name, value) in object.iter_mut() {
        if name == "oneOf" {
            "anyOf".clone_into(name);
        }
        match (name.as_str(), value) {
            ("properties" | "$defs", Tree::Object(schemas)) => schemas.iter_mut().for_each(|(_, schema)| restrict(schema)),
            ("anyOf" | "allOf" | "items", Tree::List(schemas)) => schemas.iter_mut().for_each(restrict),
            ("items", schema) => restrict(schema),
            _ => {}
        }
    }
    if is_object(object) {
        set(object, "additionalProperties", Tree::Bool(false));
    }
    if !said.is_empty() {
        let said = said.join("; ");
        let described = field(object, "description").and_then(Tree::as_str).map(|old| format!("{old} ({said})"));
        set(object, "description", Tree::text(described.unwrap_or(said)));
    }
}

/// Whether a keyword is taken with this value.
fn stays(name: &str, value: &Tree) -> bool {
    match (name, value) {
        ("minItems", Tree::Number(least)) => least.as_u64().is_some_and(|least| least <= 1),
        ("format", format) => format.as_str().is_some_and(|format| FORMATS.contains(&format)),
        ("pattern", pattern) => pattern.as_str().is_some_and(is_plain),
        ("additionalProperties", Tree::Bool(false)) => true,
        _ => false,
    }
}

/// Whether a pattern has no looking around, no word boundaries and no references back.
fn is_plain(pattern: &str) -> bool {
    let refused = ["(?=", "(?!", "(?<", "\\b", "\\B"].iter().any(|what| pattern.contains(what));
    let back = pattern.as_bytes().windows(2).any(|pair| pair[0] == b'\\' && matches!(pair[1], b'1'..=b'9'));
    !refused && !back
}

/// Whether a schema is of objects, among others perhaps.
pub(super) fn is_object(schema: &Object) -> bool {
    match field(schema, "type") {
        Some(Tree::List(names)) => names.iter().any(|name| name.as_str() == Some("object")),
        Some(name) => name.as_str() == Some("object"),
        None => field(schema, "properties").is_some(),
    }
}

fn json_of(value: &Tree) -> String {
    serde_json::to_string(value).expect("a tree has strings for keys")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tree(value: &Value) -> Tree {
        serde_json::from_value(value.clone()).expect("a tree")
    }

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
        assert_eq!(serde_json::to_value(strict(tree(&schema))).expect("JSON"), expected);
    }

    #[test]
    fn properties_keep_their_order() {
        let text = r#"{"type":"object","properties":{"reason":{"type":"string"},"answer":{"type":"string"}},"additionalProperties":false}"#;
        let strict = strict(serde_json::from_str(text).expect("JSON"));
        assert_eq!(serde_json::to_string(&strict).expect("JSON"), text);
    }

    #[test]
    fn a_tools_input_is_an_object() {
        let of = |schema: Option<Value>| serde_json::to_value(input(schema.as_ref().map(tree))).expect("JSON");
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
        assert_eq!(serde_json::to_value(input(Some(tree(&schema)))).expect("JSON"), expected);
    }

    #[test]
    fn references_to_names_with_slashes_move_too_and_a_long_one_takes_no_longer() {
        let long = format!("#/definitions/a~1b{}", "/".repeat(2_000_000));
        let schema =
            json!({"properties": {"a": {"$ref": "#/definitions/a~1b"}, "b": {"$ref": long}}, "definitions": {"a/b": {"type": "string"}}});
        let moved = serde_json::to_value(input(Some(tree(&schema)))).expect("JSON");
        assert_eq!(moved["properties"]["a"], json!({"$ref": "#/$defs/a~1b"}));
        assert_eq!(moved["properties"]["b"]["$ref"].as_str().map(str::len), Some(long.len() - "definitions".len() + "$defs".len()));
    }
}
