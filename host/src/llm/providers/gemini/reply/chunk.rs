//! `GenerateContentResponse` as far as it is read. Every field may be missing: Gemini leaves out what is empty.
//! Must not know what becomes of it.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use super::logprobs::LogProbs;
use super::usage::Metadata;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk<'a> {
    /// Each a [`Candidate`], and each of its parts a [`Part`], as they came: read one after the other, however many they are.
    #[serde(borrow)]
    pub(super) candidates: Option<Vec<&'a RawValue>>,
    pub(super) prompt_feedback: Option<Feedback>,
    pub(super) usage_metadata: Option<Metadata>,
    pub(super) model_version: Option<String>,
    pub(super) response_id: Option<String>,
    /// Inside a reply that began as a success.
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
    /// Of a text it need not be sent back, so only a call's is kept.
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
