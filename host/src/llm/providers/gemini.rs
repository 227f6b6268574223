//! The adapter for Google's Gemini as AI Studio serves it: `generateContent`, its stream, and `batchEmbedContents`.
//! Must not know sockets, retries or other vendors. Source: Gemini API reference, v1beta, <https://ai.google.dev/api/generate-content>.

mod embeddings;
mod errors;
mod model;
mod reply;
mod request;
mod schema;
mod thought;

use http::{HeaderName, StatusCode, header};

use crate::chat::Embedded;
use crate::llm::adapter::{
    CompletionRequest, DecodeError, Decoding, Dialect, Embeddings, EmbeddingsRequest, HttpRequest, ProviderError, UnsupportedField,
};
use crate::llm::vendor::{ANY_URL, VendorInfo};
use model::Model;
use reply::Reply;

pub(in crate::llm) const INFO: VendorInfo = VendorInfo {
    name: "gemini",
    system: "gcp.gemini",
    default_url: Some("https://generativelanguage.googleapis.com/v1beta"),
    url_hint: ANY_URL,
};

/// Gemini's dialect.
pub(in crate::llm) struct Gemini;

impl Gemini {
    pub(in crate::llm) fn new() -> Self {
        Self
    }
}

impl Dialect for Gemini {
    fn encode_chat(&self, request: &CompletionRequest<'_>) -> Result<(HttpRequest, Decoding), UnsupportedField> {
        let model = Model::named(request.model)?;
        // Without `alt=sse` the stream is one JSON array.
        let method = if request.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        let body = request::body(request, &model)?;
        let reader = Reply::new(request.name.clone(), request.stream);
        Ok((HttpRequest { path: model.path(method), headers: Vec::new(), body }, Decoding::Translated(Box::new(reader))))
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    /// An API key has a header of its own, so that it is in no URL and no log; an OAuth access token is a bearer's.
    fn credentials(&self, key: &str) -> (HeaderName, String) {
        if key.starts_with("ya29.") {
            return (header::AUTHORIZATION, format!("Bearer {key}"));
        }
        (HeaderName::from_static("x-goog-api-key"), key.to_owned())
    }

    fn provider_error(&self, status: StatusCode, json: &serde_json::Value) -> ProviderError {
        errors::provider_error(status, json)
    }
}

impl Embeddings for Gemini {
    fn encode_embeddings(&self, request: &EmbeddingsRequest<'_>) -> Result<HttpRequest, UnsupportedField> {
        embeddings::encode(request)
    }

    fn decode_embeddings(&self, inputs: usize, body: &[u8]) -> Result<Embedded, DecodeError> {
        embeddings::vectors(inputs, body)
    }
}

#[cfg(test)]
mod tests;
