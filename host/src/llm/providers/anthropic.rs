//! The adapter for Anthropic's Messages API: OpenAI's chat completions in its words and back.
//! Source: Anthropic API reference, "Create a Message", "Streaming Messages", "Errors".
//! Must not know sockets, retries or other vendors.

mod answer;
mod content;
mod errors;
mod events;
mod format;
mod holdable;
mod messages;
mod models;
mod names;
mod params;
mod reply;
mod request;
mod schema;
mod thinking;
mod tools;
mod usage;

use http::{HeaderName, StatusCode, header};
use serde_json::Value;

use crate::llm::adapter::{Ask, AskEmbeddings, DecodeError, Dialect, Embedded, ProviderError, Reading, UnsupportedField, Wire};

/// Anthropic's dialect.
pub(in crate::llm) struct Anthropic {
    max_tokens: u64,
}

impl Anthropic {
    /// `max_tokens`: the most tokens of a reply where the client names no limit, which Anthropic demands.
    pub(in crate::llm) fn new(max_tokens: u32) -> Self {
        Self { max_tokens: max_tokens.into() }
    }
}

impl Dialect for Anthropic {
    fn request(&self, ask: &Ask<'_>) -> Result<(Wire, Reading), UnsupportedField> {
        let (wire, sense) = request::request(ask, self.max_tokens)?;
        Ok((wire, Reading::Translated(Box::new(reply::AnthropicReader::new(ask.name.clone(), sense)))))
    }

    /// Anthropic has no embeddings; it recommends another company's.
    fn embeddings(&self, _: &AskEmbeddings<'_>) -> Option<Result<Wire, UnsupportedField>> {
        None
    }

    fn embedded(&self, _: usize, _: &[u8]) -> Result<Embedded, DecodeError> {
        Err(DecodeError::Garbled("Anthropic has no embeddings".into()))
    }

    /// Tokens of an OAuth sign-in are bearer tokens, keys have a header of their own.
    fn credentials(&self, key: &str) -> (HeaderName, String) {
        if key.starts_with("sk-ant-oat") {
            (header::AUTHORIZATION, format!("Bearer {key}"))
        } else {
            (HeaderName::from_static("x-api-key"), key.to_owned())
        }
    }

    fn provider_error(&self, status: StatusCode, json: &Value) -> ProviderError {
        errors::provider_error(status, json)
    }
}

#[cfg(test)]
mod tests;
