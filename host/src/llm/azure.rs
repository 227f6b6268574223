//! Azure OpenAI: OpenAI's form at URLs that name a deployment instead of a model, strict about fields, and with its own habits in streams, which
//! the normaliser of OpenAI-shaped replies knows. Must not know how tokens of Entra are got.
//! Source: "Azure OpenAI in Foundry Models REST API reference" and "API version lifecycle".

mod history;
mod words;

use http::{HeaderName, StatusCode, header};

use super::adapter::{Ask, AskEmbeddings, Bad, Dialect, Embedded, Reading, Unfit, Wire, Words};
use super::shaped::{Shaped, embedded, embeddings_body, encoded, params, segment, wants_usage};
use crate::chat::Fields;
use crate::chat::codec::request_json;

/// One Azure resource.
pub(super) struct Azure {
    /// A date is the version of the API whose URLs name the deployment. Without one it is the `v1` API, whose bodies do.
    pub(super) api_version: Option<String>,
    pub(super) max_tokens_field: MaxTokensField,
    /// The key is a token of Entra.
    pub(super) bearer: bool,
    /// Usage is asked for with every stream; API versions before 2024-09-01 refuse the question.
    pub(super) stream_usage: bool,
}

/// What becomes of the client's `max_tokens`. What a deployment's name stands for is not known from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum MaxTokensField {
    /// It is sent as `max_completion_tokens`, which every newer model takes and reasoning models insist on.
    #[default]
    Renamed,
    /// It is sent as it is, for deployments of older models.
    #[allow(dead_code, reason = "no key of the configuration chooses it yet")]
    Kept,
}

impl Azure {
    /// `bearer`: keys are tokens of Entra.
    pub(super) fn new(api_version: Option<String>, bearer: bool) -> Self {
        Self { api_version, max_tokens_field: MaxTokensField::default(), bearer, stream_usage: true }
    }

    /// The path of an operation on a deployment.
    fn path(&self, deployment: &str, operation: &str) -> Result<String, Unfit> {
        let deployment = segment(deployment, b"")?;
        Ok(match self.api_version.as_deref() {
            Some(version) if version.starts_with(|c: char| c.is_ascii_digit()) => {
                format!("/openai/deployments/{deployment}{operation}?api-version={}", encoded(version, b""))
            }
            // `preview` is a version of the `v1` API.
            Some(version) => format!("{operation}?api-version={}", encoded(version, b"")),
            None => operation.to_owned(),
        })
    }

    fn fields(&self, ask: &Ask<'_>) -> Fields {
        let mut fields = params(ask, self.stream_usage);
        if self.max_tokens_field == MaxTokensField::Renamed {
            let newer = fields.iter().any(|(name, value)| name == "max_completion_tokens" && value.get() != "null");
            // Both together are refused; the newer one is the more exact.
            fields.retain(|(name, _)| !(if newer { name == "max_tokens" } else { name == "max_completion_tokens" }));
            for (name, _) in fields.iter_mut().filter(|(name, _)| name == "max_tokens") {
                *name = "max_completion_tokens".into();
            }
        }
        fields
    }
}

impl Dialect for Azure {
    fn request(&self, ask: &Ask<'_>) -> Result<(Wire, Reading), Unfit> {
        let path = self.path(ask.model, "/chat/completions")?;
        // The dated API has the deployment in its URL, and takes no offence at a model in the body.
        let body = request_json(ask.model, &history::written(ask.messages), &self.fields(ask), ask.stream);
        let shaped = Shaped::new(ask.name.clone(), wants_usage(ask.params)).reading_errors(words::in_band);
        Ok((Wire { path, headers: Vec::new(), body }, Reading::Shaped(Box::new(shaped))))
    }

    fn embeddings(&self, ask: &AskEmbeddings<'_>) -> Option<Result<Wire, Unfit>> {
        let wire = |path| Wire { path, headers: Vec::new(), body: embeddings_body(ask) };
        Some(self.path(ask.model, "/embeddings").map(wire))
    }

    fn embedded(&self, inputs: usize, body: &[u8]) -> Result<Embedded, Bad> {
        embedded(inputs, body, words::in_band)
    }

    /// One or the other: with both, Azure refuses.
    fn credentials(&self, key: &str) -> (HeaderName, String) {
        if self.bearer { (header::AUTHORIZATION, format!("Bearer {key}")) } else { (HeaderName::from_static("api-key"), key.to_owned()) }
    }

    fn words(&self, status: StatusCode, json: &serde_json::Value) -> Words {
        words::words(status, json)
    }
}

#[cfg(test)]
mod tests;
