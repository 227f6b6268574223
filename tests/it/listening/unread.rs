//! Answers that nobody reads: they hold their places, count their bytes, and end at `write_time`.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::raw::frame::{self, Kind};
use super::{Raw, alone, in_time, question, server};
use crate::client::Client;
use crate::server::Server;
use crate::upstream::{Script, Upstream, delta};

/// A client of HTTP/2 that has asked for a chat, got the head of its answer, and opens no window for the rest.
async fn without_window(server: &Server, from: &str) -> Raw {
    with_window(server, from, 0, &question()).await
}

/// As `without_window`, but it takes so many bytes of the answer to that question.
async fn with_window(server: &Server, from: &str, bytes: u32, question: &str) -> Raw {
    let mut client = Raw::connect_from(server, from).await;
    client.send(frame::with_window(bytes)).await;
    client.send(frame::post(1, "/v1/chat/completions")).await;
    client.send(frame::last(1, question.as_bytes())).await;
    client.frame(Kind::Headers).await;
    client
}

/// A question whose answer is to be streamed.
fn streamed() -> String {
    question().replace("\"model\"", "\"stream\":true,\"model\"")
}

fn long(bytes: usize) -> Script {
    Script::says(&"x".repeat(bytes))
}

#[tokio::test]
async fn an_answer_that_is_not_read_holds_its_place_until_its_client_leaves() {
    let upstream = Upstream::start().await;
    let server = server("requests = 1", &upstream);
    upstream.next(long(2_000));
    let unread = without_window(&server, "127.0.0.1").await;
    let client = Client::of(server.address);
    assert_eq!(client.get("/v1/models").await.refused(503), "overloaded");
    assert!(client.get("/metrics").await.text().contains("cofferdam_http_requests_in_flight 1\n"));
    drop(unread);
    in_time(async { while client.get("/v1/models").await.status != 200 {} }).await;
}

#[tokio::test]
async fn a_stream_of_http2_that_is_not_read_is_reset_at_write_time_and_the_others_go_on() {
    let upstream = Upstream::start().await;
    let server = server("requests = 1\nwrite_time = \"50ms\"", &upstream);
    let scripts = || [(long(2_000), question()), (long(200_000), question()), (Script::streams(&["one", &"x".repeat(2_000)]), streamed())];
    for (window, (script, question)) in [0, 1, 1_000].into_iter().flat_map(|window| scripts().map(|script| (window, script))) {
        upstream.next(script);
        let mut client = with_window(&server, "127.0.0.1", window, &question).await;
        let reset = client.frame(Kind::Reset).await;
        assert_eq!(reset.stream, 1);
        client.send(frame::window(65_535)).await;
        client.send(frame::get(3, "/healthz")).await;
        let (stream, health) = client.body().await;
        assert_eq!((stream, &*health), (3, &br#"{"status":"ok"}"#[..]));
        let free = async { while Client::of(server.address).get("/v1/models").await.status != 200 {} };
        in_time(free).await;
    }
    assert!(Client::of(server.address).get("/metrics").await.text().contains("cofferdam_http_cut_total{reason=\"unread\"} 9\n"));
}

#[tokio::test]
async fn figures_and_documents_that_are_not_read_end_too() {
    let server = alone("write_time = \"50ms\"");
    for window in [0, 1] {
        let mut client = Raw::connect(&server).await;
        client.send(frame::with_window(window)).await;
        for (stream, path) in [(1, "/metrics"), (3, "/openapi.json"), (5, "/healthz"), (7, "/nowhere"), (9, "/api/v1/plugins")] {
            client.send(frame::get(stream, path)).await;
            assert_eq!(client.frame(Kind::Reset).await.stream, stream, "{path}");
        }
    }
}

#[tokio::test]
async fn an_answer_holds_its_place_until_the_client_takes_its_last_byte() {
    let upstream = Upstream::start().await;
    let server = server("requests = 1", &upstream);
    upstream.next(long(2_000));
    let mut slow = with_window(&server, "127.0.0.1", 1_000, &question()).await;
    let mut body = slow.frame(Kind::Data).await.payload;
    assert_eq!(body.len(), 1_000);
    let client = Client::of(server.address);
    assert_eq!(client.get("/v1/models").await.refused(503), "overloaded");
    slow.send(frame::wider(1, 10_000)).await;
    body.extend(slow.body().await.1);
    let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(answer["choices"][0]["message"]["content"], "x".repeat(2_000));
    in_time(async { while client.get("/v1/models").await.status != 200 {} }).await;
}

#[tokio::test]
async fn what_needs_no_key_takes_no_room_from_the_answers_to_keys() {
    let upstream = Upstream::start().await;
    let key = data_encoding::HEXLOWER.encode(&Sha256::digest("key"));
    let server = server(&format!("answer_bytes = \"64KiB\"\n[keys]\nclient = [{{ name = \"k\", sha256 = \"{key}\" }}]"), &upstream);
    let client = Client::of(server.address);
    let mut unread = Vec::new();
    for from in 2..20 {
        let mut peer = Raw::connect_from(&server, &format!("127.0.0.{from}")).await;
        peer.send(frame::with_window(0)).await;
        for (stream, path) in [(1, "/metrics"), (3, "/openapi.json")] {
            peer.send(frame::get(stream, path)).await;
            peer.frame(Kind::Headers).await;
        }
        unread.push(peer);
    }
    let refused = client.get("/metrics").await;
    assert!(refused.refused(503) == "overloaded" && refused.text().contains("limits.http.answer_bytes"), "{refused:?}");
    client.get("/openapi.json").await.ok();
    client.get("/healthz").await.ok();
    upstream.next(long(40_000));
    let answer = client.clone().header("authorization", "Bearer key").chat("p", "hi", json!({})).await;
    assert_eq!(answer.ok().content().len(), 40_000);
}

#[tokio::test]
async fn without_keys_only_open_routes_count_apart() {
    let upstream = Upstream::start().await;
    let server = server("answer_bytes = \"64KiB\"", &upstream);
    let mut peer = Raw::connect_from(&server, "127.0.0.2").await;
    peer.send(frame::with_window(0)).await;
    peer.send(frame::get(1, "/metrics")).await;
    peer.frame(Kind::Headers).await;
    upstream.next(long(40_000));
    assert_eq!(Client::of(server.address).chat("p", "hi", json!({})).await.ok().content().len(), 40_000);
}

#[tokio::test]
async fn a_connection_that_reads_nothing_is_cut_and_its_provider_let_go() {
    let upstream = Upstream::start().await;
    let server = server("requests = 1\nwrite_time = \"100ms\"", &upstream);
    let event = delta(&"x".repeat(100_000));
    upstream.next((0..400).fold(Script::stream(), |script, _| script.event(&event)).hang()).next(long(30_000_000));
    for body in [streamed(), question()] {
        let mut client = Raw::connect(&server).await;
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        client.send(head + &body).await;
        let free = async { while Client::of(server.address).get("/v1/models").await.status == 503 {} };
        in_time(upstream.received()).await;
        in_time(free).await;
        server.wait_for_log("its client does not read its answer");
    }
    in_time(upstream.hung_up()).await;
}

#[tokio::test]
async fn requests_in_a_row_whose_answers_are_not_read_end_too() {
    let server = alone("write_time = \"100ms\"");
    let mut client = Raw::connect(&server).await;
    let many = "GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(2_000);
    // The server stops reading them, or is done with the client.
    let _ = client.try_send(many).await;
    server.wait_for_log("its client does not read its answer");
}

#[tokio::test]
async fn the_bytes_of_answers_that_wait_are_limited_and_shared() {
    let upstream = Upstream::start().await;
    let server = server("answer_bytes = \"64KiB\"", &upstream);
    upstream.next(long(40_000));
    let _unread = without_window(&server, "127.0.0.1").await;
    upstream.next(long(10_000));
    let refused = Client::of(server.address).chat("p", "hi", json!({})).await;
    assert_eq!((refused.refused(503).as_str(), refused.header("retry-after")), ("overloaded", Some("1")));
    assert!(refused.text().contains("limits.http.answer_bytes"), "{refused:?}");
    Client::of(server.address).get("/healthz").await.ok();
    upstream.next(long(10_000));
    let mut other = Raw::connect_from(&server, "127.0.0.2").await;
    let body = question();
    let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    other.send(head + &body).await;
    assert_eq!(other.reply().await.status, 200);
}

#[tokio::test]
async fn the_bytes_of_replies_that_are_received_are_limited_and_shared() {
    let upstream = Upstream::start().await;
    let server = server("\n[limits.providers]\nreplies_bytes = \"192KiB\"", &upstream);
    let event = delta(&"x".repeat(100_000));
    upstream.next(Script::stream().event(&event).hang());
    let streamed = question().replace("\"model\"", "\"stream\":true,\"model\"");
    let unread = with_window(&server, "127.0.0.1", 0, &streamed).await;
    let other = || async {
        let mut other = Raw::connect_from(&server, "127.0.0.2").await;
        let body = question();
        let head = format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        other.send(head + &body).await;
        other.reply().await
    };
    upstream.next(long(100_000)).next(long(10_000));
    let refused = other().await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{refused:?}");
    assert!(refused.text().contains("\"overloaded\"") && refused.text().contains("limits.providers.replies_bytes"), "{refused:?}");
    assert_eq!(other().await.status, 200, "small replies need no room");
    upstream.always(long(100_000));
    drop(unread);
    in_time(async { while other().await.status != 200 {} }).await;
}

#[tokio::test]
async fn an_answer_that_is_larger_than_all_that_may_wait_is_sent_alone() {
    let upstream = Upstream::start().await;
    let server = server("answer_bytes = \"64KiB\"", &upstream);
    let client = Client::of(server.address);
    for _ in 0..3 {
        upstream.next(long(300_000));
        // The one before it may still be on its way out of the server's hands.
        assert_eq!(client.chat("p", "hi", json!({})).await.ok().content().len(), 300_000);
    }
}

#[tokio::test]
async fn what_a_client_calls_things_does_not_come_back_whole() {
    let server = alone("");
    let client = Client::of(server.address);
    let long = "m".repeat(1 << 20);
    let asked = json!({"model": long, "messages": [{"role": "user", "content": "hi"}]});
    let stages = json!({"model": "p", "messages": [{"role": "user", "content": "hi"}], "pipeline": {(long.as_str()): true}});
    let answers = [
        client.post("/v1/chat/completions", &asked).await,
        client.post("/v1/chat/completions", &stages).await,
        client.post("/v1/responses", &json!({"model": long, "input": "hi"})).await,
        client.post("/v1/embeddings", &json!({"model": long, "input": "hi"})).await,
        client.post("/v1/embeddings", &json!({(long.as_str()): 1, "model": 7, "input": "hi"})).await,
        client.put("/api/v1/gateway/apis/new/pipeline", &json!({"pipeline": [{"stage": long}], (long.as_str()): 1})).await,
        client.post("/api/v1/gateway/apis/p/knowledge/test", &json!({(long.as_str()): 1})).await,
        client.get(&format!("/v1/models/{}", &long[..8_000])).await,
        client.get(&format!("/{}", &long[..8_000])).await,
        client.get(&format!("/api/v1/usage?{}=1", &long[..8_000])).await,
        client.clone().header("x-cofferdam-stages", &long[..8_000]).chat("p", "hi", json!({})).await,
        client.clone().header("content-encoding", &long[..8_000]).chat("p", "hi", json!({})).await,
    ];
    for answer in answers {
        assert!(answer.status.is_client_error() && answer.body.len() < 6_000, "{} {}", answer.status, answer.body.len());
    }
}
