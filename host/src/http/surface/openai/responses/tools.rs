//! `tools` and `tool_choice`: flat here, nested in the chat endpoint. Only functions are taken, for the server runs no tools of its own.
//! The response repeats them as they were sent.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::echo::Echo;
use super::field::{need, read};
use crate::chat::Json;
use crate::chat::codec::raw_json;
use crate::http::error::Refusal;

#[derive(Deserialize)]
struct Tool<'a> {
    name: Option<String>,
    description: Option<String>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    strict: Option<bool>,
}

#[derive(Serialize)]
struct Echoed<'a> {
    r#type: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    parameters: Option<&'a RawValue>,
    strict: Option<bool>,
}

#[derive(Serialize)]
struct Sent<'a> {
    r#type: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

/// The list in the chat endpoint's form; none if it is empty.
pub(super) fn tools(json: &Json, echo: &mut Echo) -> Result<Option<Json>, Refusal> {
    let list: Vec<&RawValue> = read::<Option<_>>("tools", json)?.unwrap_or_default();
    let mut tools: Vec<Tool<'_>> = Vec::with_capacity(list.len());
    for (index, json) in list.iter().enumerate() {
        let at = format!("tools[{index}]");
        only_functions(&at, json)?;
        let tool: Tool<'_> = read(&at, json)?;
        need(&at, "name", tool.name.as_ref())?;
        tools.push(tool);
    }
    let named = tools.iter().map(|tool| (tool.name.as_deref().unwrap_or_default(), tool));
    echo.set("tools", &named.clone().map(|(name, tool)| echoed(name, tool)).collect::<Vec<_>>());
    Ok((!tools.is_empty()).then(|| raw_json(&named.map(|(name, tool)| sent(name, tool)).collect::<Vec<_>>())))
}

fn echoed<'a>(name: &'a str, tool: &'a Tool<'_>) -> Echoed<'a> {
    let Tool { description, parameters, strict, .. } = tool;
    Echoed { r#type: "function", name, description: description.as_deref(), parameters: *parameters, strict: *strict }
}

fn sent<'a>(name: &'a str, tool: &'a Tool<'_>) -> Sent<'a> {
    let Tool { description, parameters, strict, .. } = tool;
    let function = Function { name, description: description.as_deref(), parameters: *parameters, strict: *strict };
    Sent { r#type: "function", function }
}

fn only_functions(at: &str, json: &RawValue) -> Result<(), Refusal> {
    let Kind { r#type } = read(at, json)?;
    if r#type == "function" {
        return Ok(());
    }
    let message = format!("`{type}` is a tool of OpenAI's own; this server takes tools of type `function`, which the client runs");
    Err(Refusal::field(format!("{at}.type"), message))
}

/// The choice in the chat endpoint's form, and whether it makes no sense without tools.
pub(super) fn choice(json: &Json, echo: &mut Echo) -> Result<(Json, bool), Refusal> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    #[derive(Deserialize)]
    struct Allowed<'a> {
        mode: String,
        #[serde(borrow)]
        tools: Vec<&'a RawValue>,
    }
    const AT: &str = "tool_choice";
    let function = |name: &str| serde_json::json!({"type": "function", "function": {"name": name}});
    if json.get().starts_with('"') {
        let word: String = read(AT, json)?;
        if !["none", "auto", "required"].contains(&word.as_str()) {
            return Err(Refusal::field(AT, format!("`{word}` is not a choice; choices are none, auto, required and objects")));
        }
        echo.set(AT, json);
        return Ok((json.clone(), word == "required"));
    }
    let Kind { r#type } = read(AT, json)?;
    let (echoed, sent) = match r#type.as_str() {
        "function" => {
            let Named { name } = read(AT, json)?;
            (serde_json::json!({"type": "function", "name": name}), function(&name))
        }
        "allowed_tools" => {
            let Allowed { mode, tools }: Allowed<'_> = read(AT, json)?;
            let (mut echoed, mut sent) = (Vec::new(), Vec::new());
            for (index, json) in tools.iter().enumerate() {
                let at = format!("{AT}.tools[{index}]");
                only_functions(&at, json)?;
                let Named { name } = read(&at, json)?;
                echoed.push(serde_json::json!({"type": "function", "name": name}));
                sent.push(function(&name));
            }
            let sent = serde_json::json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": sent}});
            (serde_json::json!({"type": "allowed_tools", "mode": mode, "tools": echoed}), sent)
        }
        other => {
            let message = format!("`{other}` is not a choice here; this server takes functions and allowed_tools of functions");
            return Err(Refusal::field(format!("{AT}.type"), message));
        }
    };
    echo.set(AT, &echoed);
    Ok((raw_json(&sent), true))
}
