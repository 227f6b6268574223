//! The adapter for Google's Gemini as AI Studio serves it: `generateContent`, its stream, and `batchEmbedContents`.
//! Must not know sockets, retries or other vendors. Source: Gemini API reference, v1beta, <https://ai.google.dev/api/generate-content>.

mod embeddings;
mod model;
mod reply;
mod request;
mod schema;
mod thought;
mod words;

use http::{HeaderName, StatusCode, header};

use super::adapter::{Ask, AskEmbeddings, Bad, Dialect, Embedded, Reading, Unfit, Wire, Words};
use model::Model;
use reply::Reply;

/// Gemini's dialect; its requests go below `https://generativelanguage.googleapis.com/v1beta`.
pub(super) struct Gemini;

impl Gemini {
    pub(super) fn new() -> Self {
        Self
    }
}

impl Dialect for Gemini {
    fn request(&self, ask: &Ask<'_>) -> Result<(Wire, Reading), Unfit> {
        let model = Model::named(ask.model)?;
        // Without `alt=sse` the stream is one JSON array.
        let method = if ask.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        let body = request::body(ask, &model)?;
        let reader = Reply::new(ask.name.clone(), ask.stream);
        Ok((Wire { path: model.path(method), headers: Vec::new(), body }, Reading::Translated(Box::new(reader))))
    }

    fn embeddings(&self, ask: &AskEmbeddings<'_>) -> Option<Result<Wire, Unfit>> {
        Some(embeddings::request(ask))
    }

    fn embedded(&self, inputs: usize, body: &[u8]) -> Result<Embedded, Bad> {
        embeddings::vectors(inputs, body)
    }

    /// An API key has a header of its own, so that it is in no URL and no log; an OAuth access token is a bearer's.
    fn credentials(&self, key: &str) -> (HeaderName, String) {
        if key.starts_with("ya29.") {
            return (header::AUTHORIZATION, format!("Bearer {key}"));
        }
        (HeaderName::from_static("x-goog-api-key"), key.to_owned())
    }

    fn words(&self, status: StatusCode, json: &serde_json::Value) -> Words {
        words::words(status, json)
    }
}

#[cfg(test)]
mod tests;
