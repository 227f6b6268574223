//! The reply: restores values in every text, in reasoning and refusals, and in the arguments of calls, where they are escaped as JSON wants it.

use cofferdam_guest::{Delta, Field, HookError, Message, Part, Piece, Texts, ToolCall};

use crate::json;
use crate::mapping::Mapping;
use crate::mask::{AS_JSON, MAPPING};
use crate::placeholder::Form;
use crate::restore::{decided, whole};

/// Goes along with one reply.
pub(crate) struct Restorer {
    mapping: Mapping,
    /// In which form the model was asked to answer.
    form: Form,
    answer: Texts,
    /// Reasoning and refusals, which are prose in any case.
    asides: Texts,
    arguments: Texts,
}

impl Restorer {
    /// None if nothing was masked.
    pub(crate) fn new(metadata: &[Field]) -> Result<Option<Self>, HookError> {
        let find = |name: &str| metadata.iter().rfind(|field| field.name == name).map(|field| field.value.as_str());
        let Some(json) = find(MAPPING) else { return Ok(None) };
        let mapping = Mapping::from_json(json).ok_or_else(|| format!("`metadata.{MAPPING}` is not what this plugin wrote"))?;
        let form = if find(AS_JSON) == Some("true") { Form::Json } else { Form::Plain };
        Ok(Some(Self { mapping, form, answer: Texts::default(), asides: Texts::default(), arguments: Texts::with_arguments() }))
    }

    pub(crate) fn push(&mut self, deltas: Vec<Delta>) -> Vec<Delta> {
        let Self { mapping, form, answer, asides, arguments } = self;
        let mut out = Vec::with_capacity(deltas.len());
        for mut delta in deltas {
            match &mut delta.piece {
                Piece::Text(_) => out.extend(answer.push(vec![delta], |tail, last| decided(tail, last, *form, mapping))),
                Piece::Refusal(_) | Piece::Reasoning(_) => {
                    out.extend(asides.push(vec![delta], |tail, last| decided(tail, last, Form::Plain, mapping)));
                }
                Piece::Other(field) if Texts::is_reasoning(field) => {
                    out.extend(asides.push(vec![delta], |tail, last| decided(tail, last, Form::Plain, mapping)));
                }
                Piece::ToolCall(_) => out.extend(arguments.push(vec![delta], |tail, last| decided(tail, last, Form::Json, mapping))),
                Piece::Finish(_) => {
                    // Each lets go of what it held of this choice, and the end is told once.
                    let mut held = asides.push(vec![delta.clone()], |tail, last| decided(tail, last, Form::Plain, mapping));
                    held.pop();
                    held.extend(answer.push(vec![delta.clone()], |tail, last| decided(tail, last, *form, mapping)));
                    held.pop();
                    held.extend(arguments.push(vec![delta], |tail, last| decided(tail, last, Form::Json, mapping)));
                    out.extend(held);
                }
                Piece::Other(value) => {
                    if let Some(new) = json_value(value, *form, mapping) {
                        *value = new;
                    }
                    out.push(delta);
                }
            }
        }
        out
    }

    pub(crate) fn close(&mut self) -> Vec<Delta> {
        let Self { mapping, form, answer, asides, arguments } = self;
        let mut out = asides.close(|tail, last| decided(tail, last, Form::Plain, mapping));
        out.extend(answer.close(|tail, last| decided(tail, last, *form, mapping)));
        out.extend(arguments.close(|tail, last| decided(tail, last, Form::Json, mapping)));
        out
    }

    /// A whole message; says whether anything changed.
    pub(crate) fn message(&self, message: &mut Message) -> bool {
        let Self { mapping, form, .. } = self;
        let mut changed = message.map_text(|text| whole(text, *form, mapping));
        let mut put = |new: Option<String>, old: &mut String| {
            if let Some(new) = new {
                *old = new;
                changed = true;
            }
        };
        for part in &mut message.content {
            match part {
                Part::Text(part) => part.extra.iter_mut().for_each(|field| put(json_value(&field.value, *form, mapping), &mut field.value)),
                Part::Other(value) => put(json_value(value, *form, mapping), value),
            }
        }
        for call in &mut message.tool_calls {
            match call {
                ToolCall::Function(call) => put(whole(&call.arguments, Form::Json, mapping), &mut call.arguments),
                ToolCall::Other(value) => put(json_value(value, *form, mapping), value),
            }
        }
        message.extra.iter_mut().for_each(|field| put(json_value(&field.value, Form::Plain, mapping), &mut field.value));
        changed
    }
}

/// Fields whose bytes mean something to a program alone.
const OPAQUE: [&str; 7] = ["data", "encrypted_content", "file_id", "id", "signature", "tool_call_id", "type"];

fn json_value(value: &str, form: Form, mapping: &Mapping) -> Option<String> {
    json::map(value, &OPAQUE, |key, text| whole(text, if key == "arguments" { Form::Json } else { form }, mapping))
}
