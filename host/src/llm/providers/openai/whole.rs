//! A whole OpenAI-shaped reply: forwarded as it came if nothing is wrong with it, otherwise parsed and corrected.
//! After that every choice has an index, a role and a finish reason, and every call an id.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::parts;
use super::shape::{Call, Chunk, Entry, Raw, Said, calls, canonical_reason, filled, malformed, reason, says};
use super::splice::Splice;
use crate::chat::codec::parse_completion;
use crate::chat::{Completion, FunctionCall, Json, Name, ToolCall, Usage, Whole};
use crate::llm::call_id;
use crate::llm::provider_error::DecodeError;

/// The reply in `body`, which is `text` with the shape `chunk`.
///
/// # Errors
/// `Malformed` if it is no completion.
pub(super) fn whole<'a>(name: &Name, body: &Bytes, text: &'a str, chunk: &Chunk<'a>) -> Result<Whole, DecodeError> {
    let Some(choices) = &chunk.choices else { return Err(malformed("it has no `choices`")) };
    if is_right(chunk)? {
        return Ok(Whole::Raw(body.clone()));
    }
    let readable = readable(text, chunk, choices)?;
    let mut completion =
        parse_completion(readable.as_deref().unwrap_or(body)).map_err(|invalid| DecodeError::Malformed(invalid.message))?;
    mend(name, &mut completion);
    if let Some(usage) = chunk.usage_anywhere().filter(|_| !has_usage(chunk)) {
        completion.usage = Usage::read(usage).map(|usage| usage.json());
    }
    Ok(Whole::Parsed(completion))
}

/// Whether a client can take the reply as it is.
fn is_right(chunk: &Chunk<'_>) -> Result<bool, DecodeError> {
    let is = |raw: Raw<'_>, text: &str| raw.is_some_and(|raw| raw.get() == text);
    let number = |raw: Raw<'_>| raw.is_some_and(|raw| raw.get().parse::<u64>().is_ok());
    let headed =
        filled(chunk.id).is_some() && filled(chunk.model).is_some() && number(chunk.created) && is(chunk.object, "\"chat.completion\"");
    let mut indices = HashSet::new();
    let mut right = headed && has_usage(chunk);
    for choice in chunk.choices.iter().flatten() {
        let Some(message) = choice.message.filter(|raw| raw.get() != "null") else {
            // Azure leaves the message out if its filter took all of it: the reason is the answer.
            if reason(choice.finish_reason).is_none() && choice.text.is_none() {
                return Err(malformed("a choice without a `message`"));
            }
            right = false;
            continue;
        };
        let said = Said::read(message)?;
        let calls = said.tool_calls.filter(|raw| says(raw)).map(calls).transpose()?.unwrap_or_default();
        let whole_call = |call: &Call<'_>| {
            let function = call.function.as_ref();
            // Calls of other kinds have no function and pass as they are.
            function.is_none_or(|function| filled(call.id).is_some() && function.arguments.is_some_and(|raw| raw.get().starts_with('"')))
        };
        let reason = reason(choice.finish_reason);
        right &= number(choice.index) && indices.insert(choice.index.map(RawValue::get));
        right &= reason.is_some_and(|reason| canonical_reason(reason, !calls.is_empty()) == reason);
        right &= said.odd.is_empty() && said.tool_calls.is_none_or(|raw| !raw.get().starts_with('{'));
        right &= filled(said.role).is_some() && calls.iter().all(|(_, call)| whole_call(call));
    }
    Ok(right)
}

/// Whether the usage is where clients look for it, in a form that they take. A reply without any has none to look for.
fn has_usage(chunk: &Chunk<'_>) -> bool {
    match chunk.usage.filter(|raw| says(raw)) {
        Some(usage) => Usage::is_regular(usage) || Usage::read(usage).is_none(),
        None => chunk.usage_anywhere().is_none(),
    }
}

/// The text as our parser takes it; none if it is that already. Every choice has a number, a message with a role, whose texts are texts, and a
/// reason that is a word or `null`.
fn readable<'a>(text: &'a str, chunk: &Chunk<'a>, choices: &[Entry<'a>]) -> Result<Option<Vec<u8>>, DecodeError> {
    let mut splice = Splice::new(text);
    let is_text = |raw: &RawValue| raw.get().starts_with('"') || raw.get() == "null";
    for odd in [chunk.id, chunk.model].into_iter().flatten().filter(|raw| !is_text(raw)) {
        splice.replace(odd, "null");
    }
    if let Some(created) = chunk.created.filter(|raw| raw.get() != "null" && raw.get().parse::<f64>().is_err()) {
        splice.replace(created, "null");
    }
    for (place, choice) in (0_u32..).zip(choices) {
        if let Some(index) = choice.index.filter(|raw| raw.get().parse::<u32>().is_err()) {
            splice.replace(index, index.get().trim_matches('"').parse().unwrap_or(place).to_string());
        }
        if let Some(raw) = choice.finish_reason.filter(|raw| raw.get() != "null" && reason(Some(raw)).is_none()) {
            splice.replace(raw, "null");
        }
        message(choice, &mut splice)?;
    }
    Ok(splice.done())
}

fn message<'a>(choice: &Entry<'a>, splice: &mut Splice<'a>) -> Result<(), DecodeError> {
    let Some(message) = choice.message.filter(|raw| raw.get() != "null") else {
        let content = filled(choice.text).map_or("null", RawValue::get);
        let message = format!("{{\"role\":\"assistant\",\"content\":{content},\"refusal\":null}}");
        match (choice.message, choice.finish_reason.or(choice.text)) {
            (Some(null), _) => splice.replace(null, message),
            (None, Some(neighbour)) => splice.behind(neighbour, format!(",\"message\":{message}")),
            (None, None) => {}
        }
        return Ok(());
    };
    let said = Said::read(message)?;
    match said.role {
        Some(role) if filled(Some(role)).is_some() => {}
        // Only the assistant answers.
        Some(role) => splice.replace(role, "\"assistant\""),
        None if message.get()[1..].trim_start().starts_with('"') => splice.first(message, "\"role\":\"assistant\","),
        None => splice.replace(message, "{\"role\":\"assistant\"}"),
    }
    parts::mend(&said, splice);
    if let Some(call) = said.tool_calls.filter(|raw| raw.get().starts_with('{')) {
        if says(call) { splice.around(call, "[", "]") } else { splice.replace(call, "[]") }
    }
    Ok(())
}

fn mend(name: &Name, completion: &mut Completion) {
    let Completion { id, created, model, choices, .. } = completion;
    for (field, ours) in [(&mut *id, &name.id), (model, &name.model)] {
        if field.is_empty() {
            field.clone_from(ours);
        }
    }
    if *created == 0 {
        *created = name.created;
    }
    let mut indices = HashSet::new();
    let distinct = choices.iter().all(|choice| indices.insert(choice.index));
    for (at, choice) in (0..).zip(choices) {
        choice.index = if distinct { choice.index } else { at };
        let calls = &mut choice.message.tool_calls;
        for (index, call) in (0..).zip(calls.iter_mut()) {
            mend_call(call, || call_id::made(&name.id, at, index));
        }
        let reason = choice.finish_reason.take();
        let reason = canonical_reason(reason.as_deref().unwrap_or("stop"), !choice.message.tool_calls.is_empty());
        choice.finish_reason = Some(reason.to_owned());
    }
}

/// Gives a function call its id, and its arguments as a string of JSON.
fn mend_call(call: &mut ToolCall, id: impl FnOnce() -> String) {
    if let ToolCall::Other(raw) = call
        && let Some(mended) = function_call(raw)
    {
        *call = ToolCall::Function(mended);
    }
    let ToolCall::Function(call) = call else { return };
    if call.id.is_empty() {
        call.id = id();
    }
    if call.arguments.is_empty() {
        call.arguments = "{}".into();
    }
}

/// A function call of which the id or the string around the arguments is missing; none if it is something else.
fn function_call(raw: &RawValue) -> Option<FunctionCall> {
    let mut fields: BTreeMap<String, Json> = serde_json::from_str(raw.get()).ok()?;
    let function: BTreeMap<String, Json> = serde_json::from_str(fields.remove("function")?.get()).ok()?;
    let string = |raw: Option<&Json>| serde_json::from_str::<String>(raw?.get()).ok().filter(|text| !text.is_empty());
    let name = string(function.get("name"))?;
    let arguments = match function.get("arguments") {
        None => String::new(),
        Some(raw) if raw.get() == "null" => String::new(),
        Some(raw) => serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned()),
    };
    let id = string(fields.get("id")).unwrap_or_default();
    fields.retain(|name, _| !matches!(name.as_str(), "id" | "type" | "index"));
    Some(FunctionCall { id, name, arguments, extra: fields.into_iter().collect() })
}
