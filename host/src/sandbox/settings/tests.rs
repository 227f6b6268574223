//! Schemas as plugins write them, and as hostile ones do.

use serde_json::{Map, Value, json};

use super::problem::PROBLEMS_MAX;
use super::*;

fn map(value: &Value) -> Map<String, Value> {
    value.as_object().expect("a table").clone()
}

fn filled(schema: &Value, settings: &Value) -> Result<Value, Vec<Problem>> {
    check(schema, &map(settings)).map(|Filled(filled)| Value::Object(filled))
}

/// The paths of what is wrong.
fn wrong(schema: &Value, settings: &Value) -> Vec<String> {
    filled(schema, settings).unwrap_err().into_iter().map(|problem| problem.path).collect()
}

#[track_caller]
fn refused(schema: &Value, by: &str) {
    let problems = Schema::new(schema).map(|_| ()).unwrap_err();
    assert!(problems[0].message.contains("the schema cannot be used") && problems[0].to_string().contains(by), "{problems:?}");
}

#[test]
fn settings_that_fit_get_the_defaults_of_their_schema_in_tables_and_lists_too() {
    let schema = json!({
        "type": "object",
        "properties": {
            "language": {"type": "string", "default": "en"},
            "retry": {"$ref": "#/$defs/retry", "default": {}},
            "targets": {"type": "array", "items": {"$ref": "#/$defs/target"}},
            "absent": {"type": "object", "properties": {"never": {"default": 1}}}
        },
        "allOf": [{"properties": {"from_all_of": {"default": true}}}],
        "anyOf": [{"properties": {"from_any_of": {"default": true}}}],
        "$defs": {
            "retry": {"type": "object", "properties": {"times": {"type": "integer", "default": 3}}},
            "target": {"type": "object", "properties": {"weight": {"default": 1}}, "required": ["url"]}
        }
    });
    let settings = json!({"targets": [{"url": "a"}, {"url": "b", "weight": 2}]});
    let expected = json!({
        "targets": [{"url": "a", "weight": 1}, {"url": "b", "weight": 2}],
        "language": "en", "retry": {"times": 3}, "from_all_of": true
    });
    assert_eq!(filled(&schema, &settings), Ok(expected));
    assert_eq!(filled(&json!({}), &json!({"any": 1})), Ok(json!({"any": 1})));
    assert_eq!(filled(&json!(true), &json!({})), Ok(json!({})));
}

#[test]
fn what_is_wrong_is_told_by_its_place_and_never_by_its_value() {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["key"],
        "properties": {
            "key": {"type": "string", "minLength": 8, "pattern": "^[a-z]+$"}, "n": {"type": "integer", "maximum": 9},
            "list": {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": true}
        }
    });
    assert_eq!(wrong(&schema, &json!({})), [""]);
    let mut places = wrong(&schema, &json!({"key": "s3cret-value", "n": 10, "list": ["a", "c"]}));
    places.sort();
    assert_eq!(places, ["/key", "/list/1", "/n"]);
    for settings in [json!({"key": "s3cret"}), json!({"key": ["s3cret"]}), json!({"key": "abcdefgh", "n": "s3cret", "list": ["s3cret"]})] {
        let problems = check(&schema, &map(&settings)).unwrap_err();
        assert!(problems.iter().all(|problem| !problem.to_string().contains("s3cret")), "{problems:?}");
    }
}

#[test]
fn a_default_that_does_not_fit_is_found() {
    let schema = json!({"properties": {"n": {"type": "integer", "default": "many"}}});
    assert_eq!(wrong(&schema, &json!({})), ["/n"]);
}

#[test]
fn no_more_than_twenty_problems_are_told() {
    let schema = json!({"additionalProperties": {"type": "string"}});
    let settings: Map<String, Value> = (0..100).map(|n| (n.to_string(), n.into())).collect();
    assert_eq!(check(&schema, &settings).unwrap_err().len(), PROBLEMS_MAX);
}

#[test]
fn nothing_is_ever_fetched() {
    for reference in
        ["http://127.0.0.1:1/x", "https://json-schema.org/draft/2020-12/schema", "file:///etc/passwd", "other.json", "#name", "#/no/where"]
    {
        refused(&json!({"properties": {"a": {"$ref": reference}}}), "$ref");
        refused(&json!({"$defs": {"unused": {"$ref": reference}}}), "$ref");
    }
    refused(&json!({"$schema": "http://json-schema.org/draft-07/schema#"}), "2020-12");
    refused(&json!({"$schema": "http://127.0.0.1/schema"}), "2020-12");
    Schema::new(&json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/own"})).unwrap();
}

#[test]
fn references_in_a_circle_and_by_other_names_are_refused() {
    refused(&json!({"$ref": "#"}), "refers to itself");
    refused(&json!({"properties": {"next": {"$ref": "#"}}}), "refers to itself");
    refused(&json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}}), "refers to itself");
    for key in ["$dynamicRef", "$dynamicAnchor", "$anchor", "$recursiveRef", "unevaluatedProperties", "unevaluatedItems"] {
        refused(&json!({"properties": {"a": {key: "x"}}}), key);
    }
    refused(&json!({"properties": {"a": {"$id": "http://127.0.0.1/"}}}), "$id");
    // As names of fields they are like any other.
    Schema::new(&json!({"properties": {"$ref": {}, "$id": {"type": "string"}, "$dynamicRef": {}}})).unwrap();
}

#[test]
fn references_that_double_at_every_step_are_refused_and_many_to_one_place_are_not() {
    let doubling = |steps: usize| {
        let def = |n: usize| {
            let next = json!({"$ref": format!("#/$defs/{}", n + 1)});
            (n.to_string(), if n == steps { json!({}) } else { json!({"allOf": [next, next]}) })
        };
        json!({"$ref": "#/$defs/0", "$defs": (0..=steps).map(def).collect::<Map<_, _>>()})
    };
    Schema::new(&doubling(5)).unwrap();
    refused(&doubling(10), "written out");
    refused(&doubling(60), "written out");
    let fields: Map<String, Value> = (0..200).map(|n| (n.to_string(), json!({"$ref": "#/$defs/one"}))).collect();
    Schema::new(&json!({"properties": fields, "$defs": {"one": {"type": "string"}}})).unwrap();
}

#[test]
fn patterns_are_linear_in_the_text_and_bounded_in_size_and_number() {
    let pattern = |pattern: &str| json!({"properties": {"a": {"pattern": pattern}}});
    for dear in ["(?=a)b", r"(a)\1", "(?:a{1000}){1000}"] {
        refused(&pattern(dear), "");
    }
    // Exponential for engines that go back.
    assert_eq!(wrong(&pattern("^(a+)+$"), &json!({"a": format!("{}b", "a".repeat(50_000))})), ["/a"]);
    let many = |count: usize| json!({"patternProperties": (0..count).map(|n| (format!("^{n}$"), json!({}))).collect::<Map<_, _>>()});
    Schema::new(&many(64)).unwrap();
    refused(&many(65), "patterns");
}

#[test]
fn a_schema_and_settings_that_are_too_large_or_too_deep_are_refused() {
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    assert!(filled(&json!({}), &json!({"a": nested(31)})).is_ok());
    assert_eq!(wrong(&json!({}), &json!({"a": nested(32)})), [""]);
    assert!(filled(&json!({}), &json!({"a": "x".repeat((64 << 10) - 8)})).is_ok());
    assert_eq!(wrong(&json!({}), &json!({"a": "x".repeat((64 << 10) - 7)})), [""]);
    assert!(filled(&json!({}), &json!({"a": vec![0; 4_094]})).is_ok());
    assert_eq!(wrong(&json!({}), &json!({"a": vec![0; 4_095]})), [""]);
    refused(&json!({"description": "x".repeat(64 << 10)}), "bytes");
    refused(&json!({"default": nested(70)}), "inside each other");
    refused(&json!({"enum": vec![0; 10_000]}), "values");
}

#[test]
fn defaults_cannot_grow_beyond_what_settings_may_be() {
    let fields: Map<String, Value> = (0..100).map(|n| (n.to_string(), json!({"$ref": "#/$defs/large"}))).collect();
    let schema = json!({"properties": fields, "$defs": {"large": {"default": "x".repeat(1_000)}}});
    assert_eq!(wrong(&schema, &json!({})), [""]);
}

#[test]
fn what_is_no_schema_is_refused() {
    for schema in [json!({"type": 5}), json!({"required": "a"}), json!({"properties": []}), json!([]), json!("x"), json!({"pattern": "("})]
    {
        assert!(Schema::new(&schema).is_err(), "{schema}");
    }
}

fn with_secrets() -> Schema {
    Schema::new(&json!({
        "properties": {
            "token": {"type": "string", "writeOnly": true},
            "over_ref": {"$ref": "#/$defs/secret"},
            "one_of": {"oneOf": [{"type": "string", "writeOnly": true}, {"type": "null"}]},
            "servers": {"type": "array", "items": {"type": "object", "properties": {"url": {}, "key": {"$ref": "#/$defs/secret"}}}},
            "by_name": {"additionalProperties": {"writeOnly": true}},
            "plain": {}
        },
        "if": {"properties": {"plain": {"const": 1}}}, "then": {"properties": {"conditional": {"writeOnly": true}}},
        "$defs": {"secret": {"writeOnly": true}}
    }))
    .unwrap()
}

fn secrets() -> Map<String, Value> {
    map(&json!({
        "token": "t", "over_ref": 5, "one_of": "o", "by_name": {"x": "bx"}, "plain": "p", "conditional": "c",
        "servers": [{"url": "a", "key": "ka"}, {"url": "b", "key": "kb"}, {"url": "c"}]
    }))
}

#[test]
fn write_only_values_are_masked_wherever_the_schema_may_mean_them() {
    let expected = json!({
        "token": MASK, "over_ref": MASK, "one_of": MASK, "by_name": {"x": MASK}, "plain": "p", "conditional": MASK,
        "servers": [{"url": "a", "key": MASK}, {"url": "b", "key": MASK}, {"url": "c"}]
    });
    assert_eq!(Value::Object(with_secrets().mask(&secrets())), expected);
}

#[test]
fn a_mask_that_is_sent_back_means_unchanged() {
    let schema = with_secrets();
    let masked = schema.mask(&secrets());
    assert_eq!(schema.unmask(&masked, &secrets()), Ok(secrets()));
    let mut sent = masked;
    sent["token"] = "new".into();
    // The items change places: each keeps its own key.
    sent["servers"] = json!([{"url": "b", "key": MASK}, {"url": "a", "key": MASK}]);
    let unmasked = schema.unmask(&sent, &secrets()).unwrap();
    assert_eq!(unmasked["token"], "new");
    assert_eq!(unmasked["servers"], json!([{"url": "b", "key": "kb"}, {"url": "a", "key": "ka"}]));
    // A text that looks like the mask is a text where nothing is hidden.
    assert_eq!(schema.unmask(&map(&json!({"plain": MASK})), &secrets()).unwrap()["plain"], MASK);
}

#[test]
fn a_mask_never_puts_a_secret_where_it_was_not() {
    let schema = with_secrets();
    let wrong =
        |sent: Value| schema.unmask(&map(&sent), &secrets()).unwrap_err().into_iter().map(|problem| problem.path).collect::<Vec<_>>();
    assert_eq!(wrong(json!({"by_name": {"y": MASK}})), ["/by_name/y"]);
    assert_eq!(wrong(json!({"servers": [{"url": "evil", "key": MASK}]})), ["/servers/0/key"]);
    assert_eq!(wrong(json!({"servers": [{"url": "c", "key": MASK}]})), ["/servers/0/key"]);
    assert_eq!(schema.unmask(&map(&json!({"token": MASK})), &Map::new()).unwrap_err().len(), 1);
    let list = Schema::new(&json!({"properties": {"keys": {"items": {"writeOnly": true}}}})).unwrap();
    let kept = map(&json!({"keys": ["a", "b"]}));
    assert_eq!(list.unmask(&map(&json!({"keys": [MASK, MASK]})), &kept), Ok(kept.clone()));
    assert!(list.unmask(&map(&json!({"keys": [MASK]})), &kept).is_err(), "which one is gone?");
}
