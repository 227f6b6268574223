//! HTTP/2 with prior knowledge: the same answers, the limit of streams, and a drain that lets running streams end.

use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;

use super::raw::frame;
use super::{Raw, alone, in_time, server};
use crate::server::Server;
use crate::upstream::{Script, Signal, Upstream, delta, finish};

type Sender = SendRequest<Full<bytes::Bytes>>;

async fn connect(server: &Server) -> Sender {
    let stream = TcpStream::connect(server.address).await.expect("it listens");
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &Sender, method: &str, path: &str, body: String) -> Response<hyper::body::Incoming> {
    let request = Request::builder().method(method).uri(format!("http://localhost{path}")).body(Full::from(body)).expect("a request");
    let response = in_time(sender.clone().send_request(request)).await.expect("an answer");
    assert!(response.headers().contains_key("x-request-id"), "{response:?}");
    response
}

async fn text(response: Response<hyper::body::Incoming>) -> String {
    let bytes = in_time(response.into_body().collect()).await.expect("a whole body").to_bytes();
    String::from_utf8(bytes.into()).expect("UTF-8")
}

fn question(stream: bool) -> String {
    json!({"model": "p", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}).to_string()
}

#[tokio::test]
async fn chat_works_over_http2_whole_and_streamed_at_once() {
    let (upstream, signal) = (Upstream::start().await, Signal::default());
    let server = server("", &upstream);
    let sender = connect(&server).await;
    upstream.next(Script::stream().event(&delta("one")).wait(&signal).event(&finish()).event("[DONE]").end()).next(Script::says("whole"));
    let mut stream = ask(&sender, "POST", "/v1/chat/completions", question(true)).await;
    assert_eq!((stream.status().as_u16(), stream.headers()["content-type"].as_bytes()), (200, &b"text/event-stream"[..]));
    let first = in_time(stream.body_mut().frame()).await.expect("a frame").expect("no error").into_data().expect("data");
    assert_eq!(first, format!("data: {}\n\n", delta("one")));
    // While the stream waits, others on the connection are served.
    let whole = ask(&sender, "POST", "/v1/chat/completions", question(false)).await;
    assert!(text(whole).await.contains("whole"));
    assert_eq!(ask(&sender, "GET", "/nowhere", String::new()).await.status(), 404);
    assert_eq!(ask(&sender, "HEAD", "/healthz", String::new()).await.status(), 200);
    signal.fire();
    assert_eq!(text(stream).await, format!("data: {}\n\ndata: [DONE]\n\n", finish()));
}

#[tokio::test]
async fn resetting_one_stream_hangs_up_on_its_provider_and_on_no_other() {
    let (upstream, signal) = (Upstream::start().await, Signal::default());
    let server = server("", &upstream);
    let sender = connect(&server).await;
    upstream
        .next(Script::stream().event(&delta("one")).hang())
        .next(Script::stream().event(&delta("two")).wait(&signal).event(&finish()).event("[DONE]").end());
    let first = ask(&sender, "POST", "/v1/chat/completions", question(true)).await;
    let second = ask(&sender, "POST", "/v1/chat/completions", question(true)).await;
    drop(first);
    in_time(upstream.hung_up()).await;
    signal.fire();
    assert_eq!(text(second).await, format!("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", delta("two"), finish()));
}

#[tokio::test]
async fn bodies_and_heads_are_limited_over_http2_too() {
    let server = alone("body_bytes = 1024\nheader_bytes = \"8KiB\"");
    let sender = connect(&server).await;
    let large = json!({"model": "p", "messages": [{"role": "user", "content": "x".repeat(2_000)}]}).to_string();
    assert_eq!(ask(&sender, "POST", "/v1/chat/completions", large).await.status(), 413);
    assert_eq!(ask(&sender, "POST", "/v1/chat/completions", question(false)).await.status(), 200);
    let request = Request::get("http://localhost/healthz").header("x", "x".repeat(9 << 10)).body(Full::default()).expect("a request");
    assert_eq!(in_time(sender.clone().send_request(request)).await.expect("an answer").status(), 431);
}

#[tokio::test]
async fn streams_over_the_limit_are_refused_and_the_others_are_served() {
    let server = alone("streams = 1");
    let mut client = Raw::connect(&server).await;
    client.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame::SETTINGS[..]].concat()).await;
    let settings = client.frame(frame::Kind::Settings).await;
    assert!(settings.payload.chunks(6).any(|entry| entry == [0, 3, 0, 0, 0, 1]), "at most one stream: {settings:?}");
    client.send(frame::SETTINGS_ACK).await;
    client.send(frame::post(1, "/v1/chat/completions")).await;
    client.send(frame::get(3, "/healthz")).await;
    let reset = client.frame(frame::Kind::Reset).await;
    assert_eq!((reset.stream, &*reset.payload), (3, &[0, 0, 0, 7][..]), "REFUSED_STREAM, which may be tried again");
    client.send(frame::last(1, question(false).as_bytes())).await;
    assert_eq!(client.body().await.0, 1);
    client.send(frame::get(5, "/healthz")).await;
    assert_eq!(client.body().await.0, 5);
}

#[tokio::test]
async fn readiness_ends_with_the_drain_where_a_connection_still_asks() {
    let (upstream, signal) = (Upstream::start().await, Signal::default());
    let reply = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[]}"#;
    upstream.next(Script::default().wait(&signal).raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{reply}", reply.len())));
    let mut server = server("", &upstream);
    let mut client = Raw::connect(&server).await;
    client.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame::SETTINGS[..]].concat()).await;
    client.frame(frame::Kind::Settings).await;
    client.send(frame::SETTINGS_ACK).await;
    client.send(frame::post(1, "/v1/chat/completions")).await;
    client.send(frame::last(1, question(false).as_bytes())).await;
    in_time(upstream.received()).await;
    server.terminate();
    // The server's first word of going names no last stream: until its ping is answered, requests on their way are served.
    let going = client.frame(frame::Kind::GoAway).await;
    assert_eq!(&going.payload[..4], &[0x7f, 0xff, 0xff, 0xff]);
    client.send(frame::get(3, "/readyz")).await;
    let (stream, ready) = client.body().await;
    assert_eq!((stream, String::from_utf8_lossy(&ready).into_owned()), (3, r#"{"status":"draining"}"#.into()));
    signal.fire();
    let (stream, answer) = client.body().await;
    assert_eq!((stream, &*answer), (1, reply.as_bytes()), "what ran is finished");
    drop(client);
    assert!(server.wait().success());
}

#[tokio::test]
async fn a_host_beside_the_authority_must_be_the_same() {
    let server = alone("");
    let sender = connect(&server).await;
    for (host, status) in [("localhost", 200), ("LOCALHOST:80", 200), ("evil.example", 400), ("localhost:81", 400)] {
        let request = Request::get("http://localhost/healthz").header("host", host).body(Full::default()).expect("a request");
        assert_eq!(in_time(sender.clone().send_request(request)).await.expect("an answer").status(), status, "{host}");
    }
}
