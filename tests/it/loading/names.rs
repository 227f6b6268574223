//! A plugin's name is its file's. What a component calls itself gives it no other, in whatever order and state files come.

use serde_json::json;

use super::{SOON, pipeline, refused, wait_for};
use crate::client::Client;
use crate::components::components;
use crate::sandbox_limits::compile::heavy;
use crate::server::{Server, deploy};

/// `second_name` calls itself `noop-pre` and answers in place of the model.
const STOLEN: &str = "I am not the noop-pre";

#[tokio::test]
async fn a_claimed_name_displaces_no_guard_before_or_after_a_restart() {
    let config = [SOON, &pipeline("p", "noop-pre")].concat();
    // It comes before the guard's file by name, and is there first.
    let mut server = Server::with(&config).plugin_as("second_name", "a_second_name").plugin("noop_pre").start();
    for _ in 0..2 {
        let client = Client::of(server.address);
        assert!(!client.chat("p", "x", json!({})).await.ok().content().contains(STOLEN));
        let reason = refused(&client, "a_second_name.wasm").await;
        assert!(reason.contains("only noop-pre.wasm may have that name"), "{reason}");
        let folder = server.folder.clone();
        drop(server);
        server = Server::with(&config).folder(folder).start();
    }
    let client = Client::of(server.address);
    // The guard's file is there, and broken; then it is gone; and a pipeline names it all the time.
    std::fs::write(server.plugin_dir().join("noop_pre.wasm"), "broken").expect("written");
    wait_for(&client, "noop_pre.wasm", |entry| entry["state"] == "stale").await;
    assert!(!client.chat("p", "x", json!({})).await.ok().content().contains(STOLEN));
    std::fs::remove_file(server.plugin_dir().join("noop_pre.wasm")).expect("removed");
    server.wait_for_log("plugin removed");
    deploy(&components().path("second_name"), &server.plugin_dir(), "b_second_name");
    refused(&client, "b_second_name.wasm").await;
    assert_eq!(client.chat("p", "x", json!({})).await.refused(503), "plugin_not_loaded");
}

#[tokio::test]
async fn a_claimed_name_is_of_no_use_to_a_pipeline_that_names_it_later() {
    let server = Server::with(SOON).plugin("second_name").start();
    let client = Client::of(server.address);
    refused(&client, "second_name.wasm").await;
    let definition = json!({"pipeline": [
        {"stage": "pre_hook", "config": {"function_id": "noop-pre"}},
        {"stage": "llm", "config": {"primary": {"provider": "builtin", "model": "extractive"}}}]});
    client.put("/api/v1/gateway/apis/later/pipeline", &definition).await.ok();
    assert_eq!(client.chat("later", "x", json!({})).await.refused(503), "plugin_not_loaded");
}

#[tokio::test]
async fn names_that_only_look_alike_are_names_of_their_own() {
    let server = Server::with(&[SOON, &pipeline("p", "noop-pre")].concat()).plugin("noop_pre").start();
    let (client, directory) = (Client::of(server.address), server.plugin_dir());
    // Another letter case, a Cyrillic letter, a dot more, and a link to the other component.
    for stem in ["Noop-Pre", "noop-рre", "noop-pre.v2", ".noop-pre", "noop-pre "] {
        deploy(&components().path("second_name"), &directory, stem);
        if !stem.starts_with('.') {
            let reason = refused(&client, &format!("{stem}.wasm")).await;
            assert!(reason.contains("may have that name") || reason.contains("rename the file"), "{reason}");
        }
        assert!(!client.chat("p", "x", json!({})).await.ok().content().contains(STOLEN), "{stem}");
    }
    deploy(&components().path("bare"), &directory, "bare");
    wait_for(&client, "bare.wasm", |entry| entry["state"] == "live").await;
    assert!(super::entry(&client, ".noop-pre.wasm").await.is_none(), "hidden files are ignored");
}

#[tokio::test]
async fn of_two_files_of_one_name_the_one_that_is_spelled_like_it_has_it_and_the_other_serves_when_it_is_gone() {
    let config = [SOON, &pipeline("p", "noop-pre")].concat();
    let mut server = Server::with(&config).plugin("noop_pre").plugin_as("second_name", "noop-pre").start();
    // Which file is read first, and which was live first, makes no difference.
    for _ in 0..2 {
        let client = Client::of(server.address);
        assert!(client.chat("p", "x", json!({})).await.ok().content().contains(STOLEN));
        assert!(refused(&client, "noop_pre.wasm").await.contains("noop-pre.wasm has the name"));
        let folder = server.folder.clone();
        drop(server);
        server = Server::with(&config).folder(folder).start();
    }
    let client = Client::of(server.address);
    std::fs::remove_file(server.plugin_dir().join("noop-pre.wasm")).expect("removed");
    wait_for(&client, "noop_pre.wasm", |entry| entry["state"] == "live").await;
    assert!(!client.chat("p", "x", json!({})).await.ok().content().contains(STOLEN));
    // A file of the exact name takes it even if it is no plugin: nobody can tell whose place it takes.
    std::fs::write(server.plugin_dir().join("noop-pre.wasm"), "broken").expect("written");
    refused(&client, "noop_pre.wasm").await;
    assert_eq!(client.chat("p", "x", json!({})).await.refused(503), "plugin_not_loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_its_files_also_while_that_file_is_compiled_and_a_renamed_plugin_serves_meanwhile() {
    let builder = Server::with(&[SOON, &pipeline("p", "noop-pre")].concat()).plugin_as("second_name", "noop_pre");
    std::fs::write(builder.plugin_dir().join("noop-pre.wasm"), heavy(28_000)).expect("written");
    let server = builder.start_loading();
    let (client, directory) = (Client::of(server.address), server.plugin_dir());
    assert!(refused(&client, "noop_pre.wasm").await.contains("noop-pre.wasm has the name"));
    assert_eq!(client.chat("p", "x", json!({})).await.refused(503), "plugin_not_loaded");
    assert_eq!(super::entry(&client, "noop-pre.wasm").await.expect("listed")["state"], "compiling");
    assert!(server.readiness().starts_with("HTTP/1.1 503"));
    std::fs::remove_file(directory.join("noop-pre.wasm")).expect("removed");
    wait_for(&client, "noop_pre.wasm", |entry| entry["state"] == "live").await;
    assert!(client.chat("p", "x", json!({})).await.ok().content().contains(STOLEN));
    // Nothing else has the name, so that the file it had before is good for it until the new one was tried.
    std::fs::rename(directory.join("noop_pre.wasm"), directory.join("noop-pre.wasm")).expect("renamed");
    while super::entry(&client, "noop-pre.wasm").await.is_none_or(|entry| entry["state"] != "live") {
        assert!(client.chat("p", "x", json!({})).await.ok().content().contains(STOLEN));
    }
}

#[tokio::test]
async fn files_that_come_first_by_name_do_not_crowd_out_what_the_operator_named() {
    let config = ["[plugins.noop-pre]\n", "[limits.plugins]\nfiles = 2\n", &pipeline("p", "noop-pre")].concat();
    let server = Server::with(&config).plugin_as("bare", "a").plugin_as("bare", "b").plugin_as("bare", "c").plugin("noop_pre").start();
    let client = Client::of(server.address);
    client.chat("p", "x", json!({})).await.ok();
    assert!(super::entry(&client, "a.wasm").await.is_some() && super::entry(&client, "b.wasm").await.is_none());
}
