//! Hostile guests: each ends in its own typed error within its limit, while other requests keep being served.
//! Components that hold others stand in `hostile/parts.rs`, those of WebAssembly text and hostile files beside it. Under `on_failure = "skip"` the exchange goes on without the plugin, and the reply says so.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod aftermath;
mod arena;
mod calls;
mod files;
mod outcomes;
mod parts;
mod smith;
mod streams;
mod structures;
mod wasi;

use serde_json::json;

use crate::client::{Client, text_of};
use crate::server::Server;

/// Small limits, so that every guest meets its own one quickly; the clock is not to be met by chance on a busy machine.
const LIMITS: &str = r#"{ fuel = 20_000_000, memory = "16MiB", table_elements = 20_000, time = "20s", output = "1MiB", log_lines = 5, log_line_bytes = 40 }"#;

/// A busy machine may take its time with what is to use up a limit of its own.
const PATIENT: &str = "[limits.plugins]\nstarve_time = \"60s\"\n";

/// A pipeline `victim` with that hook in it and a pipeline `calm` without.
fn config(plugin: &str, stage: &str, limits: &str, on_failure: &str) -> String {
    format!(
        r#"
        [plugins.{plugin}]
        on_failure = "{on_failure}"
        limits = {limits}
        [[pipelines]]
        id = "victim"
        pipeline = [
            {{ stage = "{stage}", config = {{ function_id = "{plugin}" }} }},
            {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }},
        ]
        [[pipelines]]
        id = "calm"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }} ]
        "#
    )
}

/// Runs the guest under both policies and checks the code that `reject` answers with.
async fn ends_in(guest: &str, stage: &str, limits: &str, code: &str) {
    let plugin = guest.replace('_', "-");
    let patient = |on_failure: &str| PATIENT.to_owned() + &config(&plugin, stage, limits, on_failure);
    let server = Server::with(&patient("reject")).plugin_as(guest, &plugin).start();
    let client = Client::of(server.address);
    let hostile = client.chat("victim", "hello", json!({}));
    let calm = async {
        for _ in 0..20 {
            client.chat("calm", "hello", json!({})).await.ok();
        }
    };
    let (answer, ()) = tokio::join!(hostile, calm);
    assert_eq!(answer.refused(502), code);
    let error = &answer.json()["error"];
    assert_eq!(error["type"], "plugin_error");
    assert!(error["message"].as_str().expect("a message").contains(&plugin), "the error names the plugin: {error}");
    let streamed = client.chat_stream("victim", "hello", json!({})).await.answer().await;
    assert_eq!(streamed.refused(502), code, "a stream that has not begun is refused in the same way");
    let metrics = client.get("/metrics").await.text();
    assert!(metrics.contains(&format!("plugin=\"{plugin}\"")), "{metrics}");

    let server = Server::with(&patient("skip")).plugin_as(guest, &plugin).start();
    let client = Client::of(server.address);
    let answer = client.chat("victim", "hello", json!({})).await.ok();
    assert_eq!(answer.header("x-cofferdam-skipped"), Some(plugin.as_str()));
    assert!(answer.content().contains("built-in answerer"), "the model's own answer: {answer:?}");
    let streamed = client.chat_stream("victim", "hello", json!({})).await;
    assert_eq!(streamed.headers.get("x-cofferdam-skipped").expect("the header"), plugin.as_str());
    assert!(text_of(&streamed.all().await.expect("a whole stream")).contains("built-in answerer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_runs_out_of_fuel() {
    ends_in("endless_loop", "pre_hook", LIMITS, "plugin_fuel_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_with_endless_fuel_runs_out_of_time() {
    let limits = r#"{ fuel = 1_000_000_000_000, time = "200ms" }"#;
    ends_in("endless_loop", "pre_hook", limits, "plugin_time_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_hog_is_stopped_at_its_limit() {
    ends_in("memory_hog", "pre_hook", LIMITS, "plugin_memory_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn table_growth_is_stopped_at_its_limit() {
    ends_in("table_growth", "pre_hook", LIMITS, "plugin_table_elements_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_recursion_ends_at_the_stack() {
    ends_in("deep_recursion", "pre_hook", LIMITS, "plugin_stack_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_megabytes_of_metadata_are_not_taken() {
    let limits = r#"{ memory = "256MiB", time = "10s", fuel = 2_000_000_000 }"#;
    ends_in("huge_return", "pre_hook", limits, "plugin_output_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_megabytes_of_reply_are_not_taken() {
    let limits = r#"{ memory = "256MiB", time = "10s", fuel = 2_000_000_000 }"#;
    ends_in("huge_message", "post_hook", limits, "plugin_output_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_is_reported_as_a_trap() {
    ends_in("trap", "pre_hook", LIMITS, "plugin_trapped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_trap() {
    ends_in("panic", "pre_hook", LIMITS, "plugin_trapped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_no_json_is_an_invalid_outcome() {
    ends_in("invalid_json_metadata", "pre_hook", LIMITS, "plugin_invalid_outcome").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sleeping_on_a_clock_runs_out_of_time() {
    ends_in("sleeper", "pre_hook", r#"{ time = "200ms" }"#, "plugin_time_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_plugins_own_is_a_fault() {
    ends_in("reports_error", "pre_hook", LIMITS, "plugin_reported_error").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_loop_in_describe_is_refused_at_load_and_stalls_nothing() {
    let server = Server::with(&config("endless-loop-in-describe", "pre_hook", LIMITS, "reject")).plugin("endless_loop_in_describe").start();
    let client = Client::of(server.address);
    let plugins = client.get("/api/v1/plugins").await.ok().json();
    let plugin = &plugins["data"][0];
    assert_eq!((&plugin["state"], &plugin["file"]), (&json!("refused"), &json!("endless_loop_in_describe.wasm")));
    assert!(plugin["reason"].as_str().expect("a reason").contains("fuel"), "{plugin}");
    assert_eq!(client.chat("victim", "hello", json!({})).await.refused(503), "plugin_not_loaded");
    client.chat("calm", "hello", json!({})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_while_it_is_handed_the_request_and_one_after_it_returned_run_out_of_fuel() {
    ends_in("realloc_loop", "pre_hook", LIMITS, "plugin_fuel_exhausted").await;
    ends_in("post_return", "pre_hook", LIMITS, "plugin_fuel_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_while_it_is_instantiated_is_refused_at_load() {
    let server = Server::with(&config("start-loop", "pre_hook", LIMITS, "reject")).plugin("start_loop").start();
    let client = Client::of(server.address);
    let plugin = &client.get("/api/v1/plugins").await.ok().json()["data"][0];
    assert_eq!(plugin["state"], "refused");
    assert!(plugin["reason"].as_str().expect("a reason").contains("fuel"), "{plugin}");
    client.chat("calm", "hello", json!({})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn megabytes_of_tiny_json_values_are_checked_without_being_built() {
    ends_in("dense_json", "pre_hook", r#"{ time = "20s", fuel = 2_000_000_000 }"#, "plugin_invalid_outcome").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn growing_by_nothing_without_end_runs_out_of_fuel() {
    ends_in("grow_loop", "pre_hook", LIMITS, "plugin_fuel_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fill_of_a_whole_memory_costs_a_unit_of_fuel_for_each_byte() {
    ends_in("memory_fill", "pre_hook", r#"{ fuel = 65_000_000, time = "20s" }"#, "plugin_fuel_exhausted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_touch_of_every_page_is_paid_by_its_plugin() {
    ends_in("page_toucher", "pre_hook", r#"{ time = "1ms" }"#, "plugin_time_exhausted").await;
}

/// What `/metrics` says of that name and these labels.
fn counted(metrics: &str, of: &str) -> u64 {
    metrics.lines().find_map(|line| line.strip_prefix(of)?.trim().parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_the_host_most_is_done_on_threads_of_the_guests() {
    let limits = r#"{ time = "20s" }"#;
    for guest in ["memory_fill", "page_toucher"] {
        let plugin = guest.replace('_', "-");
        let config = PATIENT.to_owned() + &config(&plugin, "pre_hook", limits, "reject");
        let server = Server::with(&config).plugin_as(guest, &plugin).start();
        let client = Client::of(server.address);
        for _ in 0..40 {
            client.chat("victim", "hello", json!({})).await.ok();
        }
        let metrics = client.get("/metrics").await.text();
        let place =
            |place: &str| counted(&metrics, &format!("cofferdam_plugin_call_places_total{{plugin=\"{plugin}\",place=\"{place}\"}}"));
        assert_eq!((place("apart"), place("inline"), place("handed_over")), (41, 0, 0), "{guest}, asked once who it is");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_was_quick_runs_inline_and_is_handed_over_when_it_is_not() {
    let config = PATIENT.to_owned() + &config("turncoat", "pre_hook", r#"{ time = "50ms", fuel = 1_000_000_000_000 }"#, "reject");
    let server = Server::with(&config).plugin("turncoat").start();
    let client = Client::of(server.address);
    let count = async |place: &str| {
        let of = format!("cofferdam_plugin_call_places_total{{plugin=\"turncoat\",place=\"{place}\"}}");
        counted(&client.get("/metrics").await.text(), &of)
    };
    let mut tried = 0;
    // On a machine that is busy a short call may count as a long one; in the end it is known to be quick.
    while count("inline").await == 0 {
        client.chat("victim", "hello", json!({})).await.ok();
        tried += 1;
        assert!(tried < 100_000, "it never runs inline");
    }
    assert!(tried > 16, "it had to earn that: {tried}");
    loop {
        let before = count("handed_over").await;
        assert_eq!(client.chat("victim", "spin", json!({})).await.refused(502), "plugin_time_exhausted");
        if count("handed_over").await > before {
            break;
        }
        client.chat("victim", "hello", json!({})).await.ok();
    }
    let (apart, inline) = (count("apart").await, count("inline").await);
    client.chat("victim", "hello", json!({})).await.ok();
    assert_eq!((count("apart").await, count("inline").await), (apart + 1, inline), "it has to earn it anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_guests_spin_on_every_thread_of_theirs_the_server_answers() {
    let limits = "[limits.plugins]\nthreads = 2\nstarve_time = \"60s\"\n";
    for guest in ["endless_loop", "hostcall_loop", "grow_loop", "text_parts"] {
        let plugin = guest.replace('_', "-");
        let spin = config(&plugin, "pre_hook", r#"{ fuel = 1_000_000_000_000_000, time = "600s" }"#, "reject");
        let server = Server::with(&(limits.to_owned() + &spin)).plugin_as(guest, &plugin).start();
        let client = Client::of(server.address);
        let spinning: Vec<_> = (0..8)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.chat("victim", "hello", json!({})).await })
            })
            .collect();
        while counted(&client.get("/metrics").await.text(), "cofferdam_http_requests_in_flight") < 8 {}
        for _ in 0..20 {
            client.get("/healthz").await.ok();
            client.chat("calm", "hello", json!({})).await.ok();
        }
        assert!(spinning.iter().all(|answer| !answer.is_finished()), "{guest}: all that while they spun");
        spinning.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_nobody_could_run_is_not_skipped() {
    // One thread, and calls that each need far more of it than they may wait for it: at most one runs, the others starve.
    // On a busy machine that one starves as well, for other programs have the processor.
    let limits = "[limits.plugins]\nthreads = 1\nstarve_time = \"200ms\"\n";
    let spin = config("endless-loop", "pre_hook", r#"{ fuel = 1_000_000_000_000_000, time = "2s" }"#, "skip");
    let server = Server::with(&(limits.to_owned() + &spin)).plugin("endless_loop").start();
    let client = Client::of(server.address);
    let asked = (0..8).map(|_| client.chat("victim", "hello", json!({})));
    let (mut skipped, mut busy) = (0, 0);
    for answer in futures_util::future::join_all(asked).await {
        if answer.status == 200 {
            assert_eq!(answer.header("x-cofferdam-skipped"), Some("endless-loop"));
            skipped += 1;
        } else {
            assert_eq!((answer.refused(503).as_str(), answer.header("retry-after")), ("plugin_busy", Some("1")));
            busy += 1;
        }
    }
    assert!(busy >= 5, "{busy} starved, {skipped} ran for all their time");
    let metrics = client.get("/metrics").await.text();
    assert_eq!(counted(&metrics, r#"cofferdam_plugin_skips_total{plugin="endless-loop",hook="pre_hook"}"#), skipped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_is_heard_while_other_plugins_are_busy() {
    let busy = config("endless-loop", "pre_hook", r#"{ fuel = 1_000_000_000_000_000, time = "600s" }"#, "reject").replace(
        "[[pipelines]]\n        id = \"calm\"",
        "[plugins.rejecter]\n        on_failure = \"skip\"\n        limits = { time = \"20ms\" }\n        [[pipelines]]\n        id = \"calm\"",
    );
    let guarded = busy.replace(
        "id = \"calm\"\n        pipeline = [",
        "id = \"calm\"\n        pipeline = [ { stage = \"pre_hook\", config = { function_id = \"rejecter\" } },",
    );
    let limits = "[limits.plugins]\nthreads = 1\nstarve_time = \"60s\"\n";
    let server = Server::with(&(limits.to_owned() + &guarded)).plugin("endless_loop").plugin("rejecter").start();
    let client = Client::of(server.address);
    let spinning: Vec<_> = (0..16)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.chat("victim", "hello", json!({})).await })
        })
        .collect();
    while counted(&client.get("/metrics").await.text(), "cofferdam_http_requests_in_flight") < 16 {}
    for _ in 0..30 {
        assert_eq!(client.chat("calm", "hello", json!({})).await.refused(451), "rejected_by_test");
    }
    spinning.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_log_lines_is_cut_counted_and_made_harmless() {
    let limits = r#"{ fuel = 10_000_000_000, time = "20s", log_lines = 5, log_line_bytes = 40, output = "2MiB" }"#;
    let server = Server::with(&config("log-flood", "pre_hook", limits, "reject")).plugin("log_flood").start();
    Client::of(server.address).chat("victim", "hello", json!({})).await.ok();
    let dropped = server.wait_for_log("log lines over the limit were dropped");
    assert!(dropped.contains("dropped=99996"), "100001 lines less 5: {dropped}");
    let log = server.log();
    assert!(!log.lines().any(|line| line.starts_with("INFO forged")), "a line break does not begin a line of its own");
    assert!(!log.contains("\x1b[2J"), "no escape sequence reaches the log");
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(": plugin: ")).collect();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    assert!(lines.iter().all(|line| line.contains("request=")), "every line names its request: {lines:#?}");
    assert!(Client::of(server.address).get("/metrics").await.text().contains("cofferdam_plugin_log_lines_dropped_total"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wasi_gives_nothing() {
    let server = Server::with(&config("probe-env", "pre_hook", "{}", "reject")).plugin("probe_env").env("SECRET", "s3cret").start();
    let found = Client::of(server.address).chat("victim", "hello", json!({})).await.ok().content();
    assert!(found.lines().count() >= 10 && found.lines().all(|line| line.contains(": refused")), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_plugin_runs_beside_a_hostile_one_in_one_directory() {
    let both = config("endless-loop", "pre_hook", LIMITS, "skip").replace(
        "[[pipelines]]\n        id = \"calm\"\n        pipeline = [",
        "[[pipelines]]\n        id = \"calm\"\n        pipeline = [ { stage = \"post_hook\", config = { function_id = \"stamp\" } },",
    );
    let server = Server::with(&both).plugin("endless_loop").plugin_as("stamp_1", "stamp").start();
    let client = Client::of(server.address);
    let (hostile, calm) = tokio::join!(client.chat("victim", "hello", json!({})), client.chat("calm", "hello", json!({})));
    hostile.ok();
    assert!(calm.ok().content().contains("[v=none/"));
}
