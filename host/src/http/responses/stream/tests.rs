//! Framed and bare chat streams, whole and broken, and what is asked of the provider while nobody reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use super::*;
use crate::http::responses::echo::Echo;
use crate::http::responses::object::Frame;
use crate::http::responses::request::Include;

fn responding(pieces: Pieces, framed: bool) -> Responding {
    Responding::new(pieces, framed, Writer::new(Frame::new("asked".into(), Echo::new()), Include::default(), 1 << 20))
}

fn delta(text: &str) -> String {
    json!({"model": "theirs", "choices": [{"index": 0, "delta": {"content": text}}]}).to_string()
}

fn pieces(items: Vec<Result<String, StreamError>>) -> Pieces {
    Box::pin(stream::iter(items.into_iter().map(|item| item.map(Bytes::from))))
}

/// Types of the events and how the last one ended.
async fn told(responding: Responding) -> (Vec<String>, Vec<&'static str>) {
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
    let bare = pieces(vec![Ok(delta("a")), Ok(delta("b"))]);
    assert_eq!(told(responding(bare, false)).await, (WHOLE.map(str::to_owned).to_vec(), vec!["done"]));
    // Two events in one item, odd line ends, data in two lines.
    let (a, b) = (delta("a"), delta("b").replacen(',', ",\r\ndata:", 1));
    let framed = pieces(vec![Ok(format!("data:{a}\r\n\r\nevent: x\r\ndata: {b}\r\n\r\n")), Ok("data: [DONE]\n\n".into())]);
    assert_eq!(told(responding(framed, true)).await, (WHOLE.map(str::to_owned).to_vec(), vec!["done"]));
}

#[tokio::test]
async fn a_provider_that_only_says_it_is_there_is_heard() {
    let framed = pieces(vec![Ok(": thinking\n\n".into()), Ok(format!("data: {}\n\ndata: [DONE]\n\n", delta("a")))]);
    let (kinds, _) = told(responding(framed, true)).await;
    assert_eq!((kinds[0].as_str(), kinds[1].as_str(), kinds.last().map(String::as_str)), (": ping", "created", Some("completed")));
}

#[tokio::test]
async fn a_break_ends_the_response_as_failed_and_in_nothing_more() {
    let cases = [
        (vec![Err(broken()), Ok(delta("late"))], 3, "upstream_cut"),
        (vec![Ok(delta("a")), Err(broken()), Ok(delta("late"))], 6, "upstream_cut"),
        (vec![Ok(delta("a")), Ok("{\"error\":{\"message\":\"overloaded\"}}".into()), Ok(delta("late"))], 6, "upstream_error"),
        (vec![Ok("half".into()), Ok(delta("late"))], 3, "upstream_garbled"),
    ];
    for (items, count, code) in cases {
        let (kinds, ended) = told(responding(pieces(items), false)).await;
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
        Ok(Bytes::from(delta("a")))
    });
    let mut responding = responding(Box::pin(endless), false);
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
    let items = stream::iter(["data: [DONE]\n\n", ": bye\n\n"]).map(move |item| {
        counter.fetch_add(1, Ordering::SeqCst);
        Ok(Bytes::from(item))
    });
    let mut responding = responding(Box::pin(items), true);
    let mut last = None;
    while let Some(event) = responding.next().await {
        last = Some(event);
    }
    let text = last.map(|event| String::from_utf8_lossy(&event.bytes).into_owned()).expect("a last event");
    let value: Value = serde_json::from_str(text.trim_end().split_once("data: ").expect("data").1).expect("JSON");
    assert_eq!((&value["type"], asked.load(Ordering::SeqCst)), (&json!("response.completed"), 2));
}
