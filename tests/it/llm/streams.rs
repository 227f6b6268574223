//! Streams: passed on as they come, ended by `[DONE]` or by an error, never by half an event.

use serde_json::json;

use super::*;
use crate::upstream::{Script, Signal, delta, finish};

#[tokio::test]
async fn a_stream_passes_through_as_it_was_sent_from_its_first_event_on() {
    let upstream = Upstream::start().await;
    let words = ["one", "two", "漢字"].map(|word| format!("data: {}\n\n", delta(word)));
    let sent = format!("event: x\nid: 1\n{}: ping\n\n{}{}data: {}\n\ndata: [DONE]\n\n", words[0], words[1], words[2], finish());
    let bytewise = sent.as_bytes().chunks(1).fold(Script::stream(), |script, byte| script.piece(byte)).end();
    let after_ping = Script::stream().piece(": hello\n\n").piece(&sent).end();
    for script in [Script::stream().piece(&sent).end(), bytewise, after_ping] {
        upstream.next(script);
        let (text, broken) = drain(streamed(&llm(&[&upstream])).await).await;
        // A ping before the first event comes along only if one read had both.
        assert_eq!(text.strip_prefix(": hello\n\n").unwrap_or(&text), sent);
        assert!(broken.is_none());
    }
}

#[tokio::test]
async fn an_event_is_passed_on_before_the_next_is_there() {
    let (upstream, signal) = (Upstream::start().await, Signal::default());
    upstream.next(Script::stream().event(&delta("one")).wait(&signal).event(&finish()).event("[DONE]").end());
    let mut pieces = pieces(streamed(&llm(&[&upstream])).await);
    let first = pieces.next().await.expect("a piece").expect("no error");
    assert_eq!(first, format!("data: {}\n\n", delta("one")));
    signal.fire();
    let mut rest = Vec::new();
    while let Some(piece) = pieces.next().await {
        rest.extend_from_slice(&piece.expect("no error"));
    }
    assert_eq!(rest, format!("data: {}\n\ndata: [DONE]\n\n", finish()).as_bytes());
    assert!(pieces.next().await.is_none());
}

#[tokio::test]
async fn a_stream_cut_after_its_first_event_ends_in_an_error_without_half_an_event() {
    let whole = format!("data: {}\n\n", delta("one"));
    let open = || Script::stream().event(&delta("one"));
    for (case, script) in [
        ("cut between events", open().cut()),
        ("cut inside an event", open().piece("data: {\"choices\":[").cut()),
        ("cut inside [DONE]", open().piece("data: [DONE]\n").cut()),
        ("end without [DONE]", open().end()),
        ("end inside an event", open().piece("data: {}\n").end()),
    ] {
        let upstream = Upstream::start().await;
        upstream.next(script);
        let (text, broken) = drain(streamed(&llm(&[&upstream])).await).await;
        assert_eq!(text, whole, "{case}");
        let broken = broken.unwrap_or_else(|| panic!("{case}: must break"));
        assert_eq!((broken.code, &*broken.message), ("upstream_cut", "provider `a` closed the stream before its end"), "{case}");
    }
}

#[tokio::test]
async fn after_done_the_stream_ends_even_if_the_provider_does_not() {
    let upstream = Upstream::start().await;
    upstream.next(Script::stream().event(&delta("one")).piece("data: [DONE]\n\ndata: late\n\n").hang());
    let (text, broken) = drain(streamed(&llm(&[&upstream])).await).await;
    assert!(text.ends_with("data: [DONE]\n\n") && broken.is_none(), "{text}");
    upstream.hung_up().await;
}

#[tokio::test]
async fn pings_and_empty_events_do_not_begin_a_stream() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let pings = Script::stream().piece(": PROCESSING\n\n\n\n\r\n").piece("event: ping\n\n").piece("data:\n\n").event(r#"{"type":"ping"}"#);
    a.next(pings.cut());
    b.next(Script::streams(&["hi"]));
    let answer = llm(&[&a, &b]).answer(&[target("a"), target("b")], &exchange(), Mode::Stream).await.expect("an answer");
    assert_eq!(answer.provider, "b");
}

#[tokio::test]
async fn a_json_reply_to_a_stream_request_becomes_chunks_with_usage_only_if_asked_for() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("hello there"));
    let llm = llm(&[&upstream]);
    for wanted in [false, true] {
        let mut exchange = exchange();
        let options = json!({"include_usage": wanted}).to_string();
        exchange.params.push(("stream_options".into(), cofferdam::chat::codec::json(options).expect("JSON")));
        let answer = llm.answer(&[target("a")], &exchange, Mode::Stream).await.expect("an answer");
        let (text, broken) = drain(answer).await;
        assert!(broken.is_none() && text.ends_with("\n\ndata: [DONE]\n\n"), "{text}");
        let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
        let chunks: Vec<Value> = data.map(|data| serde_json::from_str(data).expect("JSON")).collect();
        let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, "hello there");
        assert_eq!(chunks.last().expect("chunks")["usage"]["total_tokens"] == 3, wanted);
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn a_json_reply_to_a_stream_request_that_is_no_completion_is_garbled() {
    let upstream = Upstream::start().await;
    for body in [r#"{"id":"x"}"#, r#"{"choices":[{"index":0}]}"#, "oops"] {
        upstream.next(Script::reply(200, &[("content-type", "application/json")], body));
        let error = failure(&llm(&[&upstream]), Mode::Stream).await;
        assert!(matches!(error, Error::InvalidReply { .. }), "{error}");
    }
}
