//! What is said of a document at its upload, and what a search asks of it: a flat JSON object on both sides.
//! Both are bounded when they are read, so that whoever has one need not check it again.

use serde_json::{Map, Value};

/// Fields of one document's metadata, and of one filter.
const FIELDS_MAX: usize = 32;
/// Bytes of a field's name.
const NAME_BYTES: usize = 64;
/// Bytes of a text.
const TEXT_BYTES: usize = 512;
/// Values that one field of a filter allows.
const VALUES_MAX: usize = 64;

/// Names with texts, numbers or booleans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(Map<String, Value>);

/// For each of these fields, the values that a document may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<(String, Vec<Value>)>);

impl Metadata {
    /// # Errors
    /// What is wrong with it, to be said after its name.
    pub fn of(value: Value) -> Result<Self, String> {
        let Value::Object(fields) = value else { return Err("must be a JSON object of texts, numbers and booleans".into()) };
        check_fields(&fields)?;
        for (name, value) in &fields {
            check_value(value).map_err(|why| format!("`{name}` {why}"))?;
        }
        Ok(Self(fields))
    }

    /// As it is kept.
    pub fn json(&self) -> String {
        Value::Object(self.0.clone()).to_string()
    }

    /// What was kept; what cannot be read any more is empty.
    pub fn kept(json: &str) -> Self {
        serde_json::from_str(json).map_or_else(|_| Self::default(), Self)
    }

    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl Filter {
    /// Reads `{"name": value, "other": {"in": [value, …]}}`.
    ///
    /// # Errors
    /// What is wrong with it, to be said after its name.
    pub fn of(value: &Value) -> Result<Self, String> {
        let Value::Object(fields) = value else {
            return Err("must be a JSON object such as {\"language\": \"en\", \"year\": {\"in\": [2025, 2026]}}".into());
        };
        check_fields(fields)?;
        let field = |(name, value): (&String, &Value)| {
            let values = allowed(value).map_err(|why| format!("`{name}` {why}"))?;
            values.iter().try_for_each(check_value).map_err(|why| format!("`{name}` {why}"))?;
            Ok((name.clone(), values.to_vec()))
        };
        fields.iter().map(field).collect::<Result<_, String>>().map(Self)
    }

    /// Every document passes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn fields(&self) -> &[(String, Vec<Value>)] {
        &self.0
    }
}

fn allowed(value: &Value) -> Result<&[Value], String> {
    let Value::Object(operator) = value else { return Ok(std::slice::from_ref(value)) };
    match (operator.len(), operator.get("in")) {
        (1, Some(Value::Array(values))) if (1..=VALUES_MAX).contains(&values.len()) => Ok(values),
        _ => Err(format!("must be a value or {{\"in\": [1 to {VALUES_MAX} values]}}")),
    }
}

fn check_fields(fields: &Map<String, Value>) -> Result<(), String> {
    if fields.len() > FIELDS_MAX {
        return Err(format!("has more than {FIELDS_MAX} fields"));
    }
    match fields.keys().find(|name| name.is_empty() || name.len() > NAME_BYTES) {
        Some(_) => Err(format!("has a field whose name is not of 1 to {NAME_BYTES} bytes")),
        None => Ok(()),
    }
}

fn check_value(value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) if text.len() > TEXT_BYTES => Err(format!("is longer than {TEXT_BYTES} bytes")),
        Value::String(_) | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err("must be a text, a number or a boolean".into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_is_a_flat_object_within_its_bounds() {
        let full: Map<String, Value> = (0..FIELDS_MAX).map(|n| (format!("field{n}"), json!(n))).collect();
        let mut over = full.clone();
        over.insert("one more".into(), json!(1));
        for good in [json!({}), json!({"a": "x", "b": 1, "c": 1.5, "d": true}), json!(full), json!({"n": "x".repeat(TEXT_BYTES)})] {
            let metadata = Metadata::of(good).unwrap();
            assert_eq!(Metadata::kept(&metadata.json()), metadata);
        }
        for bad in [
            json!([]),
            json!("a"),
            json!({"a": null}),
            json!({"a": {"b": 1}}),
            json!({"a": [1]}),
            json!(over),
            json!({"": 1}),
            json!({"n".repeat(NAME_BYTES + 1): 1}),
            json!({"n": "x".repeat(TEXT_BYTES + 1)}),
        ] {
            assert!(Metadata::of(bad.clone()).is_err(), "{bad}");
        }
        assert_eq!(Metadata::kept("not json"), Metadata::default());
    }

    #[test]
    fn a_filter_names_values_or_lists_of_them() {
        let filter = Filter::of(&json!({"language": "en", "year": {"in": [2025, 2026]}})).unwrap();
        assert_eq!(filter.fields(), [("language".into(), vec![json!("en")]), ("year".into(), vec![json!(2025), json!(2026)])]);
        assert!(Filter::of(&json!({})).unwrap().is_empty());
        assert!(Filter::of(&json!({"a": {"in": vec![1; VALUES_MAX]}})).is_ok());
        for bad in [
            json!(null),
            json!([]),
            json!({"a": null}),
            json!({"a": []}),
            json!({"a": {"in": []}}),
            json!({"a": {"in": 1}}),
            json!({"a": {"gt": 1}}),
            json!({"a": {"in": [1], "not": 2}}),
            json!({"a": {"in": [[1]]}}),
            json!({"a": {"in": vec![1; VALUES_MAX + 1]}}),
        ] {
            assert!(Filter::of(&bad).is_err(), "{bad}");
        }
    }
}
