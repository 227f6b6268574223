//! Clients of streams that hooks hold back: they learn that the server is there before there is anything of the reply.

use super::*;

const SOON: &str = "[limits.http]\nwaiting_time = \"1ms\"";

/// A whole reply whose body comes when the test says so.
fn later(go: &Signal) -> Script {
    let message = json!({"role": "assistant", "content": "fine", "refusal": null});
    let reply = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 7, "model": "fake",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": null}]});
    Script::chunked(200, &[("content-type", "application/json")]).wait(go).piece(reply.to_string()).end()
}

#[tokio::test]
async fn while_a_post_hook_waits_the_head_comes_and_a_refusal_ends_the_stream() {
    let upstream = Upstream::start().await;
    let server = server(&upstream, &["bad-status"], "", "", SOON).start();
    let body = |path: &str| {
        if path.ends_with("responses") {
            json!({"model": "p", "stream": true, "input": "hi"})
        } else {
            json!({"model": "p", "stream": true, "messages": [{"role": "user", "content": "hi"}]})
        }
    };
    for path in ["/v1/chat/completions", "/v1/responses"] {
        let go = Signal::default();
        upstream.next(later(&go));
        let client = Client::of(server.address);
        let stream = client.open(hyper::Method::POST, path, Some("application/json"), body(path).to_string().into()).await.expect("a head");
        assert_eq!((stream.status.as_u16(), stream.headers["content-type"].to_str().expect("ASCII")), (200, "text/event-stream"));
        go.fire();
        let events = stream.all().await.expect("a stream");
        let last: Value = serde_json::from_str(events.last().expect("events")).expect("no [DONE]");
        if path.ends_with("responses") {
            assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("failed")), "{last}");
        } else {
            assert_eq!(cut(&events)["code"], "content_filter", "{events:?}");
        }
        assert!(!events.concat().contains("fine"));
    }
}

#[tokio::test]
async fn a_reply_that_was_waited_for_comes_whole() {
    let upstream = Upstream::start().await;
    let go = Signal::default();
    upstream.next(later(&go));
    let post = server(&upstream, &["noop-post"], "", "", SOON).start();
    let stream = asked(&post).await;
    go.fire();
    let events = stream.all().await.expect("a stream");
    assert_eq!(text_of(&events), "fine");
    // A stream hook that has let nothing out holds the reply back too.
    let go = Signal::default();
    upstream.next(Script::stream().event(&delta("a")).wait(&go).event(&delta("b")).event(&finish()).event("[DONE]").end());
    let hold = server(&upstream, &["streamer"], "transform", "hold", SOON).start();
    let stream = asked(&hold).await;
    go.fire();
    let events = stream.all().await.expect("a stream");
    assert_eq!(text_of(&events), "ab");
    assert!(events[0].contains("\"id\":\"c\"") || events[0].contains("\"id\":\"chatcmpl-1\""), "under the provider's names: {events:?}");
}

#[tokio::test]
async fn without_comments_a_refusal_keeps_its_status_however_long_it_takes() {
    let upstream = Upstream::start().await;
    upstream.next(Script::says("fine"));
    let server = server(&upstream, &["bad-status"], "", "", "[limits.http]\nwaiting_time = \"0s\"").start();
    assert_eq!(asked(&server).await.answer().await.refused(403), "not_an_error");
}
