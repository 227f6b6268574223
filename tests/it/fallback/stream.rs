//! Streams that break. Before the first event the client does not notice; after it, one error event ends the stream, without `[DONE]`.

use serde_json::{Value, json};

use super::{Gateway, gateway};
use crate::client::{Streaming, text_of};
use crate::upstream::{Script, delta, finish};

/// Checks that the stream has the text `one` and then one error event of that code: no `[DONE]`, no half event, no broken connection.
async fn breaks_after_one(stream: Streaming, code: &str) {
    assert_eq!(stream.status, 200);
    let events = stream.all().await.expect("the connection ends as HTTP says");
    let [one, error] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(one, &delta("one"));
    let error: Value = serde_json::from_str(error).expect("JSON");
    assert_eq!((&error["error"]["code"], &error["error"]["param"]), (&json!(code), &Value::Null), "{error}");
    assert!(["message", "type"].iter().all(|field| error["error"][field].is_string()), "{error}");
}

#[tokio::test]
async fn whatever_breaks_before_the_first_event_is_invisible() {
    let Gateway { a, b, client, server: _server } = gateway("[limits.providers]\nfirst_byte = \"300ms\"").await;
    b.always(Script::streams(&["from b"]));
    for script in [
        Script::default().cut(),
        Script::stream().cut(),
        Script::stream().piece(": ping\n\n").cut(),
        Script::stream().piece("data: {\"choi").cut(),
        Script::stream().end(),
        Script::stream().event("[DONE]").end(),
        Script::stream().event(r#"{"error":{"message":"overloaded"}}"#).end(),
        Script::stream().hang(),
        Script::reply(500, &[], "oops"),
    ] {
        let case = format!("{script:?}");
        a.next(script);
        let stream = client.chat_stream("p", "hi", json!({})).await;
        assert_eq!(
            (stream.status.as_u16(), stream.headers.get("x-cofferdam-attempts")),
            (200, Some(&"2".parse().expect("a value"))),
            "{case}"
        );
        assert_eq!(text_of(&stream.all().await.expect("a whole stream")), "from b", "{case}");
    }
}

#[tokio::test]
async fn a_cut_after_the_first_event_ends_in_an_error_event() {
    let Gateway { a, b, client, server: _server } = gateway("").await;
    for script in [
        Script::stream().event(&delta("one")).cut(),
        Script::stream().event(&delta("one")).piece("data: {\"choi").cut(),
        Script::stream().event(&delta("one")).end(),
        Script::stream().event(&delta("one")).raw("not a chunk\r\n"),
    ] {
        a.next(script);
        breaks_after_one(client.chat_stream("p", "hi", json!({})).await, "upstream_cut").await;
    }
    assert!(b.requests().is_empty(), "half an answer is not begun anew");
    let metrics = client.get("/metrics").await.ok().text();
    assert!(metrics.contains("cofferdam_http_requests_in_flight 0"), "{metrics}");
}

#[tokio::test]
async fn a_provider_that_falls_silent_ends_in_an_error_event() {
    let Gateway { a, client, server: _server, .. } = gateway("[limits.providers]\nidle = \"100ms\"").await;
    a.next(Script::stream().event(&delta("one")).hang());
    breaks_after_one(client.chat_stream("alone", "hi", json!({})).await, "upstream_idle").await;
    a.hung_up().await;
}

#[tokio::test]
async fn the_deadline_ends_a_running_stream_in_an_error_event() {
    let Gateway { a, client, server: _server, .. } = gateway("[limits.http]\nrequest_time = \"1s\"").await;
    a.next(Script::stream().event(&delta("one")).hang());
    breaks_after_one(client.chat_stream("alone", "hi", json!({})).await, "deadline").await;
    a.hung_up().await;
}

#[tokio::test]
async fn the_deadline_before_the_first_event_is_a_504_that_names_its_limit() {
    let Gateway { a, b, client, server: _server } = gateway("[limits.http]\nrequest_time = \"300ms\"").await;
    a.always(Script::default().hang());
    b.always(Script::default().hang());
    let whole = client.chat("alone", "hi", json!({})).await;
    let alone = client.chat_stream("alone", "hi", json!({})).await.answer().await;
    let first_of_two = client.chat_stream("p", "hi", json!({})).await.answer().await;
    for answer in [whole, alone, first_of_two] {
        assert_eq!(answer.refused(504), "deadline_exceeded", "{answer:?}");
        assert!(answer.text().contains("limits.http.request_time"), "{answer:?}");
        a.hung_up().await;
    }
    assert!(b.requests().is_empty(), "there is no time left for another");
}

#[tokio::test]
async fn a_providers_own_time_limit_before_the_first_event_is_a_504_that_names_it() {
    let Gateway { a, client, server: _server, .. } = gateway("[limits.providers]\nfirst_byte = \"100ms\"").await;
    a.next(Script::stream().hang());
    let answer = client.chat_stream("alone", "hi", json!({})).await.answer().await;
    assert_eq!(answer.refused(504), "provider_timeout");
    assert!(answer.text().contains("limits.providers.first_byte"), "{answer:?}");
}

#[tokio::test]
async fn a_stream_passes_as_it_is_comments_and_line_ends_included() {
    let Gateway { a, client, server: _server, .. } = gateway("").await;
    let odd = format!("event: message\r\ndata:{}\r\n\r\n", delta("one"));
    a.next(Script::stream().piece(&odd).piece(": ping\n\n").event(&delta("two")).event(&finish()).event("[DONE]").end());
    let body = json!({"model": "alone", "stream": true, "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let answer = client.send(hyper::Method::POST, "/v1/chat/completions", Some("application/json"), body.into()).await.ok();
    assert_eq!(answer.text(), format!("{odd}: ping\n\ndata: {}\n\ndata: {}\n\ndata: [DONE]\n\n", delta("two"), finish()));
}
