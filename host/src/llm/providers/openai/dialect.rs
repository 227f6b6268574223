//! The adapter for OpenAI, whose dialect is the canonical form, and for every server that speaks it. Where such servers differ from OpenAI, the
//! normalizer mends their replies. Source: OpenAI API reference, "Create chat completion".

use http::{HeaderName, StatusCode, Uri, header};

use super::OpenAiNormalizer;
use super::embeddings::{decode_embeddings, embeddings_body};
use super::errors::{in_band, provider_error};
use super::request::{params, wants_usage};
use crate::chat::Embedded;
use crate::chat::codec::request_json;
use crate::llm::adapter::{
    CompletionRequest, DecodeError, Decoding, Dialect, Embeddings, EmbeddingsRequest, HttpRequest, ProviderError, UnsupportedField,
};
use crate::llm::call_id;
use crate::llm::vendor::{ANY_URL, OptionKeys, VendorInfo};

/// The host of OpenAI's own API; those of regions end in it.
const OPENAI: &str = "api.openai.com";

pub(in crate::llm) const INFO: VendorInfo =
    VendorInfo { name: "openai", system: "openai", default_url: Some("https://api.openai.com/v1"), url_hint: ANY_URL };

/// The keys of an entry of the kind `openai`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAiOptions {
    /// Usage is asked for with every stream; some old servers refuse the question.
    pub stream_usage: bool,
}

impl Default for OpenAiOptions {
    fn default() -> Self {
        Self { stream_usage: true }
    }
}

impl OpenAiOptions {
    pub(in crate::llm) fn visit(&mut self, keys: &mut impl OptionKeys) {
        keys.flag("stream_usage", &mut self.stream_usage);
    }
}

/// OpenAI, and every server that speaks as it does.
pub(in crate::llm) struct OpenAi {
    /// Usage is asked for with every stream; some old servers refuse the question.
    stream_usage: bool,
    /// It is OpenAI itself, which refuses long ids of calls. Other servers may need them whole, as a gateway to Gemini does.
    short_ids: bool,
}

impl OpenAi {
    /// The server at `base_url`.
    pub(in crate::llm) fn at(base_url: &str, stream_usage: bool) -> Self {
        let host = base_url.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_ascii_lowercase));
        let short_ids = host.is_some_and(|host| host == OPENAI || host.strip_suffix(OPENAI).is_some_and(|region| region.ends_with('.')));
        Self { stream_usage, short_ids }
    }
}

impl Dialect for OpenAi {
    fn encode_chat(&self, request: &CompletionRequest<'_>) -> Result<(HttpRequest, Decoding), UnsupportedField> {
        let messages = if self.short_ids { call_id::fitted(request.messages) } else { request.messages.into() };
        let body = request_json(request.model, &messages, &params(request, self.stream_usage), request.stream);
        let normalizer = OpenAiNormalizer::new(request.name.clone(), wants_usage(request.params));
        Ok((HttpRequest { path: "/chat/completions".into(), headers: Vec::new(), body }, Decoding::OpenAi(Box::new(normalizer))))
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    fn credentials(&self, key: &str) -> (HeaderName, String) {
        (header::AUTHORIZATION, format!("Bearer {key}"))
    }

    fn provider_error(&self, _: StatusCode, json: &serde_json::Value) -> ProviderError {
        provider_error(json)
    }
}

impl Embeddings for OpenAi {
    fn encode_embeddings(&self, request: &EmbeddingsRequest<'_>) -> Result<HttpRequest, UnsupportedField> {
        Ok(HttpRequest { path: "/embeddings".into(), headers: Vec::new(), body: embeddings_body(request) })
    }

    fn decode_embeddings(&self, inputs: usize, body: &[u8]) -> Result<Embedded, DecodeError> {
        decode_embeddings(inputs, body, in_band)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        crate::llm::golden::check(&OpenAi::at("http://127.0.0.1/v1", true), "openai");
    }

    #[test]
    fn long_ids_of_calls_are_shortened_for_openai_itself() {
        let body = |base_url: &str| {
            let long = format!("call_1__thought__{}", "a".repeat(99));
            let messages = [crate::chat::Message { tool_call_id: Some(long.clone()), ..crate::chat::Message::text("tool", "1") }];
            let name = crate::chat::Name { id: "i".into(), model: "m".into(), created: 1 };
            let unsupported = crate::llm::adapter::Unsupported::Refuse;
            let request = CompletionRequest { model: "m", messages: &messages, params: &Vec::new(), stream: false, unsupported, name };
            let (wire, _) = OpenAi::at(base_url, true).encode_chat(&request).unwrap_or_else(|unsupported| panic!("{unsupported:?}"));
            String::from_utf8_lossy(&wire.body).contains(&long)
        };
        for (base_url, as_sent) in [
            ("https://api.openai.com/v1", false),
            ("https://eu.API.openai.com/v1", false),
            ("https://notapi.openai.com/v1", true),
            ("http://127.0.0.1:4000/v1", true),
        ] {
            assert_eq!(body(base_url), as_sent, "{base_url}");
        }
    }

    #[test]
    fn a_key_is_a_bearer_token() {
        assert_eq!(OpenAi::at("http://127.0.0.1/v1", true).credentials("k"), (header::AUTHORIZATION, "Bearer k".to_owned()));
    }
}
