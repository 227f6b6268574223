//! Replies of `/ai/run`: Cloudflare's own shape, or OpenAI's inside it, which newer models have. Nothing in a stream but `[DONE]` says that it is
//! over, so finish reasons are held back until then. Must not know the request. Source: Workers AI documentation, "Text generation", "JSON mode".

use bytes::Bytes;

use super::answer::{Answer, Said, of, written};
use crate::chat::codec::parse_completion;
use crate::chat::sse::is_done;
use crate::chat::{CHOICES_MAX, Choice, Completion, Content, Delta, FunctionCall, Message, Name, Piece, ToolCall, Usage, Whole};
use crate::llm::adapter::{DecodeError, ReplyDecoder};
use crate::llm::call_id;
use crate::llm::providers::openai::{CALLS_MAX, Calls, OpenAiNormalizer, RawField, calls, holds_something, is_finalisation};

/// Reads the reply to one request.
pub(super) struct Native {
    name: Name,
    choices: Vec<Open>,
    done: bool,
}

/// A choice that has begun.
struct Open {
    index: u32,
    calls: Calls,
    /// Calls that have no arguments so far.
    bare: Vec<u32>,
    reason: Option<String>,
}

impl Native {
    pub(super) fn new(name: Name) -> Self {
        Self { name, choices: Vec::new(), done: false }
    }

    /// Appends what is said of one choice.
    fn said(&mut self, index: u32, said: &Said<'_>, reason: RawField<'_>, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let mut add = |piece| deltas.push(Delta::Piece { choice: index, piece });
        let reply = &self.name.id;
        let at = match self.choices.iter().position(|open| open.index == index) {
            Some(at) => at,
            None if self.choices.len() == CHOICES_MAX => {
                return Err(DecodeError::Malformed("more choices than any request can ask for".into()));
            }
            None => {
                add(Piece::Begin);
                self.choices.push(Open { index, calls: Calls::default(), bare: Vec::new(), reason: None });
                self.choices.len() - 1
            }
        };
        let open = &mut self.choices[at];
        let reasoning = said.reasoning_content.or(said.reasoning);
        let texts = [reasoning, said.content, said.refusal].map(|raw| raw.map(written).unwrap_or_default());
        for (text, piece) in texts.into_iter().zip([Piece::Reasoning, Piece::Text, Piece::Refusal]) {
            if !text.is_empty() {
                add(piece(text));
            }
        }
        for (_, call) in said.tool_calls.map(calls).transpose()?.unwrap_or_default() {
            if is_finalisation(&call) {
                continue;
            }
            let place = open.calls.place(&call)?;
            let (name, arguments) = of(&call);
            if place.begins {
                let id = if place.lacks_id { call_id::made(reply, index, place.index) } else { call.id.map(written).unwrap_or_default() };
                open.bare.push(place.index);
                add(Piece::Call { index: place.index, id, name: name.map(written).unwrap_or_default(), extra: Vec::new() });
            }
            let text = arguments.map(written).unwrap_or_default();
            if !text.is_empty() {
                open.bare.retain(|index| *index != place.index);
                add(Piece::Arguments { index: place.index, text });
            }
        }
        let reason = reason.map(written).filter(|reason| !reason.is_empty());
        open.reason = reason.or(open.reason.take());
        Ok(())
    }

    /// The completion that Cloudflare's own shape holds.
    fn completion(&self, answer: &Answer<'_>) -> Result<Completion, DecodeError> {
        let text = answer.response.map(written);
        let mut tool_calls = Vec::new();
        let said = answer.tool_calls.map(calls).transpose()?.unwrap_or_default();
        if said.len() > CALLS_MAX {
            return Err(DecodeError::Malformed(format!("more than {CALLS_MAX} tool calls in one choice")));
        }
        for (index, (_, call)) in (0..).zip(said) {
            let (name, arguments) = of(&call);
            let id = call.id.map(written).filter(|id| !id.is_empty() && !tool_calls.iter().any(|call| has_id(call, id)));
            let id = id.unwrap_or_else(|| call_id::made(&self.name.id, 0, index));
            let arguments = arguments.map(written).filter(|text| !text.is_empty()).unwrap_or_else(|| "{}".into());
            tool_calls.push(ToolCall::Function(FunctionCall {
                id,
                name: name.map(written).unwrap_or_default(),
                arguments,
                extra: Vec::new(),
            }));
        }
        if text.is_none() && tool_calls.is_empty() {
            return Err(DecodeError::Malformed("its result holds no answer; some models here cannot answer this way".into()));
        }
        let content = text.filter(|text| !text.is_empty() || tool_calls.is_empty()).map_or(Content::Null, Content::Text);
        let reason = reason(answer.finish_reason.map(written).as_deref(), !tool_calls.is_empty());
        let reasoning = answer.reasoning_content.or(answer.reasoning).filter(|raw| holds_something(raw));
        let extra = reasoning.map(|raw| ("reasoning_content".to_owned(), raw.to_owned())).into_iter().collect();
        let message = Message { role: "assistant".into(), content, tool_calls, extra, ..Message::default() };
        let choice = Choice { index: 0, message, finish_reason: Some(reason), extra: Vec::new() };
        let usage = answer.usage.and_then(Usage::read).map(|usage| usage.json());
        let Name { id, model, created } = self.name.clone();
        Ok(Completion { id, created, model, choices: vec![choice], usage, extra: Vec::new() })
    }
}

impl ReplyDecoder for Native {
    fn whole(&mut self, body: &[u8]) -> Result<Completion, DecodeError> {
        let envelope = Answer::read(body)?;
        let inside = envelope.result.map_or(body, |result| result.get().as_bytes());
        if inside == b"null" {
            return Err(DecodeError::Malformed("it has no result".into()));
        }
        let answer = Answer::read(inside)?;
        if answer.choices.is_none() {
            return self.completion(&answer);
        }
        match OpenAiNormalizer::new(self.name.clone(), true).whole(&Bytes::copy_from_slice(inside))? {
            Whole::Parsed(completion) => Ok(completion),
            Whole::Raw(bytes) => parse_completion(&bytes).map_err(|invalid| DecodeError::Malformed(invalid.message)),
        }
    }

    /// Must be given `[DONE]` too: without it a stream was cut.
    fn event(&mut self, data: &[u8], deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let done = is_done(data);
        self.done |= done;
        if done || data.trim_ascii().is_empty() {
            return Ok(());
        }
        let answer = Answer::read(data)?;
        let [id, model] = [answer.id, answer.model].map(|raw| raw.filter(|raw| raw.get().starts_with('"')).map(written));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time in seconds; a cast saturates")]
        let created = answer.created.map(|created| created as u64);
        if id.is_some() || model.is_some() || created.is_some() {
            deltas.push(Delta::Head { id, model, created });
        }
        match &answer.choices {
            Some(parts) => {
                for (place, part) in (0..).zip(parts) {
                    let nothing = Said::default();
                    self.said(part.index.unwrap_or(place), part.delta.as_ref().unwrap_or(&nothing), part.finish_reason, deltas)?;
                }
            }
            None if answer.response.is_some() || answer.tool_calls.is_some() || answer.finish_reason.is_some() => {
                let Answer { response: content, reasoning_content, reasoning, tool_calls, finish_reason, .. } = answer;
                let said = Said { content, reasoning_content, reasoning, refusal: None, tool_calls };
                self.said(0, &said, finish_reason, deltas)?;
            }
            None => {}
        }
        deltas.extend(answer.usage.and_then(Usage::read).map(Delta::Usage));
        Ok(())
    }

    fn end(&mut self, deltas: &mut Vec<Delta>) -> bool {
        if !self.done || self.choices.is_empty() {
            return false;
        }
        for open in &self.choices {
            // Arguments are JSON, even where there are none.
            let empty = |index: &u32| Delta::Piece { choice: open.index, piece: Piece::Arguments { index: *index, text: "{}".into() } };
            deltas.extend(open.bare.iter().map(empty));
            let reason = reason(open.reason.as_deref(), !open.calls.is_empty());
            deltas.push(Delta::Piece { choice: open.index, piece: Piece::Finish(reason) });
        }
        true
    }
}

fn has_id(call: &ToolCall, id: &str) -> bool {
    matches!(call, ToolCall::Function(call) if call.id == id)
}

/// OpenAI's finish reason.
fn reason(given: Option<&str>, calls: bool) -> String {
    let reason = match given {
        Some("model_length" | "length") => "length",
        None | Some("" | "stop") if calls => "tool_calls",
        None | Some("") => "stop",
        Some(reason) => reason,
    };
    reason.to_owned()
}
