//! A reply of Anthropic's as a completion. Tools that the provider ran itself are no calls of the client's and stay unsaid.
//! Source: Anthropic API reference, "Create a Message", "Handling stop reasons". Must not know how the reply came.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use super::answer::Sense;
use super::errors::in_band;
use super::events::Stream;
use super::usage::Counts;
use crate::chat::codec::{json, json_string};
use crate::chat::{Choice, Completion, Content, Delta, Fields, FunctionCall, HEAD_BYTES_MAX, Json, Message, Name, ToolCall};
use crate::llm::adapter::{DecodeError, ReplyDecoder};

/// The field in which a client gets the blocks of thought, to send them back unread.
const THOUGHTS: &str = "thinking_blocks";

/// Reads the reply to one request.
pub(super) struct AnthropicReader {
    name: Name,
    sense: Sense,
    stream: Stream,
}

impl AnthropicReader {
    pub(super) fn new(name: Name, sense: Sense) -> Self {
        Self { name, sense, stream: Stream::default() }
    }
}

impl ReplyDecoder for AnthropicReader {
    fn whole(&mut self, body: &[u8]) -> Result<Completion, DecodeError> {
        completion(body, &self.name, &self.sense)
    }

    fn event(&mut self, data: &[u8], deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        self.stream.event(data, &self.sense, deltas)
    }

    fn end(&mut self, _: &mut Vec<Delta>) -> bool {
        self.stream.ended()
    }
}

#[derive(Deserialize)]
struct Reply {
    id: Option<String>,
    model: Option<String>,
    content: Option<Vec<Json>>,
    stop_reason: Option<String>,
    usage: Option<Value>,
    error: Option<Value>,
}

/// A content block, read as far as it matters.
#[derive(Deserialize)]
pub(super) struct Block {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) text: Option<String>,
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

fn completion(body: &[u8], name: &Name, sense: &Sense) -> Result<Completion, DecodeError> {
    let reply: Reply = serde_json::from_slice(body).map_err(|error| DecodeError::Malformed(format!("no message object: {error}")))?;
    if let Some(error) = reply.error {
        return Err(in_band(&serde_json::json!({"error": error})));
    }
    let blocks = reply.content.ok_or_else(|| DecodeError::Malformed("it has no `content`".into()))?;
    let mut said = Said::default();
    for json in blocks {
        said.block(json, sense)?;
    }
    let finish_reason = Some(finish(reply.stop_reason.as_deref(), !said.calls.is_empty()).to_owned());
    let choice = Choice { index: 0, message: said.message(), finish_reason, extra: Fields::new() };
    Ok(Completion {
        id: sane(reply.id).unwrap_or_else(|| name.id.clone()),
        created: name.created,
        model: sane(reply.model).unwrap_or_else(|| name.model.clone()),
        choices: vec![choice],
        usage: reply.usage.map(|usage| Counts::read(&usage).usage().json()),
        extra: Fields::new(),
    })
}

/// The reply's id or model, unless there is none or it is absurd.
pub(super) fn sane(name: Option<String>) -> Option<String> {
    name.filter(|name| !name.is_empty() && name.len() <= HEAD_BYTES_MAX)
}

/// What the blocks say together.
#[derive(Default)]
struct Said {
    text: Option<String>,
    reasoning: String,
    thoughts: Vec<Json>,
    calls: Vec<ToolCall>,
}

impl Said {
    fn block(&mut self, json: Json, sense: &Sense) -> Result<(), DecodeError> {
        let block = Block::read(&json)?;
        match block.kind.as_str() {
            "text" => self.text.get_or_insert_default().push_str(&block.text.unwrap_or_default()),
            "thinking" => {
                self.reasoning.push_str(&block.thinking.unwrap_or_default());
                self.thoughts.push(json);
            }
            "redacted_thinking" => self.thoughts.push(json),
            "tool_use" => {
                let (id, wire) = named(block.id, block.name)?;
                let arguments = arguments(block.input.as_deref());
                match sense.answer(&wire) {
                    Some(mut answer) => {
                        let text = answer.push(&arguments) + &answer.end();
                        self.text.get_or_insert_default().push_str(&text);
                    }
                    None => {
                        self.calls.push(ToolCall::Function(FunctionCall { id, name: sense.name(wire), arguments, extra: Fields::new() }))
                    }
                }
            }
            // What the provider's own tools were asked and said: no client could send it back.
            _ => {}
        }
        Ok(())
    }

    /// Content is null where there are only calls; a reply of nothing at all is an empty text.
    fn message(self) -> Message {
        let content = match self.text {
            Some(text) => Content::Text(text),
            None if self.calls.is_empty() => Content::Text(String::new()),
            None => Content::Null,
        };
        // The published schema requires it.
        let mut extra = vec![("refusal".to_owned(), json("null".to_owned()).expect("null is JSON"))];
        if !self.reasoning.is_empty() {
            extra.push(("reasoning_content".to_owned(), json_string(&self.reasoning)));
        }
        if !self.thoughts.is_empty() {
            extra.push(thought_field(&self.thoughts));
        }
        Message { role: "assistant".to_owned(), content, tool_calls: self.calls, extra, ..Message::default() }
    }
}

/// Blocks of thought under the name that clients know.
pub(super) fn thought_field(blocks: &[Json]) -> (String, Json) {
    (THOUGHTS.to_owned(), to_raw_value(blocks).expect("a list of JSON is JSON"))
}

/// The id and the name that every call has.
pub(super) fn named(id: Option<String>, name: Option<String>) -> Result<(String, String), DecodeError> {
    id.zip(name).ok_or_else(|| DecodeError::Malformed("a tool_use block lacks its id or its name".into()))
}

/// A call's input as text. Nothing counts as no arguments.
pub(super) fn arguments(input: Option<&RawValue>) -> String {
    let text = input.map_or("{}", RawValue::get);
    if text == "null" { "{}".to_owned() } else { text.to_owned() }
}

/// OpenAI's word for why the reply ended. A call of our own tool only is an answer.
pub(super) fn finish(reason: Option<&str>, calls: bool) -> &'static str {
    match reason {
        // Servers that speak as Anthropic does may leave the reason out.
        Some("tool_use") | None if calls => "tool_calls",
        Some("end_turn" | "stop_sequence" | "tool_use") | None => "stop",
        // A paused turn is one that is not finished, which no word of OpenAI's says better.
        Some("max_tokens" | "model_context_window_exceeded" | "compaction" | "pause_turn") => "length",
        Some("refusal") => "content_filter",
        Some(other) => {
            tracing::warn!("Anthropic ended a reply for a reason that is new to us: `{other}`");
            "stop"
        }
    }
}
