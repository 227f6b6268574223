//! The adapter for Cloudflare Workers AI: its OpenAI-compatible API, and its native one. The base URL, which holds the account, decides which of
//! the two is spoken. Source: Workers AI documentation, "Open AI compatible API endpoints", "REST API".

mod errors;
mod reply;
mod request;
mod response;

use http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::chat::Embedded;
use crate::chat::codec::{request_json, to_json};
use crate::llm::adapter::{
    CompletionRequest, DecodeError, Decoding, Dialect, Embeddings, EmbeddingsRequest, HttpRequest, ProviderError, Takes, UnsupportedField,
};
use crate::llm::error_body::tree;
use crate::llm::model_path::segments;
use crate::llm::providers::openai::{OpenAiNormalizer, decode_embeddings, embeddings_body, params, vectors, wants_usage};
use crate::llm::vendor::{OptionKeys, VendorInfo};
use reply::NativeDecoder;

/// The name for OpenTelemetry is ours; its conventions have none.
pub(in crate::llm) const INFO: VendorInfo =
    VendorInfo { name: "workers-ai", system: "cloudflare.workers_ai", default_url: None, url_hint: "its account_id" };

/// The one key of an entry of the kind `workers-ai`: Cloudflare's URLs hold the customer's account.
pub(in crate::llm) fn visit(keys: &mut impl OptionKeys) {
    let conflict = "one of the two says where the account is";
    keys.base_url_from("account_id", url_of_account, "the account's id, letters and digits", conflict);
}

fn url_of_account(id: &str) -> Option<String> {
    let is_id = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    is_id.then(|| format!("https://api.cloudflare.com/client/v4/accounts/{id}/ai/v1"))
}

/// One account's models.
pub(in crate::llm) struct Workers {
    /// `/ai/run/MODEL` instead of the OpenAI-compatible `/ai/v1`.
    pub(in crate::llm) native: bool,
}

impl Workers {
    /// The API at this base URL; one that ends in `/ai/run` is the native one.
    pub(in crate::llm) fn at(base_url: &str) -> Self {
        Self { native: base_url.trim_end_matches('/').ends_with("/ai/run") }
    }
}

/// A model's path below `/ai/run`, with the slashes of its name.
fn path(model: &str) -> Result<String, UnsupportedField> {
    Ok(format!("/{}", segments(model)?))
}

impl Dialect for Workers {
    fn encode_chat(&self, request: &CompletionRequest<'_>) -> Result<(HttpRequest, Decoding), UnsupportedField> {
        let headers = Vec::new();
        if self.native {
            let http_request = HttpRequest { path: path(request.model)?, headers, body: request::body(request)? };
            return Ok((http_request, Decoding::Translated(Box::new(NativeDecoder::new(request.name.clone())))));
        }
        let body = request_json(request.model, request.messages, &params(request, true), request.stream);
        let normalizer = OpenAiNormalizer::new(request.name.clone(), wants_usage(request.params)).reading_errors(errors::in_band);
        Ok((HttpRequest { path: "/chat/completions".into(), headers, body }, Decoding::OpenAi(Box::new(normalizer))))
    }

    fn takes(&self) -> Takes {
        Takes { one_call: !self.native, system_anywhere: true, ..Takes::default() }
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    fn credentials(&self, key: &str) -> (HeaderName, String) {
        (header::AUTHORIZATION, format!("Bearer {key}"))
    }

    fn provider_error(&self, status: StatusCode, json: &serde_json::Value) -> ProviderError {
        errors::provider_error(status, json)
    }
}

impl Embeddings for Workers {
    fn encode_embeddings(&self, request: &EmbeddingsRequest<'_>) -> Result<HttpRequest, UnsupportedField> {
        #[derive(Serialize)]
        struct Body<'a> {
            text: &'a [String],
        }
        let headers = Vec::new();
        if !self.native {
            return Ok(HttpRequest { path: "/embeddings".into(), headers, body: embeddings_body(request) });
        }
        if request.dimensions.is_some() {
            return Err(UnsupportedField::new(
                "dimensions",
                "cannot be chosen here: the models of this provider have one length of vectors",
            ));
        }
        request.texts_only()?;
        Ok(HttpRequest { path: path(request.model)?, headers, body: to_json(&Body { text: request.inputs }) })
    }

    fn decode_embeddings(&self, inputs: usize, body: &[u8]) -> Result<Embedded, DecodeError> {
        if self.native { native_vectors(inputs, body) } else { decode_embeddings(inputs, body, errors::in_band) }
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
        let (status, error) = errors::in_band(&tree(body).map_err(malformed)?);
        return Err(DecodeError::Error(status, error));
    }
    let data = reply.result.and_then(|result| result.data).ok_or_else(|| DecodeError::Malformed("it has no `result.data`".into()))?;
    vectors(inputs, data, 0)
}

#[cfg(test)]
mod tests;
