//! Known ways around the limits. Each costs its caller, and neither the host nor other callers.

use serde_json::json;

use crate::client::Client;
use crate::components::components;
use crate::server::{Server, deploy};
use crate::upstream::{Script, Upstream};

fn config(plugin: &str, stage: &str, limits: &str, more: &str) -> String {
    format!(
        r#"
        {more}
        [plugins.{plugin}]
        limits = {limits}
        [[pipelines]]
        id = "p"
        pipeline = [
            {{ stage = "{stage}", config = {{ function_id = "{plugin}" }} }},
            {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }},
        ]
        "#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_hostcalls_end_in_time_and_hold_no_thread_meanwhile() {
    let limits = r#"{ fuel = 1_000_000_000_000, time = "100ms" }"#;
    // Together they need more processor time than a call may wait for.
    let patient = "[limits.plugins]\nstarve_time = \"1m\"";
    let server = Server::with(&config("hostcall-loop", "pre_hook", limits, patient)).plugin("hostcall_loop").start();
    let client = Client::of(server.address);
    // More of them than the server has threads: if one held its thread, nobody would answer the probes between.
    let hostile: Vec<_> = (0..8)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.chat("p", "x", json!({})).await })
        })
        .collect();
    server.wait_for_log("plugin: xxx");
    for _ in 0..50 {
        client.get("/healthz").await.ok();
    }
    for answer in hostile {
        assert_eq!(answer.await.expect("answered").refused(502), "plugin_time_exhausted");
    }
}

#[tokio::test]
async fn changes_and_edits_have_limits_at_their_edge() {
    let limits = r#"{ fuel = 10_000_000_000, time = "20s" }"#;
    let server = Server::with(&config("many-edits", "pre_hook", limits, "")).plugin("many_edits").start();
    let client = Client::of(server.address);
    for fits in ["params 256", "metadata 256", "edits 1000"] {
        client.chat("p", fits, json!({})).await.ok();
    }
    for over in ["params 257", "metadata 257", "edits 1024", "edits 20000"] {
        assert_eq!(client.chat("p", over, json!({})).await.refused(502), "plugin_invalid_outcome", "{over}");
    }
}

#[tokio::test]
async fn a_plugins_error_forges_no_log_line_and_stays_short() {
    let server = Server::with(&config("forger", "pre_hook", "{}", "")).plugin("forger").start();
    let answer = Client::of(server.address).chat("p", "x", json!({})).await;
    assert_eq!(answer.refused(502), "plugin_reported_error");
    assert!(answer.body.len() < 2_000, "{} bytes", answer.body.len());
    server.wait_for_log("sorry");
    let log = server.log();
    assert!(!log.lines().any(|line| line.contains("INFO forged") && line.starts_with("2026-01-01")) && !log.contains('\x1b'), "{log}");
}

#[tokio::test]
async fn a_configured_name_cannot_be_claimed_by_another_file() {
    let secret = "config = { token = \"s3cret\" }";
    let config = config("echo-config", "pre_hook", &format!("{{}}\n{secret}"), "");
    let server = Server::with(&config).plugin("claimer").plugin("echo_config").start();
    let client = Client::of(server.address);
    let text = client.chat("p", "token", json!({})).await.ok().content();
    assert!(text.contains("s3cret") && !text.contains("stolen"), "{text}");
    let plugins = client.get("/api/v1/plugins").await.json();
    let claimer = plugins["data"].as_array().expect("a list").iter().find(|plugin| plugin["file"] == "claimer.wasm").expect("listed");
    assert!(claimer["reason"].as_str().expect("a reason").contains("only echo-config.wasm may have that name"), "{claimer}");
}

#[tokio::test]
async fn what_is_no_file_in_the_directory_holds_nothing_up() {
    let builder = Server::with("[limits.plugins]\npoll = \"1s\"").plugin("noop_pre");
    let directory = builder.plugin_dir();
    let made = std::process::Command::new("mkfifo").arg(directory.join("pipe.wasm")).status();
    assert!(made.expect("coreutils are there").success());
    std::fs::create_dir(directory.join("folder.wasm")).expect("a folder");
    let server = builder.start();
    let plugins = Client::of(server.address).get("/api/v1/plugins").await.ok().json();
    let state =
        |file: &str| plugins["data"].as_array().expect("a list").iter().find(|p| p["file"] == file).expect("listed")["state"].clone();
    assert_eq!((state("pipe.wasm"), state("folder.wasm"), state("noop_pre.wasm")), (json!("refused"), json!("refused"), json!("live")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_whose_file_is_renamed_serves_without_a_gap() {
    let more = "[limits.plugins]\ndebounce = \"20ms\"\npoll = \"1s\"";
    let server = Server::with(&config("noop-pre", "pre_hook", "{}", more)).plugin("noop_pre").start();
    let (client, directory) = (Client::of(server.address), server.plugin_dir());
    // As cargo names it, and as the plugin calls itself.
    for (from, to) in [("noop_pre.wasm", "noop-pre.wasm"), ("noop-pre.wasm", "noop_pre.wasm")] {
        std::fs::rename(directory.join(from), directory.join(to)).expect("renamed");
        let replaced = async {
            loop {
                client.chat("p", "x", json!({})).await.ok();
                let plugins = client.get("/api/v1/plugins").await.json();
                if plugins["data"].as_array().map(Vec::len) == Some(1)
                    && plugins["data"][0]["file"] == to
                    && plugins["data"][0]["state"] == "live"
                {
                    return;
                }
            }
        };
        tokio::time::timeout(crate::server::PATIENCE, replaced).await.expect("the new file serves");
    }
}

#[tokio::test]
async fn replaced_text_does_not_leave_in_logprobs() {
    let upstream = Upstream::start().await;
    let reply = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "Write to jane@example.com."},
        "logprobs": {"content": [{"token": "jane@example.com", "logprob": -0.1, "bytes": null, "top_logprobs": []}], "refusal": null}}]});
    upstream.always(Script::json(200, &reply));
    let config = format!(
        r#"
        [providers.up]
        kind = "openai"
        base_url = "{}"
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }},
                     {{ stage = "post_hook", config = {{ function_ids = ["redact-pii", "noop-post"] }} }} ]
        "#,
        upstream.url()
    );
    let server = Server::with(&config).plugin("redact-pii").plugin("noop_post").start();
    let client = Client::of(server.address);
    let whole = client.chat("p", "x", json!({"logprobs": true})).await.ok();
    assert!(whole.content().contains("[redacted e-mail]") && !whole.text().contains("jane"), "{}", whole.text());
    let events = client.chat_stream("p", "x", json!({"logprobs": true})).await.all().await.expect("a whole stream");
    assert!(!events.concat().contains("jane"), "{events:?}");
}

#[tokio::test]
async fn an_upgrade_of_the_file_on_disk_does_not_change_who_compiles() {
    let config = config("stamp", "post_hook", "{}", "[limits.plugins]\ndebounce = \"20ms\"\npoll = \"1s\"");
    let builder = Server::with(&config).without("[plugins.stamp]\n        limits = {}").own_program();
    let program = builder.program();
    let server = builder.start();
    let other = server.folder.path().join("other");
    std::fs::write(&other, "#!/bin/sh\nexit 1\n").expect("written");
    std::fs::rename(&other, &program).expect("replaced");
    deploy(&components().path("stamp_1"), &server.plugin_dir(), "stamp");
    server.wait_for_log("plugin loaded");
}
