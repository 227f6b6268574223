//! The messages of a reply, put together of what passes to the client, up to a number of bytes.
//! Invariant: no more is kept than was agreed to, and a message of a reply that was cut says so in a field of its own.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::codec::{json_string, raw_json};
use super::{Completion, Content, Delta, Fields, FunctionCall, Json, Message, Part, Piece, ToolCall};

/// The field of a message, `true` if there was more of the reply than was kept.
pub const TRUNCATED: &str = "cofferdam_truncated";

/// What a choice, a part or a call costs beside its texts.
const PIECE_BYTES: usize = 256;
/// Bytes that are asked for at a time, because a stream comes a word at a time.
const STEP: usize = 4 << 10;

/// The answers to an exchange.
pub enum Replies {
    /// The provider's JSON, not parsed.
    Raw(Bytes),
    Messages(Vec<Message>),
}

/// A reply as far as it is known.
pub struct Gathered {
    choices: BTreeMap<u32, Choice>,
    /// Bytes that may still be kept.
    room: usize,
    /// Of these, bytes that were agreed to.
    granted: usize,
    cut: bool,
}

#[derive(Default)]
struct Choice {
    message: Message,
    text: String,
    reasoning: String,
    thought: String,
    refusal: String,
    calls: BTreeMap<u32, FunctionCall>,
    extra: Fields,
}

/// Asks whether so many bytes more may be kept.
type Grow<'a> = &'a mut dyn FnMut(usize) -> bool;

impl Gathered {
    pub fn new(bytes: usize) -> Self {
        Self { choices: BTreeMap::new(), room: bytes, granted: 0, cut: false }
    }

    /// Bytes that may still be kept.
    pub fn room(&self) -> usize {
        self.room
    }

    /// More of a stream.
    pub fn delta(&mut self, delta: &Delta, grow: Grow<'_>) {
        let Delta::Piece { choice, piece } = delta else { return };
        match piece {
            Piece::Begin | Piece::Finish(_) | Piece::Beside(_) => {
                self.choice(*choice, grow);
            }
            Piece::Text(text) => self.append(*choice, text, grow, |choice| &mut choice.text),
            Piece::Reasoning(text) => self.append(*choice, text, grow, |choice| &mut choice.reasoning),
            Piece::Thought(text) => self.append(*choice, text, grow, |choice| &mut choice.thought),
            Piece::Refusal(text) => self.append(*choice, text, grow, |choice| &mut choice.refusal),
            Piece::Call { index, id, name, extra } => {
                let bytes = PIECE_BYTES + id.len() + name.len() + bytes_of(extra);
                if self.choice(*choice, grow).is_some() && self.fits(bytes, grow) {
                    let call = FunctionCall { id: id.clone(), name: name.clone(), arguments: String::new(), extra: extra.clone() };
                    self.of(*choice).calls.insert(*index, call);
                }
            }
            Piece::Arguments { index, text } => {
                if self.choices.get(choice).is_some_and(|choice| choice.calls.contains_key(index)) {
                    let index = *index;
                    self.append(*choice, text, grow, |choice| &mut choice.calls.entry(index).or_insert_with(nameless).arguments);
                }
            }
            Piece::Fields(fields) => {
                if self.choice(*choice, grow).is_some() && self.fits(bytes_of(fields), grow) {
                    self.of(*choice).extra.extend(fields.iter().cloned());
                }
            }
        }
    }

    /// A whole reply.
    pub fn completion(&mut self, completion: &Completion, grow: Grow<'_>) {
        for choice in &completion.choices {
            if self.choice(choice.index, grow).is_some() {
                let message = self.message(&choice.message, grow);
                self.of(choice.index).message = message;
            }
        }
    }

    /// The messages, in the order of their choices.
    pub fn into_messages(self) -> Vec<Message> {
        let cut = self.cut;
        self.choices.into_values().map(|choice| choice.into_message(cut)).collect()
    }

    /// As much of a message as there is room for: texts are cut, what cannot be cut is left out.
    fn message(&mut self, message: &Message, grow: Grow<'_>) -> Message {
        let content = match &message.content {
            Content::Null => Content::Null,
            Content::Text(text) => Content::Text(self.start(text, grow).to_owned()),
            Content::Parts(parts) => Content::Parts(parts.iter().filter_map(|part| self.part(part, grow)).collect()),
        };
        let call = |call: &&ToolCall| {
            let bytes = match call {
                ToolCall::Function(call) => call.id.len() + call.name.len() + call.arguments.len() + bytes_of(&call.extra),
                ToolCall::Other(raw) => raw.get().len(),
            };
            self.fits(PIECE_BYTES + bytes, grow)
        };
        let tool_calls = message.tool_calls.iter().filter(call).cloned().collect();
        let extra = message.extra.iter().filter(|(name, value)| self.fits(name.len() + value.get().len(), grow)).cloned().collect();
        Message { role: message.role.clone(), content, name: None, tool_calls, tool_call_id: None, extra }
    }

    fn part(&mut self, part: &Part, grow: Grow<'_>) -> Option<Part> {
        match part {
            Part::Text { text, extra } => self
                .fits(PIECE_BYTES + bytes_of(extra), grow)
                .then(|| Part::Text { text: self.start(text, grow).to_owned(), extra: extra.clone() }),
            Part::Other(raw) => self.fits(PIECE_BYTES + raw.get().len(), grow).then(|| Part::Other(raw.clone())),
        }
    }

    /// The choice, if there is room for it.
    fn choice(&mut self, choice: u32, grow: Grow<'_>) -> Option<&mut Choice> {
        if !self.choices.contains_key(&choice) && !self.fits(PIECE_BYTES, grow) {
            return None;
        }
        Some(self.of(choice))
    }

    fn of(&mut self, choice: u32) -> &mut Choice {
        self.choices.entry(choice).or_default()
    }

    fn append(&mut self, choice: u32, text: &str, grow: Grow<'_>, to: impl FnOnce(&mut Choice) -> &mut String) {
        if self.choice(choice, grow).is_some() {
            let text = self.start(text, grow);
            to(self.of(choice)).push_str(text);
        }
    }

    /// As much of the text as there is room for. After the first cut nothing more is kept, so that no text has a hole.
    fn start<'a>(&mut self, text: &'a str, grow: Grow<'_>) -> &'a str {
        let most = if self.cut { 0 } else { text.floor_char_boundary(self.room.min(text.len())) };
        let kept = if self.fits(most, grow) { &text[..most] } else { "" };
        self.cut |= kept.len() < text.len();
        kept
    }

    /// Whether so many bytes more are kept; if not, the reply is cut.
    fn fits(&mut self, bytes: usize, grow: Grow<'_>) -> bool {
        if self.cut || bytes > self.room {
            self.cut |= bytes > 0;
            return false;
        }
        if bytes > self.granted {
            let more = (bytes - self.granted).max(STEP).min(self.room - self.granted);
            if !grow(more) {
                self.cut = true;
                return false;
            }
            self.granted += more;
        }
        self.granted -= bytes;
        self.room -= bytes;
        true
    }
}

impl Choice {
    fn into_message(self, cut: bool) -> Message {
        let Self { mut message, text, reasoning, thought, refusal, calls, extra } = self;
        if message.role.is_empty() {
            message.role = "assistant".to_owned();
        }
        if !text.is_empty() {
            message.content = Content::Text(text);
        }
        message.tool_calls.extend(calls.into_values().map(ToolCall::Function));
        let texts = [("reasoning_content", reasoning), ("reasoning", thought), ("refusal", refusal)];
        let texts = texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name.to_owned(), json_string(&text)));
        let truncated: Option<(String, Json)> = cut.then(|| (TRUNCATED.to_owned(), raw_json(&true)));
        message.extra.extend(texts.chain(extra).chain(truncated));
        message
    }
}

fn nameless() -> FunctionCall {
    FunctionCall { id: String::new(), name: String::new(), arguments: String::new(), extra: Vec::new() }
}

fn bytes_of(fields: &Fields) -> usize {
    fields.iter().map(|(name, value)| name.len() + value.get().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::codec::parse_completion;

    fn piece(choice: u32, piece: Piece) -> Delta {
        Delta::Piece { choice, piece }
    }

    fn gathered(bytes: usize, granted: usize, deltas: &[Delta]) -> Vec<Message> {
        let mut gathered = Gathered::new(bytes);
        let mut left = granted;
        for delta in deltas {
            gathered.delta(delta, &mut |bytes| {
                let fits = bytes <= left;
                left -= if fits { bytes } else { 0 };
                fits
            });
        }
        gathered.into_messages()
    }

    fn is_cut(message: &Message) -> bool {
        message.extra.iter().any(|(name, value)| name == TRUNCATED && value.get() == "true")
    }

    #[test]
    fn text_refusal_reasoning_and_calls_of_every_choice_are_put_together() {
        let text = |choice, text: &str| piece(choice, Piece::Text(text.into()));
        let deltas = [
            text(1, "b"),
            text(0, "a"),
            piece(0, Piece::Reasoning("why".into())),
            piece(0, Piece::Thought("not".into())),
            piece(0, Piece::Refusal("no".into())),
            piece(0, Piece::Call { index: 0, id: "t".into(), name: "f".into(), extra: Vec::new() }),
            piece(0, Piece::Arguments { index: 0, text: "{".into() }),
            piece(0, Piece::Arguments { index: 0, text: "}".into() }),
            piece(0, Piece::Arguments { index: 9, text: "of no call".into() }),
            text(1, "c"),
            piece(1, Piece::Finish("stop".into())),
        ];
        let messages = gathered(1 << 20, 1 << 20, &deltas);
        let texts: Vec<String> = messages.iter().map(Message::joined_text).collect();
        assert_eq!(texts, ["a", "bc"]);
        let ToolCall::Function(call) = &messages[0].tool_calls[0] else { panic!("a function") };
        assert_eq!((call.id.as_str(), call.name.as_str(), call.arguments.as_str()), ("t", "f", "{}"));
        let extra: Vec<(&str, &str)> = messages[0].extra.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
        assert_eq!(extra, [("reasoning_content", "\"why\""), ("reasoning", "\"not\""), ("refusal", "\"no\"")]);
        assert!(messages.iter().all(|message| message.role == "assistant" && !is_cut(message)));
    }

    #[test]
    fn a_text_is_cut_at_the_limit_between_two_characters_and_says_so() {
        for (most, kept, cut) in [(5, "aéö", false), (4, "aé", true), (3, "aé", true), (2, "a", true), (0, "", true)] {
            let messages =
                gathered(PIECE_BYTES + most, 1 << 20, &[piece(0, Piece::Text("aéö".into())), piece(0, Piece::Text(String::new()))]);
            assert_eq!((messages[0].joined_text().as_str(), is_cut(&messages[0])), (kept, cut), "{most}");
        }
        let after = [piece(0, Piece::Text("aé".into())), piece(0, Piece::Text("b".into()))];
        assert_eq!(gathered(PIECE_BYTES + 2, 1 << 20, &after)[0].joined_text(), "a", "no text has a hole");
    }

    #[test]
    fn no_more_is_kept_than_was_agreed_to_however_many_choices_and_calls_there_are() {
        let flood: Vec<Delta> = (0..10_000)
            .flat_map(|n| {
                [piece(n, Piece::Begin), piece(0, Piece::Call { index: n, id: "i".into(), name: String::new(), extra: Vec::new() })]
            })
            .collect();
        let messages = gathered(1 << 20, 8 << 10, &flood);
        let calls = messages[0].tool_calls.len();
        assert!(messages.len() + calls <= (8 << 10) / PIECE_BYTES && is_cut(&messages[0]), "{} and {calls}", messages.len());
        assert!(gathered(0, 0, &flood).is_empty());
    }

    #[test]
    fn of_a_whole_reply_what_cannot_be_cut_is_left_out() {
        let body = br#"{"choices":[{"index":0,"message":{"role":"assistant","content":"0123456789","refusal":"no","tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}]}}]}"#;
        let completion = parse_completion(body).expect("valid");
        for (most, text, calls, extra) in
            [(1_000, "0123456789", 1, 1), (PIECE_BYTES + 10, "0123456789", 0, 1), (PIECE_BYTES + 4, "0123", 0, 1)]
        {
            let mut gathered = Gathered::new(most);
            gathered.completion(&completion, &mut |_| true);
            let messages = gathered.into_messages();
            assert_eq!((messages[0].joined_text().as_str(), messages[0].tool_calls.len(), messages[0].extra.len()), (text, calls, extra));
            assert_eq!(is_cut(&messages[0]), most < 1_000);
        }
    }
}
