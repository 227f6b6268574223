//! A chat request in Gemini's words: conversation, tools and settings put together, and every field of the client's accounted for.
//! Must not know replies. Source: Gemini API reference, "Generating content", <https://ai.google.dev/api/generate-content>.

mod contents;
mod generation;
mod media;
mod output;
mod params;
mod thinking;
mod tools;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::model::Model;
use super::schema::Budget;
use crate::chat::codec::to_json;
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use contents::{Conversation, Turn};
use params::Params;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Turn<'a>>,
    contents: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[tools::Tool<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<tools::Config>,
    #[serde(skip_serializing_if = "Option::is_none")]
    safety_settings: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "generation::Config::is_empty")]
    generation_config: generation::Config,
}

/// # Errors
/// `UnsupportedField` names the field that Gemini cannot take.
pub(super) fn body(request: &CompletionRequest<'_>, model: &Model<'_>) -> Result<Bytes, UnsupportedField> {
    let params = Params::of(request)?;
    // One for all schemas: many small ones could be as bad as one large.
    let mut budget = Budget::default();
    let tool = tools::tool(request, &params, &mut budget)?;
    let Conversation { system, turns } = contents::conversation(request, model)?;
    Ok(to_json(&Body {
        system_instruction: system,
        contents: turns,
        tool_config: tools::config(&params, tool.as_ref())?,
        safety_settings: params.raw("safety_settings").or_else(|| params.raw("safetySettings")),
        generation_config: generation::config(request, &params, model, tool.is_some(), &mut budget)?,
        tools: tool.map(|tool| [tool]),
    }))
}
