//! Custom tools, whose input is a text of any form, as functions of one string, for vendors that know functions alone. What the client defined,
//! a grammar included, stands in the function's description.
//! Source: OpenAI API reference, "Create chat completion", `tools`, custom tool.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::input::INPUT;
use super::param::param;
use crate::chat::codec::{parse_fields, raw_json};
use crate::chat::{Fields, FunctionCall, Json, Message, ToolCall};

/// The word that is in every custom tool, so that requests without it are not read.
const MARK: &str = "\"custom\"";

/// What the model is told of the property.
const INPUT_NOTE: &str = "Put the whole text, as it is, into `input`.";

/// Rewrites custom tools, the choice among them and calls of them in the history. Gives the names of the tools that were rewritten.
pub(super) fn as_functions(messages: &mut Cow<'_, [Message]>, params: &mut Cow<'_, Fields>) -> HashSet<String> {
    let mut names = HashSet::new();
    if let Some(tools) = param(params, "tools").filter(|tools| tools.contains(MARK))
        && let Ok(tools) = serde_json::from_str::<Vec<Json>>(tools)
    {
        let tools: Vec<Json> = tools.into_iter().map(|tool| function(&tool, &mut names).unwrap_or(tool)).collect();
        set(params, "tools", raw_json(&tools));
    }
    if let Some(choice) = param(params, "tool_choice").filter(|choice| choice.contains(MARK))
        && let Some(choice) = serde_json::from_str(choice).ok().map(choice_of_function)
    {
        set(params, "tool_choice", raw_json(&choice));
    }
    if messages.iter().any(|message| message.tool_calls.iter().any(|call| read(call).is_some())) {
        for message in messages.to_mut() {
            for call in &mut message.tool_calls {
                if let Some(function) = read(call) {
                    *call = ToolCall::Function(function);
                }
            }
        }
    }
    names
}

fn set(params: &mut Cow<'_, Fields>, name: &str, value: Json) {
    if let Some((_, place)) = params.to_mut().iter_mut().find(|(key, _)| key == name) {
        *place = value;
    }
}

/// The function for a custom tool; none if it is another tool.
fn function(tool: &Json, names: &mut HashSet<String>) -> Option<Json> {
    let mut tool: Value = serde_json::from_str(tool.get()).ok()?;
    if tool["type"] != "custom" {
        return None;
    }
    let custom = tool["custom"].take();
    let name = custom["name"].as_str()?;
    let described = [custom["description"].as_str().map(str::to_owned), Some(INPUT_NOTE.to_owned()), grammar(&custom["format"])];
    let function = json!({
        "name": name,
        "description": described.into_iter().flatten().filter(|text| !text.trim().is_empty()).collect::<Vec<_>>().join("\n\n"),
        "parameters": {"type": "object", "properties": {INPUT: {"type": "string"}}, "required": [INPUT], "additionalProperties": false},
    });
    names.insert(name.to_owned());
    let fields = tool.as_object_mut()?;
    // What else the client says of the tool, such as a mark for the provider's cache, stays.
    fields.shift_remove("custom");
    fields.insert("type".to_owned(), "function".into());
    fields.insert("function".to_owned(), function);
    Some(raw_json(&tool))
}

/// What the text must look like, in words.
fn grammar(format: &Value) -> Option<String> {
    let grammar = &format["grammar"];
    let (syntax, definition) = (grammar["syntax"].as_str()?, grammar["definition"].as_str()?);
    Some(format!("`input` must match this grammar ({syntax}):\n{definition}"))
}

fn choice_of_function(mut choice: Value) -> Value {
    let named = |choice: &Value| json!({"type": "function", "function": {"name": choice["custom"]["name"]}});
    if choice["type"] == "custom" {
        return named(&choice);
    }
    for tool in choice["allowed_tools"]["tools"].as_array_mut().into_iter().flatten() {
        if tool["type"] == "custom" {
            *tool = named(tool);
        }
    }
    choice
}

/// The call of a custom tool as that of a function; none if it is another call.
fn read(call: &ToolCall) -> Option<FunctionCall> {
    #[derive(Deserialize)]
    struct Wire {
        id: String,
        custom: Custom,
    }
    #[derive(Deserialize)]
    struct Custom {
        name: String,
        #[serde(default)]
        input: String,
    }
    let ToolCall::Other(json) = call else { return None };
    let Wire { id, custom: Custom { name, input } } =
        Some(json.get()).filter(|json| json.contains(MARK)).and_then(|json| serde_json::from_str(json).ok())?;
    let mut extra = parse_fields(json.get().as_bytes()).unwrap_or_default();
    extra.retain(|(name, _)| !["id", "type", "index", "custom"].contains(&name.as_str()));
    Some(FunctionCall { id, name, arguments: json!({ INPUT: input }).to_string(), extra })
}
