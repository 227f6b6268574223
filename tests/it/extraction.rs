//! Files of every kind that is read become documents that are found, and one that cannot be read says why.

mod edges;
mod formats;
mod hostile;
mod ingest;
mod uploads;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::server::Server;

const UPLOAD: &str = "/api/v1/gateway/apis/default/knowledge/upload";

/// A server with those limits in `[limits.rag]` and, behind another head, elsewhere.
fn house(limits: &str) -> (Server, Client) {
    let server = Server::with(&format!("[limits.rag]\n{limits}")).start();
    let client = Client::of(server.address);
    (server, client)
}

/// A field of a form: its head and its value.
fn part(head: &str, value: &[u8]) -> Vec<u8> {
    [b"--edge\r\ncontent-disposition: form-data; ", head.as_bytes(), b"\r\n\r\n", value, b"\r\n"].concat()
}

fn form(parts: &[Vec<u8>]) -> Bytes {
    [parts.concat(), b"--edge--\r\n".to_vec()].concat().into()
}

async fn upload(client: &Client, name: &str, bytes: &[u8]) -> Answer {
    client.upload("default", name, bytes).await
}

async fn upload_form(client: &Client, body: Bytes) -> Answer {
    client.send(Method::POST, UPLOAD, Some("multipart/form-data; boundary=edge"), body).await
}

/// The texts that a question finds, best first.
async fn found(client: &Client, question: &str) -> Vec<Value> {
    let question = json!({"query": question, "top_k": 5, "score_threshold": 0.0});
    let answer = client.post("/api/v1/gateway/apis/default/knowledge/test", &question).await.ok().json();
    answer["data"].as_array().expect("a list").clone()
}

/// The text of the best chunk of that document.
async fn text_of(client: &Client, source: &str, question: &str) -> String {
    let hit = found(client, question).await.into_iter().find(|hit| hit["source"] == source);
    hit.and_then(|hit| hit["text"].as_str().map(str::to_owned)).unwrap_or_default()
}

/// What a refusal says.
#[track_caller]
fn message(answer: &Answer) -> String {
    answer.json()["error"]["message"].as_str().expect("a message").to_owned()
}
