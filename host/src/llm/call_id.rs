//! Ids of tool calls that every vendor takes. Clients send them back with the history, after a fallback perhaps to another vendor, and OpenAI
//! refuses an id of more than 40 characters, which Gemini's ids with a signature in them have. The same id is always shortened alike.

use std::borrow::Cow;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use crate::chat::codec::{json_string, object, parse_fields};
use crate::chat::{Json, Message, ToolCall};

/// Characters of an id that OpenAI takes.
const CHARS_MAX: usize = 40;

/// Characters of a reply's id that go into the ids that we make.
const STEM_CHARS: usize = 20;

/// Characters of a long id that are kept, before `_` and the 16 digits of its hash.
const KEPT_CHARS: usize = CHARS_MAX - 17;

/// An id for a call that has none. It is the same for the same call of the same reply.
pub(super) fn made(reply: &str, choice: u32, call: u32) -> String {
    let skipped = reply.chars().count().saturating_sub(STEM_CHARS);
    let stem: String = reply.chars().skip(skipped).collect();
    format!("call_{stem}_{choice}_{call}")
}

/// The messages with ids that OpenAI takes. An id that is too long is shortened alike in the call and in its result.
pub(super) fn fitted(messages: &[Message]) -> Cow<'_, [Message]> {
    let fits = |call: &ToolCall| match call {
        ToolCall::Function(call) => shortened(&call.id).is_none(),
        ToolCall::Other(json) => other_fitted(json).is_none(),
    };
    let result_fits = |message: &Message| message.tool_call_id.as_deref().and_then(shortened).is_none();
    if messages.iter().all(|message| message.tool_calls.iter().all(fits) && result_fits(message)) {
        return messages.into();
    }
    let mut messages = messages.to_vec();
    for message in &mut messages {
        let calls = message.tool_calls.iter_mut().filter_map(|call| match call {
            ToolCall::Function(call) => Some(&mut call.id),
            ToolCall::Other(json) => {
                if let Some(fitted) = other_fitted(json) {
                    *json = fitted;
                }
                None
            }
        });
        for id in calls.chain(&mut message.tool_call_id) {
            if let Some(short) = shortened(id) {
                *id = short;
            }
        }
    }
    messages.into()
}

/// A call of another kind with its id shortened; none if it is short enough.
fn other_fitted(call: &Json) -> Option<Json> {
    // Only a long text can hold a long id.
    let mut fields = Some(call.get()).filter(|text| text.len() > CHARS_MAX).and_then(|text| parse_fields(text.as_bytes()).ok())?;
    let (_, id) = fields.iter_mut().find(|(name, _)| name == "id")?;
    *id = json_string(&shortened(&serde_json::from_str::<String>(id.get()).ok()?)?);
    Some(object(&fields))
}

/// The shorter id; none if the id is short enough.
fn shortened(id: &str) -> Option<String> {
    // Most ids are short in bytes, so their characters need not be counted.
    if id.len() <= CHARS_MAX || id.chars().nth(CHARS_MAX).is_none() {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    let kept: String = id.chars().take(KEPT_CHARS).collect();
    Some(format!("{kept}_{:016x}", hasher.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Fields, FunctionCall};

    fn turn(ids: &[&str]) -> Vec<Message> {
        let call = |id: &&str| {
            let call = FunctionCall { id: (*id).into(), name: "f".into(), arguments: "{}".into(), extra: Fields::new() };
            ToolCall::Function(call)
        };
        let calls = Message { role: "assistant".into(), tool_calls: ids.iter().map(call).collect(), ..Message::default() };
        let result = |id: &&str| Message { tool_call_id: Some((*id).into()), ..Message::text("tool", "1") };
        std::iter::once(calls).chain(ids.iter().map(result)).collect()
    }

    #[test]
    fn the_id_of_a_call_of_another_kind_is_shortened_with_its_result() {
        let long = format!("call_1__thought__{}", "a".repeat(99));
        let call = |id: &str| format!("{{\"id\":\"{id}\",\"type\":\"custom\",\"custom\":{{\"name\":\"f\",\"input\":\"x\"}}}}");
        let other = ToolCall::Other(crate::chat::codec::json(call(&long)).expect("JSON"));
        let calls = Message { role: "assistant".into(), tool_calls: vec![other], ..Message::default() };
        let result = Message { tool_call_id: Some(long), ..Message::text("tool", "1") };
        let messages = [calls, result];
        let fitted = fitted(&messages);
        let short = fitted[1].tool_call_id.as_deref().expect("an id");
        assert!(matches!(&fitted[0].tool_calls[..], [ToolCall::Other(json)] if json.get() == call(short) && short.len() == CHARS_MAX));
    }

    fn ids(messages: &[Message]) -> (Vec<&str>, Vec<&str>) {
        let calls = messages[0].tool_calls.iter().filter_map(|call| match call {
            ToolCall::Function(call) => Some(call.id.as_str()),
            ToolCall::Other(_) => None,
        });
        (calls.collect(), messages[1..].iter().filter_map(|message| message.tool_call_id.as_deref()).collect())
    }

    #[test]
    fn a_made_id_is_short_enough_for_openai() {
        assert_eq!(made("chatcmpl-0123456789abcdef0123456789abcdef", 0, 2), "call_cdef0123456789abcdef_0_2");
        assert!(made(&"é".repeat(99), 127, 4095).chars().count() <= CHARS_MAX);
    }

    #[test]
    fn c19_long_ids_are_shortened_alike_on_both_sides_and_stay_apart() {
        let long = |end: &str| format!("call_7c3d8e4f5a6b7c8d9e0f_0_0__thought__CiQB/+9{end}");
        let at_limit = "é".repeat(CHARS_MAX);
        let messages = turn(&[&long("a"), &at_limit, &long("b")]);
        let fitted = fitted(&messages);
        let (calls, results) = ids(&fitted);
        assert_eq!(calls, results);
        assert!(calls.iter().all(|id| id.chars().count() <= CHARS_MAX), "{calls:?}");
        assert!(calls[0] != calls[2] && calls[0].starts_with("call_7c3d8e4f5a6b7c8d9e"), "{calls:?}");
        assert_eq!(calls[1], at_limit);
    }

    #[test]
    fn messages_that_fit_are_not_copied() {
        assert!(matches!(fitted(&turn(&["call_1", "toolu_01"])), Cow::Borrowed(_)));
    }
}
