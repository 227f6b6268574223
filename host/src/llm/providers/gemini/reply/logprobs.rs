//! Log probabilities of the chosen tokens, in OpenAI's form. Must not know where they are put.
//! Source: Gemini API reference, `LogprobsResult`, <https://ai.google.dev/api/generate-content#LogprobsResult>.

use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct LogProbs {
    chosen_candidates: Vec<Token>,
    /// For each chosen one those that were likely.
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
pub(super) fn tokens(result: LogProbs) -> impl Iterator<Item = Value> {
    let mut top = result.top_candidates.into_iter();
    result.chosen_candidates.into_iter().map(move |chosen| {
        let likely = top.next().unwrap_or_default().candidates;
        let mut entry = chosen.json();
        entry["top_logprobs"] = likely.iter().map(Token::json).collect();
        entry
    })
}
