//! The adapter for Azure OpenAI: OpenAI's form at URLs that name a deployment instead of a model. Azure is strict about fields; the habits of its
//! streams are known to the normalizer of OpenAI-shaped replies.
//! Source: "Azure OpenAI in Foundry Models REST API reference" and "API version lifecycle".

mod errors;
mod history;

use http::{HeaderName, StatusCode, Uri, header};

use crate::chat::codec::request_json;
use crate::chat::{Embedded, Fields};
use crate::llm::adapter::{
    CompletionRequest, DecodeError, Decoding, Dialect, Embeddings, EmbeddingsRequest, HttpRequest, ProviderError, Takes, UnsupportedField,
};
use crate::llm::model_path::{encoded, segment};
use crate::llm::providers::openai::{OpenAiNormalizer, decode_embeddings, embeddings_body, params, wants_usage};
use crate::llm::vendor::{OptionKeys, VendorInfo};

pub(in crate::llm) const INFO: VendorInfo = VendorInfo {
    name: "azure-openai",
    system: "azure.ai.openai",
    default_url: None,
    url_hint: "its base_url, such as \"https://RESOURCE.openai.azure.com/openai/v1\"",
};

/// The keys of an entry of the kind `azure-openai`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureOptions {
    /// Usage is asked for with every stream; some servers refuse the question.
    pub stream_usage: bool,
    /// A date is the version of the API whose URLs name the deployment. Without one it is the `v1` API, whose bodies do.
    pub api_version: Option<String>,
    /// Keys are bearer tokens of Entra.
    pub bearer: bool,
    pub max_tokens_field: MaxTokensField,
}

/// The field that the client's limit of tokens is sent in. What a deployment's name stands for is not known from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxTokensField {
    /// `max_completion_tokens`, which every newer model takes and reasoning models insist on.
    #[default]
    MaxCompletionTokens,
    /// `max_tokens`, for deployments of older models.
    MaxTokens,
}

impl Default for AzureOptions {
    fn default() -> Self {
        Self { stream_usage: true, api_version: None, bearer: false, max_tokens_field: MaxTokensField::default() }
    }
}

impl AzureOptions {
    pub(in crate::llm) fn visit(&mut self, keys: &mut impl OptionKeys) {
        keys.flag("stream_usage", &mut self.stream_usage);
        keys.optional_text("api_version", &mut self.api_version, is_version, "a version such as \"2024-10-21\"");
        keys.choice("auth", &mut self.bearer, &[("api-key", false), ("bearer", true)]);
        let fields = [("max_tokens", MaxTokensField::MaxTokens), ("max_completion_tokens", MaxTokensField::MaxCompletionTokens)];
        keys.choice("max_tokens_field", &mut self.max_tokens_field, &fields);
    }
}

fn is_version(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// One Azure resource.
pub(in crate::llm) struct Azure {
    /// What was configured, but for what this version of the API does not know.
    options: AzureOptions,
    /// What of the API's path `base_url` does not say.
    prefix: &'static str,
}

/// The first version of the API that knows `stream_options` and `max_completion_tokens`; older ones refuse fields that they do not know.
/// Source: "Azure OpenAI API version changes".
const NEWER_FIELDS: &str = "2024-09-01";

impl Azure {
    /// The resource at `base_url`, with or without the path of its API. Fields that an old version of the API does not know are not sent, whatever
    /// is configured.
    pub(in crate::llm) fn at(base_url: &str, options: &AzureOptions) -> Self {
        let mut options = options.clone();
        if options.api_version.as_deref().is_some_and(|version| is_date(version) && version < NEWER_FIELDS) {
            options.max_tokens_field = MaxTokensField::MaxTokens;
            options.stream_usage = false;
        }
        let path = base_url.parse::<Uri>().map(|uri| uri.path().trim_matches('/').to_owned()).unwrap_or_default();
        let prefix = match options.api_version.as_deref().is_some_and(is_date) {
            true if path.rsplit('/').next() == Some("openai") => "",
            true => "/openai",
            false if path.is_empty() => "/openai/v1",
            false if path.rsplit('/').next() == Some("openai") => "/v1",
            false => "",
        };
        Self { options, prefix }
    }

    /// The path of an operation on a deployment.
    fn path(&self, deployment: &str, operation: &str) -> Result<String, UnsupportedField> {
        let deployment = segment(deployment)?;
        Ok(match self.options.api_version.as_deref() {
            Some(version) if is_date(version) => {
                format!("{}/deployments/{deployment}{operation}?api-version={}", self.prefix, encoded(version))
            }
            // `preview` is a version of the `v1` API.
            Some(version) => format!("{}{operation}?api-version={}", self.prefix, encoded(version)),
            None => format!("{}{operation}", self.prefix),
        })
    }

    fn fields(&self, request: &CompletionRequest<'_>) -> Fields {
        let mut fields = params(request, self.options.stream_usage);
        let (older, newer) = ("max_tokens", "max_completion_tokens");
        // Azure refuses both together. The newer one is more exact.
        let sent = if fields.iter().any(|(name, value)| name == newer && value.get() != "null") { newer } else { older };
        fields.retain(|(name, _)| name == sent || (name != older && name != newer));
        let wanted = if self.options.max_tokens_field == MaxTokensField::MaxTokens { older } else { newer };
        for (name, _) in fields.iter_mut().filter(|(name, _)| name == sent) {
            *name = wanted.into();
        }
        fields
    }
}

/// Whether this is a version of the dated API.
fn is_date(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
}

impl Dialect for Azure {
    fn encode_chat(&self, request: &CompletionRequest<'_>) -> Result<(HttpRequest, Decoding), UnsupportedField> {
        let path = self.path(request.model, "/chat/completions")?;
        // The dated API has the deployment in its URL and ignores the model in the body.
        let body = request_json(request.model, &history::accepted(request.messages), &self.fields(request), request.stream);
        let normalizer = OpenAiNormalizer::new(request.name.clone(), wants_usage(request.params)).reading_errors(errors::in_band);
        Ok((HttpRequest { path, headers: Vec::new(), body }, Decoding::OpenAi(Box::new(normalizer))))
    }

    fn takes(&self) -> Takes {
        Takes::ALL
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    /// One header or the other, because Azure refuses both.
    fn credentials(&self, key: &str) -> (HeaderName, String) {
        if self.options.bearer {
            (header::AUTHORIZATION, format!("Bearer {key}"))
        } else {
            (HeaderName::from_static("api-key"), key.to_owned())
        }
    }

    fn provider_error(&self, status: StatusCode, json: &serde_json::Value) -> ProviderError {
        errors::provider_error(status, json)
    }
}

impl Embeddings for Azure {
    fn encode_embeddings(&self, request: &EmbeddingsRequest<'_>) -> Result<HttpRequest, UnsupportedField> {
        Ok(HttpRequest { path: self.path(request.model, "/embeddings")?, headers: Vec::new(), body: embeddings_body(request) })
    }

    fn decode_embeddings(&self, inputs: usize, body: &[u8]) -> Result<Embedded, DecodeError> {
        decode_embeddings(inputs, body, errors::in_band)
    }
}

#[cfg(test)]
mod tests;
