//! Plugins in JavaScript, made with QuickJS by the commands of docs/plugins.md, whose example is the plugin here.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::packages::{NO_NODE, node_with, run, skipped, source};
use crate::server::{Server, deploy};
use crate::upstream::{Script, Upstream};

fn config(plugin: &str, upstream: &str) -> String {
    format!(
        r#"
        [limits.plugins]
        starve_time = "60s"
        [providers.up]
        kind = "openai"
        base_url = "{upstream}"
        [plugins.house-words]
        config = {{ refused = ["casino"], replaced = {{ "colour" = "color", "cafe" = "café ☕" }}, signature = " — the house 🏠" }}
        limits = {{ time = "20s" }}
        [plugins.hostile]
        limits = {{ time = "20s", fuel = 1_000_000_000, memory = "8MiB" }}
        [[pipelines]]
        id = "p"
        pipeline = [
            {{ stage = "pre_hook", config = {{ function_id = "{plugin}" }} }},
            {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }},
            {{ stage = "post_hook", config = {{ function_id = "house-words" }}, enabled = {} }},
        ]
        "#,
        plugin == "house-words"
    )
}

/// A server with that plugin of `tests/quickjs`, whose world has the lines given; none if this machine cannot make it.
fn server(plugin: &str, world: &str, upstream: &Upstream) -> Option<Server> {
    let Some(tools) = node_with("quickjs") else {
        skipped(&format!("QuickJS, {plugin}"), NO_NODE);
        return None;
    };
    let made = tempfile::tempdir().expect("a folder");
    let wit = made.path().join("wit");
    let hooks = wit.join("deps/hooks");
    std::fs::create_dir_all(&hooks).expect("a folder");
    std::fs::write(wit.join("world.wit"), world).expect("the world");
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit")).expect("the contract") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), hooks.join(file.file_name())).expect("the contract");
    }
    let component = made.path().join("component.wasm");
    let mut tool = Command::new("node");
    tool.arg(tools.join("node_modules/componentize-qjs/bin/componentize-qjs"));
    tool.args(["--sync", "--world", "plugin", "--wit"]).arg(&wit).arg("--js").arg(source(&format!("quickjs/{plugin}.js")));
    run(tool.arg("--output").arg(&component));
    let builder = Server::with(&config(plugin, &upstream.url()));
    deploy(&component, &builder.plugin_dir(), plugin);
    Some(builder.start())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_javascript_refuses_changes_and_signs() {
    let upstream = Upstream::start().await;
    let world = std::fs::read_to_string(source("quickjs/world.wit")).expect("the world");
    let Some(server) = server("house-words", &world, &upstream) else { return };
    let client = Client::of(server.address);
    let listed = &client.get("/api/v1/plugins").await.ok().json()["data"][0];
    assert_eq!((&listed["name"], &listed["state"]), (&json!("house-words"), &json!("live")), "{listed}");

    let refused = client.chat("p", "Where is the Casino?", json!({})).await;
    assert_eq!(refused.refused(422), "word_refused");
    assert_eq!(refused.json()["error"]["message"], "This house does not speak of \"casino\".");
    server.wait_for_log("refused a question with \"casino\"");
    assert!(upstream.requests().is_empty());

    upstream.next(Script::says("It is blue."));
    let answer = client.chat("p", "Which colour 🎨 has the cafe?", json!({})).await.ok();
    assert_eq!(answer.content(), "It is blue. — the house 🏠");
    assert_eq!(upstream.requests()[0].json()["messages"], json!([{"role": "user", "content": "Which color 🎨 has the café ☕?"}]));

    upstream.next(Script::says("It is red."));
    let streamed = client.chat_stream("p", "And the door?", json!({})).await.all().await.expect("a whole stream");
    assert_eq!(text_of(&streamed), "It is red. — the house 🏠");

    // Many and long messages in every encoding that its engine keeps text in.
    upstream.next(Script::says("Yes."));
    let messages: Value = (0..500).map(|at| json!({"role": "user", "content": format!("colour {at} é 日本 🎨").repeat(20)})).collect();
    client.post("/v1/chat/completions", &json!({"model": "p", "messages": messages})).await.ok();
    let sent = upstream.requests()[2].json();
    assert_eq!(sent["messages"][499]["content"], json!("color 499 é 日本 🎨".repeat(20)));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_javascript_does_is_its_own_fault() {
    let upstream = Upstream::start().await;
    let world = "package my:plugin; world plugin { export cofferdam:hooks/pre-hook@0.2.0; }";
    let Some(server) = server("hostile", world, &upstream) else { return };
    let client = Client::of(server.address);
    for (does, code) in [
        ("loop", "plugin_fuel_exhausted"),
        ("backtrack", "plugin_fuel_exhausted"),
        ("hoard", "plugin_memory_exhausted"),
        ("recurse", "plugin_stack_exhausted"),
        ("throw", "plugin_trapped"),
        ("nothing", "plugin_trapped"),
        ("half a character", "plugin_trapped"),
        ("report", "plugin_reported_error"),
    ] {
        assert_eq!(client.chat("p", does, json!({})).await.refused(502), code, "{does}");
        client.get("/healthz").await.ok();
    }
    upstream.next(Script::says("Fine."));
    assert_eq!(client.chat("p", "behave", json!({})).await.ok().content(), "Fine.", "no call left anything to the next one");
}
