//! Through which channels a reply says something, in bytes: its text, what its calls are named, its annotations and so on. What stands in no
//! channel of its own counts as `Other`, so that no byte that a client reads is in none. Texts count as they read, all else as its JSON.

use std::fmt;
use std::ops::AddAssign;

use super::{Choice, Completion, Content, Delta, Fields, Message, Part, Piece, ToolCall};

/// A way in which a reply can say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Text,
    Refusal,
    Reasoning,
    /// Names and ids of calls.
    ToolName,
    /// Arguments of calls, and calls of kinds that are not modelled.
    ToolArguments,
    /// Images, audio, and content in parts that are no text.
    Media,
    Annotations,
    /// `logprobs`, usage, the reply's names, fields that nobody knows.
    Other,
}

impl Channel {
    pub const ALL: [Self; 8] =
        [Self::Text, Self::Refusal, Self::Reasoning, Self::ToolName, Self::ToolArguments, Self::Media, Self::Annotations, Self::Other];

    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Refusal => "refusal",
            Self::Reasoning => "reasoning",
            Self::ToolName => "tool_name",
            Self::ToolArguments => "tool_arguments",
            Self::Media => "media",
            Self::Annotations => "annotations",
            Self::Other => "other",
        }
    }

    /// That of a field which is not modelled.
    fn of(name: &str) -> Self {
        match name {
            "annotations" => Self::Annotations,
            // `content` in a form that is not modelled is a list that holds other parts than text.
            "audio" | "image" | "images" | "video" | "content" | "content_part" => Self::Media,
            "refusal" => Self::Refusal,
            "tool_calls" | "function_call" => Self::ToolArguments,
            _ if name.starts_with("reasoning") || name.starts_with("thinking") => Self::Reasoning,
            _ => Self::Other,
        }
    }
}

/// Bytes in each channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said([u64; Channel::ALL.len()]);

impl Said {
    pub fn add(&mut self, channel: Channel, bytes: usize) {
        self.0[channel as usize] += bytes as u64;
    }

    /// The channels in which there is something.
    pub fn channels(&self) -> impl Iterator<Item = (Channel, u64)> {
        Channel::ALL.into_iter().zip(self.0).filter(|(_, bytes)| *bytes > 0)
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bytes| *bytes == 0)
    }

    /// What of this is not in `other`.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        let mut rest = *self;
        rest.0.iter_mut().zip(other.0).for_each(|(bytes, other)| *bytes = bytes.saturating_sub(other));
        rest
    }

    /// A piece of a stream. The reply's names are left to whoever knows whether they were told before.
    pub fn delta(&mut self, delta: &Delta) {
        match delta {
            Delta::Head { .. } | Delta::Usage(_) => {}
            Delta::UsageJson(json) => self.add(Channel::Other, json.get().len()),
            Delta::Fields(fields) => self.fields(fields),
            Delta::Piece { piece, .. } => self.piece(piece),
        }
    }

    pub fn piece(&mut self, piece: &Piece) {
        match piece {
            Piece::Begin => {}
            Piece::Text(text) => self.add(Channel::Text, text.len()),
            Piece::Reasoning(text) | Piece::Thought(text) => self.add(Channel::Reasoning, text.len()),
            Piece::Refusal(text) => self.add(Channel::Refusal, text.len()),
            Piece::Call { id, name, extra, .. } => {
                self.add(Channel::ToolName, id.len() + name.len());
                self.fields(extra);
            }
            Piece::Arguments { text, .. } => self.add(Channel::ToolArguments, text.len()),
            Piece::Fields(fields) => self.fields(fields),
            // They spell out texts again, in a form that no hook is shown.
            Piece::Beside(fields) => fields.iter().for_each(|(name, json)| self.add(Channel::Other, name.len() + json.get().len())),
            Piece::Finish(reason) => self.add(Channel::Other, reason.len()),
        }
    }

    pub fn fields(&mut self, fields: &Fields) {
        fields.iter().for_each(|(name, json)| self.field(name, json.get()));
    }

    /// A field that is not modelled; one that is `null` says nothing.
    pub fn field(&mut self, name: &str, json: &str) {
        if json != "null" {
            self.add(Channel::of(name), name.len() + json.len());
        }
    }

    /// A whole reply, as its client reads it.
    pub fn completion(&mut self, completion: &Completion) {
        let Completion { id, created: _, model, choices, usage, extra } = completion;
        self.add(Channel::Other, id.len() + model.len() + usage.as_ref().map_or(0, |json| json.get().len()));
        self.fields(extra);
        choices.iter().for_each(|choice| self.choice(choice));
    }

    fn choice(&mut self, choice: &Choice) {
        let Choice { index: _, message, finish_reason, extra } = choice;
        self.message(message);
        self.add(Channel::Other, finish_reason.as_ref().map_or(0, String::len));
        extra
            .iter()
            .filter(|(_, json)| json.get() != "null")
            .for_each(|(name, json)| self.add(Channel::Other, name.len() + json.get().len()));
    }

    /// All of a message.
    pub fn message(&mut self, message: &Message) {
        let Message { role, content, tool_calls, tool_call_id, name, extra } = message;
        let names = [tool_call_id, name].into_iter().flatten().map(String::len).sum::<usize>();
        self.add(Channel::Other, names + if role == "assistant" { 0 } else { role.len() });
        match content {
            Content::Null => {}
            Content::Text(text) => self.add(Channel::Text, text.len()),
            Content::Parts(parts) => parts.iter().for_each(|part| self.part(part)),
        }
        tool_calls.iter().for_each(|call| self.call(call));
        extra.iter().for_each(|(name, json)| self.message_field(name, json.get()));
    }

    /// The texts of a message's content alone.
    pub fn texts(&mut self, message: &Message) {
        match &message.content {
            Content::Null => {}
            Content::Text(text) => self.add(Channel::Text, text.len()),
            Content::Parts(parts) => parts.iter().for_each(|part| match part {
                Part::Text { text, .. } => self.add(Channel::Text, text.len()),
                Part::Other(_) => {}
            }),
        }
    }

    pub fn part(&mut self, part: &Part) {
        match part {
            Part::Text { text, extra } => {
                self.add(Channel::Text, text.len());
                self.fields(extra);
            }
            Part::Other(json) => self.add(Channel::Media, json.get().len()),
        }
    }

    pub fn call(&mut self, call: &ToolCall) {
        match call {
            ToolCall::Function(call) => {
                self.add(Channel::ToolName, call.id.len() + call.name.len());
                self.add(Channel::ToolArguments, call.arguments.len());
                self.fields(&call.extra);
            }
            ToolCall::Other(raw) => self.add(Channel::ToolArguments, raw.get().len()),
        }
    }

    /// A field beside a message's content. One whose value is a text counts as the text in a channel of texts, as in a stream.
    pub fn message_field(&mut self, name: &str, json: &str) {
        match Channel::of(name) {
            channel @ (Channel::Refusal | Channel::Reasoning) if json.starts_with('"') => {
                let bytes = serde_json::from_str::<String>(json).map_or(json.len(), |text| text.len());
                self.add(channel, bytes);
            }
            _ => self.field(name, json),
        }
    }
}

impl AddAssign for Said {
    fn add_assign(&mut self, more: Self) {
        self.0.iter_mut().zip(more.0).for_each(|(bytes, more)| *bytes += more);
    }
}

/// As a log line tells it: `text 12, other 40`.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (channel, bytes)) in self.channels().enumerate() {
            write!(f, "{}{} {bytes}", if at == 0 { "" } else { ", " }, channel.word())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{codec, decode};

    fn streamed(chunk: &str) -> String {
        let mut said = Said::default();
        decode::chunk(chunk.as_bytes()).expect("JSON").iter().for_each(|delta| said.delta(delta));
        said.to_string()
    }

    #[test]
    fn every_channel_of_a_chunk_has_its_bytes() {
        let delta = |delta: &str| streamed(&format!("{{\"choices\":[{{\"delta\":{delta}}}]}}"));
        assert_eq!(delta(r#"{"role":"assistant","content":"é\n"}"#), "text 3");
        assert_eq!(delta(r#"{"refusal":"no","reasoning":"why?"}"#), "refusal 2, reasoning 4");
        assert_eq!(
            delta(r#"{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{}"}}]}"#),
            "tool_name 2, tool_arguments 2"
        );
        assert_eq!(delta(r#"{"annotations":[1],"audio":{},"x":2}"#), "media 7, annotations 14, other 2");
        assert_eq!(delta(r#"{"content":[{"type":"image_url"}]}"#), "media 29");
        assert_eq!(streamed(r#"{"service_tier":"x","choices":[{"delta":{},"logprobs":[1],"finish_reason":"stop"}]}"#), "other 30");
    }

    #[test]
    fn a_whole_reply_has_the_same_channels() {
        let body = r#"{"id":"c","object":"chat.completion","created":7,"model":"m","x":1,"choices":[{"index":0,"message":{"role":"assistant",
            "content":"text","reasoning":"why\n","annotations":[1],"refusal":null,"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}},
            {"id":"u","type":"custom","custom":{}}]},"finish_reason":"stop","logprobs":[]}],"usage":{}}"#;
        let mut said = Said::default();
        said.completion(&codec::parse_completion(body.as_bytes()).expect("valid"));
        assert_eq!(said.to_string(), "text 4, reasoning 4, tool_name 2, tool_arguments 40, annotations 14, other 20");
    }

    #[test]
    fn what_is_beyond_something_else_is_never_less_than_nothing() {
        let (mut more, mut less) = (Said::default(), Said::default());
        more.add(Channel::Text, 5);
        less.add(Channel::Text, 3);
        less.add(Channel::Other, 3);
        assert_eq!(more.beyond(&less).to_string(), "text 2");
        assert!(Said::default().beyond(&more).is_empty());
    }
}
