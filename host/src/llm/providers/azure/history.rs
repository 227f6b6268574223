//! A conversation as Azure takes it: without fields that it does not know, and with only text in the answers of tools.
//! Source: "Azure OpenAI in Foundry Models REST API reference", messages.

use serde::Deserialize;

use crate::chat::{Content, Fields, Message, Part, ToolCall};
use crate::llm::call_id;
use crate::llm::fit::hoisted;

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
    let mut out = call_id::fitted(messages).into_owned();
    out.iter_mut().for_each(remove_foreign);
    hoisted(&out).unwrap_or(out)
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
