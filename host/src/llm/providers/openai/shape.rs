//! What is looked at of an OpenAI-shaped reply: one shallow parse, everything borrowed as its bytes, so that what nobody looks at costs little
//! and can be forwarded as it came. It decides nothing. Source: OpenAI API reference, "Chat completion chunk".

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::llm::provider_error::DecodeError;

/// A field's value as its bytes; none if the field is absent. A `null` is a value.
pub(in crate::llm) type Raw<'a> = Option<&'a RawValue>;

/// One `chat.completion.chunk`, or what comes in its place.
#[derive(serde::Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) id: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) object: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) created: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) model: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "entries")]
    pub(super) choices: Option<Vec<Entry<'a>>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) usage: Raw<'a>,
    /// Groq's, which has a usage.
    #[serde(borrow)]
    x_groq: Raw<'a>,
    #[serde(borrow)]
    error: Raw<'a>,
    /// MiniMax's, whose status is 0 if all is well.
    #[serde(borrow)]
    base_resp: Raw<'a>,
    /// Cloudflare's envelope says with it that the rest is an error.
    #[serde(borrow)]
    success: Raw<'a>,
    /// Random text that hides the length of the answer: OpenAI's name for it, and Mistral's.
    #[serde(borrow, default, deserialize_with = "present")]
    obfuscation: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    p: Raw<'a>,
}

/// One entry of `choices`, of a chunk or of a whole reply.
#[derive(serde::Deserialize)]
pub(super) struct Entry<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) index: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) delta: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) message: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) finish_reason: Raw<'a>,
    /// Azure's verdict on the content.
    #[serde(borrow)]
    pub(super) content_filter_results: Raw<'a>,
    /// The place of a delta's or a message's content in OpenAI's older API.
    #[serde(borrow)]
    pub(super) text: Raw<'a>,
    /// OpenRouter's, for a choice whose own provider failed.
    #[serde(borrow)]
    error: Raw<'a>,
    /// Moonshot's.
    #[serde(borrow)]
    usage: Raw<'a>,
}

/// What matters of a delta or a message.
#[derive(Default)]
pub(super) struct Said<'a> {
    pub(super) role: Raw<'a>,
    /// Texts that are none, such as lists of parts.
    pub(super) odd: Vec<Odd<'a>>,
    /// OpenAI-compatible servers' field for it, whatever it holds.
    pub(super) reasoning: Raw<'a>,
    /// There is reasoning as text.
    pub(super) reasons: bool,
    pub(super) tool_calls: Raw<'a>,
    /// Content, reasoning, a refusal or an old function call.
    pub(super) something: bool,
    /// The value of that field, if it is the only one which holds something.
    pub(super) alone: Raw<'a>,
    /// A field that is not modelled holds something.
    pub(super) more: bool,
}

/// A field that should hold a text and holds something else.
pub(super) struct Odd<'a> {
    pub(super) field: TextField,
    pub(super) value: &'a RawValue,
}

/// Fields of a delta or a message that hold a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextField {
    Content,
    Reasoning,
    Refusal,
}

/// One entry of `tool_calls`. Cloudflare's own API has name and arguments without `function` around them.
#[derive(serde::Deserialize)]
pub(in crate::llm) struct Call<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    pub(in crate::llm) index: Raw<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(in crate::llm) id: Raw<'a>,
    #[serde(borrow)]
    pub(in crate::llm) function: Option<Function<'a>>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(in crate::llm) name: Raw<'a>,
    #[serde(borrow)]
    pub(in crate::llm) arguments: Raw<'a>,
}

#[derive(serde::Deserialize)]
pub(in crate::llm) struct Function<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    pub(in crate::llm) name: Raw<'a>,
    #[serde(borrow)]
    pub(in crate::llm) arguments: Raw<'a>,
}

impl<'a> Chunk<'a> {
    /// # Errors
    /// `Malformed` if `text` is no such object.
    pub(super) fn read(text: &'a str) -> Result<Self, DecodeError> {
        // A list would be taken for the fields in their order.
        if !text.starts_with('{') {
            return Err(DecodeError::Malformed("no JSON object".into()));
        }
        serde_json::from_str(text).map_err(|error| DecodeError::Malformed(format!("no JSON object of the right shape: {error}")))
    }

    /// Text that means nothing, if the chunk has some.
    pub(super) fn padding(&self) -> Raw<'a> {
        self.obfuscation.xor(self.p)
    }

    pub(super) fn is_error(&self) -> bool {
        is_error(self.error)
            || self.success.is_some_and(|success| success.get() == "false")
            // vLLM's, without an envelope.
            || self.object.is_some_and(|object| object.get() == "\"error\"")
            || self.base_resp.is_some_and(is_failed_status)
            || self.choices.iter().flatten().any(Entry::is_error)
    }

    /// What was used, wherever the server says it.
    pub(super) fn usage_anywhere(&self) -> Raw<'a> {
        #[derive(serde::Deserialize)]
        struct Groq<'a> {
            #[serde(borrow)]
            usage: Raw<'a>,
        }
        let beside = || serde_json::from_str::<Groq<'a>>(self.x_groq?.get()).ok()?.usage;
        let inside = || self.choices.iter().flatten().find_map(|choice| choice.usage.filter(|raw| says(raw)));
        self.usage.filter(|raw| says(raw)).or_else(beside).or_else(inside).filter(|raw| raw.get().starts_with('{'))
    }
}

fn is_error(error: Raw<'_>) -> bool {
    error.is_some_and(|error| says(error) && error.get() != "false")
}

fn is_failed_status(status: &RawValue) -> bool {
    #[derive(serde::Deserialize)]
    struct Status {
        status_code: i64,
    }
    serde_json::from_str(status.get()).is_ok_and(|Status { status_code }| status_code != 0)
}

impl Entry<'_> {
    /// The choice failed, and nothing more will come of it.
    fn is_error(&self) -> bool {
        is_error(self.error) || self.finish_reason.is_some_and(|reason| reason.get() == "\"error\"")
    }

    /// Nothing stands in it beside which an index and a delta could be put.
    pub(super) fn is_bare(&self) -> bool {
        [self.index, self.delta, self.finish_reason, self.content_filter_results, self.text].iter().all(Option::is_none)
    }
}

impl<'a> Said<'a> {
    /// # Errors
    /// `Malformed` if `raw` is no object.
    pub(super) fn read(raw: &'a RawValue) -> Result<Self, DecodeError> {
        serde_json::from_str(raw.get()).map_err(|error| DecodeError::Malformed(format!("a delta or message that is no object: {error}")))
    }

    /// Notes a field that says something of the answer.
    fn text(&mut self, field: Option<TextField>, value: &'a RawValue) {
        let is_text = value.get().starts_with('"');
        self.odd.extend(field.filter(|_| !is_text && value.get() != "null").map(|field| Odd { field, value }));
        self.reasons |= field == Some(TextField::Reasoning) && is_text && says(value);
        if says(value) {
            self.alone = Some(value).filter(|_| !self.something);
            self.something = true;
        }
    }
}

/// The entries of `tool_calls`, each with its own bytes; none at all if it is `null`.
///
/// # Errors
/// `Malformed` if `raw` is no list of objects.
pub(in crate::llm) fn calls(raw: &RawValue) -> Result<Vec<(&RawValue, Call<'_>)>, DecodeError> {
    let malformed = |error: serde_json::Error| DecodeError::Malformed(format!("tool_calls that are no list of calls: {error}"));
    let list: Vec<&RawValue> = match raw.get() {
        // One call without a list around it.
        object if object.starts_with('{') => vec![raw],
        list => serde_json::from_str::<Option<_>>(list).map_err(malformed)?.unwrap_or_default(),
    };
    // A list would be taken for the fields in their order.
    if list.iter().any(|raw| !raw.get().starts_with('{')) {
        return Err(DecodeError::Malformed("tool_calls with one that is no object".into()));
    }
    list.into_iter().map(|raw| Ok((raw, serde_json::from_str(raw.get()).map_err(malformed)?))).collect()
}

/// A finish reason as OpenAI says it, of which clients know five. Some servers say that a model stopped when it called tools, and clients then do
/// not run them; others use the words of the vendor behind them.
pub(super) fn canonical_reason(reason: &str, calls: bool) -> &str {
    match reason {
        "stop" | "STOP" | "end_turn" | "stop_sequence" | "eos" | "eos_token" if calls => "tool_calls",
        "STOP" | "end_turn" | "stop_sequence" | "eos" | "eos_token" => "stop",
        "model_length" | "max_tokens" | "MAX_TOKENS" => "length",
        "tool_use" | "tool_call" => "tool_calls",
        "SAFETY" | "RECITATION" | "PROHIBITED_CONTENT" | "BLOCKLIST" | "refusal" | "sensitive" => "content_filter",
        reason => reason,
    }
}

/// The word that a server gives as the reason for an end; none if it gives none, which some write as a word.
pub(super) fn reason(raw: Raw<'_>) -> Option<&str> {
    let word = filled(raw)?.get().trim_matches('"');
    Some(word).filter(|word| !matches!(*word, "null" | "None" | "none" | "undefined"))
}

pub(super) fn malformed(cause: &str) -> DecodeError {
    DecodeError::Malformed(cause.to_owned())
}

/// Whether a value holds anything.
pub(in crate::llm) fn says(raw: &RawValue) -> bool {
    !matches!(raw.get(), "null" | "\"\"" | "[]" | "{}")
}

/// The value if it is a string that is not empty.
pub(in crate::llm) fn filled<'a>(raw: Raw<'a>) -> Raw<'a> {
    raw.filter(|raw| raw.get().len() > 2 && raw.get().starts_with('"'))
}

/// Unlike the derived reading, which takes `null` for an absent field.
pub(in crate::llm) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Raw<'de>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Objects only: of a list the derived reading would take the fields in their order.
fn entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Entry<'de>>>, D::Error> {
    struct Strict<'a>(Entry<'a>);
    struct Object;
    impl<'de> Visitor<'de> for Object {
        type Value = Strict<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a choice")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Strict<'de>, A::Error> {
            Entry::deserialize(MapAccessDeserializer::new(map)).map(Strict)
        }
    }
    impl<'de> Deserialize<'de> for Strict<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Object)
        }
    }
    let entries: Option<Vec<Strict<'de>>> = Option::deserialize(deserializer)?;
    Ok(entries.map(|entries| entries.into_iter().map(|Strict(entry)| entry).collect()))
}

impl<'de> Deserialize<'de> for Said<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(field_identifier, rename_all = "snake_case")]
        enum Key {
            Role,
            ToolCalls,
            Content,
            ReasoningContent,
            Reasoning,
            Refusal,
            FunctionCall,
            #[serde(other)]
            Other,
        }
        impl Key {
            /// The texts; an old function call is an object.
            fn field(&self) -> Option<TextField> {
                match self {
                    Self::Content => Some(TextField::Content),
                    Self::ReasoningContent | Self::Reasoning => Some(TextField::Reasoning),
                    Self::Refusal => Some(TextField::Refusal),
                    _ => None,
                }
            }
        }
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Said<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Said<'de>, A::Error> {
                let mut said = Said::default();
                while let Some(key) = map.next_key()? {
                    let value: &RawValue = map.next_value()?;
                    if matches!(key, Key::ReasoningContent) {
                        said.reasoning = Some(value);
                    }
                    match key {
                        Key::Role => said.role = Some(value),
                        Key::ToolCalls => said.tool_calls = Some(value),
                        Key::Other => said.more |= says(value),
                        text => said.text(text.field(), value),
                    }
                }
                Ok(said)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Said<'de>, A::Error> {
                // PHP writes an empty object as an empty list.
                match seq.next_element::<IgnoredAny>()? {
                    None => Ok(Said::default()),
                    Some(_) => Err(A::Error::custom("a list where an object should be")),
                }
            }
        }
        deserializer.deserialize_any(Fields)
    }
}
