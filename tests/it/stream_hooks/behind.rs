//! What stream hooks leave behind a reply: metadata for the hooks that are told of the exchange, and last work that a drain waits for.

use super::*;

/// A pipeline whose stream hooks are followed by the teller, which says what it was told.
fn telling(upstream: &Upstream, plugins: &[&str], mode: &str, act: &str, more: &str) -> Server {
    let mut plugins = plugins.to_vec();
    plugins.push("teller");
    let ids = format!("{plugins:?}");
    let url = upstream.url();
    let config = format!(
        r#"
        [providers.up]
        kind = "openai"
        base_url = "{url}"
        [plugins.streamer]
        config = {{ mode = "{mode}", act = "{act}" }}
        limits = {{ time = "10m", fuel = 1_000_000_000_000_000, reply_time = "10m" }}
        {more}
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }}, {{ stage = "post_hook", config = {{ function_ids = {ids} }} }} ]
        "#
    );
    let builder = Server::with(&config).plugin("streamer").plugin("streamer_2").plugin("bad_status");
    builder.plugin_as("teller_1", "teller").start()
}

fn told_of(server: &Server, question: &str) -> String {
    server.wait_for_line(|line| line.contains("told by") && line.contains(&format!("request={question} ")))
}

async fn asks(server: &Server, question: &str) -> Streaming {
    Client::of(server.address).chat_stream("p", question, json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_hook_leaves_at_its_close_reaches_the_hooks_that_are_told() {
    let upstream = Upstream::start().await;
    upstream.always(Script::streams(&["a", "b"]));
    for mode in ["transform", "observe"] {
        let server = telling(&upstream, &["streamer", "streamer-2"], mode, "none", "");
        asks(&server, "left").await.all().await.expect("a stream");
        let line = told_of(&server, "left");
        assert!(line.contains("metadata=pushes ") && line.contains("replies=ab "), "{mode}: {line}");
    }
    let server = telling(&upstream, &["streamer"], "transform", "cut in close", "");
    asks(&server, "cut").await.all().await.expect("a stream");
    let line = told_of(&server, "cut");
    assert!(line.contains("metadata=pushes ") && line.contains("error=content_filter "), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hook_left_is_told_although_a_later_one_refuses_the_whole_reply() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("fine"));
    let server = telling(&upstream, &["streamer", "bad-status"], "transform", "none", "");
    assert_eq!(asks(&server, "refused").await.answer().await.refused(403), "not_an_error");
    let line = told_of(&server, "refused");
    assert!(line.contains("metadata=pushes ") && line.contains("status=403 "), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_waits_for_the_last_work_of_an_observing_hook() {
    let upstream = Upstream::start().await;
    upstream.always(Script::streams(&["a", "b"]));
    let mut server = telling(&upstream, &["streamer"], "observe", "none", "");
    asks(&server, "stop").await.all().await.expect("a stream");
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    let output = server.output();
    assert!(output.contains("closed Ending::Finished after") && output.contains("request=stop replies=ab "), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_work_of_an_observing_hook_that_never_ends_is_cut_and_counted() {
    let upstream = Upstream::start().await;
    upstream.always(Script::streams(&["a", "b"]));
    let mut server = telling(&upstream, &["streamer"], "observe", "loop in close", "[limits.http]\ndrain_time = \"100ms\"\n");
    asks(&server, "stop").await.all().await.expect("a stream");
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    let output = server.output();
    assert!(output.contains("calls of hooks that no client waits for did not end within `drain_time` and are cut"), "{output}");
}
