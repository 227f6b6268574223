//! What a reply used, in tokens, as OpenAI counts them: cached tokens are part of the prompt, reasoning is part of the completion.
//! Providers that count otherwise are converted by their adapters.
//! Source: OpenAI API reference, `CompletionUsage`.

use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;

use super::Json;

/// Tokens of one count of one reply that are believed. The largest contexts hold a few million; what a provider reports beyond this is a
/// mistake, and must not fill sums and figures.
pub const TOKENS_MAX: u64 = 1_000_000_000;

/// Tokens of one reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All that was sent, what came out of a cache included.
    pub prompt: u64,
    /// All that was generated, reasoning included.
    pub completion: u64,
    /// Of the prompt: read from the provider's cache.
    pub cached: u64,
    /// Of the prompt: written to the provider's cache, for which some charge more. OpenAI's name for it has come late; others have it elsewhere.
    pub written: u64,
    /// Of the completion: reasoning, which the client may not see.
    pub reasoning: u64,
}

impl Usage {
    pub fn total(&self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }

    /// What somebody can have used.
    #[must_use]
    pub fn believable(&self) -> Self {
        let Self { prompt, completion, cached, written, reasoning } = *self;
        let [prompt, completion, cached, written, reasoning] =
            [prompt, completion, cached, written, reasoning].map(|tokens| tokens.min(TOKENS_MAX));
        Self { prompt, completion, cached, written, reasoning }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            prompt: self.prompt.saturating_add(other.prompt),
            completion: self.completion.saturating_add(other.completion),
            cached: self.cached.saturating_add(other.cached),
            written: self.written.saturating_add(other.written),
            reasoning: self.reasoning.saturating_add(other.reasoning),
        }
    }

    /// As OpenAI writes it, details included.
    pub fn json(&self) -> Json {
        let mut value = json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.total(),
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        });
        if self.written > 0 {
            value["prompt_tokens_details"]["cache_write_tokens"] = json!(self.written);
        }
        serde_json::value::to_raw_value(&value).expect("numbers under names are JSON")
    }

    /// Reads OpenAI's form, that of its Responses, and what other servers make of them: a count may be a text or a fraction, and may have another
    /// name. What is missing counts as 0. None if it is no such object.
    pub fn read(json: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(default)]
            prompt_tokens: Count,
            #[serde(default)]
            input_tokens: Count,
            #[serde(default)]
            completion_tokens: Count,
            #[serde(default)]
            output_tokens: Count,
            #[serde(default)]
            prompt_tokens_details: Lenient<Prompt>,
            #[serde(default)]
            input_tokens_details: Lenient<Prompt>,
            #[serde(default)]
            completion_tokens_details: Lenient<Completion>,
            #[serde(default)]
            output_tokens_details: Lenient<Completion>,
            /// DeepSeek's, and Anthropic's as gateways pass them on.
            #[serde(default)]
            prompt_cache_hit_tokens: Count,
            #[serde(default)]
            cache_read_input_tokens: Count,
            #[serde(default)]
            cache_creation_input_tokens: Count,
        }
        #[derive(Default, Deserialize)]
        struct Prompt {
            #[serde(default)]
            cached_tokens: Count,
            #[serde(default)]
            cache_write_tokens: Count,
        }
        #[derive(Default, Deserialize)]
        struct Completion {
            #[serde(default)]
            reasoning_tokens: Count,
        }
        if !json.get().starts_with('{') {
            return None;
        }
        let wire: Wire = serde_json::from_str(json.get()).ok()?;
        let first = |counts: &[Count]| counts.iter().find_map(|count| count.0).unwrap_or(0);
        let Wire { prompt_tokens_details: Lenient(prompt), input_tokens_details: Lenient(input), .. } = wire;
        let Wire { completion_tokens_details: Lenient(completion), output_tokens_details: Lenient(output), .. } = wire;
        let cached = [prompt.cached_tokens, input.cached_tokens, wire.prompt_cache_hit_tokens, wire.cache_read_input_tokens];
        Some(Self {
            prompt: first(&[wire.prompt_tokens, wire.input_tokens]),
            completion: first(&[wire.completion_tokens, wire.output_tokens]),
            cached: first(&cached),
            written: first(&[prompt.cache_write_tokens, input.cache_write_tokens, wire.cache_creation_input_tokens]),
            reasoning: first(&[completion.reasoning_tokens, output.reasoning_tokens]),
        })
    }

    /// Whether a strict client can take it as it is: the counts are whole numbers under OpenAI's names.
    pub fn is_regular(json: &RawValue) -> bool {
        #[derive(Deserialize)]
        struct Counts {
            #[serde(default)]
            prompt_tokens: Exact,
            #[serde(default)]
            completion_tokens: Exact,
            #[serde(default)]
            total_tokens: Exact,
        }
        /// Absent, or a number; a null is neither.
        #[derive(Default, PartialEq)]
        enum Exact {
            #[default]
            Absent,
            Number,
        }
        impl<'de> Deserialize<'de> for Exact {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                u64::deserialize(deserializer).map(|_| Self::Number)
            }
        }
        if !json.get().starts_with('{') {
            return false;
        }
        serde_json::from_str(json.get()).is_ok_and(|counts: Counts| {
            let none = [counts.prompt_tokens, counts.completion_tokens, counts.total_tokens].iter().all(|count| *count == Exact::Absent);
            !none || Self::read(json).unwrap_or_default().total() == 0
        })
    }
}

/// A count of tokens, however it is written; none if it is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count(pub Option<u64>);

impl Count {
    /// As a value has it.
    pub fn read(value: &serde_json::Value) -> Option<u64> {
        Self::of(value.as_str().map_or_else(|| value.to_string(), str::to_owned).trim())
    }

    fn of(text: &str) -> Option<u64> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates, and what is below 0 is none")]
        let whole = |number: f64| (number.is_finite() && number >= 0.0).then_some(number as u64);
        text.parse().ok().or_else(|| whole(text.parse().ok()?))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(|value| Self(Self::read(&value)))
    }
}

/// Details, or nothing where they have another form.
#[derive(Default)]
struct Lenient<T>(T);

impl<'de, T: Default + Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        let object = Some(raw).filter(|raw| raw.starts_with('{'));
        Ok(Self(object.and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Usage> {
        Usage::read(&crate::chat::codec::json(text.into()).expect("JSON"))
    }

    #[test]
    fn usage_reads_back_to_what_was_written() {
        let usage = Usage { prompt: 20, completion: 9, cached: 15, written: 3, reasoning: 4 };
        assert_eq!(read(usage.json().get()), Some(usage));
        assert!(!Usage { written: 0, ..usage }.json().get().contains("cache_write"), "most providers have no such count");
        assert_eq!(usage.total(), 29);
    }

    #[test]
    fn what_is_missing_or_null_counts_as_nothing() {
        let bare = Usage { prompt: 1, completion: 2, ..Usage::default() };
        assert_eq!(read(r#"{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}"#), Some(bare));
        assert_eq!(read(r#"{"prompt_tokens":1,"completion_tokens":2,"prompt_tokens_details":null,"x":{}}"#), Some(bare));
        assert_eq!(read("null"), None);
        assert_eq!(read("[]"), None);
    }

    #[test]
    fn counts_are_read_however_they_are_written_and_named() {
        let expected = Usage { prompt: 3, completion: 2, cached: 1, written: 4, reasoning: 1 };
        for text in [
            r#"{"prompt_tokens":"3","completion_tokens":2.0,"prompt_tokens_details":{"cached_tokens":"1","cache_write_tokens":4.0},"completion_tokens_details":{"reasoning_tokens":1}}"#,
            r#"{"input_tokens":3,"output_tokens":2,"input_tokens_details":{"cached_tokens":1,"cache_write_tokens":4},"output_tokens_details":{"reasoning_tokens":1}}"#,
            r#"{"prompt_tokens":3,"input_tokens":3,"completion_tokens":2,"prompt_tokens_details":[],"prompt_cache_hit_tokens":1,"cache_creation_input_tokens":4,"completion_tokens_details":{"reasoning_tokens":1}}"#,
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for (text, regular) in [
            (r#"{"prompt_tokens":1}"#, true),
            ("{}", true),
            (r#"{"prompt_tokens":"1","completion_tokens":2}"#, false),
            (r#"{"prompt_tokens":1,"total_tokens":null}"#, false),
            (r#"{"prompt_tokens":1.0}"#, false),
            (r#"{"input_tokens":1}"#, false),
            ("[]", false),
        ] {
            assert_eq!(Usage::is_regular(&crate::chat::codec::json(text.into()).expect("JSON")), regular, "{text}");
        }
        assert_eq!(read(r#"{"prompt_tokens":-3,"completion_tokens":"many"}"#), Some(Usage::default()));
        assert!(Usage::is_regular(&expected.json()));
    }
}
