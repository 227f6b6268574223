//! A whole reply put together from the deltas that its parts were read into. Must not know Gemini's form.

use serde_json::json;
use serde_json::value::to_raw_value;

use super::Choice as Seen;
use crate::chat::codec::json_string;
use crate::chat::{Choice, Completion, Content, Delta, FunctionCall, Message, Name, Piece, ToolCall, Usage};

/// One choice on its way.
#[derive(Default)]
struct Draft {
    text: String,
    reasoning: String,
    calls: Vec<FunctionCall>,
}

pub(super) fn completion(name: &Name, mut seen: Vec<Seen>, deltas: Vec<Delta>) -> Completion {
    seen.sort_by_key(|choice| choice.index);
    let mut drafts: Vec<Draft> = seen.iter().map(|_| Draft::default()).collect();
    let (mut id, mut model, mut usage) = (None, None, None::<Usage>);
    for delta in deltas {
        match delta {
            Delta::Head { id: own, model: version, .. } => {
                id = id.or(own);
                model = model.or(version);
            }
            Delta::Usage(told) => usage = Some(told),
            Delta::UsageJson(_) | Delta::Fields(_) => {}
            Delta::Piece { choice, piece } => {
                let place = seen.iter().position(|known| known.index == choice).expect("a choice is known before its pieces");
                drafts[place].add(piece);
            }
        }
    }
    let named = |own: Option<String>, ours: &str| own.filter(|own| !own.is_empty()).unwrap_or_else(|| ours.to_owned());
    Completion {
        id: named(id, &name.id),
        created: name.created,
        model: named(model, &name.model),
        choices: seen.into_iter().zip(drafts).map(|(seen, draft)| draft.choice(seen)).collect(),
        usage: usage.map(|usage| usage.json()),
        extra: Vec::new(),
    }
}

impl Draft {
    fn add(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) => self.text.push_str(&text),
            Piece::Reasoning(text) => self.reasoning.push_str(&text),
            Piece::Call { id, name, extra, .. } => self.calls.push(FunctionCall { id, name, arguments: String::new(), extra }),
            Piece::Arguments { text, .. } => self.calls.last_mut().expect("arguments follow their call").arguments.push_str(&text),
            // The first says nothing; Gemini has no refusals; fields and the end are told by the choice itself.
            Piece::Begin | Piece::Refusal(_) | Piece::Fields(_) | Piece::Beside(_) | Piece::Finish(_) => {}
        }
    }

    fn choice(self, seen: Seen) -> Choice {
        // The published schema requires `refusal`, null included.
        let mut extra = vec![("refusal".to_owned(), raw(&json!(null)))];
        if !self.reasoning.is_empty() {
            extra.push(("reasoning_content".to_owned(), json_string(&self.reasoning)));
        }
        if !seen.images.is_empty() {
            extra.push(("images".to_owned(), raw(&seen.images)));
        }
        let logprobs = json!({"content": seen.logprobs, "refusal": null});
        let beside = if seen.logprobs.is_empty() { Vec::new() } else { vec![("logprobs".to_owned(), raw(&logprobs))] };
        Choice {
            index: seen.index,
            // A whole reply has ended, whether or not a relay says why.
            finish_reason: Some(seen.finish().unwrap_or_else(|| super::finish::with_calls("stop", seen.calls)).to_owned()),
            message: Message {
                role: "assistant".to_owned(),
                content: if self.text.is_empty() { Content::Null } else { Content::Text(self.text) },
                tool_calls: self.calls.into_iter().map(ToolCall::Function).collect(),
                extra,
                ..Message::default()
            },
            extra: beside,
        }
    }
}

fn raw<T: serde::Serialize>(value: &T) -> crate::chat::Json {
    to_raw_value(value).expect("values with string keys are JSON")
}
