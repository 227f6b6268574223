//! A whole completion as a response object. Of several choices the first counts: a response is one answer.

use bytes::Bytes;

use super::called::Parts;
use super::chunk::{self, CallDelta};
use super::extra::Extra;
use super::item::{self, Item, Part};
use super::kept::{EXTRA_CONTENT, Kept};
use super::object::{Frame, State};
use super::request::Include;
use crate::chat::codec::{raw_json, to_json};
use crate::chat::{Choice, Completion, Content, Fields, FunctionCall, Json, ToolCall};

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
    let calls = message.tool_calls.iter().filter_map(call).collect::<Vec<_>>();
    output.extend(reasoning(&message.extra, &calls, frame, include));
    let parts = parts(choice, include, output.is_empty());
    if !parts.is_empty() {
        let id = frame.id("msg", output.len());
        output.push(raw_json(&Item::message(&id, state.of_item(), &parts)));
    }
    for Call { id: given, name, text, custom, extra_content } in &calls {
        let called = frame.called(name, *custom);
        let (id, status) = (frame.id(called.prefix(), output.len()), state.of_item());
        let call_id = if given.is_empty() { frame.id("call", output.len()) } else { given.clone() };
        let extra_content = extra_content.as_deref();
        output.push(raw_json(&called.item(Parts { id: &id, status, call_id: &call_id, text, extra_content })));
    }
    output
}

/// A call of a tool that the client runs.
struct Call {
    id: String,
    name: String,
    /// Its arguments, or the input of a custom tool.
    text: String,
    custom: bool,
    extra_content: Option<Json>,
}

fn call(call: &ToolCall) -> Option<Call> {
    match call {
        ToolCall::Function(FunctionCall { id, name, arguments, extra }) => {
            let extra_content = Extra(extra).field(EXTRA_CONTENT).map(ToOwned::to_owned);
            Some(Call { id: id.clone(), name: name.clone(), text: arguments.clone(), custom: false, extra_content })
        }
        ToolCall::Other(json) => {
            let mut entries = chunk::calls(&raw_json(&[json]));
            let entry = entries.pop().filter(|entry| !entry.name.is_empty())?;
            let CallDelta { id, name, arguments, custom, extra_content, .. } = entry;
            Some(Call { id, name, text: arguments, custom, extra_content })
        }
    }
}

fn reasoning(extra: &Fields, calls: &[Call], frame: &Frame, include: Include) -> Option<Json> {
    let text = Extra(extra).reasoning();
    let mut kept = Kept::default();
    if include.encrypted {
        kept = Kept::of(extra);
        calls.iter().for_each(|call| call.extra_content.iter().for_each(|json| kept.call(&call.id, json)));
    }
    if text.is_none() && kept.is_empty() {
        return None;
    }
    let summary: Vec<Part<'_>> = text.iter().map(|text| Part::SummaryText { text }).collect();
    let sealed = (!kept.is_empty()).then(|| kept.seal());
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
