//! The client's fields beside model and messages: which are taken, which change nothing, which Gemini has no word for; and reading one.
//! Must not know what becomes of a field.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::chat::Fields;
use crate::llm::adapter::{CompletionRequest, UnsupportedField};

/// Those that the rest of this folder reads.
const TAKEN: [&str; 20] = [
    "frequency_penalty",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "modalities",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    // Gemini's own, in both spellings.
    "safetySettings",
    "safety_settings",
    "seed",
    "stop",
    "temperature",
    "tool_choice",
    "tools",
    "top_k",
    "top_logprobs",
    "top_p",
];

/// Those that name the caller, keep books, hint at speed, or say how we stream: without them the answer is the same.
const HARMLESS: [&str; 9] = [
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options",
    "user",
];

/// Characters of a parser's complaint that are passed on.
const CAUSE_CHARS: usize = 200;

/// The client's fields, each accounted for.
pub(super) struct Params<'a>(&'a Fields);

impl<'a> Params<'a> {
    /// # Errors
    /// Where a field would change the answer, Gemini has no word for it, and the operator did not choose to leave such fields out.
    pub(super) fn of(request: &CompletionRequest<'a>) -> Result<Self, UnsupportedField> {
        for (name, json) in request.params.iter().filter(|(_, json)| json.get() != "null") {
            match name.as_str() {
                // Without a token in it, it changes nothing.
                "logit_bias" if serde_json::from_str(json.get()).is_ok_and(|bias: BTreeMap<&str, IgnoredAny>| bias.is_empty()) => {}
                "functions" | "function_call" => {
                    request.refuse_or_drop(name, "is OpenAI's old form; say it with `tools` and `tool_choice`")?
                }
                known if TAKEN.contains(&known) || HARMLESS.contains(&known) => {}
                _ => request.refuse_or_drop(name, "is nothing that Gemini has a word for")?,
            }
        }
        Ok(Self(request.params))
    }

    /// The field as it came; null counts as not there.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let (_, json) = self.0.iter().find(|(key, _)| key == name)?;
        Some(&**json).filter(|json| json.get() != "null")
    }

    /// # Errors
    /// Where it is not of this form.
    pub(super) fn get<T: Deserialize<'a>>(&self, name: &str) -> Result<Option<T>, UnsupportedField> {
        self.raw(name).map(|json| read(json, name)).transpose()
    }
}

/// # Errors
/// `UnsupportedField` for `param` where the JSON is not of this form.
pub(super) fn read<'a, T: Deserialize<'a>>(json: &'a RawValue, param: &str) -> Result<T, UnsupportedField> {
    serde_json::from_str(json.get()).map_err(|error| {
        let text = error.to_string();
        // A complaint may hold the client's text in full.
        let cause: String = text.split(" at line ").next().unwrap_or_default().chars().take(CAUSE_CHARS).collect();
        UnsupportedField { param: param.to_owned(), message: format!("is not as the API says: {cause}") }
    })
}
