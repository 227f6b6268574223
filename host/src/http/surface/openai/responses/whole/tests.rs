//! Completions of every kind as response objects.

use serde_json::{Value, json};

use super::*;
use crate::chat::codec::parse_completion;
use crate::http::surface::openai::responses::echo::Echo;

const ALL: Include = Include { encrypted: true, logprobs: true };

fn response_of(choice: &Value, include: Include) -> Value {
    let body = json!({"id": "chatcmpl-1", "created": 7, "model": "theirs", "service_tier": "default", "choices": [choice],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2}}});
    let completion = parse_completion(body.to_string().as_bytes()).expect("valid");
    let text = response(&completion, Frame::new("asked".into(), Echo::new()), include);
    serde_json::from_slice(&text).expect("JSON")
}

fn choice(message: &Value, finish_reason: &str) -> Value {
    let mut message = message.clone();
    message["role"] = "assistant".into();
    json!({"index": 0, "message": message, "finish_reason": finish_reason})
}

/// The output without its ids, which are looked at by themselves.
fn output(message: &Value, finish_reason: &str, include: Include) -> Value {
    let mut output = response_of(&choice(message, finish_reason), include)["output"].take();
    for (at, item) in output.as_array_mut().expect("a list").iter_mut().enumerate() {
        let id = item.as_object_mut().expect("an item").remove("id").expect("an id");
        let prefix = match item["type"].as_str() {
            Some("message") => "msg_",
            Some("function_call") => "fc_",
            _ => "rs_",
        };
        assert!(id.as_str().is_some_and(|id| id.starts_with(prefix) && id.ends_with(&format!("{at:04x}"))), "{id}");
    }
    output
}

fn text(text: &str) -> Value {
    json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
}

fn message(status: &str, content: Value) -> Value {
    json!({"type": "message", "status": status, "role": "assistant", "content": content})
}

#[test]
fn a_reply_is_a_response_with_its_usage() {
    let response = response_of(&choice(&json!({"content": "hi", "refusal": null}), "stop"), Include::default());
    assert!(response["id"].as_str().is_some_and(|id| id.starts_with("resp_")), "{response}");
    for (name, value) in [
        ("object", json!("response")),
        ("status", json!("completed")),
        ("error", Value::Null),
        ("incomplete_details", Value::Null),
        ("model", json!("theirs")),
        ("service_tier", json!("default")),
        ("store", json!(false)),
        (
            "usage",
            json!({"input_tokens": 5, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1}, "output_tokens": 3,
                "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 8}),
        ),
    ] {
        assert_eq!(response[name], value, "{name}");
    }
    assert!(response["created_at"].is_u64() && response["completed_at"].is_u64(), "{response}");
}

#[test]
fn every_kind_of_message_has_its_items() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let called = |id: &str| json!({"type": "function_call", "status": "completed", "call_id": id, "name": "f", "arguments": "{}"});
    let thought = json!({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]});
    let cases = [
        (json!({"content": "hi"}), vec![message("completed", json!([text("hi")]))]),
        (
            json!({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
            vec![message("completed", json!([text("ab")]))],
        ),
        (json!({"content": null}), vec![message("completed", json!([text("")]))]),
        (json!({"content": null, "refusal": "no"}), vec![message("completed", json!([{"type": "refusal", "refusal": "no"}]))]),
        (json!({"content": null, "tool_calls": [call("a"), call("b")]}), vec![called("a"), called("b")]),
        (json!({"content": "wait", "tool_calls": [call("a")]}), vec![message("completed", json!([text("wait")])), called("a")]),
        (json!({"content": "hi", "reasoning_content": "hm"}), vec![thought.clone(), message("completed", json!([text("hi")]))]),
        (json!({"content": "", "reasoning": "hm"}), vec![thought]),
    ];
    for (given, expected) in cases {
        assert_eq!(output(&given, "stop", Include::default()), Value::from(expected), "{given}");
    }
}

#[test]
fn a_reply_that_was_cut_short_is_incomplete_and_says_why() {
    for (finish_reason, reason) in [("length", "max_output_tokens"), ("content_filter", "content_filter")] {
        let response = response_of(&choice(&json!({"content": "hi"}), finish_reason), Include::default());
        let status = (&response["status"], &response["incomplete_details"], &response["completed_at"]);
        assert_eq!(status, (&json!("incomplete"), &json!({"reason": reason}), &Value::Null));
        assert_eq!(response["output"][0]["status"], "incomplete");
    }
}

#[test]
fn what_else_was_said_is_there_when_it_was_asked_for() {
    let block = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
    let given = json!({"content": "hi", "thinking_blocks": [block],
        "annotations": [{"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 1, "title": "t", "url": "https://example.com"}}]});
    let mut choice = choice(&given, "stop");
    choice["logprobs"] = json!({"content": [{"token": "hi", "logprob": -0.1, "bytes": [104, 105], "top_logprobs": []}]});
    let all = response_of(&choice, ALL);
    let sealed = all["output"][0]["encrypted_content"].as_str().expect("sealed");
    assert_eq!(serde_json::from_str::<Value>(sealed).expect("JSON"), json!({"thinking_blocks": [block]}));
    let part = &all["output"][1]["content"][0];
    assert_eq!((&part["annotations"][0]["title"], &part["logprobs"][0]["bytes"]), (&json!("t"), &json!([104, 105])));
    let bare = response_of(&choice, Include::default());
    assert_eq!((&bare["output"][0]["type"], &bare["output"][0]["content"][0]["logprobs"]), (&json!("message"), &json!([])));
}
