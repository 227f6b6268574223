//! How the real server listens: connections, limits, draining. It is spoken to in raw bytes if a library would not send what must be sent.
//! Limits are tiny and every wait is for an event; patience bounds only a failure.

mod addresses;
mod admin;
mod crowd;
mod drain;
mod handover;
mod http2;
mod raw;
mod shares;
mod sizes;
mod times;
mod tls;
mod unread;
mod wire;

use serde_json::json;

use crate::client::Client;
use crate::server::{PATIENCE, Server};
use crate::upstream::{Script, Signal, Upstream};
use raw::Raw;

/// A server with one model `p` at `upstream`, and `[limits.http]` as given.
fn server(limits: &str, upstream: &Upstream) -> Server {
    let config = format!(
        r#"
        [limits.http]
        {limits}
        [providers.up]
        kind = "openai"
        base_url = "{}"
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }} ]
        "#,
        upstream.url()
    );
    Server::with(&config).start()
}

/// One that asks nobody.
fn alone(limits: &str) -> Server {
    let model = r#"[[pipelines]]
        id = "p"
        pipeline = [ { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } } ]"#;
    Server::with(&format!("[limits.http]\n{limits}\n{model}")).start()
}

fn question() -> String {
    json!({"model": "p", "messages": [{"role": "user", "content": "hi"}]}).to_string()
}

/// The head of a chat request, without its end.
fn head(fields: &str) -> String {
    format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n{fields}")
}

async fn in_time<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, event).await.expect("it happens")
}

#[tokio::test]
async fn a_request_over_the_limit_is_refused_at_once_and_the_others_are_unharmed() {
    let (upstream, signal) = (Upstream::start().await, Signal::default());
    upstream.next(Script::stream().wait(&signal).event(&crate::upstream::delta("one")).event("[DONE]").end());
    let server = server("requests = 1", &upstream);
    let client = Client::of(server.address);
    let busy = tokio::spawn({
        let client = client.clone();
        async move { client.chat_stream("p", "hi", json!({})).await.all().await }
    });
    in_time(upstream.received()).await;
    for answer in [client.chat("p", "hi", json!({})).await, client.get("/v1/models").await] {
        assert_eq!((answer.refused(503).as_str(), answer.header("retry-after")), ("overloaded", Some("1")));
    }
    client.get("/healthz").await.ok();
    client.get("/readyz").await.ok();
    client.get("/api/v1/plugins").await.ok();
    assert!(client.get("/metrics").await.ok().text().contains("cofferdam_http_requests_in_flight 1\n"));
    signal.fire();
    let events = busy.await.expect("no panic").expect("a whole stream");
    assert_eq!(crate::client::text_of(&events), "one");
    let free = async { while client.get("/v1/models").await.status != 200 {} };
    in_time(free).await;
    assert_eq!(upstream.requests().len(), 1, "what was refused was not asked");
}

#[tokio::test]
async fn a_refused_request_gives_its_place_back() {
    let server = alone("requests = 1\nbody_bytes = 1024");
    let client = Client::of(server.address);
    for _ in 0..3 {
        client.chat("nobody", "hi", json!({})).await.refused(404);
        client.chat("p", &"x".repeat(2_000), json!({})).await.refused(413);
        client.get("/nowhere").await.refused(404);
        client.get("/v1/chat/completions").await.refused(405);
    }
    client.chat("p", "hi", json!({})).await.ok();
}
