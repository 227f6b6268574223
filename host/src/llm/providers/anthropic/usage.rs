//! Anthropic's counts of tokens, which leave out of the input what was written to the cache or read from it, as OpenAI's, which do not.
//! Source: Anthropic API reference, `usage`. Must not know where in a reply they stand.

use serde_json::Value;

use crate::chat::Usage;

/// Tokens as Anthropic counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    input: u64,
    /// Written to the cache and read from it; neither is part of the input.
    written: u64,
    read: u64,
    output: u64,
    /// Of the output.
    thought: u64,
}

impl Counts {
    /// Reads a `usage` object; what is missing counts as 0. Where the reply took several rounds, the outer counts speak of the last only.
    pub(super) fn read(usage: &Value) -> Self {
        match usage["iterations"].as_array().filter(|rounds| !rounds.is_empty()) {
            Some(rounds) => rounds.iter().map(Self::one).fold(Self::default(), |all, one| all.each(one, u64::saturating_add)),
            None => Self::one(usage),
        }
    }

    fn one(usage: &Value) -> Self {
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        Self {
            input: count(&usage["input_tokens"]),
            written: count(&usage["cache_creation_input_tokens"]),
            read: count(&usage["cache_read_input_tokens"]),
            output: count(&usage["output_tokens"]),
            thought: count(&usage["output_tokens_details"]["thinking_tokens"]),
        }
    }

    /// Of two counts of one reply the higher: some servers count at its beginning, some at its end, and some write 0 at the other place.
    pub(super) fn max(self, other: Self) -> Self {
        self.each(other, u64::max)
    }

    fn each(self, other: Self, one: fn(u64, u64) -> u64) -> Self {
        Self {
            input: one(self.input, other.input),
            written: one(self.written, other.written),
            read: one(self.read, other.read),
            output: one(self.output, other.output),
            thought: one(self.thought, other.thought),
        }
    }

    pub(super) fn usage(self) -> Usage {
        let prompt = self.input.saturating_add(self.written).saturating_add(self.read);
        Usage { prompt, completion: self.output, cached: self.read, reasoning: self.thought }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn c14_cached_tokens_are_part_of_the_prompt_and_the_total() {
        let counts =
            Counts::read(&json!({"input_tokens": 5, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 4}}));
        assert_eq!(counts.usage(), Usage { prompt: 115, completion: 7, cached: 100, reasoning: 4 });
        assert_eq!(counts.usage().total(), 122);
    }

    #[test]
    fn rounds_are_summed() {
        let counts = Counts::read(&json!({"input_tokens": 1, "output_tokens": 1, "iterations": [
            {"type": "compaction", "input_tokens": 100, "output_tokens": 20},
            {"type": "message", "input_tokens": 30, "cache_read_input_tokens": 5, "output_tokens": 3},
        ]}));
        assert_eq!(counts.usage(), Usage { prompt: 135, completion: 23, cached: 5, reasoning: 0 });
    }
}
