//! The client's side: the same requests for whoever is measured, over connections that stay open.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::process::Process;

#[derive(Clone, Copy)]
pub(super) enum Shape {
    Whole,
    Stream,
}

pub(super) struct Latency {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// `requests` in all, over `connections` at once.
pub(super) async fn many(process: &Process, shape: Shape, connections: usize, requests: usize) {
    let workers = (0..connections).map(|_| async {
        let mut sender = connect(process).await;
        for _ in 0..requests / connections {
            ask(&mut sender, process, shape).await;
        }
    });
    futures_util::future::join_all(workers).await;
}

/// One after the other; the time to the reply's first byte.
pub(super) async fn one_by_one(process: &Process, shape: Shape, requests: usize) -> Latency {
    let mut sender = connect(process).await;
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        times.push(ask(&mut sender, process, shape).await);
    }
    times.sort_unstable();
    Latency { p50: times[requests / 2], p99: times[requests * 99 / 100] }
}

async fn connect(process: &Process) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(process.address).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket option");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, process: &Process, shape: Shape) -> Duration {
    let stream = matches!(shape, Shape::Stream);
    let body = format!(
        r#"{{"model":"{}","stream":{stream},"temperature":0.7,"messages":[{{"role":"system","content":"You are a helpful assistant."}},{{"role":"user","content":"Write me a poem about the sea at night, please, with a lamp in it."}}]}}"#,
        process.model
    );
    let request = Request::post("/v1/chat/completions").header("host", "localhost").header("content-type", "application/json");
    sender.ready().await.expect("the connection stays open");
    let started = Instant::now();
    let reply = sender.send_request(request.body(Full::new(body.into())).expect("a request")).await.expect("a reply");
    assert!(reply.status().is_success(), "{reply:?}");
    let mut body = reply.into_body();
    let first = body.frame().await.expect("a frame").expect("no error");
    let took = started.elapsed();
    let mut tail = first.into_data().unwrap_or_default();
    while let Some(frame) = body.frame().await {
        tail = frame.expect("no error").into_data().unwrap_or(tail);
    }
    assert!(!stream || tail.ends_with(b"[DONE]\n\n"), "a whole stream");
    took
}
