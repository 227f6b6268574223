//! Stream hooks along streamed replies, through the real server: what they let out, cut, break and hold, and what their clients see of it.

mod behind;
mod coverage;
mod faults;
mod least;
mod places;
mod redaction;
mod waiting;

use serde_json::{Value, json};

use crate::client::{Client, Streaming, text_of};
use crate::server::{Builder, Server};
use crate::upstream::{Script, Signal, Upstream, delta, finish};

/// A pipeline `p` whose post-hook stage has those plugins, with those settings of `streamer`.
pub(crate) fn server(upstream: &Upstream, plugins: &[&str], mode: &str, act: &str, more: &str) -> Builder {
    let ids = format!("{plugins:?}");
    let url = upstream.url();
    let config = format!(
        r#"
        [providers.up]
        kind = "openai"
        base_url = "{url}"
        [plugins.streamer]
        config = {{ mode = "{mode}", act = "{act}" }}
        {more}
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }}, {{ stage = "post_hook", config = {{ function_ids = {ids} }} }} ]
        "#
    );
    plugins.iter().fold(Server::with(&config), |server, name| match *name {
        "teller" => server.plugin_as("teller_1", "teller"),
        name => server.plugin(&name.replace('-', "_")),
    })
}

fn streamer(upstream: &Upstream, mode: &str, act: &str) -> Server {
    server(upstream, &["streamer"], mode, act, "").start()
}

/// What the client of a stream gets, event by event.
pub(crate) async fn asked(server: &Server) -> Streaming {
    Client::of(server.address).chat_stream("p", "hi", json!({})).await
}

async fn told(server: &Server) -> Vec<String> {
    asked(server).await.all().await.expect("a stream that is framed well")
}

/// The text of a stream that may not be whole.
pub(crate) fn text(events: &[String]) -> String {
    let chunks = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    chunks.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

/// The error that ends a stream, behind a choice that was ended by a content filter.
#[track_caller]
fn cut(events: &[String]) -> Value {
    let parsed: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).expect("no [DONE]")).collect();
    let [.., last, error] = &parsed[..] else { panic!("two events at least: {events:?}") };
    assert_eq!(last["choices"][0]["finish_reason"], "content_filter", "{events:?}");
    error["error"].clone()
}

#[tokio::test]
async fn only_what_a_transforming_hook_gives_back_goes_on() {
    let upstream = Upstream::start().await;
    let usage = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"fake","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
    let script = ["the sec", "ret is ", "out, é secr"].iter().fold(Script::stream(), |script, word| script.event(&delta(word)));
    upstream.next(script.event(&finish()).event(usage).event("[DONE]").end());
    let server = streamer(&upstream, "transform", "star");
    let stream = Client::of(server.address).chat_stream("p", "hi", json!({"stream_options": {"include_usage": true}})).await;
    let events = stream.all().await.expect("a stream");
    assert_eq!(text_of(&events), "THE ****** IS OUT, É SECR");
    let chunks: Vec<Value> = events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).expect("JSON")).collect();
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"] == "stop").count(), 1);
    assert_eq!(chunks.last().expect("usage")["usage"]["total_tokens"], 3);
    server.wait_for_log("closed Ending::Finished after");
}

/// A hook whose change is a function of the text gives the same text however the bytes were split into reads.
#[tokio::test]
async fn how_the_bytes_are_split_makes_no_difference() {
    let upstream = Upstream::start().await;
    let server = streamer(&upstream, "transform", "star");
    let words = ["the sec", "ret é", "🦀 sse", "cretsecret", " and ", "secre", "t\u{301}"];
    let body: Vec<u8> = words
        .iter()
        .map(|word| delta(word))
        .chain([finish(), "[DONE]".into()])
        .flat_map(|data| format!("data: {data}\n\n").into_bytes())
        .collect();
    let mut random = 7_u64;
    for round in 0..40 {
        let mut script = Script::stream();
        let mut rest = &body[..];
        while !rest.is_empty() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let most = if round % 2 == 0 { 40 } else { 700 };
            let size = (1 + (random >> 33) as usize % most).min(rest.len());
            script = script.piece(&rest[..size]);
            rest = &rest[size..];
        }
        upstream.next(script.end());
        assert_eq!(text_of(&told(&server).await), "THE ****** É🦀 S************ AND ******\u{301}", "round {round}");
    }
}

#[tokio::test]
async fn a_cut_before_the_first_byte_is_an_error_with_its_status() {
    let upstream = Upstream::start().await;
    upstream.next(Script::stream().event(&delta("boom")).hang());
    let server = streamer(&upstream, "transform", "cut");
    let answer = asked(&server).await.answer().await;
    assert_eq!(answer.refused(451), "too_much");
    assert_eq!(answer.json()["error"]["message"], "The reply was cut.");
    upstream.hung_up().await;
}

#[tokio::test]
async fn a_cut_after_the_first_byte_ends_the_choice_and_the_provider_is_hung_up_on() {
    let upstream = Upstream::start().await;
    let go = Signal::default();
    upstream.next(Script::stream().event(&delta("fine")).wait(&go).event(&delta("boom")).hang());
    let server = streamer(&upstream, "transform", "cut");
    let mut stream = asked(&server).await;
    let mut events = Vec::new();
    while text(&events).is_empty() {
        events.push(stream.next().await.expect("framed").expect("an event"));
    }
    go.fire();
    events.extend(stream.all().await.expect("a stream"));
    assert_eq!(text(&events), "fine", "nothing of what was cut");
    let error = cut(&events);
    assert_eq!(
        (&error["message"], &error["code"], &error["type"]),
        (&json!("The reply was cut."), &json!("content_filter"), &json!("invalid_request_error"))
    );
    upstream.hung_up().await;
    let report = Client::of(server.address).get("/api/v1/usage").await.ok().json();
    let replies: u64 = report["data"].as_array().expect("rows").iter().map(|row| row["replies"].as_u64().expect("a number")).sum();
    assert_eq!(replies, 1, "what the provider is paid for stands in the ledger: {report}");
}

#[tokio::test]
async fn a_cut_is_told_in_the_form_of_responses_too() {
    let upstream = Upstream::start().await;
    let go = Signal::default();
    upstream.next(Script::stream().event(&delta("fine")).wait(&go).event(&delta("boom")).hang());
    let server = streamer(&upstream, "transform", "cut");
    let body = json!({"model": "p", "stream": true, "input": "hi"}).to_string();
    let client = Client::of(server.address);
    let mut stream = client.open(hyper::Method::POST, "/v1/responses", Some("application/json"), body.into()).await.expect("an answer");
    let mut events = Vec::new();
    while !events.iter().any(|event: &String| event.contains("fine")) {
        events.push(stream.next().await.expect("framed").expect("an event"));
    }
    go.fire();
    events.extend(stream.all().await.expect("a stream"));
    let last: Value = serde_json::from_str(events.last().expect("events")).expect("JSON");
    assert_eq!((&last["type"], &last["response"]["error"]["message"]), (&json!("response.failed"), &json!("The reply was cut.")), "{last}");
    upstream.hung_up().await;
    upstream.next(Script::stream().event(&delta("boom")).hang());
    let body = json!({"model": "p", "stream": true, "input": "hi"}).to_string();
    let stream = client.open(hyper::Method::POST, "/v1/responses", Some("application/json"), body.into()).await.expect("an answer");
    assert_eq!(stream.answer().await.refused(451), "too_much");
    upstream.hung_up().await;
}

#[tokio::test]
async fn an_observing_hook_changes_nothing_and_can_still_cut() {
    let upstream = Upstream::start().await;
    upstream.next(Script::streams(&["the ", "secret"]));
    let server = streamer(&upstream, "observe", "swallow");
    let events = told(&server).await;
    assert_eq!(text_of(&events), "the secret");
    assert!(events[0].contains("\"model\":\"fake\""));
    server.wait_for_log("closed Ending::Finished after");
    upstream.next(Script::says("the secret"));
    let whole = Client::of(server.address).chat("p", "hi", json!({})).await.ok();
    assert_eq!(whole.content(), "the secret", "of a whole reply neither");

    upstream.next(Script::stream().event(&delta("fine, boom")).hang());
    let server = streamer(&upstream, "observe", "cut");
    let events = told(&server).await;
    assert_eq!(text(&events), "fine, boom", "what is out is out");
    assert_eq!(cut(&events)["code"], "content_filter");
    upstream.hung_up().await;
}

#[tokio::test]
async fn the_client_of_an_observed_reply_does_not_wait_for_a_hook_that_never_ends() {
    let upstream = Upstream::start().await;
    upstream.next(Script::streams(&["boom", " and ", "more"]));
    let more = "limits = { time = \"10m\", fuel = 1_000_000_000_000_000, reply_time = \"10m\" }";
    let server = server(&upstream, &["streamer"], "observe", "loop", more).start();
    assert_eq!(text_of(&told(&server).await), "boom and more");
}

#[tokio::test]
async fn what_a_slow_observer_has_no_room_for_is_counted_as_unseen() {
    let upstream = Upstream::start().await;
    let long = "x".repeat(2_000);
    upstream.next(Script::streams(&["boom", &long, &long]));
    let more =
        "limits = { time = \"10m\", fuel = 1_000_000_000_000_000, reply_time = \"10m\" }\n[limits.plugins]\nstream_buffer = \"1KiB\"";
    let server = server(&upstream, &["streamer"], "observe", "none", more).start();
    assert_eq!(text_of(&told(&server).await).len(), 4_004);
    server.wait_for_log("closed Ending::Finished after");
    let metrics = Client::of(server.address).get("/metrics").await.text();
    let series = "cofferdam_plugin_unseen_bytes_total{plugin=\"streamer\",hook=\"stream_hook\",channel=\"text\"} ";
    let unseen = metrics.lines().find_map(|line| line.strip_prefix(series)).expect("counted");
    assert_eq!(unseen.parse::<f64>().expect("a number"), 4_000.0);
}

#[tokio::test]
async fn what_a_hook_leaves_at_its_end_reaches_those_who_are_told_when_all_is_over() {
    let upstream = Upstream::start().await;
    upstream.next(Script::streams(&["a", "b"])).next(Script::says("ab"));
    let server = server(&upstream, &["streamer", "teller"], "transform", "none", "").start();
    assert_eq!(text_of(&told(&server).await), "ab");
    server.wait_for_line(|line| line.contains("told by 1") && line.contains("streamed=true") && line.contains("metadata=pushes "));
    Client::of(server.address).chat("p", "hi", json!({})).await.ok();
    server.wait_for_line(|line| line.contains("told by 1") && line.contains("streamed=false") && line.contains("metadata=pushes "));
}

#[tokio::test]
async fn a_hook_that_skips_is_not_called_again() {
    let upstream = Upstream::start().await;
    upstream.next(Script::streams(&["the ", "boom"]));
    let server = streamer(&upstream, "skip", "cut");
    assert_eq!(text_of(&told(&server).await), "the boom");
}

#[tokio::test]
async fn a_reply_of_which_all_is_given_back_is_the_same() {
    let upstream = Upstream::start().await;
    upstream.next(Script::streams(&["the ", "same"]));
    let server = server(&upstream, &["noop-stream"], "", "", "").start();
    assert_eq!(text_of(&told(&server).await), "the same");
}

#[tokio::test]
async fn what_is_held_back_to_the_end_comes_whole_and_in_order() {
    let upstream = Upstream::start().await;
    upstream.next(Script::streams(&["a", "b", "c"]));
    let server = streamer(&upstream, "transform", "hold");
    let events = told(&server).await;
    assert_eq!(text_of(&events), "abc");
    assert_eq!(events.iter().filter(|event| event.contains("\"finish_reason\":\"stop\"")).count(), 1);
}

#[tokio::test]
async fn an_end_that_a_hook_swallows_is_told_all_the_same() {
    let upstream = Upstream::start().await;
    upstream.next(Script::streams(&["a", "b"]));
    let events = told(&streamer(&upstream, "transform", "swallow")).await;
    assert_eq!(text_of(&events), "");
    assert_eq!(events.iter().filter(|event| event.contains("\"finish_reason\":\"stop\"")).count(), 1);
}

#[tokio::test]
async fn every_choice_and_the_arguments_of_calls_pass_through_the_hook() {
    let upstream = Upstream::start().await;
    let chunk =
        |choice: Value| json!({"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice]}).to_string();
    let call = |begin: bool, arguments: &str| {
        let mut call = json!({"index": 0, "function": {"arguments": arguments}});
        if begin {
            call = json!({"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": arguments}});
        }
        chunk(json!({"index": 1, "delta": {"tool_calls": [call]}, "finish_reason": null}))
    };
    let script = Script::stream()
        .event(&chunk(json!({"index": 0, "delta": {"role": "assistant", "reasoning_content": "sec"}, "finish_reason": null})))
        .event(&call(true, "{\"a\":\"sec"))
        .event(&chunk(json!({"index": 0, "delta": {"reasoning_content": "ret"}, "finish_reason": null, "logprobs": {"content": [{"token": "secret"}]}})))
        .event(&call(false, "ret\"}"))
        .event(&chunk(json!({"index": 0, "delta": {"refusal": "secret"}, "finish_reason": "stop"})))
        .event(&chunk(json!({"index": 1, "delta": {}, "finish_reason": "tool_calls"})));
    upstream.next(script.event("[DONE]").end());
    let server = streamer(&upstream, "transform", "star");
    let stream = Client::of(server.address).chat_stream("p", "hi", json!({"n": 2})).await;
    let events = stream.all().await.expect("a stream");
    let all = events.concat();
    assert!(!all.to_lowercase().contains("secret") && all.matches("******").count() == 3, "{events:?}");
    assert!(all.contains("\"finish_reason\":\"stop\"") && all.contains("\"finish_reason\":\"tool_calls\""));
}

#[tokio::test]
async fn hooks_run_in_their_order_on_what_the_one_before_lets_out() {
    let upstream = Upstream::start().await;
    upstream.next(Script::streams(&["a", "b"]));
    let more = "[plugins.streamer-2]\nconfig = { mode = \"transform\", act = \"star\" }";
    let server = server(&upstream, &["streamer", "streamer-2"], "transform", "mark", more).start();
    assert_eq!(text_of(&told(&server).await), "AB!", "a stream goes to the stream hook of a plugin that has both");
    upstream.next(Script::says("ab"));
    let answer = Client::of(server.address).chat("p", "hi", json!({})).await.ok();
    assert_eq!(answer.content(), "ab! (as a whole)", "a whole reply goes to its post-hook, and as one push to a plugin without");
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn beside_a_hook_that_needs_the_whole_reply_a_stream_hook_gets_it_as_one_push() {
    let upstream = Upstream::start().await;
    upstream.next(Script::says("the secret"));
    let server = server(&upstream, &["streamer", "noop-post"], "transform", "star", "").start();
    assert_eq!(text_of(&told(&server).await), "THE ******");
    server.wait_for_log("closed Ending::Finished after 1 pushes");
    assert!(upstream.requests()[0].json()["stream"] != true, "the model is asked for a whole reply");
}

#[tokio::test]
async fn a_whole_reply_is_cut_with_the_hooks_status() {
    let upstream = Upstream::start().await;
    upstream.next(Script::says("boom"));
    let server = streamer(&upstream, "transform", "cut");
    assert_eq!(Client::of(server.address).chat("p", "hi", json!({})).await.refused(451), "too_much");
    upstream.next(Script::says("fine"));
    let answer = Client::of(server.address).chat("p", "hi", json!({})).await.ok();
    assert_eq!((answer.content().as_str(), &answer.json()["usage"]["total_tokens"]), ("fine", &json!(3)));
}

#[tokio::test]
async fn a_provider_that_breaks_off_lets_the_hook_say_what_it_held() {
    let upstream = Upstream::start().await;
    upstream.next(Script::stream().event(&delta("the secr")).cut());
    let server = streamer(&upstream, "transform", "star");
    let events = told(&server).await;
    assert_eq!(text(&events), "THE SECR");
    let error: Value = serde_json::from_str(events.last().expect("events")).expect("no [DONE]");
    assert_eq!(error["error"]["code"], "upstream_cut");
    server.wait_for_log("closed Ending::Broken after");
}
