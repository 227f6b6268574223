//! Plugins that are models, through the real server: asked by name, as a primary, a fallback and a hedge, streamed and whole, with their use in
//! the ledger; and those that misbehave, each of which ends in an error of its own.

use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::packages::{NO_PYTHON, python_with, run, skipped, source};
use crate::reload::{File, ask, changed, with_key};
use crate::server::{Builder, Server};
use crate::upstream::{Script, Upstream};

/// A pipeline of that id that asks only this.
fn pipeline(id: &str, llm: &str) -> String {
    format!("[[pipelines]]\nid = \"{id}\"\npipeline = [ {{ stage = \"llm\", config = {{ {llm} }} }} ]\n")
}

fn target(model: &str) -> String {
    format!("{{ provider = \"plugin\", model = \"{model}\" }}")
}

fn primary(model: &str) -> String {
    format!("primary = {}", target(model))
}

fn manifold() -> Builder {
    let config = [
        "[providers.plugin]\nmodels = [\"*\"]\n",
        &pipeline("echo", &primary("manifold/echo")),
        &pipeline("count", &primary("manifold/count")),
        &pipeline("none", &primary("manifold/none")),
        &pipeline("itself", &primary("manifold")),
        &pipeline("absent", &primary("absent/echo")),
        &pipeline("hook", &primary("noop-pre/echo")),
    ];
    Server::with(&config.concat()).plugin("manifold").plugin("noop_pre")
}

#[tokio::test]
async fn a_plugin_answers_as_a_model_streamed_and_whole() {
    let server = manifold().start();
    let client = Client::of(server.address);
    let whole = client.chat("echo", "one two three", json!({})).await.ok();
    assert_eq!(whole.content(), "one two three");
    assert_eq!((&whole.json()["model"], &whole.json()["choices"][0]["finish_reason"]), (&json!("manifold/echo"), &json!("stop")));
    let events = client.chat_stream("echo", "one two three", json!({})).await.all().await.expect("a stream");
    assert_eq!(text_of(&events), "one two three");
    let counted = client.chat("count", "one two three", json!({})).await.ok().json();
    assert_eq!(counted["choices"][0]["message"]["content"], "3");
    assert_eq!(counted["choices"][0]["message"]["reasoning_content"], "One, two, …");
    let usage = json!({"prompt_tokens": 40, "completion_tokens": 2, "total_tokens": 42, "cost": 0.25});
    assert_eq!(counted["usage"], usage);
    let extra = json!({"stream_options": {"include_usage": true}});
    let events = client.chat_stream("count", "one two three", extra).await.all().await.expect("a stream");
    assert_eq!(text_of(&events), "3");
    let last: Value = serde_json::from_str(&events[events.len() - 2]).expect("JSON");
    assert_eq!((&last["usage"], &last["choices"]), (&usage, &json!([])));
}

/// The status goes out as a comment before anything else.
#[tokio::test]
async fn a_status_takes_neither_the_role_nor_the_usage_from_a_stream() {
    let server = manifold().start();
    let extra = json!({"stream_options": {"include_usage": true}});
    let events = Client::of(server.address).chat_stream("count", "one two three", extra).await.all().await.expect("a stream");
    let chunks: Vec<Value> = events[..events.len() - 1].iter().map(|event| serde_json::from_str(event).expect("JSON")).collect();
    let roles: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["role"]).collect();
    assert_eq!(roles.iter().position(|role| **role == "assistant"), Some(0), "{chunks:?}");
    assert_eq!(roles.iter().filter(|role| !role.is_null()).count(), 1, "{chunks:?}");
    assert_eq!(chunks.iter().filter(|chunk| chunk["choices"] == json!([])).count(), 1, "{chunks:?}");
    let events = Client::of(server.address).chat_stream("count", "one two three", json!({})).await.all().await.expect("a stream");
    assert!(events[0].contains("\"role\":\"assistant\"") && !events.concat().contains("usage"), "{events:?}");
}

#[tokio::test]
async fn what_a_plugin_offers_is_listed_and_asked_by_its_name() {
    let server = manifold().start();
    let client = Client::of(server.address);
    let models = client.get("/v1/models").await.ok().json();
    let ids: Vec<&str> = models["data"].as_array().expect("a list").iter().filter_map(|model| model["id"].as_str()).collect();
    assert!(ids.contains(&"plugin/manifold/echo") && ids.contains(&"plugin/manifold/count"), "{ids:?}");
    assert_eq!(client.get("/v1/models/plugin%2Fmanifold%2Fecho").await.ok().json()["owned_by"], "plugin");
    assert_eq!(client.chat("plugin/manifold/echo", "hello", json!({})).await.ok().content(), "hello");
    for unknown in ["plugin/manifold/none", "plugin/manifold", "plugin/absent"] {
        assert_eq!(client.chat(unknown, "hello", json!({})).await.refused(404), "model_not_found", "{unknown}");
    }
}

#[tokio::test]
async fn a_model_that_is_not_there_is_named_with_those_that_are() {
    let server = manifold().start();
    let client = Client::of(server.address);
    let none = client.chat("none", "hello", json!({})).await;
    assert_eq!(none.refused(404), "model_not_found");
    assert!(none.text().contains("it has no model `none`; it has `echo`, `count`"), "{none:?}");
    assert_eq!(client.chat("itself", "hello", json!({})).await.refused(404), "model_not_found");
    assert_eq!(client.chat("absent", "hello", json!({})).await.refused(503), "plugin_not_loaded");
    assert_eq!(client.chat("hook", "hello", json!({})).await.refused(503), "plugin_no_hook");
}

#[tokio::test]
async fn no_client_names_a_model_that_the_operator_does_not_offer() {
    let server = Server::with(&pipeline("echo", &primary("manifold/echo"))).plugin("manifold").start();
    let client = Client::of(server.address);
    assert_eq!(client.chat("plugin/manifold/echo", "hello", json!({})).await.refused(404), "model_not_found");
    assert!(!client.get("/v1/models").await.ok().text().contains("manifold"));
}

#[tokio::test]
async fn a_failing_plugin_falls_back_and_one_stands_in_for_a_provider() {
    let upstream = Upstream::start().await;
    let fallback = |primary: &str, fallback: &str| format!("primary = {primary}, fallbacks = [ {fallback} ]");
    let up = "{ provider = \"up\", model = \"m\" }";
    let config = [
        &format!("[providers.up]\nkind = \"openai\"\nbase_url = \"{}\"\n[limits.providers]\nretries = 0\n", upstream.url()),
        &pipeline("fails", &fallback(&target("bad-models/fails"), &target("manifold/echo"))),
        &pipeline("traps", &fallback(&target("bad-models/trap"), &target("manifold/echo"))),
        &pipeline("absent", &fallback(&target("absent"), &target("manifold/echo"))),
        &pipeline("away", &fallback(up, &target("manifold/echo"))),
        &pipeline("hedged", &format!("{}, hedge_after = \"10ms\"", fallback(up, &target("manifold/echo")))),
        &pipeline("refuses", &fallback(&target("manifold/echo"), up)),
    ]
    .map(String::as_str)
    .concat();
    let server = Server::with(&config).plugin("manifold").plugin("bad_models").start();
    let client = Client::of(server.address);
    for model in ["fails", "traps", "absent"] {
        let answer = client.chat(model, "hello there", json!({})).await.ok();
        assert_eq!((answer.content().as_str(), &answer.json()["model"]), ("hello there", &json!("manifold/echo")), "{model}");
        let events = client.chat_stream(model, "hello there", json!({})).await.all().await.expect("a stream");
        assert_eq!(text_of(&events), "hello there", "{model}");
    }
    upstream.always(Script::reply(503, &[], "away"));
    assert_eq!(client.chat("away", "hello", json!({})).await.ok().content(), "hello");
    let asked = upstream.requests().len();
    for stream in [false, true] {
        let refused = client.chat_stream("refuses", "refuse", json!({"stream": stream})).await.answer().await;
        assert_eq!((refused.refused(451).as_str(), refused.header("retry-after")), ("not_here", Some("7")));
    }
    assert_eq!(upstream.requests().len(), asked, "what a plugin refused is asked of nobody else");
    upstream.forget_responders();
    upstream.always(Script::stream().hang());
    let events = client.chat_stream("hedged", "hello", json!({})).await.all().await.expect("a stream");
    assert_eq!(text_of(&events), "hello");
}

#[tokio::test]
async fn each_misbehaving_model_ends_in_its_own_error_and_harms_nobody() {
    let limits = r#"limits = { fuel = 40_000_000, time = "20s", output = "1MiB", hostcall_bytes = "64KiB" }"#;
    let cases = [
        ("endless", "plugin_output_exhausted"),
        ("empty-deltas", "plugin_output_exhausted"),
        ("nothing", "plugin_invalid_outcome"),
        ("after-finish", "plugin_invalid_outcome"),
        ("bad-json", "plugin_invalid_outcome"),
        ("hidden-text", "plugin_invalid_outcome"),
        ("loop", "plugin_fuel_exhausted"),
        ("trap", "plugin_trapped"),
        ("late-trap", "plugin_trapped"),
        ("fails", "plugin_reported_error"),
        ("late-failure", "plugin_reported_error"),
        ("huge", "plugin_output_exhausted"),
        ("other-choice", "plugin_invalid_outcome"),
        ("statuses", "plugin_output_exhausted"),
    ];
    let pipelines = cases.map(|(model, _)| pipeline(model, &primary(&format!("bad-models/{model}")))).concat();
    let config = [
        "[limits.providers]\nretries = 0\ncircuit_failures = 0\n[limits.plugins]\nstarve_time = \"60s\"\nmodel_calls = 1\n",
        "[plugins.bad-models]\n",
        limits,
        "\n",
        &pipelines,
        &pipeline("echo", &primary("manifold/echo")),
    ]
    .concat();
    let server = Server::with(&config).plugin("bad_models").plugin("manifold").start();
    let client = Client::of(server.address);
    for (model, code) in cases {
        let whole = client.chat(model, "hello", json!({})).await;
        assert_eq!(whole.refused(502), code, "{model}");
        assert!(whole.text().contains("bad-models"), "the error names the plugin: {whole:?}");
        let streamed = client.chat_stream(model, "hello", json!({})).await;
        if streamed.status == 200 {
            // It said something first: the stream breaks off with an error and without an end.
            let events = streamed.all().await.expect("events");
            let last: Value = serde_json::from_str(events.last().expect("an event")).expect("no [DONE]");
            assert_eq!(last["error"]["code"], "upstream_error", "{model}: {last}");
        } else {
            assert_eq!(streamed.answer().await.refused(502), code, "{model}");
        }
        // Its place is free again.
        assert_eq!(client.chat("echo", "still here", json!({})).await.ok().content(), "still here", "{model}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_a_models_place_until_it_leaves_and_no_hooks() {
    let config = [
        "[limits.plugins]\nmodel_calls = 1\nqueue_time = \"20s\"\nstarve_time = \"60s\"\n",
        "[plugins.bad-models]\nlimits = { output = \"1GiB\", fuel = 1_000_000_000_000, time = \"10m\", wait = \"1ms\" }\n",
        &pipeline("endless", &primary("bad-models/endless")),
        &pipeline("echo", &primary("manifold/echo")),
        "[[pipelines]]\nid = \"hooked\"\npipeline = [ { stage = \"pre_hook\", config = { function_id = \"responder\" } }, ",
        "{ stage = \"llm\", config = { primary = { provider = \"builtin\", model = \"extractive\" } } } ]\n",
    ]
    .concat();
    let server = Server::with(&config).plugin("bad_models").plugin("manifold").plugin("responder").start();
    let client = Client::of(server.address);
    let mut stuck = client.chat_stream("endless", "hello", json!({})).await;
    assert!(stuck.next().await.expect("an event").is_some());
    client.chat("hooked", "hello", json!({})).await.ok();
    // What it writes waits for the client, and that is no waiting of the plugin's own.
    for _ in 0..5_000 {
        let event: Value = serde_json::from_str(&stuck.next().await.expect("an event").expect("more of it")).expect("JSON");
        assert!(event["error"].is_null(), "{event}");
    }
    let (answered, ()) = tokio::join!(client.chat("echo", "hello", json!({})), async { drop(stuck) });
    assert_eq!(answered.ok().content(), "hello");
}

#[tokio::test]
async fn a_model_without_a_free_place_is_busy_and_its_fallback_answers() {
    let builtin = "{ provider = \"builtin\", model = \"extractive\" }";
    let config = [
        "[limits.providers]\nretries = 0\n[limits.plugins]\nmodel_calls = 2\nmodel_calls_per_plugin = 1\nqueue_time = \"10ms\"\nstarve_time = \"60s\"\n",
        "[plugins.bad-models]\nlimits = { output = \"1GiB\", fuel = 1_000_000_000_000, time = \"10m\" }\n",
        &pipeline("endless", &primary("bad-models/endless")),
        &pipeline("nothing", &primary("bad-models/nothing")),
        &pipeline("else", &format!("{}, fallbacks = [ {builtin} ]", primary("bad-models/nothing"))),
        &pipeline("echo", &primary("manifold/echo")),
    ]
    .concat();
    let server = Server::with(&config).plugin("bad_models").plugin("manifold").start();
    let client = Client::of(server.address);
    let mut stuck = client.chat_stream("endless", "hello", json!({})).await;
    assert!(stuck.next().await.expect("an event").is_some());
    let busy = client.chat("nothing", "hello", json!({})).await;
    assert_eq!((busy.refused(503).as_str(), busy.header("retry-after")), ("plugin_busy", Some("1")));
    assert!(busy.text().contains("model_calls_per_plugin"), "{busy:?}");
    assert_eq!(client.chat("else", "hello", json!({})).await.ok().json()["model"], "extractive");
    // The places of all plugins are more than those of one.
    client.chat("echo", "hello", json!({})).await.ok();
}

#[tokio::test]
async fn a_model_that_sleeps_uses_up_its_time_and_one_that_is_slow_to_begin_gives_way() {
    let fallback = |model: &str| format!("{}, fallbacks = [ {} ]", primary(model), target("manifold/echo"));
    let config = [
        "[limits.providers]\nretries = 0\ncircuit_failures = 0\nfirst_byte = \"1s\"\n[limits.plugins]\nstarve_time = \"60s\"\n",
        "[plugins.bad-models]\nlimits = { time = TIME }\n",
        &pipeline("sleeper", &primary("bad-models/sleeper")),
        &pipeline("rescued", &fallback("bad-models/sleeper")),
    ]
    .concat();
    let slow = Server::with(&config.replace("TIME", "\"10m\"")).plugin("bad_models").plugin("manifold").start();
    let events = Client::of(slow.address).chat_stream("rescued", "hello", json!({})).await.all().await.expect("a stream");
    assert_eq!(text_of(&events), "hello");
    let server = Server::with(&config.replace("TIME", "\"100ms\"")).plugin("bad_models").plugin("manifold").start();
    let client = Client::of(server.address);
    for stream in [false, true] {
        let over = client.chat_stream("sleeper", "hello", json!({"stream": stream})).await.answer().await;
        assert_eq!(over.refused(502), "plugin_time_exhausted");
        let rescued = client.chat_stream("rescued", "hello", json!({"stream": stream})).await;
        assert_eq!(rescued.status, 200);
    }
    let metrics = client.get("/metrics").await.text();
    let line = r#"cofferdam_plugin_calls_total{plugin="bad-models",hook="model",outcome="time"}"#;
    assert!(metrics.lines().any(|found| found.starts_with(line)), "{metrics}");
}

/// The whole file of a server of two plugins, with this in it.
fn file(more: &str) -> String {
    File { clients: &["app"], url: "http://127.0.0.1:1/v1", more }.text()
}

#[tokio::test]
async fn a_reload_asks_plugins_with_other_settings_anew_and_ends_no_answer() {
    let models = |offered: &str, more: &str| {
        let slow = "[plugins.bad-models]\nlimits = { output = \"1GiB\", fuel = 1_000_000_000_000, time = \"10m\" }\n";
        format!("[providers.plugin]\nmodels = {offered}\n[plugins.manifold]\nconfig = {{ more = {more} }}\n{slow}")
    };
    let server = Server::with(&file(&models("[\"bad-models/endless\"]", "[\"first\"]"))).plugin("manifold").plugin("bad_models").start();
    let app = with_key(&server, "app");
    let mut going_on = app.chat_stream("plugin/bad-models/endless", "hello", json!({})).await;
    assert!(going_on.next().await.expect("an event").is_some());
    assert_eq!(app.chat("plugin/manifold/first", "hello", json!({})).await.refused(404), "model_not_found");
    server.reconfigure(&file(&models("[\"*\"]", "[\"first\"]")));
    assert_eq!(changed(&ask(&server).await.ok().json()), ["providers.plugin.models changed"]);
    assert_eq!(app.chat("plugin/manifold/first", "hello", json!({})).await.ok().content(), "hello");
    server.reconfigure(&file(&models("[\"*\"]", "[\"second\"]")));
    ask(&server).await.ok();
    assert_eq!(app.chat("plugin/manifold/second", "hello", json!({})).await.ok().content(), "hello");
    assert_eq!(app.chat("plugin/manifold/first", "hello", json!({})).await.refused(404), "model_not_found");
    // A limit that is smaller than what is held lets it go on, and lets nobody else in.
    let small = "[limits.providers]\nretries = 0\n[limits.plugins]\nmodel_calls_per_plugin = 1\nqueue_time = \"10ms\"\n";
    server.reconfigure(&file(&(models("[\"*\"]", "[\"second\"]") + small)));
    ask(&server).await.ok();
    assert_eq!(app.chat("plugin/bad-models/endless", "hello", json!({})).await.refused(503), "plugin_busy");
    // A list that is no good leaves the one before in place.
    server.reconfigure(&file(&(models("[\"*\"]", "[\"a b\"]") + small)));
    ask(&server).await.ok();
    server.wait_for_log("it calls a model `a b`");
    app.chat("plugin/manifold/second", "hello", json!({})).await.ok();
    for _ in 0..1_000 {
        let event: Value = serde_json::from_str(&going_on.next().await.expect("an event").expect("more of it")).expect("JSON");
        assert!(event["error"].is_null(), "{event}");
    }
}

#[tokio::test]
async fn a_plugin_is_asked_again_when_its_list_is_old() {
    let server = Server::with("[limits.plugins]\nmodels_ttl = \"1s\"\n").plugin("manifold").start();
    let asked = |line: &str| line.contains("it is asked which models it has");
    let first = server.wait_for_line(asked);
    server.wait_for_line(|line| asked(line) && line != first);
}

#[tokio::test]
async fn a_plugin_with_a_list_that_is_no_good_is_refused_with_the_reason() {
    let server = Server::with(&pipeline("m", &primary("bad-list"))).plugin("bad_list").start();
    let client = Client::of(server.address);
    let plugins = client.get("/api/v1/plugins").await.ok().json();
    assert_eq!(plugins["data"][0]["state"], "refused");
    let reason = plugins["data"][0]["reason"].as_str().expect("a reason");
    assert!(reason.contains("it calls a model `../etc/passwd`; an id is at most 64 letters"), "{reason}");
    assert_eq!(client.chat("m", "hello", json!({})).await.refused(503), "plugin_not_loaded");
}

#[tokio::test]
async fn what_a_plugin_used_is_in_the_ledger_under_its_name() {
    let server = manifold().start();
    let client = Client::of(server.address);
    client.chat("count", "one two three", json!({})).await.ok();
    client.chat_stream("echo", "one two three", json!({})).await.all().await.expect("a stream");
    let metrics = client.get("/metrics").await.text();
    let line = |pipeline: &str, model: &str, kind: &str, tokens: u64| {
        format!(r#"cofferdam_tokens_total{{pipeline="{pipeline}",caller="",provider="plugin",model="{model}",type="{kind}"}} {tokens}"#)
    };
    for line in [line("count", "manifold/count", "prompt", 40), line("count", "manifold/count", "completion", 2)] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    assert!(metrics.contains(r#"pipeline="echo",caller="",provider="plugin",model="manifold/echo",type="completion""#), "{metrics}");
}

#[tokio::test]
async fn the_official_python_client_speaks_with_a_plugin() {
    let what = "python client, a plugin";
    let Some(python) = python_with("clients/python/requirements.txt") else { return skipped(what, NO_PYTHON) };
    let server = manifold().start();
    let mut check = std::process::Command::new(python);
    check.args(["-I", "-B"]).arg(source("clients/python").join("plugin_model.py")).arg(server.address.to_string());
    run(check.env("no_proxy", "127.0.0.1").env("NO_PROXY", "127.0.0.1"));
}
