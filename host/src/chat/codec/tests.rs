//! The codec keeps what it does not know and says where a text is wrong.

use super::*;

#[track_caller]
fn refused(body: &str, param: Option<&str>, part: &str) {
    let error = parse_request(body.as_bytes()).expect_err("must be refused");
    assert_eq!(error.param.as_deref(), param, "{error}");
    assert!(error.message.contains(part), "{error}");
}

#[test]
fn a_call_that_a_client_has_parsed_is_a_call_of_a_function() {
    let call = |parsed: &str| {
        let text = format!(r#"{{"id":"a","type":"function","function":{{"name":"f","arguments":"{{}}"{parsed}}}}}"#);
        serde_json::from_str::<crate::chat::ToolCall>(&text).expect("a call")
    };
    for parsed in [r#","parsed_arguments":null"#, r#","parsed_arguments":{"a":1}"#] {
        assert_eq!(to_json(&call(parsed)), to_json(&call("")));
    }
    assert!(matches!(call(r#","new":1"#), crate::chat::ToolCall::Other(_)));
}

#[test]
fn a_wrong_field_is_named_by_its_path() {
    refused("{", None, "not valid JSON");
    refused(r#"{"messages":[]}"#, Some("model"), "missing");
    refused(r#"{"model":"m","messages":[]}"#, Some("messages"), "at least one");
    refused(r#"{"model":1,"messages":[]}"#, Some("model"), "expected a string");
    refused(r#"{"model":"m","messages":[{"role":5}]}"#, Some("messages[0].role"), "expected a string");
    refused(r#"{"model":"m","messages":[{"content":"x"}]}"#, Some("messages[0].role"), "missing");
    refused(r#"{"model":"m","messages":[{"role":"user","content":7}]}"#, Some("messages[0].content"), "expected a string, a list");
    refused(r#"{"model":"m","stream":"yes","messages":[{"role":"user"}]}"#, Some("stream"), "boolean");
}

#[test]
fn unknown_fields_and_parts_survive_a_round_trip() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi","cache_control":{"type":"ephemeral"}},{"type":"image_url","image_url":{"url":"x"}}],"weird":1.0},{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"k":1}},{"id":"b","type":"custom","custom":{"name":"g","input":""}}]}],"stream":true,"seed":12345678901234567890,"logit_bias":{"5":-1}}"#;
    let request = parse_request(body.as_bytes()).expect("valid");
    assert!(request.stream);
    let written = request_json("m", &request.messages, &request.params, true);
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&written).expect("JSON"),
        serde_json::from_str::<serde_json::Value>(body).expect("JSON")
    );
    assert!(std::str::from_utf8(&written).expect("UTF-8").contains("12345678901234567890"));
}

#[test]
fn of_repeated_keys_only_the_last_is_kept_everywhere() {
    let body = r#"{"model":"m","tools":[1],"messages":[{"role":"system","role":"user","x":1,"x":2,"content":"a","content":[{"type":"text","text":"harmless","text":"evil"}]},{"role":"assistant","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"1"},"function":{"name":"g","arguments":"2","arguments":"3"}}]}],"tools":[2]}"#;
    let request = parse_request(body.as_bytes()).expect("valid");
    let written = request_json("m", &request.messages, &request.params, false);
    let expected = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"evil"}],"x":2},{"role":"assistant","content":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"g","arguments":"3"}}]}],"stream":false,"tools":[2]}"#;
    assert_eq!(std::str::from_utf8(&written).expect("UTF-8"), expected);
}

#[test]
fn a_reply_whose_head_is_absurd_is_refused_at_the_edge() {
    let reply = |id: usize, choices: usize| {
        let choices = vec![r#"{"message":{"role":"assistant"}}"#; choices].join(",");
        parse_completion(format!(r#"{{"id":"{}","choices":[{choices}]}}"#, "i".repeat(id)).as_bytes()).map(drop)
    };
    reply(1 << 10, 128).expect("at the edge");
    reply((1 << 10) + 1, 1).expect_err("a longer id");
    reply(1, 129).expect_err("more choices");
}

#[test]
fn stream_options_are_dropped_when_the_provider_is_not_asked_to_stream() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":true}}"#;
    let request = parse_request(body.as_bytes()).expect("valid");
    let written = request_json("m", &request.messages, &request.params, false);
    assert_eq!(&written[..], br#"{"model":"m","messages":[{"role":"user","content":"x"}],"stream":false}"#);
}

#[test]
fn a_completion_keeps_usage_and_unknown_fields() {
    let body = r#"{"id":"c","object":"chat.completion","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi","refusal":null},"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":1},"system_fingerprint":"fp"}"#;
    let completion = parse_completion(body.as_bytes()).expect("valid");
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&to_json(&completion)).expect("JSON"),
        serde_json::from_str::<serde_json::Value>(body).expect("JSON")
    );
}
