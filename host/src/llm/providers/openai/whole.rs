//! A whole OpenAI-shaped reply: forwarded as it came where it is right, parsed and mended where it is not.
//! Must not know streams or who asks.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use serde_json::value::RawValue;

use super::shape::{Call, Chunk, Entry, Raw, Said, calls, canonical_reason, filled, malformed, says};
use super::splice::Splice;
use crate::chat::codec::parse_completion;
use crate::chat::{Completion, FunctionCall, Json, Name, ToolCall, Whole};
use crate::llm::call_id;
use crate::llm::provider_error::DecodeError;

/// The reply in `body`, which is `text` with the shape `chunk`.
///
/// # Errors
/// `Malformed` where it is no completion.
pub(super) fn whole<'a>(name: &Name, body: &Bytes, text: &'a str, chunk: &Chunk<'a>) -> Result<Whole, DecodeError> {
    let Some(choices) = &chunk.choices else { return Err(malformed("it has no `choices`")) };
    if is_right(chunk)? {
        return Ok(Whole::Raw(body.clone()));
    }
    let with_roles = with_roles(text, choices)?;
    let mut completion =
        parse_completion(with_roles.as_deref().unwrap_or(body)).map_err(|invalid| DecodeError::Malformed(invalid.message))?;
    mend(name, &mut completion);
    Ok(Whole::Parsed(completion))
}

/// Whether a client can take the reply as it is.
fn is_right(chunk: &Chunk<'_>) -> Result<bool, DecodeError> {
    let is = |raw: Raw<'_>, text: &str| raw.is_some_and(|raw| raw.get() == text);
    let number = |raw: Raw<'_>| raw.is_some_and(|raw| raw.get().parse::<u64>().is_ok());
    let headed =
        filled(chunk.id).is_some() && filled(chunk.model).is_some() && number(chunk.created) && is(chunk.object, "\"chat.completion\"");
    let mut indices = HashSet::new();
    let mut right = headed;
    for choice in chunk.choices.iter().flatten() {
        let message = choice.message.ok_or_else(|| malformed("a choice without a `message`"))?;
        let said = Said::read(message)?;
        let calls = said.tool_calls.filter(|raw| says(raw)).map(calls).transpose()?.unwrap_or_default();
        let whole_call = |call: &Call<'_>| {
            let function = call.function.as_ref();
            // Calls of other kinds have no function and pass as they are.
            function.is_none_or(|function| filled(call.id).is_some() && function.arguments.is_some_and(|raw| raw.get().starts_with('"')))
        };
        let reason = filled(choice.finish_reason).map(|raw| raw.get().trim_matches('"'));
        right &= number(choice.index) && indices.insert(choice.index.map(RawValue::get));
        right &= reason.is_some_and(|reason| canonical_reason(reason, !calls.is_empty()) == reason);
        right &= filled(said.role).is_some() && calls.iter().all(|(_, call)| whole_call(call));
    }
    Ok(right)
}

/// The text with a role in every message, which no parser of ours does without; none where it has them. Only the assistant answers.
fn with_roles<'a>(text: &'a str, choices: &[Entry<'a>]) -> Result<Option<Vec<u8>>, DecodeError> {
    let mut splice = Splice::new(text);
    for message in choices.iter().filter_map(|choice| choice.message) {
        match Said::read(message)?.role {
            Some(role) if filled(Some(role)).is_some() => {}
            Some(role) => splice.replace(role, "\"assistant\""),
            None if message.get()[1..].trim_start().starts_with('"') => splice.first(message, "\"role\":\"assistant\","),
            None => splice.replace(message, "{\"role\":\"assistant\"}"),
        }
    }
    Ok(splice.done())
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
        let reason = choice.finish_reason.take().filter(|reason| !reason.is_empty());
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

/// A function call of which the id or the string around the arguments is missing; none where it is something else.
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
