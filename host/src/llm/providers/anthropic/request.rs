//! A chat request in Anthropic's form: the client's fields, each accounted for, and the body that they become.
//! A field that would change the answer and that the API does not have is refused or, if the operator chose so, left out; none is lost silently.
//! Sources: Anthropic API reference, "Create a Message"; OpenAI API reference, "Create chat completion".

use http::HeaderName;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::content::Block;
use super::messages::{Conversation, Turn, conversation};
use super::model::{Model, Obstacles, Sampling, ThinkingParams, WantedThinking};
use super::search::{self, Search, of_the_vendor};
use super::tools::{ANSWER_TOOL, Choice, Format, NAMES, ReplyContext, Tool, Wrapping, placeholder, tools};
use crate::chat::Json;
use crate::chat::codec::to_json;
use crate::llm::adapter::{CompletionRequest, HttpRequest, UnsupportedField};
use crate::llm::tool_names::ToolNames;

const VERSION: (HeaderName, &str) = (HeaderName::from_static("anthropic-version"), "2023-06-01");

/// Names the features in beta that a request uses.
const BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// Allows a document to name a file of the Files API.
const FILES: &str = "files-api-2025-04-14";

/// Bytes of a user's id.
const USER_BYTES: usize = 256;

/// Every field that we send.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block>,
    messages: Vec<Turn>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Offered>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<Json>,
    stream: bool,
}

/// An entry of the tools.
#[derive(Serialize)]
#[serde(untagged)]
enum Offered {
    Client(Tool),
    /// The API runs it itself.
    Search(Search),
    OfTheVendor(Json),
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
    schema: Value,
}

/// The request, and what its reply's decoder needs of it. `max_tokens` is the limit of a reply's tokens if the client names none; `betas` are the
/// operator's features in beta.
pub(super) fn encode(
    request: &CompletionRequest<'_>,
    max_tokens: u64,
    betas: &[String],
) -> Result<(HttpRequest, ReplyContext), UnsupportedField> {
    let model = Model::of(request.model);
    let params = Params::read(request)?;
    let mut names = ToolNames::new(NAMES);
    names.reserve(ANSWER_TOOL);
    if params.search.is_some() {
        names.reserve(search::NAME);
    }
    let of_the_vendor = of_the_vendor(&params.tools);
    of_the_vendor.iter().for_each(|(_, name)| names.reserve(name));
    let (offered, keys) = tools(request, model, &params.tools, &mut names)?;
    let plan = plan(request, model, &params, &names, offered)?;
    let Conversation { system, turns, has_calls, has_thoughts } = conversation(request, &mut names)?;
    let wanted =
        WantedThinking { thinking: params.thinking.as_ref(), effort: params.reasoning_effort.as_deref(), max_tokens: params.max_tokens };
    let wanted_sampling = Sampling { temperature: params.temperature, top_p: params.top_p, top_k: params.top_k };
    let forced = plan.choice.as_ref().is_some_and(Choice::forces);
    let obstacles = Obstacles { forced, lacks_thoughts: has_calls && !has_thoughts };
    let thinking = ThinkingParams::new(request, model, &wanted, &obstacles)?;
    let sampling = Sampling::new(request, model, wanted_sampling, thinking.is_on())?;
    let Plan { mut tools, mut choice, format, wrapping, one_call } = plan;
    let of_the_vendor = of_the_vendor.into_iter().map(|(tool, _)| Offered::OfTheVendor(tool));
    let own: Vec<Offered> = params.search.map(Offered::Search).into_iter().chain(of_the_vendor).collect();
    if tools.is_empty() && own.is_empty() && has_calls {
        tools.push(placeholder(&mut names));
        choice = Some(Choice::None);
    }
    let format = format.map(|schema| OutputFormat { kind: "json_schema", schema });
    let stored = turns.iter().any(|turn| turn.content.iter().any(Block::is_stored_file));
    let body = Body {
        model: request.model,
        max_tokens: params.max_tokens.unwrap_or_else(|| max_tokens.saturating_add(thinking.extra_tokens)),
        system,
        messages: turns,
        tools: tools.into_iter().map(Offered::Client).chain(own).collect(),
        tool_choice: choice.map(|choice| choice.json(&mut names, one_call)),
        output_config: (thinking.effort.is_some() || format.is_some()).then_some(OutputConfig { effort: thinking.effort, format }),
        thinking: thinking.thinking,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        stop_sequences: params.stop,
        metadata: params.user.map(|id| json!({"user_id": id})),
        service_tier: params.service_tier,
        cache_control: params.cache_control,
        stream: request.stream,
    };
    let headers = headers(betas, stored);
    let http_request = HttpRequest { path: "/messages".to_owned(), headers, body: to_json(&body) };
    Ok((http_request, ReplyContext { names: names.into_client_names(), keys, wrapping }))
}

/// `stored`: the request names a file of the Files API.
fn headers(betas: &[String], stored: bool) -> Vec<(HeaderName, String)> {
    let ours = stored.then_some(FILES).filter(|ours| !betas.iter().any(|beta| beta == ours));
    let betas: Vec<&str> = betas.iter().map(String::as_str).chain(ours).collect();
    let (version, value) = VERSION;
    let beta = (!betas.is_empty()).then(|| (BETA, betas.join(",")));
    std::iter::once((version, value.to_owned())).chain(beta).collect()
}

/// The tools, the choice among them and the answer's format, which depend on each other.
struct Plan {
    tools: Vec<Tool>,
    choice: Option<Choice>,
    /// The schema of `output_config.format`.
    format: Option<Value>,
    /// Set if the answer is a tool's input.
    wrapping: Option<Wrapping>,
    /// The reply may hold at most one call.
    one_call: bool,
}

fn plan(
    request: &CompletionRequest<'_>,
    model: Model,
    params: &Params,
    names: &ToolNames,
    tools: Vec<Tool>,
) -> Result<Plan, UnsupportedField> {
    let one_call = params.parallel_tool_calls == Some(false);
    let mut choice = choice(request, model, params, names, &tools)?;
    if one_call && choice.is_none() && !tools.is_empty() {
        choice = Some(Choice::Auto);
    }
    let plan = |tools, choice| Plan { tools, choice, format: None, wrapping: None, one_call };
    match Format::read(params.response_format.as_ref(), model)? {
        Format::Text => Ok(plan(tools, choice)),
        Format::Schema(schema) => Ok(Plan { format: Some(schema), ..plan(tools, choice) }),
        // A reply that must be a call has no content that could have a format.
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
            Ok(Plan { wrapping: Some(wrapping), one_call: one_call || alone, ..plan(tools, choice) })
        }
    }
}

/// The client's choice; none if it made none that can be sent.
fn choice(
    request: &CompletionRequest<'_>,
    model: Model,
    params: &Params,
    names: &ToolNames,
    tools: &[Tool],
) -> Result<Option<Choice>, UnsupportedField> {
    let choice = Choice::read(request, params.tool_choice.as_ref())?;
    let forces = choice.as_ref().is_some_and(Choice::forces);
    if tools.is_empty() {
        return if forces { Err(UnsupportedField::new("tool_choice", "needs `tools` to choose among")) } else { Ok(None) };
    }
    if let Some(Choice::Named(name)) = &choice
        && !names.contains(name)
    {
        return Err(UnsupportedField::new("tool_choice", format!("names `{name}`, which is none of `tools`")));
    }
    if forces && !model.can_be_forced() {
        request.refuse_or_drop("tool_choice", "this model cannot be made to call a tool; send auto and ask for the call in words")?;
        return Ok(Some(Choice::Auto));
    }
    Ok(choice)
}

/// The fields that are sent in some form. A field that is null counts as absent.
#[derive(Debug, Default)]
struct Params {
    max_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u64>,
    stop: Vec<String>,
    tools: Vec<Json>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    response_format: Option<Json>,
    reasoning_effort: Option<String>,
    /// Anthropic's own field, as the client sent it.
    thinking: Option<Value>,
    user: Option<String>,
    service_tier: Option<&'static str>,
    /// `web_search_options`.
    search: Option<Search>,
    /// Anthropic's own field, which marks the end of the request.
    cache_control: Option<Json>,
}

impl Params {
    fn read(request: &CompletionRequest<'_>) -> Result<Self, UnsupportedField> {
        let mut params = Self::default();
        let mut older_max_tokens = None;
        for (name, json) in request.params.iter().filter(|(_, json)| json.get() != "null") {
            let name = name.as_str();
            match name {
                "max_completion_tokens" => params.max_tokens = Some(read(name, json, "a whole number of tokens")?),
                "max_tokens" => older_max_tokens = Some(read(name, json, "a whole number of tokens")?),
                "temperature" => params.temperature = Some(read(name, json, "a number")?),
                "top_p" => params.top_p = Some(read(name, json, "a number")?),
                "top_k" => params.top_k = Some(read(name, json, "a whole number")?),
                "stop" => params.stop = stop(json)?,
                "tools" => params.tools = read(name, json, "a list of tools")?,
                "tool_choice" => params.tool_choice = Some(read(name, json, "JSON")?),
                "parallel_tool_calls" => params.parallel_tool_calls = Some(read(name, json, "true or false")?),
                "response_format" => params.response_format = Some(json.clone()),
                "reasoning_effort" => params.reasoning_effort = Some(read(name, json, "a string")?),
                "cache_control" => params.cache_control = Some(json.clone()),
                "web_search_options" => params.search = Some(Search::read(json)?),
                "thinking" => params.thinking = Some(read(name, json, "an object")?),
                "user" | "safety_identifier" => params.user = user(&read::<String>(name, json, "a string")?).or(params.user),
                "service_tier" => params.service_tier = service_tier(request, &read::<String>(name, json, "a string")?)?,
                // Without effect on the answer: what OpenAI's dashboard keeps, how its cache is keyed, and what we handle ourselves (`stream_options`).
                "store" | "metadata" | "prediction" | "prompt_cache_key" | "prompt_cache_retention" | "stream_options" | "verbosity" => {}
                _ => unknown_field(request, name, json)?,
            }
        }
        params.max_tokens = params.max_tokens.or(older_max_tokens);
        Ok(params)
    }
}

/// Fields that Anthropic does not have. They do no harm if they ask for what happens anyway.
fn unknown_field(request: &CompletionRequest<'_>, name: &str, json: &RawValue) -> Result<(), UnsupportedField> {
    let is_default = match name {
        "n" => read::<u64>(name, json, "a whole number")? == 1,
        "logprobs" => !read::<bool>(name, json, "true or false")?,
        "top_logprobs" => read::<u64>(name, json, "a whole number")? == 0,
        "presence_penalty" | "frequency_penalty" => read::<f64>(name, json, "a number")? == 0.0,
        "logit_bias" => read::<serde_json::Map<String, Value>>(name, json, "an object")?.is_empty(),
        "modalities" => read::<Vec<String>>(name, json, "a list of strings")?.iter().all(|modality| modality == "text"),
        _ => false,
    };
    if is_default {
        return Ok(());
    }
    let message = match name {
        "n" => "Anthropic gives one answer to a request; leave it out and ask again for another".to_owned(),
        "functions" | "function_call" => "is an old form; send `tools` and `tool_choice`".to_owned(),
        _ => "Anthropic has no such field; leave it out".to_owned(),
    };
    request.refuse_or_drop(name, message)
}

fn read<T: DeserializeOwned>(name: &str, json: &RawValue, what: &str) -> Result<T, UnsupportedField> {
    serde_json::from_str(json.get()).map_err(|_| UnsupportedField::new(name, format!("must be {what}")))
}

/// One string or several. The API refuses strings of nothing but white space.
fn stop(json: &RawValue) -> Result<Vec<String>, UnsupportedField> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Stop {
        One(String),
        Several(Vec<String>),
    }
    let stops = match read("stop", json, "a string or a list of strings")? {
        Stop::One(text) => vec![text],
        Stop::Several(texts) => texts,
    };
    Ok(stops.into_iter().filter(|text| !text.trim().is_empty()).collect())
}

/// A user's id, by which the vendor recognises abuse. Anthropic asks for ids that identify nobody, so what looks like an e-mail address or a
/// telephone number is not sent.
fn user(id: &str) -> Option<String> {
    let digits = id.chars().filter(char::is_ascii_digit).count();
    let phone = digits >= 7 && id.chars().all(|c| c.is_ascii_digit() || " +-()./".contains(c));
    let fits = !id.trim().is_empty() && id.len() <= USER_BYTES && !id.contains('@') && !phone;
    fits.then(|| id.to_owned())
}

fn service_tier(request: &CompletionRequest<'_>, tier: &str) -> Result<Option<&'static str>, UnsupportedField> {
    match tier {
        // Anthropic's `auto` uses the priority capacity that was bought, if there is any.
        "auto" | "priority" => Ok(Some("auto")),
        "default" | "standard_only" => Ok(Some("standard_only")),
        other => {
            request.refuse_or_drop("service_tier", format!("is `{other}`; Anthropic has auto and default"))?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c24_a_user_that_is_an_address_or_a_number_is_not_sent() {
        for id in ["ada@example.org", "+44 20 7946 0000", "(030) 1234-567", "5551234567", " ", &"x".repeat(257)] {
            assert_eq!(user(id), None, "{id}");
        }
        for id in ["u-123", "user_5551234567", "3f0c", "12345"] {
            assert_eq!(user(id).as_deref(), Some(id));
        }
    }
}
