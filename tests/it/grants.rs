//! What a grant names and the server does not have is told when the configuration takes effect, and refuses nothing.

use serde_json::json;

use crate::plugin_kv::{house, house_text, with_key};
use crate::reload::ask;
use crate::server::Server;

/// Grants of `plugin`, each of which names something that is there and something that is not.
fn grants(plugin: &str) -> String {
    format!(
        r#"
        [providers.up]
        kind = "openai"
        base_url = "http://127.0.0.1:9/v1"
        secret_key_name = "UP_KEY"
        [providers.plugin]
        models = []
        [plugins.{plugin}.grants]
        llm = {{ targets = ["nope/m", "builtin/extractive", "up/m", "plugin/absent/echo"], embeddings = ["none"] }}
        knowledge = {{ namespaces = ["default", "nowhere/manuals", "{plugin}/manuals"] }}
        http = {{ hosts = ["a.example.com"], secrets = {{ THERE = ["a.example.com"], MISSING = ["a.example.com"] }} }}
        "#
    )
}

/// What is told of them once a document stands in the namespace `default`.
fn told(plugin: &str) -> [String; 7] {
    [
        "grants.llm.targets: there is no provider `nope`; this server has ".to_owned(),
        "grants.llm.targets: the secret `UP_KEY` for provider `up` is not set".to_owned(),
        "grants.llm.targets: plugin `absent`: ".to_owned(),
        "grants.llm.embeddings: the list of `[[embeddings]]` has no `none`".to_owned(),
        "grants.knowledge.namespaces: there is no pipeline `nowhere`".to_owned(),
        format!("grants.knowledge.namespaces: no document is in `{plugin}/manuals` yet, of {plugin}"),
        "grants.http.secrets: the secret `MISSING` is not set".to_owned(),
    ]
    .map(|why| format!("plugins.{plugin}.{why}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_grants_name_and_the_server_does_not_have_is_told_at_the_start_and_at_a_reload() {
    let plugin = "noop-pre";
    let server: Server = house(&[plugin], &grants(plugin)).env("THERE", "12345678").start();
    for line in told(plugin) {
        server.wait_for_log(&line);
    }
    server.wait_for_log(&format!("no document is in `default` yet, of {plugin}"));
    // The plugin serves, and another one whose grants are all right is not spoken of.
    with_key(&server, "anna").chat(plugin, "hello", json!({})).await.ok();
    let boss = with_key(&server, "boss");
    boss.upload(plugin, "a.md", b"A note of some words.").await.ok();
    server.reconfigure(&format!("{}\n[plugins.other.grants]\nkv = {{}}\n", house_text(&[plugin], &grants(plugin))));
    let report = ask(&server).await.ok().json();
    let warnings: Vec<&str> = report["warnings"].as_array().expect("a list").iter().filter_map(|warning| warning.as_str()).collect();
    assert_eq!(warnings.len(), told(plugin).len(), "{warnings:?}");
    for (warning, line) in warnings.iter().zip(told(plugin)) {
        assert!(warning.starts_with(&line), "{warning}: {line}");
    }
}
