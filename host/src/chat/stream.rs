//! A whole completion as the `chat.completion.chunk` objects of a stream.
//! Every chunk has the same id, created and model; the role comes first, the finish reason once, usage last and only if asked for.
//! Must not know SSE framing. Source: OpenAI API reference, "Chat completion chunk".

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;

use super::codec::{json_string, to_json};
use super::{Choice, Completion, Content, Exchange, Json, Part, Reply, ToolCall};

/// Bytes of text in one delta: about a handful of tokens, so that a buffered answer still reads as it grows.
const PIECE_BYTES: usize = 24;
/// Pieces of one text: a long one is cut more coarsely, for every chunk repeats the reply's head.
const PIECES_MAX: usize = 2_000;
/// Fields of the reply that every chunk has; the others come once, with the first.
const ON_EVERY_CHUNK: [&str; 2] = ["service_tier", "system_fingerprint"];

/// Bytes of a value that is repeated on every chunk.
pub(super) const REPEATED_BYTES_MAX: usize = 1 << 10;

/// The chunks of `completion`, one JSON text each. What is kept unparsed is written as it came.
pub fn chunks(completion: &Completion, include_usage: bool) -> Vec<Bytes> {
    let short = |name: &str, value: &Json| ON_EVERY_CHUNK.contains(&name) && value.get().len() <= REPEATED_BYTES_MAX;
    let (always, once): (Vec<_>, Vec<_>) = completion.extra.iter().partition(|(name, value)| short(name, value));
    let (head, once) = (head(completion, &always), fields(once));
    let usage = |text: &str| if include_usage { format!(",\"usage\":{text}") } else { String::new() };
    let chunk = |choices: &str, once: &str, usage: &str| Bytes::from(format!("{{{head}{once},\"choices\":[{choices}]{usage}}}"));
    let mut out = Vec::new();
    for choice in &completion.choices {
        for (delta, finish_reason) in deltas(choice) {
            let once = if out.is_empty() { &*once } else { "" };
            out.push(chunk(&part(choice, &delta, finish_reason), once, &usage("null")));
        }
    }
    if include_usage {
        out.push(chunk("", "", &usage(completion.usage.as_ref().map_or("null", |usage| usage.get()))));
    }
    out
}

/// `completion` as the stream that the client of `exchange` asked for.
pub fn streamed(completion: &Completion, exchange: &Exchange) -> Reply {
    let chunks = chunks(completion, wants_usage(exchange));
    Reply::Chunks(Box::pin(futures_util::stream::iter(chunks.into_iter().map(Ok))))
}

/// Whether the client asked for usage: `stream_options.include_usage`.
pub fn wants_usage(exchange: &Exchange) -> bool {
    #[derive(Deserialize)]
    struct Options {
        include_usage: Option<bool>,
    }
    let options = exchange.param("stream_options").and_then(|json| serde_json::from_str::<Options>(json.get()).ok());
    options.is_some_and(|options| options.include_usage == Some(true))
}

/// What every chunk begins with, without braces.
fn head(completion: &Completion, always: &[&(String, Json)]) -> String {
    let [id, model] = [&completion.id, &completion.model].map(|name| json_string(&name[..name.floor_char_boundary(REPEATED_BYTES_MAX)]));
    let always = fields(always.iter().copied());
    format!("\"id\":{id},\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":{model}{always}", completion.created)
}

/// Each field with a comma before it.
fn fields<'a>(fields: impl IntoIterator<Item = &'a (String, Json)>) -> String {
    fields.into_iter().map(|(name, value)| format!(",{}:{}", json_string(name), value)).collect()
}

/// One entry of a chunk's `choices`. The one with the finish reason, the last, has what else the provider said of the choice.
fn part(choice: &Choice, delta: &str, finish_reason: Option<&str>) -> String {
    let all: &[_] = if finish_reason.is_some() { &choice.extra } else { &[] };
    // A whole reply's choice has no `delta` of its own; one that claims to must not stand in for ours.
    let said: Vec<&(String, Json)> = all.iter().filter(|(name, _)| name != "delta").collect();
    let reason = finish_reason.map_or_else(|| "null".to_owned(), |reason| json_string(reason).get().to_owned());
    let logprobs = if said.iter().any(|(name, _)| name == "logprobs") { "" } else { ",\"logprobs\":null" };
    format!("{{\"index\":{},\"delta\":{delta},\"finish_reason\":{reason}{logprobs}{}}}", choice.index, fields(said))
}

/// The deltas of one choice, as JSON texts, with the finish reason that goes with each.
fn deltas(choice: &Choice) -> Vec<(String, Option<&str>)> {
    let message = &choice.message;
    let first = format!("{{\"role\":{},\"content\":\"\"{}}}", json_string(&message.role), fields(&message.extra));
    let mut out = vec![(first, None)];
    let joined: String;
    let text = match &message.content {
        Content::Null => "",
        Content::Text(text) => text,
        Content::Parts(parts) => {
            joined = parts.iter().map(part_text).collect();
            &joined
        }
    };
    out.extend(pieces(text).into_iter().map(|piece| (format!("{{\"content\":{}}}", json_string(piece)), None)));
    for (index, call) in message.tool_calls.iter().enumerate() {
        out.push((format!("{{\"tool_calls\":[{}]}}", tool_delta(index, call)), None));
    }
    out.push(("{}".into(), Some(choice.finish_reason.as_deref().unwrap_or("stop"))));
    out
}

/// A tool call as the client gets it, and its place among the calls.
fn tool_delta(index: usize, call: &ToolCall) -> String {
    let text = to_json(call);
    let mut object: BTreeMap<String, Json> = serde_json::from_slice(&text).unwrap_or_default();
    object.insert("index".into(), serde_json::value::to_raw_value(&index).expect("a number is JSON"));
    serde_json::to_string(&object).expect("a map with names for keys is JSON")
}

fn part_text(part: &Part) -> &str {
    match part {
        Part::Text { text, .. } => text,
        Part::Other(_) => "",
    }
}

/// Cuts text behind spaces, in pieces of about `PIECE_BYTES`; joined they are the text again.
fn pieces(text: &str) -> Vec<&str> {
    let least = PIECE_BYTES.max(text.len().div_ceil(PIECES_MAX - 1));
    let mut out = Vec::new();
    let mut start = 0;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        if (c.is_whitespace() && end - start >= least) || end - start >= 4 * least {
            out.push(&text[start..end]);
            start = end;
        }
    }
    if start < text.len() {
        out.push(&text[start..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chat::codec::parse_completion;

    #[test]
    fn a_long_text_makes_no_more_chunks_than_its_limit() {
        for text in ["x ".repeat(4 << 20), "x".repeat(8 << 20)] {
            assert!(pieces(&text).len() <= PIECES_MAX, "{}", pieces(&text).len());
        }
    }

    #[test]
    fn a_name_that_every_chunk_repeats_is_cut() {
        let message = crate::chat::Message::text("assistant", "hi");
        let choice = Choice { index: 0, message, finish_reason: None, extra: Vec::new() };
        for (bytes, kept) in [(REPEATED_BYTES_MAX, REPEATED_BYTES_MAX), (REPEATED_BYTES_MAX + 1, REPEATED_BYTES_MAX)] {
            let long = "x".repeat(bytes);
            let choices = vec![choice.clone()];
            let completion = Completion { id: long.clone(), created: 7, model: long, choices, usage: None, extra: Vec::new() };
            for chunk in chunks(&completion, true) {
                let chunk: Value = serde_json::from_slice(&chunk).expect("JSON");
                assert_eq!(["id", "model"].map(|name| chunk[name].as_str().map(str::len)), [Some(kept); 2]);
            }
        }
    }

    #[test]
    fn kept_json_that_no_parser_takes_is_passed_on_and_harms_nothing() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        let body = format!(
            r#"{{"id":"c","model":"m","choices":[{{"message":{{"role":"assistant","content":"hi","odd":"\\ud800","big":1e999}}}}],"deep":{deep}}}"#
        );
        let completion = parse_completion(body.as_bytes()).expect("kept unread");
        let first = &chunks(&completion, true)[0];
        assert!(std::str::from_utf8(first).is_ok_and(|text| text.contains("1e999") && text.contains(&deep)));
    }

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
