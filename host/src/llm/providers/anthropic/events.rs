//! The events of a streamed reply as deltas. Blocks have one numbering, the client's calls another.
//! Source: Anthropic's "Streaming Messages", "Fine-grained tool streaming". Must not know framing or chunks.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::answer::{Answer, Sense};
use super::errors::in_band;
use super::reply::{Block, arguments, finish, named, sane, thought_field};
use super::usage::Counts;
use crate::chat::{Delta, Fields, Json, Piece};
use crate::llm::adapter::DecodeError;
use crate::llm::sse::is_done;

/// Blocks that are open at a time: the API opens one after the other.
const OPEN_MAX: usize = 64;

/// Bytes of one block of thought, which is held until it is whole: several times what the longest reply can be.
const THOUGHT_BYTES: usize = 4 << 20;

/// The kinds of events that say something.
const KINDS: [&str; 7] =
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop", "error"];

/// Where a stream is.
#[derive(Debug, Default)]
pub(super) struct Stream {
    open: BTreeMap<u64, Open>,
    /// Calls that have begun.
    calls: u32,
    /// Blocks of thought that were told.
    thoughts: u32,
    counts: Counts,
    reason: Option<String>,
    ended: bool,
}

/// A block that has begun.
#[derive(Debug)]
enum Open {
    Text,
    /// `input` is what the block began with, `{}` as a rule, and counts if nothing follows it.
    Call {
        index: u32,
        input: Option<Json>,
        grown: bool,
    },
    /// A call that is the answer; `input` as of a call.
    Answer {
        answer: Answer,
        input: Option<Json>,
        grown: bool,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
    Redacted(String),
    /// Of the provider's own tools, or new.
    Other,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<Start>,
    index: Option<u64>,
    content_block: Option<Json>,
    delta: Option<Change>,
    usage: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Start {
    id: Option<String>,
    model: Option<String>,
    usage: Option<Value>,
}

/// The `delta` of a block or of the message.
#[derive(Deserialize)]
struct Change {
    #[serde(rename = "type")]
    kind: Option<String>,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    partial_json: Option<String>,
    stop_reason: Option<String>,
}

impl Stream {
    /// Whether the stream came to its end.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// Appends what one event says. Events of kinds that we do not know say nothing, as the documents ask of clients.
    pub(super) fn event(&mut self, data: &[u8], sense: &Sense, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        // Anthropic has no `[DONE]`, but servers that relay it do.
        if self.ended || is_done(data) {
            return Ok(());
        }
        let event: Event = match serde_json::from_slice(data) {
            Ok(event) => event,
            Err(_) if is_new(data) => return Ok(()),
            Err(error) => return Err(DecodeError::Malformed(format!("an event is not as it must be: {error}"))),
        };
        if let Some(error) = event.error {
            return Err(in_band(&json!({"error": error})));
        }
        match event.kind.as_deref() {
            Some("message_start") => self.start(event.message, deltas),
            Some("content_block_start") => {
                let json = event.content_block.ok_or_else(|| malformed("a content_block_start without its block"))?;
                self.open(event.index.unwrap_or(0), json, sense, deltas)?;
            }
            Some("content_block_delta") => {
                let change = event.delta.ok_or_else(|| malformed("a content_block_delta without its delta"))?;
                let open = self.open.get_mut(&event.index.unwrap_or(0)).ok_or_else(|| malformed("a delta of a block that is not open"))?;
                open.grow(change, deltas)?;
            }
            Some("content_block_stop") => {
                if let Some(open) = self.open.remove(&event.index.unwrap_or(0)) {
                    open.close(&mut self.thoughts, deltas);
                }
            }
            Some("message_delta") => {
                self.reason = event.delta.and_then(|delta| delta.stop_reason).or(self.reason.take());
                if let Some(usage) = event.usage {
                    self.count(&usage, deltas);
                }
            }
            Some("message_stop") => self.stop(deltas),
            Some("error") => return Err(in_band(&json!({}))),
            Some(_) => {}
            None => return Err(malformed("an event without a type")),
        }
        Ok(())
    }

    fn start(&mut self, message: Option<Start>, deltas: &mut Vec<Delta>) {
        self.counts = Counts::default();
        if let Some(Start { id, model, usage }) = message {
            deltas.push(Delta::Head { id: sane(id), model: sane(model), created: None });
            if let Some(usage) = usage {
                self.count(&usage, deltas);
            }
        }
        deltas.push(piece(Piece::Begin));
    }

    fn count(&mut self, usage: &Value, deltas: &mut Vec<Delta>) {
        self.counts = self.counts.max(Counts::read(usage));
        deltas.push(Delta::Usage(self.counts.usage()));
    }

    fn open(&mut self, at: u64, json: Json, sense: &Sense, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        if self.open.len() >= OPEN_MAX {
            return Err(malformed("more blocks open at a time than can be"));
        }
        let block = Block::read(&json)?;
        let open = match block.kind.as_str() {
            "text" => {
                text(block.text, Piece::Text, deltas);
                Open::Text
            }
            "thinking" => {
                let thinking = block.thinking.unwrap_or_default();
                text(Some(thinking.clone()), Piece::Reasoning, deltas);
                Open::Thinking { thinking, signature: block.signature.unwrap_or_default() }
            }
            "redacted_thinking" => Open::Redacted(block.data.unwrap_or_default()),
            "tool_use" => {
                let (id, wire) = named(block.id, block.name)?;
                match sense.answer(&wire) {
                    Some(answer) => Open::Answer { answer, input: block.input, grown: false },
                    None => {
                        let index = self.calls;
                        self.calls += 1;
                        deltas.push(piece(Piece::Call { index, id, name: sense.name(wire), extra: Fields::new() }));
                        Open::Call { index, input: block.input, grown: false }
                    }
                }
            }
            _ => Open::Other,
        };
        if let Some(before) = self.open.insert(at, open) {
            before.close(&mut self.thoughts, deltas);
        }
        Ok(())
    }

    /// The reason waits until here, so that a stream that breaks off has none.
    fn stop(&mut self, deltas: &mut Vec<Delta>) {
        for (_, open) in std::mem::take(&mut self.open) {
            open.close(&mut self.thoughts, deltas);
        }
        self.ended = true;
        deltas.push(piece(Piece::Finish(finish(self.reason.as_deref(), self.calls > 0).to_owned())));
    }
}

impl Open {
    fn grow(&mut self, change: Change, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        match (change.kind.as_deref(), self) {
            (Some("text_delta"), Self::Text) => text(change.text, Piece::Text, deltas),
            (Some("thinking_delta"), Self::Thinking { thinking, .. }) => {
                add(thinking, change.thinking.as_deref())?;
                text(change.thinking, Piece::Reasoning, deltas);
            }
            (Some("signature_delta"), Self::Thinking { signature, .. }) => add(signature, change.signature.as_deref())?,
            // The same deltas also come in blocks of the provider's own tools, where they are nobody's call.
            (Some("input_json_delta"), Self::Call { index, grown, .. }) => {
                if let Some(text) = change.partial_json.filter(|text| !text.is_empty()) {
                    *grown = true;
                    deltas.push(piece(Piece::Arguments { index: *index, text }));
                }
            }
            (Some("input_json_delta"), Self::Answer { answer, grown, .. }) => {
                if let Some(more) = change.partial_json.filter(|text| !text.is_empty()) {
                    *grown = true;
                    text(Some(answer.push(&more)), Piece::Text, deltas);
                }
            }
            // Citations, and what is new.
            _ => {}
        }
        Ok(())
    }

    /// `thoughts` counts the blocks of thought before it.
    fn close(self, thoughts: &mut u32, deltas: &mut Vec<Delta>) {
        match self {
            Self::Text | Self::Other | Self::Call { grown: true, .. } => {}
            Self::Call { index, input, grown: false } => {
                deltas.push(piece(Piece::Arguments { index, text: arguments(input.as_deref()) }));
            }
            Self::Answer { mut answer, input, grown } => {
                let whole = if grown { String::new() } else { answer.push(&arguments(input.as_deref())) };
                text(Some(whole + &answer.end()), Piece::Text, deltas);
            }
            Self::Thinking { thinking, signature } => {
                thought(json!({"type": "thinking", "thinking": thinking, "signature": signature}), thoughts, deltas);
            }
            Self::Redacted(data) => thought(json!({"type": "redacted_thinking", "data": data}), thoughts, deltas),
        }
    }
}

/// Whether an event is of a kind that we do not know, whose fields may be anything.
fn is_new(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: String,
    }
    serde_json::from_slice::<Kind>(data).is_ok_and(|event| !KINDS.contains(&event.kind.as_str()))
}

fn add(to: &mut String, more: Option<&str>) -> Result<(), DecodeError> {
    to.push_str(more.unwrap_or_default());
    if to.len() > THOUGHT_BYTES { Err(malformed("a block of thought is longer than any reply can be")) } else { Ok(()) }
}

/// OpenAI's own clients put lists of a stream together by the `index` of their entries, and fail without one.
fn thought(mut block: Value, thoughts: &mut u32, deltas: &mut Vec<Delta>) {
    block["index"] = json!(*thoughts);
    *thoughts += 1;
    let block = to_raw_value(&block).expect("values under names are JSON");
    deltas.push(piece(Piece::Fields(vec![thought_field(&[block])])));
}

fn text(text: Option<String>, make: fn(String) -> Piece, deltas: &mut Vec<Delta>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        deltas.push(piece(make(text)));
    }
}

fn piece(piece: Piece) -> Delta {
    Delta::Piece { choice: 0, piece }
}

fn malformed(what: &str) -> DecodeError {
    DecodeError::Malformed(what.to_owned())
}
