//! The adapter for Anthropic's Messages API: OpenAI's chat completions in its words and back.
//! Source: Anthropic API reference, "Create a Message", "Streaming Messages", "Errors".
//! Must not know sockets, retries or other vendors.

mod answer;
mod content;
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
mod words;

use http::{HeaderName, StatusCode, header};
use serde_json::Value;

use super::adapter::{Ask, AskEmbeddings, Bad, Dialect, Embedded, Reading, Unfit, Wire, Words};

/// Anthropic's dialect.
pub(super) struct Anthropic {
    max_tokens: u64,
}

impl Anthropic {
    /// `max_tokens`: the most tokens of a reply where the client names no limit, which Anthropic demands.
    pub(super) fn new(max_tokens: u32) -> Self {
        Self { max_tokens: max_tokens.into() }
    }
}

impl Dialect for Anthropic {
    fn request(&self, ask: &Ask<'_>) -> Result<(Wire, Reading), Unfit> {
        let (wire, sense) = request::request(ask, self.max_tokens)?;
        Ok((wire, Reading::Translated(Box::new(reply::AnthropicReader::new(ask.name.clone(), sense)))))
    }

    /// Anthropic has no embeddings; it recommends another company's.
    fn embeddings(&self, _: &AskEmbeddings<'_>) -> Option<Result<Wire, Unfit>> {
        None
    }

    fn embedded(&self, _: usize, _: &[u8]) -> Result<Embedded, Bad> {
        Err(Bad::Garbled("Anthropic has no embeddings".into()))
    }

    /// Tokens of an OAuth sign-in are bearer tokens, keys have a header of their own.
    fn credentials(&self, key: &str) -> (HeaderName, String) {
        if key.starts_with("sk-ant-oat") {
            (header::AUTHORIZATION, format!("Bearer {key}"))
        } else {
            (HeaderName::from_static("x-api-key"), key.to_owned())
        }
    }

    fn words(&self, status: StatusCode, json: &Value) -> Words {
        words::words(status, json)
    }
}

#[cfg(test)]
mod tests;
