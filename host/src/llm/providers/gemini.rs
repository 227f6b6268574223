//! The adapter for Google's Gemini as AI Studio serves it: `generateContent`, its stream, and `batchEmbedContents`.
//! Every field of the client's is accounted for: translated, without effect, or refused.
//! Source: Gemini API reference, v1beta, <https://ai.google.dev/api/generate-content>, <https://ai.google.dev/api/embeddings>.

mod media;
mod messages;
mod model;
mod params;
mod reply;
mod response;
mod schema;
mod tools;

use bytes::Bytes;
use http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::chat::Embedded;
use crate::chat::codec::to_json;
use crate::llm::adapter::{
    CompletionRequest, DecodeError, Decoding, Dialect, Embeddings, EmbeddingsRequest, HttpRequest, ProviderError, UnsupportedField,
};
use crate::llm::tool_names::ToolNames;
use crate::llm::vendor::{ANY_URL, VendorInfo};
use messages::{Conversation, Turn, conversation};
use model::Model;
use params::{GenerationConfig, Params, generation_config};
use reply::GeminiDecoder;
use schema::Budget;
use tools::{NAMES, Tool, ToolConfig, tool, tool_config};

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
        let mut names = ToolNames::new(NAMES);
        let body = body(request, &model, &mut names)?;
        let decoder = GeminiDecoder::new(request.name.clone(), names.into_client_names(), request.stream);
        Ok((HttpRequest { path: model.path(method), headers: Vec::new(), body }, Decoding::Translated(Box::new(decoder))))
    }

    fn embeddings(&self) -> Option<&dyn Embeddings> {
        Some(self)
    }

    /// An API key has a header of its own, so that it is in no URL and no log; an OAuth access token is a bearer token.
    fn credentials(&self, key: &str) -> (HeaderName, String) {
        if key.starts_with("ya29.") {
            return (header::AUTHORIZATION, format!("Bearer {key}"));
        }
        (HeaderName::from_static("x-goog-api-key"), key.to_owned())
    }

    fn provider_error(&self, status: StatusCode, json: &serde_json::Value) -> ProviderError {
        response::provider_error(status, json)
    }
}

/// Most models report no usage. OpenAI's `user` has no counterpart and changes no vector, so it is not sent.
impl Embeddings for Gemini {
    fn encode_embeddings(&self, request: &EmbeddingsRequest<'_>) -> Result<HttpRequest, UnsupportedField> {
        request.texts_only()?;
        let model = Model::named(request.model)?;
        let resource = model.resource();
        let one = |text| EmbedRequest {
            model: &resource,
            content: EmbedContent { parts: [EmbedText { text }] },
            output_dimensionality: request.dimensions,
        };
        let batch = EmbedBatch { requests: request.inputs.iter().map(|input| one(input)).collect() };
        Ok(HttpRequest { path: model.path("batchEmbedContents"), headers: Vec::new(), body: to_json(&batch) })
    }

    fn decode_embeddings(&self, inputs: usize, body: &[u8]) -> Result<Embedded, DecodeError> {
        let reply: EmbedReply =
            serde_json::from_slice(body).map_err(|error| DecodeError::Malformed(format!("no list of embeddings: {error}")))?;
        if reply.embeddings.len() != inputs {
            return Err(DecodeError::Malformed(format!("{} embeddings for {inputs} inputs", reply.embeddings.len())));
        }
        let prompt_tokens = reply.usage_metadata.and_then(|usage| usage.prompt_token_count).unwrap_or(0);
        Ok(Embedded { vectors: reply.embeddings.into_iter().map(|embedding| embedding.values).collect(), prompt_tokens })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Turn<'a>>,
    contents: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tool<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_settings: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "GenerationConfig::is_empty")]
    generation_config: GenerationConfig,
}

/// # Errors
/// `UnsupportedField` names the field that Gemini cannot take.
fn body(request: &CompletionRequest<'_>, model: &Model<'_>, names: &mut ToolNames) -> Result<Bytes, UnsupportedField> {
    let params = Params::new(request)?;
    // One budget for all schemas, because many small ones could cost as much as a large one.
    let mut budget = Budget::default();
    let tool = tool(request, &params, names, &mut budget)?;
    // Before the history, whose calls may be of functions that are gone.
    let tool_config = tool_config(&params, tool.as_ref(), names)?;
    let Conversation { system, turns } = conversation(request, model, names)?;
    Ok(to_json(&Body {
        system_instruction: system,
        contents: turns,
        tool_config,
        safety_settings: params.raw("safety_settings").or_else(|| params.raw("safetySettings")),
        generation_config: generation_config(request, &params, model, tool.is_some(), &mut budget)?,
        tools: tool.map(|tool| [tool]),
    }))
}

#[derive(Serialize)]
struct EmbedBatch<'a> {
    requests: Vec<EmbedRequest<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EmbedRequest<'a> {
    model: &'a str,
    content: EmbedContent<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_dimensionality: Option<u32>,
}

#[derive(Serialize)]
struct EmbedContent<'a> {
    parts: [EmbedText<'a>; 1],
}

#[derive(Serialize)]
struct EmbedText<'a> {
    text: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EmbedReply {
    embeddings: Vec<Embedding>,
    usage_metadata: Option<EmbedUsage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EmbedUsage {
    prompt_token_count: Option<u64>,
}

#[derive(Deserialize)]
struct Embedding {
    values: Vec<f32>,
}

#[cfg(test)]
mod tests;
