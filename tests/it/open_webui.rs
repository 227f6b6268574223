//! Open WebUI's Pipelines through the real server, as its client asks: every exchange that one makes, on both base URLs; what it must not get; and
//! what the original could not do.

mod admin;
mod chats;
mod filters;
mod life;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{Answer, Client};
use crate::plugin_kv::key;
use crate::server::{Builder, Server};

/// The key of the surface.
const KEY: &str = "0p3n-w3bu!-of-the-test";

/// A server with the surface's key, the client key `anna` and the admin key `boss`.
fn house(surface: &str, more: &str) -> Builder {
    Server::with(&(format!("{}\n{more}\n", of_surface(surface)) + PATIENT))
}

/// The same as a file whose last table is that of the limits of plugins.
fn tests_config(surface: &str) -> String {
    format!("{}\n{PATIENT}", of_surface(surface))
}

fn of_surface(surface: &str) -> String {
    let hash = cofferdam::http::keys::format(&cofferdam::http::keys::hash(KEY.as_bytes()));
    let keys = format!("[keys]\nclient = [{}]\nadmin = [{}]\n", key("anna"), key("boss"));
    format!("[surfaces.pipelines]\nkey = \"{hash}\"\n{surface}\n{keys}")
}

/// What runs to its limits while it is loaded gets there on a busy machine too.
const PATIENT: &str = "[limits.plugins]\nstarve_time = \"1m\"\nqueue_time = \"1m\"\n";

fn client(server: &Server) -> Client {
    with(server, KEY)
}

fn with(server: &Server, key: &str) -> Client {
    Client::of(server.address).header("authorization", &format!("Bearer {key}"))
}

/// `detail` of a refusal with that status.
#[track_caller]
fn refused(answer: &Answer, status: u16) -> String {
    assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    answer.json()["detail"].as_str().unwrap_or_else(|| panic!("no detail: {answer:?}")).to_owned()
}

async fn delete(client: &Client, path: &str, body: &Value) -> Answer {
    client.send(Method::DELETE, path, Some("application/json"), Bytes::from(body.to_string())).await
}

/// The entry of that id in a list of models.
#[track_caller]
fn entry<'a>(models: &'a Value, id: &str) -> &'a Value {
    let found = models["data"].as_array().expect("a list").iter().find(|entry| entry["id"] == id);
    found.unwrap_or_else(|| panic!("no {id}: {models}"))
}

/// A whole exchange as it goes over the wire, for what clients' libraries hide: the reason phrase, chunks.
async fn raw(server: &Server, request: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(server.address).await.expect("a connection");
    stream.write_all(request).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

fn inlet(text: &str) -> Value {
    json!({
        "user": {"id": "u1", "email": "ada@example.com", "name": "Ada", "role": "user"},
        "body": {
            "model": "m", "stream": true, "messages": [{"role": "user", "content": text}], "temperature": 1.5,
            "features": {"web_search": false}, "files": [],
            "metadata": {"chat_id": "c1", "message_id": "m1", "session_id": "s1", "model": {"id": "m", "info": {"x": 1.0}}},
        },
    })
}
