//! What every stream of chunks keeps to, and that nothing is lost between a chunk, its deltas and the chunks of those.

use serde_json::{Value, json};

use super::*;

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
