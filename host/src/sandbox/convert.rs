//! The contract's shapes, as a guest returned them, to domain values. Every text that claims to be JSON is checked on the way, so that
//! nothing invalid leaves this file.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::bindings::types as wit;
use crate::chat::codec::{alike, json};
use crate::chat::{Content, Fields, FunctionCall, Message, Metadata, Part, ToolCall};

/// A domain value, or what is wrong with the guest's value.
type Checked<T> = Result<T, String>;

/// Keys that the contract's shapes have fields for. Among the other fields they would hide what hooks and the model see, also in another
/// spelling, which lenient decoders take for the same.
const OF_MESSAGE: [&str; 5] = ["role", "content", "name", "tool_calls", "tool_call_id"];
const OF_TEXT: [&str; 2] = ["type", "text"];
const OF_CALL: [&str; 3] = ["id", "type", "function"];

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
    in_no_others_place(list.iter().map(|field| field.name.as_str()), what, known)?;
    list.into_iter().map(|field| value(field.value, &format!("{what}.{}", field.name)).map(|value| (field.name, value))).collect()
}

fn in_no_others_place<'a>(mut names: impl Iterator<Item = &'a str>, what: &str, known: &[&str]) -> Checked<()> {
    match names.find(|name| known.iter().any(|known| alike(name, known))) {
        Some(name) => Err(format!("{what} holds `{name}`, which has a place of its own")),
        None => Ok(()),
    }
}

/// Checks a message that was read from JSON as strictly as one of the contract's shapes.
pub(super) fn check_message(message: &Message) -> Checked<()> {
    if message.role.is_empty() {
        return Err("a message has an empty role".into());
    }
    let check = |fields: &Fields, what: &str, known: &[&str]| in_no_others_place(fields.iter().map(|(name, _)| name.as_str()), what, known);
    check(&message.extra, "a message", &OF_MESSAGE)?;
    if let Content::Parts(parts) = &message.content {
        for part in parts {
            if let Part::Text { extra, .. } = part {
                check(extra, "a text part", &OF_TEXT)?;
            }
        }
    }
    for call in &message.tool_calls {
        if let ToolCall::Function(call) = call {
            check(&call.extra, "a tool call", &OF_CALL)?;
        }
    }
    Ok(())
}

/// Checks that a text is JSON, as strictly as if all of it were kept as values.
pub(super) fn check_json(text: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice::<Shape>(text).map(drop)
}

/// A text that claims to be JSON.
pub(super) fn value(text: String, what: &str) -> Checked<crate::chat::Json> {
    valid(&text, what)?;
    kept(text, what)
}

/// A text that claims to be a JSON object.
pub(super) fn object(text: String, what: &str) -> Checked<crate::chat::Json> {
    if valid(&text, what)? != Shape::Object {
        return Err(format!("{what} is no JSON object"));
    }
    kept(text, what)
}

fn kept(text: String, what: &str) -> Checked<crate::chat::Json> {
    json(text).map_err(|error| format!("{what} is no valid JSON: {error}"))
}

/// Read whole: to keep a text as it is checks its brackets only, not depth, numbers and escapes.
fn valid(text: &str, what: &str) -> Checked<Shape> {
    serde_json::from_str(text).map_err(|error| format!("{what} is no valid JSON: {error}"))
}

/// What a JSON text is. Nothing of it is kept, because what a guest returned in a megabyte would be thirty of values.
#[derive(PartialEq)]
enum Shape {
    Object,
    Other,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
        while list.next_element::<Shape>()?.is_some() {}
        Ok(Shape::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        while map.next_entry::<Shape, Shape>()?.is_some() {}
        Ok(Shape::Object)
    }
}

/// Checked changes to a keyed set; `None` removes the key.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_the_contracts_is_no_other_field_in_any_spelling() {
        let message = |name: &str| wit::Message {
            role: "user".into(),
            content: Vec::new(),
            name: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            extra: vec![wit::Field { name: name.into(), value: "1".into() }],
        };
        for name in ["role", "Role", "CONTENT", "toolCalls", "tool-call-id", "tool_call\u{17f}"] {
            assert!(message_back(message(name)).is_err_and(|why| why.contains("place of its own")), "{name}");
        }
        assert!(message_back(message("refusal")).is_ok() && message_back(message("roles")).is_ok());
        let part = |name: &str| fields_back(vec![wit::Field { name: name.into(), value: "1".into() }], "x", &OF_TEXT);
        assert!(part("TEXT").is_err() && part("Type").is_err() && part("cache_control").is_ok());
        let call = |name: &str| fields_back(vec![wit::Field { name: name.into(), value: "1".into() }], "x", &OF_CALL);
        assert!(call("Function").is_err() && call("ID").is_err() && call("index").is_ok());
    }

    #[test]
    fn json_is_read_whole_and_as_strictly_as_if_it_were_kept() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        let (within, beyond) = (deep(127), deep(128));
        for text in ["null", "true", "1", "-1", "1.5e3", "18446744073709551616", r#""\u00e9""#, "[]", r#"{"a":[{}]}"#, &within] {
            assert_eq!((valid(text, "x").is_ok(), serde_json::from_str::<serde_json::Value>(text).is_ok()), (true, true), "{text}");
        }
        for text in ["", "nul", "01", "1e999", r#""\ud800""#, r#""\x""#, "[1,]", r#"{"a" 1}"#, "{1:2}", "1 2", &beyond] {
            assert_eq!((valid(text, "x").is_ok(), serde_json::from_str::<serde_json::Value>(text).is_ok()), (false, false), "{text}");
        }
        assert!(object("[]".into(), "x").is_err() && object(" {}".into(), "x").is_ok());
    }
}
