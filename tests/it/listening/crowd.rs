//! When all connections are taken: an idle one goes for a new one, by peer and by age, and one that works stays.

use serde_json::json;

use super::raw::frame;
use super::{Raw, alone, head, in_time, question, server};
use crate::client::{Client, text_of};
use crate::server::Server;
use crate::upstream::{Script, Signal, Upstream, delta};

const ASK: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn answered(server: &Server, from: &str) -> Raw {
    let mut client = Raw::connect_from(server, from).await;
    client.send(ASK).await;
    assert_eq!(client.reply().await.status, 200);
    client
}

#[tokio::test]
async fn a_connection_over_the_limit_is_served_and_the_longest_idle_one_goes() {
    let server = alone("connections = 2");
    let mut first = answered(&server, "127.0.0.1").await;
    let mut second = answered(&server, "127.0.0.1").await;
    let mut third = answered(&server, "127.0.0.1").await;
    first.closed().await;
    third.send("GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(third.reply().await.text().contains("cofferdam_http_cut_total{reason=\"crowded\"} 1\n"));
    second.send(ASK).await;
    assert_eq!(second.reply().await.status, 200);
}

#[tokio::test]
async fn a_flood_of_silent_connections_pushes_out_itself_and_not_another_peer() {
    let server = alone("connections = 8");
    let mut patient = answered(&server, "127.0.0.2").await;
    let mut flood = Vec::new();
    for start in ["", "GET /healthz HT", "PRI * HTTP/2.0\r\n\r\nSM"].into_iter().cycle().take(40) {
        let mut silent = Raw::connect_from(&server, "127.0.0.1").await;
        // The server may be done with it already.
        let _ = silent.try_send(start).await;
        flood.push(silent);
    }
    let mut newcomer = answered(&server, "127.0.0.3").await;
    for client in [&mut patient, &mut newcomer] {
        client.send(ASK).await;
        assert_eq!(client.reply().await.status, 200);
    }
    flood[0].closed().await;
}

#[tokio::test]
async fn an_idle_connection_of_http2_goes_too() {
    let server = alone("connections = 1");
    let mut first = Raw::connect(&server).await;
    first.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame::SETTINGS[..]].concat()).await;
    first.frame(frame::Kind::Settings).await;
    first.send(frame::get(1, "/healthz")).await;
    first.frame(frame::Kind::Data).await;
    answered(&server, "127.0.0.1").await;
    let gone = async {
        while first.try_send(frame::SETTINGS).await.is_ok() {
            tokio::task::yield_now().await
        }
    };
    in_time(gone).await;
}

#[tokio::test]
async fn a_connection_that_works_stays_and_health_is_told_all_the_same() {
    let (upstream, signal) = (Upstream::start().await, Signal::default());
    let server = server("connections = 1", &upstream);
    upstream.next(Script::stream().event(&delta("one")).wait(&signal).event(&delta(" two")).event("[DONE]").end());
    let mut stream = Client::of(server.address).chat_stream("p", "hi", json!({})).await;
    let first = stream.next().await.expect("no break").expect("an event");
    let mut half = Raw::connect(&server).await;
    half.send(head(&format!("expect: 100-continue\r\ncontent-length: {}\r\n\r\n", question().len()))).await;
    assert_eq!(half.bare_reply().await.status, 100);
    for _ in 0..40 {
        answered(&server, "127.0.0.1").await;
    }
    signal.fire();
    let rest = stream.all().await.expect("a whole stream");
    assert_eq!(text_of(&[vec![first], rest].concat()), "one two");
    upstream.next(Script::says("fine"));
    half.send(question()).await;
    assert_eq!(half.reply().await.status, 200);
}

#[tokio::test]
async fn a_refused_request_whose_body_does_not_end_is_no_work() {
    let server = alone("connections = 1\nbodies = 1\nheader_time = \"600s\"");
    let mut works = Raw::connect(&server).await;
    works.send(head("expect: 100-continue\r\ncontent-length: 100\r\n\r\n")).await;
    assert_eq!(works.bare_reply().await.status, 100);
    // Nothing is there, so nothing is let in; the server reads on for a while, lest the client gets a reset for an answer.
    let mut refused: Vec<Raw> = Vec::new();
    for _ in 0..40 {
        let mut client = Raw::connect(&server).await;
        client.send("POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf").await;
        refused.push(client);
    }
    answered(&server, "127.0.0.1").await;
    works.has_nothing().await;
}

#[tokio::test]
async fn who_waits_while_all_work_is_served_when_one_becomes_idle() {
    let server = alone("connections = 1");
    let mut busy = Vec::new();
    for _ in 0..17 {
        let mut client = Raw::connect(&server).await;
        client.send(head(&format!("expect: 100-continue\r\ncontent-length: {}\r\n\r\n", question().len()))).await;
        assert_eq!(client.bare_reply().await.status, 100);
        busy.push(client);
    }
    let mut waits = Raw::connect(&server).await;
    waits.send(ASK).await;
    let mut first = busy.remove(0);
    waits.has_nothing().await;
    first.send(question()).await;
    assert_eq!(first.reply().await.status, 200);
    // It stays open, and goes because its room is needed.
    assert_eq!(waits.reply().await.status, 200);
    first.closed().await;
}
