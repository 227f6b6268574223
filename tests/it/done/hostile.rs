//! Done-hooks that misbehave: whatever one does, requests are answered, other plugins are told, and what is dropped is counted.

use serde_json::json;

use super::{config, reply, told};
use crate::client::Client;
use crate::server::{PATIENCE, Server};
use crate::upstream::{Script, Upstream};

fn abusers(how: &str, more: &str, upstream: &str) -> String {
    // Nothing but the end of the server ends what sleeps; a busy machine does not end what uses up another limit.
    let limits = r#"{ fuel = 20_000_000, memory = "16MiB", time = "600s", log_lines = 5 }"#;
    let more = format!("{more}\n[plugins.done-abuser]\nlimits = {limits}\nconfig = {{ how = \"{how}\" }}\n");
    config("\"done-abuser\", \"teller\"", &more, upstream)
}

/// A server whose done-hooks are the teller's and those of a plugin that misbehaves.
async fn abused(how: &str, more: &str) -> (Server, Client, Upstream) {
    let upstream = Upstream::start().await;
    upstream.always(Script::json(200, &reply("fine")));
    let server =
        Server::with(&abusers(how, more, &upstream.url())).plugin_as("teller_1", "teller").plugin("done_abuser").plugin("edits").start();
    let client = Client::of(server.address);
    (server, client, upstream)
}

/// Waits until the figures have that line.
async fn figure(client: &Client, line: &str) {
    let look = async {
        while !client.get("/metrics").await.ok().text().lines().any(|l| l == line) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("no line {line}"));
}

/// Waits until the figures have a line that begins like this, with a number that is not 0.
async fn counted(client: &Client, start: &str) {
    let look = async {
        loop {
            let figures = client.get("/metrics").await.ok().text();
            let value = |line: &str| line.strip_prefix(start).is_some_and(|rest| rest.trim() != "0");
            if figures.lines().any(value) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("no line {start}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_fail_is_logged_and_counted_and_takes_nothing_from_the_client_or_from_other_plugins() {
    for (how, outcome) in [("loop", "fuel"), ("trap", "trapped"), ("memory", "memory"), ("error", "reported"), ("flood", "ok")] {
        let (server, client, _upstream) = abused(how, "").await;
        let answer = client.chat("p", how, json!({})).await.ok();
        assert_eq!((answer.content().as_str(), answer.header("x-cofferdam-skipped")), ("fine", None), "{how}");
        told(&server, how);
        counted(&client, &format!(r#"cofferdam_plugin_calls_total{{plugin="done-abuser",hook="done_hook",outcome="{outcome}"}}"#)).await;
        if outcome == "ok" {
            counted(&client, r#"cofferdam_plugin_log_lines_dropped_total{plugin="done-abuser"}"#).await;
        } else {
            server.wait_for_log("a done-hook failed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_a_plugins_queue_are_dropped_and_counted_and_every_one_of_the_others_is_made() {
    let more = "[limits.plugins]\ndone_queue = 4\ndone_calls_per_plugin = 1\ndone_calls = 2\n";
    let (server, client, _upstream) = abused("sleep", more).await;
    for question in 0..12 {
        client.chat("p", &format!("q{question}"), json!({})).await.ok();
        // The teller's own queue has four places, too.
        told(&server, &format!("q{question}"));
    }
    counted(&client, r#"cofferdam_plugin_done_dropped_total{plugin="done-abuser",reason="queue"}"#).await;
    server.wait_for_log("calls of a done-hook were dropped");
    let figures = client.get("/metrics").await.ok().text();
    assert!(!figures.contains(r#"cofferdam_plugin_done_dropped_total{plugin="teller""#), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_keeps_what_waits_and_its_limits_hold_at_once_but_for_those_that_need_a_restart() {
    let (server, client, upstream) = abused("sleep", "").await;
    client.chat("p", "before", json!({})).await.ok();
    told(&server, "before");
    figure(&client, r#"cofferdam_plugin_done_waiting{plugin="done-abuser"} 1"#).await;
    figure(&client, r#"cofferdam_plugin_done_waiting{plugin="teller"} 0"#).await;
    server.reconfigure(&abusers("sleep", "[limits.plugins]\ndone_queue = 1\ndone_calls = 1\n", &upstream.url()));
    server.hang_up();
    server.wait_for_line(|line| line.contains("configuration read again") && line.contains("limits.plugins.done_queue (changed)"));
    server.wait_for_line(|line| line.contains("need a restart: limits.plugins.done_calls"));
    // With one call at a time of all plugins, the one that sleeps would keep the teller's from running.
    client.chat("p", "after", json!({})).await.ok();
    told(&server, "after");
    counted(&client, r#"cofferdam_plugin_done_dropped_total{plugin="done-abuser",reason="queue"}"#).await;
    figure(&client, r#"cofferdam_plugin_done_waiting{plugin="done-abuser"} 1"#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_finds_no_room_is_not_told_and_is_answered_all_the_same() {
    let (_server, client, _upstream) = abused("flood", "[limits.plugins]\ndone_bytes = \"64KiB\"\n").await;
    let answer = client.chat("p", &"long ".repeat(20_000), json!({})).await.ok();
    assert_eq!(answer.content(), "fine");
    for plugin in ["teller", "done-abuser"] {
        counted(&client, &format!(r#"cofferdam_plugin_done_dropped_total{{plugin="{plugin}",reason="bytes"}}"#)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_done_hook_that_never_ends_keeps_no_server_from_stopping_and_the_log_says_what_was_cut() {
    let patient = "[limits.http]\ndrain_time = \"100ms\"\n";
    let (mut server, client, _upstream) = abused("sleep", patient).await;
    client.chat("p", "stop", json!({})).await.ok();
    told(&server, "stop");
    counted(&client, r#"cofferdam_plugin_done_waiting{plugin="done-abuser"}"#).await;
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    let output = server.output();
    assert!(output.contains("calls of hooks that no client waits for did not end within `drain_time` and are cut"), "{output}");
}
