//! Framed and bare chat streams, whole and broken, and what is asked of the provider while nobody reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::*;
use crate::chat::{Delta, Frames, Name, Piece, decode};
use crate::http::surface::openai::responses::echo::Echo;
use crate::http::surface::openai::responses::object;
use crate::http::surface::openai::responses::request::Include;

fn responding(items: impl Stream<Item = Result<Frames, StreamError>> + Send + 'static) -> ResponseStream {
    let name = Name { id: "c".into(), model: "m".into(), created: 7 };
    let writer = Writer::new(object::Frame::new("asked".into(), Echo::new()), Include::default(), 1 << 20);
    ResponseStream::new(ReplyStream::new(items, name, true), writer)
}

fn delta(text: &str) -> String {
    json!({"model": "theirs", "choices": [{"index": 0, "delta": {"content": text}}]}).to_string()
}

/// An item of one frame that has only its deltas, or only its bytes.
fn frame(data: &str, bytes: bool) -> Frames {
    if bytes {
        return raw(&format!("data: {data}\n\n"));
    }
    Frames::from_iter([Frame::of(decode::chunk(data.as_bytes()).expect("a chunk"))])
}

fn raw(events: &str) -> Frames {
    Frames::raw(Bytes::from(events.to_owned()))
}

fn end() -> Frames {
    Frames::default().ending()
}

/// Types of the events and how the last one ended.
async fn events_of(responding: ResponseStream) -> (Vec<String>, Vec<&'static str>) {
    let events: Vec<Event> = responding.collect().await;
    let kind = |event: &Event| {
        let text = String::from_utf8_lossy(&event.bytes).into_owned();
        text.lines().next().map(|line| line.trim_start_matches("event: response.").to_owned()).expect("a line")
    };
    (events.iter().map(kind).collect(), events.iter().filter_map(|event| event.ended).collect())
}

const WHOLE: [&str; 10] = [
    "created",
    "in_progress",
    "output_item.added",
    "content_part.added",
    "output_text.delta",
    "output_text.delta",
    "output_text.done",
    "content_part.done",
    "output_item.done",
    "completed",
];

fn broken() -> StreamError {
    StreamError { message: "cut".into(), code: "upstream_cut" }
}

#[tokio::test]
async fn bare_chunks_and_framed_events_tell_the_same() {
    let bare = vec![Ok(frame(&delta("a"), false)), Ok(frame(&delta("b"), false).ending())];
    assert_eq!(events_of(responding(stream::iter(bare))).await, (WHOLE.map(str::to_owned).to_vec(), vec!["done"]));
    // Two events in one item, odd line ends, data in two lines.
    let (a, b) = (delta("a"), delta("b").replacen(',', ",\r\ndata:", 1));
    let framed = vec![Ok(raw(&format!("data:{a}\r\n\r\nevent: x\r\ndata: {b}\r\n\r\n"))), Ok(end())];
    assert_eq!(events_of(responding(stream::iter(framed))).await, (WHOLE.map(str::to_owned).to_vec(), vec!["done"]));
}

#[tokio::test]
async fn a_provider_that_only_says_it_is_there_is_heard() {
    let last = frame(&delta("a"), true).ending();
    let (kinds, _) = events_of(responding(stream::iter(vec![Ok(raw(": thinking\n\n")), Ok(last)]))).await;
    assert_eq!((kinds[0].as_str(), kinds[1].as_str(), kinds.last().map(String::as_str)), (": ping", "created", Some("completed")));
}

/// The output of the last event.
async fn output(responding: ResponseStream) -> Value {
    let events: Vec<Event> = responding.collect().await;
    let last = String::from_utf8_lossy(&events.last().expect("an event").bytes).into_owned();
    let data = last.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
    serde_json::from_str::<Value>(data).expect("JSON")["response"]["output"].take()
}

#[tokio::test]
async fn a_whole_reply_that_became_a_stream_keeps_its_reasoning_and_its_refusal() {
    let streamed = |message: Value| {
        let body = json!({"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).to_string();
        let completion = crate::chat::codec::parse_completion(body.as_bytes()).expect("a completion");
        let frames: Vec<_> = crate::chat::stream::frames(completion).map(|frame| Ok(Frames::from_iter([frame]))).collect();
        output(responding(stream::iter(frames.into_iter().chain([Ok(end())]))))
    };
    let refused = streamed(json!({"role": "assistant", "content": null, "refusal": "I can't"})).await;
    assert_eq!(refused[0]["content"], json!([{"type": "refusal", "refusal": "I can't"}]), "{refused}");
    for field in ["reasoning_content", "reasoning"] {
        let thought = streamed(json!({"role": "assistant", "content": "hi", field: "hm"})).await;
        let kinds: Vec<_> = thought.as_array().expect("a list").iter().map(|item| item["type"].as_str().expect("a type")).collect();
        assert_eq!((&kinds[..], &thought[1]["content"][0]["text"]), (&["reasoning", "message"][..], &json!("hi")), "{thought}");
        assert!(thought[0].to_string().contains("hm"), "{thought}");
    }
}

#[tokio::test]
async fn what_one_event_says_comes_in_its_order() {
    let piece = |piece| Delta::Piece { choice: 0, piece };
    let call = || [piece(Piece::Call { index: 0, id: "t".into(), name: "f".into(), extra: Vec::new() })];
    let text = |text: &str| [piece(Piece::Text(text.into()))];
    let kinds = async |deltas: Vec<Delta>| {
        let output = output(responding(stream::iter([Ok(Frames::from_iter([Frame::of(deltas)])), Ok(end())]))).await;
        output.as_array().expect("a list").iter().map(|item| item["type"].as_str().expect("a type").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(kinds([text("A").as_slice(), &call(), &text("B")].concat()).await, ["message", "function_call", "message"]);
    assert_eq!(kinds([call().as_slice(), &text("B")].concat()).await, ["function_call", "message"]);
    assert_eq!(kinds([text("A").as_slice(), &[piece(Piece::Reasoning("hm".into()))]].concat()).await, ["message", "reasoning"]);
}

#[tokio::test]
async fn a_break_ends_the_response_as_failed_and_in_nothing_more() {
    let of = |data: &str| Ok(frame(data, true));
    let cases = [
        (vec![Err(broken()), of(&delta("late"))], 3, "upstream_cut"),
        (vec![of(&delta("a")), Err(broken()), of(&delta("late"))], 6, "upstream_cut"),
        (vec![of(&delta("a")), of("{\"error\":{\"message\":\"overloaded\"}}"), of(&delta("late"))], 6, "upstream_error"),
        (vec![of("half"), of(&delta("late"))], 3, "upstream_garbled"),
        (vec![of(&delta("a"))], 6, "upstream_cut"),
    ];
    for (items, count, code) in cases {
        let (kinds, ended) = events_of(responding(stream::iter(items))).await;
        assert_eq!((kinds.len(), kinds.last().map(String::as_str), &ended[..]), (count, Some("failed"), &[code][..]), "{kinds:?}");
        assert_eq!(&kinds[..2], ["created", "in_progress"]);
    }
}

#[tokio::test]
async fn the_provider_is_asked_only_for_what_the_client_has_room_for() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let endless = stream::repeat_with(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(frame(&delta("a"), false))
    });
    let mut responding = responding(endless);
    for _ in 0..5 {
        responding.next().await.expect("an event");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the first piece alone makes five events");
    responding.next().await.expect("an event");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn after_the_last_event_the_rest_is_read_away() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let items = stream::iter([end(), raw(": bye\n\n")]).map(move |item| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(item)
    });
    let mut responding = responding(items);
    let mut last = None;
    while let Some(event) = responding.next().await {
        last = Some(event);
    }
    let text = last.map(|event| String::from_utf8_lossy(&event.bytes).into_owned()).expect("a last event");
    let value: Value = serde_json::from_str(text.trim_end().split_once("data: ").expect("data").1).expect("JSON");
    assert_eq!((&value["type"], asked.load(Ordering::SeqCst)), (&json!("response.completed"), 2));
}
