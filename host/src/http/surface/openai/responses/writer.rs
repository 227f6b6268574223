//! Frames of a chat reply in, events of a response out: items open, grow and close. The text of each is held, because the events that
//! close it repeat it; how much is held is limited.
//! Source: OpenAI API reference, "Responses, streaming events".

mod call;
mod message;
mod reasoning;

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;

use super::chunk::{CallDelta, Chunk};
use super::emitter::Emitter;
use super::extra::Extra;
use super::item;
use super::kept::Kept;
use super::object::{Frame, Object, State};
use super::request::Include;
use crate::chat::{Delta, Json, Piece, StreamError};
use call::{Call, Opening};
use message::{Kind, Message};
use reasoning::Reasoning;

/// What an item or a part is counted as beside its text.
const ITEM_BYTES: usize = 256;

/// Writes one response.
#[derive(Debug)]
pub(super) struct Writer {
    frame: Frame,
    fallback_model: Option<String>,
    include: Include,
    /// Bytes that may still be held.
    bytes_left: usize,
    limit: usize,
    begun: bool,
    /// By place in the output; none while an item is open.
    output: Vec<Option<Json>>,
    open: Option<Open>,
    /// Open until the end: some servers send the pieces of several calls by turns.
    calls: VecDeque<Call>,
    usage: Option<Json>,
    finish_reason: Option<String>,
    emitter: Emitter,
}

/// The item that is growing.
#[derive(Debug)]
enum Open {
    Reasoning(Reasoning),
    Message(Message),
}

#[derive(Serialize)]
struct Whole<'a> {
    response: Object<'a>,
}

#[derive(Serialize)]
struct Done<'a> {
    output_index: usize,
    item: &'a Json,
}

impl Writer {
    /// `limit`: the most bytes that are held.
    pub(super) fn new(frame: Frame, include: Include, limit: usize) -> Self {
        Self {
            frame,
            fallback_model: None,
            include,
            bytes_left: limit,
            limit,
            begun: false,
            output: Vec::new(),
            open: None,
            calls: VecDeque::new(),
            usage: None,
            finish_reason: None,
            emitter: Emitter::default(),
        }
    }

    /// The next event that is ready.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        self.emitter.next()
    }

    /// The model's name if no frame says it.
    pub(super) fn fallback_model(&mut self, model: &str) {
        self.fallback_model = Some(model.to_owned());
    }

    /// Takes what one frame says; nothing if it is empty.
    ///
    /// # Errors
    /// If the stream must end here; `fail` then says so to the client.
    pub(super) fn frame(&mut self, deltas: &[Delta]) -> Result<(), StreamError> {
        let (mut begin, mut last) = (0, 0);
        for (at, delta) in deltas.iter().enumerate() {
            // A part holds its items in the order of the ranks, so that a piece of a lower one begins another part.
            let Some(rank) = rank(delta) else { continue };
            if rank < last {
                self.part(&deltas[begin..at])?;
                begin = at;
            }
            last = rank;
        }
        self.part(&deltas[begin..])
    }

    fn part(&mut self, deltas: &[Delta]) -> Result<(), StreamError> {
        if deltas.is_empty() {
            return Ok(());
        }
        let chunk = Chunk::of(deltas);
        if !self.begun || chunk.service_tier.is_some() {
            let fallback = self.fallback_model.take();
            let model = chunk.model.as_deref().or(fallback.as_deref()).filter(|_| !self.begun);
            self.frame.answered(model, chunk.service_tier.as_deref());
        }
        self.begin();
        self.reasoning(&chunk)?;
        self.message(&chunk)?;
        for delta in &chunk.calls {
            self.call(delta)?;
        }
        self.usage = chunk.usage.or(self.usage.take());
        self.finish_reason = chunk.finish_reason.or(self.finish_reason.take());
        Ok(())
    }

    /// Closes the next item that is open, first to last; false if none is. One at a time, so that each event can leave before the next is made.
    pub(super) fn close_next(&mut self) -> bool {
        let state = State::of(self.finish_reason.as_deref());
        if self.open.is_some() {
            self.close(state.of_item());
        } else if let Some(call) = self.calls.pop_front() {
            let item = call.close(state.of_item(), &mut self.emitter);
            self.closed(call.at, item);
        } else if self.output.is_empty() {
            // A reply that says nothing still is a message.
            self.begin();
            let mut message = self.open_message();
            message.begin(Kind::Text, &mut self.emitter);
            self.open = Some(Open::Message(message));
        } else {
            return false;
        }
        true
    }

    /// The last event of a response that went well.
    pub(super) fn end(&mut self) {
        let state = State::of(self.finish_reason.as_deref());
        let kind = if state == State::Completed { "response.completed" } else { "response.incomplete" };
        let output: Vec<Json> = self.output.drain(..).flatten().collect();
        self.emitter.emit(kind, &Whole { response: self.frame.object(state, &output, self.usage.as_ref()) });
    }

    /// The last event of a response that failed: it has the output as far as it got.
    pub(super) fn fail(&mut self, message: &str) {
        let state = State::Failed(message);
        let open = self.open.take().map(|open| match open {
            Open::Reasoning(reasoning) => (reasoning.at, reasoning.item(state.of_item(), self.include)),
            Open::Message(message) => (message.at, message.item(state.of_item())),
        });
        let calls = self.calls.drain(..).map(|call| (call.at, call.item(state.of_item())));
        for (at, item) in open.into_iter().chain(calls) {
            self.output[at] = Some(item);
        }
        let output: Vec<Json> = self.output.drain(..).flatten().collect();
        self.emitter.emit("response.failed", &Whole { response: self.frame.object(state, &output, self.usage.as_ref()) });
    }

    /// Writes the events that begin a response; false if they were written before.
    pub(super) fn begin(&mut self) -> bool {
        if std::mem::replace(&mut self.begun, true) {
            return false;
        }
        for kind in ["response.created", "response.in_progress"] {
            self.emitter.emit(kind, &Whole { response: self.frame.object(State::InProgress, &[], None) });
        }
        true
    }

    fn reasoning(&mut self, chunk: &Chunk) -> Result<(), StreamError> {
        let kept = if self.include.encrypted { Kept::of(&chunk.extra) } else { Kept::default() };
        self.reason(chunk.reasoning.as_deref(), kept)
    }

    /// Adds to the open reasoning item, or to a new one.
    fn reason(&mut self, text: Option<&str>, kept: Kept) -> Result<(), StreamError> {
        if text.is_none() && kept.is_empty() {
            return Ok(());
        }
        self.hold(text.map_or(0, str::len) + kept.bytes())?;
        let mut reasoning = match self.open.take() {
            Some(Open::Reasoning(reasoning)) => reasoning,
            other => {
                self.open = other;
                self.close("completed");
                self.hold(ITEM_BYTES)?;
                let at = self.next_place();
                Reasoning::open(at, self.frame.id("rs", at), &mut self.emitter)
            }
        };
        if let Some(text) = text {
            reasoning.grow(text, &mut self.emitter);
        }
        reasoning.keep(kept);
        self.open = Some(Open::Reasoning(reasoning));
        Ok(())
    }

    fn message(&mut self, chunk: &Chunk) -> Result<(), StreamError> {
        let Chunk { text, refusal, .. } = chunk;
        let annotations = Extra(&chunk.extra).field("annotations").map(item::annotations).unwrap_or_default();
        let logprobs = chunk.logprobs.as_ref().filter(|_| self.include.logprobs);
        let held = [text.as_ref(), refusal.as_ref()].into_iter().flatten().map(String::len).sum::<usize>()
            + annotations.iter().map(|json| json.get().len()).sum::<usize>()
            + logprobs.map_or(0, |json| json.get().len());
        self.hold(held)?;
        let logprobs = logprobs.map(|json| item::logprobs(json)).unwrap_or_default();
        if text.is_some() || !annotations.is_empty() {
            let mut message = self.open_part(Kind::Text)?;
            message.annotate(annotations, &mut self.emitter);
            message.grow(text.as_deref().unwrap_or_default(), logprobs, &mut self.emitter);
            self.open = Some(Open::Message(message));
        } else if let Some(Open::Message(message)) = &mut self.open {
            // A reply that was whole before it streamed has them all at its end.
            message.add_logprobs(logprobs);
        }
        if let Some(refusal) = refusal {
            let mut message = self.open_part(Kind::Refusal)?;
            message.grow(refusal, Vec::new(), &mut self.emitter);
            self.open = Some(Open::Message(message));
        }
        Ok(())
    }

    /// The open message with an open part of that kind, taken out.
    fn open_part(&mut self, kind: Kind) -> Result<Message, StreamError> {
        let mut message = match self.open.take() {
            Some(Open::Message(message)) => message,
            other => {
                self.open = other;
                self.close("completed");
                self.hold(ITEM_BYTES)?;
                self.open_message()
            }
        };
        if message.begin(kind, &mut self.emitter) {
            self.hold(ITEM_BYTES)?;
        }
        Ok(message)
    }

    fn open_message(&mut self) -> Message {
        let at = self.next_place();
        Message::open(at, self.frame.id("msg", at), &mut self.emitter)
    }

    /// A call without a number of its own is known by its id; one without either is the last one.
    fn call(&mut self, delta: &CallDelta) -> Result<(), StreamError> {
        let CallDelta { id, name, arguments, .. } = delta;
        let known = match delta.index {
            Some(index) => self.calls.iter().position(|call| call.index == Some(index)),
            None if !id.is_empty() => self.calls.iter().position(|call| call.call_id == *id),
            None => self.calls.len().checked_sub(1),
        };
        self.hold(arguments.len())?;
        let known = match known {
            Some(known) => {
                if let Some(json) = &delta.extra_content {
                    self.keep_with(known, json)?;
                }
                known
            }
            // Nothing that could be called.
            None if name.is_empty() => return Ok(()),
            None => self.open_call(delta)?,
        };
        self.calls[known].grow(arguments, &mut self.emitter);
        Ok(())
    }

    /// A new call; its place among the open ones. What its provider wants back with it stands in a reasoning item before it as well, because some
    /// clients send back no other field that they do not know.
    fn open_call(&mut self, delta: &CallDelta) -> Result<usize, StreamError> {
        let CallDelta { index, id, name, custom, extra_content, .. } = delta;
        let mut kept = Kept::default();
        if let Some(json) = extra_content.as_ref().filter(|_| self.include.encrypted) {
            kept.call(id, json);
        }
        self.reason(None, kept)?;
        self.close("completed");
        self.hold(ITEM_BYTES + id.len() + name.len() + extra_content.as_ref().map_or(0, |json| json.get().len()))?;
        let at = self.next_place();
        let called = self.frame.called(name, *custom);
        let opening = Opening {
            at,
            id: self.frame.id(called.prefix(), at),
            index: *index,
            call_id: if id.is_empty() { self.frame.id("call", at) } else { id.clone() },
            called,
            extra_content: extra_content.clone(),
        };
        self.calls.push_back(Call::open(opening, &mut self.emitter));
        Ok(self.calls.len() - 1)
    }

    /// What the provider wants back with a call that has begun before.
    fn keep_with(&mut self, known: usize, json: &Json) -> Result<(), StreamError> {
        self.hold(json.get().len())?;
        self.calls[known].keep(json);
        if self.include.encrypted {
            let mut kept = Kept::default();
            kept.call(&self.calls[known].call_id, json);
            self.reason(None, kept)?;
        }
        Ok(())
    }

    /// Closes the item that was growing.
    fn close(&mut self, status: &'static str) {
        let (at, item) = match self.open.take() {
            Some(Open::Reasoning(reasoning)) => (reasoning.at, reasoning.close(status, self.include, &mut self.emitter)),
            Some(Open::Message(message)) => (message.at, message.close(status, &mut self.emitter)),
            None => return,
        };
        self.closed(at, item);
    }

    fn closed(&mut self, at: usize, item: Json) {
        self.emitter.emit("response.output_item.done", &Done { output_index: at, item: &item });
        self.output[at] = Some(item);
    }

    fn next_place(&mut self) -> usize {
        self.output.push(None);
        self.output.len() - 1
    }

    fn hold(&mut self, bytes: usize) -> Result<(), StreamError> {
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or_else(|| StreamError {
            message: format!("the response is larger than {} bytes (`limits.http.response_bytes`)", self.limit),
            code: "response_too_large",
        })?;
        Ok(())
    }
}

/// The order of a chunk's items; none for what is no item.
fn rank(delta: &Delta) -> Option<u8> {
    let Delta::Piece { choice: 0, piece } = delta else { return None };
    match piece {
        Piece::Reasoning(_) | Piece::Thought(_) => Some(0),
        Piece::Text(_) => Some(1),
        Piece::Refusal(_) => Some(2),
        Piece::Call { .. } | Piece::Arguments { .. } => Some(3),
        Piece::Begin | Piece::Fields(_) | Piece::Beside(_) | Piece::Finish(_) => None,
    }
}

#[cfg(test)]
mod tests;
