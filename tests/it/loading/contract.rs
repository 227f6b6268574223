//! A component of another contract never takes a good one's place, and a good one takes its own back.

use serde_json::json;

use super::{SOON, pipeline, wait_for};
use crate::altered::altered;
use crate::client::Client;
use crate::components::components;
use crate::server::{Server, deploy};

const HOOK: &str = "export cofferdam:hooks/pre-hook@0.2.0;";

#[tokio::test]
async fn a_component_whose_hook_has_one_field_more_never_replaces_the_good_one() {
    let server = Server::with(&[SOON, &pipeline("p", "responder")].concat()).plugin("responder").start();
    let client = Client::of(server.address);
    let answer = client.chat("p", "x", json!({})).await.ok().content();
    let live = wait_for(&client, "responder.wasm", |entry| entry["state"] == "live").await["hash"].clone();
    let folder = tempfile::tempdir().expect("a folder");
    let another_package = HOOK.replace("0.2.0", "0.3.0");
    for (from, to, world, part) in [
        ("deadline-ms: u32,", "deadline-ms: u32, more: u32,", HOOK, "expected record of 6 fields, found 7 fields"),
        ("deadline-ms: u32,", "deadline-ms: u64,", HOOK, "expected `u32` found `u64`"),
        ("on-request:", "on-asked:", HOOK, "has no function `on-request`"),
        ("hooks@0.2.0;", "hooks@0.3.0;", &another_package, "this host serves cofferdam:hooks@0.2.0"),
        (
            "all: func",
            "all: func",
            "import cofferdam:hooks/config@0.2.0;",
            "but a plugin exports `pre-hook`, `post-hook`, `stream-hook`, `done-hook`, `model` or `embedder`",
        ),
    ] {
        let file = folder.path().join("bad.wasm");
        std::fs::write(&file, altered(from, to, world)).expect("written");
        deploy(&file, &server.plugin_dir(), "responder");
        let entry = wait_for(&client, "responder.wasm", |entry| entry["reason"].as_str().is_some_and(|reason| reason.contains(part))).await;
        assert_eq!((&entry["state"], &entry["hash"]), (&json!("stale"), &live), "{from} -> {to}");
        assert_eq!(client.chat("p", "x", json!({})).await.ok().content(), answer, "{from} -> {to}");
    }
    deploy(&components().path("responder"), &server.plugin_dir(), "responder");
    wait_for(&client, "responder.wasm", |entry| entry["state"] == "live").await;
}
