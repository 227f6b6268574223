//! Stream hooks that hand back floods, ends without reason and JSON without ground, in a push and when they close. The client of such a reply gets an
//! error, or nothing that was not passed, and the next one is served.

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::Server;
use crate::stream_hooks::{asked, server, text};
use crate::upstream::{Script, Signal, Upstream, delta, finish};

/// Beside it a pipeline without any hook.
const CALM: &str = "[limits.plugins]\nstarve_time = \"60s\"\n[[pipelines]]\nid = \"calm\"\npipeline = [ { stage = \"llm\", config = { primary = { provider = \"builtin\", model = \"extractive\" } } } ]\n";

fn hostile(upstream: &Upstream, act: &str) -> Server {
    let limits = "limits = { time = \"20s\", fuel = 200_000_000 }\n";
    server(upstream, &["streamer"], "transform", act, &[limits, CALM].concat()).start()
}

async fn all_is_well(server: &Server) {
    let client = Client::of(server.address);
    client.get("/healthz").await.ok();
    client.chat("calm", "hello", json!({})).await.ok();
}

#[tokio::test]
async fn a_push_of_too_much_or_of_what_is_no_delta_ends_the_stream() {
    for (act, code) in [
        ("flood", "plugin_output_exhausted"),
        ("two ends", "plugin_invalid_outcome"),
        ("deep", "plugin_invalid_outcome"),
        ("no reason", "plugin_invalid_outcome"),
    ] {
        let upstream = Upstream::start().await;
        let server = hostile(&upstream, act);
        upstream.next(Script::stream().event(&delta("boom")).hang());
        assert_eq!(asked(&server).await.answer().await.refused(502), code, "{act}");
        upstream.hung_up().await;
        all_is_well(&server).await;
    }
}

#[tokio::test]
async fn thousands_of_deltas_for_one_reach_the_client_and_hold_nobody_up() {
    let upstream = Upstream::start().await;
    let server = hostile(&upstream, "many");
    upstream.next(Script::streams(&["boom"]));
    let events = asked(&server).await.all().await.expect("a whole stream");
    // It hands back as many for each push, the last one among them.
    let said = text(&events).len();
    assert!(said >= 5_000 && said.is_multiple_of(5_000), "{said}");
    all_is_well(&server).await;
}

#[tokio::test]
async fn what_a_hook_hands_back_when_it_closes_is_bounded_like_a_push() {
    for act in ["flood in close", "bomb in close", "loop in close"] {
        let upstream = Upstream::start().await;
        let server = hostile(&upstream, act);
        let go = Signal::default();
        upstream.next(Script::stream().event(&delta("fine")).wait(&go).event(&finish()).event("[DONE]").end());
        let mut stream = asked(&server).await;
        let mut events = vec![stream.next().await.expect("framed").expect("an event")];
        go.fire();
        events.extend(stream.all().await.expect("a stream"));
        let last: Value = serde_json::from_str(events.last().expect("events")).unwrap_or_else(|_| panic!("{act}: {events:?}"));
        assert_eq!((&last["error"]["code"], text(&events).as_str()), (&json!("plugin_failed"), "fine"), "{act}");
        all_is_well(&server).await;
    }
}

#[tokio::test]
async fn a_delta_after_the_close_of_its_choice_reaches_no_client() {
    let upstream = Upstream::start().await;
    let server = hostile(&upstream, "late");
    upstream.next(Script::streams(&["fine"]));
    let events = asked(&server).await.all().await.expect("a stream");
    assert!(!text(&events).contains("late"), "{events:?}");
    all_is_well(&server).await;
}
