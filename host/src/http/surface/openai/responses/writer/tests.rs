//! Chunks of every kind as events.

use serde_json::{Value, json};

use super::*;
use crate::chat::decode;
use crate::http::surface::openai::responses::echo::Echo;

const LIMIT: usize = 1 << 20;
const ALL: Include = Include { encrypted: true, logprobs: true };

impl Writer {
    /// Takes what the data of one event says.
    fn chunk(&mut self, data: &[u8]) -> Result<(), StreamError> {
        self.frame(&decode::chunk(data)?)
    }
}

fn writer(include: Include, limit: usize) -> Writer {
    Writer::new(Frame::new("asked".into(), Echo::new()), include, limit)
}

fn taken(writer: &mut Writer) -> Vec<Value> {
    let event = |bytes: Bytes| {
        let text = std::str::from_utf8(&bytes).expect("UTF-8").to_owned();
        let (name, data) = text.strip_suffix("\n\n").and_then(|text| text.split_once("\ndata: ")).expect("a named event");
        let value: Value = serde_json::from_str(data).expect("JSON");
        assert_eq!(name.strip_prefix("event: "), value["type"].as_str());
        value
    };
    std::iter::from_fn(|| writer.next()).map(event).collect()
}

/// Every event of a reply with those deltas of its one choice.
fn events(include: Include, deltas: &[Value], finish_reason: &str) -> Vec<Value> {
    let mut writer = writer(include, LIMIT);
    let mut chunk = |value: Value| writer.chunk(value.to_string().as_bytes()).expect("a chunk");
    for delta in deltas {
        chunk(json!({"model": "theirs", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]}));
    }
    chunk(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]}));
    chunk(json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}));
    while writer.close_next() {}
    writer.end();
    let events = taken(&mut writer);
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], at, "numbered without a gap");
    }
    check(&events);
    events
}

/// What holds of every stream: items are added in order, and the last event has each as it was done.
fn check(events: &[Value]) {
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    let last = events.last().expect("an end");
    let mut done: Vec<(u64, &Value)> =
        of("response.output_item.done").iter().map(|event| (event["output_index"].as_u64().expect("a place"), &event["item"])).collect();
    done.sort_by_key(|(at, _)| *at);
    let output = last["response"]["output"].as_array().expect("a list");
    assert_eq!(done.iter().map(|(_, item)| *item).collect::<Vec<_>>(), output.iter().collect::<Vec<_>>());
    for (at, added) in of("response.output_item.added").iter().enumerate() {
        assert_eq!((&added["output_index"], &added["item"]["id"]), (&json!(at), &output[at]["id"]));
        assert_eq!(added["item"]["status"], "in_progress");
    }
    assert_eq!(last["response"]["usage"]["total_tokens"], 3);
}

/// Types of events without their common beginning, those that begin and end a response left out.
fn kinds(events: &[Value]) -> Vec<&str> {
    let all: Vec<&str> = events.iter().filter_map(|event| event["type"].as_str()?.strip_prefix("response.")).collect();
    let [created, progress, between @ .., _] = &all[..] else { panic!("{all:?}") };
    assert_eq!((*created, *progress), ("created", "in_progress"));
    between.to_vec()
}

#[test]
fn a_text_grows_and_is_said_once_more_at_its_end() {
    let events = events(ALL, &[json!({"role": "assistant", "content": ""}), json!({"content": "Hel"}), json!({"content": "lo"})], "stop");
    let expected = [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ];
    assert_eq!(kinds(&events), expected);
    assert_eq!((&events[4]["delta"], &events[5]["delta"], &events[6]["text"]), (&json!("Hel"), &json!("lo"), &json!("Hello")));
    let last = &events.last().expect("an end")["response"];
    assert_eq!(
        (&last["model"], &last["status"], &last["output"][0]["content"][0]["text"]),
        (&json!("theirs"), &json!("completed"), &json!("Hello"))
    );
    assert_eq!((&events[0]["response"]["status"], &events[0]["response"]["output"]), (&json!("in_progress"), &json!([])));
    assert_eq!(events[0]["response"]["id"], last["id"]);
}

#[test]
fn calls_grow_side_by_side() {
    let call = |index: u64, more: Value| {
        let mut call = json!({"index": index, "function": {}});
        call.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({"tool_calls": [call]})
    };
    let deltas = [
        json!({"content": "wait"}),
        call(0, json!({"id": "a", "function": {"name": "f", "arguments": ""}})),
        call(1, json!({"id": "b", "function": {"name": "g", "arguments": "{"}})),
        call(0, json!({"function": {"arguments": "{\"x\":"}})),
        call(1, json!({"function": {"arguments": "}"}})),
        call(0, json!({"id": "a", "function": {"name": "f", "arguments": "1}"}})),
    ];
    let events = events(ALL, &deltas, "tool_calls");
    let expected = [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "function_call_arguments.done",
        "output_item.done",
    ];
    assert_eq!(kinds(&events), expected);
    let output = &events.last().expect("an end")["response"]["output"];
    let calls: Vec<_> =
        [1, 2].map(|at| [&output[at]["call_id"], &output[at]["name"], &output[at]["arguments"]]).into_iter().flatten().collect();
    assert_eq!(calls, ["a", "f", "{\"x\":1}", "b", "g", "{}"]);
}

#[test]
fn calls_without_numbers_are_told_by_their_ids() {
    let call = |call: Value| json!({"tool_calls": [call]});
    let deltas = [
        call(json!({"id": "a", "function": {"name": "f", "arguments": "1"}})),
        call(json!({"id": "b", "function": {"name": "f", "arguments": "2"}})),
        call(json!({"function": {"arguments": "3"}})),
        call(json!({"id": "a", "function": {"arguments": "4"}})),
        call(json!({"id": null, "function": {"name": null, "arguments": null}})),
    ];
    let events = events(ALL, &deltas, "tool_calls");
    let output = &events.last().expect("an end")["response"]["output"];
    assert_eq!((&output[0]["arguments"], &output[1]["arguments"], output.get(2)), (&json!("14"), &json!("23"), None));
}

#[test]
fn thoughts_come_before_what_they_led_to() {
    let block = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
    let deltas = [
        json!({"reasoning_content": "h"}),
        json!({"reasoning": "m", "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": ""}]}),
        json!({"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "s"}]}),
        json!({"content": "so"}),
    ];
    let all = events(ALL, &deltas, "stop");
    let expected = [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
    ];
    assert_eq!(kinds(&all), expected);
    let thought = &all.last().expect("an end")["response"]["output"][0];
    assert_eq!(thought["summary"], json!([{"type": "summary_text", "text": "hm"}]));
    let sealed: Value = serde_json::from_str(thought["encrypted_content"].as_str().expect("sealed")).expect("JSON");
    assert_eq!(sealed, json!({"thinking_blocks": [block]}));
    let bare = events(Include::default(), &deltas, "stop");
    assert!(bare.last().expect("an end")["response"]["output"][0].get("encrypted_content").is_none());
}

#[test]
fn a_refusal_is_a_part_of_its_own() {
    let events = events(ALL, &[json!({"content": "Well"}), json!({"refusal": "n"}), json!({"refusal": "o"})], "stop");
    let expected = [
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
    ];
    assert_eq!(kinds(&events), expected);
    assert_eq!((&events[8]["content_index"], &events[10]["refusal"]), (&json!(1), &json!("no")));
}

#[test]
fn annotations_and_probabilities_are_told_and_kept() {
    let citation =
        json!({"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 1, "title": "t", "url": "https://example.com"}});
    let mut writer = writer(ALL, LIMIT);
    let logprobs = json!({"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "a", "logprob": -0.5, "bytes": [97]}]}]});
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": "a", "annotations": [citation]}, "logprobs": logprobs}]});
    writer.chunk(chunk.to_string().as_bytes()).expect("a chunk");
    let late = json!({"choices": [{"index": 0, "delta": {}, "logprobs": logprobs, "finish_reason": "stop"}]});
    writer.chunk(late.to_string().as_bytes()).expect("a chunk");
    while writer.close_next() {}
    let events = taken(&mut writer);
    let of = |kind: &str| events.iter().find(|event| event["type"] == kind).expect("told");
    assert_eq!(of("response.output_text.annotation.added")["annotation"]["url"], "https://example.com");
    let likely = json!([{"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "a", "logprob": -0.5}]}]);
    assert_eq!(of("response.output_text.delta")["logprobs"], likely);
    let part = &of("response.output_item.done")["item"]["content"][0];
    assert_eq!((part["logprobs"].as_array().map(Vec::len), part["annotations"].as_array().map(Vec::len)), (Some(2), Some(1)));
    assert_eq!(part["logprobs"][0]["bytes"], json!([97]));
}

#[test]
fn a_reply_that_was_cut_short_or_says_nothing_still_ends_well_formed() {
    let cut = events(ALL, &[json!({"content": "Hel"})], "length");
    let last = cut.last().expect("an end");
    assert_eq!(
        (&last["type"], &last["response"]["incomplete_details"]),
        (&json!("response.incomplete"), &json!({"reason": "max_output_tokens"}))
    );
    assert_eq!(last["response"]["output"][0]["status"], "incomplete");
    let empty = events(ALL, &[], "stop");
    assert_eq!(empty.last().expect("an end")["response"]["output"][0]["content"][0]["text"], "");
}

#[test]
fn a_failure_holds_what_was_said_until_then() {
    let mut writer = writer(ALL, LIMIT);
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": "Hel"}}]});
    writer.chunk(chunk.to_string().as_bytes()).expect("a chunk");
    writer.fail("the provider is gone");
    let events = taken(&mut writer);
    let last = events.last().expect("an end");
    assert_eq!(last["type"], "response.failed");
    let response = &last["response"];
    assert_eq!(
        (&response["status"], &response["error"]),
        (&json!("failed"), &json!({"code": "server_error", "message": "the provider is gone"}))
    );
    assert_eq!((&response["output"][0]["status"], &response["output"][0]["content"][0]["text"]), (&json!("incomplete"), &json!("Hel")));
}

#[test]
fn no_more_is_held_than_the_limit_allows() {
    let chunk = |delta: &Value| json!({"choices": [{"index": 0, "delta": delta}]}).to_string();
    let call = json!({"tool_calls": [{"index": 0, "id": "abcd", "function": {"name": "f", "arguments": "x"}}]});
    let cases = [
        // An item, a part and a byte; an item, its id and name and a byte; an item and a byte.
        (json!({"content": "x"}), 2 * ITEM_BYTES + 1),
        (json!({"refusal": "x"}), 2 * ITEM_BYTES + 1),
        (call, ITEM_BYTES + 6),
        (json!({"reasoning_content": "x"}), ITEM_BYTES + 1),
    ];
    for (delta, bytes) in cases {
        assert!(writer(ALL, bytes).chunk(chunk(&delta).as_bytes()).is_ok(), "{delta}");
        let broken = writer(ALL, bytes - 1).chunk(chunk(&delta).as_bytes()).expect_err("too large");
        assert_eq!(broken.code, "response_too_large", "{delta}");
        assert!(broken.message.contains("`limits.http.response_bytes`"), "{broken}");
    }
}

#[test]
fn what_the_provider_wants_back_with_a_call_is_kept_also_if_it_comes_after_the_call() {
    let call = json!({"tool_calls": [{"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let extra = json!({"google": {"thought_signature": "sign"}});
    let late = json!({"tool_calls": [{"index": 0, "extra_content": extra}]});
    let events = events(ALL, &[call, late], "tool_calls");
    let output = events.last().expect("an end")["response"]["output"].clone();
    let called = output.as_array().expect("a list").iter().find(|item| item["type"] == "function_call").expect("the call");
    assert_eq!(called["extra_content"], extra, "{output}");
    let sealed =
        output.as_array().expect("a list").iter().find(|item| item["type"] == "reasoning").expect("kept for clients that drop fields");
    assert!(sealed["encrypted_content"].as_str().is_some_and(|text| text.contains("sign")), "{output}");
}
