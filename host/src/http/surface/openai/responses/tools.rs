//! `tools` and `tool_choice`: flat here, nested in the chat endpoint. Tools that the client runs are taken: functions, custom tools, those of a
//! namespace, its local shell. Tools that OpenAI's servers run have no counterpart; clients offer them unasked, so they are left out, and refused
//! only if one of them must be called. The response repeats what was taken.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::echo::Echo;
use super::field::{need, read};
use super::names::Names;
use crate::chat::Json;
use crate::chat::codec::raw_json;
use crate::http::error::Refusal;

/// The kind of an input item that offers tools.
pub(super) const ADDITIONAL: &str = "additional_tools";

#[derive(Deserialize)]
struct Tool<'a> {
    name: Option<String>,
    description: Option<String>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    strict: Option<bool>,
    /// Of a custom tool.
    format: Option<Value>,
    /// Of a namespace.
    #[serde(borrow)]
    tools: Option<Vec<&'a RawValue>>,
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

/// The list in the chat endpoint's form; none if nothing of it is left. The input may add tools in items of its own; one that is there already
/// takes the other's place.
pub(super) fn tools(
    tools: Option<&RawValue>,
    input: Option<&RawValue>,
    names: &mut Names,
    echo: &mut Echo,
) -> Result<Option<Json>, Refusal> {
    let list: Vec<&RawValue> = tools.map(|json| read::<Option<_>>("tools", json)).transpose()?.flatten().unwrap_or_default();
    let own = list.len();
    let list = list.into_iter().enumerate().map(|(index, json)| (format!("tools[{index}]"), json)).chain(additional(input)?);
    let mut offered = Vec::with_capacity(own);
    for (at, json) in list {
        let Kind { r#type } = read(&at, json)?;
        let tool: Tool<'_> = if ["function", "custom", "namespace"].contains(&r#type.as_str()) { read(&at, json)? } else { Tool::none() };
        if r#type == "function" || r#type == "custom" {
            names.plain(need(&at, "name", tool.name.as_ref())?);
        }
        offered.push((at, r#type, tool, json));
    }
    let mut list = Offered { names, sent: Vec::new(), places: HashMap::new(), echoed: Vec::new() };
    for (at, r#type, tool, json) in &offered[..own] {
        list.tool(at, r#type, tool, json)?;
    }
    echo.set("tools", &std::mem::take(&mut list.echoed));
    for (at, r#type, tool, json) in &offered[own..] {
        list.tool(at, r#type, tool, json)?;
    }
    let sent = list.sent;
    Ok((!sent.is_empty()).then(|| raw_json(&sent)))
}

/// The tools in items of the input, each with its path.
fn additional(input: Option<&RawValue>) -> Result<Vec<(String, &RawValue)>, Refusal> {
    #[derive(Deserialize)]
    struct Item<'a> {
        r#type: Option<String>,
        #[serde(borrow)]
        tools: Option<&'a RawValue>,
    }
    let mut found = Vec::new();
    // Few inputs hold any, and a long one is best not read twice.
    let Some(input) = input.filter(|input| input.get().starts_with('[') && input.get().contains(ADDITIONAL)) else { return Ok(found) };
    for (index, json) in read::<Vec<&RawValue>>("input", input)?.into_iter().enumerate() {
        // An item of another form is for the reader of the input to refuse.
        let Ok(Item { r#type: Some(kind), tools: Some(tools) }) = serde_json::from_str::<Item<'_>>(json.get()) else { continue };
        if kind == ADDITIONAL {
            let at = format!("input[{index}].tools");
            let list: Vec<&RawValue> = read(&at, tools)?;
            found.extend(list.into_iter().enumerate().map(|(place, json)| (format!("{at}[{place}]"), json)));
        }
    }
    Ok(found)
}

struct Offered<'a> {
    names: &'a mut Names,
    sent: Vec<Json>,
    /// Where in `sent` each name stands.
    places: HashMap<String, usize>,
    /// What the response repeats.
    echoed: Vec<Json>,
}

impl Offered<'_> {
    fn tool(&mut self, at: &str, kind: &str, tool: &Tool<'_>, json: &RawValue) -> Result<(), Refusal> {
        match kind {
            "function" => {
                self.function(at, None, tool)?;
                self.echoed.push(raw_json(&echoed(tool.name.as_deref().unwrap_or_default(), tool)));
            }
            "custom" => {
                self.custom(at, None, tool)?;
                self.echoed.push(json.to_owned());
            }
            "namespace" => {
                self.namespace(at, tool)?;
                self.echoed.push(json.to_owned());
            }
            "local_shell" => {
                let name = self.names.local_shell();
                self.send(&name, local_shell(&name));
                self.echoed.push(json.to_owned());
            }
            other => tracing::debug!(tool = other, "a tool that no provider of the chat endpoint has is left out"),
        }
        Ok(())
    }

    fn send(&mut self, name: &str, tool: Json) {
        match self.places.get(name) {
            Some(place) => self.sent[*place] = tool,
            None => {
                self.places.insert(name.to_owned(), self.sent.len());
                self.sent.push(tool);
            }
        }
    }

    fn namespace(&mut self, at: &str, tool: &Tool<'_>) -> Result<(), Refusal> {
        let namespace = need(at, "name", tool.name.as_deref())?;
        for (index, json) in tool.tools.iter().flatten().enumerate() {
            let at = format!("{at}.tools[{index}]");
            let Kind { r#type } = read(&at, json)?;
            match r#type.as_str() {
                "function" => self.function(&at, Some(namespace), &read(&at, json)?)?,
                "custom" => self.custom(&at, Some(namespace), &read(&at, json)?)?,
                other => tracing::debug!(tool = other, "a tool that no provider of the chat endpoint has is left out"),
            }
        }
        Ok(())
    }

    fn function(&mut self, at: &str, namespace: Option<&str>, tool: &Tool<'_>) -> Result<(), Refusal> {
        let name = self.names.chat_name(namespace, need(at, "name", tool.name.as_deref())?);
        let Tool { description, parameters, strict, .. } = tool;
        let function = Function { name: &name, description: description.as_deref(), parameters: *parameters, strict: *strict };
        let sent = raw_json(&Sent { r#type: "function", function });
        self.send(&name, sent);
        Ok(())
    }

    fn custom(&mut self, at: &str, namespace: Option<&str>, tool: &Tool<'_>) -> Result<(), Refusal> {
        let name = self.names.chat_name(namespace, need(at, "name", tool.name.as_deref())?);
        let mut custom = json!({ "name": name });
        if let Some(description) = &tool.description {
            custom["description"] = description.as_str().into();
        }
        if let Some(format) = tool.format.as_ref().filter(|format| format.is_object()) {
            custom["format"] = if format["type"] == "grammar" {
                json!({"type": "grammar", "grammar": {"syntax": format["syntax"], "definition": format["definition"]}})
            } else {
                format.clone()
            };
        }
        self.send(&name, raw_json(&json!({"type": "custom", "custom": custom})));
        Ok(())
    }
}

impl Tool<'_> {
    /// Of a kind that is not read.
    fn none() -> Self {
        Self { name: None, description: None, parameters: None, strict: None, format: None, tools: None }
    }
}

fn echoed<'a>(name: &'a str, tool: &'a Tool<'_>) -> Echoed<'a> {
    let Tool { description, parameters, strict, .. } = tool;
    Echoed { r#type: "function", name, description: description.as_deref(), parameters: *parameters, strict: *strict }
}

/// The client's shell as a function; its properties are those of the action that the client runs.
fn local_shell(name: &str) -> Json {
    let strings = json!({"type": "array", "items": {"type": "string"}});
    let variables = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let properties =
        json!({"command": strings, "working_directory": {"type": "string"}, "timeout_ms": {"type": "integer"}, "env": variables});
    let parameters = json!({"type": "object", "properties": properties, "required": ["command"]});
    let description = "Runs a command on the user's machine and gives its output. `command` holds the program and its arguments.";
    raw_json(&json!({"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}))
}

/// The choice in the chat endpoint's form, and whether it makes no sense without tools.
pub(super) fn choice(json: &Json, names: &mut Names, echo: &mut Echo) -> Result<(Json, bool), Refusal> {
    #[derive(Deserialize)]
    struct Allowed<'a> {
        mode: String,
        #[serde(borrow)]
        tools: Vec<&'a RawValue>,
    }
    const AT: &str = "tool_choice";
    if json.get().starts_with('"') {
        let word: String = read(AT, json)?;
        if !["none", "auto", "required"].contains(&word.as_str()) {
            return Err(Refusal::field(AT, format!("`{word}` is not a choice; choices are none, auto, required and objects")));
        }
        echo.set(AT, json);
        return Ok((json.clone(), word == "required"));
    }
    let Kind { r#type } = read(AT, json)?;
    if r#type != "allowed_tools" {
        let (echoed, sent) = named(AT, json, names)?;
        echo.set(AT, &echoed);
        return Ok((raw_json(&sent), true));
    }
    let Allowed { mode, tools }: Allowed<'_> = read(AT, json)?;
    let (mut echoed, mut sent) = (Vec::new(), Vec::new());
    for (index, json) in tools.iter().enumerate() {
        let (ours, theirs) = named(&format!("{AT}.tools[{index}]"), json, names)?;
        echoed.push(ours);
        sent.push(theirs);
    }
    echo.set(AT, &json!({"type": "allowed_tools", "mode": mode, "tools": echoed}));
    Ok((raw_json(&json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": sent}})), true))
}

/// The choice of one tool: as the response repeats it, and in the chat endpoint's form.
fn named(at: &str, json: &RawValue, names: &mut Names) -> Result<(Value, Value), Refusal> {
    #[derive(Deserialize)]
    struct Named {
        name: String,
        namespace: Option<String>,
    }
    let Kind { r#type } = read(at, json)?;
    match r#type.as_str() {
        kind @ ("function" | "custom") => {
            let Named { name, namespace } = read(at, json)?;
            let chat = names.chat_name(namespace.as_deref(), &name);
            let mut echoed = json!({"type": kind, "name": name});
            if let Some(namespace) = namespace {
                echoed["namespace"] = namespace.into();
            }
            Ok((echoed, json!({"type": kind, kind: {"name": chat}})))
        }
        "local_shell" => Ok((json!({"type": "local_shell"}), json!({"type": "function", "function": {"name": names.local_shell()}}))),
        other => {
            let message = format!(
                "`{other}` cannot be chosen: this server has no tools of its own; choose a tool that the client runs, of the type function or custom"
            );
            Err(Refusal::field(format!("{at}.type"), message))
        }
    }
}
