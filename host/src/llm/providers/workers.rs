//! Cloudflare Workers AI: its OpenAI-compatible API, and its native one, whose words are its own.
//! Must not know accounts; they are part of the base URL. Source: Workers AI documentation, "Open AI compatible API endpoints", "REST API".

mod answer;
mod errors;
mod native;
mod reader;

use http::{HeaderName, StatusCode, header};
use serde::Deserialize;

use crate::chat::codec::{request_json, to_json};
use crate::llm::adapter::{
    CompletionRequest, DecodeError, Decoding, Dialect, Embedded, EmbeddingsRequest, HttpRequest, ProviderError, UnsupportedField,
};
use crate::llm::providers::openai::{OpenAiNormalizer, embedded, embeddings_body, params, segment, vectors, wants_usage};
use reader::Native;

/// One account's models.
pub(in crate::llm) struct Workers {
    /// `/ai/run/MODEL` instead of the OpenAI-compatible `/ai/v1`.
    pub(in crate::llm) native: bool,
}

impl Workers {
    /// The API that this base URL is of: one that ends in `/ai/run` is the native one.
    pub(in crate::llm) fn at(base_url: &str) -> Self {
        Self { native: base_url.trim_end_matches('/').ends_with("/ai/run") }
    }
}

/// A model's path below `/ai/run`, which has the slashes of its name.
fn path(model: &str) -> Result<String, UnsupportedField> {
    Ok(format!("/{}", segment(model, b"@/")?))
}

impl Dialect for Workers {
    fn encode_chat(&self, request: &CompletionRequest<'_>) -> Result<(HttpRequest, Decoding), UnsupportedField> {
        let headers = Vec::new();
        if self.native {
            let wire = HttpRequest { path: path(request.model)?, headers, body: native::body(request)? };
            return Ok((wire, Decoding::Translated(Box::new(Native::new(request.name.clone())))));
        }
        let body = request_json(request.model, request.messages, &params(request, true), request.stream);
        let shaped = OpenAiNormalizer::new(request.name.clone(), wants_usage(request.params)).reading_errors(errors::in_band);
        Ok((HttpRequest { path: "/chat/completions".into(), headers, body }, Decoding::OpenAi(Box::new(shaped))))
    }

    fn embeddings(&self, request: &EmbeddingsRequest<'_>) -> Option<Result<HttpRequest, UnsupportedField>> {
        let headers = Vec::new();
        if !self.native {
            return Some(Ok(HttpRequest { path: "/embeddings".into(), headers, body: embeddings_body(request) }));
        }
        #[derive(serde::Serialize)]
        struct Body<'a> {
            text: &'a [String],
        }
        if request.dimensions.is_some() {
            let message = "cannot be chosen here: the models of this provider have one length of vectors".into();
            return Some(Err(UnsupportedField { param: "dimensions".into(), message }));
        }
        Some(request.texts_only().and_then(|()| path(request.model)).map(|path| HttpRequest {
            path,
            headers,
            body: to_json(&Body { text: request.inputs }),
        }))
    }

    fn embedded(&self, inputs: usize, body: &[u8]) -> Result<Embedded, DecodeError> {
        if self.native { native_vectors(inputs, body) } else { embedded(inputs, body, errors::in_band) }
    }

    fn credentials(&self, key: &str) -> (HeaderName, String) {
        (header::AUTHORIZATION, format!("Bearer {key}"))
    }

    fn provider_error(&self, status: StatusCode, json: &serde_json::Value) -> ProviderError {
        errors::provider_error(status, json)
    }
}

/// `{"result": {"shape": [2, 768], "data": [[…], […]]}}`; it does not count tokens.
fn native_vectors(inputs: usize, body: &[u8]) -> Result<Embedded, DecodeError> {
    #[derive(Deserialize)]
    struct Reply {
        success: Option<bool>,
        result: Option<Vectors>,
    }
    #[derive(Deserialize)]
    struct Vectors {
        data: Option<Vec<Vec<f32>>>,
    }
    let malformed = |error: serde_json::Error| DecodeError::Malformed(format!("no embeddings: {error}"));
    let reply: Reply = serde_json::from_slice(body).map_err(malformed)?;
    if reply.success == Some(false) {
        let (status, error) = errors::in_band(&serde_json::from_slice(body).map_err(malformed)?);
        return Err(DecodeError::Error(status, error));
    }
    let data = reply.result.and_then(|result| result.data).ok_or_else(|| DecodeError::Malformed("it has no `result.data`".into()))?;
    vectors(inputs, data, 0)
}

#[cfg(test)]
mod tests;
