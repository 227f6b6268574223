//! Embedders by namespace through the real server: each serves what it embedded, whatever the operator's file says later, until a reindex; and
//! a reindex that is killed goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::server::Server;
use crate::upstream::{Request, Script, Upstream};

const KNOWLEDGE: &str = "/api/v1/gateway/apis/kb/knowledge";
const DONE: &str = "the namespace has its new vectors";
const LENGTH: usize = 16;

/// With a provider that embeds, and `rag` as it stands.
fn config(upstream: &Upstream, rag: &str) -> String {
    format!(
        r#"
        {rag}
        [[pipelines]]
        id = "kb"
        pipeline = [
            {{ stage = "rag", config = {{ namespace = "docs", score_threshold = 0.1 }} }},
            {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }},
        ]
        [providers.a]
        kind = "openai"
        base_url = "{}"
        "#,
        upstream.url()
    )
}

/// The length of its vectors is left to the provider to say.
const FAR: &str = "[rag.embedders.far]\nkind = \"remote\"\nprovider = \"a\"\nmodel = \"small\"\n";

fn docs_by(embedder: &str) -> String {
    format!("{FAR}[rag.namespaces.docs]\nembedder = \"{embedder}\"\n")
}

/// A vector that is like that of a text with the same words.
fn vector(text: &str) -> Vec<f64> {
    let mut vector = vec![0.0; LENGTH];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let at = word.to_lowercase().bytes().fold(7_usize, |hash, byte| (hash * 31 + usize::from(byte)) % 1009);
        vector[at % LENGTH] += 1.0;
    }
    vector
}

fn inputs(request: &Request) -> Vec<String> {
    request.json()["input"].as_array().expect("texts").iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

fn embeds(request: &Request) -> Script {
    let rows = inputs(request).iter().enumerate().map(|(at, text)| json!({"index": at, "embedding": vector(text)})).collect::<Vec<_>>();
    Script::json(200, &json!({"object": "list", "data": rows, "model": "small", "usage": {"prompt_tokens": 5, "total_tokens": 5}}))
}

async fn upload(client: &Client, namespace: &str, name: &str, text: &str) -> Answer {
    let field = |head: &str, value: &str| format!("--edge\r\ncontent-disposition: form-data; {head}\r\n\r\n{value}\r\n");
    let body = field("name=\"namespace\"", namespace) + &field(&format!("name=\"file\"; filename=\"{name}\""), text) + "--edge--\r\n";
    client.send(Method::POST, &format!("{KNOWLEDGE}/upload"), Some("multipart/form-data; boundary=edge"), body.into()).await
}

async fn ask(client: &Client, question: &str, more: Value) -> Answer {
    let mut body = json!({"query": question, "score_threshold": 0.1});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    client.post(&format!("{KNOWLEDGE}/test"), &body).await
}

async fn reindex(client: &Client, query: &str) -> Answer {
    client.send(Method::POST, &format!("{KNOWLEDGE}/reindex{query}"), None, Bytes::new()).await
}

/// The namespaces as they are listed, by name.
async fn namespaces(client: &Client) -> BTreeMap<String, Value> {
    let listed = client.get(&format!("{KNOWLEDGE}/namespaces")).await.ok().json();
    listed["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (entry["id"].as_str().expect("a name").to_owned(), entry.clone()))
        .collect()
}

fn sources(answer: Answer) -> Vec<String> {
    let json = answer.ok().json();
    json["data"].as_array().expect("hits").iter().map(|hit| hit["source"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn a_namespace_keeps_its_embedder_until_it_is_embedded_anew_by_another_one() {
    let upstream = Upstream::start().await;
    upstream.answer_with(embeds);
    let mut server = Server::with(&config(&upstream, &docs_by("far"))).start();
    let client = Client::of(server.address);
    upload(&client, "docs", "pump.txt", "The pump is behind the gate.").await.ok();
    upload(&client, "other", "wall.txt", "The walls are caulked in spring.").await.ok();
    assert_eq!(sources(ask(&client, "Where is the pump?", json!({})).await), ["pump.txt"]);
    assert_eq!(sources(ask(&client, "When are walls caulked?", json!({"namespace": "other"})).await), ["wall.txt"]);
    let asked: Vec<String> = upstream.requests().iter().flat_map(inputs).collect();
    let begun = ["length", "The pump is behind the gate."];
    // In between are the texts that scores are measured by.
    assert_eq!((&asked[..2], asked.last().map(String::as_str)), (&begun.map(String::from)[..], Some("Where is the pump?")));
    assert!(!asked.iter().any(|text| text.contains("caulked")), "of the other namespace it was told nothing");
    let told = upstream.requests().len();
    let listed = namespaces(&client).await;
    let of = |name: &str| ["embedder", "wanted", "searchable", "model", "reindexing"].map(|key| listed[name][key].clone());
    assert_eq!(of("docs"), [json!("far"), json!("far"), json!(true), json!("a/small 16"), Value::Null]);
    assert_eq!(of("other")[..3], [json!("builtin"), json!("builtin"), json!(true)]);
    assert_eq!(
        (reindex(&client, "?namespace=docs").await.status.as_u16(), upstream.requests().len()),
        (200, told),
        "there is nothing to do"
    );

    let folder = server.folder.clone();
    server.terminate();
    server.wait();
    let server = Server::with(&config(&upstream, &docs_by("builtin"))).folder(folder).start();
    let client = Client::of(server.address);
    let line = server.wait_for_log("not embedded by the embedder that is wanted");
    assert!(line.contains("`kb/docs` is embedded by `far`, wanted is `builtin`"), "{line}");
    upload(&client, "docs", "hose.txt", "The hose of the pump is red.").await.ok();
    let hits = sources(ask(&client, "Which hose is red?", json!({})).await);
    assert_eq!(hits.first().map(String::as_str), Some("hose.txt"));
    let asked: Vec<String> = upstream.requests().iter().skip(told).flat_map(inputs).collect();
    let ends = [asked.first(), asked.last()].map(|text| text.map(String::as_str));
    assert_eq!(ends, [Some("The hose of the pump is red."), Some("Which hose is red?")]);
    assert!(!asked.contains(&"length".to_owned()), "its length is recorded with the namespace");
    let listed = namespaces(&client).await;
    assert_eq!((&listed["docs"]["embedder"], &listed["docs"]["wanted"]), (&json!("far"), &json!("builtin")));

    assert_eq!(reindex(&client, "").await.refused(400), "invalid_value");
    assert_eq!(reindex(&client, "?namespace=nothing").await.refused(404), "namespace_not_found");
    let told = upstream.requests().len();
    let begun = reindex(&client, "?namespace=docs").await.ok();
    assert_eq!((begun.status.as_u16(), &begun.json()["wanted"]), (202, &json!("builtin")));
    server.wait_for_log(DONE);
    let listed = namespaces(&client).await;
    let keys = ["embedder", "wanted", "searchable", "reindexing"].map(|key| listed["docs"][key].clone());
    assert_eq!(keys, [json!("builtin"), json!("builtin"), json!(true), Value::Null]);
    let documents = client.get(&format!("{KNOWLEDGE}/documents?namespace=docs")).await.ok().json();
    let models: Vec<&Value> = documents["data"].as_array().expect("a list").iter().map(|document| &document["model"]).collect();
    assert!(models.len() == 2 && models.iter().all(|model| **model == listed["docs"]["model"]), "{documents}");
    assert_eq!(sources(ask(&client, "Which hose is red?", json!({})).await).first().map(String::as_str), Some("hose.txt"));
    assert_eq!(upstream.requests().len(), told, "the provider is not asked any more");
}

#[tokio::test]
async fn without_its_embedder_a_namespace_answers_by_words_and_says_what_is_to_be_done() {
    let upstream = Upstream::start().await;
    upstream.answer_with(embeds);
    let mut server = Server::with(&config(&upstream, &docs_by("far"))).start();
    upload(&Client::of(server.address), "docs", "pump.txt", "The pump is behind the gate.").await.ok();
    let folder = server.folder.clone();
    server.terminate();
    server.wait();
    let server = Server::with(&config(&upstream, "")).folder(folder).start();
    let client = Client::of(server.address);
    server.wait_for_log("cannot be searched by vectors");
    for answer in [
        ask(&client, "Where is the pump?", json!({})).await,
        ask(&client, "Where is the pump?", json!({"mode": "vector"})).await,
        upload(&client, "docs", "hose.txt", "The hose is red.").await,
        client.chat("kb", "Where is the pump?", json!({})).await,
    ] {
        assert_eq!(answer.refused(503), "embedder_gone");
        let message = answer.json()["error"]["message"].as_str().expect("a message").to_owned();
        for part in ["`docs`", "`far`", "`[rag.embedders]`", "knowledge/reindex?namespace=docs", "keyword"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(answer.header("x-should-retry"), Some("false"));
    }
    assert_eq!(sources(ask(&client, "Where is the pump?", json!({"mode": "keyword"})).await), ["pump.txt"]);
    let listed = namespaces(&client).await;
    assert_eq!((&listed["docs"]["embedder"], &listed["docs"]["searchable"]), (&json!("far"), &json!(false)));
    assert_eq!(reindex(&client, "?namespace=docs").await.ok().status.as_u16(), 202);
    server.wait_for_log(DONE);
    assert_eq!(sources(ask(&client, "Where is the pump?", json!({})).await), ["pump.txt"]);
    upload(&client, "docs", "hose.txt", "The hose is red.").await.ok();
}

#[tokio::test]
async fn a_reindex_that_is_killed_leaves_the_old_vectors_whole_and_goes_on_at_the_next_start() {
    let upstream = Upstream::start().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let times = Arc::clone(&asked);
    // The length, the first batch, and then nothing any more.
    upstream.answer_with(move |request| if times.fetch_add(1, Ordering::SeqCst) < 2 { embeds(request) } else { Script::default().hang() });
    let folder = {
        let mut server = Server::with(&config(&upstream, "")).start();
        let client = Client::of(server.address);
        let filler = "and so on and on, ".repeat(14);
        let text: String = (0..100).map(|n| format!("Fact number{n} about a thing. {filler}\n\n")).collect();
        let stored = upload(&client, "docs", "facts.txt", &text).await.ok().json();
        assert_eq!(stored["data"][0]["chunks"], 100);
        server.terminate();
        server.wait();
        server.folder.clone()
    };
    let mut server = Server::with(&config(&upstream, &docs_by("far"))).folder(folder.clone()).start();
    let client = Client::of(server.address);
    assert_eq!(reindex(&client, "?namespace=docs").await.ok().status.as_u16(), 202);
    loop {
        let reindexing = namespaces(&client).await["docs"]["reindexing"].clone();
        assert_eq!((&reindexing["status"], &reindexing["embedder"]), (&json!("running"), &json!("far")));
        if reindexing["done"] == 64 {
            assert_eq!(reindexing["of"], 100);
            break;
        }
    }
    let refused = reindex(&client, "?namespace=docs").await;
    assert_eq!((refused.refused(409), refused.header("x-should-retry")), ("reindex_running".into(), Some("false")));
    let search =
        async |client: &Client| sources(ask(client, "Fact number7 about a thing", json!({"top_k": 3, "score_threshold": 0.0})).await);
    assert_eq!(search(&client).await, ["facts.txt"; 3], "the old vectors serve");
    server.kill();

    upstream.forget_responders();
    upstream.answer_with(embeds);
    let before = upstream.requests().len();
    let server = Server::with(&config(&upstream, &docs_by("far"))).folder(folder.clone()).start();
    let client = Client::of(server.address);
    assert_eq!(search(&client).await, ["facts.txt"; 3]);
    server.wait_for_log(DONE);
    let again: Vec<String> =
        upstream.requests().iter().skip(before).flat_map(inputs).filter(|text| text.contains("and so on and on")).collect();
    assert_eq!(again.len(), 36, "what was embedded is not embedded again");
    assert_eq!(namespaces(&client).await["docs"]["embedder"], "far");
    assert_eq!(search(&client).await, ["facts.txt"; 3]);
    drop(server);
    let database = rusqlite::Connection::open(folder.path().join("data/cofferdam.db")).expect("the database opens");
    let count = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("counted");
    let floats = i64::try_from(4 * LENGTH).expect("small");
    assert_eq!(database.query_row("SELECT count(*) FROM chunks WHERE length(vector) = ?1", [floats], |row| row.get(0)), Ok(100));
    assert_eq!((count("SELECT count(*) FROM next_vectors"), count("SELECT count(*) FROM spaces WHERE serves = 0")), (0, 0));
}
