//! Failures that come inside a success: before a word the fallback answers, after one the stream ends in an error, and nothing ends well.

use serde_json::{Value, json};

use super::*;

/// The forms in which servers report a failure in a stream, as pieces of it.
fn reports() -> Vec<(&'static str, String)> {
    let error = json!({"code": 502, "message": "Provider returned error"});
    let data = |json: &Value| format!("data: {json}\n\n");
    let with = |name: &str, value: Value, reason: Option<&str>| {
        let mut chunk = chunk(json!({"content": ""}), reason);
        chunk[name] = value;
        chunk
    };
    let mut inside = chunk(json!({"content": ""}), Some("error"));
    inside["choices"][0]["error"] = error.clone();
    vec![
        ("beside the choices", data(&with("error", error.clone(), Some("error")))),
        ("inside the choice", data(&inside)),
        ("a reason alone", data(&chunk(json!({}), Some("error")))),
        ("without choices", data(&json!({"id": "c", "choices": [], "error": error}))),
        ("FastAPI's", data(&json!({"detail": "out of memory"}))),
        ("a code and words", data(&json!({"code": 500, "msg": "busy", "data": null}))),
        ("MiniMax's", data(&json!({"choices": null, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}))),
        ("vLLM's", data(&json!({"object": "error", "message": "m", "code": 500}))),
        ("llama.cpp's line", format!("error: {}\n\n", json!({"code": 500, "message": "context", "type": "server_error"}))),
        ("a named event", "event: error\ndata: {\"message\":\"m\"}\n\n".to_owned()),
        ("a named event in words", "event: error\ndata: Internal Server Error\n\n".to_owned()),
        ("JSON without a field", format!("{}\n\n", json!({"error": {"message": "m"}}))),
    ]
}

/// Case 10.
#[tokio::test]
async fn a_failure_inside_a_stream_is_none_that_ends_well() {
    let gateway = gateway(ONCE).await;
    for kind in ["openai", "azure-openai"] {
        for (form, report) in reports() {
            let opening = chunk(json!({"role": "assistant", "content": ""}), None).to_string();
            gateway.upstream.next(Script::stream().event(&opening).piece(&report).event("[DONE]").end());
            let events = gateway.stream(kind, json!({})).await;
            assert_eq!((events.text().as_str(), events.is_done()), ("second", true), "{kind}, {form}, before a word: {:?}", events.0);
            let half = chunk(json!({"role": "assistant", "content": "Half"}), None).to_string();
            gateway.upstream.next(Script::stream().event(&half).piece(&report).event("[DONE]").end());
            let events = gateway.stream(kind, json!({})).await;
            assert_eq!((events.text().as_str(), events.is_done()), ("Half", false), "{kind}, {form}, after a word: {:?}", events.0);
            assert_eq!(events.error().as_deref(), Some("upstream_error"), "{kind}, {form}");
            assert_eq!(events.reasons(), Vec::<String>::new(), "{kind}, {form}");
        }
    }
}

/// Case 10.
#[tokio::test]
async fn a_failure_inside_a_whole_reply_runs_the_fallback() {
    let gateway = gateway(ONCE).await;
    let error = json!({"code": 502, "message": "Provider returned error"});
    let mut inside = completion(json!({"role": "assistant", "content": ""}), "error");
    inside["choices"][0]["error"] = error.clone();
    let mut late = completion(json!({"role": "assistant", "content": "Half"}), "stop");
    late["choices"][0]["error"] = error.clone();
    for reply in [
        inside,
        late,
        completion(json!({"role": "assistant", "content": ""}), "error"),
        json!({"detail": "m"}),
        json!({"code": 500, "msg": "m"}),
        json!({"errors": [{"message": "m"}]}),
        json!({"choices": null, "base_resp": {"status_code": 1002, "status_msg": "m"}}),
    ] {
        gateway.upstream.next(Script::json(200, &reply));
        assert_eq!(gateway.client.chat("openai", "hi", json!({})).await.ok().content(), "second", "{reply}");
    }
}

/// Case 25.
#[tokio::test]
async fn an_answer_that_gemini_s_model_spoilt_is_no_good_end() {
    let gateway = gateway(ONCE).await;
    for reason in [
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "NO_IMAGE",
        "OTHER",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "A_NEW_REASON",
    ] {
        let mut reply = candidate(json!(null), reason);
        reply["candidates"][0]["finishMessage"] = json!("print(default_api.f(x=1))");
        gateway.upstream.next(Script::json(200, &reply)).next(undone(std::slice::from_ref(&reply)));
        assert_eq!(gateway.client.chat("gemini", "hi", json!({})).await.ok().content(), "second", "{reason}");
        assert_eq!(gateway.stream("gemini", json!({})).await.text(), "second", "{reason}");
        // Of what was said before, nobody is told that it is whole.
        let text = json!({"role": "model", "parts": [{"text": "I call"}]});
        gateway.upstream.next(undone(&[candidate(text.clone(), ""), candidate(json!(null), reason)]));
        let events = gateway.stream("gemini", json!({})).await;
        assert_eq!(events.text(), "I call", "{reason}");
        assert!(events.error().is_some() || events.reasons() == ["content_filter"], "{reason}: {:?}", events.0);
    }
}

/// Case 25.
#[tokio::test]
async fn a_spoilt_answer_is_told_in_the_model_s_words_and_benches_nobody() {
    let gateway = gateway("[limits.providers]\nretries = 1\ncircuit_failures = 1\nretry_backoff = \"1ms\"\n").await;
    let mut spoilt = candidate(json!(null), "MALFORMED_FUNCTION_CALL");
    spoilt["candidates"][0]["finishMessage"] = json!("Malformed function call: print(f(x=1))");
    let fine = candidate(json!({"role": "model", "parts": [{"text": "fine"}]}), "STOP");
    for _ in 0..3 {
        gateway.upstream.next(Script::json(200, &spoilt)).next(Script::json(200, &fine));
        assert_eq!(gateway.client.chat("gemini", "hi", json!({})).await.ok().content(), "fine", "the second try succeeds");
    }
    assert_eq!(gateway.asked(), (6, 0));
}

/// Nobody asked for these: a reply that is compressed all the same is read.
#[tokio::test]
async fn a_compressed_reply_that_nobody_asked_for_is_read() {
    let gateway = gateway(ONCE).await;
    // `{"choices":[{"index":0,"message":{"role":"assistant","content":"zipped"},"finish_reason":"stop"}]}`, stored by gzip without compression.
    let text =
        json!({"choices": [{"index": 0, "message": {"role": "assistant", "content": "zipped"}, "finish_reason": "stop"}]}).to_string();
    let stream = format!("data: {}\n\ndata: [DONE]\n\n", chunk(json!({"role": "assistant", "content": "zipped"}), Some("stop")));
    let kinds = [("application/json", &text), ("text/event-stream", &stream)];
    for (kind, body) in kinds {
        for coding in ["gzip", "deflate"] {
            let stored = stored(body.as_bytes(), coding);
            gateway.upstream.next(Script::reply(200, &[("content-type", kind), ("content-encoding", coding)], stored));
            let said = match kind {
                "application/json" => gateway.client.chat("openai", "hi", json!({})).await.ok().content(),
                _ => gateway.stream("openai", json!({})).await.text(),
            };
            assert_eq!(said, "zipped", "{kind} {coding}");
        }
    }
    gateway.upstream.next(Script::reply(200, &[("content-type", "application/json"), ("content-encoding", "zstd")], "x"));
    assert_eq!(gateway.client.chat("openai", "hi", json!({})).await.ok().content(), "second", "what cannot be decoded is a failure");
}

/// Case 71, as its reporter's provider had it.
#[tokio::test]
async fn a_whole_reply_without_choices_is_no_success() {
    let gateway = gateway(ONCE).await;
    for choices in [json!(null), json!({}), json!("none")] {
        let body = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": null});
        gateway.upstream.next(Script::json(200, &body));
        let answer = gateway.client.chat("openai", "hi", json!({})).await.ok();
        assert_eq!((answer.content().as_str(), answer.header("x-cofferdam-attempts")), ("second", Some("2")), "{choices}");
    }
}

/// A deflate block that is stored as it is, in gzip's frame or none.
fn stored(bytes: &[u8], coding: &str) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("short");
    let block = [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes].concat();
    match coding {
        "gzip" => {
            let sum = bytes.iter().fold(!0_u32, |sum, byte| {
                (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(sum & 1)))
            });
            let size = u32::from(length).to_le_bytes();
            [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255][..], &block, &(!sum).to_le_bytes(), &size].concat()
        }
        _ => block,
    }
}
