//! Pictures and files in the results of tools. OpenAI's API takes text alone there, so they follow in a message of the user.
//! Invariant: the results of one turn's calls stay together, and each picture stands behind a line that names its call.

use crate::chat::codec::json_string;
use crate::chat::{Content, Fields, Message, Part};

/// The messages with what is no text lifted out of the results of tools; none if there is nothing to lift.
pub(in crate::llm) fn hoisted(messages: &[Message]) -> Option<Vec<Message>> {
    let holds_media = |message: &Message| match &message.content {
        Content::Parts(parts) if message.role == "tool" => parts.iter().any(|part| matches!(part, Part::Other(_))),
        _ => false,
    };
    if !messages.iter().any(holds_media) {
        return None;
    }
    let mut out: Vec<Message> = Vec::with_capacity(messages.len() + 1);
    let mut lifted = Vec::new();
    for message in messages {
        if message.role != "tool" {
            release(&mut lifted, &mut out);
        }
        let mut message = message.clone();
        if holds_media(&message) {
            lift(&mut message, &mut lifted);
        }
        out.push(message);
    }
    release(&mut lifted, &mut out);
    Some(out)
}

/// Moves parts other than text out of a tool's answer, behind a line that names the call.
fn lift(message: &mut Message, lifted: &mut Vec<Part>) {
    let Content::Parts(parts) = &mut message.content else { return };
    let (texts, others): (Vec<_>, Vec<_>) = std::mem::take(parts).into_iter().partition(|part| matches!(part, Part::Text { .. }));
    *parts = texts;
    let id = message.tool_call_id.as_deref().unwrap_or_default();
    if parts.is_empty() {
        parts.push(text("The result is in the next user message."));
    }
    lifted.push(text(&format!("The result of tool call {}:", json_string(id))));
    lifted.extend(others);
}

/// Adds what was lifted as a message of the user. The answers to one turn's calls must stand together, so it follows all of them.
fn release(lifted: &mut Vec<Part>, out: &mut Vec<Message>) {
    if !lifted.is_empty() {
        out.push(Message { role: "user".into(), content: Content::Parts(std::mem::take(lifted)), ..Message::default() });
    }
}

fn text(text: &str) -> Part {
    Part::Text { text: text.to_owned(), extra: Fields::new() }
}
