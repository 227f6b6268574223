//! The decoder of Anthropic's replies, and the events of a streamed one as deltas.
//! A stream is complete only after `message_stop`, and every block that was opened is closed by then.
//! Sources: Anthropic's "Streaming Messages", "Fine-grained tool streaming".

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use super::reply::{Block, Counts, annotation_field, arguments, call_head, completion, finish_reason, in_band, plausible, thought_field};
use super::search::Sources;
use super::tools::{ReplyContext, ToolAnswer};
use crate::chat::sse::is_done;
use crate::chat::{Completion, Delta, Fields, Json, Name, Piece};
use crate::llm::adapter::{DecodeError, ReplyDecoder};
use crate::llm::tool_keys::{Keys, with_client_keys};

/// Blocks that are open at a time; the API opens one after the other.
const OPEN_MAX: usize = 64;

/// Bytes of one block of thought, or of the arguments of a call whose keys are changed back, which are held until they are complete: several times
/// as many as the longest reply can have.
const HELD_BYTES: usize = 4 << 20;

/// The kinds of events that we read.
const KINDS: [&str; 7] =
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop", "error"];

/// Decodes the reply to one request.
pub(super) struct AnthropicDecoder {
    name: Name,
    context: ReplyContext,
    stream: StreamState,
}

impl AnthropicDecoder {
    pub(super) fn new(name: Name, context: ReplyContext) -> Self {
        Self { name, context, stream: StreamState::default() }
    }
}

impl ReplyDecoder for AnthropicDecoder {
    fn whole(&mut self, body: &[u8]) -> Result<Completion, DecodeError> {
        completion(body, &self.name, &self.context)
    }

    fn event(&mut self, data: &[u8], deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        self.stream.event(data, &self.context, deltas)
    }

    fn end(&mut self, _: &mut Vec<Delta>) -> bool {
        self.stream.ended
    }
}

/// What is remembered of a stream. Blocks have one numbering, the client's calls another.
#[derive(Debug, Default)]
struct StreamState {
    open: BTreeMap<u64, OpenBlock>,
    /// Calls that have begun.
    calls: u32,
    /// What the client got.
    got: Got,
    counts: Counts,
    reason: Option<String>,
    ended: bool,
}

/// What the client got so far, by which later pieces are numbered.
#[derive(Debug, Default)]
struct Got {
    /// Blocks of thought.
    thoughts: u32,
    /// Characters of the content.
    chars: usize,
    annotations: usize,
}

/// A block that has begun.
#[derive(Debug)]
enum OpenBlock {
    /// `start` is the place of its first character in the content.
    Text {
        start: usize,
        sources: Sources,
    },
    /// `input` is what the block began with, usually `{}`. It counts if no delta follows, which `grown` tells.
    Call {
        index: u32,
        input: Option<Json>,
        grown: bool,
        /// Of a tool whose keys were changed: they, and the arguments so far, which are changed back when they are whole.
        held: Option<Box<(Keys, String)>>,
    },
    /// A call whose input is the answer.
    Answer {
        answer: ToolAnswer,
        input: Option<Json>,
        grown: bool,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
    Redacted(String),
    /// A block of the provider's own tools, or of a kind that is new to us.
    Other,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<MessageStart>,
    index: Option<u64>,
    content_block: Option<Json>,
    delta: Option<BlockDelta>,
    usage: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct MessageStart {
    id: Option<String>,
    model: Option<String>,
    usage: Option<Value>,
}

/// The `delta` of a block or of the message.
#[derive(Deserialize)]
struct BlockDelta {
    #[serde(rename = "type")]
    kind: Option<String>,
    text: Option<String>,
    thinking: Option<String>,
    signature: Option<String>,
    partial_json: Option<String>,
    citation: Option<Json>,
    stop_reason: Option<String>,
}

impl StreamState {
    /// Appends what one event says. Events of unknown kinds are skipped, as Anthropic's documents ask of clients.
    fn event(&mut self, data: &[u8], context: &ReplyContext, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        // Anthropic sends no such mark, but servers that relay it do.
        if self.ended || is_done(data) {
            return Ok(());
        }
        let event: Event = match serde_json::from_slice(data) {
            Ok(event) => event,
            Err(_) if is_unknown_kind(data) => return Ok(()),
            Err(error) => return Err(DecodeError::Malformed(format!("an event is not as it must be: {error}"))),
        };
        if let Some(error) = event.error {
            return Err(in_band(&json!({"error": error})));
        }
        match event.kind.as_deref() {
            Some("message_start") => self.start(event.message, deltas),
            Some("content_block_start") => {
                let json = event.content_block.ok_or_else(|| malformed("a content_block_start without its block"))?;
                self.open(event.index.unwrap_or(0), json, context, deltas)?;
            }
            Some("content_block_delta") => {
                let delta = event.delta.ok_or_else(|| malformed("a content_block_delta without its delta"))?;
                let open = self.open.get_mut(&event.index.unwrap_or(0)).ok_or_else(|| malformed("a delta of a block that is not open"))?;
                open.grow(delta, &mut self.got, deltas)?;
            }
            Some("content_block_stop") => {
                if let Some(open) = self.open.remove(&event.index.unwrap_or(0)) {
                    open.close(&mut self.got, deltas);
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

    fn start(&mut self, message: Option<MessageStart>, deltas: &mut Vec<Delta>) {
        self.counts = Counts::default();
        if let Some(MessageStart { id, model, usage }) = message {
            deltas.push(Delta::Head { id: plausible(id), model: plausible(model), created: None });
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

    fn open(&mut self, at: u64, json: Json, context: &ReplyContext, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        if self.open.len() >= OPEN_MAX {
            return Err(malformed("more blocks open at a time than can be"));
        }
        let block = Block::read(&json)?;
        let open = match block.kind.as_str() {
            "text" => {
                let (start, mut sources) = (self.got.chars, Sources::default());
                block.citations.iter().flatten().for_each(|citation| sources.add(citation));
                self.got.content(block.text, deltas);
                OpenBlock::Text { start, sources }
            }
            "thinking" => {
                let thinking = block.thinking.unwrap_or_default();
                text(Some(thinking.clone()), Piece::Reasoning, deltas);
                OpenBlock::Thinking { thinking, signature: block.signature.unwrap_or_default() }
            }
            "redacted_thinking" => OpenBlock::Redacted(block.data.unwrap_or_default()),
            "tool_use" => {
                let (id, wire_name) = call_head(block.id, block.name)?;
                match context.answer(&wire_name) {
                    Some(answer) => OpenBlock::Answer { answer, input: block.input, grown: false },
                    None => {
                        let index = self.calls;
                        self.calls += 1;
                        let held = context.keys.get(&wire_name).map(|keys| Box::new((keys.clone(), String::new())));
                        deltas.push(piece(Piece::Call { index, id, name: context.client_name(wire_name), extra: Fields::new() }));
                        OpenBlock::Call { index, input: block.input, grown: false, held }
                    }
                }
            }
            _ => OpenBlock::Other,
        };
        if let Some(before) = self.open.insert(at, open) {
            before.close(&mut self.got, deltas);
        }
        Ok(())
    }

    /// The finish reason is held back until here, so that a stream that breaks off has none.
    fn stop(&mut self, deltas: &mut Vec<Delta>) {
        for (_, open) in std::mem::take(&mut self.open) {
            open.close(&mut self.got, deltas);
        }
        self.ended = true;
        deltas.push(piece(Piece::Finish(finish_reason(self.reason.as_deref(), self.calls > 0).to_owned())));
    }
}

impl Got {
    /// More of the content.
    fn content(&mut self, more: Option<String>, deltas: &mut Vec<Delta>) {
        self.chars += more.as_deref().map_or(0, |more| more.chars().count());
        text(more, Piece::Text, deltas);
    }
}

impl OpenBlock {
    fn grow(&mut self, delta: BlockDelta, got: &mut Got, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        match (delta.kind.as_deref(), self) {
            (Some("text_delta"), Self::Text { .. }) => got.content(delta.text, deltas),
            (Some("citations_delta"), Self::Text { sources, .. }) => delta.citation.iter().for_each(|citation| sources.add(citation)),
            (Some("thinking_delta"), Self::Thinking { thinking, .. }) => {
                add(thinking, delta.thinking.as_deref())?;
                text(delta.thinking, Piece::Reasoning, deltas);
            }
            (Some("signature_delta"), Self::Thinking { signature, .. }) => add(signature, delta.signature.as_deref())?,
            // The same deltas also come in blocks of the provider's own tools, which are no calls of the client's.
            (Some("input_json_delta"), Self::Call { held: Some(held), grown, .. }) => {
                *grown |= delta.partial_json.as_deref().is_some_and(|text| !text.is_empty());
                add(&mut held.1, delta.partial_json.as_deref())?;
            }
            (Some("input_json_delta"), Self::Call { index, grown, .. }) => {
                if let Some(text) = delta.partial_json.filter(|text| !text.is_empty()) {
                    *grown = true;
                    deltas.push(piece(Piece::Arguments { index: *index, text }));
                }
            }
            (Some("input_json_delta"), Self::Answer { answer, grown, .. }) => {
                if let Some(more) = delta.partial_json.filter(|text| !text.is_empty()) {
                    *grown = true;
                    got.content(Some(answer.push(&more)), deltas);
                }
            }
            // Kinds that are new to us.
            _ => {}
        }
        Ok(())
    }

    fn close(self, got: &mut Got, deltas: &mut Vec<Delta>) {
        let thoughts = &mut got.thoughts;
        match self {
            // The text of a source ends where its block does.
            Self::Text { start, sources } => {
                let annotations = sources.annotations(start, got.chars, Some(got.annotations));
                got.annotations += annotations.len();
                if !annotations.is_empty() {
                    deltas.push(piece(Piece::Fields(vec![annotation_field(&annotations)])));
                }
            }
            Self::Call { index, input, grown, held: Some(held) } => {
                let (keys, text) = *held;
                let text = with_client_keys(if grown { text } else { arguments(input.as_deref()) }, &keys);
                deltas.push(piece(Piece::Arguments { index, text }));
            }
            Self::Other | Self::Call { grown: true, .. } => {}
            Self::Call { index, input, grown: false, held: None } => {
                deltas.push(piece(Piece::Arguments { index, text: arguments(input.as_deref()) }));
            }
            Self::Answer { mut answer, input, grown } => {
                let whole = if grown { String::new() } else { answer.push(&arguments(input.as_deref())) };
                got.content(Some(whole + &answer.end()), deltas);
            }
            Self::Thinking { thinking, signature } => {
                thought(json!({"type": "thinking", "thinking": thinking, "signature": signature}), thoughts, deltas);
            }
            Self::Redacted(data) => thought(json!({"type": "redacted_thinking", "data": data}), thoughts, deltas),
        }
    }
}

/// Whether an event is of a kind that we do not know; its fields may be of any type.
fn is_unknown_kind(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: String,
    }
    serde_json::from_slice::<Kind>(data).is_ok_and(|event| !KINDS.contains(&event.kind.as_str()))
}

fn add(to: &mut String, more: Option<&str>) -> Result<(), DecodeError> {
    to.push_str(more.unwrap_or_default());
    if to.len() > HELD_BYTES { Err(malformed("a block that has to be held is longer than any reply can be")) } else { Ok(()) }
}

/// Appends a block of thought. OpenAI's own clients merge the lists of a stream by the `index` of their entries and fail without one.
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
