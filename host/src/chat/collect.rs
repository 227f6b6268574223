//! The deltas of a streamed reply as the completion that they add up to, for a client that asked for a whole reply. Nothing that a delta says
//! is lost: what is not modelled is a field of its message, its choice or the reply, and lists that come in pieces are put together.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::codec::{json_string, raw_json};
use super::{Choice, Completion, Content, Delta, Fields, FunctionCall, Json, Message, Name, Piece, ToolCall};

/// What was said so far.
#[derive(Debug, Default)]
pub struct Collector {
    choices: BTreeMap<u32, Collected>,
    usage: Option<Json>,
    extra: Fields,
}

#[derive(Debug, Default)]
struct Collected {
    text: Option<String>,
    reasoning: Option<String>,
    thought: Option<String>,
    refusal: Option<String>,
    calls: BTreeMap<u32, FunctionCall>,
    fields: Fields,
    beside: Fields,
    reason: Option<String>,
}

impl Collector {
    pub fn push(&mut self, delta: Delta) {
        match delta {
            // Whoever collects has names for the reply.
            Delta::Head { .. } => {}
            Delta::Usage(usage) => self.usage = Some(usage.json()),
            Delta::UsageJson(json) => self.usage = Some(json),
            Delta::Fields(fields) => merge(&mut self.extra, fields),
            Delta::Piece { choice, piece } => self.choices.entry(choice).or_default().push(piece),
        }
    }

    /// The reply is over.
    pub fn completion(self, name: Name) -> Completion {
        let Name { id, model, created } = name;
        let choices = self.choices.into_iter().map(|(index, collected)| collected.choice(index)).collect();
        Completion { id, created, model, choices, usage: self.usage, extra: self.extra }
    }
}

impl Collected {
    fn push(&mut self, piece: Piece) {
        let add = |to: &mut Option<String>, text: String| match to {
            Some(before) => before.push_str(&text),
            None => *to = Some(text),
        };
        match piece {
            Piece::Begin => {}
            Piece::Text(text) => add(&mut self.text, text),
            Piece::Reasoning(text) => add(&mut self.reasoning, text),
            Piece::Thought(text) => add(&mut self.thought, text),
            Piece::Refusal(text) => add(&mut self.refusal, text),
            Piece::Call { index, id, name, extra } => {
                self.calls.insert(index, FunctionCall { id, name, arguments: String::new(), extra });
            }
            Piece::Arguments { index, text } => {
                if let Some(call) = self.calls.get_mut(&index) {
                    call.arguments.push_str(&text);
                }
            }
            Piece::Fields(fields) => merge(&mut self.fields, fields),
            Piece::Beside(fields) => merge(&mut self.beside, fields),
            Piece::Finish(reason) => self.reason = Some(reason),
        }
    }

    fn choice(self, index: u32) -> Choice {
        let Self { text, reasoning, thought, refusal, calls, fields, beside, reason } = self;
        let none = || raw_json(&());
        let mut extra: Fields = vec![("refusal".into(), refusal.as_deref().map_or_else(none, json_string))];
        extra.extend(reasoning.map(|text| ("reasoning_content".into(), json_string(&text))));
        extra.extend(thought.map(|text| ("reasoning".into(), json_string(&text))));
        extra.extend(fields);
        let content = match text {
            Some(text) => Content::Text(text),
            None if calls.is_empty() && refusal.is_none() => Content::Text(String::new()),
            None => Content::Null,
        };
        let tool_calls = calls.into_values().map(ToolCall::Function).collect();
        let message = Message { role: "assistant".into(), content, name: None, tool_calls, tool_call_id: None, extra };
        Choice { index, message, finish_reason: reason, extra: beside }
    }
}

/// The last value of a name counts, but for lists, which go on.
fn merge(to: &mut Fields, fields: Fields) {
    for (name, value) in fields {
        match to.iter_mut().find(|(known, _)| *known == name) {
            Some((_, before)) => *before = joined(before, &value).unwrap_or(value),
            None => to.push((name, value)),
        }
    }
}

fn joined(before: &RawValue, more: &RawValue) -> Option<Json> {
    let list = |json: &RawValue| serde_json::from_str::<Vec<Json>>(json.get()).ok();
    let (mut all, more) = (list(before)?, list(more)?);
    all.extend(more);
    Some(raw_json(&all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::codec::{json, to_json};

    fn piece(piece: Piece) -> Delta {
        Delta::Piece { choice: 0, piece }
    }

    fn fields(name: &str, text: &str) -> Fields {
        vec![(name.into(), json(text.into()).expect("JSON"))]
    }

    #[test]
    fn pieces_add_up_to_the_reply_that_they_are_pieces_of() {
        let mut collector = Collector::default();
        let call = Piece::Call { index: 0, id: "c".into(), name: "f".into(), extra: Fields::new() };
        for delta in [
            piece(Piece::Begin),
            piece(Piece::Reasoning("h".into())),
            piece(Piece::Thought("a".into())),
            piece(Piece::Reasoning("m".into())),
            piece(Piece::Thought("ha".into())),
            piece(Piece::Text("a".into())),
            piece(Piece::Text("b".into())),
            piece(call),
            piece(Piece::Arguments { index: 0, text: "{".into() }),
            piece(Piece::Arguments { index: 0, text: "}".into() }),
            piece(Piece::Fields(fields("annotations", "[1]"))),
            piece(Piece::Fields(fields("annotations", "[2]"))),
            piece(Piece::Finish("tool_calls".into())),
            Delta::Piece { choice: 1, piece: Piece::Refusal("no".into()) },
            Delta::UsageJson(json(r#"{"prompt_tokens":1}"#.into()).expect("JSON")),
        ] {
            collector.push(delta);
        }
        let name = Name { id: "id".into(), model: "m".into(), created: 7 };
        let whole: serde_json::Value = serde_json::from_slice(&to_json(&collector.completion(name))).expect("JSON");
        let message = &whole["choices"][0]["message"];
        assert_eq!(
            (&message["content"], &message["reasoning_content"], &message["annotations"]),
            (&"ab".into(), &"hm".into(), &serde_json::json!([1, 2]))
        );
        assert_eq!(message["reasoning"], "aha");
        assert_eq!((&message["tool_calls"][0]["function"]["arguments"], &message["refusal"]), (&"{}".into(), &serde_json::Value::Null));
        assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(
            (&whole["choices"][1]["message"]["content"], &whole["choices"][1]["message"]["refusal"]),
            (&serde_json::Value::Null, &"no".into())
        );
        assert_eq!((&whole["usage"]["prompt_tokens"], &whole["model"]), (&1.into(), &"m".into()));
    }
}
