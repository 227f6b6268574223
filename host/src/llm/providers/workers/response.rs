//! The shapes of what `/ai/run` answers: Cloudflare's own, with or without its envelope, and OpenAI's.
//! An error that comes with a status of success never leaves here as a response.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::errors;
use crate::llm::adapter::DecodeError;
use crate::llm::providers::openai::{Call, RawField, holds_something, present};

/// A reply, or one event of it, in any of the shapes.
#[derive(Deserialize)]
pub(super) struct Response<'a> {
    #[serde(borrow)]
    pub(super) id: RawField<'a>,
    #[serde(borrow)]
    pub(super) model: RawField<'a>,
    pub(super) created: Option<f64>,
    #[serde(borrow)]
    pub(super) response: RawField<'a>,
    #[serde(borrow)]
    pub(super) reasoning_content: RawField<'a>,
    #[serde(borrow)]
    pub(super) reasoning: RawField<'a>,
    #[serde(borrow)]
    pub(super) tool_calls: RawField<'a>,
    #[serde(borrow)]
    pub(super) finish_reason: RawField<'a>,
    #[serde(borrow)]
    pub(super) usage: RawField<'a>,
    #[serde(borrow)]
    pub(super) choices: Option<Vec<ChoiceDelta<'a>>>,
    #[serde(borrow)]
    pub(super) error: RawField<'a>,
    pub(super) success: Option<bool>,
    #[serde(borrow, default, deserialize_with = "present")]
    pub(super) result: RawField<'a>,
}

/// One choice in OpenAI's shape of a stream.
#[derive(Deserialize)]
pub(super) struct ChoiceDelta<'a> {
    pub(super) index: Option<u32>,
    #[serde(borrow)]
    pub(super) delta: Option<MessageDelta<'a>>,
    #[serde(borrow)]
    pub(super) finish_reason: RawField<'a>,
}

/// What is new in a choice, in either shape.
#[derive(Default, Deserialize)]
pub(super) struct MessageDelta<'a> {
    #[serde(borrow)]
    pub(super) content: RawField<'a>,
    #[serde(borrow)]
    pub(super) reasoning_content: RawField<'a>,
    #[serde(borrow)]
    pub(super) reasoning: RawField<'a>,
    #[serde(borrow)]
    pub(super) refusal: RawField<'a>,
    #[serde(borrow)]
    pub(super) tool_calls: RawField<'a>,
}

impl<'a> Response<'a> {
    /// # Errors
    /// See [`DecodeError`]; an error that came as a success is one too.
    pub(super) fn read(json: &'a [u8]) -> Result<Self, DecodeError> {
        let malformed = |error: serde_json::Error| DecodeError::Malformed(format!("no JSON object of the right shape: {error}"));
        // Serde would take a list for the fields in their order.
        if !json.trim_ascii().starts_with(b"{") {
            return Err(DecodeError::Malformed("no JSON object".into()));
        }
        let response: Self = serde_json::from_slice(json).map_err(malformed)?;
        if response.success == Some(false) || response.error.is_some_and(holds_something) {
            let (status, error) = errors::in_band(&serde_json::from_slice(json).map_err(malformed)?);
            return Err(DecodeError::Error(status, error));
        }
        Ok(response)
    }
}

/// A call's name and arguments, with or without `function` around them.
pub(super) fn name_and_arguments<'a>(call: &Call<'a>) -> (RawField<'a>, RawField<'a>) {
    call.function.as_ref().map_or((call.name, call.arguments), |function| (function.name, function.arguments))
}

/// A string's text; an empty one for `null`; the JSON itself if it is a number or an object in place of a string.
pub(super) fn text_of(raw: &RawValue) -> String {
    match raw.get() {
        "null" => String::new(),
        json => serde_json::from_str(json).unwrap_or_else(|_| json.to_owned()),
    }
}
