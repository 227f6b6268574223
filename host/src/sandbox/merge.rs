//! A message that a hook hands back, put together with what the hook was not shown of it. What a hook may not write stays as it was, or the
//! outcome is refused; nothing that it did not see gets lost.

use super::FaultKind;
use super::bindings::types as wit;
use super::convert::message_back;
use super::scope::{Channels, Scope};
use crate::chat::{Content, Fields, Json, Message, Part, ToolCall};

/// `returned` in the place of `now`, of which the hook was shown `shown` and may write `may`. `what` is the word of the whole, for the fault.
pub(super) fn merged(
    now: &Message,
    returned: wit::Message,
    (shown, may): (Channels, Channels),
    what: &str,
    scope: &Scope,
) -> Result<Message, FaultKind> {
    let mut new = message_back(returned).map_err(FaultKind::Invalid)?;
    if (shown, may) == (Channels::ALL, Channels::ALL) {
        return Ok(new);
    }
    scope.may(new.role == now.role || may == Channels::ALL, "changes the role of a message", what)?;
    for (name, channel) in Channels::EACH {
        let same = same(channel, now, &new);
        if !shown.has(channel) {
            if !(same || is_empty(channel, &new)) {
                let why =
                    format!("it hands back `{name}` in a message of which it is shown none: `{what}.{name}` is not among what it reads");
                return Err(FaultKind::Invalid(why));
            }
        } else {
            scope.may(same || may.has(channel), &format!("changes `{name}` of a message"), &format!("{what}.{name}"))?;
        }
    }
    if shown == Channels::ALL {
        return Ok(new);
    }
    let (text, other) = (shown.has(Channels::TEXT), shown.has(Channels::OTHER));
    if !(text && other) {
        let content = std::mem::take(&mut new.content);
        new.content = filled(&now.content, content, text, other);
    }
    if !shown.has(Channels::TOOL_CALLS) {
        new.tool_calls.clone_from(&now.tool_calls);
        new.tool_call_id.clone_from(&now.tool_call_id);
    }
    if !other {
        new.name.clone_from(&now.name);
    }
    let hidden = |(name, _): &&(String, Json)| !shown.has(channel_of(name));
    new.extra.retain(|(name, _)| shown.has(channel_of(name)));
    new.extra.extend(now.extra.iter().filter(hidden).cloned());
    Ok(new)
}

/// The channel of an unmodelled field of a message.
pub(super) fn channel_of(field: &str) -> Channels {
    match field {
        "refusal" => Channels::REFUSAL,
        "reasoning" | "reasoning_content" => Channels::REASONING,
        _ => Channels::OTHER,
    }
}

/// The content of which the hook was shown the texts, or the others, or nothing: what it handed back of those takes their places in order, what is
/// more stands behind the last one.
pub(super) fn filled(now: &Content, new: Content, text: bool, other: bool) -> Content {
    if !text && !other {
        return now.clone();
    }
    let list = |content: Content| match content {
        Content::Null => Vec::new(),
        Content::Text(text) => vec![Part::Text { text, extra: Vec::new() }],
        Content::Parts(parts) => parts,
    };
    let was_list = matches!(now, Content::Parts(_));
    let (mut new, mut all, mut behind) = (list(new).into_iter(), Vec::new(), None);
    for part in list(now.clone()) {
        match part {
            Part::Text { extra, .. } if text => {
                if let Some(Part::Text { text, .. }) = new.next() {
                    all.push(Part::Text { text, extra });
                }
                behind = Some(all.len());
            }
            Part::Other(_) if other => {
                all.extend(new.next());
                behind = Some(all.len());
            }
            hidden => all.push(hidden),
        }
    }
    let behind = behind.unwrap_or(all.len());
    all.splice(behind..behind, new);
    match all.as_mut_slice() {
        [] => Content::Null,
        [Part::Text { text, extra }] if !was_list && extra.is_empty() => Content::Text(std::mem::take(text)),
        _ => Content::Parts(all),
    }
}

fn is_empty(channel: Channels, message: &Message) -> bool {
    same(channel, &Message::default(), message)
}

/// Whether two messages have the same in a channel.
fn same(channel: Channels, a: &Message, b: &Message) -> bool {
    match channel {
        Channels::TEXT => texts(a).eq(texts(b)),
        Channels::TOOL_CALLS => {
            let calls = a.tool_calls.iter().zip(&b.tool_calls);
            a.tool_call_id == b.tool_call_id && a.tool_calls.len() == b.tool_calls.len() && calls.into_iter().all(|(a, b)| same_call(a, b))
        }
        Channels::OTHER => {
            let fields = [a, b].map(|message| named(&message.extra, channel));
            a.name == b.name && others(a).eq(others(b)) && fields[0] == fields[1] && extras(a) == extras(b)
        }
        channel => named(&a.extra, channel) == named(&b.extra, channel),
    }
}

fn texts(message: &Message) -> impl Iterator<Item = &str> {
    let one = match &message.content {
        Content::Text(text) => Some(text.as_str()),
        Content::Null | Content::Parts(_) => None,
    };
    one.into_iter().chain(parts(message).iter().filter_map(|part| match part {
        Part::Text { text, .. } => Some(text.as_str()),
        Part::Other(_) => None,
    }))
}

fn parts(message: &Message) -> &[Part] {
    match &message.content {
        Content::Parts(parts) => parts,
        Content::Null | Content::Text(_) => &[],
    }
}

fn others(message: &Message) -> impl Iterator<Item = &str> {
    parts(message).iter().filter_map(|part| match part {
        Part::Other(json) => Some(json.get()),
        Part::Text { .. } => None,
    })
}

/// Further fields of the parts that are texts.
fn extras(message: &Message) -> Vec<Vec<(&str, &str)>> {
    let filled = parts(message).iter().filter_map(|part| match part {
        Part::Text { extra, .. } if !extra.is_empty() => Some(pairs(extra)),
        _ => None,
    });
    filled.collect()
}

fn named(fields: &Fields, channel: Channels) -> Vec<(&str, &str)> {
    pairs(fields).into_iter().filter(|(name, _)| channel_of(name) == channel).collect()
}

fn pairs(fields: &Fields) -> Vec<(&str, &str)> {
    fields.iter().map(|(name, value)| (name.as_str(), value.get())).collect()
}

fn same_call(a: &ToolCall, b: &ToolCall) -> bool {
    match (a, b) {
        (ToolCall::Other(a), ToolCall::Other(b)) => a.get() == b.get(),
        (ToolCall::Function(a), ToolCall::Function(b)) => {
            (&a.id, &a.name, &a.arguments) == (&b.id, &b.name, &b.arguments) && pairs(&a.extra) == pairs(&b.extra)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
