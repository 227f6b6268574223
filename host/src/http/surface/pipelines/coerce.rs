//! Values as a form on a web page sends them, as the plugin's schema wants them: numbers and switches that come as text, lists that come as one text
//! or with one empty entry, `null` for what is not set. What cannot be read that way is left as it is, for the schema to refuse by its name.

use serde_json::{Map, Number, Value, json};

/// References that are followed from one property.
const REFERENCES_MAX: usize = 8;

/// A property as a page can show it: references followed, and one type where one of two is `null`.
pub(super) fn display(schema: &Map<String, Value>, property: &Value) -> Value {
    let mut shown = resolved(schema, property);
    if let Some(Value::Array(types)) = shown.get("type") {
        let real: Vec<&Value> = types.iter().filter(|kind| **kind != "null").collect();
        if let [only] = real[..] {
            shown["type"] = only.clone();
        }
    }
    if !shown.is_object() {
        // A schema may be `true`.
        shown = json!({});
    }
    shown
}

/// The property with what its references lead to; what stands beside a reference counts.
fn resolved(schema: &Map<String, Value>, property: &Value) -> Value {
    let mut found = property.clone();
    for _ in 0..REFERENCES_MAX {
        let Some(reference) = found.get("$ref").and_then(Value::as_str) else { break };
        let target = reference.strip_prefix("#/").and_then(|path| {
            path.split('/').try_fold(Value::from(schema.clone()), |at, name| at.get(name.replace("~1", "/").replace("~0", "~")).cloned())
        });
        let Some(Value::Object(mut target)) = target else { break };
        let beside = found.as_object().into_iter().flatten().filter(|(name, _)| *name != "$ref");
        target.extend(beside.map(|(name, value)| (name.clone(), value.clone())));
        found = target.into();
    }
    found
}

/// The value in the type that the property has; none for a `null` that says that it is not set.
pub(super) fn coerced(schema: &Map<String, Value>, property: &Value, value: Value) -> Option<Value> {
    let property = resolved(schema, property);
    let kinds = kinds(schema, &property);
    if value.is_null() {
        return kinds.iter().any(|kind| kind == "null").then_some(value);
    }
    if let Some(choices) = property.get("enum").and_then(Value::as_array) {
        let same = |choice: &&Value| **choice == value || value.as_str().is_some_and(|text| shown(choice) == text);
        return Some(choices.iter().find(same).cloned().unwrap_or(value));
    }
    let is = |kind: &str| kinds.iter().any(|known| known == kind);
    Some(match value {
        Value::Array(items) if is("array") => items_of(schema, &property, items).into(),
        Value::String(text) if !is("string") => of_text(schema, &property, &is, text),
        other => other,
    })
}

fn of_text(schema: &Map<String, Value>, property: &Value, is: &dyn Fn(&str) -> bool, text: String) -> Value {
    let plain = text.trim();
    if is("boolean")
        && let Some(flag) = flag(plain)
    {
        return flag.into();
    }
    if is("integer") || is("number") {
        if let Ok(number) = plain.parse::<i64>() {
            return number.into();
        }
        if let Some(number) = plain.parse::<f64>().ok().and_then(Number::from_f64) {
            let whole = number.as_f64().filter(|number| is("integer") && number.fract() == 0.0 && number.abs() < 9e15);
            #[expect(clippy::cast_possible_truncation, reason = "a whole number within 53 bits")]
            return whole.map_or(number.into(), |number| (number as i64).into());
        }
    }
    if is("array") {
        return match serde_json::from_str(plain) {
            Ok(Value::Array(items)) => items_of(schema, property, items),
            _ => items_of(schema, property, plain.split(',').map(|item| item.trim().into()).collect()),
        }
        .into();
    }
    if is("object")
        && let Ok(object @ Value::Object(_)) = serde_json::from_str(plain)
    {
        return object;
    }
    text.into()
}

/// A list's items in their type. A page sends one empty text for an empty list, and trailing commas are slips.
fn items_of(schema: &Map<String, Value>, property: &Value, items: Vec<Value>) -> Vec<Value> {
    let of_items = property.get("items").cloned().unwrap_or(Value::Bool(true));
    let items = items.into_iter().filter(|item| !item.as_str().is_some_and(|text| text.trim().is_empty()));
    items.filter_map(|item| coerced(schema, &of_items, item)).collect()
}

/// What `type` says, and that of each alternative.
fn kinds(schema: &Map<String, Value>, property: &Value) -> Vec<String> {
    let mut found = match property.get("type") {
        Some(Value::String(kind)) => vec![kind.clone()],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    for alternatives in ["anyOf", "oneOf"].iter().filter_map(|key| property.get(key)?.as_array()) {
        let of_each = alternatives.iter().map(|alternative| resolved(schema, alternative));
        found.extend(of_each.filter_map(|alternative| alternative.get("type")?.as_str().map(str::to_owned)));
    }
    // Of what may be anything, text stays text.
    if found.iter().all(|kind| kind == "null") {
        found.push("string".to_owned());
    }
    found
}

/// As pydantic reads it.
fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" | "y" | "t" => Some(true),
        "false" | "0" | "no" | "off" | "n" | "f" => Some(false),
        _ => None,
    }
}

/// As a page shows a choice.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(property: Value, sent: Value, kept: Option<Value>) {
        let schema = json!({"$defs": {"Size": {"type": "integer"}}});
        assert_eq!(coerced(schema.as_object().expect("an object"), &property, sent.clone()), kept, "{property} {sent}");
    }

    #[test]
    fn texts_become_what_the_schema_wants() {
        let optional = |kind: &str| json!({"anyOf": [{"type": kind}, {"type": "null"}]});
        for (property, sent, kept) in [
            (json!({"type": "integer"}), json!("7"), json!(7)),
            (json!({"type": "integer"}), json!("7.0"), json!(7)),
            (json!({"type": "integer"}), json!("seven"), json!("seven")),
            (json!({"type": "number"}), json!("0.5"), json!(0.5)),
            (json!({"type": "number"}), json!("inf"), json!("inf")),
            (json!({"type": "boolean"}), json!("False"), json!(false)),
            (json!({"type": "string"}), json!("7"), json!("7")),
            (json!({"type": ["string", "integer"]}), json!("7"), json!("7")),
            (json!({"$ref": "#/$defs/Size"}), json!(" 3 "), json!(3)),
            (optional("integer"), json!("4"), json!(4)),
            (optional("string"), json!(""), json!("")),
            (json!({"type": "array", "items": {"type": "string"}}), json!([""]), json!([])),
            (json!({"type": "array", "items": {"type": "string"}}), json!("a, b,"), json!(["a", "b"])),
            (json!({"type": "array", "items": {"type": "integer"}}), json!(["1", "2"]), json!([1, 2])),
            (json!({"type": "array"}), json!("[1,2]"), json!([1, 2])),
            (json!({"type": "object"}), json!("{\"a\":1}"), json!({"a": 1})),
            (json!({"enum": [1, 2]}), json!("2"), json!(2)),
            (json!({"enum": ["a"]}), json!("b"), json!("b")),
            (json!({}), json!("7"), json!("7")),
        ] {
            becomes(property, sent, Some(kept));
        }
    }

    #[test]
    fn null_is_a_value_only_where_the_schema_has_it() {
        becomes(json!({"type": "string"}), Value::Null, None);
        becomes(json!({"type": ["string", "null"]}), Value::Null, Some(Value::Null));
        becomes(json!({"anyOf": [{"type": "integer"}, {"type": "null"}]}), Value::Null, Some(Value::Null));
    }

    #[test]
    fn references_that_lead_nowhere_or_in_a_circle_end() {
        becomes(json!({"$ref": "#/$defs/None"}), json!("x"), Some(json!("x")));
        let schema = json!({"$defs": {"A": {"$ref": "#/$defs/A"}}});
        let property = json!({"$ref": "#/$defs/A"});
        assert_eq!(coerced(schema.as_object().expect("an object"), &property, json!("x")), Some(json!("x")));
    }
}
