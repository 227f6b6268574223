//! Whoever drops the future or the reply hangs up on the provider, at every point of a try.

use super::*;
use crate::upstream::{Script, delta};

/// Asks, drops the future once the upstream has the request, and waits for the upstream to notice.
async fn dropped_while_waiting(script: Script, mode: Mode) {
    let upstream = Upstream::start().await;
    upstream.next(script);
    let llm = llm(&[&upstream]);
    let (chain, exchange) = ([target("a")], exchange());
    tokio::select! {
        _ = llm.answer(&chain, &exchange, mode) => panic!("must wait"),
        () = upstream.received() => {}
    }
    upstream.hung_up().await;
}

#[tokio::test]
async fn dropping_the_future_before_the_head_hangs_up() {
    for mode in [Mode::Whole, Mode::Stream] {
        dropped_while_waiting(Script::default().hang(), mode).await;
    }
}

#[tokio::test]
async fn dropping_the_future_before_the_first_event_or_the_bodys_end_hangs_up() {
    dropped_while_waiting(Script::stream().piece(": ping\n\n").hang(), Mode::Stream).await;
    dropped_while_waiting(Script::chunked(200, &[]).piece("{").hang(), Mode::Whole).await;
    dropped_while_waiting(Script::chunked(500, &[]).piece("{").hang(), Mode::Whole).await;
}

#[tokio::test]
async fn dropping_the_reply_mid_stream_hangs_up() {
    let upstream = Upstream::start().await;
    upstream.next(Script::stream().event(&delta("one")).hang()).next(Script::stream().event(&delta("two")).hang());
    let llm = llm(&[&upstream]);
    let mut read = pieces(streamed(&llm).await);
    read.next().await.expect("a piece").expect("no error");
    drop(read);
    upstream.hung_up().await;
    let unread = streamed(&llm).await;
    drop(unread);
    upstream.hung_up().await;
    assert_eq!(upstream.connections(), 2);
}
