//! The adapter for Anthropic's Messages API: OpenAI's chat completions in its form and back.
//! What Anthropic refuses (blank text, turns out of order, fields of another generation of models) never leaves here.
//! Source: Anthropic API reference, "Create a Message", "Streaming Messages", "Errors".

mod content;
mod messages;
mod model;
mod reply;
mod request;
mod schema;
mod search;
mod stream;
mod tools;

use std::ops::RangeInclusive;

use http::{HeaderName, StatusCode, header};
use serde_json::Value;

use crate::llm::adapter::{CompletionRequest, Decoding, Dialect, HttpRequest, ProviderError, Takes, UnsupportedField};
use crate::llm::vendor::{ANY_URL, OptionKeys, VendorInfo};
use stream::AnthropicDecoder;

pub(in crate::llm) const INFO: VendorInfo =
    VendorInfo { name: "anthropic", system: "anthropic", default_url: Some("https://api.anthropic.com/v1"), url_hint: ANY_URL };

/// Tokens of a reply that an operator may choose as the default.
const MAX_TOKENS: RangeInclusive<u64> = 1..=1_000_000;

/// The keys of an entry of the kind `anthropic`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnthropicOptions {
    /// Tokens of a reply if the client names no limit, which the API requires.
    pub max_tokens: u32,
    /// What is sent as `anthropic-beta` with every request.
    pub betas: Vec<String>,
    /// Keys are bearer tokens, as gateways that speak this API may want them.
    pub bearer: bool,
}

impl Default for AnthropicOptions {
    fn default() -> Self {
        Self { max_tokens: 4096, betas: Vec::new(), bearer: false }
    }
}

impl AnthropicOptions {
    pub(in crate::llm) fn visit(&mut self, keys: &mut impl OptionKeys) {
        keys.count("max_tokens", &mut self.max_tokens, MAX_TOKENS);
        keys.texts("anthropic_beta", &mut self.betas, BETAS_MAX, is_beta, "the name of a beta feature, such as \"context-1m-2025-08-07\"");
        keys.choice("auth", &mut self.bearer, &[("x-api-key", false), ("bearer", true)]);
    }
}

/// Features in beta that an entry may name.
const BETAS_MAX: usize = 32;

fn is_beta(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Anthropic's dialect.
pub(in crate::llm) struct Anthropic {
    options: AnthropicOptions,
}

impl Anthropic {
    pub(in crate::llm) fn new(options: &AnthropicOptions) -> Self {
        Self { options: options.clone() }
    }
}

/// Anthropic has no embeddings; it recommends another company's.
impl Dialect for Anthropic {
    fn encode_chat(&self, request: &CompletionRequest<'_>) -> Result<(HttpRequest, Decoding), UnsupportedField> {
        let (http_request, context) = request::encode(request, self.options.max_tokens.into(), &self.options.betas)?;
        Ok((http_request, Decoding::Translated(Box::new(AnthropicDecoder::new(request.name.clone(), context)))))
    }

    fn takes(&self) -> Takes {
        Takes { media_in_results: true, one_call: true, ..Takes::default() }
    }

    /// Tokens of an OAuth sign-in are bearer tokens; keys have a header of their own.
    fn credentials(&self, key: &str) -> (HeaderName, String) {
        if self.options.bearer || key.starts_with("sk-ant-oat") {
            (header::AUTHORIZATION, format!("Bearer {key}"))
        } else {
            (HeaderName::from_static("x-api-key"), key.to_owned())
        }
    }

    fn provider_error(&self, status: StatusCode, json: &Value) -> ProviderError {
        reply::provider_error(status, json)
    }
}

#[cfg(test)]
mod tests;
