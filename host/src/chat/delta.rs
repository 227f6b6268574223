//! One piece of a streamed reply, whoever speaks it, and the `chat.completion.chunk` objects that say it to a client.
//! The writer keeps what clients rely on: one id, created and model; the role first; one finish reason a choice; usage last, if asked for.
//! Must not know SSE framing or any provider. Source: OpenAI API reference, "Chat completion chunk".

use super::codec::json_string;
use super::stream::REPEATED_BYTES_MAX;
use super::{Fields, Usage};

/// What one event of a provider's stream says, in canonical words.
#[derive(Clone, Debug)]
pub enum Delta {
    /// What the provider calls the reply. The first of each counts; one that is empty does not.
    Head { id: Option<String>, model: Option<String>, created: Option<u64> },
    /// More of one choice.
    Piece { choice: u32, piece: Piece },
    /// What the reply has used so far; the last one counts.
    Usage(Usage),
}

/// More of one choice.
#[derive(Clone, Debug)]
pub enum Piece {
    /// The model begins to speak; says nothing yet.
    Begin,
    Text(String),
    /// Thought, not said: `reasoning_content`, as most servers spell it.
    Reasoning(String),
    Refusal(String),
    /// A tool call begins. `index` counts the calls of this choice from 0.
    Call {
        index: u32,
        id: String,
        name: String,
        extra: Fields,
    },
    /// More of that call's arguments, which together are a JSON text.
    Arguments {
        index: u32,
        text: String,
    },
    /// Fields of the delta that the canonical form does not model.
    Fields(Fields),
    /// The last piece of the choice, with OpenAI's word for why.
    Finish(String),
}

impl Delta {
    /// Whether a client that sees it has seen something of the answer. Until then another provider can take over.
    pub fn says_something(&self) -> bool {
        match self {
            Self::Head { .. } | Self::Usage(_) => false,
            Self::Piece { piece, .. } => match piece {
                Piece::Begin => false,
                Piece::Text(text) | Piece::Reasoning(text) | Piece::Refusal(text) => !text.is_empty(),
                Piece::Call { .. } | Piece::Arguments { .. } | Piece::Fields(_) | Piece::Finish(_) => true,
            },
        }
    }
}

/// What a reply is called where its provider gives no name.
#[derive(Clone, Debug)]
pub struct Name {
    pub id: String,
    pub model: String,
    /// Seconds since 1970.
    pub created: u64,
}

/// Writes deltas as chunks.
#[derive(Debug)]
pub struct ChunkWriter {
    name: Name,
    named: bool,
    /// What every chunk begins with; made with the first one and not changed after it.
    head: Option<String>,
    /// Each choice that has begun, and whether it has finished.
    choices: Vec<(u32, bool)>,
    include_usage: bool,
    usage: Option<Usage>,
}

impl ChunkWriter {
    pub fn new(name: Name, include_usage: bool) -> Self {
        Self { name, named: false, head: None, choices: Vec::new(), include_usage, usage: None }
    }

    /// The last usage that was told.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Whether there was a choice and each has its finish reason.
    pub fn finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|(_, finished)| *finished)
    }

    /// Hands the chunks that say `delta` to `sink`, one JSON text each.
    pub fn write(&mut self, delta: Delta, sink: &mut impl FnMut(&str)) {
        match delta {
            Delta::Head { id, model, created } => self.name(id, model, created),
            Delta::Usage(usage) => self.usage = Some(usage),
            Delta::Piece { choice, piece } => self.piece(choice, &piece, sink),
        }
    }

    /// The chunk with the usage, if it was asked for.
    pub fn end(&mut self, sink: &mut impl FnMut(&str)) {
        if self.include_usage {
            let usage = self.usage.map_or_else(|| "null".to_owned(), |usage| usage.json().get().to_owned());
            let chunk = format!("{},\"choices\":[],\"usage\":{usage}}}", self.head());
            sink(&chunk);
        }
    }

    /// Takes the provider's names until the first chunk is out, but for those that are too long to stand on every one.
    fn name(&mut self, id: Option<String>, model: Option<String>, created: Option<u64>) {
        if self.named || self.head.is_some() {
            return;
        }
        let fit = |name: &String| (1..=REPEATED_BYTES_MAX).contains(&name.len());
        if let Some(id) = id.filter(fit) {
            (self.name.id, self.named) = (id, true);
        }
        if let Some(model) = model.filter(fit) {
            self.name.model = model;
        }
        if let Some(created) = created.filter(|created| *created > 0) {
            self.name.created = created;
        }
    }

    fn head(&mut self) -> &str {
        let Self { name: Name { id, model, created }, head, .. } = self;
        head.get_or_insert_with(|| {
            let (id, model) = (json_string(id), json_string(model));
            format!("{{\"id\":{id},\"object\":\"chat.completion.chunk\",\"created\":{created},\"model\":{model}")
        })
    }

    /// A piece of a choice that has finished says nothing any more.
    fn piece(&mut self, choice: u32, piece: &Piece, sink: &mut impl FnMut(&str)) {
        let at = match self.choices.iter().position(|(index, _)| *index == choice) {
            Some(at) => at,
            None => {
                self.choices.push((choice, false));
                self.chunk(choice, "{\"role\":\"assistant\",\"content\":\"\"}", "null", sink);
                self.choices.len() - 1
            }
        };
        if self.choices[at].1 {
            return;
        }
        let delta = match piece {
            Piece::Begin => return,
            Piece::Text(text) => format!("{{\"content\":{}}}", json_string(text)),
            Piece::Reasoning(text) => format!("{{\"reasoning_content\":{}}}", json_string(text)),
            Piece::Refusal(text) => format!("{{\"refusal\":{}}}", json_string(text)),
            Piece::Call { index, id, name, extra } => {
                let (id, name, extra) = (json_string(id), json_string(name), fields(extra));
                let function = format!("{{\"name\":{name},\"arguments\":\"\"}}");
                format!("{{\"tool_calls\":[{{\"index\":{index},\"id\":{id},\"type\":\"function\",\"function\":{function}{extra}}}]}}")
            }
            Piece::Arguments { index, text } => {
                format!("{{\"tool_calls\":[{{\"index\":{index},\"function\":{{\"arguments\":{}}}}}]}}", json_string(text))
            }
            Piece::Fields(given) => format!("{{{}}}", fields(given).trim_start_matches(',')),
            Piece::Finish(reason) => {
                self.choices[at].1 = true;
                return self.chunk(choice, "{}", json_string(reason).get(), sink);
            }
        };
        self.chunk(choice, &delta, "null", sink);
    }

    fn chunk(&mut self, choice: u32, delta: &str, reason: &str, sink: &mut impl FnMut(&str)) {
        let usage = if self.include_usage { ",\"usage\":null" } else { "" };
        let head = self.head();
        let choice = format!("{{\"index\":{choice},\"delta\":{delta},\"finish_reason\":{reason},\"logprobs\":null}}");
        sink(&format!("{head},\"choices\":[{choice}]{usage}}}"));
    }
}

/// Each field with a comma before it.
fn fields(fields: &Fields) -> String {
    fields.iter().map(|(name, value)| format!(",{}:{}", json_string(name), value)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(include_usage: bool, deltas: Vec<Delta>) -> Vec<Value> {
        let name = Name { id: "chatcmpl-ours".into(), model: "asked".into(), created: 7 };
        let mut writer = ChunkWriter::new(name, include_usage);
        let mut chunks = Vec::new();
        let mut sink = |json: &str| chunks.push(serde_json::from_str(json).expect("JSON"));
        for delta in deltas {
            writer.write(delta, &mut sink);
        }
        writer.end(&mut sink);
        chunks
    }

    fn piece(piece: Piece) -> Delta {
        Delta::Piece { choice: 0, piece }
    }

    #[test]
    fn a_choice_begins_with_its_role_and_finishes_once() {
        let finish = || piece(Piece::Finish("stop".into()));
        let chunks = written(false, vec![piece(Piece::Text("hi".into())), finish(), piece(Piece::Text("late".into())), finish()]);
        let choices: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]).collect();
        let open = json!({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null, "logprobs": null});
        let text = json!({"index": 0, "delta": {"content": "hi"}, "finish_reason": null, "logprobs": null});
        let last = json!({"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": null});
        assert_eq!(choices, [&open, &text, &last]);
        assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
    }

    #[test]
    fn every_chunk_has_the_first_name_that_was_known_when_it_went_out() {
        let head = |id: &str| Delta::Head { id: Some(id.into()), model: Some("theirs".into()), created: Some(9) };
        let chunks = written(true, vec![head(""), head("msg_1"), piece(Piece::Begin), head("msg_2"), piece(Piece::Text("a".into()))]);
        assert_eq!(chunks.len(), 3);
        assert!(chunks.iter().all(|chunk| chunk["id"] == "msg_1" && chunk["model"] == "theirs" && chunk["created"] == 9), "{chunks:?}");
        let chunks = written(false, vec![piece(Piece::Begin), head("late")]);
        assert_eq!((&chunks[0]["id"], &chunks[0]["model"], &chunks[0]["created"]), (&json!("chatcmpl-ours"), &json!("asked"), &json!(7)));
    }

    #[test]
    fn a_name_that_is_too_long_to_stand_on_every_chunk_is_not_taken() {
        for (bytes, taken) in [(1 << 10, true), ((1 << 10) + 1, false)] {
            let long = "x".repeat(bytes);
            let head = Delta::Head { id: Some(long.clone()), model: Some(long.clone()), created: None };
            let chunks = written(false, vec![head, piece(Piece::Begin)]);
            let (id, model) = if taken { (&*long, &*long) } else { ("chatcmpl-ours", "asked") };
            assert_eq!((&chunks[0]["id"], &chunks[0]["model"]), (&json!(id), &json!(model)), "{bytes}");
        }
    }

    #[test]
    fn usage_comes_last_once_and_only_if_it_was_asked_for() {
        let usage = |completion| Delta::Usage(Usage { prompt: 5, completion, ..Usage::default() });
        let deltas = || vec![usage(1), piece(Piece::Text("a".into())), usage(3)];
        let chunks = written(true, deltas());
        assert_eq!(chunks.iter().map(|chunk| chunk["usage"].is_null()).collect::<Vec<_>>(), [true, true, false]);
        let last = chunks.last().expect("a usage chunk");
        assert_eq!((&last["choices"], &last["usage"]["total_tokens"]), (&json!([]), &json!(8)));
        assert!(written(false, deltas()).iter().all(|chunk| chunk.get("usage").is_none()));
    }

    #[test]
    fn a_tool_call_is_named_once_and_then_grows() {
        let call = Piece::Call { index: 1, id: "t".into(), name: "f".into(), extra: Vec::new() };
        let chunks = written(false, vec![piece(call), piece(Piece::Arguments { index: 1, text: "{\"a\"".into() })]);
        let delta = |at: usize| &chunks[at]["choices"][0]["delta"]["tool_calls"][0];
        assert_eq!(delta(1), &json!({"index": 1, "id": "t", "type": "function", "function": {"name": "f", "arguments": ""}}));
        assert_eq!(delta(2), &json!({"index": 1, "function": {"arguments": "{\"a\""}}));
    }
}
