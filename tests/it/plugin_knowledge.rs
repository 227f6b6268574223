//! Plugins that search documents, through the real server: the namespaces of their grant and no others, within a budget for each request.

use serde_json::json;

use crate::client::Client;
use crate::server::{Builder, Server};

/// A server whose pipeline `search` asks the plugin `searcher`, and two others that have documents.
fn searcher(terms: &str) -> Builder {
    let llm = r#"{ stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } }"#;
    let other = |id: &str| format!("[[pipelines]]\nid = \"{id}\"\npipeline = [ {llm} ]\n");
    let hook = r#"{ stage = "pre_hook", config = { function_id = "searcher" } }"#;
    let config = [
        "[limits.plugins]\nstarve_time = \"60s\"\n[plugins.searcher]\nlimits = { wait = \"60s\", time = \"20s\" }\n",
        &format!("grants = {{ knowledge = {{ {terms} }} }}\n"),
        &other("friend"),
        &other("stranger"),
        &format!("[[pipelines]]\nid = \"search\"\npipeline = [ {hook}, {llm} ]\n"),
    ];
    Server::with(&config.concat()).plugin("searcher")
}

async fn said(client: &Client, question: &str) -> String {
    client.chat("search", question, json!({})).await.ok().content()
}

#[tokio::test]
async fn a_plugin_searches_the_namespaces_that_were_granted_and_no_others() {
    let server = searcher(r#"namespaces = ["default", "friend/default"]"#).start();
    let client = Client::of(server.address);
    client.upload("search", "hours.md", b"The gate opens at six.").await.ok();
    client.upload("friend", "secret.md", b"The gate of the others opens at seven.").await.ok();
    client.upload("stranger", "hidden.md", b"The gate that nobody sees.").await.ok();
    assert_eq!(said(&client, "search default 5 gate").await, "hours.md: The gate opens at six.\n");
    assert_eq!(said(&client, "search friend/default 5 gate").await, "secret.md: The gate of the others opens at seven.\n");
    assert_eq!(
        said(&client, "search default 0 gate\nsearch other 1 gate").await,
        "denied: `grants.knowledge.namespaces` does not name this namespace\n"
    );
    let denied = "denied: `grants.knowledge.namespaces` does not name this namespace\n";
    for other in ["stranger/default", "other", "search/default", "*", "default/", "/default", "friend/default/x", "DEFAULT"] {
        assert_eq!(said(&client, &format!("search {other} 5 gate")).await, denied, "{other}");
    }
    assert_eq!(said(&client, "search default 101 gate").await, "invalid: a search gives at most 100 passages\n");
    let metrics = client.get("/metrics").await.text();
    for outcome in ["ok", "denied", "invalid"] {
        let line = format!(r#"cofferdam_plugin_host_calls_total{{plugin="searcher",capability="knowledge",outcome="{outcome}"}}"#);
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn searches_of_one_request_are_counted_and_each_request_has_its_own() {
    let server = searcher(r#"namespaces = ["default"], calls = 2"#).start();
    let client = Client::of(server.address);
    client.upload("search", "hours.md", b"The gate opens at six.").await.ok();
    let (found, line) = ("hours.md: The gate opens at six.\n", "search default 1 gate\n");
    let over = "exhausted: 2 searches were made for this request, and `grants.knowledge.calls` allows no more\n";
    for _ in 0..2 {
        assert_eq!(said(&client, &line.repeat(3)).await, format!("{found}{found}{over}"));
    }
    // What was denied was no search.
    assert_eq!(said(&client, &format!("search other 1 gate\n{}", line.repeat(2))).await.matches(found).count(), 2);
}

#[tokio::test]
async fn a_plugin_without_the_grant_is_refused_with_the_lines_that_would_allow_it() {
    let refused = Server::with("").plugin("searcher").start();
    let plugins = Client::of(refused.address).get("/api/v1/plugins").await.ok().json();
    let reason = plugins["data"][0]["reason"].as_str().expect("a reason");
    for part in ["cofferdam:hooks/knowledge@0.2.0", "grants.knowledge = { namespaces = [\"default\"] }", "[plugins.searcher]"] {
        assert!(reason.contains(part), "{reason}");
    }
}
