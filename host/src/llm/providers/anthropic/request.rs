//! A chat request in Anthropic's words: every field of the body, in one place.
//! Source: Anthropic API reference, "Create a Message". Must not know replies, but for what their reading needs of the request.

use http::HeaderName;
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{Sense, Wrapping};
use super::content::{Block, unfit};
use super::format::{Format, TOOL};
use super::messages::{Conversation, Turn, conversation};
use super::models::Model;
use super::names::Names;
use super::params::Params;
use super::thinking::{Around, Sampling, Thought};
use super::tools::{Choice, Tool, stand_in, tools};
use crate::chat::codec::to_json;
use crate::llm::adapter::{CompletionRequest, HttpRequest, UnsupportedField};
use crate::llm::tree::Tree;

const VERSION: (HeaderName, &str) = (HeaderName::from_static("anthropic-version"), "2023-06-01");

/// Lets a document name a file of the vendor's store.
const FILES: (HeaderName, &str) = (HeaderName::from_static("anthropic-beta"), "files-api-2025-04-14");

/// All that we send.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block>,
    messages: Vec<Turn>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
    stream: bool,
}

#[derive(Serialize)]
struct OutputConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<OutputFormat>,
}

#[derive(Serialize)]
struct OutputFormat {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: Tree,
}

/// The request, and what its reply means. `max_tokens` is the limit where the client names none.
pub(super) fn encode(request: &CompletionRequest<'_>, max_tokens: u64) -> Result<(HttpRequest, Sense), UnsupportedField> {
    let model = Model::of(request.model);
    let params = Params::read(request)?;
    let mut names = Names::default();
    names.reserve(TOOL);
    let given = tools(request, model, &params.tools, &mut names)?;
    let plan = plan(request, model, &params, &names, given)?;
    let Conversation { system, turns, calls, thought: thoughts } = conversation(request, &mut names)?;
    let around = Around { forced: plan.choice.as_ref().is_some_and(Choice::forces), forgot: calls && !thoughts };
    let thought = Thought::read(request, model, &params, &around)?;
    let sampling = Sampling::read(request, model, &params, thought.on())?;
    let Plan { mut tools, mut choice, format, wrapping, one } = plan;
    if tools.is_empty() && calls {
        tools.push(stand_in(&mut names));
        choice = Some(Choice::None);
    }
    let format = format.map(|schema| OutputFormat { kind: "json_schema", schema });
    let stored = turns.iter().any(|turn| turn.content.iter().any(Block::is_stored_file));
    let body = Body {
        model: request.model,
        max_tokens: params.max_tokens.unwrap_or_else(|| max_tokens.saturating_add(thought.extra_tokens)),
        system,
        messages: turns,
        tools,
        tool_choice: choice.map(|choice| choice.wire(&mut names, one)),
        output_config: (thought.effort.is_some() || format.is_some()).then_some(OutputConfig { effort: thought.effort, format }),
        thinking: thought.thinking,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        stop_sequences: params.stop,
        metadata: params.user.map(|id| json!({"user_id": id})),
        service_tier: params.service_tier,
        stream: request.stream,
    };
    let headers = [Some(VERSION), stored.then_some(FILES)].into_iter().flatten();
    let headers = headers.map(|(name, value)| (name, value.to_owned())).collect();
    let wire = HttpRequest { path: "/messages".to_owned(), headers, body: to_json(&body) };
    Ok((wire, Sense { names: names.back(), wrapping }))
}

/// Tools, the choice among them and the answer's form, which depend on each other.
struct Plan {
    tools: Vec<Tool>,
    choice: Option<Choice>,
    /// The schema of `output_config.format`.
    format: Option<Tree>,
    /// Set where the answer is a tool's input.
    wrapping: Option<Wrapping>,
    /// At most one call.
    one: bool,
}

fn plan(request: &CompletionRequest<'_>, model: Model, params: &Params, names: &Names, tools: Vec<Tool>) -> Result<Plan, UnsupportedField> {
    let one = params.parallel_tool_calls == Some(false);
    let mut choice = choice(request, model, params, names, &tools)?;
    if one && choice.is_none() && !tools.is_empty() {
        choice = Some(Choice::Auto);
    }
    let plan = |tools, choice| Plan { tools, choice, format: None, wrapping: None, one };
    match Format::read(params.response_format.as_ref(), model)? {
        Format::Text => Ok(plan(tools, choice)),
        Format::Schema(schema) => Ok(Plan { format: Some(schema), ..plan(tools, choice) }),
        // A reply that must be a call has no content to give a form to.
        Format::Tool { .. } if choice.as_ref().is_some_and(Choice::forces) => Ok(plan(tools, choice)),
        Format::Tool { .. } if !model.can_be_forced() => {
            request.refuse_or_drop(
                "response_format",
                "is a form that this model cannot be held to; send a json_schema, or ask for JSON in words",
            )?;
            Ok(plan(tools, choice))
        }
        Format::Tool { tool, wrapping } => {
            let alone = tools.is_empty() || choice == Some(Choice::None);
            let choice = Some(if alone { Choice::Answer } else { Choice::Any });
            let tools = tools.into_iter().chain([*tool]).collect();
            Ok(Plan { wrapping: Some(wrapping), one: one || alone, ..plan(tools, choice) })
        }
    }
}

/// The client's choice, as far as there is one.
fn choice(
    request: &CompletionRequest<'_>,
    model: Model,
    params: &Params,
    names: &Names,
    tools: &[Tool],
) -> Result<Option<Choice>, UnsupportedField> {
    let choice = Choice::read(request, params.tool_choice.as_ref())?;
    let forces = choice.as_ref().is_some_and(Choice::forces);
    if tools.is_empty() {
        return if forces { Err(unfit("tool_choice", "needs `tools` to choose among")) } else { Ok(None) };
    }
    if let Some(Choice::Named(name)) = &choice
        && !names.know(name)
    {
        return Err(unfit("tool_choice", format!("names `{name}`, which is none of `tools`")));
    }
    if forces && !model.can_be_forced() {
        request.refuse_or_drop("tool_choice", "this model cannot be made to call a tool; send auto and ask for the call in words")?;
        return Ok(Some(Choice::Auto));
    }
    Ok(choice)
}
