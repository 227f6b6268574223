//! The decoder of what `/ai/run` answers: Cloudflare's own shape, or OpenAI's inside it, which newer models have. Only `[DONE]` says that a
//! stream is complete, so finish reasons are held back until then. Source: Workers AI documentation, "Text generation", "JSON mode".

use bytes::Bytes;
use serde_json::value::RawValue;

use super::errors;
use super::response::{MessageDelta, Response, name_and_arguments, text_of};
use crate::chat::codec::parse_completion;
use crate::chat::sse::is_done;
use crate::chat::{
    CHOICES_MAX, Choice, Completion, Content, Delta, FunctionCall, HEAD_BYTES_MAX, Message, Name, Piece, ToolCall, Usage, Whole,
};
use crate::llm::adapter::{DecodeError, ReplyDecoder};
use crate::llm::call_id;
use crate::llm::providers::openai::{
    CALLS_MAX, Calls, OpenAiNormalizer, RawField, calls, holds_something, is_finalisation, reported, text_and_thought,
};

/// Decodes the reply to one request.
pub(super) struct NativeDecoder {
    name: Name,
    choices: Vec<OpenChoice>,
    /// Whether the reply's id, model and time were given.
    named: [bool; 3],
    done: bool,
}

/// A choice that has begun.
struct OpenChoice {
    index: u32,
    calls: Calls,
    /// Calls that have no arguments so far.
    without_arguments: Vec<u32>,
    reason: Option<String>,
}

impl NativeDecoder {
    pub(super) fn new(name: Name) -> Self {
        Self { name, choices: Vec::new(), named: [false; 3], done: false }
    }

    /// Appends what is new in one choice.
    fn add(&mut self, index: u32, delta: &MessageDelta<'_>, reason: RawField<'_>, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let mut push = |piece| deltas.push(Delta::Piece { choice: index, piece });
        let reply = &self.name.id;
        let at = match self.choices.iter().position(|open| open.index == index) {
            Some(at) => at,
            None if self.choices.len() == CHOICES_MAX => {
                return Err(DecodeError::Malformed("more choices than any request can ask for".into()));
            }
            None => {
                push(Piece::Begin);
                self.choices.push(OpenChoice { index, calls: Calls::default(), without_arguments: Vec::new(), reason: None });
                self.choices.len() - 1
            }
        };
        let open = &mut self.choices[at];
        let reasoning = delta.reasoning_content.or(delta.reasoning);
        let mut texts = [reasoning, delta.content, delta.refusal].map(|raw| raw.map(text_of).unwrap_or_default());
        // Models of other vendors give their content as a list of parts.
        if let Some(list) = delta.content.filter(|raw| is_parts(raw)) {
            let (text, thought) = text_and_thought(list);
            texts[0].push_str(&thought);
            texts[1] = text;
        }
        for (text, piece) in texts.into_iter().zip([Piece::Reasoning, Piece::Text, Piece::Refusal]) {
            if !text.is_empty() {
                push(piece(text));
            }
        }
        for (_, call) in delta.tool_calls.map(calls).transpose()?.unwrap_or_default() {
            if is_finalisation(&call) {
                continue;
            }
            let place = open.calls.place(&call)?;
            let (name, arguments) = name_and_arguments(&call);
            if place.begins {
                let id = if place.lacks_id { call_id::made(reply, index, place.index) } else { call.id.map(text_of).unwrap_or_default() };
                open.without_arguments.push(place.index);
                push(Piece::Call { index: place.index, id, name: name.map(text_of).unwrap_or_default(), extra: Vec::new() });
            }
            let text = arguments.map(text_of).unwrap_or_default();
            if !text.is_empty() {
                open.without_arguments.retain(|index| *index != place.index);
                push(Piece::Arguments { index: place.index, text });
            }
        }
        let reason = reason.map(text_of).filter(|reason| !matches!(reason.as_str(), "" | "null" | "None"));
        if reason.as_deref() == Some("error") {
            return Err(reported(b"the answer ended in an error of which nothing is said", errors::in_band));
        }
        open.reason = reason.or(open.reason.take());
        Ok(())
    }

    /// The completion in Cloudflare's own shape.
    fn completion(&self, response: &Response<'_>) -> Result<Completion, DecodeError> {
        let text = response.response.map(text_of);
        let mut tool_calls = Vec::new();
        let calls = response.tool_calls.map(calls).transpose()?.unwrap_or_default();
        if calls.len() > CALLS_MAX {
            return Err(DecodeError::Malformed(format!("more than {CALLS_MAX} tool calls in one choice")));
        }
        for (index, (_, call)) in (0..).zip(calls) {
            let (name, arguments) = name_and_arguments(&call);
            let id = call.id.map(text_of).filter(|id| !id.is_empty() && !tool_calls.iter().any(|call| has_id(call, id)));
            let id = id.unwrap_or_else(|| call_id::made(&self.name.id, 0, index));
            let arguments = arguments.map(text_of).filter(|text| !text.is_empty()).unwrap_or_else(|| "{}".into());
            tool_calls.push(ToolCall::Function(FunctionCall {
                id,
                name: name.map(text_of).unwrap_or_default(),
                arguments,
                extra: Vec::new(),
            }));
        }
        if text.is_none() && tool_calls.is_empty() {
            return Err(DecodeError::Malformed("its result holds no answer; some models here cannot answer this way".into()));
        }
        let content = text.filter(|text| !text.is_empty() || tool_calls.is_empty()).map_or(Content::Null, Content::Text);
        let reason = finish_reason(response.finish_reason.map(text_of).as_deref(), !tool_calls.is_empty());
        let reasoning = response.reasoning_content.or(response.reasoning).filter(|raw| holds_something(raw));
        let extra = reasoning.map(|raw| ("reasoning_content".to_owned(), raw.to_owned())).into_iter().collect();
        let message = Message { role: "assistant".into(), content, tool_calls, extra, ..Message::default() };
        let choice = Choice { index: 0, message, finish_reason: Some(reason), extra: Vec::new() };
        let usage = response.usage.and_then(Usage::read).map(|usage| usage.json());
        let Name { id, model, created } = self.name.clone();
        Ok(Completion { id, created, model, choices: vec![choice], usage, extra: Vec::new() })
    }
}

impl ReplyDecoder for NativeDecoder {
    fn whole(&mut self, body: &[u8]) -> Result<Completion, DecodeError> {
        let envelope = Response::read(body)?;
        let inside = envelope.result.map_or(body, |result| result.get().as_bytes());
        if inside == b"null" {
            return Err(DecodeError::Malformed("it has no result".into()));
        }
        let response = Response::read(inside)?;
        if response.choices.is_none() {
            return self.completion(&response);
        }
        match OpenAiNormalizer::new(self.name.clone(), true).whole(&Bytes::copy_from_slice(inside))? {
            Whole::Parsed(completion) => Ok(completion),
            Whole::Raw(bytes) => parse_completion(&bytes).map_err(|invalid| DecodeError::Malformed(invalid.message)),
        }
    }

    /// `[DONE]` must be passed on to here, because a stream without it was cut.
    fn event(&mut self, data: &[u8], deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let done = is_done(data);
        self.done |= done;
        if done || data.trim_ascii().is_empty() {
            return Ok(());
        }
        let response = Response::read(data)?;
        let name = |raw: RawField<'_>| {
            let text = raw.filter(|raw| raw.get().starts_with('"') && raw.get().len() <= HEAD_BYTES_MAX).map(text_of);
            text.filter(|text| !text.is_empty())
        };
        let (id, model) = (name(response.id), name(response.model));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time in seconds; a cast saturates")]
        let created = response.created.map(|created| created as u64);
        let given = [id.is_some(), model.is_some(), created.is_some()];
        // The first of each counts, and the same again would only be held.
        if given.iter().zip(&self.named).any(|(given, named)| *given && !named) {
            self.named.iter_mut().zip(given).for_each(|(named, given)| *named |= given);
            deltas.push(Delta::Head { id, model, created });
        }
        match &response.choices {
            Some(parts) => {
                for (place, part) in (0..).zip(parts) {
                    let nothing = MessageDelta::default();
                    self.add(part.index.unwrap_or(place), part.delta.as_ref().unwrap_or(&nothing), part.finish_reason, deltas)?;
                }
            }
            None if response.response.is_some() || response.tool_calls.is_some() || response.finish_reason.is_some() => {
                let Response { response: content, reasoning_content, reasoning, tool_calls, finish_reason, .. } = response;
                let delta = MessageDelta { content, reasoning_content, reasoning, refusal: None, tool_calls };
                self.add(0, &delta, finish_reason, deltas)?;
            }
            None => {}
        }
        deltas.extend(response.usage.and_then(Usage::read).map(Delta::Usage));
        Ok(())
    }

    fn end(&mut self, deltas: &mut Vec<Delta>) -> bool {
        if !self.done || self.choices.is_empty() {
            return false;
        }
        for open in &self.choices {
            // Arguments are JSON, even if there are none.
            let empty = |index: &u32| Delta::Piece { choice: open.index, piece: Piece::Arguments { index: *index, text: "{}".into() } };
            deltas.extend(open.without_arguments.iter().map(empty));
            let reason = finish_reason(open.reason.as_deref(), !open.calls.is_empty());
            deltas.push(Delta::Piece { choice: open.index, piece: Piece::Finish(reason) });
        }
        true
    }
}

/// Whether this is a list of objects, which is no text and no JSON that was asked for.
fn is_parts(raw: &RawValue) -> bool {
    raw.get().strip_prefix('[').is_some_and(|entries| entries.trim_start().starts_with('{')) && raw.get().contains("\"type\"")
}

fn has_id(call: &ToolCall, id: &str) -> bool {
    matches!(call, ToolCall::Function(call) if call.id == id)
}

/// OpenAI's finish reason.
fn finish_reason(native: Option<&str>, calls: bool) -> String {
    let reason = match native {
        Some("model_length" | "length") => "length",
        None | Some("" | "stop") if calls => "tool_calls",
        None | Some("") => "stop",
        Some(reason) => reason,
    };
    reason.to_owned()
}
