//! Documents as people have them, and the answerer that quotes them.

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::Server;

fn house() -> (Server, Client) {
    let config = "[[pipelines]]\nid = \"p\"\npipeline = [ { stage = \"rag\", config = { top_k = 50, score_threshold = 0.0 } }, \
        { stage = \"llm\", config = { primary = { provider = \"builtin\", model = \"quote\" } } } ]\n";
    let server = Server::with(config).start();
    let client = Client::of(server.address);
    (server, client)
}

/// Case 54: the rows of a long table say little without its header.
#[tokio::test]
async fn every_row_of_a_long_table_is_found_with_its_header() {
    let (_server, client) = house();
    let row = |n: usize| format!("| P-{n:03} | {} bar | valve number {n} of the long series with some words | {} |\n", n % 17, 1000 + n);
    let rows: String = (0..60).map(row).collect();
    let text = format!("# Parts\n\n| part | pressure | note | price |\n| --- | --- | --- | --- |\n{rows}\nEnd of the list.\n");
    client.upload("p", "table.md", text.as_bytes()).await.ok();
    let body = json!({"query": "What does part P-047 cost?", "top_k": 50});
    let found = client.post("/api/v1/gateway/apis/p/knowledge/test", &body).await.ok().json();
    let texts: Vec<&str> = found["data"].as_array().expect("a list").iter().filter_map(|hit| hit["text"].as_str()).collect();
    let with_row = texts.iter().find(|text| text.contains("P-047")).unwrap_or_else(|| panic!("{found}"));
    assert!(with_row.contains("| part | pressure | note | price |") && with_row.contains("# Parts"), "{with_row}");
    let cut = texts.iter().flat_map(|text| text.lines()).find(|line| line.starts_with('|') && !line.ends_with('|'));
    assert_eq!(cut, None);
}

/// The answerer inside says what it cannot do, ends where it is told to, and counts.
#[tokio::test]
async fn the_answerer_inside_refuses_what_only_a_model_could_do_and_keeps_its_limits() {
    let (_server, client) = house();
    client.upload("p", "a.md", b"# Pumps\n\n**The warranty of a pump is two years. It begins with the delivery.**\n").await.ok();
    let question = "How long is the warranty of a pump?";
    for (param, extra) in [
        ("tools", json!({"tools": [{"type": "function", "function": {"name": "f"}}]})),
        ("n", json!({"n": 2})),
        ("response_format", json!({"response_format": {"type": "json_object"}})),
    ] {
        let refused = client.chat("p", question, extra).await;
        let error = refused.json()["error"].clone();
        assert_eq!((refused.status.as_u16(), &error["param"], &error["code"]), (400, &json!(param), &json!("unsupported_parameter")));
    }
    let whole = client.chat("p", question, json!({})).await.ok().json();
    let text = whole["choices"][0]["message"]["content"].as_str().expect("a text").to_owned();
    assert!(text.starts_with("\"The warranty of a pump is two years.\" (a.md)") && !text.contains("**"), "{text}");
    assert!(whole["usage"]["completion_tokens"].as_u64().is_some_and(|tokens| tokens > 10), "{whole}");
    let cut = client.chat("p", question, json!({"max_tokens": 2})).await.ok().json();
    assert_eq!((&cut["choices"][0]["message"]["content"], &cut["choices"][0]["finish_reason"]), (&json!("\"The war"), &json!("length")));
    let events = client.chat_stream("p", question, json!({"stop": " two"})).await.all().await.expect("a whole stream");
    let said: String = events
        .iter()
        .filter_map(|event| serde_json::from_str::<Value>(event).ok())
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
        .collect();
    assert_eq!(said, "\"The warranty of a pump is");
}
