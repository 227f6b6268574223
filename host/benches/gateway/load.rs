//! The client's side: the same requests for whoever is measured, over connections that stay open.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::process::Process;

#[derive(Clone, Copy)]
pub(super) enum Shape {
    Whole,
    Stream,
}

/// What every request of a round asks.
#[derive(Clone)]
pub(super) struct Question {
    shape: Shape,
    body: Bytes,
}

impl Question {
    /// A short conversation, some 170 bytes.
    pub(super) fn short(model: &str, shape: Shape) -> Self {
        let user = "Write me a poem about the sea at night, please, with a lamp in it.";
        Self::of(model, shape, &[("system", "You are a helpful assistant."), ("user", user)])
    }

    /// A conversation of about so many bytes, in turns of a quarter of a kilobyte.
    pub(super) fn long(model: &str, shape: Shape, bytes: usize) -> Self {
        let turn = "The sea is wide and the night is long, and the lamp at the end of the pier is lit. ".repeat(3);
        let roles = ["user", "assistant"].into_iter().cycle().take((bytes / turn.len()) | 1);
        let turns: Vec<(&str, &str)> = roles.map(|role| (role, &*turn)).collect();
        Self::of(model, shape, &turns)
    }

    /// The mock says one word and then nothing more.
    pub(super) fn slow(self) -> Self {
        self.of_a("slow poem")
    }

    /// The mock writes all events of the stream at once, so that they arrive in one read.
    pub(super) fn burst(self) -> Self {
        self.of_a("burst poem")
    }

    /// One that nobody has asked before.
    pub(super) fn new(model: &str, number: usize) -> Self {
        Self::short(model, Shape::Whole).of_a(&format!("poem, number {number},"))
    }

    fn of_a(self, poem: &str) -> Self {
        Self { body: String::from_utf8_lossy(&self.body).replace("poem", poem).into(), ..self }
    }

    fn of(model: &str, shape: Shape, turns: &[(&str, &str)]) -> Self {
        let messages: Vec<_> = turns.iter().map(|(role, content)| serde_json::json!({"role": role, "content": content})).collect();
        let stream = matches!(shape, Shape::Stream);
        let body = serde_json::json!({"model": model, "stream": stream, "temperature": 0.7, "messages": messages});
        Self { shape, body: body.to_string().into() }
    }
}

/// What came of one request.
struct Answer {
    /// Time to the first bytes of the body.
    first: Duration,
    /// In how many pieces the body came.
    pieces: usize,
}

pub(super) struct Latency {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// `requests` in all, over `connections` at once. Returns how many pieces the bodies came in, all together.
pub(super) async fn many(process: &Process, question: &Question, connections: usize, requests: usize) -> usize {
    let workers = (0..connections).map(|_| async {
        let mut sender = connect(process).await;
        let mut pieces = 0;
        for _ in 0..requests / connections {
            pieces += ask(&mut sender, question).await.pieces;
        }
        pieces
    });
    futures_util::future::join_all(workers).await.into_iter().sum()
}

/// One after the other; the time to the reply's first byte.
pub(super) async fn one_by_one(process: &Process, question: &Question, requests: usize) -> Latency {
    let mut sender = connect(process).await;
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        times.push(ask(&mut sender, question).await.first);
    }
    times.sort_unstable();
    Latency { p50: times[requests / 2], p99: times[requests * 99 / 100] }
}

pub(super) async fn connect(process: &Process) -> SendRequest<Full<Bytes>> {
    connect_to(process.address).await
}

pub(super) async fn connect_to(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket option");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    sender
}

/// Sends the question and waits for the head of its answer.
pub(super) async fn send(sender: &mut SendRequest<Full<Bytes>>, question: &Question) -> Incoming {
    let reply = try_to_send(sender, question).await.expect("a reply");
    assert!(reply.status().is_success(), "{reply:?}");
    reply.into_body()
}

/// The same for an answer of any status; none if the connection ends.
pub(super) async fn try_send(sender: &mut SendRequest<Full<Bytes>>, question: &Question) -> Option<Incoming> {
    try_to_send(sender, question).await.ok().map(Response::into_body)
}

/// Whether the question has a good answer.
pub(super) async fn succeeds(sender: &mut SendRequest<Full<Bytes>>, question: &Question) -> bool {
    let reply = try_to_send(sender, question).await.expect("an answer");
    let good = reply.status().is_success();
    good & reply.into_body().collect().await.is_ok()
}

async fn try_to_send(sender: &mut SendRequest<Full<Bytes>>, question: &Question) -> hyper::Result<Response<Incoming>> {
    let request = Request::post("/v1/chat/completions").header("host", "localhost").header("content-type", "application/json");
    sender.ready().await?;
    sender.send_request(request.body(Full::new(question.body.clone())).expect("a request")).await
}

/// Sends a file to a knowledge base and waits until it is stored, in as many chunks as are returned.
pub(super) async fn upload(sender: &mut SendRequest<Full<Bytes>>, path: &str, name: &str, text: &str) -> usize {
    let body = format!("--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n{text}\r\n--x--\r\n");
    let request = Request::post(path).header("host", "localhost").header("content-type", "multipart/form-data; boundary=x");
    let reply = sender.send_request(request.body(Full::new(body.into())).expect("a request")).await.expect("a reply");
    assert!(reply.status().is_success(), "{reply:?}");
    let body = reply.into_body().collect().await.expect("a body").to_bytes();
    let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    answer["data"][0]["chunks"].as_u64().expect("it counts them") as usize
}

/// The body at `path`.
pub(super) async fn get(sender: &mut SendRequest<Full<Bytes>>, path: &str) -> Bytes {
    let request = Request::get(path).header("host", "localhost").body(Full::default()).expect("a request");
    let reply = sender.send_request(request).await.expect("a reply");
    reply.into_body().collect().await.expect("a body").to_bytes()
}

async fn ask(sender: &mut SendRequest<Full<Bytes>>, question: &Question) -> Answer {
    let stream = matches!(question.shape, Shape::Stream);
    let started = Instant::now();
    let mut body = send(sender, question).await;
    let first = body.frame().await.expect("a frame").expect("no error");
    let (first, mut tail, mut pieces) = (started.elapsed(), first.into_data().unwrap_or_default(), 1);
    while let Some(frame) = body.frame().await {
        tail = frame.expect("no error").into_data().unwrap_or(tail);
        pieces += 1;
    }
    assert!(!stream || tail.ends_with(b"[DONE]\n\n"), "a whole stream");
    Answer { first, pieces }
}
