//! A server listens before its plugins are loaded, says so, and lets no request past a plugin that nobody has tried yet.

use serde_json::json;

use super::{SOON, pipeline, wait_for};
use crate::client::Client;
use crate::components::components;
use crate::sandbox_limits::compile::heavy;
use crate::server::{Server, deploy};

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_takes_long_to_compile_delays_neither_the_listening_nor_the_other_plugins() {
    let config = [SOON, "[plugins.slow]\non_failure = \"skip\"\n", &pipeline("guarded", "slow"), &pipeline("quick", "noop-pre")].concat();
    let builder = Server::with(&config).plugin("noop_pre");
    std::fs::write(builder.plugin_dir().join("slow.wasm"), heavy(28_000)).expect("written");
    let server = builder.start_loading();
    let client = Client::of(server.address);
    client.get("/healthz").await.ok();
    wait_for(&client, "noop_pre.wasm", |entry| entry["state"] == "live").await;
    client.chat("quick", "hello", json!({})).await.ok();
    deploy(&components().path("bare"), &server.plugin_dir(), "bare");
    wait_for(&client, "bare.wasm", |entry| entry["state"] == "live").await;
    // The guard may be skipped for its own mistakes; it has made none yet.
    let answer = client.chat("guarded", "hello", json!({})).await;
    assert_eq!((answer.refused(503).as_str(), answer.header("retry-after")), ("plugin_not_loaded", Some("1")));
    let readiness = server.readiness();
    assert!(readiness.starts_with("HTTP/1.1 503") && readiness.ends_with(r#"{"status":"loading"}"#), "{readiness}");
    assert_eq!(super::entry(&client, "slow.wasm").await.expect("listed")["state"], "compiling");
    // Its file is taken away, so it is missing for good, and that may be skipped.
    std::fs::remove_file(server.plugin_dir().join("slow.wasm")).expect("removed");
    let gone = async { while super::entry(&client, "slow.wasm").await.is_some() {} };
    tokio::time::timeout(crate::server::PATIENCE, gone).await.expect("the file is taken out");
    let answer = client.chat("guarded", "hello", json!({})).await.ok();
    assert_eq!(answer.header("x-cofferdam-skipped"), Some("slow"));
    assert!(server.readiness().starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_ends_the_compiling_of_the_one_before_it() {
    let builder = Server::with(&[SOON, &pipeline("p", "noop-pre")].concat());
    std::fs::create_dir_all(builder.plugin_dir()).expect("a folder");
    std::fs::write(builder.plugin_dir().join("noop-pre.wasm"), heavy(28_000)).expect("written");
    let server = builder.start_loading();
    server.wait_for_log("work: compiling");
    deploy(&components().path("noop_pre"), &server.plugin_dir(), "noop-pre");
    let client = Client::of(server.address);
    wait_for(&client, "noop-pre.wasm", |entry| entry["state"] == "live").await;
    client.chat("p", "hello", json!({})).await.ok();
    server.wait_until_ready();
}
