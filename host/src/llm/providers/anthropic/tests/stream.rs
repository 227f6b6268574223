//! Replies, whole and streamed: conformance items 1 to 15.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::chat::sse::{self, Framer};
use crate::chat::{Piece, Usage};

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 5, "output_tokens": 1}}})
}

fn block(at: u64, block: &Value) -> Value {
    json!({"type": "content_block_start", "index": at, "content_block": block})
}

fn delta(at: u64, delta: &Value) -> Value {
    json!({"type": "content_block_delta", "index": at, "delta": delta})
}

fn stop(at: u64) -> Value {
    json!({"type": "content_block_stop", "index": at})
}

fn text(at: u64, text: &str) -> [Value; 3] {
    [block(at, &json!({"type": "text", "text": ""})), delta(at, &json!({"type": "text_delta", "text": text})), stop(at)]
}

fn tool(at: u64, id: &str, pieces: &[&str]) -> Vec<Value> {
    let mut events = vec![block(at, &json!({"type": "tool_use", "id": id, "name": "f", "input": {}}))];
    events.extend(pieces.iter().map(|piece| delta(at, &json!({"type": "input_json_delta", "partial_json": piece}))));
    events.push(stop(at));
    events
}

fn end(reason: &str) -> [Value; 2] {
    let usage = json!({"output_tokens": 9});
    [json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}), json!({"type": "message_stop"})]
}

fn stream(middle: impl IntoIterator<Item = Value>, reason: &str) -> Vec<Value> {
    std::iter::once(start()).chain(middle).chain(end(reason)).collect()
}

/// Per call its id and its arguments, put together as a client does.
fn calls(collected: &Collected) -> Vec<(String, String)> {
    let mut calls: Vec<(String, String)> = Vec::new();
    for call in collected.deltas.iter().filter_map(|delta| delta["tool_calls"].get(0)) {
        let at = usize::try_from(call["index"].as_u64().expect("an index")).expect("small");
        match call["id"].as_str() {
            Some(id) => {
                assert_eq!((at, &call["function"]["arguments"]), (calls.len(), &json!("")), "calls are numbered as they begin");
                calls.push((id.to_owned(), String::new()));
            }
            None => calls[at].1.push_str(call["function"]["arguments"].as_str().expect("a fragment")),
        }
    }
    calls
}

/// What a client reads of a stream that comes in these reads.
fn read(reads: &[&[u8]]) -> String {
    let mut framer = Framer::new(1 << 20);
    let mut decoder = plain_decoder();
    let mut deltas = Vec::new();
    for whole in reads.iter().filter_map(|read| framer.push(Bytes::copy_from_slice(read))) {
        for data in sse::events(&whole).filter_map(|event| event.data) {
            decoder.event(&data, &mut deltas).expect("an event");
        }
    }
    assert!(decoder.end(&mut deltas), "the stream came to its end");
    let text = deltas.iter().filter_map(|delta| match delta {
        Delta::Piece { piece: Piece::Text(text), .. } => Some(text.as_str()),
        _ => None,
    });
    text.collect()
}

/// A stream with this text, as Anthropic frames it.
fn framed(content: &str) -> String {
    let frame = |event: Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a type"));
    stream(text(0, content), "end_turn").into_iter().map(frame).collect()
}

#[test]
fn c01_a_character_split_over_two_reads_stays_one() {
    let bytes = framed("漢字 é 😀").into_bytes();
    for cut in 0..=bytes.len() {
        let (a, b) = bytes.split_at(cut);
        assert_eq!(read(&[a, b]), "漢字 é 😀", "cut at {cut}");
    }
}

#[test]
fn c02_an_event_split_over_five_reads_is_one_event() {
    let bytes = framed("one two three four five").into_bytes();
    let at = bytes.windows(3).position(|three| three == b"two").expect("it is there");
    for width in 1..40 {
        let cut = |n: usize| &bytes[at + n * width..(at + (n + 1) * width).min(bytes.len())];
        let reads = [&bytes[..at], cut(0), cut(1), cut(2), &bytes[at + 3 * width..]];
        assert_eq!(read(&reads), "one two three four five", "reads of {width}");
    }
}

#[test]
fn c03_lines_that_end_in_crlf_are_lines() {
    for end in ["\r\n", "\r"] {
        let bytes = framed("a").replace('\n', end).into_bytes();
        assert_eq!(read(&[&bytes]), "a");
        assert_eq!(read(&bytes.chunks(1).collect::<Vec<_>>()), "a");
    }
}

#[test]
fn c04_data_needs_no_space_before_it() {
    assert_eq!(read(&[framed("a").replace("data: ", "data:").as_bytes()]), "a");
}

#[test]
fn c05_comments_and_pings_say_nothing() {
    let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    let between = format!("\n\n: keep-alive\n\n{ping}event: lonely\n\n");
    assert_eq!(read(&[framed("a").replace("\n\n", &between).as_bytes()]), "a");
}

#[test]
fn c06_a_tool_with_no_input_deltas_gets_an_empty_object() {
    for pieces in [&[][..], &["", ""]] {
        let collected = collected(&stream(tool(0, "t", pieces), "tool_use"));
        assert_eq!(calls(&collected), [("t".to_owned(), "{}".to_owned())]);
        assert_eq!(collected.reasons, ["tool_calls"]);
    }
    let whole_at_once = block(0, &json!({"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}));
    assert_eq!(calls(&collected(&stream([whole_at_once, stop(0)], "tool_use")))[0].1, "{\"a\":1}");
}

#[test]
fn c07_two_parallel_tools_are_calls_0_and_1() {
    let events = text(0, "Let me see.").into_iter().chain(tool(1, "a", &["{\"x\":", "1}"])).chain(tool(2, "b", &["{}"]));
    let collected = collected(&stream(events, "tool_use"));
    assert_eq!(calls(&collected), [("a".to_owned(), "{\"x\":1}".to_owned()), ("b".to_owned(), "{}".to_owned())]);
}

#[test]
fn c08_text_tool_and_text_come_in_their_order() {
    let events: Vec<Value> = text(0, "a").into_iter().chain(tool(1, "t", &["{}"])).chain(text(2, "b")).collect();
    let streamed = collected(&stream(events, "end_turn"));
    assert_eq!(streamed.deltas[1], json!({"content": "a"}));
    assert_eq!(streamed.deltas[4], json!({"content": "b"}));
    assert_eq!(calls(&streamed).len(), 1);
    let content =
        json!([{"type": "text", "text": "a"}, {"type": "tool_use", "id": "t", "name": "f", "input": {}}, {"type": "text", "text": "b"}]);
    let message = whole(&json!({"content": content, "stop_reason": "tool_use"})).expect("a reply")["choices"][0]["message"].clone();
    assert_eq!((&message["content"], &message["tool_calls"][0]["id"]), (&json!("ab"), &json!("t")));
}

#[test]
fn c09_thinking_is_told_as_it_grows_and_given_whole_with_its_signature() {
    let events = [
        block(0, &json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, &json!({"type": "thinking_delta", "thinking": "Hm"})),
        delta(0, &json!({"type": "thinking_delta", "thinking": "m."})),
        delta(0, &json!({"type": "signature_delta", "signature": "c2ln"})),
        stop(0),
    ];
    let collected = collected(&stream(events.into_iter().chain(text(1, "Yes")), "end_turn"));
    let blocks = json!([{"type": "thinking", "thinking": "Hmm.", "signature": "c2ln", "index": 0}]);
    let expected = [
        json!({"reasoning_content": "Hm"}),
        json!({"reasoning_content": "m."}),
        json!({"thinking_blocks": blocks}),
        json!({"content": "Yes"}),
    ];
    assert_eq!(collected.deltas[1..5], expected);
}

#[test]
fn c09_thinking_that_is_not_shown_still_keeps_its_signature() {
    let events = [
        block(0, &json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, &json!({"type": "signature_delta", "signature": "c2ln"})),
        stop(0),
    ];
    let collected = collected(&stream(events, "end_turn"));
    assert_eq!(collected.deltas[1], json!({"thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "c2ln", "index": 0}]}));
    assert!(collected.deltas.iter().all(|delta| delta.get("reasoning_content").is_none()));
}

#[test]
fn c10_redacted_thinking_is_given_as_it_is() {
    let redacted = json!({"type": "redacted_thinking", "data": "b3BhcXVl"});
    let streamed = collected(&stream([block(0, &redacted), stop(0)], "end_turn"));
    assert_eq!(streamed.deltas[1], json!({"thinking_blocks": [{"type": "redacted_thinking", "data": "b3BhcXVl", "index": 0}]}));
    let reply = whole(&json!({"content": [redacted, {"type": "text", "text": "a"}], "stop_reason": "end_turn"})).expect("a reply");
    let message = &reply["choices"][0]["message"];
    assert_eq!((&message["thinking_blocks"], message.get("reasoning_content")), (&json!([redacted]), None));
}

#[test]
fn c10_thoughts_of_a_stream_are_numbered_for_clients_and_go_back_without_their_numbers() {
    let redacted = json!({"type": "redacted_thinking", "data": "b3BhcXVl"});
    let thinking = json!({"type": "thinking", "thinking": "Hm", "signature": "c2ln"});
    let collected = collected(&stream([block(0, &redacted), stop(0), block(1, &thinking), stop(1)], "end_turn"));
    let blocks: Vec<Value> = collected.deltas.iter().filter_map(|delta| delta.get("thinking_blocks")?.get(0).cloned()).collect();
    assert_eq!(blocks.iter().map(|block| block["index"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(1)]);
    let wire = wire(&of(json!([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "thinking_blocks": blocks}])));
    assert_eq!(wire["messages"][1]["content"], json!([redacted, thinking, {"type": "text", "text": "b"}]));
}

#[test]
fn c11_an_error_inside_a_stream_is_an_error_before_and_after_the_first_token() {
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    for (before, expected) in [(vec![start()], 1), (std::iter::once(start()).chain(text(0, "a")).collect(), 2)] {
        let events: Vec<Value> = before.into_iter().chain([error.clone()]).collect();
        let collected = collected(&events);
        assert_eq!((collected.deltas.len(), collected.complete, collected.reasons.len()), (expected, false, 0));
        let Some(DecodeError::Error(status, error)) = collected.error else { panic!("an error: {:?}", collected.error) };
        assert_eq!((status.as_u16(), error.message.as_deref(), error.code.as_deref()), (529, Some("Overloaded"), Some("overloaded_error")));
    }
    assert!(matches!(whole(&error), Err(DecodeError::Error(status, _)) if status.as_u16() == 529));
}

#[test]
fn c12_a_stream_without_message_stop_is_not_complete_and_has_no_reason() {
    let events = stream(text(0, "a"), "end_turn");
    for until in 0..events.len() {
        let collected = collected(&events[..until]);
        assert!(!collected.complete && collected.reasons.is_empty(), "{until}");
    }
    let collected = collected(&events);
    assert!(collected.complete);
    assert_eq!(collected.reasons, ["stop"]);
}

#[test]
fn c13_usage_counts_wherever_it_stands() {
    let start = |usage: Value| json!({"type": "message_start", "message": {"id": "m", "usage": usage}});
    let end = |usage: Value| {
        [json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}), json!({"type": "message_stop"})]
    };
    let usage = |first: Value, last: Value| collected(&[&[start(first)][..], &end(last)].concat()).usage.expect("usage");
    let counts = Usage { prompt: 12, completion: 9, cached: 2, ..Usage::default() };
    let input = json!({"input_tokens": 10, "cache_read_input_tokens": 2});
    let all = json!({"input_tokens": 10, "cache_read_input_tokens": 2, "output_tokens": 9});
    assert_eq!(usage(json!({"input_tokens": 10, "cache_read_input_tokens": 2, "output_tokens": 1}), json!({"output_tokens": 9})), counts);
    assert_eq!(usage(json!({"input_tokens": 0, "output_tokens": 0}), all.clone()), counts);
    assert_eq!(usage(json!(null), all), counts);
    assert_eq!(usage(input, json!({"input_tokens": 0, "output_tokens": 9})), counts);
}

#[test]
fn c14_a_whole_replys_usage_includes_the_cache() {
    let usage = json!({"input_tokens": 5, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 7});
    let reply = whole(&json!({"content": [], "stop_reason": "end_turn", "usage": usage})).expect("a reply");
    let collected = &reply["usage"];
    assert_eq!((&collected["prompt_tokens"], &collected["total_tokens"]), (&json!(115), &json!(122)));
    assert_eq!(collected["prompt_tokens_details"]["cached_tokens"], 100);
}

#[test]
fn c15_content_is_null_where_there_are_only_calls() {
    let call = json!({"type": "tool_use", "id": "t", "name": "f", "input": null});
    let reply = whole(&json!({"content": [call], "stop_reason": "tool_use"})).expect("a reply");
    let message = &reply["choices"][0]["message"];
    assert_eq!((&message["content"], &message["refusal"]), (&Value::Null, &Value::Null));
    assert_eq!(message["tool_calls"][0]["function"], json!({"name": "f", "arguments": "{}"}));
    let empty = whole(&json!({"content": [], "stop_reason": "end_turn"})).expect("a reply");
    assert_eq!(empty["choices"][0]["message"]["content"], "");
}

#[test]
fn every_stop_reason_has_its_word() {
    for (theirs, ours) in [
        (json!("end_turn"), "stop"),
        (json!("stop_sequence"), "stop"),
        (json!("max_tokens"), "length"),
        (json!("model_context_window_exceeded"), "length"),
        (json!("compaction"), "length"),
        (json!("pause_turn"), "length"),
        (json!("refusal"), "content_filter"),
        (json!("news_to_us"), "stop"),
        (json!(null), "stop"),
    ] {
        let reply = whole(&json!({"content": [{"type": "text", "text": "a"}], "stop_reason": theirs})).expect("a reply");
        assert_eq!(reply["choices"][0]["finish_reason"], ours, "{theirs}");
        let end = json!({"type": "message_delta", "delta": {"stop_reason": theirs}});
        assert_eq!(collected(&[start(), end, json!({"type": "message_stop"})]).reasons, [ours], "{theirs}");
    }
    let unsaid = whole(&json!({"content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]})).expect("a reply");
    assert_eq!(unsaid["choices"][0]["finish_reason"], "tool_calls", "or clients would not run the call");
}

#[test]
fn a_reply_without_names_gets_ours() {
    let reply = whole(&json!({"content": []})).expect("a reply");
    assert_eq!((&reply["id"], &reply["model"], &reply["created"]), (&json!("chatcmpl-ours"), &json!(MODEL), &json!(7)));
}

#[test]
fn an_id_or_a_model_that_every_chunk_would_make_huge_is_not_taken() {
    let reply = |bytes: usize| json!({"id": "x".repeat(bytes), "model": "x".repeat(bytes), "content": []});
    let kept = whole(&reply(1 << 10)).expect("a reply");
    assert_eq!((kept["id"].as_str().map(str::len), kept["model"].as_str().map(str::len)), (Some(1 << 10), Some(1 << 10)));
    for bytes in [0, (1 << 10) + 1] {
        let ours = whole(&reply(bytes)).expect("a reply");
        assert_eq!((&ours["id"], &ours["model"]), (&json!("chatcmpl-ours"), &json!(MODEL)));
        let mut deltas = Vec::new();
        let event = json!({"type": "message_start", "message": reply(bytes)}).to_string();
        plain_decoder().event(event.as_bytes(), &mut deltas).expect("an event");
        assert!(matches!(&deltas[0], Delta::Head { id: None, model: None, .. }), "{:?}", &deltas[0]);
    }
}

#[test]
fn an_answer_beside_real_calls_is_content_beside_calls() {
    let format = json!({"type": "json_object"});
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let body = with(json!({"response_format": format, "tools": tools}));
    let answer = block(0, &json!({"type": "tool_use", "id": "t0", "name": "json_tool_call", "input": {}}));
    let events = [answer, delta(0, &json!({"type": "input_json_delta", "partial_json": "{\"a\":1}"})), stop(0)];
    let decoder = |body: &Value| asked(body, Unsupported::Refuse).expect("fits").1;
    let collected = collected_from(decoder(&body), &stream(events.clone().into_iter().chain(tool(1, "t1", &["{}"])), "tool_use"));
    assert_eq!(collected.deltas[1], json!({"content": "{\"a\":1}"}));
    assert_eq!(
        (calls(&collected), collected.reasons.as_slice()),
        (vec![("t1".to_owned(), "{}".to_owned())], &["tool_calls".to_owned()][..])
    );
    let collected = collected_from(decoder(&body), &stream(events, "tool_use"));
    assert_eq!(collected.reasons, ["stop"]);
}

#[test]
fn a_relays_done_and_what_follows_the_end_say_nothing() {
    let mut decoder = plain_decoder();
    let mut deltas = Vec::new();
    decoder.event(b"[DONE]", &mut deltas).expect("passed over");
    assert!(deltas.is_empty() && !decoder.end(&mut deltas));
    let events: Vec<Value> = stream(text(0, "a"), "end_turn").into_iter().chain(text(0, "late")).chain([json!("odd")]).collect();
    let collected = collected(&events);
    assert!(collected.complete && collected.error.is_none() && collected.deltas.len() == 3);
}

#[test]
fn what_is_no_event_of_theirs_is_malformed() {
    for event in [
        json!({}),
        json!([]),
        delta(3, &json!({"type": "text_delta", "text": "a"})),
        json!({"type": "content_block_start", "index": 0}),
        json!({"type": "content_block_delta", "index": 0}),
        block(0, &json!({"type": "tool_use", "name": "f"})),
        block(0, &json!({"text": "a"})),
    ] {
        assert!(matches!(collected(&[start(), event.clone()]).error, Some(DecodeError::Malformed(_))), "{event}");
    }
    for reply in [json!({}), json!([]), json!({"content": "a"}), json!({"content": [{"type": "tool_use"}]})] {
        assert!(matches!(whole(&reply), Err(DecodeError::Malformed(_))), "{reply}");
    }
}

#[test]
fn events_of_new_kinds_say_nothing_whatever_they_hold() {
    let new = [json!({"type": "status", "message": "busy", "delta": 1, "index": "x"}), json!({"type": "ping"})];
    let collected = collected(&stream(new.into_iter().chain(text(0, "a")), "end_turn"));
    assert_eq!((collected.deltas.len(), collected.complete, collected.error), (3, true, None));
}

#[test]
fn an_error_that_does_not_say_what_is_wrong_is_an_error() {
    assert!(matches!(collected(&[start(), json!({"type": "error"})]).error, Some(DecodeError::Error(StatusCode::BAD_GATEWAY, _))));
}

proptest! {
    #[test]
    fn no_order_of_events_breaks_what_clients_rely_on(order in prop::collection::vec(0..12_usize, 0..24)) {
        let kinds: Vec<Value> = std::iter::once(start())
            .chain(text(0, "a"))
            .chain(tool(1, "t", &["{}"]))
            .chain([
                block(0, &json!({"type": "thinking", "thinking": "h"})),
                delta(0, &json!({"type": "signature_delta", "signature": "s"})),
                block(1, &json!({"type": "redacted_thinking", "data": "d"})),
            ])
            .chain(end("tool_use"))
            .collect();
        let events: Vec<Value> = order.iter().map(|at| kinds[*at].clone()).collect();
        let collected = collected(&events);
        prop_assert_eq!(collected.reasons.len(), usize::from(collected.complete));
        calls(&collected);
        if let Some(first) = collected.deltas.first() {
            prop_assert_eq!(first, &json!({"role": "assistant", "content": ""}));
        }
    }
}

#[test]
fn open_blocks_and_held_thought_are_bounded() {
    let opens = |count: u64| std::iter::once(start()).chain((0..count).map(|at| block(at, &json!({"type": "text", "text": ""}))));
    assert!(collected(&opens(64).collect::<Vec<_>>()).error.is_none());
    assert!(matches!(collected(&opens(65).collect::<Vec<_>>()).error, Some(DecodeError::Malformed(_))));
    let thought = |bytes: usize| {
        let more = delta(0, &json!({"type": "thinking_delta", "thinking": "x".repeat(bytes)}));
        collected(&[start(), block(0, &json!({"type": "thinking", "thinking": ""})), more]).error
    };
    assert!(thought(4 << 20).is_none());
    assert!(matches!(thought((4 << 20) + 1), Some(DecodeError::Malformed(_))));
}
