//! A conversation as Azure takes it: without fields that it does not know, and with only text in the answers of tools.
//! Source: "Azure OpenAI in Foundry Models REST API reference", messages.

use serde::Deserialize;

use crate::chat::codec::json_string;
use crate::chat::{Content, Fields, Message, Part, ToolCall};
use crate::llm::call_id;

/// Fields that clients copy from replies of other providers into the history. Each alone makes Azure refuse the request.
const FOREIGN: [&str; 8] = [
    "cache_control",
    "extra_content",
    "provider_specific_fields",
    "reasoning",
    "reasoning_content",
    "reasoning_details",
    "reasoning_items",
    "thinking_blocks",
];

/// Kinds of parts that hold thoughts.
const THOUGHTS: [&str; 3] = ["reasoning", "redacted_thinking", "thinking"];

/// The messages as Azure takes them.
pub(super) fn accepted(messages: &[Message]) -> Vec<Message> {
    let mut out: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    let mut hoisted = Vec::new();
    for message in call_id::fitted(messages).iter() {
        if message.role != "tool" {
            release(&mut hoisted, &mut out);
        }
        let mut message = message.clone();
        remove_foreign(&mut message);
        if message.role == "tool" {
            hoist(&mut message, &mut hoisted);
        }
        out.push(message);
    }
    release(&mut hoisted, &mut out);
    out
}

/// Removes what came from other providers.
fn remove_foreign(message: &mut Message) {
    let strip = |fields: &mut Fields| fields.retain(|(name, _)| !FOREIGN.contains(&name.as_str()));
    strip(&mut message.extra);
    for call in &mut message.tool_calls {
        if let ToolCall::Function(call) = call {
            strip(&mut call.extra);
        }
    }
    let Content::Parts(parts) = &mut message.content else { return };
    for part in parts.iter_mut() {
        if let Part::Text { extra, .. } = part {
            strip(extra);
        }
    }
    if message.role == "assistant" {
        parts.retain(|part| !is_thought(part));
        if parts.is_empty() {
            message.content = Content::Null;
        }
    }
}

fn is_thought(part: &Part) -> bool {
    #[derive(Deserialize)]
    struct Kind {
        #[serde(rename = "type")]
        kind: String,
    }
    let Part::Other(json) = part else { return false };
    serde_json::from_str::<Kind>(json.get()).is_ok_and(|part| THOUGHTS.contains(&part.kind.as_str()))
}

/// Moves parts other than text out of a tool's answer, behind a line that names the call.
fn hoist(message: &mut Message, hoisted: &mut Vec<Part>) {
    let Content::Parts(parts) = &mut message.content else { return };
    let (texts, others): (Vec<_>, Vec<_>) = std::mem::take(parts).into_iter().partition(|part| matches!(part, Part::Text { .. }));
    *parts = texts;
    if others.is_empty() {
        return;
    }
    let id = message.tool_call_id.as_deref().unwrap_or_default();
    if parts.is_empty() {
        parts.push(text("The result is in the next user message."));
    }
    hoisted.push(text(&format!("The result of tool call {}:", json_string(id))));
    hoisted.extend(others);
}

/// Adds what was moved as a message of the user. The answers to one turn's calls must stand together, so it follows all of them.
fn release(hoisted: &mut Vec<Part>, out: &mut Vec<Message>) {
    if !hoisted.is_empty() {
        out.push(Message { role: "user".into(), content: Content::Parts(std::mem::take(hoisted)), ..Message::default() });
    }
}

fn text(text: &str) -> Part {
    Part::Text { text: text.to_owned(), extra: Fields::new() }
}
