//! HTTP/1.1 as written: methods, framing that could be read in two ways, request ids.

use super::{Raw, alone, head, question};

const GETS: [&str; 5] = ["/healthz", "/readyz", "/metrics", "/v1/models", "/v1/models/p"];

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = alone("");
    let mut client = Raw::connect(&server).await;
    for path in GETS.into_iter().chain(["/api/v1/plugins", "/v1/models/nobody", "/nowhere"]) {
        client.send(format!("HEAD {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        let head = client.bare_reply().await;
        client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        let get = client.reply().await;
        assert_eq!((head.status, head.header("content-type")), (get.status, get.header("content-type")), "{path}");
        if path != "/metrics" {
            assert_eq!(head.header("content-length"), get.header("content-length"), "{path}");
        }
        assert!(head.header("x-request-id").is_some() && head.header("x-request-id") != get.header("x-request-id"));
    }
    client.send("HEAD /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(client.bare_reply().await.status, 405);
}

#[tokio::test]
async fn a_question_of_a_browser_is_checked_like_any_other_head() {
    let server = alone("header_bytes = \"8KiB\"\n[http]\ncors_origins = [\"https://chat.example\"]");
    let ask = |more: &str| {
        format!(
            "OPTIONS /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\norigin: https://chat.example\r\naccess-control-request-method: POST\r\n{more}\r\n"
        )
    };
    let mut client = Raw::connect(&server).await;
    client.send(ask("")).await;
    assert_eq!(client.bare_reply().await.status, 204);
    client.send(ask("host: evil.example\r\n")).await;
    let refused = client.reply().await;
    assert_eq!(
        (refused.refused(400).as_str(), refused.header("access-control-allow-origin")),
        ("invalid_value", Some("https://chat.example"))
    );
    // hyper reads in pieces, so it lets a head pass whose end came with the piece that went over the limit.
    client.send(ask(&format!("x: {}\r\n", "x".repeat(8_100)))).await;
    assert_eq!(client.reply().await.status, 431);
}

/// The status of the only reply to those bytes, after which the connection is closed: what follows could be a smuggled request.
async fn only_status(server: &crate::server::Server, bytes: &str) -> u16 {
    let mut client = Raw::connect(server).await;
    client.send(bytes).await;
    let reply = client.reply().await;
    client.closed().await;
    reply.status
}

#[tokio::test]
async fn framing_that_can_be_read_in_two_ways_is_refused_and_closed() {
    let server = alone("");
    let body = question();
    let (length, next) = (body.len(), "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    for fields in [
        "transfer-encoding: chunked, gzip\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".into(),
        "transfer-encoding: identity\r\n".into(),
        "transfer-encoding: \r\n".into(),
        format!("transfer-encoding: gzip\r\ncontent-length: {length}\r\n"),
        format!("content-length: {length}\r\ncontent-length: {}\r\n", length + 1),
        format!("content-length: {length}, {}\r\n", length + 1),
        format!("content-length: +{length}\r\n"),
        "content-length: -1\r\n".into(),
        "content-length: 0x10\r\n".into(),
        "content-length: 99999999999999999999999\r\n".into(),
        format!("content-length : {length}\r\n"),
        format!(" content-length: {length}\r\n"),
    ] {
        assert_eq!(only_status(&server, &format!("{}\r\n{body}{next}", head(&fields))).await, 400, "{fields:?}");
    }
    let old = "POST /v1/chat/completions HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(only_status(&server, old).await, 400);
}

#[tokio::test]
async fn chunks_beside_a_length_are_read_as_chunks_and_nothing_is_read_behind_them() {
    let server = alone("");
    let body = question();
    for fields in ["transfer-encoding: chunked\r\ncontent-length: 5\r\n", "content-length: 5\r\ntransfer-encoding: chunked\r\n"] {
        let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n", body.len());
        assert_eq!(only_status(&server, &format!("{}\r\n{chunks}", head(fields))).await, 200, "RFC 9112, 6.3");
    }
}

#[tokio::test]
async fn a_body_compressed_for_its_transfer_is_refused() {
    let server = alone("");
    let chunks = format!("{:x}\r\n{1}\r\n0\r\n\r\n", question().len(), question());
    for fields in ["gzip, chunked", "deflate\r\ntransfer-encoding: chunked", "chunked, chunked", "Chunked\r\ntransfer-encoding: chunked"] {
        let mut client = Raw::connect(&server).await;
        client.send(format!("{}\r\n{chunks}", head(&format!("transfer-encoding: {fields}\r\n")))).await;
        assert_eq!(client.reply().await.refused(415), "unsupported_content_encoding", "{fields}");
    }
    let mut client = Raw::connect(&server).await;
    client.send(format!("{}\r\n{chunks}", head("transfer-encoding: CHUNKED\r\n"))).await;
    assert_eq!(client.reply().await.status, 200);
}

#[tokio::test]
async fn a_length_that_stands_twice_and_is_the_same_is_one() {
    let server = alone("");
    let (mut client, body) = (Raw::connect(&server).await, question());
    client.send(head(&format!("content-length: {0}\r\ncontent-length: {0}\r\n\r\n{body}", body.len()))).await;
    let status = client.reply().await.status;
    assert!([200, 400].contains(&status), "{status}");
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_one_after_the_other() {
    let server = alone("");
    let (mut client, body) = (Raw::connect(&server).await, question());
    let chat = head(&format!("content-length: {}\r\nx-request-id: second\r\n\r\n{body}", body.len()));
    let ask = |id: &str| format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-request-id: {id}\r\n\r\n");
    client.send([ask("first"), chat, ask("third")].concat()).await;
    for id in ["first", "second", "third"] {
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.header("x-request-id")), (200, Some(id)));
    }
}

#[tokio::test]
async fn every_refusal_names_its_request() {
    let server = alone("body_bytes = 1024");
    let named = |line: &str, rest: &str| format!("{line} HTTP/1.1\r\nhost: localhost\r\nx-request-id: mine\r\n{rest}");
    for (request, status) in [
        (named("GET /nowhere", "\r\n"), 404),
        (named("DELETE /v1/models", "\r\n"), 405),
        (named("BREW /coffee", "\r\n"), 404),
        (named("POST /v1/chat/completions", "content-length: 1\r\n\r\n{"), 400),
        (named("POST /v1/chat/completions", "content-type: text/plain\r\ncontent-length: 2\r\n\r\n{}"), 415),
        (named("POST /v1/chat/completions", "content-encoding: br\r\ncontent-length: 2\r\n\r\n{}"), 415),
        (named("POST /v1/chat/completions", &format!("content-length: 1025\r\n\r\n{}", " ".repeat(1025))), 413),
        ("GET /healthz HTTP/1.1\r\nhost: evil.example\r\nx-request-id: mine\r\n\r\n".into(), 403),
        ("GET /healthz HTTP/1.1\r\nx-request-id: mine\r\n\r\n".into(), 403),
    ] {
        let mut client = Raw::connect(&server).await;
        client.send(&request).await;
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.header("x-request-id")), (status, Some("mine")), "{request:?} {reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/json"), "{reply:?}");
        reply.refused(status);
    }
}
