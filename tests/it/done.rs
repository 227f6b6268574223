//! Done-hooks: a plugin is told of each exchange when it is over, as the client saw it, and whatever the plugin does nobody waits for it.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::components::components;
use crate::server::{PATIENCE, Server, deploy};
use crate::upstream::{Script, Signal, Upstream, delta, finish};

mod hostile;

/// A pipeline `p` with these plugins in `post_hook`, a pre-hook that edits, and a model at `upstream`.
fn config(plugins: &str, more: &str, upstream: &str) -> String {
    format!(
        r#"
        {more}
        [providers.up]
        kind = "openai"
        base_url = "{upstream}"
        [[pipelines]]
        id = "p"
        pipeline = [
            {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }},
            {{ stage = "post_hook", config = {{ function_ids = [{plugins}] }} }},
        ]
        [[pipelines]]
        id = "edited"
        pipeline = [
            {{ stage = "pre_hook", config = {{ function_id = "edits" }} }},
            {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }},
            {{ stage = "post_hook", config = {{ function_ids = [{plugins}] }} }},
        ]
        "#
    )
}

async fn teller(more: &str) -> (Server, Client, Upstream) {
    let upstream = Upstream::start().await;
    let server = Server::with(&config("\"teller\"", more, &upstream.url())).plugin_as("teller_1", "teller").plugin("edits").start();
    let client = Client::of(server.address);
    (server, client, upstream)
}

fn reply(text: &str) -> Value {
    json!({"id": "c", "object": "chat.completion", "created": 5, "model": "m-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text, "refusal": null}, "finish_reason": "stop", "logprobs": null}],
        "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}})
}

/// Waits for what the teller was told of the exchange that asked this.
fn told(server: &Server, question: &str) -> String {
    server.wait_for_line(|line| line.contains("told by") && line.contains(&format!("request={question} ")))
}

#[track_caller]
fn says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "no `{part}` in {line}");
    }
}

#[tokio::test]
async fn a_whole_reply_is_told_with_its_usage_and_what_the_client_sent_before_any_hook() {
    let (server, client, upstream) = teller("").await;
    upstream.next(Script::json(200, &reply("fine"))).next(Script::json(200, &reply("fine")));
    let answer = client.chat("p", "plain", json!({})).await.ok();
    assert_eq!(answer.text(), reply("fine").to_string(), "a done-hook alone leaves the provider's bytes as they are");
    let line = told(&server, "plain");
    says(&line, &["replies=fine ", "status=200 ", "error=none ", "streamed=false ", "attempts=1 ", "target=up ", "used=6 ", "sound=true"]);
    says(&line, &["truncated=false ", "metadata= ", "pipeline=p"]);
    client.chat("edited", "metadata", json!({})).await.ok();
    let line = told(&server, "metadata");
    says(&line, &["metadata=count+seen ", "pipeline=edited"]);
    client.chat("edited", "remove", json!({})).await.refused(502);
    says(&told(&server, "remove"), &["replies= ", "status=502 ", "error=plugin_invalid_outcome ", "attempts=0 "]);
}

#[tokio::test]
async fn a_stream_is_not_held_back_for_a_done_hook_and_its_pieces_are_told_together() {
    let (server, client, upstream) = teller("").await;
    let signal = Signal::default();
    upstream.next(Script::stream().event(&delta("one")).wait(&signal).event(&delta(" two")).event(&finish()).event("[DONE]").end());
    let mut stream = client.chat_stream("p", "streamed", json!({})).await;
    assert_eq!(stream.next().await, Ok(Some(delta("one"))), "it comes before there is a second one");
    signal.fire();
    assert_eq!(text_of(&stream.all().await.expect("a whole stream")), " two");
    says(&told(&server, "streamed"), &["replies=one two ", "status=200 ", "error=none ", "streamed=true "]);
    upstream.next(Script::streams(&["over", " responses"]));
    let body = json!({"model": "p", "input": "responses", "stream": true});
    client.post("/v1/responses", &body).await;
    says(&told(&server, "responses"), &["replies=over responses ", "error=none "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_broke_and_one_that_its_client_left_are_told_as_far_as_they_went() {
    let (server, client, upstream) = teller("").await;
    upstream.next(Script::stream().event(&delta("half")).cut());
    client.chat_stream("p", "broken", json!({})).await.all().await.expect("an error event");
    says(&told(&server, "broken"), &["replies=half ", "status=200 ", "error=upstream_cut "]);
    upstream.next(Script::stream().event(&delta("first")).hang());
    let mut stream = client.chat_stream("p", "left", json!({})).await;
    stream.next().await.expect("no break").expect("an event");
    drop(stream);
    says(&told(&server, "left"), &["replies=first ", "status=200 ", "error=client_gone "]);
    upstream.next(Script::default().hang());
    // Those of the two before.
    upstream.received().await;
    upstream.received().await;
    tokio::select! {
        _ = client.chat("p", "gone", json!({})) => panic!("nobody answered"),
        () = upstream.received() => {}
    }
    says(&told(&server, "gone"), &["replies= ", "status=499 ", "error=client_gone "]);
    upstream.next(Script::json(400, &json!({"error": {"message": "no", "type": "invalid_request_error", "param": null, "code": null}})));
    client.chat("p", "refused", json!({})).await;
    says(&told(&server, "refused"), &["replies= ", "status=400 ", "attempts=1 "]);
}

#[tokio::test]
async fn a_reply_longer_than_what_is_kept_is_told_cut_and_reaches_the_client_whole() {
    let (server, client, upstream) = teller("[limits.plugins]\ndone_reply_bytes = 266\n").await;
    upstream.next(Script::streams(&["0123456789", "too much"])).next(Script::json(200, &reply("0123456789too much")));
    let events = client.chat_stream("p", "streamed", json!({})).await.all().await.expect("a whole stream");
    assert_eq!(text_of(&events), "0123456789too much");
    says(&told(&server, "streamed"), &["replies=0123456789 ", "truncated=true "]);
    assert_eq!(client.chat("p", "whole", json!({})).await.ok().content(), "0123456789too much");
    says(&told(&server, "whole"), &["replies=0123456789 ", "truncated=true "]);
}

#[tokio::test]
async fn the_version_that_the_exchange_began_with_is_told_of_it() {
    let (server, client, upstream) = teller("[limits.plugins]\ndebounce = \"20ms\"\n").await;
    let signal = Signal::default();
    upstream.next(Script::stream().event(&delta("one")).wait(&signal).event("[DONE]").end());
    let mut stream = client.chat_stream("p", "old", json!({})).await;
    stream.next().await.expect("no break").expect("an event");
    deploy(&components().path("teller_2"), &server.plugin_dir(), "teller");
    let live = async {
        while client.get("/api/v1/plugins").await.json()["data"].as_array().expect("a list").iter().all(|plugin| plugin["version"] != "2") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, live).await.expect("the new version is live");
    signal.fire();
    stream.all().await.expect("a whole stream");
    says(&told(&server, "old"), &["told by 1:"]);
    upstream.next(Script::json(200, &reply("fine")));
    client.chat("p", "new", json!({})).await.ok();
    says(&told(&server, "new"), &["told by 2:"]);
}

#[tokio::test]
async fn what_is_under_way_when_the_server_is_told_to_stop_is_told_before_it_ends() {
    let (mut server, client, upstream) = teller("").await;
    let signal = Signal::default();
    upstream.next(Script::stream().event(&delta("late")).wait(&signal).event("[DONE]").end());
    let mut stream = client.chat_stream("p", "draining", json!({})).await;
    stream.next().await.expect("no break").expect("an event");
    server.terminate();
    signal.fire();
    stream.all().await.expect("a whole stream");
    let output = server.output();
    assert!(output.contains("request=draining replies=late "), "{output}");
}

#[tokio::test]
async fn a_queue_that_is_full_when_the_server_is_told_to_stop_is_worked_off() {
    let (mut server, client, upstream) = teller("[limits.plugins]\ndone_calls = 1\n").await;
    upstream.always(Script::json(200, &reply("fine")));
    for question in 0..40 {
        client.chat("p", &format!("q{question}"), json!({})).await.ok();
    }
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    let output = server.output();
    for question in 0..40 {
        assert!(output.contains(&format!("request=q{question} replies=fine ")), "{question}: {output}");
    }
}

#[tokio::test]
async fn a_plugin_whose_file_was_deleted_is_told_of_what_began_before() {
    let (server, client, upstream) = teller("").await;
    let signal = Signal::default();
    upstream.next(Script::stream().event(&delta("one")).wait(&signal).event("[DONE]").end());
    let mut stream = client.chat_stream("p", "deleted", json!({})).await;
    stream.next().await.expect("no break").expect("an event");
    let gone = client.send(Method::DELETE, "/api/v1/plugins/teller", None, Bytes::new()).await.ok().json();
    assert_eq!(gone["warnings"], json!(["pipeline `edited` names the plugin", "pipeline `p` names the plugin"]));
    assert_eq!(client.chat("p", "later", json!({})).await.refused(503), "plugin_not_loaded");
    signal.fire();
    stream.all().await.expect("a whole stream");
    says(&told(&server, "deleted"), &["replies=one "]);
}

#[tokio::test]
async fn the_list_of_plugins_and_the_figures_name_the_hook() {
    let (server, client, upstream) = teller("").await;
    let plugins = client.get("/api/v1/plugins").await.ok().json();
    let teller = plugins["data"].as_array().expect("a list").iter().find(|plugin| plugin["name"] == "teller").expect("it is there");
    assert_eq!(teller["hooks"], json!(["done_hook"]));
    upstream.next(Script::json(200, &reply("fine")));
    client.chat("p", "counted", json!({})).await.ok();
    told(&server, "counted");
    let counted = async {
        loop {
            let figures = client.get("/metrics").await.ok().text();
            let has = |line: &str| figures.lines().any(|l| l == line);
            if has(r#"cofferdam_plugin_calls_total{plugin="teller",hook="done_hook",outcome="ok"} 1"#)
                && has(r#"cofferdam_plugin_done_waiting{plugin="teller"} 0"#)
            {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("the figures");
}
