//! Plugins that compute vectors, through the real server: asked by name as a provider is, in batches, by other plugins, and from the official
//! Python client; and those that misbehave, each of which ends in an error of its own.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::packages::{NO_PYTHON, python_with, run, skipped, source};
use crate::reload::{File, ask, with_key};
use crate::server::Server;

const QUICK: &str = "[limits.providers]\nretries = 0\ncircuit_failures = 0\n[limits.plugins]\nstarve_time = \"60s\"\n";

/// A name for vectors of that model of the plugins.
fn named(id: &str, model: &str) -> String {
    format!("[[embeddings]]\nid = \"{id}\"\nprovider = \"plugin\"\nmodel = \"{model}\"\n")
}

async fn embed(client: &Client, model: &str, input: Value) -> Answer {
    client.post("/v1/embeddings", &json!({"model": model, "input": input})).await
}

fn vectors(answer: &Answer) -> Vec<Value> {
    answer.json()["data"].as_array().expect("a list").iter().map(|row| row["embedding"].clone()).collect()
}

fn has_line(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

#[tokio::test]
async fn a_plugin_computes_one_vector_for_each_text_in_both_forms_of_numbers() {
    let config = [named("vec", "vectors"), named("halves", "vectors/halves")].concat();
    let server = Server::with(&(config + QUICK)).plugin("vectors").start();
    let client = Client::of(server.address);
    let answer = embed(&client, "vec", json!(["one two", "three"])).await.ok();
    assert_eq!(vectors(&answer), [json!([7.0, 2.0, 2.0]), json!([5.0, 1.0, 2.0])]);
    assert_eq!((&answer.json()["model"], &answer.json()["object"]), (&json!("vec"), &json!("list")));
    assert_eq!(vectors(&embed(&client, "vec", json!("alone")).await.ok()), [json!([5.0, 1.0, 1.0])]);
    for (more, expected) in [
        (json!({}), json!([0.5, -0.25])),
        (json!({"encoding_format": "base64"}), json!("AAAAPwAAgL4=")),
        (json!({"dimensions": 2}), json!([0.5, -0.25])),
    ] {
        let mut body = json!({"model": "halves", "input": "x", "user": "u"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        assert_eq!(vectors(&client.post("/v1/embeddings", &body).await.ok()), [expected], "{body}");
    }
    for (body, param) in [
        (json!({"model": "halves", "input": "x", "dimensions": 3}), "dimensions"),
        (json!({"model": "halves", "input": [[1, 2]]}), "input"),
    ] {
        let refused = client.post("/v1/embeddings", &body).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["error"]["param"]), (400, &json!(param)), "{refused:?}");
    }
    // Each text is guessed at a token for four bytes, as with any provider that reports no count; what was refused costs nothing.
    let metrics = client.get("/metrics").await.text();
    let line = |name: &str, model: &str, tokens: u64| {
        format!(r#"cofferdam_tokens_total{{pipeline="{name}",caller="",provider="plugin",model="{model}",type="prompt"}} {tokens}"#)
    };
    for line in [line("vec", "vectors", 3 + 2), line("halves", "vectors/halves", 3)] {
        assert!(has_line(&metrics, &line), "{line}\n{metrics}");
    }
    let plugins = client.get("/api/v1/plugins").await.ok().json();
    assert_eq!((&plugins["data"][0]["state"], &plugins["data"][0]["hooks"]), (&json!("live"), &json!(["embed"])));
}

#[tokio::test]
async fn texts_are_handed_over_in_batches_in_their_order() {
    let calls = |client: Client| async move {
        let metrics = client.get("/metrics").await.text();
        let start = r#"cofferdam_plugin_calls_total{plugin="vectors",hook="embed",outcome="ok"} "#;
        metrics.lines().find_map(|line| line.strip_prefix(start)).expect("calls").to_owned()
    };
    let texts = json!(["a", "bb", "ccc", "dddd", "eeeee"]);
    let by_count = Server::with(&[QUICK, "embed_texts = 2\n", &named("vec", "vectors")].concat()).plugin("vectors").start();
    let client = Client::of(by_count.address);
    let answer = embed(&client, "vec", texts.clone()).await.ok();
    assert_eq!(vectors(&answer), [[1.0, 1.0, 2.0], [2.0, 1.0, 2.0], [3.0, 1.0, 2.0], [4.0, 1.0, 2.0], [5.0, 1.0, 1.0]].map(|v| json!(v)));
    assert_eq!(calls(client).await, "3");
    let by_bytes = Server::with(&[QUICK, "embed_bytes = \"1KiB\"\n", &named("vec", "vectors")].concat()).plugin("vectors").start();
    let client = Client::of(by_bytes.address);
    let long = ["x".repeat(1_000), "x".repeat(24), "y".to_owned(), "z".repeat(5_000)];
    let answer = embed(&client, "vec", json!(long)).await.ok();
    assert_eq!(vectors(&answer), [[1_000.0, 1.0, 2.0], [24.0, 1.0, 2.0], [1.0, 1.0, 1.0], [5_000.0, 1.0, 1.0]].map(|v| json!(v)));
    assert_eq!(calls(client).await, "3");
}

#[tokio::test]
async fn a_plugin_is_asked_by_the_names_that_the_operator_gives_it_and_by_no_others() {
    let list = |models: &str| format!("{QUICK}[providers.plugin]\nmodels = {models}\n");
    let server = Server::with(&list("[\"*\"]")).plugin("vectors").plugin("noop_pre").start();
    let client = Client::of(server.address);
    for (model, length) in [("plugin/vectors", 3), ("plugin/vectors/halves", 2)] {
        let answer = embed(&client, model, json!("text")).await.ok();
        assert_eq!(vectors(&answer)[0].as_array().map(Vec::len), Some(length), "{model}");
    }
    for unknown in ["plugin/noop-pre", "plugin/absent", "plugin/absent/vectors", "plugin/", "vectors"] {
        assert_eq!(embed(&client, unknown, json!("text")).await.refused(404), "model_not_found", "{unknown}");
    }
    assert_eq!(client.chat("plugin/vectors", "hello", json!({})).await.refused(404), "model_not_found", "it is no model");
    assert!(!client.get("/v1/models").await.ok().text().contains("vectors"));
    let server = Server::with(&list("[\"vectors/halves\", \"noop-pre\", \"absent\"]")).plugin("vectors").plugin("noop_pre").start();
    let client = Client::of(server.address);
    embed(&client, "plugin/vectors/halves", json!("text")).await.ok();
    assert_eq!(embed(&client, "plugin/vectors", json!("text")).await.refused(404), "model_not_found");
    assert_eq!(embed(&client, "plugin/noop-pre", json!("text")).await.refused(503), "plugin_no_hook");
    assert_eq!(embed(&client, "plugin/absent", json!("text")).await.refused(503), "plugin_not_loaded");
    let server = Server::with(&(named("vec", "vectors") + QUICK)).plugin("vectors").start();
    assert_eq!(embed(&Client::of(server.address), "plugin/vectors", json!("text")).await.refused(404), "model_not_found");
}

#[tokio::test]
async fn each_misbehaving_embedder_ends_in_its_own_error_and_never_in_a_wrong_vector() {
    let cases = [
        ("too-few", "plugin_invalid_outcome"),
        ("too-many", "plugin_invalid_outcome"),
        ("none", "plugin_invalid_outcome"),
        ("empty", "plugin_invalid_outcome"),
        ("ragged", "plugin_invalid_outcome"),
        ("ragged-later", "plugin_invalid_outcome"),
        ("nan", "plugin_invalid_outcome"),
        ("infinite", "plugin_invalid_outcome"),
        ("long", "plugin_invalid_outcome"),
        ("huge", "plugin_output_exhausted"),
        ("many", "plugin_output_exhausted"),
        ("loop", "plugin_fuel_exhausted"),
        ("trap", "plugin_trapped"),
        ("fails", "plugin_reported_error"),
    ];
    let names = cases.map(|(model, _)| named(model, &format!("bad-vectors/{model}"))).concat();
    let limits = "[plugins.bad-vectors]\nlimits = { fuel = 400_000_000, time = \"20s\", memory = \"256MiB\" }\n";
    let config = [QUICK, "calls = 1\nembed_texts = 2\n", limits, &names, &named("vec", "vectors")].concat();
    let server = Server::with(&config).plugin("bad_vectors").plugin("vectors").start();
    let client = Client::of(server.address);
    for (model, code) in cases {
        let answer = embed(&client, model, json!(["a", "bb", "ccc", "dddd"])).await;
        assert_eq!(answer.refused(502), code, "{model}");
        assert!(answer.text().contains("plugin `bad-vectors`") && answer.text().contains("failed in embed"), "{model}: {answer:?}");
        // Its place is free again.
        embed(&client, "vec", json!("still here")).await.ok();
    }
    let metrics = client.get("/metrics").await.text();
    for (outcome, calls) in [("invalid", 9), ("output", 2), ("fuel", 1), ("trapped", 1), ("reported", 1)] {
        let line = format!(r#"cofferdam_plugin_calls_total{{plugin="bad-vectors",hook="embed",outcome="{outcome}"}} {calls}"#);
        assert!(has_line(&metrics, &line), "{line}\n{metrics}");
    }
    assert!(!metrics.contains("model=\"bad-vectors/"), "what came to nothing costs nothing: {metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_without_a_free_place_is_busy_and_a_client_that_leaves_ends_its_call() {
    let limits = "calls_per_plugin = 1\nqueue_time = WAIT\n[plugins.bad-vectors]\nlimits = { time = \"10m\" }\n";
    let config = [QUICK, limits, &named("sleeper", "bad-vectors/sleeper"), &named("good", "bad-vectors/good"), &named("vec", "vectors")];
    let start = |wait: &str| {
        let server = Server::with(&config.concat().replace("WAIT", wait)).plugin("bad_vectors").plugin("vectors").start();
        let client = Client::of(server.address);
        let sleeping = tokio::spawn(async move { embed(&client, "sleeper", json!("text")).await.status });
        (server, sleeping)
    };
    let (server, _sleeping) = start("\"10ms\"");
    server.wait_for_log("it sleeps");
    let client = Client::of(server.address);
    let busy = embed(&client, "good", json!("text")).await;
    assert_eq!((busy.refused(503).as_str(), busy.header("retry-after")), ("plugin_busy", Some("1")));
    embed(&client, "vec", json!("text")).await.ok();
    let (server, sleeping) = start("\"60s\"");
    server.wait_for_log("it sleeps");
    sleeping.abort();
    assert_eq!(vectors(&embed(&Client::of(server.address), "good", json!("text")).await.ok()), [json!([1.0, 2.0])]);
}

#[tokio::test]
async fn a_plugin_asks_another_for_vectors_if_it_is_granted_and_one_level_deep() {
    let grants = |plugin: &str, id: &str| format!("[plugins.{plugin}]\ngrants = {{ llm = {{ embeddings = [\"{id}\"] }} }}\n");
    let chat = |id: &str, model: &str| {
        let target = format!("{{ provider = \"plugin\", model = \"{model}\" }}");
        format!("[[pipelines]]\nid = \"{id}\"\npipeline = [ {{ stage = \"llm\", config = {{ primary = {target} }} }} ]\n")
    };
    let config = |asks: &str| {
        let chats = [chat("one", "nested-vectors"), chat("two", "asker/embed")].concat();
        let names = [named("vec", "vectors"), named("nested", "nested-vectors/x"), chats].concat();
        let keys = File { clients: &["app"], url: "http://127.0.0.1:1", more: "" }.text();
        [&keys, QUICK, &names, &grants("nested-vectors", asks), &grants("asker", "nested")].concat()
    };
    let said = |client: &Client, model: &'static str| {
        let client = client.clone();
        async move { client.chat(model, "two words", json!({})).await.ok().content() }
    };
    let server = Server::with(&config("vec")).plugin("vectors").plugin("nested_vectors").plugin("asker").start();
    let client = with_key(&server, "app");
    assert_eq!(said(&client, "one").await, "[[9.0, 2.0, 1.0]]");
    assert_eq!(vectors(&embed(&client, "nested", json!(["two words", "x"])).await.ok()), [json!([9.0, 2.0, 2.0]), json!([1.0, 1.0, 2.0])]);
    server.wait_for_log("2 texts for `` of `vec` from app");
    // What a plugin asks may ask nobody.
    let deep = said(&client, "two").await;
    assert!(deep.contains("a model that a plugin asks may not ask other models"), "{deep}");
    let report = with_key(&server, "boss").get("/api/v1/usage").await.ok().json();
    let row = report["data"].as_array().expect("rows").iter().find(|row| row["model"] == "vectors").expect("a row");
    assert_eq!((&row["caller"], &row["pipeline"]), (&json!("app"), &json!("vec")));
    let server = Server::with(&config("nested")).plugin("nested_vectors").plugin("vectors").plugin("asker").start();
    let client = with_key(&server, "app");
    let itself = "plugin `nested-vectors` may not ask itself for vectors";
    let answer = said(&client, "one").await;
    assert!(answer.starts_with("Failure::Invalid(") && answer.contains(itself), "{answer}");
    let answer = embed(&client, "nested", json!("text")).await;
    assert_eq!(answer.refused(502), "plugin_reported_error");
    assert!(answer.text().contains(itself), "{answer:?}");
    let ungranted = Server::with("").plugin("nested_vectors").start();
    let plugins = Client::of(ungranted.address).get("/api/v1/plugins").await.ok().json();
    assert!(plugins["data"][0]["reason"].as_str().is_some_and(|reason| reason.contains("`llm` must be granted")), "{plugins}");
}

#[tokio::test]
async fn names_of_vectors_whose_plugin_is_missing_make_the_server_unready_and_are_told() {
    let config = [QUICK, "debounce = \"20ms\"\npoll = \"100ms\"\n", &named("vec", "vectors"), &named("other", "noop-pre")].concat();
    let server = Server::with(&config).plugin("noop_pre").plugin("vectors").start();
    let readiness = server.readiness();
    assert!(readiness.starts_with("HTTP/1.1 503"), "{readiness}");
    let answer: Value = serde_json::from_str(readiness.split("\r\n\r\n").last().expect("a body")).expect("JSON");
    let blocked = json!([{"id": "other", "plugin": "noop-pre", "hook": "embed", "reason": "it has no such hook"}]);
    assert_eq!(answer["pipelines"], blocked);
    let line = server.wait_for_log("the name for embeddings cannot be asked for");
    assert!(line.contains("pipeline=\"other\"") && line.contains("hook=\"embed\""), "{line}");
    let client = Client::of(server.address);
    let gone = client.send(Method::DELETE, "/api/v1/plugins/vectors", None, Bytes::new()).await.ok().json();
    assert_eq!(gone["warnings"], json!(["embeddings `vec` name the plugin"]));
    assert_eq!(embed(&client, "vec", json!("text")).await.refused(503), "plugin_not_loaded");
}

#[tokio::test]
async fn a_reload_tells_of_missing_embedders_and_changes_the_size_of_batches() {
    let file = |more: &str| File { clients: &["app"], url: "http://127.0.0.1:1/v1", more }.text();
    let server = Server::with(&file(&named("vec", "vectors"))).plugin("vectors").plugin("noop_pre").start();
    let app = with_key(&server, "app");
    assert_eq!(vectors(&embed(&app, "vec", json!(["a", "b"])).await.ok())[0], json!([1.0, 1.0, 2.0]));
    let more = [&named("vec", "vectors"), &named("none", "noop-pre"), "[limits.plugins]\nembed_texts = 1\n"].map(String::from).concat();
    server.reconfigure(&file(&more));
    let reloaded = ask(&server).await.ok().json();
    let warning = "embeddings `none`: plugin `noop-pre` computes no vectors; requests for its vectors fail until it is there";
    assert!(reloaded["warnings"].as_array().is_some_and(|warnings| warnings.contains(&json!(warning))), "{reloaded}");
    assert_eq!(vectors(&embed(&app, "vec", json!(["a", "b"])).await.ok())[0], json!([1.0, 1.0, 1.0]));
}

#[tokio::test]
async fn the_official_python_client_gets_the_vectors_of_a_plugin() {
    let what = "python client, vectors of a plugin";
    let Some(python) = python_with("clients/python/requirements.txt") else { return skipped(what, NO_PYTHON) };
    let config = [QUICK, &named("vec", "vectors"), &named("bad", "bad-vectors/nan"), "[providers.plugin]\nmodels = [\"*\"]\n"].concat();
    let server = Server::with(&config).plugin("vectors").plugin("bad_vectors").start();
    let mut check = std::process::Command::new(python);
    check.args(["-I", "-B"]).arg(source("clients/python").join("plugin_vectors.py")).arg(server.address.to_string());
    run(check.env("no_proxy", "127.0.0.1").env("NO_PROXY", "127.0.0.1"));
}
