//! A chat request as `/ai/run` takes it. It is close to OpenAI's, but the API refuses `null` and `false` for a field that could be absent, and
//! takes a schema without its envelope. Source: Workers AI documentation, the input schemas of the text generation models.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::chat::codec::{json_string, to_json};
use crate::chat::{Content, Json, Message, Part, ToolCall};
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::providers::openai::Object;

/// Tokens of a reply if the client names no limit: Cloudflare's own default of 256 cuts most answers short.
const MAX_TOKENS: u32 = 2048;

/// Fields that mean the same here.
const TAKEN: [&str; 10] = [
    "chat_template_kwargs",
    "frequency_penalty",
    "lora",
    "presence_penalty",
    "raw",
    "repetition_penalty",
    "seed",
    "temperature",
    "top_k",
    "top_p",
];

/// Fields without effect on the answer: who asks, how it is kept, how it is paid for, and usage, which always comes.
const WITHOUT_EFFECT: [&str; 10] = [
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "stream_options",
    "user",
    "verbosity",
];

/// The body of `POST /ai/run/MODEL`.
///
/// # Errors
/// `UnsupportedField` names a field that the API cannot take.
pub(super) fn body(request: &CompletionRequest<'_>) -> Result<Bytes, UnsupportedField> {
    let mut body: BTreeMap<&str, Json> = BTreeMap::new();
    for (name, raw) in request.params.iter().filter(|(_, raw)| !matches!(raw.get(), "null" | "false")) {
        match name.as_str() {
            "n" if raw.get() == "1" => {}
            "max_completion_tokens" => drop(body.insert("max_tokens", raw.clone())),
            "max_tokens" => drop(body.entry("max_tokens").or_insert_with(|| raw.clone())),
            "tools" => body.extend(tools(request, raw)?.map(|tools| ("tools", tools))),
            "tool_choice" => body.extend(tool_choice(raw).map(|choice| ("tool_choice", choice))),
            "response_format" => body.extend(response_format(request, raw)?.map(|format| ("response_format", format))),
            name if TAKEN.contains(&name) => drop(body.insert(name, raw.clone())),
            name if WITHOUT_EFFECT.contains(&name) => {}
            name => request.refuse_or_drop(name, "is no field of this provider's API; leave it out, or ask its OpenAI-compatible API")?,
        }
    }
    // The API refuses a choice without tools. A model that must not call any is best not shown them.
    if body.get("tool_choice").is_some_and(|choice| choice.get() == "\"none\"") {
        body.remove("tools");
    }
    if !body.contains_key("tools") {
        body.remove("tool_choice");
    }
    if request.stream {
        body.insert("stream", json_of(&true));
    }
    body.entry("max_tokens").or_insert_with(|| json_of(&MAX_TOKENS));
    body.insert("messages", json_of(&messages(request)?));
    Ok(to_json(&body))
}

/// OpenAI's tools, without optional fields that are `false` or `null`.
fn tools(request: &CompletionRequest<'_>, tools: &RawValue) -> Result<Option<Json>, UnsupportedField> {
    let Ok(tools) = serde_json::from_str::<Vec<&RawValue>>(tools.get()) else {
        return Err(UnsupportedField::new("tools", "must be a list"));
    };
    let mut out = Vec::with_capacity(tools.len());
    for (at, tool) in tools.into_iter().enumerate() {
        match function_tool(tool) {
            Some(tool) => out.push(tool),
            None => request.refuse_or_drop(format!("tools[{at}]"), "is no function, and this provider knows no other tools")?,
        }
    }
    Ok((!out.is_empty()).then(|| json_of(&out)))
}

/// None if the tool is no function.
fn function_tool(tool: &RawValue) -> Option<Json> {
    let mut tool = Object::read(tool)?;
    let mut function = Object::read(tool.get("function")?)?;
    function.retain(|_, value| !matches!(value.get(), "null" | "false"));
    let function = function.json();
    tool.set("function", function);
    Some(tool.json())
}

/// As OpenAI has it. `any`, which other vendors have for `required`, is refused by this API.
fn tool_choice(choice: &RawValue) -> Option<Json> {
    match choice.get() {
        "\"any\"" => Some(json_string("required")),
        // The API's default.
        "\"auto\"" => None,
        _ => Some(choice.to_owned()),
    }
}

/// The schema without its envelope, whose name becomes the title.
fn response_format(request: &CompletionRequest<'_>, format: &RawValue) -> Result<Option<Json>, UnsupportedField> {
    let format = Object::read(format).unwrap_or_default();
    match format.get("type").map(RawValue::get) {
        Some("\"text\"") => Ok(None),
        Some("\"json_object\"") => Ok(Some(json_of(&json!({"type": "json_object"})))),
        Some("\"json_schema\"") => {
            let envelope = format.get("json_schema").and_then(Object::read).unwrap_or_default();
            let Some(mut schema) = envelope.get("schema").and_then(Object::read) else {
                return Err(UnsupportedField::new("response_format.json_schema.schema", "must be an object"));
            };
            let title = envelope.get("name").filter(|name| name.get().starts_with('"') && schema.get("title").is_none());
            if let Some(title) = title {
                schema.set("title", title.to_owned());
            }
            Ok(Some(json_of(&BTreeMap::from([("type", json_string("json_schema")), ("json_schema", schema.json())]))))
        }
        _ => request.refuse_or_drop("response_format.type", "must be `text`, `json_object` or `json_schema`").map(|()| None),
    }
}

fn messages(request: &CompletionRequest<'_>) -> Result<Vec<Value>, UnsupportedField> {
    let mut called = HashMap::new();
    let mut out = Vec::with_capacity(request.messages.len());
    for (at, from) in request.messages.iter().enumerate() {
        out.push(message(request, at, from, &called)?);
        called.extend(from.tool_calls.iter().filter_map(id_and_name));
    }
    Ok(out)
}

/// A call's id and the name of its function.
fn id_and_name(call: &ToolCall) -> Option<(&str, &str)> {
    match call {
        ToolCall::Function(call) => Some((&call.id, &call.name)),
        ToolCall::Other(_) => None,
    }
}

/// A message whose content is never `null`, and a list only if it must be one, because few models take lists. `called`: the names of the
/// functions that were called before it, by the calls' ids.
fn message(request: &CompletionRequest<'_>, at: usize, message: &Message, called: &HashMap<&str, &str>) -> Result<Value, UnsupportedField> {
    let mut out = Map::new();
    let role = if message.role == "developer" { "system" } else { &message.role };
    out.insert("role".into(), json!(role));
    out.insert("content".into(), content(request, at, message)?);
    let calls = message.tool_calls.iter().enumerate().map(|(place, call)| match call {
        ToolCall::Function(call) => {
            Ok(Some(json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})))
        }
        ToolCall::Other(_) => request
            .refuse_or_drop(format!("messages[{at}].tool_calls[{place}]"), "is no call of a function, and this provider knows no others")
            .map(|()| None),
    });
    let calls = calls.collect::<Result<Vec<_>, UnsupportedField>>()?.into_iter().flatten().collect::<Vec<Value>>();
    if !calls.is_empty() {
        out.insert("tool_calls".into(), calls.into());
    }
    if let Some(id) = &message.tool_call_id {
        out.insert("tool_call_id".into(), json!(id));
        // Some models want the tool's name, which only the call has.
        if let Some(name) = message.name.as_deref().or_else(|| called.get(id.as_str()).copied()) {
            out.insert("name".into(), json!(name));
        }
    }
    Ok(out.into())
}

fn content(request: &CompletionRequest<'_>, at: usize, message: &Message) -> Result<Value, UnsupportedField> {
    let Content::Parts(parts) = &message.content else { return Ok(json!(message.joined_text())) };
    if parts.iter().all(|part| matches!(part, Part::Text { .. })) {
        return Ok(json!(message.joined_text()));
    }
    let mut out = Vec::with_capacity(parts.len());
    for (place, part) in parts.iter().enumerate() {
        let other = match part {
            Part::Text { text, .. } => json!({"type": "text", "text": text}),
            Part::Other(raw) => serde_json::from_str::<Value>(raw.get()).unwrap_or_default(),
        };
        match other["type"].as_str() {
            Some("text" | "image_url") => out.push(other),
            _ => request.refuse_or_drop(
                format!("messages[{at}].content[{place}]"),
                "is neither text nor an image, and this provider takes nothing else",
            )?,
        }
    }
    Ok(out.into())
}

fn json_of<T: serde::Serialize>(value: &T) -> Json {
    to_raw_value(value).expect("values with names for keys are JSON")
}
