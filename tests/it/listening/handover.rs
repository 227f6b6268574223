//! One server after the other on the same data: nobody is refused, nothing is lost, and no two change it at once.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Raw, in_time, question};
use crate::client::{Client, text_of};
use crate::server::{Builder, Server};
use crate::upstream::{Script, Signal, Upstream, delta};

/// Clients that ask one thing after the other.
const CLIENTS: usize = 8;

fn house(upstream: &Upstream, folder: &Arc<TempDir>) -> Builder {
    let config = format!(
        r#"
        [providers.up]
        kind = "openai"
        base_url = "{}"
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }} ]
        "#,
        upstream.url()
    );
    Server::with(&config).folder(Arc::clone(folder))
}

async fn replies(client: &Client) -> u64 {
    let usage = client.get("/api/v1/usage").await.ok().json();
    usage["data"].as_array().expect("rows").iter().map(|row| row["replies"].as_u64().expect("a number")).sum()
}

/// Asks until told to stop, half of the time over a connection that is kept; says how often it was answered.
async fn asks(address: std::net::SocketAddr, enough: &AtomicBool, answered: &AtomicUsize, keeps: bool) {
    let client = Client::of(address);
    let body = question();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut kept: Option<Raw> = None;
    while !enough.load(Ordering::Relaxed) {
        if !keeps {
            client.chat("p", "hi", json!({})).await.ok();
        } else {
            let again = kept.is_some();
            let mut raw = match kept.take() {
                Some(raw) => raw,
                None => Raw::connect_to(address).await,
            };
            let sent = raw.try_send(&request).await;
            // As with every server, one that was idle may be closed while a request is on its way, and every client asks again then.
            if again && (sent.is_err() || raw.is_closed().await) {
                continue;
            }
            let reply = raw.reply().await;
            assert_eq!(reply.status, 200, "{reply:?}");
            // The server says when it was the last.
            kept = (reply.header("connection") != Some("close")).then_some(raw);
        }
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_one_server_after_the_other_answers_every_request_and_counts_every_reply() {
    let (upstream, folder) = (Upstream::start().await, Arc::new(tempfile::tempdir().expect("a folder")));
    upstream.always(Script::says("yes"));
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("bound");
    let handed = || house(&upstream, &folder).hand_over(socket.try_clone().expect("a descriptor"));
    let mut server = handed().start();
    let (enough, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (enough, answered) = (Arc::clone(&enough), Arc::clone(&answered));
            tokio::spawn(async move { asks(address, &enough, &answered, number % 2 == 0).await })
        })
        .collect();
    let more = async |count: usize| {
        let wanted = answered.load(Ordering::Relaxed) + count;
        while answered.load(Ordering::Relaxed) < wanted {
            assert!(!clients.iter().any(tokio::task::JoinHandle::is_finished), "a client failed");
            tokio::task::yield_now().await;
        }
    };
    for _ in 0..3 {
        in_time(more(30)).await;
        let next = handed().start_waiting();
        in_time(more(30)).await;
        server.terminate();
        let next = tokio::task::spawn_blocking(|| next.takes_over()).await.expect("no panic");
        in_time(more(30)).await;
        assert_eq!(server.wait().code(), Some(0));
        server = next;
    }
    // Without one that waits: connections wait in the socket.
    server.terminate();
    let start = handed();
    let ended = tokio::task::spawn_blocking(move || {
        let code = server.wait().code();
        (code, start.start())
    });
    let (code, server) = ended.await.expect("no panic");
    assert_eq!(code, Some(0));
    in_time(more(30)).await;
    enough.store(true, Ordering::Relaxed);
    for client in clients {
        in_time(client).await.expect("no request failed");
    }
    let answered = answered.load(Ordering::Relaxed) as u64;
    assert_eq!(replies(&Client::of(server.address)).await, answered, "every reply is counted once");
}

#[tokio::test]
async fn the_next_server_answers_while_the_one_before_it_finishes_a_stream() {
    let (upstream, folder) = (Upstream::start().await, Arc::new(tempfile::tempdir().expect("a folder")));
    let signal = Signal::default();
    upstream.next(Script::stream().event(&delta("one")).wait(&signal).event(&delta(" two")).event("[DONE]").end());
    let mut first = house(&upstream, &folder).start();
    let address = first.address;
    let mut stream = Client::of(address).chat_stream("p", "hi", json!({})).await;
    let beginning = stream.next().await.expect("no break").expect("an event");
    upstream.always(Script::says("yes"));
    // At the same address, which is free once the first one stops.
    let next = house(&upstream, &folder).listen(&[&address.to_string()]).start_waiting();
    first.terminate();
    let next = tokio::task::spawn_blocking(|| next.takes_over()).await.expect("no panic");
    first.wait_for_log("data_dir is free for the next server");
    Client::of(address).chat("p", "hi", json!({})).await.ok();
    let definition = json!([{"stage": "llm", "config": {"primary": {"provider": "builtin", "model": "extractive"}}}]);
    Client::of(address).put("/api/v1/gateway/apis/mine/pipeline", &definition).await.ok();
    signal.fire();
    let rest = stream.all().await.expect("a whole stream");
    assert_eq!(text_of(&[vec![beginning], rest].concat()), "one two");
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(replies(&Client::of(next.address)).await, 2, "the stream is counted, too");
}

#[tokio::test]
async fn a_server_that_stops_changes_nothing_any_more() {
    let (upstream, folder) = (Upstream::start().await, Arc::new(tempfile::tempdir().expect("a folder")));
    let signal = Signal::default();
    upstream.always(Script::stream().event(&delta("one")).wait(&signal).event("[DONE]").end());
    let mut server = house(&upstream, &folder).start();
    let mut stream = Client::of(server.address).chat_stream("p", "hi", json!({})).await;
    stream.next().await.expect("no break").expect("an event");
    let mut kept = Raw::connect(&server).await;
    kept.send("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    kept.reply().await;
    server.terminate();
    server.wait_for_log("data_dir is free for the next server");
    let definition = json!([{"stage": "llm", "config": {"primary": {"provider": "builtin", "model": "extractive"}}}]).to_string();
    let head = format!(
        "PUT /api/v1/gateway/apis/late/pipeline HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        definition.len()
    );
    // On a busy machine the connection may be closed by now, which changes nothing either.
    let _ = kept.try_send(head + &definition).await;
    let reply = String::from_utf8(kept.rest().await).expect("UTF-8");
    assert!(reply.is_empty() || (reply.starts_with("HTTP/1.1 503") && reply.contains("\"stopping\"")), "{reply}");
    signal.fire();
    stream.all().await.expect("a whole stream");
    assert_eq!(server.wait().code(), Some(0));
    let next = house(&upstream, &folder).start();
    let kept: Value = Client::of(next.address).get("/v1/models").await.ok().json();
    assert!(!kept.to_string().contains("late"), "{kept}");
}

#[tokio::test]
async fn a_second_server_gives_up_when_the_first_one_goes_on() {
    let (upstream, folder) = (Upstream::start().await, Arc::new(tempfile::tempdir().expect("a folder")));
    let server = house(&upstream, &folder).start();
    let words = Server::with("limits.handover_time = \"50ms\"").folder(folder).refused();
    assert!(
        words.contains("waiting up to 50ms until that stops") && words.contains("in use by another server; give each its own"),
        "{words}"
    );
    let answer = Client::of(server.address).try_send(Method::GET, "/healthz", None, Default::default()).await;
    assert_eq!(answer.expect("it goes on").status, 200);
}
