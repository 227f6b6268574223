//! What a reply used, in tokens, as OpenAI counts them: cached tokens are part of the prompt, reasoning is part of the completion.
//! Providers that count otherwise are converted by their adapters.
//! Source: OpenAI API reference, `CompletionUsage`.

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::Json;

/// Tokens of one reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All that was sent, what came out of a cache included.
    pub prompt: u64,
    /// All that was generated, reasoning included.
    pub completion: u64,
    /// Of the prompt: read from the provider's cache.
    pub cached: u64,
    /// Of the completion: reasoning, which the client may not see.
    pub reasoning: u64,
}

impl Usage {
    pub fn total(&self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }

    /// As OpenAI writes it, details included.
    pub fn json(&self) -> Json {
        let value = json!({
            "prompt_tokens": self.prompt,
            "completion_tokens": self.completion,
            "total_tokens": self.total(),
            "prompt_tokens_details": {"cached_tokens": self.cached},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning},
        });
        serde_json::value::to_raw_value(&value).expect("numbers under names are JSON")
    }

    /// Reads OpenAI's form; what is missing counts as 0. None if it is no such object.
    pub fn read(json: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire {
            prompt_tokens: Option<u64>,
            completion_tokens: Option<u64>,
            prompt_tokens_details: Option<Prompt>,
            completion_tokens_details: Option<Completion>,
        }
        #[derive(Deserialize)]
        struct Prompt {
            cached_tokens: Option<u64>,
        }
        #[derive(Deserialize)]
        struct Completion {
            reasoning_tokens: Option<u64>,
        }
        let wire: Option<Wire> = serde_json::from_str(json.get()).ok()?;
        let wire = wire?;
        Some(Self {
            prompt: wire.prompt_tokens.unwrap_or(0),
            completion: wire.completion_tokens.unwrap_or(0),
            cached: wire.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0),
            reasoning: wire.completion_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        })
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
        let usage = Usage { prompt: 20, completion: 9, cached: 15, reasoning: 4 };
        assert_eq!(read(usage.json().get()), Some(usage));
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
}
