//! Domain values to the contract's shapes and back, with every text that claims to be JSON checked on the way in.
//! Must not decide what an outcome means.

use super::bindings::types as wit;
use crate::chat::codec::json;
use crate::chat::{Content, Exchange, Fields, FunctionCall, Message, Metadata, Part, ToolCall};

/// A domain value, or what is wrong with the guest's.
type Checked<T> = Result<T, String>;

/// Keys that the shapes model: among the unmodelled fields they would hide what hooks and the model see.
const OF_MESSAGE: [&str; 5] = ["role", "content", "name", "tool_calls", "tool_call_id"];
const OF_TEXT: [&str; 2] = ["type", "text"];
const OF_CALL: [&str; 3] = ["id", "type", "function"];

pub(super) fn context(exchange: &Exchange) -> wit::Context {
    wit::Context {
        request_id: exchange.id.to_string(),
        pipeline: exchange.pipeline.to_string(),
        caller: exchange.caller.as_deref().map(str::to_owned),
        stream: exchange.stream,
        attempt: exchange.tries.begun(),
        deadline_ms: u64::try_from(exchange.deadline.remaining().as_millis()).unwrap_or(u64::MAX),
    }
}

pub(super) fn fields<'a>(fields: impl IntoIterator<Item = (&'a String, &'a crate::chat::Json)>) -> Vec<wit::Field> {
    fields.into_iter().map(|(name, value)| wit::Field { name: name.clone(), value: value.get().to_owned() }).collect()
}

pub(super) fn message(message: &Message) -> wit::Message {
    let content = match &message.content {
        Content::Null => Vec::new(),
        Content::Text(text) => vec![wit::Part::Text(wit::TextPart { text: text.clone(), extra: Vec::new() })],
        Content::Parts(parts) => parts.iter().map(part).collect(),
    };
    wit::Message {
        role: message.role.clone(),
        content,
        tool_calls: message.tool_calls.iter().map(tool_call).collect(),
        tool_call_id: message.tool_call_id.clone(),
        name: message.name.clone(),
        extra: pairs(&message.extra),
    }
}

fn pairs(list: &Fields) -> Vec<wit::Field> {
    fields(list.iter().map(|(name, value)| (name, value)))
}

fn part(part: &Part) -> wit::Part {
    match part {
        Part::Text { text, extra } => wit::Part::Text(wit::TextPart { text: text.clone(), extra: pairs(extra) }),
        Part::Other(raw) => wit::Part::Other(raw.get().to_owned()),
    }
}

fn tool_call(call: &ToolCall) -> wit::ToolCall {
    match call {
        ToolCall::Other(raw) => wit::ToolCall::Other(raw.get().to_owned()),
        ToolCall::Function(call) => wit::ToolCall::Function(wit::FunctionCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
            extra: pairs(&call.extra),
        }),
    }
}

/// A guest's message as a domain value. Content of one plain text part becomes a string, no part becomes `null`.
pub(super) fn message_back(message: wit::Message) -> Checked<Message> {
    if message.role.is_empty() {
        return Err("a message has an empty role".into());
    }
    Ok(Message {
        role: message.role,
        content: content_back(message.content)?,
        name: message.name,
        tool_calls: message.tool_calls.into_iter().map(tool_call_back).collect::<Checked<_>>()?,
        tool_call_id: message.tool_call_id,
        extra: fields_back(message.extra, "extra", &OF_MESSAGE)?,
    })
}

fn content_back(mut parts: Vec<wit::Part>) -> Checked<Content> {
    match parts.as_mut_slice() {
        [] => Ok(Content::Null),
        [wit::Part::Text(only)] if only.extra.is_empty() => Ok(Content::Text(std::mem::take(&mut only.text))),
        _ => parts.into_iter().map(part_back).collect::<Checked<_>>().map(Content::Parts),
    }
}

fn part_back(part: wit::Part) -> Checked<Part> {
    Ok(match part {
        wit::Part::Text(text) => Part::Text { text: text.text, extra: fields_back(text.extra, "extra of a text part", &OF_TEXT)? },
        wit::Part::Other(text) => Part::Other(object(text, "a content part")?),
    })
}

fn tool_call_back(call: wit::ToolCall) -> Checked<ToolCall> {
    Ok(match call {
        wit::ToolCall::Other(text) => ToolCall::Other(object(text, "a tool call")?),
        wit::ToolCall::Function(call) => ToolCall::Function(FunctionCall {
            id: call.id,
            name: call.name,
            arguments: call.arguments,
            extra: fields_back(call.extra, "extra of a tool call", &OF_CALL)?,
        }),
    })
}

fn fields_back(list: Vec<wit::Field>, what: &str, known: &[&str]) -> Checked<Fields> {
    if let Some(field) = list.iter().find(|field| known.contains(&field.name.as_str())) {
        return Err(format!("{what} holds `{}`, which has a place of its own", field.name));
    }
    list.into_iter().map(|field| value(field.value, &format!("{what}.{}", field.name)).map(|value| (field.name, value))).collect()
}

/// A text that claims to be JSON.
fn value(text: String, what: &str) -> Checked<crate::chat::Json> {
    parsed(&text, what)?;
    kept(text, what)
}

/// A text that claims to be a JSON object.
fn object(text: String, what: &str) -> Checked<crate::chat::Json> {
    if !parsed(&text, what)?.is_object() {
        return Err(format!("{what} is no JSON object"));
    }
    kept(text, what)
}

fn kept(text: String, what: &str) -> Checked<crate::chat::Json> {
    json(text).map_err(|error| format!("{what} is no valid JSON: {error}"))
}

/// Keeping a text unparsed checks its brackets only; depth, numbers and escapes are checked here.
fn parsed(text: &str, what: &str) -> Checked<serde_json::Value> {
    serde_json::from_str(text).map_err(|error| format!("{what} is no valid JSON: {error}"))
}

/// Checked changes to a keyed set; none takes the key away.
pub(super) type Changes = Vec<(String, Option<crate::chat::Json>)>;

pub(super) fn changes_back(list: Vec<wit::FieldChange>, what: &str) -> Checked<Changes> {
    let check = |change: wit::FieldChange| {
        let checked = change.value.map(|text| value(text, &format!("{what}.{}", change.name))).transpose()?;
        Ok((change.name, checked))
    };
    list.into_iter().map(check).collect()
}

/// Applies changes to metadata.
pub(super) fn apply_metadata(changes: Changes, metadata: &mut Metadata) {
    for (name, value) in changes {
        match value {
            Some(value) => drop(metadata.insert(name, value)),
            None => drop(metadata.remove(&name)),
        }
    }
}

/// Applies changes to ordered fields: a known name keeps its place.
pub(super) fn apply_fields(changes: Changes, fields: &mut Fields) {
    for (name, value) in changes {
        match (fields.iter().position(|(known, _)| *known == name), value) {
            (Some(at), Some(value)) => fields[at].1 = value,
            (None, Some(value)) => fields.push((name, value)),
            (_, None) => fields.retain(|(known, _)| *known != name),
        }
    }
}
