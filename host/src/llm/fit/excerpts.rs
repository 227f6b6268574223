//! What retrieval found, in its place in every dialect: directly before the question. Two dialects have one system prompt, and it would go there,
//! before the whole conversation; with other excerpts in each turn no provider could keep any of the prompt in its cache.
//! Invariant: what stands before the excerpts goes out as in the request before, and no mark of what to cache stands behind them.

use std::borrow::Cow;

use crate::chat::{Content, Fields, Json, Message, Part};

/// The field with which a client marks the end of what is to be cached: of a request, a message or a part.
const MARK: &str = "cache_control";

/// Where the message stands that holds the code. A hook may have changed its text, or taken it out.
pub(super) fn place(messages: &[Message], code: &str) -> Option<usize> {
    let holds = |text: &str| text.contains(code);
    messages.iter().rposition(|message| match &message.content {
        Content::Text(text) => message.role == "system" && holds(text),
        Content::Parts(parts) => {
            message.role == "system" && parts.iter().any(|part| matches!(part, Part::Text { text, .. } if holds(text)))
        }
        Content::Null => false,
    })
}

/// As a part of the user's turn: the place counts, and what is in it is material and no instruction.
pub(super) fn as_user(messages: &mut Cow<'_, [Message]>, at: usize) {
    messages.to_mut()[at].role = "user".to_owned();
}

/// Moves the last mark from behind the excerpts to the message before them: a cache of a prompt with them is found by no other request, and
/// writing it costs more than reading nothing.
pub(super) fn move_marks(messages: &mut Cow<'_, [Message]>, params: &mut Cow<'_, Fields>, at: usize) {
    let behind = messages[at..].iter().any(|message| mark_of(message).is_some());
    if at == 0 || mark_of(&messages[at - 1]).is_some() || !(behind || mark_in(params).is_some()) {
        return;
    }
    let mut mark = take(params);
    for message in &mut messages.to_mut()[at..] {
        mark = take_from(message).or(mark);
    }
    let before = &mut messages.to_mut()[at - 1];
    before.extra.retain(|(name, _)| name != MARK);
    before.extra.extend(mark.map(|mark| (MARK.to_owned(), mark)));
}

fn mark_in(fields: &Fields) -> Option<&Json> {
    fields.iter().find_map(|(name, value)| (name == MARK && value.get() != "null").then_some(value))
}

/// The mark on a message or on one of its texts.
fn mark_of(message: &Message) -> Option<&Json> {
    let parts: &[Part] = if let Content::Parts(parts) = &message.content { parts } else { &[] };
    let last = parts.iter().rev().find_map(|part| match part {
        Part::Text { extra, .. } => mark_in(extra),
        Part::Other(_) => None,
    });
    last.or(mark_in(&message.extra))
}

/// Takes the mark of a request out.
fn take(params: &mut Cow<'_, Fields>) -> Option<Json> {
    let mark = mark_in(params).cloned()?;
    params.to_mut().retain(|(name, _)| name != MARK);
    Some(mark)
}

/// Takes all marks of a message out, of which one is given.
fn take_from(message: &mut Message) -> Option<Json> {
    let mark = mark_of(message).cloned()?;
    message.extra.retain(|(name, _)| name != MARK);
    if let Content::Parts(parts) = &mut message.content {
        for part in parts {
            if let Part::Text { extra, .. } = part {
                extra.retain(|(name, _)| name != MARK);
            }
        }
    }
    Some(mark)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::chat::codec::parse_request;

    /// The messages and the other fields of a request after the excerpts, which hold `c0de`, were found in it.
    fn moved(body: &Value) -> (Value, Value) {
        let request = parse_request(body.to_string().as_bytes()).expect("a request");
        let (mut messages, mut params) = (Cow::Borrowed(&request.messages[..]), Cow::Borrowed(&request.params));
        let at = place(&messages, "c0de").expect("they are there");
        move_marks(&mut messages, &mut params, at);
        let value = |json: String| serde_json::from_str(&json).expect("JSON");
        let params = params.iter().map(|(name, json)| (name.clone(), value(json.get().to_owned()))).collect::<serde_json::Map<_, Value>>();
        (value(serde_json::to_string(&messages).expect("JSON")), params.into())
    }

    fn conversation(before: Value, question: Value) -> Value {
        json!({"model": "m", "messages": [
            {"role": "system", "content": "Be brief."}, before, {"role": "system", "content": "<<c0de [1] source: a>>"}, question]})
    }

    #[test]
    fn a_mark_behind_the_excerpts_moves_before_them_whatever_it_stands_on() {
        let mark = json!({"type": "ephemeral", "ttl": "1h"});
        let answer = json!({"role": "assistant", "content": "Hello."});
        let marked = json!({"role": "assistant", "content": "Hello.", "cache_control": mark});
        let plain = json!({"role": "user", "content": "When?"});
        let on_part = json!({"role": "user", "content": [{"type": "text", "text": "When?", "cache_control": mark}]});
        let on_message = json!({"role": "user", "content": "When?", "cache_control": mark});
        let mut on_request = conversation(answer.clone(), plain.clone());
        on_request["cache_control"] = mark.clone();
        let part = json!({"role": "user", "content": [{"type": "text", "text": "When?"}]});
        for (body, question) in [
            (conversation(answer.clone(), on_part), &part),
            (conversation(answer.clone(), on_message.clone()), &plain),
            (on_request, &plain),
        ] {
            let (messages, params) = moved(&body);
            assert_eq!((&messages[1], &messages[3], params), (&marked, question, json!({})), "{body}");
        }
        // One before them is enough, and without any there is nothing to do.
        let (messages, _) = moved(&conversation(marked.clone(), on_message.clone()));
        assert_eq!((&messages[1], &messages[3]), (&marked, &on_message));
        let (messages, _) = moved(&conversation(answer.clone(), plain.clone()));
        assert_eq!((&messages[1], &messages[3]), (&answer, &plain));
    }

    #[test]
    fn the_excerpts_are_known_by_their_code_and_by_nothing_that_a_client_writes() {
        let messages = |text: &str| [Message::text("user", "c0de"), Message::text("system", text), Message::text("user", "When?")];
        assert_eq!(place(&messages("a hook wrote this before <<c0de END>>"), "c0de"), Some(1));
        assert_eq!(place(&messages("Excerpts from the knowledge base"), "c0de"), None);
    }
}
