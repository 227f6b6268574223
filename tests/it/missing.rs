//! What a pipeline needs and does not have is found before anything is asked and paid, and is told to whoever puts the pipeline or asks for
//! readiness.

use serde_json::{Value, json};

use crate::client::Client;
use crate::components::components;
use crate::server::{PATIENCE, Server, deploy};
use crate::upstream::{Script, Upstream};

/// A pipeline `p` of those stages and a model at `upstream`.
fn config(stages: &str, upstream: &str) -> String {
    format!(
        r#"
        [limits.plugins]
        debounce = "20ms"
        poll = "100ms"
        [providers.up]
        kind = "openai"
        base_url = "{upstream}"
        [[pipelines]]
        id = "p"
        pipeline = [ {stages} {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }} ]
        "#
    )
}

fn stage(stage: &str, plugins: &str) -> String {
    format!("{{ stage = \"{stage}\", config = {{ function_ids = [{plugins}] }} }},")
}

fn reply() -> Script {
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"});
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3});
    Script::json(200, &json!({"id": "c", "object": "chat.completion", "created": 5, "model": "m", "choices": [choice], "usage": usage}))
}

/// The start of a server with the plugins `noop-pre` and `noop-post`, and a model that would answer.
async fn with(stages: &str) -> (Upstream, Server, Client) {
    let upstream = Upstream::start().await;
    upstream.always(reply());
    let server = Server::with(&config(stages, &upstream.url())).plugin("noop_pre").plugin("noop_post").start();
    let client = Client::of(server.address);
    (upstream, server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_or_a_hook_that_is_missing_is_found_before_anything_is_asked() {
    for (stages, code, plugin, hook) in [
        (stage("post_hook", "\"guard\""), "plugin_not_loaded", "guard", "post_hook"),
        (stage("post_hook", "\"noop-post\", \"guard\""), "plugin_not_loaded", "guard", "post_hook"),
        (stage("post_hook", "\"noop-post\", \"noop-pre\""), "plugin_no_hook", "noop-pre", "post_hook"),
        (stage("pre_hook", "\"noop-pre\", \"noop-post\""), "plugin_no_hook", "noop-post", "pre_hook"),
    ] {
        // Retrieval, and a hook that is there, stand before it.
        let first = if hook == "post_hook" { stage("pre_hook", "\"noop-pre\"") } else { String::new() };
        let (upstream, _server, client) = with(&["{ stage = \"rag\" },", &first, &stages].concat()).await;
        for stream in [false, true] {
            let answer = client.chat("p", "hello", json!({"stream": stream})).await;
            assert_eq!((answer.refused(503).as_str(), answer.header("x-should-retry")), (code, Some("false")));
            assert_eq!((answer.header("retry-after"), answer.header("x-cofferdam-attempts")), (None, None));
            let message = answer.json()["error"]["message"].to_string();
            assert!(message.contains(&format!("`{plugin}`")) && message.contains(hook), "{message}");
        }
        let answer = client.post("/v1/responses", &json!({"model": "p", "input": "hello"})).await;
        assert_eq!((answer.refused(503).as_str(), answer.header("x-should-retry")), (code, Some("false")));
        assert_eq!(upstream.requests().len(), 0, "{stages}");
        let figures = client.get("/metrics").await.ok().text();
        let line = |start: &str| figures.lines().find(|line| line.starts_with(start)).map(str::to_owned);
        assert!(line("cofferdam_rag_search_seconds_count").is_none_or(|line| line.ends_with(" 0")), "nothing was searched for");
        assert_eq!(line("cofferdam_plugin_calls_total{plugin=\"noop-pre\",hook=\"pre_hook\""), None, "no hook ran");
        let outcome = code.strip_prefix("plugin_").expect("a plugin's code");
        let counted = format!("cofferdam_plugin_calls_total{{plugin=\"{plugin}\",hook=\"{hook}\",outcome=\"{outcome}\"}} 3");
        assert_eq!(line(&counted).as_deref(), Some(&*counted), "{figures}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_is_off_for_a_request_needs_no_plugin() {
    let off = "{ stage = \"post_hook\", enabled = false, config = { function_id = \"guard\" } },";
    let (upstream, server, client) = with(&[&stage("pre_hook", "\"later\""), off].concat()).await;
    client.chat("p", "hello", json!({"pipeline": {"pre_hook": false}})).await.ok();
    assert_eq!(upstream.requests().len(), 1);
    let answer = client.chat("p", "hello", json!({"pipeline": {"pre_hook": false, "post_hook": true}})).await;
    assert_eq!(answer.refused(503), "plugin_not_loaded");
    assert_eq!(client.chat("p", "hello", json!({})).await.refused(503), "plugin_not_loaded");
    assert_eq!(upstream.requests().len(), 1);
    let readiness = server.readiness();
    assert!(readiness.contains("\"later\"") && !readiness.contains("guard"), "a stage that is off keeps no server unready: {readiness}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_plugin_that_may_be_skipped_is_passed_over_and_keeps_no_server_unready() {
    let stages = [stage("pre_hook", "\"guard\""), stage("post_hook", "\"noop-pre\", \"noop-post\"")].concat();
    let skips = "[plugins.guard]\non_failure = \"skip\"\n[plugins.noop-pre]\non_failure = \"skip\"\n";
    let upstream = Upstream::start().await;
    upstream.always(reply());
    let server = Server::with(&[skips, &config(&stages, &upstream.url())].concat()).plugin("noop_pre").plugin("noop_post").start();
    let answer = Client::of(server.address).chat("p", "hello", json!({})).await.ok();
    assert_eq!(answer.header("x-cofferdam-skipped"), Some("guard, noop-pre"));
    assert_eq!(upstream.requests().len(), 1);
    assert!(server.readiness().starts_with("HTTP/1.1 200"), "{}", server.readiness());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_is_put_is_kept_with_a_warning_for_each_thing_that_it_lacks() {
    let (upstream, _server, client) = with("").await;
    let definition = json!({"pipeline": [
        {"stage": "pre_hook", "config": {"function_ids": ["noop-pre", "noop-post"]}},
        {"stage": "llm", "config": {"primary": {"provider": "up", "model": "m"},
            "fallbacks": [{"provider": "up", "model": "n", "secret_key_name": "NOWHERE_TO_BE_FOUND"}]}},
        {"stage": "post_hook", "enabled": false, "config": {"function_id": "guard"}}]});
    let put = client.put("/api/v1/gateway/apis/later/pipeline", &definition).await;
    assert_eq!(put.status, 201);
    let warnings: Vec<String> = serde_json::from_value(put.json()["warnings"].clone()).expect("a list of texts");
    for (warning, parts) in warnings.iter().zip([
        ["plugin `noop-post` has no pre_hook", "requests fail until"],
        ["plugin `guard` is not loaded", "requests that switch the stage on fail until"],
        ["pipeline.llm.config.fallbacks[0]: the secret `NOWHERE_TO_BE_FOUND` for provider `up`", "is not set"],
    ]) {
        assert!(parts.iter().all(|part| warning.contains(part)), "{warning}");
    }
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert_eq!(client.chat("later", "hello", json!({})).await.refused(503), "plugin_no_hook");
    assert_eq!(upstream.requests().len(), 0);
    let whole =
        json!({"pipeline": [{"stage": "pre_hook", "config": {"function_id": "noop-pre"}}, definition["pipeline"][1]["stage"].clone()]});
    assert_eq!(client.put("/api/v1/gateway/apis/later/pipeline", &whole).await.status, 400);
    let whole = json!({"pipeline": [{"stage": "pre_hook", "config": {"function_id": "noop-pre"}},
        {"stage": "llm", "config": {"primary": {"provider": "up", "model": "m"}}}]});
    assert_eq!(client.put("/api/v1/gateway/apis/later/pipeline", &whole).await.ok().json()["warnings"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_of_the_file_that_cannot_run_makes_the_server_unready_until_its_plugin_is_there() {
    let (_upstream, server, client) = with(&stage("post_hook", "\"noop-pre\", \"stamp\"")).await;
    let line = server.wait_for_log("the pipeline cannot run");
    assert!(line.contains("pipeline=\"p\"") && line.contains("noop-pre"), "{line}");
    let body = |readiness: String| -> Value { serde_json::from_str(readiness.split("\r\n\r\n").last().expect("a body")).expect("JSON") };
    let readiness = server.readiness();
    assert!(readiness.starts_with("HTTP/1.1 503"), "{readiness}");
    let answer = body(readiness);
    assert_eq!(answer["status"], "blocked");
    let (id, hook) = (json!("p"), json!("post_hook"));
    let named: Vec<_> = answer["pipelines"].as_array().expect("a list").iter().map(|p| (&p["id"], &p["plugin"], &p["hook"])).collect();
    assert_eq!(named, [(&id, &json!("noop-pre"), &hook), (&id, &json!("stamp"), &hook)]);
    // A pipeline that came through the API is its admin's business.
    let api = json!({"pipeline": [{"stage": "pre_hook", "config": {"function_id": "nowhere"}},
        {"stage": "llm", "config": {"primary": {"provider": "up", "model": "m"}}}]});
    client.put("/api/v1/gateway/apis/api/pipeline", &api).await.ok();
    deploy(&components().path("stamp_1"), &server.plugin_dir(), "stamp");
    let only_the_hook = async { while body(server.readiness())["pipelines"].as_array().is_none_or(|list| list.len() != 1) {} };
    tokio::time::timeout(PATIENCE, only_the_hook).await.expect("`stamp` is there");
    deploy(&components().path("noop_post"), &server.plugin_dir(), "noop-pre");
    assert!(server.readiness().starts_with("HTTP/1.1 503"), "a plugin of another name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_be_ready_without_plugins_if_the_operator_wants_that() {
    let upstream = Upstream::start().await;
    let config = ["ready_requires_plugins = false\n", &config(&stage("pre_hook", "\"guard\""), &upstream.url())].concat();
    let server = Server::with(&config).start();
    assert!(server.readiness().starts_with("HTTP/1.1 200"), "{}", server.readiness());
    let client = Client::of(server.address);
    assert_eq!(client.chat("p", "hello", json!({})).await.refused(503), "plugin_not_loaded");
}
