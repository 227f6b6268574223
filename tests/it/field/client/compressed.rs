//! Bodies that clients compress unasked.

use bytes::Bytes;
use hyper::Method;
use serde_json::json;

use crate::client::Client;
use crate::server::Server;
use crate::upstream::{Script, Upstream};

/// A zstd frame of one block as it is (RFC 8878), of 256 bytes or more.
fn zstd(text: &[u8]) -> Vec<u8> {
    let size = u16::try_from(text.len() - 256).expect("short").to_le_bytes();
    let block = u32::try_from((text.len() << 3) | 1).expect("short").to_le_bytes();
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x60], &size[..], &block[..3], text].concat()
}

/// A gzip member of blocks as they are (RFC 1952, RFC 1951); its checksum is that of `text`.
fn gzip(text: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks: Vec<&[u8]> = text.chunks(60_000).collect();
    for (at, block) in blocks.iter().enumerate() {
        let size = u16::try_from(block.len()).expect("short");
        out.push(u8::from(at + 1 == blocks.len()));
        out.extend([size.to_le_bytes(), (!size).to_le_bytes()].concat());
        out.extend_from_slice(block);
    }
    let crc = text.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    out.extend((!crc).to_le_bytes());
    out.extend(u32::try_from(text.len()).expect("short").to_le_bytes());
    out
}

/// Case 45: Codex sends zstd, other clients gzip.
#[tokio::test]
async fn a_compressed_body_is_taken_up_to_the_limit_of_bodies() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("ok"));
    let config = format!(
        "[providers.up]\nkind = \"openai\"\nbase_url = \"{}\"\nmodels = [\"*\"]\n[limits.http]\nbody_bytes = \"64KiB\"\n",
        upstream.url()
    );
    let server = Server::with(&config).start();
    let send = async |path: &str, encoding: &str, body: Vec<u8>| {
        let client = Client::of(server.address).header("content-encoding", encoding);
        client.send(Method::POST, path, None, Bytes::from(body)).await
    };
    let filler = "hi ".repeat(100);
    let text = json!({"model": "up/m", "messages": [{"role": "user", "content": filler}], "input": filler}).to_string().into_bytes();
    for (encoding, body) in [("gzip", gzip(&text)), ("zstd", zstd(&text)), ("identity", text.clone())] {
        assert_eq!(send("/v1/chat/completions", encoding, body).await.ok().content(), "ok", "{encoding}");
    }
    let text = json!({"model": "up/m", "input": filler}).to_string().into_bytes();
    send("/v1/responses", "zstd", zstd(&text)).await.ok();
    let large = gzip(&[b"[".as_slice(), &b"0,".repeat(40_000), b"0]"].concat());
    assert_eq!(send("/v1/responses", "gzip", large).await.refused(413), "body_too_large");
    let broken = send("/v1/responses", "gzip", text.clone()).await;
    assert_eq!((broken.status.as_u16(), &broken.json()["error"]["param"]), (400, &json!("body")));
    assert_eq!(send("/v1/responses", "br", text).await.refused(415), "unsupported_content_encoding");
}
