//! Goes through all that the model reads of a conversation: texts, arguments of calls, results of tools, and fields that the contract does not model.
//! Images, files, sounds, identifiers and signatures are left alone.

use cofferdam_guest::{Field, Message, Part, ToolCall};

use crate::json;

/// Fields in which a change would break what a program reads.
const OPAQUE: [&str; 12] = [
    "data",
    "encrypted_content",
    "file_data",
    "file_id",
    "file_url",
    "format",
    "id",
    "image_url",
    "signature",
    "tool_call_id",
    "type",
    "url",
];
/// JSON in strings of JSON, to any depth that somebody would write.
const MOST_DEPTH: usize = 4;

/// What is done with a text, which is given with the key under which it stands. None leaves it as it is.
pub(crate) type Change<'a> = &'a mut dyn FnMut(&str, &str) -> Option<String>;

/// Says whether anything of the message changed.
pub(crate) fn message(message: &mut Message, change: Change<'_>) -> bool {
    let mut changed = false;
    let mut put = |new: Option<String>, old: &mut String| {
        if let Some(new) = new {
            *old = new;
            changed = true;
        }
    };
    for part in &mut message.content {
        match part {
            Part::Text(part) => {
                put(text("", &part.text, MOST_DEPTH, change), &mut part.text);
                part.extra.iter_mut().for_each(|field| put(value(field, change), &mut field.value));
            }
            Part::Other(json) => put(fields(json, change), json),
        }
    }
    for call in &mut message.tool_calls {
        match call {
            ToolCall::Function(call) => {
                put(text("", &call.arguments, MOST_DEPTH, change), &mut call.arguments);
                call.extra.iter_mut().for_each(|field| put(value(field, change), &mut field.value));
            }
            ToolCall::Other(json) => put(fields(json, change), json),
        }
    }
    if !matches!(message.role.as_str(), "tool" | "function")
        && let Some(name) = &mut message.name
    {
        // No brackets are allowed there.
        put(change("name", name).map(|new| new.replace(['[', ']'], "")), name);
    }
    message.extra.iter_mut().for_each(|field| put(value(field, change), &mut field.value));
    changed
}

/// The value of a field by its name.
pub(crate) fn value(field: &Field, change: Change<'_>) -> Option<String> {
    if OPAQUE.contains(&field.name.as_str()) {
        return None;
    }
    json::map(&field.value, &OPAQUE, |key, string| text(if key.is_empty() { &field.name } else { key }, string, MOST_DEPTH, change))
}

fn fields(json: &str, change: Change<'_>) -> Option<String> {
    json::map(json, &OPAQUE, |key, string| text(key, string, MOST_DEPTH, change))
}

/// A text, which may be JSON itself, as results of tools are.
fn text(key: &str, text: &str, depth: usize, change: Change<'_>) -> Option<String> {
    if text.starts_with("data:") {
        return None;
    }
    if depth > 0 && json::is_container(text) {
        return json::map(text, &[], |key, string| self::text(key, string, depth - 1, change));
    }
    change(key, text)
}
