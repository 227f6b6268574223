//! A tool's schema whose root is one plain object, for vendors that refuse every tool of a request if one has `anyOf`, `oneOf`, `allOf` or a
//! reference there, as tools of MCP servers do. What all parts and alternatives name becomes properties of the one object, and which of them go
//! together is said in the description. Nothing below the root changes. The work is bounded by [`PARTS_MAX`].
//! Source: Anthropic's "Define tools"; Gemini API reference, `FunctionDeclaration`.

use serde_json::{Map, Value, json};

/// Schemas that are put together; what comes after them is left out.
const PARTS_MAX: usize = 256;
/// References and lists on the way to one.
const LEVELS_MAX: usize = 16;

/// Keywords that list schemas.
const ALTERNATIVES: [&str; 2] = ["anyOf", "oneOf"];

/// Whether the root of a schema is more than a plain object.
fn is_composed(schema: &Map<String, Value>) -> bool {
    ALTERNATIVES.iter().chain(&["allOf", "$ref"]).any(|keyword| schema.contains_key(*keyword))
}

/// `schema` as one object, which it is for the arguments of a call. It is left as it came if it is that.
pub(super) fn folded(schema: Map<String, Value>) -> Map<String, Value> {
    if !is_composed(&schema) {
        return schema;
    }
    let root = Value::Object(schema);
    let mut folder = Folder { root: &root, parts: 0 };
    let Object { mut keywords, properties, required, description } = folder.object(&root, 0);
    if !properties.is_empty() {
        keywords.insert("properties".to_owned(), Value::Object(properties));
    }
    if !required.is_empty() {
        keywords.insert("required".to_owned(), required.into());
    }
    if !description.is_empty() {
        keywords.insert("description".to_owned(), description.join(" ").into());
    }
    keywords.insert("type".to_owned(), json!("object"));
    keywords
}

struct Folder<'a> {
    root: &'a Value,
    /// Schemas so far.
    parts: usize,
}

/// What a schema says of an object.
#[derive(Default)]
struct Object {
    /// Everything that is not listed below.
    keywords: Map<String, Value>,
    properties: Map<String, Value>,
    required: Vec<String>,
    description: Vec<String>,
}

impl<'a> Folder<'a> {
    fn object(&mut self, schema: &'a Value, level: usize) -> Object {
        self.parts += 1;
        let mut object = Object::default();
        let Some(fields) = schema.as_object().filter(|_| self.parts <= PARTS_MAX && level <= LEVELS_MAX) else { return object };
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("properties", Value::Object(properties)) => object.properties.extend(properties.clone()),
                ("required", Value::Array(names)) => object.require(names.iter().filter_map(Value::as_str)),
                ("description", Value::String(text)) => object.description.push(text.clone()),
                ("anyOf" | "oneOf" | "allOf" | "$ref" | "type", _) => {}
                _ => drop(object.keywords.insert(name.clone(), value.clone())),
            }
        }
        let target = fields.get("$ref").and_then(Value::as_str).and_then(|pointer| self.root.pointer(pointer.strip_prefix('#')?));
        let all = fields.get("allOf").and_then(Value::as_array).into_iter().flatten();
        for part in target.into_iter().chain(all) {
            let part = self.object(part, level + 1);
            object.add(part);
        }
        for keyword in ALTERNATIVES {
            if let Some(Value::Array(alternatives)) = fields.get(keyword) {
                let alternatives = alternatives.iter().map(|schema| self.object(schema, level + 1)).collect();
                object.add_one_of(alternatives, keyword == "oneOf");
            }
        }
        object
    }
}

impl Object {
    fn require<'n>(&mut self, names: impl IntoIterator<Item = &'n str>) {
        for name in names {
            if !self.required.iter().any(|known| known == name) {
                self.required.push(name.to_owned());
            }
        }
    }

    /// Another schema that holds too. Of two that say something the nearer one counts.
    fn add(&mut self, part: Self) {
        for (name, value) in part.keywords {
            // A part closes itself without knowing of the others.
            if name != "additionalProperties" || self.properties.is_empty() {
                self.keywords.entry(name).or_insert(value);
            }
        }
        for (name, schema) in part.properties {
            self.properties.entry(name).or_insert(schema);
        }
        self.require(part.required.iter().map(String::as_str));
        self.description.extend(part.description);
    }

    /// Schemas of which one holds. A property that several of them have may be as any of them says.
    fn add_one_of(&mut self, alternatives: Vec<Self>, exactly: bool) {
        let given = |alternative: &Self| {
            let names: Vec<String> = alternative.required.iter().map(|name| format!("`{name}`")).collect();
            (!names.is_empty()).then(|| names.join(" and "))
        };
        let choices: Vec<String> = alternatives.iter().filter_map(given).collect();
        let by_all = |name: &&String| alternatives.iter().all(|other| other.required.contains(name));
        let required: Vec<String> =
            alternatives.first().map(|first| first.required.iter().filter(by_all).cloned().collect()).unwrap_or_default();
        let own: Vec<String> = self.properties.keys().cloned().collect();
        let mut described = Vec::new();
        for alternative in alternatives {
            for (name, schema) in alternative.properties.into_iter().filter(|(name, _)| !own.contains(name)) {
                match self.properties.get_mut(&name) {
                    None => drop(self.properties.insert(name, schema)),
                    Some(known) => also(known, schema),
                }
            }
            described.extend(alternative.description);
            for (name, value) in alternative.keywords.into_iter().filter(|(name, _)| name != "additionalProperties") {
                self.keywords.entry(name).or_insert(value);
            }
        }
        self.require(required.iter().map(String::as_str));
        if choices.len() > 1 {
            let how_many = if exactly { "exactly one" } else { "at least one" };
            self.description.push(format!("Give {how_many} of these: {}.", choices.join("; or ")));
        }
        if described.len() > 1 {
            self.description.push(format!("Either: {}", described.join(" Or: ")));
        } else {
            self.description.extend(described);
        }
    }
}

/// Lets a property be as `schema` says, too.
fn also(known: &mut Value, schema: Value) {
    if *known == schema {
        return;
    }
    match known.get_mut("anyOf") {
        Some(Value::Array(list)) if list.contains(&schema) => {}
        // A value that is as one of them says is as the list says.
        Some(Value::Array(list)) if list.len() < PARTS_MAX => list.push(schema),
        _ => {
            let first = known.take();
            *known = json!({"anyOf": [first, schema]});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(schema: Value) -> Value {
        let Value::Object(schema) = schema else { panic!("an object") };
        Value::Object(folded(schema))
    }

    #[test]
    fn a_plain_object_stays_as_it_came() {
        for schema in [json!({}), json!({"type": ["object", "null"], "properties": {"a": {"anyOf": []}}, "not": {}})] {
            assert_eq!(fold(schema.clone()), schema);
        }
    }

    #[test]
    fn alternatives_beside_properties_are_told_in_words() {
        let schema = json!({"type": "object", "description": "D.", "properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]});
        let expected =
            json!({"type": "object", "description": "D. Give at least one of these: `a`; or `b`.", "properties": {"a": {}, "b": {}}});
        assert_eq!(fold(schema), expected);
    }

    #[test]
    fn alternatives_become_one_object_whose_common_properties_stay_required() {
        let one = |kind: &str, name: &str| json!({"type": "object", "properties": {"kind": {"const": kind}, name: {"type": "string"}}, "required": ["kind", name], "additionalProperties": false});
        let expected = json!({
            "type": "object",
            "properties": {"kind": {"anyOf": [{"const": "x"}, {"const": "y"}, {"const": "z"}]}, "a": {"type": "string"}, "b": {"type": "string"}},
            "required": ["kind"],
            "description": "Give exactly one of these: `kind` and `a`; or `kind` and `b`; or `kind` and `b`.",
        });
        assert_eq!(fold(json!({"oneOf": [one("x", "a"), one("y", "b"), one("z", "b")]})), expected);
    }

    #[test]
    fn references_and_parts_are_put_together() {
        let schema = json!({
            "allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": {}}, "required": ["b"]}],
            "$defs": {"A": {"type": "object", "properties": {"a": {}}, "required": ["a"], "description": "D"}},
        });
        let defs = schema["$defs"].clone();
        let expected =
            json!({"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a", "b"], "description": "D", "$defs": defs});
        assert_eq!(fold(schema), expected);
        let alone =
            fold(json!({"$ref": "#/definitions/A", "definitions": {"A": {"properties": {"a": {}}, "additionalProperties": false}}}));
        assert_eq!((&alone["properties"], &alone["additionalProperties"], alone.get("$ref")), (&json!({"a": {}}), &json!(false), None));
    }

    #[test]
    fn circles_and_crowds_end() {
        assert_eq!(fold(json!({"$ref": "#"})), json!({"type": "object"}));
        assert_eq!(fold(json!({"$ref": "https://example.org"})), json!({"type": "object"}));
        let all: Vec<Value> = (0..3).map(|_| json!({"$ref": "#"})).collect();
        assert_eq!(fold(json!({"allOf": all})), json!({"type": "object"}));
        let many: Vec<Value> = (0..10_000).map(|at| json!({"properties": {"a": {"const": at}}})).collect();
        assert!(fold(json!({"anyOf": many}))["properties"]["a"]["anyOf"].as_array().is_some_and(|list| list.len() <= PARTS_MAX));
    }
}
