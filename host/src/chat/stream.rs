//! A whole completion as the `chat.completion.chunk` objects of a stream.
//! Every chunk has the same id, created and model; the role comes first, the finish reason once, usage last and only if asked for.
//! Must not know SSE framing. Source: OpenAI API reference, "Chat completion chunk".

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::codec::to_json;
use super::{Choice, Completion, Content, Exchange, Part, ToolCall};

/// Bytes of text in one delta: about a handful of tokens, so that a buffered answer still reads as it grows.
const PIECE_BYTES: usize = 24;

/// The chunks of `completion`, one JSON text each.
pub fn chunks(completion: &Completion, include_usage: bool) -> Vec<Bytes> {
    let mut out = Vec::new();
    for choice in &completion.choices {
        for (delta, finish_reason) in deltas(choice) {
            let choice = part(choice, delta, finish_reason);
            out.push(chunk(completion, json!([choice]), include_usage.then_some(Value::Null)));
        }
    }
    if include_usage {
        let usage = completion.usage.as_ref().map_or(Value::Null, |u| parsed(u.get()));
        out.push(chunk(completion, json!([]), Some(usage)));
    }
    out
}

/// Whether the client asked for usage: `stream_options.include_usage`.
pub fn wants_usage(exchange: &Exchange) -> bool {
    exchange.param("stream_options").is_some_and(|options| parsed(options.get())["include_usage"] == Value::Bool(true))
}

fn chunk(completion: &Completion, choices: Value, usage: Option<Value>) -> Bytes {
    let mut object = Map::new();
    object.insert("id".into(), completion.id.clone().into());
    object.insert("object".into(), "chat.completion.chunk".into());
    object.insert("created".into(), completion.created.into());
    object.insert("model".into(), completion.model.clone().into());
    object.insert("choices".into(), choices);
    if let Some(usage) = usage {
        object.insert("usage".into(), usage);
    }
    for (name, value) in &completion.extra {
        object.entry(name.as_str()).or_insert_with(|| parsed(value.get()));
    }
    to_json(&object)
}

/// One entry of a chunk's `choices`. The one with the finish reason, the last, has what else the provider said of the choice.
fn part(choice: &Choice, delta: Value, finish_reason: Option<String>) -> Map<String, Value> {
    let said: &[_] = if finish_reason.is_some() { &choice.extra } else { &[] };
    let mut object = Map::new();
    object.insert("index".into(), choice.index.into());
    object.insert("delta".into(), delta);
    object.insert("finish_reason".into(), finish_reason.into());
    for (name, value) in said {
        object.entry(name.as_str()).or_insert_with(|| parsed(value.get()));
    }
    object.entry("logprobs").or_insert(Value::Null);
    object
}

/// The deltas of one choice with the finish reason that goes with each.
fn deltas(choice: &Choice) -> Vec<(Value, Option<String>)> {
    let message = &choice.message;
    let mut first = json!({"role": message.role, "content": ""});
    for (name, value) in &message.extra {
        first[name] = parsed(value.get());
    }
    let mut out = vec![(first, None)];
    let text = match &message.content {
        Content::Null => String::new(),
        Content::Text(text) => text.clone(),
        Content::Parts(parts) => parts.iter().map(part_text).collect(),
    };
    out.extend(pieces(&text).into_iter().map(|piece| (json!({"content": piece}), None)));
    for (index, call) in message.tool_calls.iter().enumerate() {
        let mut delta = match call {
            ToolCall::Function(call) => json!({"id": call.id, "type": "function",
                "function": {"name": call.name, "arguments": call.arguments}}),
            ToolCall::Other(raw) => parsed(raw.get()),
        };
        delta["index"] = index.into();
        out.push((json!({"tool_calls": [delta]}), None));
    }
    let reason = choice.finish_reason.clone().unwrap_or_else(|| "stop".into());
    out.push((json!({}), Some(reason)));
    out
}

fn part_text(part: &Part) -> &str {
    match part {
        Part::Text { text, .. } => text,
        Part::Other(_) => "",
    }
}

/// Cuts text behind spaces, in pieces of about `PIECE_BYTES`; joined they are the text again.
fn pieces(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if (c.is_whitespace() && end - start >= PIECE_BYTES) || end - start >= 4 * PIECE_BYTES {
            out.push(&text[start..end]);
            start = end;
        }
    }
    if start < text.len() {
        out.push(&text[start..]);
    }
    out
}

fn parsed(json: &str) -> Value {
    serde_json::from_str(json).expect("kept JSON was parsed once already")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::codec::parse_completion;

    #[test]
    fn chunks_of_a_completion_say_the_same_as_the_completion() {
        let body = r#"{"id":"c","created":7,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"one two three four five six seven eight nine ten","refusal":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]},"finish_reason":"tool_calls"}],"usage":{"total_tokens":3}}"#;
        let completion = parse_completion(body.as_bytes()).expect("valid");
        let chunks: Vec<Value> = chunks(&completion, true).iter().map(|c| serde_json::from_slice(c).expect("JSON")).collect();
        assert!(chunks.iter().all(|c| c["id"] == "c" && c["created"] == 7 && c["model"] == "m"));
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        let text: String = chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, "one two three four five six seven eight nine ten");
        let reasons: Vec<_> = chunks.iter().filter_map(|c| c["choices"][0]["finish_reason"].as_str()).collect();
        assert_eq!(reasons, ["tool_calls"]);
        let last = chunks.last().expect("usage chunk");
        assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(3)));
        assert!(chunks[0]["usage"].is_null());
    }

    #[test]
    fn what_else_was_said_of_a_choice_is_in_its_last_chunk() {
        let body = r#"{"id":"c","created":7,"model":"m","choices":[
            {"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop","logprobs":{"content":[]},"stop_reason":128009,"delta":1},
            {"index":1,"message":{"role":"assistant","content":"b"},"finish_reason":null,"content_filter_results":{"hate":false}}]}"#;
        let completion = parse_completion(body.as_bytes()).expect("valid");
        let chunks: Vec<Value> = chunks(&completion, false).iter().map(|c| serde_json::from_slice(c).expect("JSON")).collect();
        let choices: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]).collect();
        let [open, text, first, _, _, second] = choices[..] else { panic!("six chunks: {chunks:?}") };
        assert_eq!(open, &json!({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null, "logprobs": null}));
        assert_eq!(text, &json!({"index": 0, "delta": {"content": "a"}, "finish_reason": null, "logprobs": null}));
        let last = json!({"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": {"content": []}, "stop_reason": 128_009});
        assert_eq!(first, &last);
        let last = json!({"index": 1, "delta": {}, "finish_reason": "stop", "logprobs": null, "content_filter_results": {"hate": false}});
        assert_eq!(second, &last);
    }

    #[test]
    fn pieces_join_to_the_text_at_any_length() {
        for text in ["", "a", "é".repeat(300).as_str(), "word ".repeat(50).as_str()] {
            assert_eq!(pieces(text).concat(), text);
        }
    }
}
