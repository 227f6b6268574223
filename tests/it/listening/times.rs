//! Every limit of time in `[limits.http]`, made tiny, against a client that stays silent.

use serde_json::json;

use super::{Raw, alone, head, in_time, question, server};
use crate::client::Client;
use crate::upstream::{Script, Signal, Upstream};

const ASK: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[tokio::test]
async fn a_connection_that_never_asks_is_closed_at_header_time() {
    let server = alone("header_time = \"100ms\"");
    for start in ["", "G", "GET /healthz HTTP/1.1\r\nhost: loc", "PRI * HTTP/2.0\r\n\r\nSM"] {
        let mut silent = Raw::connect(&server).await;
        silent.send(start).await;
        silent.closed().await;
    }
}

#[tokio::test]
async fn bytes_that_drip_do_not_lengthen_header_time() {
    let server = alone("header_time = \"200ms\"");
    let mut slow = Raw::connect(&server).await;
    slow.send("GET /healthz HTTP/1.1\r\n").await;
    // Ends when the server has closed; were every byte new time, it would not.
    in_time(async {
        while slow.try_send("x: y\r\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    Client::of(server.address).get("/healthz").await.ok();
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_idle_time_and_half_a_request_does_not_lengthen_it() {
    let server = alone("idle_time = \"100ms\"\nheader_time = \"100ms\"");
    for start in ["", "GET /healthz HTTP/1.1\r\nhost: loc"] {
        let mut idle = Raw::connect(&server).await;
        idle.send(ASK).await;
        assert_eq!(idle.reply().await.status, 200);
        // The server may be done with it before the second request's first bytes.
        let _ = idle.try_send(start).await;
        idle.closed().await;
    }
}

#[tokio::test]
async fn a_connection_that_waits_for_its_answer_is_not_idle() {
    let (upstream, signal) = (Upstream::start().await, Signal::default());
    upstream.next(Script::default().wait(&signal).raw("HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{\"choices\":[]}"));
    let server = server("idle_time = \"20ms\"\nheader_time = \"20ms\"", &upstream);
    let client = Client::of(server.address);
    let waiting = tokio::spawn(async move { client.chat("p", "hi", json!({})).await });
    in_time(upstream.received()).await;
    // A later connection has been idle for its time: so the waiting one is older than that.
    for _ in 0..3 {
        let mut idle = Raw::connect(&server).await;
        idle.send(ASK).await;
        idle.reply().await;
        idle.closed().await;
    }
    signal.fire();
    waiting.await.expect("no panic").ok();
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_408() {
    let server = alone("body_time = \"100ms\"");
    let body = question();
    for framing in
        [format!("content-length: {}\r\n\r\n{}", body.len(), &body[..10]), "transfer-encoding: chunked\r\n\r\n5\r\n{\"mod".into()]
    {
        let mut slow = Raw::connect(&server).await;
        slow.send(head(&format!("content-type: application/json\r\n{framing}"))).await;
        let reply = slow.reply().await;
        assert_eq!(reply.refused(408), "body_timeout");
        assert!(reply.text().contains("limits.http.body_time"), "{reply:?}");
        slow.closed().await;
    }
}

#[tokio::test]
async fn an_upload_that_does_not_come_is_a_408() {
    let server = alone("body_time = \"100ms\"");
    let mut slow = Raw::connect(&server).await;
    let start = "--e\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhalf a fi";
    slow.send(format!(
        "POST /api/v1/gateway/apis/p/knowledge/upload HTTP/1.1\r\nhost: localhost\r\ncontent-type: multipart/form-data; boundary=e\r\ncontent-length: 900\r\n\r\n{start}"
    ))
    .await;
    assert_eq!(slow.reply().await.refused(408), "body_timeout");
    slow.closed().await;
    let test = json!({"query": "half", "score_threshold": 0.0});
    let found = Client::of(server.address).post("/api/v1/gateway/apis/p/knowledge/test", &test).await;
    assert!(!found.text().contains("half a fi"), "{found:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_harms_nobody() {
    let server = alone("body_time = \"60s\"");
    let mut broken = Raw::connect(&server).await;
    broken.send(head("content-length: 1000\r\n\r\n{\"model\"")).await;
    drop(broken);
    let client = Client::of(server.address);
    let over = async { while !client.get("/metrics").await.text().contains("cofferdam_http_requests_in_flight 0\n") {} };
    in_time(over).await;
    client.chat("p", "hi", json!({})).await.ok();
}
