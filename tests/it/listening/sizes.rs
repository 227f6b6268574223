//! Every limit of size in `[limits.http]`, at its edge.

use bytes::Bytes;
use hyper::Method;
use serde_json::json;

use super::{Raw, alone, head, question};
use crate::client::Client;

const UPLOAD: &str = "/api/v1/gateway/apis/p/knowledge/upload";
const MULTIPART: &str = "multipart/form-data; boundary=edge";

/// An upload of that many files; the last is as long as makes the whole `bytes` long.
fn upload(files: usize, bytes: usize) -> Vec<u8> {
    let start = |n: usize| format!("--edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{n}.txt\"\r\n\r\nsome words\r\n");
    let mut body: String = (0..files).map(start).collect();
    let end = "--edge--\r\n";
    let rest = bytes.saturating_sub(body.len() + end.len());
    body.truncate(body.len() - 2);
    body.extend((0..rest).map(|i| if i % 8 == 7 { ' ' } else { 'w' }));
    (body + "\r\n" + end).into_bytes()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let chunks = body.chunks(700).map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    chunks.chain([b"0\r\n\r\n".to_vec()]).collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn a_head_is_limited() {
    let server = alone("header_bytes = \"8KiB\"");
    let request = |bytes: usize| {
        let rest = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: \r\n\r\n".len();
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(bytes - rest))
    };
    for (bytes, status) in [(8 << 10, 200), ((8 << 10) + 1, 431), (24 << 10, 431)] {
        let mut client = Raw::connect(&server).await;
        client.try_send(request(bytes)).await.expect("it reads that much");
        assert_eq!(client.bare_reply().await.status, status, "{bytes}");
    }
    for (lines, status) in [(99, 200), (100, 431)] {
        let mut client = Raw::connect(&server).await;
        client.send(format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(lines))).await;
        assert_eq!(client.bare_reply().await.status, status, "{lines} lines and the host");
    }
}

/// Sends pieces until the server has had enough; the number of pieces that were taken.
async fn until_cut(client: &mut Raw, piece: &[u8], pieces: usize) -> usize {
    for sent in 0..pieces {
        if client.try_send(piece).await.is_err() {
            return sent;
        }
    }
    pieces
}

#[tokio::test]
async fn sixteen_megabytes_of_a_head_without_an_end_are_not_read() {
    let server = alone("header_bytes = \"8KiB\"\nheader_time = \"60s\"");
    for start in ["", "GET /healthz HTTP/1.1\r\nx: ", "GET /"] {
        let mut client = Raw::connect(&server).await;
        client.send(start).await;
        let taken = until_cut(&mut client, &[b'x'; 16 << 10], 1024).await;
        assert!(taken < 1024, "all of it was read behind {start:?}");
        Client::of(server.address).get("/healthz").await.ok();
    }
}

#[tokio::test]
async fn sixteen_megabytes_of_chunk_extensions_and_trailers_are_not_read() {
    let server = alone("body_time = \"60s\"\nheader_bytes = \"8KiB\"");
    for start in ["5;", "1\r\n{\r\n0\r\nx: "] {
        let mut client = Raw::connect(&server).await;
        client.send(head(&format!("transfer-encoding: chunked\r\n\r\n{start}"))).await;
        let taken = until_cut(&mut client, &[b'x'; 16 << 10], 1024).await;
        assert!(taken < 1024, "all of it was read behind {start:?}");
        Client::of(server.address).get("/healthz").await.ok();
    }
}

#[tokio::test]
async fn a_body_in_chunks_is_limited_at_its_edge() {
    let body = json!({"model": "p", "messages": [{"role": "user", "content": "x".repeat(2_000)}]}).to_string();
    for (limit, status) in [(body.len(), 200), (body.len() - 1, 413)] {
        let server = alone(&format!("body_bytes = {limit}"));
        let mut client = Raw::connect(&server).await;
        client.send([head("transfer-encoding: chunked\r\n\r\n").as_bytes(), &chunked(body.as_bytes())].concat()).await;
        let reply = client.reply().await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(reply.header("x-request-id").is_some(), "{reply:?}");
        // Read away to its end, so the connection is as good as before.
        client.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(client.reply().await.status, 200);
    }
}

#[tokio::test]
async fn an_upload_is_limited_at_its_edge_in_bytes() {
    for bytes in [1024, 1025] {
        let server = alone("upload_bytes = 1024");
        let body = upload(1, bytes);
        assert_eq!(body.len(), bytes);
        let whole = Client::of(server.address).send(Method::POST, UPLOAD, Some(MULTIPART), body.clone().into()).await;
        let mut client = Raw::connect(&server).await;
        let head = format!("POST {UPLOAD} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {MULTIPART}\r\ntransfer-encoding: chunked\r\n\r\n");
        client.send([head.as_bytes(), &chunked(&body)].concat()).await;
        let pieces = client.reply().await;
        if bytes == 1024 {
            whole.ok();
            assert_eq!(pieces.status, 200, "{pieces:?}");
        } else {
            assert_eq!((whole.refused(413).as_str(), pieces.refused(413).as_str()), ("body_too_large", "body_too_large"));
            assert!(pieces.text().contains("limits.http.upload_bytes"), "{pieces:?}");
        }
    }
}

#[tokio::test]
async fn an_upload_is_limited_at_its_edge_in_files() {
    let server = alone("upload_files = 2");
    let client = Client::of(server.address);
    client.send(Method::POST, UPLOAD, Some(MULTIPART), upload(2, 0).into()).await.ok();
    let refused = client.send(Method::POST, UPLOAD, Some(MULTIPART), upload(3, 0).into()).await;
    assert_eq!((refused.refused(400).as_str(), &refused.json()["error"]["param"]), ("invalid_value", &json!("file")));
    assert!(refused.text().contains("limits.http.upload_files"), "{refused:?}");
}

#[tokio::test]
async fn a_client_that_asks_for_leave_to_send_too_much_is_told_before_it_sends() {
    let server = alone("body_bytes = 1024\nupload_bytes = 1024");
    for path in ["/v1/chat/completions", UPLOAD] {
        let mut client = Raw::connect(&server).await;
        let fields = format!("content-type: {}\r\nexpect: 100-continue", if path == UPLOAD { MULTIPART } else { "application/json" });
        client.send(format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\ncontent-length: 1025\r\n\r\n")).await;
        assert_eq!(client.reply().await.refused(413), "body_too_large", "and not 100");
        client.closed().await;
        // Of chunks nobody knows the length before they are there.
        let mut client = Raw::connect(&server).await;
        client.send(format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\ntransfer-encoding: chunked\r\n\r\n")).await;
        assert_eq!(client.bare_reply().await.status, 100);
        client.send(chunked(&upload(1, 5_000))).await;
        assert_eq!(client.reply().await.refused(413), "body_too_large");
    }
}

#[tokio::test]
async fn a_client_that_asks_for_leave_to_send_gets_it() {
    let server = alone("");
    let (mut client, body) = (Raw::connect(&server).await, question());
    client.send(head(&format!("expect: 100-continue\r\ncontent-length: {}\r\n\r\n", body.len()))).await;
    assert_eq!(client.bare_reply().await.status, 100);
    client.send(body).await;
    assert_eq!(client.reply().await.status, 200);
}

#[tokio::test]
async fn a_client_in_the_middle_of_sending_too_much_reads_the_answer_and_no_reset() {
    let server = alone("body_bytes = 1024\nupload_bytes = 1024");
    let client = Client::of(server.address);
    let large = Bytes::from(vec![b' '; 8 << 20]);
    for (path, media) in [("/v1/chat/completions", "application/json"), (UPLOAD, MULTIPART)] {
        assert_eq!(client.send(Method::POST, path, Some(media), large.clone()).await.refused(413), "body_too_large");
    }
    client.send(Method::POST, "/nowhere", Some("application/json"), large.clone()).await.refused(404);
    client.send(Method::PUT, "/v1/chat/completions", Some("application/json"), large).await.refused(405);
}

#[tokio::test]
async fn a_head_is_limited_at_the_byte_however_it_is_read() {
    let server = alone("");
    let request = |bytes: usize| {
        let rest = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: \r\n\r\n".len();
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(bytes - rest))
    };
    let limit = 64 << 10;
    for (bytes, status) in [(limit, 200), (limit + 1, 431), (70_000, 431), (100_000, 431), (130_000, 431)] {
        for pieces in [1, 2, 7] {
            let mut client = Raw::connect(&server).await;
            let request = request(bytes).into_bytes();
            for piece in request.chunks(request.len().div_ceil(pieces)) {
                // It may have had enough before the end.
                if client.try_send(piece).await.is_err() {
                    break;
                }
            }
            assert_eq!(client.bare_reply().await.status, status, "{bytes} bytes in {pieces} pieces");
        }
    }
    let mut client = Raw::connect(&server).await;
    client.send(format!("GET /v1/models?x={} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(65_000))).await;
    assert_eq!(client.reply().await.status, 200, "a target is a part of it");
}

#[tokio::test]
async fn a_request_names_one_host() {
    let server = alone("");
    for (target, hosts, status) in [
        ("/healthz", "host: localhost\r\n", 200),
        ("/healthz", "host: localhost\r\nhost: evil.example\r\n", 400),
        ("/healthz", "host: localhost\r\nHost: localhost\r\n", 400),
        ("/v1/models", "host: localhost\r\nhost: evil.example\r\n", 400),
        ("http://localhost/healthz", "host: localhost\r\n", 200),
        ("http://localhost/healthz", "host: localhost:80\r\n", 200),
        ("http://localhost/healthz", "host: 127.0.0.1\r\n", 400),
        ("http://localhost/healthz", "host: evil.example\r\n", 400),
        ("http://evil.example/healthz", "host: localhost\r\n", 400),
    ] {
        let mut client = Raw::connect(&server).await;
        client.send(format!("GET {target} HTTP/1.1\r\n{hosts}\r\n")).await;
        let reply = client.reply().await;
        assert_eq!(reply.status, status, "{target} {hosts}");
        if status == 400 {
            let json: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!((&json["error"]["code"], &json["error"]["param"]), (&json!("invalid_value"), &json!("host")));
        }
    }
}
