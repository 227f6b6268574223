//! A whole completion as a response object. Of several choices the first counts: a response is one answer.

use bytes::Bytes;

use super::extra::Extra;
use super::item::{self, Item, Part};
use super::object::{Frame, State};
use super::reasoning::seal;
use super::request::Include;
use crate::chat::codec::{raw_json, to_json};
use crate::chat::{Choice, Completion, Content, Json, ToolCall};

pub(super) fn response(completion: &Completion, mut frame: Frame, include: Include) -> Bytes {
    let extra = Extra(&completion.extra);
    frame.answered(Some(&completion.model), extra.text("service_tier").as_deref());
    let choice = completion.choices.iter().min_by_key(|choice| choice.index);
    let state = State::of(choice.and_then(|choice| choice.finish_reason.as_deref()));
    let output = choice.map(|choice| output(choice, state, &frame, include)).unwrap_or_default();
    to_json(&frame.object(state, &output, completion.usage.as_ref()))
}

fn output(choice: &Choice, state: State<'_>, frame: &Frame, include: Include) -> Vec<Json> {
    let message = &choice.message;
    let mut output = Vec::new();
    output.extend(reasoning(&Extra(&message.extra), frame, include));
    let parts = parts(choice, include, output.is_empty());
    if !parts.is_empty() {
        let id = frame.id("msg", output.len());
        output.push(raw_json(&Item::message(&id, state.of_item(), &parts)));
    }
    for call in &message.tool_calls {
        // Other kinds are answers to tools that nobody could have asked for here.
        let ToolCall::Function(call) = call else { continue };
        let (id, status) = (frame.id("fc", output.len()), state.of_item());
        let call_id = if call.id.is_empty() { frame.id("call", output.len()) } else { call.id.clone() };
        let item = Item::FunctionCall { id: &id, status, call_id: &call_id, name: &call.name, arguments: &call.arguments };
        output.push(raw_json(&item));
    }
    output
}

fn reasoning(extra: &Extra<'_>, frame: &Frame, include: Include) -> Option<Json> {
    let text = extra.reasoning();
    let blocks = if include.encrypted { extra.blocks() } else { Vec::new() };
    if text.is_none() && blocks.is_empty() {
        return None;
    }
    let summary: Vec<Part<'_>> = text.iter().map(|text| Part::SummaryText { text }).collect();
    let sealed = (!blocks.is_empty()).then(|| seal(&blocks));
    let item = Item::Reasoning { id: &frame.id("rs", 0), summary: &summary, encrypted_content: sealed.as_deref(), status: None };
    Some(raw_json(&item))
}

/// The parts of the message. A reply that says nothing at all, reasoning included (`alone`), has one empty text.
fn parts(choice: &Choice, include: Include, alone: bool) -> Vec<Json> {
    let message = &choice.message;
    let extra = Extra(&message.extra);
    let (text, refusal) = (text(&message.content), extra.refusal());
    let mut parts = Vec::new();
    if !text.is_empty() || (alone && refusal.is_none() && message.tool_calls.is_empty()) {
        let annotations = extra.field("annotations").map(item::annotations).unwrap_or_default();
        let logprobs = Extra(&choice.extra).field("logprobs").filter(|_| include.logprobs);
        let logprobs = logprobs.map(item::logprobs).unwrap_or_default();
        parts.push(raw_json(&Part::OutputText { text: &text, annotations: &annotations, logprobs: &logprobs }));
    }
    parts.extend(refusal.map(|refusal| raw_json(&Part::Refusal { refusal: &refusal })));
    parts
}

fn text(content: &Content) -> String {
    match content {
        Content::Null => String::new(),
        Content::Text(text) => text.clone(),
        Content::Parts(parts) => {
            let text = |part: &_| if let crate::chat::Part::Text { text, .. } = part { text.clone() } else { String::new() };
            parts.iter().map(text).collect()
        }
    }
}

#[cfg(test)]
mod tests;
