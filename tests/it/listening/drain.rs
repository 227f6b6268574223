//! SIGTERM: what runs is finished within its time, nothing new begins, and the address is free again.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::json;
use tokio::net::TcpStream;

use super::{Raw, alone, head, in_time, question, server};
use crate::client::{Client, text_of};
use crate::server::Server;
use crate::upstream::{Script, Signal, Upstream, delta};

/// Waits until nobody listens any more.
async fn refuses(server: &Server) {
    in_time(async { while TcpStream::connect(server.address).await.is_ok() {} }).await;
}

#[tokio::test]
async fn a_running_stream_is_finished_and_new_connections_are_refused() {
    let (upstream, signal) = (Upstream::start().await, Signal::default());
    upstream.next(Script::stream().event(&delta("one")).wait(&signal).event(&delta(" two")).event("[DONE]").end());
    let mut server = server("", &upstream);
    let client = Client::of(server.address);
    let mut stream = client.chat_stream("p", "hi", json!({})).await;
    let first = stream.next().await.expect("no break").expect("an event");
    let mut idle = Raw::connect(&server).await;
    idle.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    idle.reply().await;
    server.terminate();
    refuses(&server).await;
    idle.closed().await;
    signal.fire();
    let rest = stream.all().await.expect("a whole stream");
    assert_eq!(text_of(&[vec![first], rest].concat()), "one two");
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test]
async fn a_request_whose_body_is_on_its_way_is_finished() {
    let mut server = alone("");
    let (mut client, body) = (Raw::connect(&server).await, question());
    client.send(head(&format!("expect: 100-continue\r\ncontent-length: {}\r\n\r\n", body.len()))).await;
    assert_eq!(client.bare_reply().await.status, 100);
    server.terminate();
    refuses(&server).await;
    client.send(body).await;
    assert_eq!(client.reply().await.status, 200);
    client.closed().await;
    assert_eq!(server.wait().code(), Some(0));
}

#[tokio::test]
async fn what_does_not_end_is_cut_at_drain_time() {
    for drain_time in ["0s", "100ms"] {
        let upstream = Upstream::start().await;
        upstream.next(Script::stream().event(&delta("one")).hang());
        let mut server = server(&format!("drain_time = \"{drain_time}\""), &upstream);
        let mut stream = Client::of(server.address).chat_stream("p", "hi", json!({})).await;
        stream.next().await.expect("no break").expect("an event");
        server.terminate();
        let end = in_time(stream.next()).await;
        assert!(end.is_err(), "a cut stream does not look whole: {end:?}");
        in_time(upstream.hung_up()).await;
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[tokio::test]
async fn connections_that_ask_nothing_are_not_waited_for() {
    let mut server = alone("drain_time = \"600s\"\nheader_time = \"600s\"");
    let mut silent = Raw::connect(&server).await;
    let mut half = Raw::connect(&server).await;
    half.send("GET /healthz HT").await;
    let mut preface = Raw::connect(&server).await;
    preface.send("PRI * HTTP/2.0\r\n\r\n").await;
    // All three were accepted when a later one is answered.
    Client::of(server.address).get("/healthz").await.ok();
    server.terminate();
    silent.closed().await;
    half.closed().await;
    preface.closed().await;
    assert_eq!(server.wait().code(), Some(0));
}

/// Starts a server at that address; the line that it says, or its exit code.
fn start_at(address: std::net::SocketAddr, folder: &std::path::Path) -> Result<std::process::Child, (Option<i32>, String)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    command.args(["serve", "--listen", &address.to_string()]).current_dir(folder);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line or the end");
    if line.trim_end() == format!("listening on http://{address}") {
        return Ok(child);
    }
    let output = child.wait_with_output().expect("it ends");
    Err((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[tokio::test]
async fn an_address_in_use_is_refused_and_free_after_the_end() {
    let mut server = alone("");
    let address = server.address;
    // A connection that the server closes first stays in the kernel's books for a minute.
    let mut closed = Raw::connect(&server).await;
    closed.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    closed.reply().await;
    closed.closed().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (code, words) = start_at(address, folder.path()).expect_err("the address is taken");
    assert!(code.is_some_and(|code| code != 0) && words.contains(&format!("cannot listen on {address}")), "{code:?} {words}");
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
    let mut second = start_at(address, folder.path()).expect("the address is free");
    Client::of(address).get("/healthz").await.ok();
    second.kill().expect("it can be killed");
    second.wait().expect("it ends");
}
