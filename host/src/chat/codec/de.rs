//! Reading: one pass over the text, straight into domain values.
//! Known keys are typed, all others stay as they came.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::request::ChatRequest;
use crate::chat::{CHOICES_MAX, Choice, Completion, Content, Fields, FunctionCall, HEAD_BYTES_MAX, Json, Message, Part, ToolCall};

/// A visitor for a JSON object whose body is `$read`, a function of the map.
macro_rules! object {
    ($target:ty, $what:literal, $read:expr) => {
        impl<'de> Deserialize<'de> for $target {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;
                impl<'de> Visitor<'de> for Object {
                    type Value = $target;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                        $read(map)
                    }
                }
                deserializer.deserialize_map(Object)
            }
        }
    };
}

object!(ChatRequest, "an object", read_request);
object!(Message, "a message object", read_message);
object!(Completion, "a chat.completion object", read_completion);
object!(Choice, "a choice object", read_choice);
object!(AllFields, "an object", read_all);

/// An object of which nothing is known.
pub(super) struct AllFields(pub(super) Fields);

fn read_request<'de, A: MapAccess<'de>>(mut map: A) -> Result<ChatRequest, A::Error> {
    let (mut model, mut messages, mut stream, mut toggles) = (None, None, None, None);
    let mut params = Fields::new();
    while let Some(key) = map.next_key::<String>()? {
        match key.as_str() {
            "model" => model = Some(map.next_value()?),
            "messages" => messages = Some(map.next_value()?),
            "stream" => stream = map.next_value::<Option<bool>>()?,
            "pipeline" => toggles = Some(map.next_value()?),
            _ => params.push((key, map.next_value()?)),
        }
    }
    last_wins(&mut params);
    Ok(ChatRequest {
        model: model.ok_or_else(|| A::Error::missing_field("model"))?,
        messages: messages.ok_or_else(|| A::Error::missing_field("messages"))?,
        stream: stream.unwrap_or(false),
        toggles,
        params,
    })
}

fn read_message<'de, A: MapAccess<'de>>(mut map: A) -> Result<Message, A::Error> {
    let mut message = Message::default();
    let mut role = None;
    while let Some(key) = map.next_key::<String>()? {
        match key.as_str() {
            "role" => role = Some(map.next_value()?),
            "content" => message.content = map.next_value()?,
            "name" => message.name = map.next_value()?,
            "tool_calls" => message.tool_calls = map.next_value::<Option<_>>()?.unwrap_or_default(),
            "tool_call_id" => message.tool_call_id = map.next_value()?,
            _ => message.extra.push((key, map.next_value()?)),
        }
    }
    message.role = role.ok_or_else(|| A::Error::missing_field("role"))?;
    last_wins(&mut message.extra);
    Ok(message)
}

fn read_completion<'de, A: MapAccess<'de>>(mut map: A) -> Result<Completion, A::Error> {
    let (mut id, mut created, mut model, mut choices, mut usage) = (None, None, None, None, None);
    let mut extra = Fields::new();
    while let Some(key) = map.next_key::<String>()? {
        match key.as_str() {
            "id" => id = map.next_value()?,
            "created" => created = map.next_value::<Option<f64>>()?,
            "model" => model = map.next_value()?,
            "choices" => choices = Some(map.next_value()?),
            "usage" => usage = map.next_value::<Option<Json>>()?,
            "object" => drop(map.next_value::<IgnoredAny>()?),
            _ => extra.push((key, map.next_value()?)),
        }
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time in seconds; a cast saturates")]
    let created = created.unwrap_or(0.0) as u64;
    let (id, model): (String, String) = (id.unwrap_or_default(), model.unwrap_or_default());
    let choices: Vec<Choice> = choices.ok_or_else(|| A::Error::missing_field("choices"))?;
    // Re-streamed, each of very many chunks would repeat them.
    if id.len() > HEAD_BYTES_MAX || model.len() > HEAD_BYTES_MAX || choices.len() > CHOICES_MAX {
        return Err(A::Error::custom("its id, its model or the number of its choices is absurd"));
    }
    Ok(Completion { id, created, model, choices, usage, extra })
}

fn read_choice<'de, A: MapAccess<'de>>(mut map: A) -> Result<Choice, A::Error> {
    let (mut index, mut message, mut finish_reason) = (0, None, None);
    let mut extra = Fields::new();
    while let Some(key) = map.next_key::<String>()? {
        match key.as_str() {
            "index" => index = map.next_value()?,
            "message" => message = Some(map.next_value()?),
            "finish_reason" => finish_reason = map.next_value()?,
            _ => extra.push((key, map.next_value()?)),
        }
    }
    Ok(Choice { index, message: message.ok_or_else(|| A::Error::missing_field("message"))?, finish_reason, extra })
}

fn read_all<'de, A: MapAccess<'de>>(map: A) -> Result<AllFields, A::Error> {
    read_fields(map).map(AllFields)
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyContent;
        impl<'de> Visitor<'de> for AnyContent {
            type Value = Content;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list of content parts or null")
            }
            fn visit_unit<E: Error>(self) -> Result<Content, E> {
                Ok(Content::Null)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }
            fn visit_string<E: Error>(self, text: String) -> Result<Content, E> {
                Ok(Content::Text(text))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts))
            }
        }
        deserializer.deserialize_any(AnyContent)
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Borrowed, because a part may be as long as the whole text.
        let raw = <&RawValue>::deserialize(deserializer)?;
        let mut fields = borrowed_fields(raw).map_err(D::Error::custom)?;
        match take_string(&mut fields, "type").as_deref() {
            None => Err(D::Error::missing_field("type")),
            Some("text") => match take_string(&mut fields, "text") {
                Some(text) => Ok(Part::Text { text, extra: owned(fields) }),
                None => Err(D::Error::custom("missing field `text`")),
            },
            Some(_) => Ok(Part::Other(raw.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for ToolCall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let other = || Ok(ToolCall::Other(raw.to_owned()));
        let mut fields = borrowed_fields(raw).map_err(D::Error::custom)?;
        let Some(function) = fields.iter().position(|(key, _)| key == "function") else { return other() };
        let (_, function) = fields.remove(function);
        let mut function = borrowed_fields(function).map_err(D::Error::custom)?;
        // What OpenAI's own clients read of the arguments, and send back with them.
        function.retain(|(name, _)| name != "parsed_arguments");
        take_string(&mut fields, "type");
        let id = take_string(&mut fields, "id");
        let name = take_string(&mut function, "name");
        let arguments = take_string(&mut function, "arguments");
        match (id, name, arguments) {
            (Some(id), Some(name), arguments) if function.is_empty() => {
                Ok(ToolCall::Function(FunctionCall { id, name, arguments: arguments.unwrap_or_default(), extra: owned(fields) }))
            }
            _ => other(),
        }
    }
}

/// The fields of an object in their order, where they stand in its text; of fields with one name the last counts.
///
/// # Errors
/// If it is no object.
pub fn borrowed_fields(raw: &RawValue) -> Result<Vec<(String, &RawValue)>, serde_json::Error> {
    struct Object;
    impl<'de> Visitor<'de> for Object {
        type Value = Vec<(String, &'de RawValue)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            read_fields(map)
        }
    }
    serde_json::Deserializer::from_str(raw.get()).deserialize_map(Object)
}

fn read_fields<'de, V: Deserialize<'de>, A: MapAccess<'de>>(mut map: A) -> Result<Vec<(String, V)>, A::Error> {
    let mut fields = Vec::new();
    while let Some(field) = map.next_entry()? {
        fields.push(field);
    }
    last_wins(&mut fields);
    Ok(fields)
}

fn owned(fields: Vec<(String, &RawValue)>) -> Fields {
    fields.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

/// Of fields with one name the last stays, as parsers commonly have it: hooks must see what the provider will see.
fn last_wins<V>(fields: &mut Vec<(String, V)>) {
    if fields.len() < 2 {
        return;
    }
    let mut seen = HashSet::with_capacity(fields.len());
    // Back to front, so that popping meets the fields in their order.
    let mut last: Vec<bool> = fields.iter().rev().map(|(name, _)| seen.insert(name.as_str())).collect();
    drop(seen);
    fields.retain(|_| last.pop().unwrap_or(true));
}

/// Takes the field out if it is there and a string.
fn take_string(fields: &mut Vec<(String, &RawValue)>, name: &str) -> Option<String> {
    let at = fields.iter().position(|(key, _)| key == name)?;
    let text = serde_json::from_str::<String>(fields[at].1.get()).ok()?;
    fields.remove(at);
    Some(text)
}
