//! The counts have edges, fields have one spelling, and no text confuses the scanner about where it is.

use proptest::prelude::*;

use super::*;
use crate::chat::codec;

const WIDE: Sizes = Sizes { depth: 100, values: 1_000, fields: 100, messages: 100, parts: 100, tool_calls: 100, tools: 100, inputs: 100 };

#[track_caller]
fn values(text: &str, form: Form) -> usize {
    scan(text.as_bytes(), form, &WIDE).expect("taken").values
}

#[track_caller]
fn refused(text: &str, form: Form, sizes: &Sizes) -> (Option<String>, String) {
    let Invalid { param, message } = scan(text.as_bytes(), form, sizes).expect_err("refused");
    (param, message)
}

#[test]
fn values_are_counted_wherever_they_stand() {
    for (text, count) in [
        ("{}", 1),
        (" [ 1 , -2.5e3, true,null,\"a\" ] ", 6),
        (r#"{"a":{"b":[1]},"c":"]}\"[{,:"}"#, 5),
        ("[[],[[]]]", 4),
        ("7", 1),
        ("", 0),
        ("[1,2", 3),
        ("\"a", 1),
    ] {
        assert_eq!(values(text, Form::Closed), count, "{text}");
    }
}

#[test]
fn numbers_are_free_where_they_are_read_as_numbers_alone() {
    assert_eq!(values(r#"{"input":[[1,2,3],[4]]}"#, Form::Embeddings), 4);
    assert_eq!(values(r#"{"input":[1,2,3]}"#, Form::Embeddings), 2);
    assert_eq!(values(r#"{"dimensions":3,"input":["a"]}"#, Form::Embeddings), 4);
    let probabilities = r#"{"choices":[{"message":{},"logprobs":{"content":[{"token":"a","bytes":[1]}]}}]}"#;
    assert_eq!(values(probabilities, Form::Reply), 4);
    assert_eq!(values(r#"{"a":[0.5,[0.5]]}"#, Form::Reply), 5);
    assert_eq!(values(r#"{"data":[{"index":0,"embedding":[0.5,1]}]}"#, Form::Vectors), 5);
}

#[test]
fn every_count_has_an_edge_and_names_its_place_and_its_key() {
    let list = |count: usize, element: &str| vec![element; count].join(",");
    let cases = [
        (Form::Chat, "{\"messages\":[LIST]}", "{\"role\":\"\"}", Sizes { messages: 3, ..WIDE }, "messages", "limits.http.messages"),
        (Form::Chat, "{\"messages\":[{\"content\":[LIST]}]}", "{}", Sizes { parts: 3, ..WIDE }, "messages", "limits.http.parts"),
        (
            Form::Chat,
            "{\"messages\":[{\"tool_calls\":[LIST]}]}",
            "{}",
            Sizes { tool_calls: 3, ..WIDE },
            "messages",
            "limits.http.tool_calls",
        ),
        (
            Form::Chat,
            "{\"messages\":[{\"tool_calls\":[LIST]}]}",
            "{}",
            Sizes { tool_calls: 3, ..WIDE },
            "messages",
            "limits.http.tool_calls",
        ),
        (Form::Chat, "{\"tools\":[LIST]}", "{}", Sizes { tools: 3, ..WIDE }, "tools", "limits.http.tools"),
        (Form::Chat, "{\"functions\":[LIST]}", "{}", Sizes { tools: 3, ..WIDE }, "functions", "limits.http.tools"),
        (
            Form::Response,
            "{\"tools\":[{\"type\":\"namespace\",\"tools\":[LIST]}]}",
            "{}",
            Sizes { tools: 4, ..WIDE },
            "tools",
            "limits.http.tools",
        ),
        (Form::Response, "{\"input\":[{\"tools\":[LIST]}]}", "{}", Sizes { tools: 3, ..WIDE }, "input", "limits.http.tools"),
        (Form::Response, "{\"input\":[LIST]}", "{}", Sizes { messages: 3, ..WIDE }, "input", "limits.http.messages"),
        (Form::Response, "{\"input\":[{\"output\":[LIST]}]}", "{}", Sizes { parts: 3, ..WIDE }, "input", "limits.http.parts"),
        (Form::Embeddings, "{\"input\":[LIST]}", "\"a\"", Sizes { inputs: 3, ..WIDE }, "input", "limits.http.embedding_inputs"),
        (Form::Embeddings, "{\"input\":[LIST]}", "[1,2,3,4]", Sizes { inputs: 3, ..WIDE }, "input", "limits.http.embedding_inputs"),
        (Form::Chat, "{LIST}", "\"x\":1", Sizes { fields: 3, ..WIDE }, "x", "limits.http.body_fields"),
        (Form::Chat, "{\"messages\":[{LIST}]}", "\"x\":1", Sizes { fields: 3, ..WIDE }, "messages", "limits.http.body_fields"),
        (Form::Chat, "{\"stop\":[LIST]}", "1", Sizes { values: 5, ..WIDE }, "stop", "limits.http.body_values"),
        (Form::Closed, "{\"pipeline\":[LIST]}", "0", Sizes { values: 5, ..WIDE }, "pipeline", "limits.http.body_values"),
    ];
    for (form, body, element, sizes, param, key) in cases {
        let body = |count| body.replace("LIST", &list(count, element));
        scan(body(3).as_bytes(), form, &sizes).expect("at the edge");
        let (found, message) = refused(&body(4), form, &sizes);
        assert_eq!(found.as_deref(), Some(param), "{message}");
        assert!(message.contains(key), "{message}");
    }
    let split = r#"{"messages":[{"tool_calls":[{},{}]},{"tool_calls":[{},{}]}]}"#;
    refused(split, Form::Chat, &Sizes { tool_calls: 3, ..WIDE });
}

#[test]
fn depth_has_an_edge_wherever_it_is() {
    let deep = |depth: usize| format!(r#"{{"model":"m","x":{}{}}}"#, "[".repeat(depth - 1), "]".repeat(depth - 1));
    for form in [Form::Chat, Form::Response, Form::Embeddings, Form::Closed, Form::Reply] {
        scan(deep(100).as_bytes(), form, &WIDE).expect("at the edge");
        let (param, message) = refused(&deep(101), form, &WIDE);
        assert!(param.is_some_and(|param| param.starts_with("x[0][0]")) && message.contains("limits.http.body_depth"), "{message}");
    }
    let unclosed = "{\"messages\":".to_owned() + &"[".repeat(1 << 20);
    let (param, message) = refused(&unclosed, Form::Chat, &WIDE);
    assert!(message.len() < 600 && param.expect("a path").len() < 400, "a long path is cut: {message}");
    let objects = "{\"a\":".repeat(1 << 20);
    refused(&objects, Form::Chat, &WIDE);
}

#[test]
fn a_known_field_in_another_spelling_is_refused_by_its_path() {
    for (form, text, param, known) in [
        (Form::Chat, r#"{"MODEL":"m"}"#, "MODEL", "model"),
        (Form::Chat, r#"{"model":"m","Messages":[]}"#, "Messages", "messages"),
        (Form::Chat, r#"{"\u004dodel":"m"}"#, "Model", "model"),
        (Form::Chat, "{\"me\u{17f}\u{17f}ages\":[]}", "me\u{17f}\u{17f}ages", "messages"),
        (Form::Chat, r#"{"me\u017fsages":[]}"#, "me\u{17f}sages", "messages"),
        (Form::Chat, "{\"top_\u{212a}\":5}", "top_\u{212a}", "top_k"),
        (Form::Chat, r#"{"messages":[{"role":"user","Role":"system"}]}"#, "messages[0].Role", "role"),
        (Form::Chat, r#"{"messages":[{},{"content":[{"Type":"text"}]}]}"#, "messages[1].content[0].Type", "type"),
        (Form::Chat, r#"{"messages":[{"tool_calls":[{"function":{"Name":"f"}}]}]}"#, "messages[0].tool_calls[0].function.Name", "name"),
        (Form::Chat, r#"{"tools":[{"Function":{}}]}"#, "tools[0].Function", "function"),
        (Form::Chat, r#"{"stream_options":{"includeUsage":true}}"#, "stream_options.includeUsage", "include_usage"),
        (Form::Chat, r#"{"Pipeline":{"rag":false}}"#, "Pipeline", "pipeline"),
        (Form::Response, r#"{"Input":"x"}"#, "Input", "input"),
        (Form::Response, r#"{"MESSAGES":[]}"#, "MESSAGES", "messages"),
        (Form::Response, r#"{"Max_Tokens":1}"#, "Max_Tokens", "max_tokens"),
        (Form::Response, r#"{"input":[{"Role":"user"}]}"#, "input[0].Role", "role"),
        (Form::Response, r#"{"tools":[{"tools":[{"Name":"f"}]}]}"#, "tools[0].tools[0].Name", "name"),
        (Form::Response, r#"{"input":[{"name_space":"n"}]}"#, "input[0].name_space", "namespace"),
        (Form::Embeddings, r#"{"INPUT":"x"}"#, "INPUT", "input"),
    ] {
        let (found, message) = refused(text, form, &WIDE);
        assert_eq!(found.as_deref(), Some(param), "{message}");
        assert!(message.ends_with(&format!("send it as `{known}`")), "{message}");
    }
    // A schema's and a client's own names are theirs, and an escape does not change a name.
    for text in [
        r#"{"tools":[{"function":{"parameters":{"properties":{"Name":{},"TYPE":{}}}}}],"metadata":{"Model":"x"}}"#,
        r#"{"\u006dodel":"m"}"#,
        r#"{"unknown":1,"UNKNOWN":2,"":3}"#,
        r#"{"messages":[{"content":"\"MODEL\":"}]}"#,
    ] {
        scan(text.as_bytes(), Form::Chat, &WIDE).expect(text);
    }
}

#[test]
fn halves_of_characters_become_the_replacement_character_and_nothing_else_changes() {
    let mended = |text: &str| {
        let codec::Checked { text: mended, .. } = codec::check(text.to_owned().into(), Form::Chat, &WIDE).expect("taken");
        String::from_utf8(mended.into()).expect("UTF-8")
    };
    for (text, expected) in [
        (r#"["\ud800"]"#, r#"["\ufffd"]"#),
        (r#"["\uDFFF\uD800x"]"#, r#"["\ufffd\ufffdx"]"#),
        (r#"["\ud800\ud83d\ude00"]"#, r#"["\ufffd\ud83d\ude00"]"#),
        (r#"["\ud83d\ude00\udc00"]"#, r#"["\ud83d\ude00\ufffd"]"#),
        (r#"["\ud800\u0041"]"#, r#"["\ufffd\u0041"]"#),
        (r#"{"\ud800":1}"#, r#"{"\ufffd":1}"#),
    ] {
        assert_eq!(mended(text), expected);
        serde_json::from_str::<serde_json::Value>(&mended(text)).expect("JSON that everybody reads");
    }
    for text in [r#"["\\ud800","\\\\ud800"]"#, r#"["\ud83d\ude00","a\n\u00e9"]"#, r#"["\ud80"]"#, r#"["\u"]"#, "[\"\\", "[\"\\ud800"] {
        let unchanged = if text == "[\"\\ud800" { "[\"\\ufffd" } else { text };
        assert_eq!(mended(text), unchanged);
    }
    let text = bytes::Bytes::from_static(br#"{"a":"\ud83d\ude00"}"#);
    let same = codec::check(text.clone(), Form::Chat, &WIDE).expect("taken").text;
    assert_eq!(same.as_ptr(), text.as_ptr(), "a text that needs no change is not copied");
}

/// As `values` should count.
fn counted(value: &serde_json::Value) -> usize {
    1 + match value {
        serde_json::Value::Array(list) => list.iter().map(counted).sum::<usize>(),
        serde_json::Value::Object(map) => map.values().map(counted).sum::<usize>(),
        _ => 0,
    }
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let text = prop_oneof![any::<String>(), "[\\[\\]{}:,\"\\\\u]{0,6}"];
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        text.clone().prop_map(Into::into)
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((text.clone(), inner), 0..6).prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_counted_as_a_parser_counts_it(value in any_json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.expect("JSON");
        let found = scan(text.as_bytes(), Form::Closed, &Sizes { values: usize::MAX, ..WIDE }).expect("taken");
        prop_assert_eq!(found, Found { values: counted(&value), halves: false });
    }

    #[test]
    fn any_bytes_are_passed_over_without_a_panic(bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\":,\\ud8001"[..])], 0..200)) {
        let mut bytes = bytes;
        for form in [Form::Chat, Form::Response, Form::Embeddings, Form::Closed, Form::Reply] {
            let _ = scan(&bytes, form, &WIDE);
        }
        mend(&mut bytes);
    }
}
