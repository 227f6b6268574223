//! Hits in the order of a provider's model: what it is asked, what a chat is given, and that a failure of it changes nothing else.

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::Server;
use crate::upstream::{Script, Upstream};

const KEY: &str = "sk-of-a-0123456789";
const TEST: &str = "/api/v1/gateway/apis/p/knowledge/test";

async fn house(more: &str) -> (Upstream, Server, Client) {
    let upstream = Upstream::start().await;
    let config = format!(
        r#"
        [limits.providers]
        retries = 0
        [providers.a]
        kind = "openai"
        base_url = "{}"
        secret_key_name = "KEY_A"
        [rag.rerankers.judge]
        provider = "a"
        model = "rerank-v1"
        {more}
        [[pipelines]]
        id = "p"
        pipeline = [
            {{ stage = "rag", config = {{ top_k = 1, score_threshold = 0.0, neighbours = 0, rerank = "judge" }} }},
            {{ stage = "llm", config = {{ primary = {{ provider = "a", model = "m" }} }} }},
        ]
        "#,
        upstream.url()
    );
    let server = Server::with(&config).env("KEY_A", KEY).start();
    let client = Client::of(server.address);
    client.upload("p", "gate.md", b"The gate opens at six.").await.ok();
    client.upload("p", "shop.md", b"The shop opens at nine.").await.ok();
    (upstream, server, client)
}

/// The reranker's answer if it prefers the document that holds `word`.
fn prefers(upstream: &Upstream, word: &'static str) {
    upstream.answer_with(move |request| {
        if !request.path.ends_with("/rerank") {
            return Script::says("ok");
        }
        let documents = request.json()["documents"].as_array().expect("a list").clone();
        let score = |text: &Value| if text.as_str().is_some_and(|text| text.contains(word)) { 0.9 } else { 0.1 };
        let results: Vec<Value> =
            documents.iter().enumerate().rev().map(|(at, text)| json!({"index": at, "relevance_score": score(text)})).collect();
        Script::json(200, &json!({"results": results, "usage": {"total_tokens": 30}}))
    });
}

#[tokio::test]
async fn a_chat_is_given_what_the_reranker_puts_first_and_the_test_endpoint_shows_its_scores() {
    let (upstream, server, client) = house("candidates = 2").await;
    prefers(&upstream, "shop");
    client.chat("p", "When does the gate open?", json!({})).await.ok();
    let [asked, chat] = &upstream.requests()[..] else { panic!("a ranking and a chat") };
    assert_eq!((asked.path.as_str(), asked.header("authorization")), ("/v1/rerank", Some(&*format!("Bearer {KEY}"))));
    let body = asked.json();
    assert_eq!((&body["model"], &body["query"], &body["top_n"]), (&json!("rerank-v1"), &json!("When does the gate open?"), &json!(2)));
    assert_eq!(body["documents"][0], "The gate opens at six.", "the order of the search");
    let given = chat.json()["messages"][0]["content"].as_str().expect("a text").to_owned();
    assert!(given.contains("shop.md") && !given.contains("gate.md"), "{given}");
    let found = client.post(TEST, &json!({"query": "When does the gate open?", "top_k": 2})).await.ok().json();
    assert_eq!(found["reranking"], "ok");
    let shown = |at: usize| (&found["data"][at]["source"], &found["data"][at]["rerank_rank"], found["data"][at]["rerank_score"].as_f64());
    assert_eq!((shown(0).0, shown(0).1, shown(1).1), (&json!("shop.md"), &json!(1), &json!(2)));
    assert!(shown(0).2 > shown(1).2, "{found}");
    let figures = client.get("/metrics").await.text();
    assert!(figures.contains("cofferdam_rag_reranks_total{outcome=\"ok\"} 1"), "{figures}");
    drop(server);
}

#[tokio::test]
async fn if_the_reranker_fails_the_order_of_the_search_stays_and_the_chat_is_answered() {
    let (upstream, server, client) = house("").await;
    upstream.when(|request| request.path.ends_with("/rerank"), Script::json(500, &json!({"error": {"message": "out of memory"}})));
    upstream.always(Script::says("ok"));
    client.chat("p", "When does the gate open?", json!({})).await.ok();
    let given = upstream.requests().last().expect("a chat").json()["messages"][0]["content"].as_str().expect("a text").to_owned();
    assert!(given.contains("gate.md"), "{given}");
    let found = client.post(TEST, &json!({"query": "When does the gate open?"})).await.ok().json();
    assert_eq!((&found["reranking"], &found["data"][0]["source"]), (&json!("failed"), &json!("gate.md")));
    assert_eq!(found["data"][0]["rerank_score"], Value::Null);
    let figures = client.get("/metrics").await.text();
    assert!(figures.contains("cofferdam_rag_reranks_total{outcome=\"failed\"} 1"), "{figures}");
    server.wait_for_log("hits stay in the order of the search");
}

#[tokio::test]
async fn a_reranker_that_is_not_configured_is_refused_where_it_is_named() {
    let (_upstream, _server, client) = house("").await;
    let refused = client.post(TEST, &json!({"query": "gate", "rerank": "nobody"})).await;
    assert_eq!((refused.status.as_u16(), &refused.json()["error"]["param"]), (400, &json!("rerank")));
    let pipeline = |name: &str| {
        json!({"pipeline": [
            {"stage": "rag", "config": {"rerank": name}},
            {"stage": "llm", "config": {"primary": {"provider": "builtin", "model": "extractive"}}},
        ]})
    };
    let put = async |name| client.put("/api/v1/gateway/apis/other/pipeline", &pipeline(name)).await;
    assert_eq!(put("nobody").await.refused(400), "invalid_pipeline");
    put("judge").await.ok();
}
