//! Replies by the numbers of the conformance list. Golden files show whole ones.

use http::StatusCode;
use proptest::prelude::{any, prop, proptest};

use super::*;
use crate::chat::ChunkWriter;

fn decoder(stream: bool) -> GeminiDecoder {
    GeminiDecoder::new(Name { id: "chatcmpl-ours".into(), model: "asked".into(), created: 7 }, HashMap::new(), stream)
}

fn whole(body: Value) -> Completion {
    decoder(false).whole(body.to_string().as_bytes()).expect("a reply")
}

/// The chunks that a client gets, whether the stream was complete, and the usage at its end.
fn streamed(events: &[Value]) -> (Vec<Value>, bool) {
    let (mut decoder, mut deltas) = (decoder(true), Vec::new());
    for event in events {
        decoder.event(event.to_string().as_bytes(), &mut deltas).expect("an event");
    }
    let complete = decoder.end(&mut deltas);
    let mut writer = ChunkWriter::new(decoder.name, true);
    let mut chunks = Vec::new();
    let mut sink = |json: &str| chunks.push(serde_json::from_str(json).expect("JSON"));
    deltas.into_iter().for_each(|delta| writer.write(delta, &mut sink));
    writer.end(&mut sink);
    (chunks, complete)
}

fn reasons(chunks: &[Value]) -> Vec<&str> {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str()).collect()
}

fn text(text: &str) -> Value {
    json!({"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}]})
}

fn stop() -> Value {
    json!({"candidates": [{"finishReason": "STOP", "index": 0}]})
}

fn calling(parts: Value) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "index": 0}]})
}

#[test]
fn c34_a_signature_leaves_in_the_id_and_beside_the_call() {
    let call = |name: &str| json!({"functionCall": {"name": name, "args": {}}});
    let mut first = call("f");
    first["thoughtSignature"] = json!("c2ln");
    let completion = whole(json!({"candidates": [{"content": {"parts": [first, call("g")]}, "finishReason": "STOP"}]}));
    let calls: Vec<Value> = completion.choices[0].message.tool_calls.iter().map(|call| serde_json::to_value(call).expect("JSON")).collect();
    assert_eq!(calls[0]["id"], "call_ours_0_0__thought__c2ln");
    assert_eq!(calls[0]["extra_content"]["google"]["thought_signature"], "c2ln");
    assert_eq!((&calls[1]["id"], calls[1].get("extra_content")), (&json!("call_ours_0_1"), None), "of parallel calls the first is signed");
}

#[test]
fn c35_a_stop_after_a_call_in_an_earlier_chunk_is_a_tool_call() {
    let call = calling(json!([{"functionCall": {"name": "f", "args": {"a": 1}}}]));
    let (chunks, complete) = streamed(&[call.clone(), text(""), stop()]);
    assert!(complete);
    assert_eq!(reasons(&chunks), ["tool_calls"]);
    let whole = whole(json!([call, stop()]));
    assert_eq!(whole.choices[0].finish_reason.as_deref(), Some("tool_calls"));
    let mut early = text("a");
    early["candidates"][0]["finishReason"] = json!("STOP");
    let (chunks, _) = streamed(&[early, call]);
    assert_eq!(reasons(&chunks), ["tool_calls"], "a call after the first stop counts too");
}

#[test]
fn a_stop_in_every_chunk_ends_nothing_early() {
    let chunk = |content: &str| {
        let mut chunk = text(content);
        chunk["candidates"][0]["finishReason"] = json!("STOP");
        chunk
    };
    let (chunks, complete) = streamed(&[chunk("a"), chunk("b")]);
    let content: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!((content.as_str(), complete, reasons(&chunks)), ("ab", true, vec!["stop"]));
}

#[test]
fn c36_a_blocked_prompt_is_an_answer_without_content() {
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}});
    let completion = whole(blocked.clone());
    let choice = &completion.choices[0];
    assert!(matches!(choice.message.content, Content::Null));
    assert_eq!(choice.finish_reason.as_deref(), Some("content_filter"));
    assert_eq!(serde_json::to_value(&choice.message).expect("JSON"), json!({"role": "assistant", "content": null, "refusal": null}));
    let (chunks, complete) = streamed(&[blocked]);
    assert!(complete);
    assert_eq!(reasons(&chunks), ["content_filter"]);
}

#[test]
fn c37_a_candidate_without_content_keeps_its_reason() {
    let cut = json!({"candidates": [{"finishReason": "MAX_TOKENS", "index": 0}],
        "usageMetadata": {"promptTokenCount": 3, "thoughtsTokenCount": 50, "totalTokenCount": 53}});
    let completion = whole(cut.clone());
    assert!(matches!(completion.choices[0].message.content, Content::Null));
    assert_eq!(completion.choices[0].finish_reason.as_deref(), Some("length"));
    let (chunks, complete) = streamed(&[cut]);
    assert!(complete);
    assert_eq!(reasons(&chunks), ["length"]);
    assert_eq!(chunks.last().expect("usage")["usage"]["completion_tokens"], 50);
}

#[test]
fn c38_cumulative_usage_is_told_once_with_its_last_figures() {
    let chunk = |tokens: u64| {
        let mut chunk = text("x");
        chunk["usageMetadata"] = json!({"promptTokenCount": 5, "candidatesTokenCount": tokens, "totalTokenCount": 5 + tokens});
        chunk
    };
    let (chunks, _) = streamed(&[chunk(1), chunk(2), chunk(4), stop()]);
    let usages: Vec<&Value> = chunks.iter().map(|chunk| &chunk["usage"]).filter(|usage| !usage.is_null()).collect();
    assert_eq!(usages.len(), 1);
    assert_eq!(
        (&usages[0]["prompt_tokens"], &usages[0]["completion_tokens"], &usages[0]["total_tokens"]),
        (&json!(5), &json!(4), &json!(9))
    );
}

#[test]
fn c40_the_end_of_a_stream_is_its_finish_reason_and_no_mark() {
    let (chunks, complete) = streamed(&[text("a"), stop()]);
    assert_eq!((complete, reasons(&chunks)), (true, vec!["stop"]));
    let (chunks, complete) = streamed(&[text("a")]);
    assert_eq!((complete, reasons(&chunks)), (false, vec![]), "a cut stream does not pretend to have ended");
    assert!(!streamed(&[]).1);
    let two = json!({"candidates": [{"finishReason": "STOP"}, {"index": 1, "content": {"parts": [{"text": "b"}]}}]});
    assert!(!streamed(&[two]).1, "one of two candidates has not ended");
    let mut relayed = decoder(true);
    relayed.event(b" [DONE]", &mut Vec::new()).expect("a relay's mark is passed over");
}

#[test]
fn c41_an_error_inside_a_stream_is_an_error() {
    let body = json!({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}});
    let (mut decoder, mut deltas) = (decoder(true), Vec::new());
    decoder.event(text("a").to_string().as_bytes(), &mut deltas).expect("text");
    let Err(DecodeError::Error(status, error)) = decoder.event(body.to_string().as_bytes(), &mut deltas) else { panic!("an error") };
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((error.message.as_deref(), error.code.as_deref()), (Some("The model is overloaded."), Some("UNAVAILABLE")));
    assert!(!decoder.end(&mut deltas));
    for body in [json!([body]), body] {
        let failure = self::decoder(false).whole(body.to_string().as_bytes()).expect_err("an error");
        assert!(matches!(failure, DecodeError::Error(StatusCode::SERVICE_UNAVAILABLE, _)), "{failure:?}");
    }
    let odd = self::decoder(false).whole(br#"{"error":{"code":200,"message":"?"}}"#).expect_err("an error");
    assert!(matches!(odd, DecodeError::Error(StatusCode::BAD_GATEWAY, _)), "{odd:?}");
}

#[test]
fn what_is_no_reply_is_malformed() {
    for body in ["", "{", "7", "<html>", "{}", "[]", r#"{"candidates":[]}"#, r#"{"candidates":7}"#] {
        assert!(matches!(decoder(false).whole(body.as_bytes()), Err(DecodeError::Malformed(_))), "{body}");
    }
    let named = |bytes: usize| json!({"candidates": [{}], "responseId": "x".repeat(bytes)}).to_string();
    assert!(decoder(false).whole(named(HEAD_BYTES_MAX).as_bytes()).is_ok());
    assert!(matches!(decoder(false).whole(named(HEAD_BYTES_MAX + 1).as_bytes()), Err(DecodeError::Malformed(_))));
    let candidates = |count: usize| json!({"candidates": (0..count).map(|index| json!({"index": index})).collect::<Vec<_>>()}).to_string();
    assert!(decoder(false).whole(candidates(CHOICES_MAX).as_bytes()).is_ok());
    assert!(matches!(decoder(false).whole(candidates(CHOICES_MAX + 1).as_bytes()), Err(DecodeError::Malformed(_))));
}

#[test]
fn ids_of_calls_differ_within_a_candidate_and_say_the_same_each_time() {
    let call = |id: Value| json!({"functionCall": {"id": id, "name": "f", "args": {}}});
    let body = json!({"candidates": [
        {"content": {"parts": [call(json!("x")), call(json!("x")), call(json!("")), call(Value::Null)]}, "finishReason": "STOP"},
        {"content": {"parts": [call(Value::Null)]}, "finishReason": "STOP", "index": 1}]});
    let ids = || -> Vec<String> {
        let completion = whole(body.clone());
        let calls = completion.choices.iter().flat_map(|choice| &choice.message.tool_calls);
        calls
            .map(|call| match call {
                ToolCall::Function(call) => call.id.clone(),
                ToolCall::Other(_) => panic!("a function call"),
            })
            .collect()
    };
    assert_eq!(ids(), ["x", "call_ours_0_1", "call_ours_0_2", "call_ours_0_3", "call_ours_1_0"]);
    assert_eq!(ids(), ids());
}

#[test]
fn what_is_remembered_of_a_reply_is_bounded() {
    let parts = |part: &str, count: usize| format!(r#"{{"candidates":[{{"content":{{"parts":[{}]}}}}]}}"#, vec![part; count].join(","));
    assert!(decoder(false).whole(parts("{}", PARTS_MAX).as_bytes()).is_ok());
    assert!(matches!(decoder(false).whole(parts("{}", PARTS_MAX + 1).as_bytes()), Err(DecodeError::Malformed(_))));
    assert!(decoder(true).event(parts("{}", PARTS_MAX + 1).as_bytes(), &mut Vec::new()).is_ok(), "of a stream nothing is held");
    let calls = parts(r#"{"functionCall":{"name":"f"}}"#, CALLS_MAX as usize);
    let mut decoder = decoder(true);
    assert!(decoder.event(calls.as_bytes(), &mut Vec::new()).is_ok());
    let one = parts(r#"{"functionCall":{"name":"f"}}"#, 1);
    assert!(matches!(decoder.event(one.as_bytes(), &mut Vec::new()), Err(DecodeError::Malformed(_))));
    let logprobs = json!({"candidates": [{"logprobsResult": {"chosenCandidates": [{"token": "a", "logProbability": -0.5}]}}]}).to_string();
    decoder.event(logprobs.as_bytes(), &mut Vec::new()).expect("an event");
    assert!(decoder.choices[0].logprobs.is_empty());
}

#[test]
fn ids_of_calls_are_short_enough_for_other_vendors() {
    let name = Name { id: "chatcmpl-0198f2c0a1b27c3d8e4f5a6b7c8d9e0f".into(), model: "m".into(), created: 7 };
    let call = json!({"functionCall": {"id": "x".repeat(ID_BYTES_MAX + 1), "name": "f"}});
    let completion = GeminiDecoder::new(name, HashMap::new(), false).whole(calling(json!([call])).to_string().as_bytes()).expect("a reply");
    let ToolCall::Function(call) = &completion.choices[0].message.tool_calls[0] else { panic!("a function call") };
    assert_eq!(call.id, "call_7c3d8e4f5a6b7c8d9e0f_0_0");
}

#[test]
fn arguments_lose_gemini_s_line_breaks_and_nothing_else() {
    let raw = |text: &str| codec::json(text.to_owned()).expect("JSON");
    let pretty = "{\n  \"a b\": [1.0, 1e2,\n 12345678901234567890],\n \"q\": \"\\\" : , \\\\\" ,\"é\":{ } }";
    assert_eq!(arguments(&raw(pretty)), "{\"a b\":[1.0,1e2,12345678901234567890],\"q\":\"\\\" : , \\\\\",\"é\":{}}");
}

#[test]
fn an_image_is_told_in_a_stream_as_it_comes_and_its_drafts_are_not() {
    let image = |thought: bool| json!({"inlineData": {"mimeType": "image/png", "data": "QQ=="}, "thought": thought});
    let (chunks, _) = streamed(&[calling(json!([image(true), image(false)])), calling(json!([image(false)])), stop()]);
    let images: Vec<&Value> = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"].get("images")).collect();
    let entry = |index: usize| json!([{"type": "image_url", "index": index, "image_url": {"url": "data:image/png;base64,QQ=="}}]);
    assert_eq!(images, [&entry(0), &entry(1)]);
}

proptest! {
    /// Bytes that were broken on the way are malformed, an error or still a reply, and nothing worse.
    #[test]
    fn no_broken_reply_does_harm(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let whole = include_bytes!("../golden/tools/reply.json");
        let mut broken = whole.to_vec();
        broken[at.index(whole.len())] = byte;
        for body in [&broken[..], &whole[..cut.index(whole.len())]] {
            let _ = decoder(false).whole(body);
            let (mut decoder, mut deltas) = (decoder(true), Vec::new());
            let read = decoder.event(body, &mut deltas);
            proptest::prop_assert!(read.is_ok() || !decoder.end(&mut deltas));
        }
    }
}

#[test]
fn a_reason_without_a_counterpart_is_no_good_end_unless_there_is_a_call_to_run() {
    let ended = |parts: Value, reason: &str| {
        let mut reply = calling(parts);
        reply["candidates"][0]["finishReason"] = json!(reason);
        decoder(false).whole(reply.to_string().as_bytes()).map(|reply| reply.choices[0].finish_reason.clone().unwrap_or_default())
    };
    let call = json!([{"functionCall": {"name": "f", "args": {}}}]);
    assert_eq!(ended(call.clone(), "FUNCTION_CALL").as_deref(), Ok("tool_calls"));
    assert_eq!(ended(json!([{"text": "a"}]), "OTHER").as_deref(), Ok(FILTERED));
    let spoilt = |error: Option<DecodeError>| error.is_some_and(|error| error.is_of_the_model());
    assert!(spoilt(ended(json!([]), "OTHER").err()) && spoilt(ended(json!([{"text": "", "thought": true}]), "NEW").err()));
    assert!(spoilt(ended(call, "MALFORMED_FUNCTION_CALL").err()), "it is not the call that was meant");
}
