//! A whole reply in the contract's own shapes, as a guest is handed it. Nothing that a provider said is lost on the way.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::chat::{self, Content, Fields, Part, ToolCall};
use crate::sandbox::bindings::types as wit;

pub(super) fn message(message: chat::Message) -> wit::Message {
    let chat::Message { role, content, name, tool_calls, tool_call_id, extra } = message;
    let content = match content {
        Content::Null => Vec::new(),
        Content::Text(text) => vec![wit::Part::Text(wit::TextPart { text, extra: Vec::new() })],
        Content::Parts(parts) => parts.into_iter().map(part).collect(),
    };
    let tool_calls = tool_calls.into_iter().map(tool_call).collect();
    wit::Message { role, content, tool_calls, tool_call_id, name, extra: fields(extra) }
}

/// None if it is no object, as providers send that know nothing.
pub(super) fn usage(json: &RawValue) -> Option<wit::Usage> {
    let counts = chat::Usage::read(json)?;
    let all: BTreeMap<String, &RawValue> = serde_json::from_str(json.get()).ok()?;
    let extra = all.into_iter().filter(|(name, _)| !matches!(name.as_str(), "prompt_tokens" | "completion_tokens"));
    let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    Some(wit::Usage {
        prompt_tokens: count(counts.prompt),
        completion_tokens: count(counts.completion),
        extra: extra.map(|(name, value)| wit::Field { name, value: value.get().to_owned() }).collect(),
    })
}

fn part(part: Part) -> wit::Part {
    match part {
        Part::Text { text, extra } => wit::Part::Text(wit::TextPart { text, extra: fields(extra) }),
        Part::Other(json) => wit::Part::Other(json.get().to_owned()),
    }
}

fn tool_call(call: ToolCall) -> wit::ToolCall {
    match call {
        ToolCall::Other(json) => wit::ToolCall::Other(json.get().to_owned()),
        ToolCall::Function(chat::FunctionCall { id, name, arguments, extra }) => {
            wit::ToolCall::Function(wit::FunctionCall { id, name, arguments, extra: fields(extra) })
        }
    }
}

fn fields(list: Fields) -> Vec<wit::Field> {
    list.into_iter().map(|(name, value)| wit::Field { name, value: value.get().to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::codec;

    #[test]
    fn usage_keeps_what_the_contract_has_no_field_for() {
        let json = codec::raw_json(&serde_json::json!({"prompt_tokens": 3, "completion_tokens": 4, "cost": 0.5}));
        let read = usage(&json).expect("usage");
        assert_eq!((read.prompt_tokens, read.completion_tokens), (3, 4));
        assert!(matches!(&read.extra[..], [wit::Field { name, value }] if name == "cost" && value == "0.5"));
        assert!(usage(&codec::raw_json(&serde_json::Value::Null)).is_none());
    }
}
