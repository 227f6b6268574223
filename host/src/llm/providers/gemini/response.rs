//! `GenerateContentResponse` as far as it is read, and its finish reasons, log probabilities and usage in OpenAI's form.
//! Every field may be missing, because Gemini leaves out what is empty.
//! Source: Gemini API reference, `GenerateContentResponse`, `FinishReason`, `LogprobsResult`, `UsageMetadata`,
//! <https://ai.google.dev/api/generate-content>.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::chat::Usage;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response<'a> {
    /// Each is a [`Candidate`], and each of its parts a [`Part`]. They are kept as they came and parsed one after the other, so that
    /// many of them take little memory.
    #[serde(borrow)]
    pub(super) candidates: Option<Vec<&'a RawValue>>,
    pub(super) prompt_feedback: Option<Feedback>,
    pub(super) usage_metadata: Option<UsageMetadata>,
    pub(super) model_version: Option<String>,
    pub(super) response_id: Option<String>,
    /// An error inside a reply that began as a success.
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    pub(super) index: Option<u32>,
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    pub(super) finish_reason: Option<String>,
    pub(super) grounding_metadata: Option<IgnoredAny>,
    pub(super) logprobs_result: Option<LogProbs>,
}

#[derive(Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    pub(super) text: Option<String>,
    /// The text is a thought.
    pub(super) thought: Option<bool>,
    /// A text's signature need not be sent back, so only a call's is kept.
    pub(super) thought_signature: Option<String>,
    #[serde(borrow)]
    pub(super) function_call: Option<Call<'a>>,
    pub(super) inline_data: Option<Inline>,
}

#[derive(Deserialize)]
pub(super) struct Call<'a> {
    pub(super) id: Option<String>,
    pub(super) name: String,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inline {
    pub(super) mime_type: String,
    pub(super) data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Feedback {
    pub(super) block_reason: Option<String>,
}

/// OpenAI's finish reason for an answer that was withheld.
pub(super) const FILTERED: &str = "content_filter";

/// OpenAI's finish reason for one of Gemini's. A call that the model got wrong, or that it was not offered, was not filtered and leaves nothing
/// to run, so it is `stop`, like every reason without a counterpart. Other gateways differ here.
pub(super) fn finish_reason(native: &str) -> &'static str {
    match native {
        "MAX_TOKENS" => "length",
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "MODEL_ARMOR" => FILTERED,
        image if image.starts_with("IMAGE_") => FILTERED,
        _ => "stop",
    }
}

/// The finish reason of an answer with `calls`, because Gemini says `STOP` after calls too. An answer that was cut or withheld keeps its reason.
pub(super) fn with_calls(reason: &'static str, calls: u32) -> &'static str {
    if reason == "stop" && calls > 0 { "tool_calls" } else { reason }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct LogProbs {
    chosen_candidates: Vec<Token>,
    /// For each chosen token, the most likely ones.
    top_candidates: Vec<Top>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Top {
    candidates: Vec<Token>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Token {
    token: String,
    log_probability: f64,
}

impl Token {
    fn json(&self) -> Value {
        json!({"token": self.token, "logprob": self.log_probability, "bytes": self.token.as_bytes()})
    }
}

/// Entries of OpenAI's `logprobs.content`.
pub(super) fn logprobs(result: LogProbs) -> impl Iterator<Item = Value> {
    let mut top = result.top_candidates.into_iter();
    result.chosen_candidates.into_iter().map(move |chosen| {
        let likely = top.next().unwrap_or_default().candidates;
        let mut entry = chosen.json();
        entry["top_logprobs"] = likely.iter().map(Token::json).collect();
        entry
    })
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageMetadata {
    /// Includes what came out of a cache.
    prompt_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    /// Results of tools that Gemini ran itself.
    tool_use_prompt_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    total_token_count: Option<u64>,
}

impl UsageMetadata {
    /// `grounded`: a search was made, whose results are not billed as part of the prompt. Gemini counts thoughts beside the tokens of the
    /// candidates, relays and some versions count them inside; the total tells which it is.
    pub(super) fn canonical(self, grounded: bool) -> Usage {
        let prompt = self.prompt_token_count.unwrap_or(0);
        let candidates = self.candidates_token_count.unwrap_or(0);
        let thought = self.thoughts_token_count.unwrap_or(0);
        let tools = self.tool_use_prompt_token_count.unwrap_or(0);
        let included = self.total_token_count == Some(prompt.saturating_add(candidates).saturating_add(tools));
        Usage {
            prompt: if grounded { prompt } else { prompt.saturating_add(tools) },
            completion: if included { candidates } else { candidates.saturating_add(thought) },
            cached: self.cached_content_token_count.unwrap_or(0),
            reasoning: thought,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_word_of_openais() {
        let mapped = |natives: &[&str]| natives.iter().map(|native| finish_reason(native)).collect::<Vec<_>>();
        assert_eq!(finish_reason("MAX_TOKENS"), "length");
        let withheld = ["SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_OTHER"];
        assert_eq!(mapped(&withheld), [FILTERED; 8]);
        assert_eq!(mapped(&["STOP", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER", "NO_IMAGE", "NEW"]), ["stop"; 6]);
    }

    #[test]
    fn calls_change_a_stop_and_nothing_else() {
        assert_eq!(["stop", "length", FILTERED].map(|reason| with_calls(reason, 1)), ["tool_calls", "length", FILTERED]);
        assert_eq!(with_calls("stop", 0), "stop");
    }

    fn usage(metadata: Value, grounded: bool) -> Usage {
        serde_json::from_value::<UsageMetadata>(metadata).expect("metadata").canonical(grounded)
    }

    #[test]
    fn c39_thoughts_count_once_whether_they_are_included_or_not() {
        let expected = Usage { prompt: 10, completion: 12, cached: 4, reasoning: 7 };
        let beside = json!({"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 22, "cachedContentTokenCount": 4});
        assert_eq!(usage(beside, false), expected);
        let inside = json!({"promptTokenCount": 10, "candidatesTokenCount": 12, "thoughtsTokenCount": 7, "totalTokenCount": 22, "cachedContentTokenCount": 4});
        assert_eq!(usage(inside, false), expected);
        // Without a total it is as the API's page says.
        assert_eq!(usage(json!({"promptTokenCount": 1, "candidatesTokenCount": 2, "thoughtsTokenCount": 3}), false).completion, 5);
    }

    #[test]
    fn results_of_tools_count_as_prompt_but_not_those_of_a_search() {
        let metadata = json!({"promptTokenCount": 10, "candidatesTokenCount": 5, "toolUsePromptTokenCount": 100, "thoughtsTokenCount": 2, "totalTokenCount": 117});
        let expected = Usage { prompt: 110, completion: 7, cached: 0, reasoning: 2 };
        assert_eq!(usage(metadata.clone(), false), expected);
        assert_eq!(usage(metadata, true), Usage { prompt: 10, ..expected });
    }

    #[test]
    fn what_is_missing_or_absurd_counts_without_a_panic() {
        assert_eq!(usage(json!({}), false), Usage::default());
        let most = json!({"promptTokenCount": u64::MAX, "toolUsePromptTokenCount": 1, "candidatesTokenCount": u64::MAX, "thoughtsTokenCount": 1, "totalTokenCount": 0});
        assert_eq!(usage(most, false).completion, u64::MAX);
    }
}
