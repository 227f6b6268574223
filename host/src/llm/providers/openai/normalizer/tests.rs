//! Streams and replies as OpenAI and its imitators send them.

use proptest::prelude::{Strategy, any, prop, proptest};
use serde_json::{Value, json};

use super::*;
use crate::llm::provider_error::ProviderError;

fn normalizer(include_usage: bool) -> OpenAiNormalizer {
    OpenAiNormalizer::new(Name { id: "chatcmpl-ours".into(), model: "asked".into(), created: 7 }, include_usage)
}

/// A proper chunk with these choices.
fn chunk(choices: &Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "gpt", "choices": choices})
}

/// A proper chunk of one choice.
fn delta(delta: &Value, reason: Option<&str>) -> Value {
    chunk(&json!([{"index": 0, "delta": delta, "finish_reason": reason}]))
}

fn opening() -> Value {
    delta(&json!({"role": "assistant", "content": ""}), None)
}

#[track_caller]
fn pass(normalizer: &mut OpenAiNormalizer, event: &Value) -> Verdict {
    normalizer.event(event.to_string().as_bytes()).expect("it can be used")
}

/// What goes out for an event, if anything does.
#[track_caller]
fn out(normalizer: &mut OpenAiNormalizer, event: &Value) -> Option<Value> {
    match pass(normalizer, event) {
        Verdict::AsIs => Some(event.clone()),
        Verdict::Rewritten(text) => {
            let found = serde_json::from_slice(&text).expect("JSON");
            assert_ne!(&found, event, "rewritten for nothing");
            Some(found)
        }
        Verdict::Dropped => None,
    }
}

#[track_caller]
fn all(include_usage: bool, events: &[Value]) -> Vec<Value> {
    let mut normalizer = normalizer(include_usage);
    let mut found: Vec<Value> = events.iter().filter_map(|event| out(&mut normalizer, event)).collect();
    found.extend(std::iter::from_fn(|| normalizer.end()).map(|text| serde_json::from_slice::<Value>(&text).expect("JSON")));
    found
}

#[track_caller]
fn rewritten(normalizer: &mut OpenAiNormalizer, event: &str) -> String {
    let Verdict::Rewritten(text) = normalizer.event(event.as_bytes()).expect("it can be used") else { panic!("not rewritten: {event}") };
    String::from_utf8(text).expect("UTF-8")
}

fn usage(prompt: u64, completion: u64) -> Value {
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

#[test]
fn a_proper_stream_passes_as_it_is() {
    let mut normalizer = normalizer(false);
    let events = [opening(), delta(&json!({"content": "Hi"}), None), delta(&json!({}), Some("stop"))];
    assert_eq!(pass(&mut normalizer, &events[0]), Verdict::AsIs);
    assert!(!normalizer.says_something() && !normalizer.finished());
    assert_eq!(pass(&mut normalizer, &events[1]), Verdict::AsIs);
    assert!(normalizer.says_something() && !normalizer.finished());
    assert_eq!(pass(&mut normalizer, &events[2]), Verdict::AsIs);
    assert!(normalizer.finished());
    assert_eq!(normalizer.end(), None);
}

#[test]
fn role_and_emptiness_say_nothing() {
    for (said, expected) in [
        (json!({"role": "assistant", "content": ""}), false),
        (json!({"role": "assistant", "content": null, "refusal": null, "tool_calls": []}), false),
        (json!({"annotations": [1]}), false),
        (json!({"content": " "}), true),
        (json!({"reasoning_content": "hm"}), true),
        (json!({"reasoning": "hm"}), true),
        (json!({"refusal": "no"}), true),
        (json!({"function_call": {"name": "f"}}), true),
        (json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}), true),
    ] {
        let mut normalizer = normalizer(false);
        out(&mut normalizer, &delta(&said, None));
        assert_eq!(normalizer.says_something(), expected, "{said}");
    }
    let mut normalizer = normalizer(false);
    out(&mut normalizer, &delta(&json!({}), Some("content_filter")));
    assert!(normalizer.says_something());
}

#[test]
fn c58_every_chunk_has_the_id_model_and_time_of_the_first() {
    let mut other = delta(&json!({"content": "b"}), None);
    for (field, value) in [("id", json!("chatcmpl-2")), ("model", json!("")), ("created", json!(0)), ("object", json!(""))] {
        other[field] = value;
    }
    let mut bare = delta(&json!({"content": "c"}), Some("stop"));
    for field in ["id", "model", "created", "object"] {
        bare.as_object_mut().expect("an object").remove(field);
    }
    let found = all(false, &[opening(), other, bare]);
    assert_eq!(found[1], delta(&json!({"content": "b"}), None));
    assert_eq!(found[2], delta(&json!({"content": "c"}), Some("stop")));
}

#[test]
fn c58_a_provider_without_names_gets_ours() {
    for (id, model, created) in
        [(json!(null), json!(5), json!("now")), (json!(""), json!(""), json!(0)), (json!(3), json!(null), json!(-1))]
    {
        let mut first = opening();
        (first["id"], first["model"], first["created"]) = (id, model, created);
        let found = out(&mut normalizer(false), &first).expect("it goes out");
        assert_eq!((&found["id"], &found["model"], &found["created"]), (&json!("chatcmpl-ours"), &json!("asked"), &json!(7)));
    }
    let mut first = opening();
    first["created"] = json!(1_718_345_013.7);
    assert_eq!(out(&mut normalizer(false), &first).expect("it goes out")["created"], 1_718_345_013);
    let at_limit = "m".repeat(HEAD_BYTES_MAX - 2);
    for (model, expected) in [(at_limit.clone(), at_limit.as_str()), ("m".repeat(HEAD_BYTES_MAX - 1), "asked")] {
        first["model"] = json!(model);
        assert_eq!(out(&mut normalizer(false), &first).expect("it goes out")["model"], expected);
    }
}

#[test]
fn what_is_not_mended_survives_byte_for_byte() {
    let mut normalizer = normalizer(false);
    pass(&mut normalizer, &opening());
    let event = r#"{"id":"x","object":"chat.completion.chunk","created":5,"model":"gpt","odd":[1.50, 1e999,"\ud83d\ude00"],"choices":[{"index":0,"delta":{"content":"\u00e9\\ud83d"}}],"usage" : null}"#;
    let expected = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"gpt","odd":[1.50, 1e999,"\ud83d\ude00"],"choices":[{"index":0,"delta":{"content":"\u00e9\\ud83d"}}]}"#;
    assert_eq!(rewritten(&mut normalizer, event), expected);
}

#[test]
fn c45_azures_first_chunk_is_dropped_and_names_nothing() {
    let first = json!({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]});
    for first in [first.clone(), json!({"id": "", "choices": [], "usage": null}), json!({"id": "x", "choices": []})] {
        assert_eq!(all(true, &[first, opening(), delta(&json!({}), Some("stop"))]).first(), Some(&opening()));
    }
}

#[test]
fn c46_a_choice_without_a_delta_gets_one_or_is_dropped() {
    let entry = |rest: Value| {
        let mut entry = json!({"index": 0, "finish_reason": null, "content_filter_offsets": {"check_offset": 44}});
        entry.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        json!({"id": "", "object": "", "created": 0, "model": "", "choices": [entry]})
    };
    let mut normalizer = normalizer(false);
    pass(&mut normalizer, &delta(&json!({"role": "assistant", "content": "Hi"}), None));
    assert_eq!(out(&mut normalizer, &entry(json!({"content_filter_results": {}}))), None);
    assert_eq!(out(&mut normalizer, &entry(json!({"delta": null}))), None);
    let verdict =
        out(&mut normalizer, &entry(json!({"content_filter_results": {"hate": {"filtered": false}}}))).expect("it says something");
    assert_eq!((&verdict["id"], &verdict["choices"][0]["delta"]), (&json!("chatcmpl-1"), &json!({})));
    let last = out(&mut normalizer, &entry(json!({"finish_reason": "content_filter"}))).expect("it says something");
    assert_eq!((&last["choices"][0]["finish_reason"], &last["choices"][0]["delta"]), (&json!("content_filter"), &json!({})));
    assert!(normalizer.finished());
    assert_eq!(out(&mut normalizer, &entry(json!({"finish_reason": "content_filter"}))), None);
}

#[test]
fn c57_usage_that_nobody_asked_for_is_counted_and_not_sent() {
    let mut normalizer = normalizer(false);
    let mut plain = opening();
    plain["usage"] = json!(null);
    assert_eq!(out(&mut normalizer, &plain), Some(opening()));
    let mut reported = delta(&json!({"content": "a"}), None);
    reported["usage"] = usage(5, 1);
    assert_eq!(out(&mut normalizer, &reported), Some(delta(&json!({"content": "a"}), None)));
    let mut last = chunk(&json!([]));
    last["usage"] = usage(5, 2);
    assert_eq!(out(&mut normalizer, &last), None);
    assert_eq!(normalizer.usage, Some(Usage { prompt: 5, completion: 2, ..Usage::default() }));
    let begin = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"gpt","choices":[{"index":0,"delta":{"content":"\",\\\"usage\\\":null"}}]"#;
    assert_eq!(rewritten(&mut normalizer, &format!(r#"{begin},"usage":null,"x":1}}"#)), format!(r#"{begin},"x":1}}"#));
}

#[test]
fn c57_usage_that_was_asked_for_comes_last_and_once() {
    let mut plain = opening();
    plain["usage"] = json!(null);
    let mut last = chunk(&json!([]));
    last["usage"] = usage(5, 2);
    let finish = delta(&json!({}), Some("stop"));
    assert_eq!(all(true, &[plain.clone(), finish.clone(), last.clone()]), [plain.clone(), finish.clone(), last.clone()]);
    // Beside choices, and again and again.
    let mut reported = delta(&json!({"content": "a"}), None);
    reported["usage"] = usage(5, 1);
    let mut unreported = reported.clone();
    unreported["usage"] = json!(null);
    let mut reported_finish = finish.clone();
    reported_finish["usage"] = usage(5, 2);
    let mut untold_finish = finish.clone();
    untold_finish["usage"] = json!(null);
    let found = all(true, &[plain.clone(), reported, reported_finish]);
    assert_eq!(found, [plain, unreported, untold_finish, last.clone()]);
    assert_eq!(all(true, &[last.clone(), last.clone()]), [last.clone()]);
    let without_choices = json!({"usage": usage(5, 2)});
    assert_eq!(all(true, &[opening(), finish.clone(), without_choices]), [opening(), finish, last]);
}

#[test]
fn usage_that_comes_too_early_waits_for_the_end_and_nothing_follows_it() {
    let reported = |completion| {
        let mut reported = chunk(&json!([]));
        reported["usage"] = usage(5, completion);
        reported
    };
    let (said, finish) = (delta(&json!({"content": "a"}), None), delta(&json!({}), Some("stop")));
    let found = all(true, &[opening(), reported(1), said.clone(), reported(2), finish.clone()]);
    assert_eq!(found, [opening(), said.clone(), finish.clone(), reported(2)]);
    let found = all(true, &[opening(), finish.clone(), reported(2), said]);
    assert_eq!(found, [opening(), finish, reported(2)]);
}

#[test]
fn a_choice_that_began_beside_another_is_finished_with_it() {
    let beside = chunk(&json!([{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}, {"index": 1, "finish_reason": null}]));
    let found = all(false, &[beside]);
    let last = &found[found.len() - 1]["choices"][0];
    assert_eq!((&last["index"], &last["finish_reason"]), (&json!(1), &json!("stop")));
}

#[test]
fn usage_on_an_empty_choice_leaves_no_empty_chunk_behind() {
    let mut last = delta(&json!({}), None);
    last["usage"] = usage(5, 2);
    let found = all(true, &[opening(), delta(&json!({}), Some("stop")), last]);
    assert_eq!((found.len(), &found[2]["choices"], &found[2]["usage"]), (3, &json!([]), &usage(5, 2)));
}

#[test]
fn a_choice_finishes_once() {
    let events = [
        delta(&json!({"role": "assistant", "content": "a"}), Some("")),
        delta(&json!({"content": "b"}), Some("stop")),
        delta(&json!({}), Some("stop")),
        delta(&json!({"content": "late"}), Some("stop")),
    ];
    let found = all(false, &events);
    let reasons: Vec<&Value> = found.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
    assert_eq!(reasons, [&json!(null), &json!("stop"), &json!(null)]);
    assert_eq!(found[2]["choices"][0]["delta"]["content"], "late");
}

#[test]
fn a_choice_that_was_left_open_is_finished_at_the_end() {
    let call =
        delta(&json!({"role": "assistant", "tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]}), None);
    let mut last = chunk(&json!([]));
    last["usage"] = usage(1, 1);
    for (events, reason) in [(vec![opening()], "stop"), (vec![opening(), call.clone()], "tool_calls")] {
        let found = all(false, &events);
        assert_eq!(
            found.last().expect("a chunk")["choices"],
            json!([{"index": 0, "delta": {}, "finish_reason": reason, "logprobs": null}])
        );
    }
    let mut normalizer = normalizer(true);
    assert_eq!((normalizer.finished(), normalizer.end()), (false, None), "what never began needs no end");
}

#[test]
fn the_first_delta_of_a_choice_has_a_role() {
    for (given, expected) in [
        (json!({"content": "a"}), json!({"role": "assistant", "content": "a"})),
        (json!({"role": null, "content": "a"}), json!({"role": "assistant", "content": "a"})),
        (json!({"role": "", "content": "a"}), json!({"role": "assistant", "content": "a"})),
        (json!({}), json!({"role": "assistant"})),
        (json!([]), json!({"role": "assistant"})),
    ] {
        let mut normalizer = normalizer(false);
        assert_eq!(out(&mut normalizer, &delta(&given, None)), Some(delta(&expected, None)));
        assert_eq!(pass(&mut normalizer, &delta(&json!({"content": "b"}), None)), Verdict::AsIs);
    }
    let spaced = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"gpt","choices":[{"index":0,"delta":{ }}]}"#;
    assert!(rewritten(&mut normalizer(false), spaced).contains(r#""delta":{"role":"assistant"}"#));
}

#[test]
fn a_choice_without_an_index_gets_its_place() {
    let events = chunk(&json!([{"delta": {"role": "assistant"}}, {"index": null, "delta": {"role": "assistant"}}]));
    let found = out(&mut normalizer(false), &events).expect("it goes out");
    assert_eq!((&found["choices"][0]["index"], &found["choices"][1]["index"]), (&json!(0), &json!(1)));
}

#[test]
fn c60_every_choice_is_looked_after() {
    let two = |first: Value, second: Value| chunk(&json!([first, second]));
    let open = |index: u32| json!({"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": null});
    let end = |index: u32, reason: &str| json!({"index": index, "delta": {}, "finish_reason": reason});
    let mut three = normalizer(false);
    assert_eq!(pass(&mut three, &two(open(0), open(1))), Verdict::AsIs);
    assert_eq!(pass(&mut three, &chunk(&json!([end(1, "stop")]))), Verdict::AsIs);
    assert!(!three.finished());
    let found = out(&mut three, &two(end(0, "length"), end(1, "stop"))).expect("it goes out");
    assert_eq!((&found["choices"][0]["finish_reason"], &found["choices"][1]["finish_reason"]), (&json!("length"), &json!(null)));
    assert!(three.finished());
    let many = |count: u32| chunk(&(0..count).map(open).collect::<Value>());
    assert_eq!(pass(&mut normalizer(false), &many(128)), Verdict::AsIs);
    let more = normalizer(false).event(many(129).to_string().as_bytes());
    assert!(matches!(more, Err(DecodeError::Malformed(_))));
}

#[test]
fn c35_stop_after_tool_calls_means_tool_calls() {
    let call = json!({"role": "assistant", "tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]});
    let found = all(false, &[delta(&call, None), delta(&json!({}), Some("stop"))]);
    assert_eq!(found[1]["choices"][0]["finish_reason"], "tool_calls");
    let found = all(false, &[delta(&call, Some("stop"))]);
    assert_eq!(found[0]["choices"][0]["finish_reason"], "tool_calls");
    let found = all(false, &[delta(&call, Some("length"))]);
    assert_eq!(found[0]["choices"][0]["finish_reason"], "length");
}

#[test]
fn c52_the_null_chunk_that_ends_tool_calls_is_dropped() {
    let call = json!({"role": "assistant", "tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]});
    let more = json!({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]});
    let none = json!({"tool_calls": [{"index": 0, "id": null, "type": null, "function": {"name": null, "arguments": ""}}]});
    let found = all(false, &[delta(&call, None), delta(&more, None), delta(&none, None), delta(&none, Some("tool_calls"))]);
    let end = delta(&json!({"tool_calls": null}), Some("tool_calls"));
    assert_eq!(found, [delta(&call, None), delta(&more, None), end]);
}

#[test]
fn tool_calls_get_their_index_and_id_and_are_named_once() {
    let calls = |calls: Value| delta(&json!({"role": "assistant", "tool_calls": calls}), None);
    let function = |name: &str, arguments: &str| json!({"name": name, "arguments": arguments});
    let found = all(
        false,
        &[
            calls(json!([{"id": "a", "type": "function", "function": function("f", "")}])),
            calls(json!([{"index": 0, "id": "b", "type": "function", "function": function("g", "{")}])),
            calls(json!([{"id": "b", "type": "function", "function": function("g", "}")}])),
            calls(json!([{"index": 4, "id": "", "function": {"name": "h", "arguments": {"x": 1}}}])),
        ],
    );
    let decoded: Vec<&Value> = found.iter().map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0]).collect();
    assert_eq!(decoded[0], &json!({"index": 0, "id": "a", "type": "function", "function": function("f", "")}));
    assert_eq!(decoded[1], &json!({"index": 1, "id": "b", "type": "function", "function": function("g", "{")}));
    assert_eq!(decoded[2], &json!({"index": 1, "id": null, "type": "function", "function": {"name": null, "arguments": "}"}}));
    assert_eq!(decoded[3], &json!({"index": 2, "id": "call_chatcmpl-ours_0_2", "function": function("h", "{\"x\":1}")}));
}

#[test]
fn pings_and_objects_that_say_nothing_are_dropped() {
    let mut normalizer = normalizer(true);
    for event in [json!({"type": "ping"}), json!({"x": 1}), json!({"choices": null}), json!({"choices": []}), json!({"error": null})] {
        assert_eq!(out(&mut normalizer, &event), None, "{event}");
    }
    assert_eq!(normalizer.event(b"").expect("nothing"), Verdict::Dropped);
    assert_eq!(normalizer.event(b" \n").expect("nothing"), Verdict::Dropped);
}

#[test]
fn what_is_no_object_is_malformed() {
    for event in [
        &b"nothing"[..],
        b"[]",
        b"{",
        b"5",
        b"\"x\"",
        b"{\"choices\":5}",
        b"{\"choices\":[5]}",
        b"{\"choices\":[{\"delta\":\"x\"}]}",
        b"{\"choices\":[{\"delta\":[1]}]}",
        b"{\"choices\":[{\"delta\":{\"tool_calls\":[5]}}]}",
        b"{\"x\":\"\xff}",
    ] {
        assert!(matches!(normalizer(false).event(event), Err(DecodeError::Malformed(_))), "{}", String::from_utf8_lossy(event));
    }
}

#[test]
fn c41_an_error_inside_a_stream_is_an_error() {
    let words = |text: &str| ProviderError { message: Some(text.into()), ..ProviderError::default() };
    let said = |event: Value| normalizer(false).event(event.to_string().as_bytes()).expect_err("an error");
    let busy = ProviderError { code: Some("503".into()), ..words("busy") };
    assert_eq!(
        said(json!({"error": {"message": "busy", "code": 503}, "choices": []})),
        DecodeError::Error(http::StatusCode::SERVICE_UNAVAILABLE, busy)
    );
    assert_eq!(said(json!({"error": "busy"})), DecodeError::Error(http::StatusCode::BAD_GATEWAY, words("busy")));
}

#[test]
fn c55_success_false_is_an_error_whole_and_streamed() {
    let failed = json!({"success": false, "errors": [{"code": 7003, "message": "no route"}], "result": null, "messages": []}).to_string();
    for bad in [
        normalizer(false).event(failed.as_bytes()).expect_err("an error"),
        normalizer(false).whole(&failed.into()).map(drop).expect_err("an error"),
    ] {
        let DecodeError::Error(http::StatusCode::BAD_GATEWAY, error) = bad else { panic!("{bad:?}") };
        assert_eq!((error.message.as_deref(), error.code.as_deref()), (Some("no route"), Some("7003")));
    }
}

/// A whole reply; true if it came as it was.
#[track_caller]
fn whole(reply: &Value) -> (bool, Value) {
    let body = Bytes::from(reply.to_string());
    match normalizer(false).whole(&body).expect("it can be used") {
        Whole::Raw(same) => {
            assert_eq!(same, body);
            (true, reply.clone())
        }
        Whole::Parsed(completion) => (false, serde_json::from_slice(&crate::chat::codec::to_json(&completion)).expect("JSON")),
    }
}

fn reply(message: Value, reason: Value) -> Value {
    let choice = json!({"index": 0, "message": message, "finish_reason": reason, "logprobs": null});
    json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "gpt", "choices": [choice], "usage": usage(5, 2)})
}

#[test]
fn c56_a_right_reply_passes_as_it_is_and_its_usage_is_read() {
    let right = reply(json!({"role": "assistant", "content": "Hi"}), json!("stop"));
    assert_eq!(whole(&right), (true, right.clone()));
    let mut normalizer = normalizer(false);
    let passed = normalizer.whole(&right.to_string().into()).expect("it is right");
    assert!(matches!(passed, Whole::Raw(_)));
    assert_eq!(normalizer.usage, Some(Usage { prompt: 5, completion: 2, ..Usage::default() }));
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let right = reply(json!({"role": "assistant", "content": null, "tool_calls": [call]}), json!("tool_calls"));
    assert!(whole(&right).0);
}

#[test]
fn a_reply_without_names_or_reasons_gets_them() {
    let message = json!({"role": "assistant", "content": "Hi"});
    let right = reply(message.clone(), json!("stop"));
    for reason in [json!(null), json!("")] {
        let (_, found) = whole(&reply(message.clone(), reason));
        assert_eq!(found, right);
    }
    assert_eq!(whole(&reply(message.clone(), json!("model_length"))).1["choices"][0]["finish_reason"], "length");
    let bare = json!({"id": "", "choices": [{"message": message}, {"message": message}]});
    let (_, found) = whole(&bare);
    assert_eq!((&found["id"], &found["created"], &found["model"]), (&json!("chatcmpl-ours"), &json!(7), &json!("asked")));
    assert_eq!((&found["choices"][1]["index"], &found["choices"][1]["finish_reason"]), (&json!(1), &json!("stop")));
    assert_eq!(found["object"], "chat.completion");
}

#[test]
fn a_message_without_a_role_is_the_assistants() {
    for message in [json!({"content": "Hi"}), json!({"role": null, "content": "Hi"}), json!({"role": "", "content": "Hi"})] {
        let (_, found) = whole(&reply(message, json!("stop")));
        assert_eq!(found, reply(json!({"role": "assistant", "content": "Hi"}), json!("stop")));
    }
    assert_eq!(whole(&reply(json!({}), json!("stop"))).1["choices"][0]["message"], json!({"role": "assistant", "content": null}));
}

#[test]
fn calls_of_a_reply_get_ids_strings_and_their_reason() {
    let odd =
        json!([{"function": {"name": "f", "arguments": {"x": 1.50}}, "extra_content": {"k": 1}}, {"id": "", "function": {"name": "g"}}]);
    let (_, found) = whole(&reply(json!({"role": "assistant", "content": null, "tool_calls": odd}), json!("stop")));
    let choice = &found["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let expected = json!([
        {"id": "call_chatcmpl-ours_0_0", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1.5}"}, "extra_content": {"k": 1}},
        {"id": "call_chatcmpl-ours_0_1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]);
    assert_eq!(choice["message"]["tool_calls"], expected);
}

#[test]
fn a_reply_that_is_none_is_malformed() {
    for body in ["", "[]", "{}", "<html></html>", r#"{"choices":null}"#, r#"{"choices":[{}]}"#, r#"{"choices":[{"message":5}]}"#] {
        let found = normalizer(false).whole(&Bytes::from(body)).map(drop);
        assert!(matches!(found, Err(DecodeError::Malformed(_))), "{body}");
    }
}

/// The chunks of a stream as OpenAI sends it, for a client that asked for usage.
fn proper_streams() -> impl Strategy<Value = Vec<Value>> {
    let deltas = prop::collection::vec((0..3_u32, any::<String>(), any::<bool>()), 0..20);
    (1..4_u32, deltas, prop::option::of(any::<String>())).prop_map(|(count, deltas, call)| {
        let one = |index: u32, delta: &Value, reason: Option<&str>| {
            let mut one = chunk(&json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": reason}]));
            one["system_fingerprint"] = json!("fp_1");
            one["usage"] = json!(null);
            one
        };
        let mut chunks: Vec<Value> =
            (0..count).map(|at| one(at, &json!({"role": "assistant", "content": "", "refusal": null}), None)).collect();
        for (at, text, thought) in deltas {
            chunks.push(one(at % count, &json!({if thought { "reasoning_content" } else { "content" }: text}), None));
        }
        if let Some(arguments) = &call {
            let begin = json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}});
            chunks.push(one(0, &json!({"tool_calls": [begin]}), None));
            chunks.push(one(0, &json!({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}), None));
        }
        chunks.extend((0..count).map(|at| one(at, &json!({}), Some(if at == 0 && call.is_some() { "tool_calls" } else { "stop" }))));
        let mut last = chunk(&json!([]));
        last["usage"] = usage(1, 2);
        chunks.push(last);
        chunks
    })
}

proptest! {
    #[test]
    fn proper_streams_pass_as_they_are(chunks in proper_streams()) {
        let mut normalizer = normalizer(true);
        for chunk in &chunks {
            assert_eq!(pass(&mut normalizer, chunk), Verdict::AsIs, "{chunk}");
        }
        assert!(normalizer.finished() && normalizer.says_something() && normalizer.end().is_none());
    }

    #[test]
    fn without_usage_proper_streams_lose_only_that(chunks in proper_streams()) {
        let mut normalizer = normalizer(false);
        for chunk in &chunks {
            let mut expected = chunk.clone();
            expected.as_object_mut().expect("an object").remove("usage");
            let expected = (chunk["choices"] != json!([])).then_some(expected);
            assert_eq!(out(&mut normalizer, chunk), expected);
        }
        assert_eq!(normalizer.usage, Some(Usage { prompt: 1, completion: 2, ..Usage::default() }));
    }

    #[test]
    fn no_bytes_make_it_panic(events in prop::collection::vec(any::<Vec<u8>>(), 0..4), cut in 0..200_usize) {
        let mut normalizer = normalizer(true);
        let text = delta(&json!({"tool_calls": [{"id": "a"}]}), None).to_string();
        for event in events.iter().map(Vec::as_slice).chain([&text.as_bytes()[..cut.min(text.len())]]) {
            drop(normalizer.event(event));
        }
        while normalizer.end().is_some() {}
    }
}

#[test]
fn the_models_name_and_the_reasons_are_told_once_of_a_stream_and_of_a_whole_reply() {
    let (mut streamed, mut tally) = (normalizer(false), Tally::default());
    pass(&mut streamed, &opening());
    streamed.report(&mut tally);
    assert_eq!((tally.model.as_deref(), tally.finishes.len()), (Some("gpt"), 0));
    let calls = json!([{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
    pass(&mut streamed, &delta(&json!({"tool_calls": calls}), None));
    pass(&mut streamed, &delta(&json!({}), Some("stop")));
    streamed.report(&mut tally);
    streamed.report(&mut tally);
    assert_eq!(tally.finishes, ["tool_calls"]);

    let choice =
        |index: u32, reason: &str| json!({"index": index, "message": {"role": "assistant", "content": "a"}, "finish_reason": reason});
    let reply = json!({"id": "x", "object": "chat.completion", "created": 5, "model": "gpt-\u{e9}", "choices": [choice(0, "stop"), choice(1, "length")]});
    let (mut whole, mut tally) = (normalizer(false), Tally::default());
    assert!(matches!(whole.whole(&reply.to_string().into()), Ok(Whole::Raw(_))));
    whole.report(&mut tally);
    assert_eq!((tally.model.as_deref(), &*tally.finishes), (Some("gpt-é"), &["stop".to_owned(), "length".to_owned()][..]));
}

#[test]
fn a_model_without_a_name_is_not_told_by_ours() {
    let (mut normalizer, mut tally) = (normalizer(false), Tally::default());
    pass(&mut normalizer, &json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]}));
    normalizer.report(&mut tally);
    assert_eq!(tally.model, None);
}

#[test]
fn a_call_that_says_nothing_beside_others_keeps_the_list_json() {
    let mut normalizer = normalizer(false);
    let calls = r#"[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}},{},{ }]"#;
    let event = format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":5,"model":"gpt","choices":[{{"index":0,"delta":{{"role":"assistant","tool_calls":{calls}}}}}]}}"#
    );
    let found: Value = serde_json::from_str(&rewritten(&mut normalizer, &event)).expect("JSON");
    let found = &found["choices"][0]["delta"]["tool_calls"];
    assert_eq!((&found[0]["id"], &found[1], &found[2]), (&json!("a"), &json!({"index": 0}), &json!({"index": 0})));
}

#[test]
fn a_call_that_is_a_list_is_malformed() {
    let event = delta(&json!({"tool_calls": [[0, "a", {"name": "f", "arguments": ""}, null, null]]}), None);
    assert!(matches!(normalizer(false).event(event.to_string().as_bytes()), Err(DecodeError::Malformed(_))));
}

#[test]
fn c11_an_error_without_an_envelope_is_no_end_of_the_reply() {
    // As vLLM writes it, before a `[DONE]` that would make half a reply a whole one.
    let mut normalizer = normalizer(false);
    pass(&mut normalizer, &delta(&json!({"role": "assistant", "content": "half"}), None));
    let event = json!({"object": "error", "message": "out of memory", "type": "InternalServerError", "param": null, "code": 500});
    let Err(DecodeError::Error(status, error)) = normalizer.event(event.to_string().as_bytes()) else { panic!("no error") };
    assert_eq!((status.as_u16(), error.message.as_deref()), (500, Some("out of memory")));
}

/// What a client gets of these events, read all at once or one by one.
fn sent(include_usage: bool, events: &[String], at_once: bool) -> String {
    let (mut normalizer, mut tally, mut out) = (normalizer(include_usage), Tally::default(), Vec::new());
    let events: Vec<String> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    for block in if at_once { vec![events.concat()] } else { events } {
        let mut events = Events::default();
        normalizer.block(block.into(), &mut events, &mut tally).expect("proper events");
        out.extend_from_slice(&events.take().unwrap_or_default());
    }
    String::from_utf8(out).expect("UTF-8")
}

/// The same, with every event read in full.
fn sent_in_full(include_usage: bool, events: &[String]) -> String {
    let mut normalizer = normalizer(include_usage);
    let mut all = events.iter().filter_map(|event| match normalizer.event(event.as_bytes()).expect("a proper event") {
        Verdict::AsIs => Some(format!("data: {event}\n\n")),
        Verdict::Rewritten(text) => Some(format!("data: {}\n\n", String::from_utf8(text).expect("UTF-8"))),
        Verdict::Dropped => None,
    });
    std::iter::from_fn(|| all.next()).collect()
}

proptest! {
    #[test]
    fn the_quick_way_gives_what_the_full_one_does(
        chunks in proper_streams(),
        padding in prop::collection::vec(prop::option::of(any::<String>()), 1..4),
        name in prop::sample::select(vec!["obfuscation", "p", "other"]),
        twice in any::<bool>(),
    ) {
        let mut events = Vec::new();
        for (mut chunk, padding) in chunks.into_iter().zip(padding.iter().cycle()) {
            if let Some(padding) = padding {
                chunk[name] = json!(padding);
            }
            // The same event again is the most likely one to be taken for another.
            events.extend(std::iter::repeat_n(chunk.to_string(), 1 + usize::from(twice)));
        }
        for include_usage in [false, true] {
            let expected = sent_in_full(include_usage, &events);
            assert_eq!(sent(include_usage, &events, true), expected);
            assert_eq!(sent(include_usage, &events, false), expected);
        }
    }
}

#[test]
fn events_that_differ_in_their_text_alone_are_compared_and_not_parsed() {
    let mut normalizer = normalizer(false);
    let text = |text: &str| {
        let mut event = delta(&json!({"content": text}), None);
        event["usage"] = json!(null);
        event
    };
    out(&mut normalizer, &opening());
    out(&mut normalizer, &text("a"));
    assert!(normalizer.template.is_none(), "the first text changes what is known of the reply");
    out(&mut normalizer, &text("b"));
    let template = normalizer.template.as_ref().expect("the second one changes nothing");
    let fits = |event: &Value| template.find(format!("data: {event}\n\n").as_bytes()).is_some();
    assert!(fits(&text("c")) && fits(&text("\"quoted\" \\ \n é")));
    let mut counted = text("c");
    counted["usage"] = usage(1, 1);
    for other in [text(""), delta(&json!({"content": "c"}), None), delta(&json!({"refusal": "c"}), None), counted] {
        assert!(!fits(&other), "{other}");
    }
    out(&mut normalizer, &delta(&json!({}), Some("stop")));
    assert!(normalizer.template.is_none());
}
