//! A provider that says nothing for a reason has answered: it is asked once, no circuit opens, and no fallback answers what was filtered.

use serde_json::{Value, json};

use super::*;

/// What is wrong if an answer is not empty for this reason, whole and streamed, with one request for each.
async fn says_nothing(gateway: &Gateway, kind: &str, whole: Option<Value>, stream: Script, reason: &str, what: &str) {
    let before = gateway.asked();
    if let Some(whole) = &whole {
        gateway.upstream.next(Script::json(200, whole));
        let reply = gateway.client.chat(kind, "hi", json!({})).await.ok().json();
        let choice = &reply["choices"][0];
        assert_eq!(choice["finish_reason"], reason, "{what}: {reply}");
        assert!(choice["message"]["content"].as_str().is_none_or(str::is_empty), "{what}: {reply}");
    }
    gateway.upstream.next(stream);
    let events = gateway.stream(kind, json!({})).await;
    assert_eq!((events.reasons(), events.is_done(), events.text().as_str()), (vec![reason.to_owned()], true, ""), "{what}: {:?}", events.0);
    let after = gateway.asked();
    assert_eq!((after.0 - before.0, after.1), (1 + usize::from(whole.is_some()), before.1), "{what}: asked once, and nobody else");
}

/// Case 48.
#[tokio::test]
async fn a_blocked_prompt_or_an_empty_end_of_gemini_is_an_answer() {
    let gateway = gateway("[limits.providers]\ncircuit_failures = 1\n").await;
    let blocked =
        |reason: &str| json!({"promptFeedback": {"blockReason": reason}, "usageMetadata": {"promptTokenCount": 8, "totalTokenCount": 8}});
    for (reply, reason) in [
        (blocked("PROHIBITED_CONTENT"), "content_filter"),
        (blocked("OTHER"), "content_filter"),
        (candidate(json!(null), "SAFETY"), "content_filter"),
        (candidate(json!({"role": "model"}), "MAX_TOKENS"), "length"),
        (candidate(json!({"role": "model", "parts": []}), "STOP"), "stop"),
        (candidate(json!({"role": "model", "parts": [{"text": ""}]}), "STOP"), "stop"),
    ] {
        says_nothing(&gateway, "gemini", Some(reply.clone()), undone(std::slice::from_ref(&reply)), reason, &reply.to_string()).await;
    }
}

/// Case 48.
#[tokio::test]
async fn an_empty_message_of_anthropic_is_an_answer() {
    let gateway = gateway("[limits.providers]\ncircuit_failures = 1\n").await;
    for (native, reason) in [("end_turn", "stop"), ("refusal", "content_filter"), ("max_tokens", "length"), ("stop_sequence", "stop")] {
        let events = named(&[
            json!({"type": "message_start", "message": {"id": "m", "model": "c", "usage": {"input_tokens": 3, "output_tokens": 1}}}),
            json!({"type": "message_delta", "delta": {"stop_reason": native}, "usage": {"output_tokens": 0}}),
            json!({"type": "message_stop"}),
        ]);
        says_nothing(&gateway, "anthropic", Some(message(json!([]), native)), events, reason, native).await;
    }
}

/// Case 48, and a filtered reply of Azure's that has no message at all.
#[tokio::test]
async fn a_choice_without_a_message_is_an_answer_if_it_has_a_reason() {
    let gateway = gateway("[limits.providers]\ncircuit_failures = 1\n").await;
    let verdict = json!({"hate": {"filtered": true, "severity": "high"}});
    for kind in ["openai", "azure-openai"] {
        for reason in ["content_filter", "length", "stop"] {
            for message in [None, Some(json!(null)), Some(json!({"role": "assistant", "content": ""}))] {
                let mut whole = completion(json!(null), reason);
                let choice = whole["choices"][0].as_object_mut().expect("a choice");
                choice.remove("message");
                choice.extend(message.clone().map(|message| ("message".to_owned(), message)));
                choice.insert("content_filter_results".to_owned(), verdict.clone());
                let events = done(&[chunk(json!({"role": "assistant", "content": ""}), None), chunk(json!({}), Some(reason))]);
                says_nothing(&gateway, kind, Some(whole), events, reason, &format!("{kind} {reason} {message:?}")).await;
            }
        }
    }
    let filtered = json!({"id": "c", "object": "chat.completion", "created": 5, "model": "m",
        "choices": [{"index": 0, "finish_reason": "content_filter", "content_filter_results": verdict}]});
    gateway.upstream.next(Script::json(200, &filtered));
    let response = gateway.response("azure-openai").await;
    assert_eq!((&response["status"], &response["incomplete_details"]["reason"]), (&json!("incomplete"), &json!("content_filter")));
}

/// A filter's verdict that comes as an error inside a success is one all the same.
#[tokio::test]
async fn a_filter_s_verdict_inside_a_success_runs_no_fallback() {
    let gateway = gateway("[limits.providers]\ncircuit_failures = 1\n").await;
    let azure = json!({"error": {"message": "The prompt was filtered.", "code": "content_filter"}});
    let openrouter = json!({"error": {"code": 403, "message": "Flagged", "metadata": {"reasons": ["x"], "flagged_input": "hi"}}});
    for (kind, error) in [("azure-openai", &azure), ("openai", &azure), ("openai", &openrouter)] {
        gateway.upstream.next(Script::json(200, error)).next(done(std::slice::from_ref(error))).next(Script::json(403, error));
        let whole = gateway.client.chat(kind, "hi", json!({})).await;
        let streamed = gateway.client.chat_stream(kind, "hi", json!({})).await.answer().await;
        for answer in [whole, streamed] {
            assert_eq!(answer.refused(400), "content_filter", "{kind} {error}");
        }
        // Not every 403 is the key's.
        assert_eq!(gateway.client.chat(kind, "hi", json!({})).await.refused(400), "content_filter", "{kind} {error}");
    }
    assert_eq!(gateway.second.requests().len(), 0);
}
