//! A whole reply of Anthropic's as a completion, and what a streamed reply shares with it: blocks, finish reasons, usage; and its errors.
//! Tools that the provider ran itself are no calls of the client's and are left out.
//! Sources: Anthropic API reference, "Create a Message", `usage`; "Handling stop reasons", "Errors".

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::search::Sources;
use super::tools::ReplyContext;
use crate::chat::codec::{json, json_string};
use crate::chat::{Choice, Completion, Content, Count, Fields, FunctionCall, HEAD_BYTES_MAX, Json, Message, Name, ToolCall, Usage};
use crate::llm::adapter::{DecodeError, ProviderError};
use crate::llm::tool_keys::with_client_keys;

/// The field in which a client gets the blocks of thought, to send them back unchanged.
const THOUGHTS: &str = "thinking_blocks";

#[derive(Deserialize)]
struct Reply {
    id: Option<String>,
    model: Option<String>,
    /// A list of blocks; some servers give the text alone.
    content: Option<Json>,
    stop_reason: Option<String>,
    usage: Option<Value>,
    error: Option<Value>,
}

/// The fields of a content block that matter here.
#[derive(Deserialize)]
pub(super) struct Block {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) text: Option<String>,
    /// The sources of a text.
    pub(super) citations: Option<Vec<Json>>,
    pub(super) thinking: Option<String>,
    pub(super) signature: Option<String>,
    /// Of redacted thinking.
    pub(super) data: Option<String>,
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) input: Option<Json>,
}

impl Block {
    pub(super) fn read(json: &RawValue) -> Result<Self, DecodeError> {
        serde_json::from_str(json.get()).map_err(|error| DecodeError::Malformed(format!("a content block is not as it must be: {error}")))
    }
}

pub(super) fn completion(body: &[u8], name: &Name, context: &ReplyContext) -> Result<Completion, DecodeError> {
    let reply: Reply = serde_json::from_slice(body).map_err(|error| DecodeError::Malformed(format!("no message object: {error}")))?;
    if let Some(error) = reply.error {
        return Err(in_band(&serde_json::json!({"error": error})));
    }
    let mut message = MessageBuilder::default();
    match reply.content {
        Some(text) if text.get().starts_with('"') && reply.stop_reason.is_some() => message.text = serde_json::from_str(text.get()).ok(),
        Some(list) => {
            let blocks: Vec<Json> = serde_json::from_str(list.get())
                .map_err(|error| DecodeError::Malformed(format!("its `content` is no list of blocks: {error}")))?;
            blocks.into_iter().try_for_each(|json| message.add(json, context))?;
        }
        // Nothing was said, for a reason.
        None if reply.stop_reason.is_some() => {}
        None => return Err(DecodeError::Malformed("it has no `content`".into())),
    }
    let finish_reason = Some(finish_reason(reply.stop_reason.as_deref(), !message.calls.is_empty()).to_owned());
    let choice = Choice { index: 0, message: message.finish(), finish_reason, extra: Fields::new() };
    Ok(Completion {
        id: plausible(reply.id).unwrap_or_else(|| name.id.clone()),
        created: name.created,
        model: plausible(reply.model).unwrap_or_else(|| name.model.clone()),
        choices: vec![choice],
        usage: reply.usage.map(|usage| Counts::read(&usage).usage().json()),
        extra: Fields::new(),
    })
}

/// The reply's id or model; none if it is empty or absurdly long.
pub(super) fn plausible(name: Option<String>) -> Option<String> {
    name.filter(|name| !name.is_empty() && name.len() <= HEAD_BYTES_MAX)
}

/// Puts the blocks of a reply together.
#[derive(Default)]
struct MessageBuilder {
    text: Option<String>,
    annotations: Vec<Json>,
    reasoning: String,
    thoughts: Vec<Json>,
    calls: Vec<ToolCall>,
}

impl MessageBuilder {
    fn add(&mut self, json: Json, context: &ReplyContext) -> Result<(), DecodeError> {
        let block = Block::read(&json)?;
        match block.kind.as_str() {
            "text" => {
                let (content, text) = (self.text.get_or_insert_default(), block.text.unwrap_or_default());
                let start = content.chars().count();
                content.push_str(&text);
                let mut sources = Sources::default();
                block.citations.iter().flatten().for_each(|citation| sources.add(citation));
                self.annotations.extend(sources.annotations(start, start + text.chars().count(), None));
            }
            "thinking" => {
                self.reasoning.push_str(&block.thinking.unwrap_or_default());
                self.thoughts.push(json);
            }
            "redacted_thinking" => self.thoughts.push(json),
            "tool_use" => {
                let (id, wire_name) = call_head(block.id, block.name)?;
                let arguments = arguments(block.input.as_deref());
                match context.answer(&wire_name) {
                    Some(mut answer) => {
                        let text = answer.push(&arguments) + &answer.end();
                        self.text.get_or_insert_default().push_str(&text);
                    }
                    None => self.calls.push(ToolCall::Function(FunctionCall {
                        id,
                        arguments: match context.keys.get(&wire_name) {
                            Some(keys) => with_client_keys(arguments, keys),
                            None => arguments,
                        },
                        name: context.client_name(wire_name),
                        extra: Fields::new(),
                    })),
                }
            }
            // Calls and results of the provider's own tools: no client could send them back.
            _ => {}
        }
        Ok(())
    }

    /// Content is null if there are only calls; a reply without any block is an empty text.
    fn finish(self) -> Message {
        let content = match self.text {
            Some(text) => Content::Text(text),
            None if self.calls.is_empty() => Content::Text(String::new()),
            None => Content::Null,
        };
        // OpenAI's published schema requires the field.
        let mut extra = vec![("refusal".to_owned(), json("null".to_owned()).expect("null is JSON"))];
        if !self.reasoning.is_empty() {
            extra.push(("reasoning_content".to_owned(), json_string(&self.reasoning)));
        }
        if !self.annotations.is_empty() {
            extra.push(annotation_field(&self.annotations));
        }
        if !self.thoughts.is_empty() {
            extra.push(thought_field(&self.thoughts));
        }
        Message { role: "assistant".to_owned(), content, tool_calls: self.calls, extra, ..Message::default() }
    }
}

/// Sources as a field of the message.
pub(super) fn annotation_field(annotations: &[Json]) -> (String, Json) {
    ("annotations".to_owned(), to_raw_value(annotations).expect("a list of JSON is JSON"))
}

/// Blocks of thought as a field of the message.
pub(super) fn thought_field(blocks: &[Json]) -> (String, Json) {
    (THOUGHTS.to_owned(), to_raw_value(blocks).expect("a list of JSON is JSON"))
}

/// The id and the name that every call has.
pub(super) fn call_head(id: Option<String>, name: Option<String>) -> Result<(String, String), DecodeError> {
    id.zip(name).ok_or_else(|| DecodeError::Malformed("a tool_use block lacks its id or its name".into()))
}

/// A call's input as text; `{}` if it is missing or null.
pub(super) fn arguments(input: Option<&RawValue>) -> String {
    let text = input.map_or("{}", RawValue::get);
    if text == "null" { "{}".to_owned() } else { text.to_owned() }
}

/// OpenAI's finish reason. `calls`: the reply holds calls of the client's tools; a call of the answer's tool is none.
pub(super) fn finish_reason(reason: Option<&str>, calls: bool) -> &'static str {
    match reason {
        // Servers with the same API may leave the reason out.
        Some("tool_use") | None if calls => "tool_calls",
        Some("end_turn" | "stop_sequence" | "tool_use") | None => "stop",
        // A paused turn is not finished, and `length` is the nearest that OpenAI has.
        Some("max_tokens" | "model_context_window_exceeded" | "compaction" | "pause_turn") => "length",
        Some("refusal") => "content_filter",
        Some(other) => {
            tracing::warn!("Anthropic ended a reply for a reason that is new to us: `{other}`");
            "stop"
        }
    }
}

/// Tokens as Anthropic counts them: the input without what was written to the cache or read from it, which OpenAI's count includes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    input: u64,
    /// Tokens written to the cache and read from it; neither is part of `input`.
    written: u64,
    read: u64,
    output: u64,
    /// Those of `output` that were thought.
    thought: u64,
}

impl Counts {
    /// Reads a `usage` object; a missing count is 0. If the reply took several rounds, the outer counts are those of the last round only.
    pub(super) fn read(usage: &Value) -> Self {
        match usage["iterations"].as_array().filter(|rounds| !rounds.is_empty()) {
            Some(rounds) => rounds.iter().map(Self::one).fold(Self::default(), |all, one| all.each(one, u64::saturating_add)),
            None => Self::one(usage),
        }
    }

    fn one(usage: &Value) -> Self {
        let count = |value: &Value| Count::read(value).unwrap_or(0);
        Self {
            input: count(&usage["input_tokens"]),
            written: count(&usage["cache_creation_input_tokens"]),
            read: count(&usage["cache_read_input_tokens"]),
            output: count(&usage["output_tokens"]),
            thought: count(&usage["output_tokens_details"]["thinking_tokens"]),
        }
    }

    /// The higher of two counts of one reply, because servers count at its beginning or at its end and may write 0 at the other place.
    pub(super) fn max(self, other: Self) -> Self {
        self.each(other, u64::max)
    }

    fn each(self, other: Self, one: fn(u64, u64) -> u64) -> Self {
        Self {
            input: one(self.input, other.input),
            written: one(self.written, other.written),
            read: one(self.read, other.read),
            output: one(self.output, other.output),
            thought: one(self.thought, other.thought),
        }
    }

    pub(super) fn usage(self) -> Usage {
        let prompt = self.input.saturating_add(self.written).saturating_add(self.read);
        Usage { prompt, completion: self.output, cached: self.read, written: self.written, reasoning: self.thought }
    }
}

/// The error in a body: Anthropic's envelope, or what a server in front of it sent in its place.
pub(super) fn provider_error(status: StatusCode, json: &Value) -> ProviderError {
    let error = Some(&json["error"]).filter(|error| !error.is_null()).unwrap_or(json);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let message = text(error).or_else(|| text(&error["message"])).or_else(|| text(&json["message"])).or_else(|| text(&json["detail"]));
    // `error` is the type of the envelope, not of what it holds.
    let kind = text(&error["type"]).filter(|kind| kind != "error");
    // Anthropic has no codes; the type is what OpenAI's clients look for in both fields.
    let code = text(&error["code"]).or_else(|| kind.clone());
    let no_credit = message.as_deref().is_some_and(|message| message.contains("credit balance is too low"));
    let spent = error["details"]["error_code"] == "enforced_spend_limit_reached";
    let billing = status == StatusCode::PAYMENT_REQUIRED || kind.as_deref() == Some("billing_error") || no_credit;
    ProviderError {
        message,
        kind,
        code,
        param: text(&error["param"]),
        retry_after: None,
        exhausted: spent || billing,
        // Anthropic reports a balance that is too low as a bad request.
        amounts_to: no_credit.then_some(StatusCode::PAYMENT_REQUIRED),
    }
}

/// An error inside a reply that began as a success.
pub(super) fn in_band(json: &Value) -> DecodeError {
    let status = json["error"]["type"].as_str().map_or(StatusCode::BAD_GATEWAY, status_of);
    DecodeError::Error(status, provider_error(status, json))
}

/// The status with which this type of error comes outside of a reply.
fn status_of(kind: &str) -> StatusCode {
    match kind {
        "invalid_request_error" => StatusCode::BAD_REQUEST,
        "authentication_error" => StatusCode::UNAUTHORIZED,
        "billing_error" => StatusCode::PAYMENT_REQUIRED,
        "permission_error" => StatusCode::FORBIDDEN,
        "not_found_error" => StatusCode::NOT_FOUND,
        "conflict_error" => StatusCode::CONFLICT,
        "request_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "rate_limit_error" => StatusCode::TOO_MANY_REQUESTS,
        "api_error" => StatusCode::INTERNAL_SERVER_ERROR,
        "timeout_error" => StatusCode::GATEWAY_TIMEOUT,
        "overloaded_error" => StatusCode::from_u16(529).expect("three digits"),
        _ => StatusCode::BAD_GATEWAY,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn c14_cached_tokens_are_part_of_the_prompt_and_the_total() {
        let counts =
            Counts::read(&json!({"input_tokens": 5, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 4}}));
        assert_eq!(counts.usage(), Usage { prompt: 115, completion: 7, cached: 100, written: 10, reasoning: 4 });
        assert_eq!(counts.usage().total(), 122);
    }

    #[test]
    fn rounds_are_summed() {
        let counts = Counts::read(&json!({"input_tokens": 1, "output_tokens": 1, "iterations": [
            {"type": "compaction", "input_tokens": 100, "output_tokens": 20},
            {"type": "message", "input_tokens": 30, "cache_read_input_tokens": 5, "output_tokens": 3},
        ]}));
        assert_eq!(counts.usage(), Usage { prompt: 135, completion: 23, cached: 5, ..Usage::default() });
    }
}

#[cfg(test)]
mod error_tests {
    use serde_json::json;

    use super::*;

    fn error(kind: &str, message: &str) -> Value {
        json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})
    }

    #[test]
    fn the_envelope_is_read_and_its_type_is_the_code_too() {
        let error = provider_error(StatusCode::BAD_REQUEST, &error("invalid_request_error", "max_tokens: too large"));
        let some = |text: &str| Some(text.to_owned());
        let expected = ProviderError {
            message: some("max_tokens: too large"),
            kind: some("invalid_request_error"),
            code: some("invalid_request_error"),
            ..ProviderError::default()
        };
        assert_eq!(error, expected);
    }

    #[test]
    fn c28_overload_is_529_in_band_and_by_status() {
        let json = error("overloaded_error", "Overloaded");
        let DecodeError::Error(status, inside) = in_band(&json) else { panic!("an error") };
        assert_eq!(status.as_u16(), 529);
        let alone = provider_error(status, &json);
        assert_eq!((alone.amounts_to, alone.exhausted, alone.kind.as_deref()), (None, false, Some("overloaded_error")));
        assert_eq!(alone, inside);
    }

    #[test]
    fn c29_a_spending_limit_is_no_matter_of_waiting() {
        let mut json = error("rate_limit_error", "This organisation's limit is reached");
        let limited = |json: &Value| provider_error(StatusCode::TOO_MANY_REQUESTS, json).exhausted;
        assert!(!limited(&json));
        json["error"]["details"] = json!({"error_code": "enforced_spend_limit_reached"});
        assert!(limited(&json));
        assert!(provider_error(StatusCode::PAYMENT_REQUIRED, &error("billing_error", "Pay")).exhausted);
        let no_credit =
            provider_error(StatusCode::BAD_REQUEST, &error("invalid_request_error", "Your credit balance is too low to access the API."));
        assert_eq!((no_credit.exhausted, no_credit.amounts_to), (true, Some(StatusCode::PAYMENT_REQUIRED)));
    }

    #[test]
    fn every_type_in_band_has_its_status() {
        for (kind, status) in [
            ("invalid_request_error", 400),
            ("authentication_error", 401),
            ("billing_error", 402),
            ("permission_error", 403),
            ("not_found_error", 404),
            ("conflict_error", 409),
            ("request_too_large", 413),
            ("rate_limit_error", 429),
            ("api_error", 500),
            ("timeout_error", 504),
            ("overloaded_error", 529),
            ("news_to_us", 502),
        ] {
            let DecodeError::Error(found, error) = in_band(&error(kind, "m")) else { panic!("an error") };
            assert_eq!((found.as_u16(), error.kind.as_deref(), error.exhausted), (status, Some(kind), kind == "billing_error"));
        }
        assert!(
            matches!(in_band(&json!({"error": "odd"})), DecodeError::Error(StatusCode::BAD_GATEWAY, ProviderError { message: Some(text), .. }) if text == "odd")
        );
    }

    #[test]
    fn what_others_say_in_its_place_is_read_too() {
        let text = |json: Value| provider_error(StatusCode::BAD_GATEWAY, &json).message;
        for json in [json!({"error": {"message": "m"}}), json!({"error": "m"}), json!({"message": "m"}), json!({"detail": "m"}), json!("m")]
        {
            assert_eq!(text(json).as_deref(), Some("m"));
        }
        assert_eq!(text(json!([1])), None);
    }
}
