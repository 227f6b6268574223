//! Stream hooks that fail, each before the first byte and after it, under both policies.

use super::*;

/// Acts and the code of the error before the first byte.
const FAULTS: [(&str, &str); 9] = [
    ("trap", "plugin_trapped"),
    ("error", "plugin_reported_error"),
    ("loop", "plugin_time_exhausted"),
    ("unknown choice", "plugin_invalid_outcome"),
    ("after the end", "plugin_invalid_outcome"),
    ("bad json", "plugin_invalid_outcome"),
    ("two keys", "plugin_invalid_outcome"),
    ("huge", "plugin_output_exhausted"),
    ("memory", "plugin_memory_exhausted"),
];

fn failing(upstream: &Upstream, act: &str, on_failure: &str) -> Server {
    // Only the loop shall meet it: to fill a memory takes longer on a busy machine.
    let time = if act == "loop" { "50ms" } else { "1m" };
    let more = format!("on_failure = \"{on_failure}\"\nlimits = {{ time = \"{time}\" }}");
    server(upstream, &["streamer"], "transform", act, &more).start()
}

#[tokio::test]
async fn a_fault_before_the_first_byte_is_an_error_and_one_after_it_ends_the_stream() {
    for (act, code) in FAULTS {
        let upstream = Upstream::start().await;
        let server = failing(&upstream, act, "reject");
        upstream.next(Script::stream().event(&delta("boom")).hang());
        assert_eq!(asked(&server).await.answer().await.refused(502), code, "{act}");
        upstream.hung_up().await;

        let go = Signal::default();
        upstream.next(Script::stream().event(&delta("fine")).wait(&go).event(&delta("boom")).hang());
        let mut stream = asked(&server).await;
        let mut events = vec![stream.next().await.expect("framed").expect("an event")];
        go.fire();
        events.extend(stream.all().await.expect("a stream"));
        let error: Value = serde_json::from_str(events.last().expect("events")).expect("no [DONE]");
        assert_eq!(error["error"]["code"], "plugin_failed", "{act}");
        assert_eq!(text(&events), "fine", "{act}: nothing that the hook did not pass");
        upstream.hung_up().await;
    }
}

#[tokio::test]
async fn a_hook_that_is_skipped_lets_pass_what_it_did_not_answer_and_all_that_follows() {
    for (act, _) in FAULTS {
        let upstream = Upstream::start().await;
        let server = failing(&upstream, act, "skip");
        upstream.next(Script::streams(&["boom", " and ", "more"]));
        let stream = asked(&server).await;
        assert_eq!(stream.headers.get("x-cofferdam-skipped").and_then(|name| name.to_str().ok()), Some("streamer"), "{act}");
        assert_eq!(text_of(&stream.all().await.expect("a stream")), "boom and more", "{act}");
    }
}

#[tokio::test]
async fn a_fault_in_open_or_in_close_is_one_of_the_reply() {
    for (act, code) in [("error in open", "plugin_reported_error"), ("trap in open", "plugin_trapped")] {
        let upstream = Upstream::start().await;
        upstream.next(Script::stream().event(&delta("fine")).hang());
        let server = failing(&upstream, act, "reject");
        assert_eq!(asked(&server).await.answer().await.refused(502), code, "{act}");
        upstream.hung_up().await;
    }
    for act in ["trap in close", "cut in close"] {
        let upstream = Upstream::start().await;
        let go = Signal::default();
        upstream.next(Script::stream().event(&delta("fine")).wait(&go).event(&finish()).event("[DONE]").end());
        let server = failing(&upstream, act, "reject");
        let mut stream = asked(&server).await;
        let mut events = vec![stream.next().await.expect("framed").expect("an event")];
        go.fire();
        events.extend(stream.all().await.expect("a stream"));
        assert!(!events.iter().any(|event| event == "[DONE]") && events.last().expect("events").contains("\"error\""), "{act}: {events:?}");
    }
}

#[tokio::test]
async fn all_calls_of_one_reply_together_have_a_limit() {
    let upstream = Upstream::start().await;
    let more = "limits = { reply_time = \"1ms\" }";
    let server = server(&upstream, &["streamer"], "transform", "star", more).start();
    let long = "x".repeat(1 << 20);
    upstream.next(Script::streams(&[&long, &long, &long, &long]));
    let answer = asked(&server).await.answer().await;
    assert_eq!(answer.refused(502), "plugin_reply_time_exhausted");
}

/// A hook that keeps the ends of choices and then fails.
fn keeping(upstream: &Upstream) -> Server {
    server(upstream, &["streamer"], "transform", "keep the end", "on_failure = \"skip\"").start()
}

/// The reasons with which each choice ended.
fn reasons(events: &[String]) -> Vec<(u64, String)> {
    let chunks = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let reason = |chunk: Value| Some((chunk["choices"][0]["index"].as_u64()?, chunk["choices"][0]["finish_reason"].as_str()?.to_owned()));
    let mut all: Vec<(u64, String)> = chunks.filter_map(reason).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_a_hook_keeps_is_told_if_the_hook_is_skipped() {
    let upstream = Upstream::start().await;
    let server = keeping(&upstream);
    upstream.next(Script::streams(&["a", "b"]));
    let events = told(&server).await;
    assert_eq!((text_of(&events).as_str(), reasons(&events)), ("ab", vec![(0, "stop".to_owned())]), "it fails in close");
    server.wait_for_log("kept an end");

    let server = keeping(&upstream);
    let go = Signal::default();
    let second = |delta: &Value, reason: Option<&str>| {
        json!({"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m",
            "choices": [{"index": 1, "delta": delta, "finish_reason": reason}]})
        .to_string()
    };
    let script = Script::stream().event(&delta("a")).event(&finish()).wait(&go);
    upstream
        .next(script.event(&second(&json!({"content": "boom"}), None)).event(&second(&json!({}), Some("length"))).event("[DONE]").end());
    let mut stream = asked(&server).await;
    let mut events = vec![stream.next().await.expect("framed").expect("an event")];
    server.wait_for_log("kept an end");
    go.fire();
    events.extend(stream.all().await.expect("a stream"));
    assert_eq!(reasons(&events), [(0, "stop".to_owned()), (1, "length".to_owned())], "it fails in push: {events:?}");
}
