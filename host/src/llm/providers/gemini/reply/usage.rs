//! What a reply used. Gemini counts thoughts beside the candidates' tokens, relays and some versions inside them; the total tells which.
//! Must not know when usage is told. Source: Gemini API reference, `UsageMetadata`, <https://ai.google.dev/api/generate-content#UsageMetadata>.

use serde::Deserialize;

use crate::chat::Usage;

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    /// Includes what came out of a cache.
    prompt_token_count: Option<u64>,
    candidates_token_count: Option<u64>,
    thoughts_token_count: Option<u64>,
    /// Results of tools that Gemini ran itself.
    tool_use_prompt_token_count: Option<u64>,
    cached_content_token_count: Option<u64>,
    total_token_count: Option<u64>,
}

impl Metadata {
    /// What a search brought in (`grounded`) is not billed as prompt.
    pub(super) fn canonical(self, grounded: bool) -> Usage {
        let prompt = self.prompt_token_count.unwrap_or(0);
        let said = self.candidates_token_count.unwrap_or(0);
        let thought = self.thoughts_token_count.unwrap_or(0);
        let tools = self.tool_use_prompt_token_count.unwrap_or(0);
        let included = self.total_token_count == Some(prompt.saturating_add(said).saturating_add(tools));
        Usage {
            prompt: if grounded { prompt } else { prompt.saturating_add(tools) },
            completion: if included { said } else { said.saturating_add(thought) },
            cached: self.cached_content_token_count.unwrap_or(0),
            reasoning: thought,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn usage(metadata: Value, grounded: bool) -> Usage {
        serde_json::from_value::<Metadata>(metadata).expect("metadata").canonical(grounded)
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
