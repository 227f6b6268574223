//! What every stream of chunks keeps to, and that nothing is lost between a chunk, its deltas and the chunks of those.

use std::collections::BTreeMap;

use proptest::prelude::{Strategy, prop, proptest};
use serde_json::{Value, json};

use super::*;
use crate::chat::{Frame, decode};

fn written(include_usage: bool, deltas: Vec<Delta>) -> Vec<Value> {
    let name = Name { id: "chatcmpl-ours".into(), model: "asked".into(), created: 7 };
    let mut writer = ChunkWriter::new(name, include_usage);
    let mut chunks = Vec::new();
    let mut sink = |json: &str| chunks.push(serde_json::from_str(json).expect("JSON"));
    for delta in deltas {
        writer.write(delta, &mut sink);
    }
    writer.end(&mut sink);
    chunks
}

fn piece(piece: Piece) -> Delta {
    Delta::Piece { choice: 0, piece }
}

#[test]
fn a_choice_begins_with_its_role_and_finishes_once() {
    let finish = || piece(Piece::Finish("stop".into()));
    let chunks = written(false, vec![piece(Piece::Text("hi".into())), finish(), piece(Piece::Text("late".into())), finish()]);
    let choices: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]).collect();
    let open = json!({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null, "logprobs": null});
    let text = json!({"index": 0, "delta": {"content": "hi"}, "finish_reason": null, "logprobs": null});
    let last = json!({"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": null});
    assert_eq!(choices, [&open, &text, &last]);
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[test]
fn every_chunk_has_the_first_name_that_was_known_when_it_went_out() {
    let head = |id: &str| Delta::Head { id: Some(id.into()), model: Some("theirs".into()), created: Some(9) };
    let chunks = written(true, vec![head(""), head("msg_1"), piece(Piece::Begin), head("msg_2"), piece(Piece::Text("a".into()))]);
    assert_eq!(chunks.len(), 3);
    assert!(chunks.iter().all(|chunk| chunk["id"] == "msg_1" && chunk["model"] == "theirs" && chunk["created"] == 9), "{chunks:?}");
    let chunks = written(false, vec![piece(Piece::Begin), head("late")]);
    assert_eq!((&chunks[0]["id"], &chunks[0]["model"], &chunks[0]["created"]), (&json!("chatcmpl-ours"), &json!("asked"), &json!(7)));
}

#[test]
fn a_name_that_is_too_long_to_stand_on_every_chunk_is_not_taken() {
    for (bytes, taken) in [(1 << 10, true), ((1 << 10) + 1, false)] {
        let long = "x".repeat(bytes);
        let head = Delta::Head { id: Some(long.clone()), model: Some(long.clone()), created: None };
        let chunks = written(false, vec![head, piece(Piece::Begin)]);
        let (id, model) = if taken { (&*long, &*long) } else { ("chatcmpl-ours", "asked") };
        assert_eq!((&chunks[0]["id"], &chunks[0]["model"]), (&json!(id), &json!(model)), "{bytes}");
    }
}

#[test]
fn usage_comes_last_once_and_only_if_it_was_asked_for() {
    let usage = |completion| Delta::Usage(Usage { prompt: 5, completion, ..Usage::default() });
    let deltas = || vec![usage(1), piece(Piece::Text("a".into())), usage(3)];
    let chunks = written(true, deltas());
    assert_eq!(chunks.iter().map(|chunk| chunk["usage"].is_null()).collect::<Vec<_>>(), [true, true, false]);
    let last = chunks.last().expect("a usage chunk");
    assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(8)));
    assert!(written(false, deltas()).iter().all(|chunk| chunk.get("usage").is_none()));
}

#[test]
fn a_tool_call_is_named_once_and_then_grows() {
    let call = Piece::Call { index: 1, id: "t".into(), name: "f".into(), extra: Vec::new() };
    let chunks = written(false, vec![piece(call), piece(Piece::Arguments { index: 1, text: "{\"a\"".into() })]);
    let delta = |at: usize| &chunks[at]["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!(delta(1), &json!({"index": 1, "id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}));
    assert_eq!(delta(2), &json!({"index": 1, "function": {"arguments": "{\"a\""}}));
}

fn name() -> Name {
    Name { id: "chatcmpl-ours".into(), model: "asked".into(), created: 7 }
}

/// What deltas say, put together; of fields that every chunk repeats, once.
fn facts(deltas: &[Delta]) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::<String, String>::new();
    let mut more = |fact: String, text: &str| facts.entry(fact).or_default().push_str(text);
    for delta in deltas {
        match delta {
            Delta::Head { .. } => {}
            Delta::Usage(usage) => more("usage".into(), usage.json().get()),
            Delta::UsageJson(json) => more("usage".into(), json.get()),
            Delta::Fields(fields) => {
                fields.iter().filter(|(name, _)| !ON_EVERY_CHUNK.contains(&&**name)).for_each(|(name, json)| more(name.clone(), json.get()))
            }
            Delta::Piece { choice, piece } => match piece {
                Piece::Begin => {}
                Piece::Text(text) => more(format!("{choice} text"), text),
                Piece::Reasoning(text) => more(format!("{choice} reasoning"), text),
                Piece::Thought(text) => more(format!("{choice} thought"), text),
                Piece::Refusal(text) => more(format!("{choice} refusal"), text),
                Piece::Call { index, id, name, extra } => more(format!("{choice} call {index}"), &format!("{id} {name} {extra:?}")),
                Piece::Arguments { index, text } => more(format!("{choice} arguments {index}"), text),
                Piece::Fields(fields) => fields.iter().for_each(|(name, json)| more(format!("{choice} delta {name}"), json.get())),
                Piece::Beside(fields) => fields.iter().for_each(|(name, json)| more(format!("{choice} {name}"), json.get())),
                Piece::Finish(reason) => more(format!("{choice} finish"), reason),
            },
        }
    }
    facts
}

/// One chunk with fields of every kind, each of which may be missing.
fn chunks() -> impl Strategy<Value = Value> {
    let call = || {
        prop::sample::select(vec![
            json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}),
            json!({"index": 1, "id": "b", "function": {"name": "g", "arguments": "{\"x\":"}, "extra_content": {"k": 1}}),
            json!({"index": 0, "function": {"arguments": "1}"}}),
            json!({"index": 0, "id": null, "function": {"name": null, "arguments": "2"}}),
            json!({"index": 2, "type": "custom", "custom": {"name": "h", "input": "i"}}),
            json!({"id": "c", "function": {"name": "k", "arguments": "{}"}}),
            json!({"index": 0, "function": {"arguments": "3", "new": true}}),
        ])
    };
    let delta = prop::sample::subsequence(
        vec![
            ("role", json!("assistant")),
            ("content", json!("text \u{e9}\n")),
            ("reasoning_content", json!("hm")),
            ("refusal", json!("no")),
            ("annotations", json!([{"type": "url_citation"}])),
            ("audio", json!({"data": "x"})),
            ("function_call", json!({"name": "f"})),
        ],
        0..7,
    );
    let beside = prop::sample::subsequence(
        vec![("logprobs", json!({"content": []})), ("content_filter_results", json!({"hate": {}})), ("stop_reason", json!(7))],
        0..3,
    );
    let around = prop::sample::subsequence(
        vec![
            ("service_tier", json!("default")),
            ("system_fingerprint", json!("fp")),
            ("obfuscation", json!("xyz")),
            ("usage", json!({"prompt_tokens": 1, "completion_tokens": 2, "prompt_tokens_details": {"cache_write_tokens": 3}})),
        ],
        0..4,
    );
    let reason = prop::option::of(prop::sample::select(vec!["stop", "length", "tool_calls"]));
    let calls = prop::option::of(prop::collection::vec(call(), 1..3));
    (0..3_u32, delta, calls, reason, beside, around).prop_map(|(index, delta, calls, reason, beside, around)| {
        let object = |fields: Vec<(&str, Value)>| Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
        let (mut choice, mut delta, mut chunk) = (object(beside), object(delta), object(around));
        if let Some(calls) = calls {
            delta["tool_calls"] = calls.into();
        }
        (choice["index"], choice["delta"], choice["finish_reason"]) = (index.into(), delta, reason.into());
        (chunk["id"], chunk["object"], chunk["created"], chunk["model"]) =
            ("theirs".into(), "chat.completion.chunk".into(), 9.into(), "their model".into());
        chunk["choices"] = json!([choice]);
        chunk
    })
}

proptest! {
    #[test]
    fn a_chunk_that_is_decoded_and_encoded_says_all_that_it_said(chunk in chunks()) {
        let deltas = decode::chunk(chunk.to_string().as_bytes()).expect("a chunk");
        let bytes = ChunkWriter::new(name(), true).encode(Frames::from_iter([Frame::of(deltas.clone())]).ending());
        let mut again = Vec::new();
        for data in sse::events(&bytes).filter_map(|event| event.data).filter(|data| !sse::is_done(data)) {
            let value: Value = serde_json::from_slice(&data).expect("JSON");
            assert_eq!((&value["id"], &value["created"], &value["model"]), (&json!("theirs"), &json!(9), &json!("their model")));
            for name in ON_EVERY_CHUNK {
                assert_eq!(value.get(name), chunk.get(name), "{value}");
            }
            again.extend(decode::chunk(&data).expect("a chunk"));
        }
        assert_eq!(facts(&again), facts(&deltas));
    }
}

#[test]
fn frames_that_nobody_edited_leave_as_they_came_and_the_others_fit_between_them() {
    let event = |text: &str| {
        let choice = json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}]);
        format!("data: {}\n\n", json!({"id": "theirs", "object": "chat.completion.chunk", "created": 9, "model": "m", "choices": choice}))
    };
    let read = Bytes::from([event("a"), event("b"), event("c")].concat());
    let mut writer = ChunkWriter::new(name(), false);
    assert_eq!(writer.encode(Frames::raw(read.clone())).as_ptr(), read.as_ptr(), "not copied");
    let mut frames: Vec<Frame> = Frames::raw(read.clone()).into_iter().collect();
    assert_eq!(frames.len(), 3);
    frames[1].replace(vec![piece(Piece::Text("[hidden]".into()))]);
    frames.push(Frame::of(vec![piece(Piece::Finish("content_filter".into()))]));
    let bytes = writer.encode(frames.into_iter().collect::<Frames>().ending());
    let text = std::str::from_utf8(&bytes).expect("UTF-8");
    assert!(text.starts_with(&event("a")) && text.ends_with("data: [DONE]\n\n") && text.contains(&event("c")), "{text}");
    let data = sse::events(&bytes).filter_map(|event| event.data).filter(|data| !sse::is_done(data));
    let chunks: Vec<Value> = data.map(|data| serde_json::from_slice(&data).expect("JSON")).collect();
    assert!(chunks.iter().all(|chunk| chunk["id"] == "theirs" && chunk["created"] == 9), "{text}");
    let said: Vec<(&Value, &Value)> =
        chunks.iter().map(|chunk| &chunk["choices"][0]).map(|choice| (&choice["delta"], &choice["finish_reason"])).collect();
    let null = Value::Null;
    let expected = [json!({"content": "a"}), json!({"content": "[hidden]"}), json!({"content": "c"}), json!({})];
    let reasons = [&null, &null, &null, &json!("content_filter")];
    assert_eq!(said, expected.iter().zip(reasons).collect::<Vec<_>>());
}

#[test]
fn comments_that_go_out_first_take_neither_the_role_nor_the_usage_from_a_reply() {
    let comments = [
        vec![Frames::raw(Bytes::from_static(b": ping\n\n"))],
        vec![
            Frames::from_iter([Frame::raw(Bytes::from_static(b": reading\n\n"))]),
            Frames::raw(Bytes::from_static(b": ping\n\n: pong\n\n")),
        ],
    ];
    for comments in comments {
        let mut writer = ChunkWriter::new(name(), true);
        let said = Frames::from_iter([Frame::of(vec![piece(Piece::Text("a".into())), piece(Piece::Finish("stop".into()))])]);
        let out: Vec<u8> = comments.into_iter().chain([said.ending()]).flat_map(|frames| writer.encode(frames)).collect();
        let data = sse::events(&out).filter_map(|event| event.data).filter(|data| !sse::is_done(data));
        let chunks: Vec<Value> = data.map(|data| serde_json::from_slice(&data).expect("JSON")).collect();
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant", "{chunks:?}");
        assert_eq!(
            (chunks.len(), &chunks[3]),
            (
                4,
                &json!({"id": "chatcmpl-ours", "object": "chat.completion.chunk", "created": 7,
            "model": "asked", "choices": [], "usage": null})
            )
        );
    }
}

#[test]
fn a_call_and_its_first_arguments_are_one_chunk_if_they_are_one_frame() {
    let call = |index| piece(Piece::Call { index, id: "t".into(), name: "f".into(), extra: Vec::new() });
    let more = |index| piece(Piece::Arguments { index, text: "{}".into() });
    let written = |deltas: &[Delta]| {
        let (mut writer, mut chunks) = (ChunkWriter::new(name(), false), Vec::<Value>::new());
        writer.frame(deltas, &mut |json| chunks.push(serde_json::from_str(json).expect("JSON")));
        let call = |chunk: &Value| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].clone();
        chunks.iter().skip(1).map(call).collect::<Vec<_>>()
    };
    assert_eq!(written(&[call(0), more(0)]), ["{}"]);
    assert_eq!(written(&[call(0), call(1), more(1), more(0)]), ["", "{}", "{}"]);
}
