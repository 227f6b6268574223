//! What the server says of pipelines whose targets are plugins, how such plugins are deployed while others answer, and that one exchange meets
//! one version of each.

use bytes::Bytes;
use futures_util::future::select;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::components::components;
use crate::deploy::wait_for;
use crate::sandbox_limits::compile::heavy;
use crate::server::Server;
use crate::upstream::{Script, Signal, Upstream};

const BUILTIN: &str = "{ provider = \"builtin\", model = \"extractive\" }";

/// A pipeline of that id that asks only these.
fn pipeline(id: &str, targets: &[&str]) -> String {
    let (primary, fallbacks) = (targets[0], targets[1..].join(", "));
    format!(
        "[[pipelines]]\nid = \"{id}\"\npipeline = [ {{ stage = \"llm\", config = {{ primary = {primary}, fallbacks = [ {fallbacks} ] }} }} ]\n"
    )
}

fn plugin(model: &str) -> String {
    format!("{{ provider = \"plugin\", model = \"{model}\" }}")
}

async fn put(client: &Client, name: &str, bytes: Vec<u8>) -> Answer {
    client.send(Method::POST, &format!("/api/v1/plugins?name={name}"), Some("application/wasm"), bytes.into()).await
}

async fn delete(client: &Client, name: &str) -> Value {
    client.send(Method::DELETE, &format!("/api/v1/plugins/{name}"), None, Bytes::new()).await.ok().json()
}

fn said(readiness: &str) -> Value {
    serde_json::from_str(readiness.split("\r\n\r\n").last().expect("a body")).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_all_of_whose_targets_are_missing_plugins_makes_the_server_unready() {
    let config = [
        "[limits.plugins]\ndebounce = \"20ms\"\npoll = \"100ms\"\n",
        &pipeline("all", &[&plugin("absent/a"), &plugin("noop-pre/b")]),
        &pipeline("some", &[&plugin("absent/a"), BUILTIN]),
        &pipeline("there", &[&plugin("absent/a"), &plugin("manifold/echo")]),
    ]
    .concat();
    let server = Server::with(&config).plugin("manifold").plugin("noop_pre").start();
    let readiness = server.readiness();
    assert!(readiness.starts_with("HTTP/1.1 503"), "{readiness}");
    let answer = said(&readiness);
    let named: Vec<_> = answer["pipelines"].as_array().expect("a list").iter().map(|p| (&p["id"], &p["plugin"], &p["hook"])).collect();
    let (all, model) = (json!("all"), json!("model"));
    assert_eq!(named, [(&all, &json!("absent"), &model), (&all, &json!("noop-pre"), &model)]);
    let line = server.wait_for_log("the pipeline cannot run");
    assert!(line.contains("pipeline=\"all\"") && line.contains("hook=\"model\""), "{line}");
    let client = Client::of(server.address);
    let gone = delete(&client, "manifold").await;
    assert_eq!(gone["warnings"], json!(["pipeline `there` names the plugin"]));
    let named = said(&server.readiness())["pipelines"].as_array().expect("a list").len();
    assert_eq!(named, 4, "nobody answers `there` either");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_not_ready_before_a_plugin_was_tried_that_is_a_target() {
    let builder = Server::with(&pipeline("slow", &[&plugin("slow/a"), BUILTIN]));
    std::fs::create_dir_all(builder.plugin_dir()).expect("a folder");
    std::fs::write(builder.plugin_dir().join("slow.wasm"), heavy(28_000)).expect("written");
    let server = builder.start_loading();
    server.wait_for_log("work: compiling");
    let readiness = server.readiness();
    assert!(readiness.starts_with("HTTP/1.1 503") && readiness.ends_with(r#"{"status":"loading"}"#), "{readiness}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_is_put_warns_of_each_target_that_is_a_missing_plugin_or_model() {
    let server = Server::with("").plugin("manifold").plugin("noop_pre").start();
    let client = Client::of(server.address);
    let target = |model: &str| json!({"provider": "plugin", "model": model});
    let config =
        json!({"primary": target("manifold/echo"), "fallbacks": [target("absent/a"), target("noop-pre"), target("manifold/none")]});
    let put = client.put("/api/v1/gateway/apis/p/pipeline", &json!([{"stage": "llm", "config": config}])).await;
    assert_eq!(put.status, 201);
    let warnings: Vec<String> = serde_json::from_value(put.json()["warnings"].clone()).expect("a list of texts");
    let wanted = [
        ("fallbacks[0]", "plugin `absent` is not loaded"),
        ("fallbacks[1]", "plugin `noop-pre` has no model"),
        ("fallbacks[2]", "plugin `manifold`: it has no model `none`; it has `echo`, `count`"),
    ];
    for (warning, (key, why)) in warnings.iter().zip(wanted) {
        assert!(warning.starts_with(&format!("pipeline.llm.config.{key}: {why}")), "{warning}");
    }
    assert_eq!(warnings.len(), wanted.len(), "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_deployed_while_every_place_of_models_is_taken() {
    let config = [
        "[limits.plugins]\nmodel_calls = 1\nqueue_time = \"500ms\"\nstarve_time = \"60s\"\ndebounce = \"60s\"\npoll = \"1h\"\n",
        "[plugins.bad-models]\nlimits = { output = \"1GiB\", fuel = 1_000_000_000_000, time = \"10m\" }\n",
        &pipeline("endless", &[&plugin("bad-models/endless")]),
    ]
    .concat();
    let server = Server::with(&config).plugin("bad_models").start();
    let client = Client::of(server.address);
    let mut stuck = client.chat_stream("endless", "hello", json!({})).await;
    assert!(stuck.next().await.expect("an event").is_some());
    let new = put(&client, "manifold", components().bytes("manifold")).await;
    assert_eq!((new.status.as_u16(), &new.json()["state"]), (201, &json!("live")));
    assert!(stuck.next().await.expect("an event").is_some(), "the answer goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_could_not_be_asked_who_it_is_is_not_called_bad() {
    let config = [
        "[limits.plugins]\ncalls = 1\nqueue_time = \"10ms\"\nstarve_time = \"60s\"\ndebounce = \"20ms\"\npoll = \"1s\"\n",
        "[plugins.sleeper]\nlimits = { time = \"10m\" }\n",
        "[[pipelines]]\nid = \"asleep\"\npipeline = [ { stage = \"pre_hook\", config = { function_id = \"sleeper\" } }, ",
        &format!("{{ stage = \"llm\", config = {{ primary = {BUILTIN} }} }} ]\n"),
    ]
    .concat();
    let server = Server::with(&config).plugin("sleeper").start();
    let client = Client::of(server.address);
    let ask = || Box::pin(client.chat("asleep", "hello", json!({})));
    // One call at a time: when one is turned away, the other one sleeps.
    let (turned_away, asleep) = select(ask(), ask()).await.factor_first();
    assert_eq!(turned_away.refused(503), "plugin_busy");
    let later = put(&client, "manifold", components().bytes("manifold")).await;
    assert_eq!((later.refused(503).as_str(), later.header("retry-after")), ("plugins_busy", Some("1")));
    assert!(later.text().contains("it is tried again"), "{later:?}");
    drop(asleep);
    wait_for(&client, "manifold.wasm", |entry| entry["state"] == "live").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_meets_one_version_of_a_plugin_whatever_is_deployed_meanwhile() {
    let upstream = Upstream::start().await;
    let provider = format!(
        "[providers.up]\nkind = \"openai\"\nbase_url = \"{}\"\n[limits.providers]\nretries = 0\n[limits.plugins]\ndebounce = \"60s\"\npoll = \"1h\"\n",
        upstream.url()
    );
    let up = "{ provider = \"up\", model = \"m\" }";
    let server = Server::with(&[&*provider, &pipeline("p", &[up, &plugin("manifold/echo")])].concat()).plugin("manifold").start();
    let client = Client::of(server.address);
    let go_on = Signal::default();
    upstream.always(Script::chunked(503, &[]).wait(&go_on).end());
    let under_way = tokio::spawn({
        let client = client.clone();
        async move { client.chat("p", "hello", json!({})).await }
    });
    upstream.received().await;
    assert_eq!(delete(&client, "manifold").await["warnings"], json!(["pipeline `p` names the plugin"]));
    go_on.fire();
    assert_eq!(under_way.await.expect("an answer").ok().content(), "hello", "it was there when the exchange began");
    upstream.forget_responders();
    upstream.always(Script::reply(503, &[], "away"));
    assert_eq!(client.chat("p", "hello", json!({})).await.refused(503), "plugin_not_loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_never_that_of_a_file_with_another_stem() {
    let server = Server::with("[limits.plugins]\ndebounce = \"60s\"\npoll = \"1h\"\n").plugin_as("bare", "bare.wasm").start();
    let client = Client::of(server.address);
    let twice = client.get("/api/v1/plugins").await.ok().json()["data"][0].clone();
    assert_eq!((&twice["file"], &twice["name"]), (&json!("bare.wasm.wasm"), &json!("bare.wasm")), "{twice}");
    let before = std::fs::read(server.plugin_dir().join("bare.wasm.wasm")).expect("the file");
    let new = put(&client, "bare", components().bytes("noop_pre")).await;
    assert_eq!((new.status.as_u16(), std::fs::read(server.plugin_dir().join("bare.wasm.wasm")).expect("the file")), (422, before));
    assert_eq!(put(&client, "bare", components().bytes("bare")).await.json()["file"], "bare.wasm");
    delete(&client, "bare").await;
    assert!(server.plugin_dir().join("bare.wasm.wasm").exists(), "what is deleted is the other file");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_models_shows_what_a_plugin_says_of_each() {
    let server = Server::with("[providers.plugin]\nmodels = [\"manifold/echo\", \"manifold/later\"]\n").plugin("manifold").start();
    let client = Client::of(server.address);
    let models = client.get("/v1/models").await.ok().json();
    let of = |id: &str| models["data"].as_array().expect("a list").iter().find(|model| model["id"] == id).cloned().expect("it is listed");
    let echo = json!({"id": "plugin/manifold/echo", "object": "model", "created": 0, "owned_by": "plugin",
        "name": "Repeats what it is told", "context_length": 4096});
    assert_eq!(of("plugin/manifold/echo"), echo, "and no plugin says who owns its model");
    let later = json!({"id": "plugin/manifold/later", "object": "model", "created": 0, "owned_by": "plugin"});
    assert_eq!(of("plugin/manifold/later"), later);
    assert_eq!(client.get("/v1/models/plugin%2Fmanifold%2Fecho").await.ok().json(), echo);
}
