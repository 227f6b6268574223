//! A reply in the form in which its client asked: calls of custom tools and of old functions in place of the functions that the provider called.
//! Invariant: what is no such call leaves as it came, its bytes included.

use std::collections::{BTreeMap, HashSet};

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::input::{self, Growing, HELD_BYTES};
use crate::chat::codec::{self, Invalid, json_string, object, raw_json};
use crate::chat::{Choice, Completion, Delta, Fields, Frame, FrameStream, Frames, FunctionCall, Json, Piece, StreamError, ToolCall, Whole};

/// Calls of custom tools in one stream; what comes after so many leaves as it came.
const CALLS_MAX: usize = 4096;

/// What a reply must be told as.
#[derive(Debug, Default)]
pub(in crate::llm) struct Back {
    /// Names of the custom tools that were sent as functions.
    pub(super) custom: HashSet<String>,
    /// The client knows `function_call` and no tools.
    pub(super) old: bool,
    /// The client wants one call at a time, and the vendor cannot be told: of several the first counts.
    pub(super) one_call: bool,
}

impl Back {
    fn is_nothing(&self) -> bool {
        self.custom.is_empty() && !self.old && !self.one_call
    }

    /// A reply in one piece.
    ///
    /// # Errors
    /// If it must be read and is no completion.
    pub(in crate::llm) fn whole(&self, whole: Whole) -> Result<Whole, Invalid> {
        if self.is_nothing() {
            return Ok(whole);
        }
        let (mut completion, raw) = match whole {
            Whole::Raw(bytes) => (codec::parse_completion(&bytes)?, Some(bytes)),
            Whole::Parsed(completion) => (completion, None),
        };
        Ok(match (self.completion(&mut completion), raw) {
            (false, Some(bytes)) => Whole::Raw(bytes),
            _ => Whole::Parsed(completion),
        })
    }

    /// A reply that is parsed; true if it was changed.
    pub(in crate::llm) fn completion(&self, completion: &mut Completion) -> bool {
        if self.is_nothing() {
            return false;
        }
        let mut changed = false;
        for choice in &mut completion.choices {
            changed |= if self.old { old_call(choice) } else { self.custom_calls(choice) };
        }
        changed
    }

    fn custom_calls(&self, choice: &mut Choice) -> bool {
        let calls = &mut choice.message.tool_calls;
        let mut changed = self.one_call && calls.len() > 1;
        if changed {
            calls.truncate(1);
        }
        for call in calls {
            let ToolCall::Function(FunctionCall { id, name, arguments, extra }) = call else { continue };
            if self.custom.contains(name.as_str()) {
                let custom = json!({"name": name, "input": input::whole(arguments)});
                let mut fields = vec![
                    ("id".to_owned(), json_string(id)),
                    ("type".to_owned(), json_string("custom")),
                    ("custom".to_owned(), raw_json(&custom)),
                ];
                fields.append(extra);
                *call = ToolCall::Other(object(&fields));
                changed = true;
            }
        }
        changed
    }

    /// A reply that streams.
    pub(in crate::llm) fn stream(self, frames: FrameStream) -> FrameStream {
        if self.is_nothing() {
            return frames;
        }
        let mut restoring = Restoring { back: self, growing: BTreeMap::new(), held: 0 };
        Box::pin(frames.map(move |item| item.and_then(|frames| restoring.frames(frames))))
    }
}

/// A call in the old form, of which a message can have one: of several the first counts.
fn old_call(choice: &mut Choice) -> bool {
    let calls = std::mem::take(&mut choice.message.tool_calls);
    let call = calls.into_iter().find_map(|call| if let ToolCall::Function(call) = call { Some(call) } else { None });
    let Some(FunctionCall { name, arguments, .. }) = call else { return false };
    choice.message.extra.push(("function_call".to_owned(), raw_json(&json!({"name": name, "arguments": arguments}))));
    if choice.finish_reason.as_deref() == Some("tool_calls") {
        choice.finish_reason = Some("function_call".to_owned());
    }
    true
}

/// A stream that is being rewritten.
struct Restoring {
    back: Back,
    /// The calls of custom tools, by choice and number, as their input grows.
    growing: BTreeMap<(u32, u32), Growing>,
    /// Bytes that they hold together.
    held: usize,
}

impl Restoring {
    fn frames(&mut self, frames: Frames) -> Result<Frames, StreamError> {
        let end = frames.end;
        let mut out = Frames::default();
        for mut frame in frames {
            let changed = self.changed(frame.deltas()?);
            out.push(changed.map_or(frame, Frame::of));
        }
        if end {
            let rest = self.rest(|_| true);
            if !rest.is_empty() {
                out.push(Frame::of(rest));
            }
        }
        out.end = end;
        Ok(out)
    }

    /// What is sent in place of these; none if they stay.
    fn changed(&mut self, deltas: &[Delta]) -> Option<Vec<Delta>> {
        let touches = |delta: &Delta| match delta {
            Delta::Piece { piece: Piece::Call { .. } | Piece::Arguments { .. }, .. } => true,
            Delta::Piece { piece: Piece::Finish(_), .. } => self.back.old || !self.growing.is_empty(),
            _ => false,
        };
        if !deltas.iter().any(touches) {
            return None;
        }
        let mut out = Vec::with_capacity(deltas.len());
        for delta in deltas {
            match delta {
                Delta::Piece { choice, piece } => self.piece(*choice, piece, &mut out),
                other => out.push(other.clone()),
            }
        }
        Some(out)
    }

    fn piece(&mut self, choice: u32, piece: &Piece, out: &mut Vec<Delta>) {
        let Self { back, growing, held } = self;
        let mut say = |piece| out.push(Delta::Piece { choice, piece });
        match piece {
            Piece::Call { index, name, .. } if back.old && *index == 0 => {
                say(field("function_call", &json!({"name": name, "arguments": ""})));
            }
            Piece::Arguments { index: 0, text } if back.old => say(field("function_call", &json!({ "arguments": text }))),
            // A message of the old form has one call.
            Piece::Call { .. } | Piece::Arguments { .. } if back.old => {}
            Piece::Finish(reason) if back.old && reason == "tool_calls" => say(Piece::Finish("function_call".to_owned())),
            Piece::Call { index, .. } | Piece::Arguments { index, .. } if back.one_call && *index > 0 => {}
            Piece::Call { index, id, name, extra } if back.custom.contains(name.as_str()) && growing.len() < CALLS_MAX => {
                growing.entry((choice, *index)).or_default();
                say(call(*index, Some(id), &json!({"name": name, "input": ""}), extra));
            }
            Piece::Arguments { index, text } if growing.contains_key(&(choice, *index)) => {
                let grown = growing.entry((choice, *index)).or_default();
                let others = held.saturating_sub(grown.held());
                let mut more = grown.push(text);
                if others + grown.held() > HELD_BYTES {
                    more += &grown.give_up();
                }
                *held = others + grown.held();
                if !more.is_empty() {
                    say(call(*index, None, &json!({ "input": more }), &Fields::new()));
                }
            }
            Piece::Finish(_) => {
                let rest = self.rest(|of| of == choice);
                out.extend(rest);
                out.push(Delta::Piece { choice, piece: piece.clone() });
            }
            other => say(other.clone()),
        }
    }

    /// What was held of the inputs of these choices, which are over.
    fn rest(&mut self, over: impl Fn(u32) -> bool) -> Vec<Delta> {
        let (ended, open) = std::mem::take(&mut self.growing).into_iter().partition(|((choice, _), _)| over(*choice));
        self.growing = open;
        let ended: BTreeMap<(u32, u32), Growing> = ended;
        let rest = ended.into_iter().map(|((choice, index), growing)| (choice, index, growing.end())).filter(|(.., rest)| !rest.is_empty());
        rest.map(|(choice, index, rest)| Delta::Piece { choice, piece: call(index, None, &json!({ "input": rest }), &Fields::new()) })
            .collect()
    }
}

/// An entry of `tool_calls` for a custom tool.
fn call(index: u32, id: Option<&String>, custom: &Value, extra: &Fields) -> Piece {
    let mut fields: Vec<(String, Json)> = vec![("index".to_owned(), raw_json(&index))];
    fields.extend(id.map(|id| ("id".to_owned(), json_string(id))));
    fields.push(("type".to_owned(), json_string("custom")));
    fields.push(("custom".to_owned(), raw_json(custom)));
    fields.extend_from_slice(extra);
    Piece::Fields(vec![("tool_calls".to_owned(), raw_json(&[object(&fields)]))])
}

fn field(name: &str, value: &Value) -> Piece {
    Piece::Fields(vec![(name.to_owned(), raw_json(value))])
}
