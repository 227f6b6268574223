//! Writing: domain values in OpenAI's form, unknown fields after the known ones as they came.
//! Must not decide anything: what is written is what the value holds.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::chat::{Choice, Completion, Content, Fields, FunctionCall, Message, Part, ToolCall};

/// A request as a provider gets it.
pub(super) struct ProviderRequest<'a> {
    pub(super) model: &'a str,
    pub(super) messages: &'a [Message],
    pub(super) params: &'a Fields,
    pub(super) stream: bool,
}

impl Serialize for ProviderRequest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("model", self.model)?;
        map.serialize_entry("messages", self.messages)?;
        map.serialize_entry("stream", &self.stream)?;
        // `stream_options` without `stream` is refused by OpenAI.
        let kept = |name: &str| self.stream || name != "stream_options";
        write(&mut map, self.params.iter().filter(|(name, _)| kept(name)))?;
        map.end()
    }
}

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", &self.role)?;
        map.serialize_entry("content", &self.content)?;
        if let Some(name) = &self.name {
            map.serialize_entry("name", name)?;
        }
        if !self.tool_calls.is_empty() {
            map.serialize_entry("tool_calls", &self.tool_calls)?;
        }
        if let Some(id) = &self.tool_call_id {
            map.serialize_entry("tool_call_id", id)?;
        }
        write(&mut map, &self.extra)?;
        map.end()
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Content::Null => serializer.serialize_unit(),
            Content::Text(text) => serializer.serialize_str(text),
            Content::Parts(parts) => parts.serialize(serializer),
        }
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Part::Other(raw) => raw.serialize(serializer),
            Part::Text { text, extra } => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("type", "text")?;
                map.serialize_entry("text", text)?;
                write(&mut map, extra)?;
                map.end()
            }
        }
    }
}

impl Serialize for ToolCall {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            ToolCall::Other(raw) => raw.serialize(serializer),
            ToolCall::Function(call) => {
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("id", &call.id)?;
                map.serialize_entry("type", "function")?;
                map.serialize_entry("function", &Function(call))?;
                write(&mut map, &call.extra)?;
                map.end()
            }
        }
    }
}

/// An object of which nothing is known.
pub(super) struct Object<'a>(pub(super) &'a Fields);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        write(&mut map, self.0)?;
        map.end()
    }
}

struct Function<'a>(&'a FunctionCall);

impl Serialize for Function<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("name", &self.0.name)?;
        map.serialize_entry("arguments", &self.0.arguments)?;
        map.end()
    }
}

impl Serialize for Completion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("object", "chat.completion")?;
        map.serialize_entry("created", &self.created)?;
        map.serialize_entry("model", &self.model)?;
        map.serialize_entry("choices", &self.choices)?;
        if let Some(usage) = &self.usage {
            map.serialize_entry("usage", usage)?;
        }
        write(&mut map, &self.extra)?;
        map.end()
    }
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("index", &self.index)?;
        map.serialize_entry("message", &self.message)?;
        map.serialize_entry("finish_reason", &self.finish_reason)?;
        // The published schema requires `logprobs`, null included.
        if !self.extra.iter().any(|(name, _)| name == "logprobs") {
            map.serialize_entry("logprobs", &())?;
        }
        write(&mut map, &self.extra)?;
        map.end()
    }
}

fn write<'a, M: SerializeMap>(map: &mut M, fields: impl IntoIterator<Item = &'a (String, crate::chat::Json)>) -> Result<(), M::Error> {
    for (name, value) in fields {
        map.serialize_entry(name, value)?;
    }
    Ok(())
}
