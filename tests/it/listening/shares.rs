//! Places for requests and for bodies are shared between clients: one takes what is idle, and leaves room for the next.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Raw, alone, head, in_time, question, server};
use crate::client::Client;
use crate::server::Server;
use crate::upstream::{Script, Signal, Upstream, delta};

/// A request for a chat whose body is still to come; the server waits for it.
async fn half_sent(server: &Server, from: &str, length: usize) -> Raw {
    let mut client = Raw::connect_from(server, from).await;
    client.send(head(&format!("expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"))).await;
    assert_eq!(client.bare_reply().await.status, 100);
    client
}

#[tokio::test]
async fn requests_whose_bodies_do_not_come_hold_no_place() {
    let server = alone("requests = 1");
    let mut half: Vec<Raw> = Vec::new();
    for _ in 0..5 {
        half.push(half_sent(&server, "127.0.0.1", question().len()).await);
    }
    Client::of(server.address).chat("p", "hi", json!({})).await.ok();
    let first = &mut half[0];
    first.send(question()).await;
    assert_eq!(first.reply().await.status, 200, "it takes its place when its body is there");
}

#[tokio::test]
async fn every_route_that_costs_takes_a_place_with_the_last_byte_of_its_body() {
    let (upstream, signal) = (Upstream::start().await, Signal::default());
    let server = server("requests = 1", &upstream);
    for path in ["/v1/chat/completions", "/v1/responses", "/v1/embeddings"] {
        let mut late = Raw::connect(&server).await;
        let body = question();
        let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n", body.len());
        late.send(head).await;
        assert_eq!(late.bare_reply().await.status, 100, "{path}: there is a place now");
        upstream.next(Script::stream().event(&delta("one")).wait(&signal).event("[DONE]").end());
        let mut busy = Client::of(server.address).chat_stream("p", "hi", json!({})).await;
        busy.next().await.expect("no break").expect("an event");
        late.send(body).await;
        let refused = late.reply().await;
        assert_eq!(refused.refused(503), "overloaded", "{path}");
        assert!(refused.text().contains("limits.http.requests"), "{refused:?}");
        signal.fire();
        busy.all().await.expect("a whole stream");
        let free = async { while Client::of(server.address).get("/v1/models").await.status != 200 {} };
        in_time(free).await;
    }
}

#[tokio::test]
async fn a_client_that_sends_no_bodies_leaves_room_for_those_of_another() {
    let server = alone("bodies = 4");
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(half_sent(&server, "127.0.0.1", 100).await);
    }
    let mut fourth = Raw::connect(&server).await;
    fourth.send(head("expect: 100-continue\r\ncontent-length: 100\r\n\r\n")).await;
    let refused = fourth.reply().await;
    assert_eq!((refused.refused(503).as_str(), refused.header("retry-after")), ("overloaded", Some("1")));
    assert!(refused.text().contains("limits.http.bodies"), "{refused:?}");
    let mut other = half_sent(&server, "127.0.0.2", question().len()).await;
    other.send(question()).await;
    assert_eq!(other.reply().await.status, 200);
}

#[tokio::test]
async fn a_key_that_takes_all_it_can_leaves_places_for_another_key_and_for_the_operator() {
    let upstream = Upstream::start().await;
    let key = |name: &str| format!("{{ name = \"{name}\", sha256 = \"{}\" }}", data_encoding::HEXLOWER.encode(&Sha256::digest(name)));
    let config = format!(
        r#"
        [keys]
        client = [{}, {}]
        admin = [{}]
        [limits.http]
        requests = 8
        admin_requests = 1
        [providers.up]
        kind = "openai"
        base_url = "{}"
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }} ]
        "#,
        key("flood"),
        key("other"),
        key("root"),
        upstream.url()
    );
    let server = Server::with(&config).start();
    let of = |name: &str| Client::of(server.address).header("authorization", &format!("Bearer {name}"));
    let mut streams = Vec::new();
    for _ in 0..6 {
        upstream.next(Script::stream().event(&delta("one")).hang());
        let mut stream = of("flood").chat_stream("p", "hi", json!({})).await;
        stream.next().await.expect("no break").expect("an event");
        streams.push(stream);
    }
    let refused = of("flood").chat("p", "hi", json!({})).await;
    assert_eq!(refused.refused(503), "overloaded");
    upstream.next(Script::says("fine"));
    assert_eq!(of("other").chat("p", "hi", json!({})).await.ok().content(), "fine");
    of("root").get("/api/v1/plugins").await.ok();
    Client::of(server.address).get("/healthz").await.ok();
}
