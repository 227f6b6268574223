//! Schemas of every kind become what Gemini takes, and no schema makes more of it than its limits.

use super::*;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

fn within(schema: &Value, budget: &mut Budget) -> Result<Value, UnsupportedField> {
    converted(schema, "tools[0].function.parameters", false, budget)
}

#[track_caller]
fn becomes(schema: Value, expected: Value) {
    assert_eq!(within(&schema, &mut Budget::default()).expect("fits"), expected);
}

#[track_caller]
fn refused(schema: &Value, part: &str) {
    let refused = within(schema, &mut Budget::default()).expect_err("must be refused");
    assert_eq!(refused.param, "tools[0].function.parameters");
    assert!(refused.message.contains(part), "{}", refused.message);
}

/// `levels` objects, each in the one before it.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!({"type": "string"}), |inner, _| json!({"type": "object", "properties": {"a": inner}}))
}

#[test]
fn unknown_words_are_left_out_and_known_ones_kept() {
    becomes(
        json!({"$schema": "s", "type": "object", "additionalProperties": false, "strict": true, "title": "T", "properties": {
            "a": {"type": "string", "format": "uri", "minLength": 1, "pattern": "x", "default": "y", "examples": ["z"]},
            "b": {"type": "string", "format": "date-time", "description": "when"},
            "c": {"type": "integer", "format": "int32", "minimum": 0, "exclusiveMaximum": 7, "multipleOf": 2}},
            "required": ["a", "gone"]}),
        json!({"type": "OBJECT", "title": "T", "properties": {
            "a": {"type": "STRING", "minLength": 1, "pattern": "x"},
            "b": {"type": "STRING", "format": "date-time", "description": "when"},
            "c": {"type": "INTEGER", "format": "int32", "minimum": 0}},
            "required": ["a"]}),
    );
}

#[test]
fn a_value_that_may_be_null_is_nullable() {
    becomes(json!({"type": ["string", "null"]}), json!({"type": "STRING", "nullable": true}));
    becomes(
        json!({"anyOf": [{"type": "integer"}, {"type": "null"}], "title": "N"}),
        json!({"type": "INTEGER", "title": "N", "nullable": true}),
    );
    becomes(json!({"enum": ["a", null]}), json!({"type": "STRING", "enum": ["a"], "nullable": true}));
    becomes(json!({"type": "null"}), json!({"type": "STRING", "nullable": true}));
    becomes(json!({"anyOf": [{"type": "null"}]}), json!({"type": "STRING", "nullable": true}));
    becomes(
        json!({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]}),
        json!({"anyOf": [{"type": "STRING", "nullable": true}, {"type": "NUMBER", "nullable": true}]}),
    );
}

#[test]
fn nothing_stands_beside_alternatives() {
    becomes(
        json!({"type": ["string", "number"], "description": "d"}),
        json!({"anyOf": [{"type": "STRING", "description": "d"}, {"type": "NUMBER", "description": "d"}]}),
    );
    becomes(
        json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
        json!({"anyOf": [
            {"type": "OBJECT", "properties": {"a": {"type": "STRING"}, "b": {"type": "STRING"}}, "required": ["a"]},
            {"type": "OBJECT", "properties": {"a": {"type": "STRING"}, "b": {"type": "STRING"}}, "required": ["b"]}]}),
    );
}

#[test]
fn alternatives_within_alternatives_stand_in_one_list() {
    becomes(
        json!({"anyOf": [{"type": ["string", "number"]}, {"oneOf": [{"type": "boolean"}, {"type": "integer"}]}, {"type": "null"}]}),
        json!({"anyOf": [{"type": "STRING", "nullable": true}, {"type": "NUMBER", "nullable": true},
            {"type": "BOOLEAN", "nullable": true}, {"type": "INTEGER", "nullable": true}]}),
    );
}

#[test]
fn parts_of_all_of_are_merged_with_what_stands_beside_them() {
    becomes(
        json!({"$defs": {"A": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}},
            "allOf": [{"$ref": "#/$defs/A"}, {"properties": {"b": {"type": "boolean"}}, "required": ["b"]}], "properties": {"c": {"type": "number"}}}),
        json!({"type": "OBJECT", "properties": {"c": {"type": "NUMBER"}, "a": {"type": "STRING"}, "b": {"type": "BOOLEAN"}}, "required": ["a", "b"]}),
    );
}

#[test]
fn members_are_for_strings_only() {
    becomes(json!({"enum": ["a", "", "b", 3], "type": "string"}), json!({"type": "STRING", "enum": ["a", "b"]}));
    becomes(json!({"const": "a"}), json!({"type": "STRING", "enum": ["a"]}));
    becomes(json!({"type": "string", "enum": [""]}), json!({"type": "STRING"}));
    becomes(
        json!({"type": "integer", "enum": [1, 2], "description": "How many."}),
        json!({"type": "INTEGER", "description": "How many. One of: 1, 2."}),
    );
    becomes(json!({"const": true}), json!({"type": "BOOLEAN"}));
}

#[test]
fn an_array_always_has_items() {
    becomes(json!({"type": "array", "maxItems": 3}), json!({"type": "ARRAY", "items": {"type": "STRING"}, "maxItems": 3}));
    becomes(json!({"items": {"type": "number"}}), json!({"type": "ARRAY", "items": {"type": "NUMBER"}}));
    let tuple = json!({"type": "ARRAY", "items": {"anyOf": [{"type": "NUMBER"}, {"type": "STRING"}]}});
    becomes(json!({"prefixItems": [{"type": "number"}, {"type": "string"}], "items": false}), tuple.clone());
    becomes(json!({"items": [{"type": "number"}, {"type": "string"}]}), tuple);
}

#[test]
fn references_are_followed_inside_the_schema_only() {
    becomes(
        json!({"$defs": {"a/b": {"type": "string"}}, "type": "object", "properties": {
            "x": {"$ref": "#/$defs/a~1b", "description": "mine"}, "y": {"$ref": "#/properties/x"}}}),
        json!({"type": "OBJECT", "properties": {"x": {"type": "STRING", "description": "mine"}, "y": {"type": "STRING", "description": "mine"}}}),
    );
    refused(&json!({"$ref": "https://example.com/s.json"}), "only references into the schema itself");
    refused(&json!({"$ref": "#/$defs/gone"}), "is not in it");
    refused(&json!({"type": "object", "properties": {"a": 5}}), "no object");
    refused(&json!({"type": "file"}), "`file`");
}

#[test]
fn an_ordered_schema_lists_its_properties_as_they_came() {
    let schema: Value = serde_json::from_str(r#"{"properties":{"z":{},"a":{"type":"integer"}}}"#).expect("JSON");
    let cleaned = converted(&schema, "p", true, &mut Budget::default()).expect("fits");
    let expected = r#"{"type":"OBJECT","properties":{"z":{"type":"STRING"},"a":{"type":"INTEGER"}},"propertyOrdering":["z","a"]}"#;
    assert_eq!(serde_json::to_string(&cleaned).expect("JSON"), expected);
}

#[test]
fn c43_a_recursive_schema_is_refused() {
    let node = json!({"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}});
    refused(&json!({"$defs": {"Node": node}, "$ref": "#/$defs/Node"}), "recursive");
    refused(&json!({"type": "object", "properties": {"self": {"$ref": "#"}}}), "recursive");
    refused(&json!({"$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"}), "recursive");
    refused(&json!({"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}}, "$ref": "#/$defs/A"}), "recursive");
    refused(&json!({"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}, "$ref": "#/$defs/A"}), "recursive");
}

#[test]
fn c43_a_schema_bomb_is_refused_in_every_form() {
    for bomb in ["properties", "anyOf", "allOf"] {
        let mut defs = serde_json::Map::new();
        defs.insert("D0".into(), json!({"type": "string"}));
        for at in 1..16 {
            let below = json!({"$ref": format!("#/$defs/D{}", at - 1)});
            let twice = if bomb == "properties" { json!({"a": below, "b": below}) } else { json!([below, below]) };
            defs.insert(format!("D{at}"), json!({bomb: twice}));
        }
        refused(&json!({"$defs": defs, "$ref": "#/$defs/D15"}), "too large");
    }
    let long = json!({"$defs": {"D": {"description": "x".repeat(1 << 20)}}, "type": "object", "properties": {
        "a": {"$ref": "#/$defs/D"}, "b": {"$ref": "#/$defs/D"}, "c": {"$ref": "#/$defs/D"}, "d": {"$ref": "#/$defs/D"}}});
    refused(&long, "too large");
}

#[test]
fn c43_the_limits_hold_at_their_edges() {
    assert!(within(&nested(LEVELS_MAX), &mut Budget::default()).is_ok());
    refused(&nested(LEVELS_MAX + 1), "deeper than 32 levels");
    let schema = json!({"type": "object", "properties": {"a": {"type": "string", "description": "text"}, "b": {"$ref": "#/properties/a"}}});
    let mut budget = Budget::default();
    within(&schema, &mut budget).expect("fits");
    let (keywords, text) = (KEYWORDS_MAX - budget.keywords, TEXT_BYTES_MAX - budget.text);
    assert!(within(&schema, &mut Budget { keywords, text }).is_ok());
    assert!(within(&schema, &mut Budget { keywords: keywords - 1, text }).is_err());
    assert!(within(&schema, &mut Budget { keywords, text: text - 1 }).is_err());
}

/// Schemas of all sorts, most of them nonsense.
fn schemas() -> impl Strategy<Value = Value> {
    let names =
        || prop::sample::select(vec!["string", "integer", "number", "boolean", "array", "object", "null"]).prop_map(|name| json!(name));
    let pointers =
        prop::sample::select(vec!["#", "#/$defs/a", "#/properties/a", "#/anyOf/0", "#/items"]).prop_map(|pointer| json!(pointer));
    let plain = prop_oneof![Just(json!(true)), names().prop_map(|name| json!({"type": name})), pointers.prop_map(|to| json!({"$ref": to}))];
    plain.prop_recursive(4, 48, 4, move |inner| {
        let named = prop::collection::btree_map("[ab]", inner.clone(), 0..3).prop_map(|fields| json!(fields));
        let listed = prop::collection::vec(inner.clone(), 0..3).prop_map(|items| json!(items));
        let word = prop_oneof![
            (prop::sample::select(vec!["properties", "$defs"]), named).boxed(),
            (prop::sample::select(vec!["anyOf", "oneOf", "allOf", "prefixItems"]), listed).boxed(),
            (Just("items"), inner).boxed(),
            (Just("type"), prop::collection::vec(names(), 0..3).prop_map(|names| json!(names))).boxed(),
            (
                Just("enum"),
                prop::collection::vec(prop_oneof![Just(json!("x")), Just(json!("")), Just(json!(null)), Just(json!(1))], 0..3)
                    .prop_map(|all| json!(all))
            )
                .boxed(),
            (Just("required"), Just(json!(["a", "b"]))).boxed(),
            (Just("nullable"), any::<bool>().prop_map(|yes| json!(yes))).boxed(),
        ];
        prop::collection::vec(word, 0..5).prop_map(|words| words.into_iter().map(|(word, value)| (word.to_owned(), value)).collect())
    })
}

/// What Gemini refuses in a schema.
fn check(schema: &Value) {
    if let Some(forms) = schema.get("anyOf") {
        assert_eq!(schema.as_object().map(serde_json::Map::len), Some(1), "nothing beside alternatives: {schema}");
        let forms = forms.as_array().expect("a list");
        assert!(forms.len() > 1 && forms.iter().all(|form| form.get("anyOf").is_none()), "{schema}");
        return forms.iter().for_each(check);
    }
    let kind = schema["type"].as_str().expect("a type");
    assert_eq!(schema.get("items").is_some(), kind == "ARRAY", "{schema}");
    schema.get("items").into_iter().for_each(check);
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(serde_json::Map::values).for_each(check);
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        assert!(properties.is_some_and(|all| all.contains_key(name.as_str().expect("a name"))), "{schema}");
    }
    for member in schema.get("enum").and_then(Value::as_array).into_iter().flatten() {
        assert!(kind == "STRING" && member.as_str().is_some_and(|text| !text.is_empty()), "{schema}");
    }
}

proptest! {
    #[test]
    fn whatever_a_schema_is_it_is_refused_or_becomes_what_gemini_takes(schema in schemas()) {
        if let Ok(found) = within(&schema, &mut Budget::default()) {
            check(&found);
        }
    }
}
