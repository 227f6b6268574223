//! Places of stream hooks: they are bounded, they are not those of quick hooks, and a client that leaves gives its place back.

use super::*;

/// One place for stream hooks, and one for quick ones.
const ONE: &str = "[limits.plugins]\nstreams = 1\ncalls = 1\nqueue_time = ";

#[tokio::test]
async fn a_reply_holds_a_place_of_stream_hooks_and_none_of_quick_ones() {
    let upstream = Upstream::start().await;
    upstream.next(Script::stream().event(&delta("fine")).hang());
    let quick = "[[pipelines]]\nid = \"quick\"\npipeline = [ { stage = \"pre_hook\", config = { function_id = \"noop-pre\" } }, { stage = \"llm\", config = { primary = { provider = \"up\", model = \"m\" } } } ]";
    let server = server(&upstream, &["streamer"], "transform", "none", &format!("{ONE}\"0s\"\n{quick}")).plugin("noop_pre").start();
    let mut held = asked(&server).await;
    held.next().await.expect("framed").expect("an event");
    upstream.next(Script::says("quick"));
    let client = Client::of(server.address);
    assert_eq!(client.chat("quick", "hi", json!({})).await.ok().content(), "quick", "the quick hook has its place");
    let asked_so_far = upstream.requests().len();
    assert_eq!(asked(&server).await.answer().await.refused(503), "plugin_busy", "the second stream has none");
    assert_eq!(upstream.requests().len(), asked_so_far, "and the model is not asked for what nobody could look at");
    upstream.next(Script::says("whole"));
    assert_eq!(client.chat("p", "hi", json!({})).await.ok().content(), "whole", "a whole reply takes no place of streams");
    drop(held);
}

#[tokio::test]
async fn a_client_that_leaves_gives_the_place_back() {
    let upstream = Upstream::start().await;
    let server = server(&upstream, &["streamer"], "transform", "none", &format!("{ONE}\"60s\"")).start();
    for round in 0..3 {
        upstream.next(Script::stream().event(&delta("fine")).hang());
        let mut stream = asked(&server).await;
        stream.next().await.expect("framed").unwrap_or_else(|| panic!("an event in round {round}"));
        drop(stream);
        upstream.hung_up().await;
    }
}
