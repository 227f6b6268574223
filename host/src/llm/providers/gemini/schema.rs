//! JSON Schema to the subset that Gemini's `Schema` has: references inlined, `allOf` merged, alternatives expanded, unknown keywords left out.
//! Recursive and exploding schemas end at a limit, so the cost of a request's schemas is bounded whatever they are. A keyword that only checks a
//! value (`multipleOf`, `not` …) is lost, because Gemini has no counterpart.
//! Source: Gemini API reference, `Schema`, <https://ai.google.dev/api/caching#Schema>.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::llm::adapter::UnsupportedField;

/// Levels of a schema, each reference on the way to one counted. Gemini itself takes no more.
const LEVELS_MAX: usize = 32;
/// Keywords and entries of lists in all schemas of one request, after inlining. A hundred tools of thirty parameters have about a tenth of it.
const KEYWORDS_MAX: usize = 100_000;
/// Bytes of text in all schemas of one request, after inlining.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Characters of a reference that an error shows.
const POINTER_CHARS: usize = 100;

/// What is left to the schemas of one request.
pub(super) struct Budget {
    keywords: usize,
    text: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { keywords: KEYWORDS_MAX, text: TEXT_BYTES_MAX }
    }
}

/// `schema` in Gemini's subset. `ordered` adds `propertyOrdering`, which a response schema needs to be answered in its own order.
///
/// # Errors
/// Names `param` if the schema is none, refers to what is not there, recurs, or is too large.
pub(super) fn converted(schema: &Value, param: &str, ordered: bool, budget: &mut Budget) -> Result<Value, UnsupportedField> {
    let mut converter = Converter { root: schema, param, ordered, budget };
    let subschemas = converter.gathered(schema, 0)?;
    converter.convert(&subschemas, 0)
}

/// One object of keywords. Several of them may describe one value: a schema, what it refers to, and what it has under `allOf`.
#[derive(Clone, Copy)]
struct Subschema<'a> {
    keywords: &'a Map<String, Value>,
    /// The cost of reading it: its keywords and the entries of their lists.
    weight: usize,
    /// One of its alternatives has been chosen.
    chosen: bool,
}

struct Converter<'a, 'b> {
    root: &'a Value,
    param: &'a str,
    ordered: bool,
    budget: &'b mut Budget,
}

impl<'a> Converter<'a, '_> {
    /// All subschemas that describe the same value as `schema`, the nearest first.
    fn gathered(&mut self, schema: &'a Value, level: usize) -> Result<Vec<Subschema<'a>>, UnsupportedField> {
        let mut subschemas = Vec::new();
        self.gather(schema, level, &mut subschemas)?;
        Ok(subschemas)
    }

    fn gather(&mut self, schema: &'a Value, level: usize, subschemas: &mut Vec<Subschema<'a>>) -> Result<(), UnsupportedField> {
        self.enter(level)?;
        let keywords = match schema {
            Value::Object(keywords) => keywords,
            // `true` allows any value.
            Value::Bool(true) => return Ok(()),
            _ => return Err(self.unsupported("holds a schema that is no object")),
        };
        let weight = keywords.values().map(|value| 1 + value.as_array().map_or(0, Vec::len)).sum();
        self.spend(weight)?;
        subschemas.push(Subschema { keywords, weight, chosen: false });
        if let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.resolved(pointer)?;
            self.gather(target, level + 1, subschemas)?;
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.gather(part, level + 1, subschemas)?;
        }
        Ok(())
    }

    /// What a reference such as `#/$defs/Node` leads to.
    fn resolved(&mut self, pointer: &str) -> Result<&'a Value, UnsupportedField> {
        let shown = || pointer.chars().take(POINTER_CHARS).collect::<String>();
        let Some(path) = pointer.strip_prefix('#') else {
            return Err(
                self.unsupported(&format!("refers to `{}`; only references into the schema itself, `#/…`, can be followed", shown()))
            );
        };
        let mut at = self.root;
        for step in path.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match at {
                Value::Object(fields) => fields.get(&step),
                Value::Array(items) => step.parse::<usize>().ok().and_then(|place| items.get(place)),
                _ => None,
            };
            at = next.ok_or_else(|| self.unsupported(&format!("refers to `{}`, which is not in it", shown())))?;
        }
        Ok(at)
    }

    /// The one schema for a value that all `subschemas` describe.
    fn convert(&mut self, subschemas: &[Subschema<'a>], level: usize) -> Result<Value, UnsupportedField> {
        self.enter(level)?;
        if let Some((place, alternatives)) = alternatives(subschemas) {
            return self.convert_alternatives(subschemas, place, alternatives, level);
        }
        let (names, nullable) = types(subschemas);
        let mut schemas = Vec::with_capacity(names.len());
        for name in &names {
            schemas.push(self.convert_as(subschemas, name, nullable, level)?);
        }
        Ok(any_of(schemas))
    }

    /// One schema for each alternative, each with everything that stands beside the alternatives, because Gemini takes nothing beside `anyOf`.
    fn convert_alternatives(
        &mut self,
        subschemas: &[Subschema<'a>],
        place: usize,
        alternatives: &'a [Value],
        level: usize,
    ) -> Result<Value, UnsupportedField> {
        let mut rest = subschemas.to_vec();
        rest[place].chosen = true;
        let weight = rest.iter().map(|subschema| subschema.weight).sum();
        let is_null = |schema: &&Value| schema.get("type").and_then(Value::as_str) == Some("null");
        let nullable = alternatives.iter().any(|schema| is_null(&schema));
        let mut schemas = Vec::new();
        for alternative in alternatives.iter().filter(|schema| !is_null(schema)) {
            self.spend(weight)?;
            let mut own = self.gathered(alternative, level + 1)?;
            own.extend(&rest);
            let schema = self.convert(&own, level + 1)?;
            schemas.push(if nullable { made_nullable(schema) } else { schema });
        }
        if schemas.is_empty() {
            let schema = self.convert(&rest, level)?;
            return Ok(if nullable { made_nullable(schema) } else { schema });
        }
        Ok(any_of(schemas))
    }

    /// The schema of a value inside this one.
    fn below(&mut self, schema: &'a Value, level: usize) -> Result<Value, UnsupportedField> {
        let subschemas = self.gathered(schema, level + 1)?;
        self.convert(&subschemas, level + 1)
    }

    fn enter(&mut self, level: usize) -> Result<(), UnsupportedField> {
        if level > LEVELS_MAX {
            return Err(
                self.unsupported(&format!("is recursive or deeper than {LEVELS_MAX} levels, which Gemini does not take; flatten it"))
            );
        }
        self.spend(1)
    }

    fn spend(&mut self, keywords: usize) -> Result<(), UnsupportedField> {
        self.budget.keywords = self.budget.keywords.checked_sub(keywords).ok_or_else(|| self.too_large())?;
        Ok(())
    }

    /// A text of the result, which is charged to the budget.
    fn text(&mut self, text: &str) -> Result<Value, UnsupportedField> {
        self.budget.text = self.budget.text.checked_sub(text.len()).ok_or_else(|| self.too_large())?;
        Ok(Value::from(text))
    }

    fn too_large(&self) -> UnsupportedField {
        self.unsupported("is too large with its references inlined; make it smaller or refer to less")
    }

    fn unsupported(&self, message: &str) -> UnsupportedField {
        UnsupportedField::new(self.param, message)
    }
}

/// The first value under `key`.
fn find<'a>(subschemas: &[Subschema<'a>], key: &str) -> Option<&'a Value> {
    subschemas.iter().find_map(|subschema| subschema.keywords.get(key))
}

/// The first alternatives of which none has been chosen, and the place of the subschema that has them.
fn alternatives<'a>(subschemas: &[Subschema<'a>]) -> Option<(usize, &'a [Value])> {
    let open = subschemas.iter().enumerate().filter(|(_, subschema)| !subschema.chosen);
    open.filter_map(|(place, Subschema { keywords, .. })| {
        let alternatives = keywords.get("anyOf").or_else(|| keywords.get("oneOf"))?.as_array()?;
        Some((place, alternatives.as_slice()))
    })
    .next()
}

/// The only schema, or any of several. Alternatives within alternatives become alternatives of the same list.
fn any_of(mut schemas: Vec<Value>) -> Value {
    if schemas.len() == 1 {
        return schemas.remove(0);
    }
    let mut flat = Vec::with_capacity(schemas.len());
    for mut schema in schemas {
        match schema.get_mut("anyOf") {
            Some(Value::Array(inner)) => flat.append(inner),
            _ => flat.push(schema),
        }
    }
    json!({ "anyOf": flat })
}

/// The types that a value may have, without null, and whether it may be null.
fn types<'a>(subschemas: &[Subschema<'a>]) -> (Vec<&'a str>, bool) {
    let mut names: Vec<&str> = match find(subschemas, "type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => distinct(names),
        _ => vec![implied(subschemas)],
    };
    let marked =
        find(subschemas, "nullable") == Some(&Value::Bool(true)) || members(subschemas).is_some_and(|all| all.contains(&Value::Null));
    let nullable = marked || names.contains(&"null");
    names.retain(|name| *name != "null");
    if names.is_empty() {
        names.push("string");
    }
    (names, nullable)
}

/// Each name once. There are seven types; a name that is none of them is refused later.
fn distinct(names: &[Value]) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for name in names.iter().filter_map(Value::as_str) {
        if found.len() < 8 && !found.contains(&name) {
            found.push(name);
        }
    }
    found
}

/// The type of a schema that names none.
fn implied(subschemas: &[Subschema<'_>]) -> &'static str {
    let has = |key: &str| find(subschemas, key).is_some();
    if has("properties") {
        return "object";
    }
    if has("items") || has("prefixItems") {
        return "array";
    }
    match members(subschemas).and_then(|all| all.iter().find(|member| **member != Value::Null)) {
        Some(Value::Number(_)) => "number",
        Some(Value::Bool(_)) => "boolean",
        // A text can hold most of what "any value" may be.
        _ => "string",
    }
}

/// The only values that are allowed.
fn members<'a>(subschemas: &[Subschema<'a>]) -> Option<&'a [Value]> {
    find(subschemas, "enum").and_then(Value::as_array).map(Vec::as_slice).or_else(|| find(subschemas, "const").map(std::slice::from_ref))
}

/// The schema, or null. Gemini takes nothing beside `anyOf`, so there each alternative becomes nullable.
fn made_nullable(mut schema: Value) -> Value {
    let Value::Object(fields) = &mut schema else { return schema };
    match fields.get_mut("anyOf") {
        Some(Value::Array(alternatives)) => alternatives.iter_mut().for_each(|schema| *schema = made_nullable(schema.take())),
        _ => {
            fields.entry("nullable").or_insert(Value::Bool(true));
        }
    }
    schema
}

impl<'a> Converter<'a, '_> {
    /// The schema for values of one type.
    fn convert_as(&mut self, subschemas: &[Subschema<'a>], name: &str, nullable: bool, level: usize) -> Result<Value, UnsupportedField> {
        let mut out = Map::from_iter([("type".to_owned(), Value::from(name.to_uppercase()))]);
        self.texts(subschemas, &["title", "description"], &mut out)?;
        match name {
            "string" => self.string(subschemas, &mut out)?,
            "integer" => self.number(subschemas, &["int32", "int64"], &mut out)?,
            "number" => self.number(subschemas, &["float", "double"], &mut out)?,
            "boolean" => {}
            "array" => self.array(subschemas, level, &mut out)?,
            "object" => self.object(subschemas, level, &mut out)?,
            _ => return Err(self.unsupported(&format!("holds the type `{name}`, which is none of JSON Schema's"))),
        }
        if nullable {
            out.insert("nullable".to_owned(), Value::Bool(true));
        }
        Ok(Value::Object(out))
    }

    fn string(&mut self, subschemas: &[Subschema<'a>], out: &mut Map<String, Value>) -> Result<(), UnsupportedField> {
        self.format(subschemas, &["enum", "date-time"], out);
        // Gemini refuses an empty member.
        let texts = members(subschemas).unwrap_or_default().iter().filter_map(Value::as_str).filter(|text| !text.is_empty());
        let texts = texts.map(|text| self.text(text)).collect::<Result<Vec<_>, _>>()?;
        if !texts.is_empty() {
            out.insert("enum".to_owned(), Value::Array(texts));
        }
        self.texts(subschemas, &["pattern"], out)?;
        numbers(subschemas, &["minLength", "maxLength"], out);
        Ok(())
    }

    /// Gemini has `enum` for strings only, so the description lists the numbers.
    fn number(&mut self, subschemas: &[Subschema<'a>], formats: &[&str], out: &mut Map<String, Value>) -> Result<(), UnsupportedField> {
        self.format(subschemas, formats, out);
        let listed = members(subschemas).unwrap_or_default().iter().filter(|member| member.is_number());
        let listed: Vec<String> = listed.map(Value::to_string).collect();
        if !listed.is_empty() {
            let described = find(subschemas, "description").and_then(Value::as_str).map_or_else(String::new, |text| format!("{text} "));
            let description = self.text(&format!("{described}One of: {}.", listed.join(", ")))?;
            out.insert("description".to_owned(), description);
        }
        numbers(subschemas, &["minimum", "maximum"], out);
        Ok(())
    }

    /// Gemini refuses an array without `items`, and has no tuples: the items of one may stand in any place.
    fn array(&mut self, subschemas: &[Subschema<'a>], level: usize, out: &mut Map<String, Value>) -> Result<(), UnsupportedField> {
        let items = match (find(subschemas, "items"), find(subschemas, "prefixItems")) {
            (Some(Value::Array(tuple)), _) | (None | Some(Value::Bool(_)), Some(Value::Array(tuple))) if !tuple.is_empty() => {
                let items = tuple.iter().map(|item| self.below(item, level)).collect::<Result<_, _>>()?;
                any_of(items)
            }
            (Some(items @ Value::Object(_)), _) => self.below(items, level)?,
            _ => json!({"type": "STRING"}),
        };
        out.insert("items".to_owned(), items);
        numbers(subschemas, &["minItems", "maxItems"], out);
        Ok(())
    }

    fn object(&mut self, subschemas: &[Subschema<'a>], level: usize, out: &mut Map<String, Value>) -> Result<(), UnsupportedField> {
        let mut properties = Map::new();
        let mut known = HashSet::new();
        for subschema in subschemas {
            let Some(Value::Object(own)) = subschema.keywords.get("properties") else { continue };
            self.spend(own.len())?;
            for (name, schema) in own.iter().filter(|(name, _)| known.insert(name.as_str())) {
                self.text(name)?;
                properties.insert(name.clone(), self.below(schema, level)?);
            }
        }
        // Gemini refuses a name that is not among the properties.
        let mut required = Vec::new();
        for name in
            subschemas.iter().filter_map(|subschema| subschema.keywords.get("required")?.as_array()).flatten().filter_map(Value::as_str)
        {
            if known.remove(name) {
                required.push(self.text(name)?);
            }
        }
        let ordering = properties.keys().map(|name| Value::from(name.as_str())).collect();
        if !properties.is_empty() {
            out.insert("properties".to_owned(), Value::Object(properties));
            if self.ordered {
                out.insert("propertyOrdering".to_owned(), Value::Array(ordering));
            }
        }
        if !required.is_empty() {
            out.insert("required".to_owned(), Value::Array(required));
        }
        numbers(subschemas, &["minProperties", "maxProperties"], out);
        Ok(())
    }

    fn texts(&mut self, subschemas: &[Subschema<'a>], keys: &[&str], out: &mut Map<String, Value>) -> Result<(), UnsupportedField> {
        for key in keys {
            if let Some(text) = find(subschemas, key).and_then(Value::as_str) {
                out.insert((*key).to_owned(), self.text(text)?);
            }
        }
        Ok(())
    }

    /// Gemini refuses a format that it does not know.
    fn format(&self, subschemas: &[Subschema<'a>], known: &[&str], out: &mut Map<String, Value>) {
        if let Some(format) = find(subschemas, "format").and_then(Value::as_str).filter(|format| known.contains(format)) {
            out.insert("format".to_owned(), Value::from(format));
        }
    }
}

fn numbers(subschemas: &[Subschema<'_>], keys: &[&str], out: &mut Map<String, Value>) {
    for key in keys {
        if let Some(number @ Value::Number(_)) = find(subschemas, key) {
            out.insert((*key).to_owned(), number.clone());
        }
    }
}

#[cfg(test)]
mod tests;
