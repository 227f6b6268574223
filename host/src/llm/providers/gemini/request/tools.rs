//! What the model may call, and whether it must. `strict` is not sent: Gemini has no such promise for functions.
//! Must not know how a schema is cleaned. Source: Gemini API reference, `Tool` and `ToolConfig`, <https://ai.google.dev/api/caching#Tool>.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::params::{Params, read};
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::providers::gemini::schema::{Budget, cleaned};
use crate::llm::tree::Tree;

/// Characters of a name that an error shows.
const NAME_CHARS: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tool<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
struct Declaration<'a> {
    name: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Tree>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    function_calling_config: Calling,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling {
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed_function_names: Option<[String; 1]>,
}

#[derive(Deserialize)]
struct Given<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    function: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    description: Option<Cow<'a, str>>,
    parameters: Option<Tree>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Choice {
    Mode(String),
    Named { function: Named },
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// All functions in one tool, as Gemini wants them; none where there are none.
pub(super) fn tool<'a>(
    request: &CompletionRequest<'a>,
    params: &Params<'a>,
    budget: &mut Budget,
) -> Result<Option<Tool<'a>>, UnsupportedField> {
    let parallel = params.get("parallel_tool_calls")?.unwrap_or(true);
    let mut declarations = Vec::new();
    for (at, json) in params.get::<Vec<&'a RawValue>>("tools")?.unwrap_or_default().into_iter().enumerate() {
        let param = format!("tools[{at}]");
        let given: Given<'a> = read(json, &param)?;
        match (&*given.kind, given.function) {
            ("function", Some(function)) => declarations.push(declaration(function, &format!("{param}.function"), budget)?),
            ("function", None) => return Err(unfit(format!("{param}.function"), "is missing")),
            (other, _) => request.refuse_or_drop(format!("{param}.type"), format!("is `{other}`; Gemini can be given functions only"))?,
        }
    }
    if declarations.len() > 1 && !parallel {
        request.refuse_or_drop(
            "parallel_tool_calls",
            "is false, and Gemini may call several functions at once; offer one function at a time",
        )?;
    }
    Ok(Some(Tool { function_declarations: declarations }).filter(|tool| !tool.function_declarations.is_empty()))
}

fn declaration<'a>(json: &'a RawValue, param: &str, budget: &mut Budget) -> Result<Declaration<'a>, UnsupportedField> {
    let Function { name, description, parameters } = read(json, param)?;
    let param = format!("{param}.parameters");
    let parameters = match parameters {
        None | Some(Tree::Null) => None,
        Some(schema) if is_object(&schema) => Some(cleaned(&schema, &param, false, budget)?),
        Some(_) => return Err(unfit(param, "must be the schema of an object, whose properties are the parameters")),
    };
    // An object without properties is refused ("should be non-empty for OBJECT type").
    let parameters = parameters.filter(|schema| schema.get("properties").is_some() || schema.get("anyOf").is_some());
    Ok(Declaration { name, description, parameters })
}

/// Whether a schema is an object's, or leaves that open.
fn is_object(schema: &Tree) -> bool {
    match (schema, schema.get("type")) {
        (Tree::Object(_), None) => true,
        (_, Some(Tree::Text(name))) => name == "object",
        (_, Some(Tree::List(names))) => names.contains(&Tree::text("object")),
        _ => false,
    }
}

/// `tool_choice`; without a word of it the model chooses.
pub(super) fn config(params: &Params<'_>, tool: Option<&Tool<'_>>) -> Result<Option<Config>, UnsupportedField> {
    let Some(choice) = params.raw("tool_choice") else { return Ok(None) };
    let wrong = || unfit("tool_choice", "must be none, auto, required or {\"type\": \"function\", \"function\": {\"name\"}}");
    let (mode, name) = match read(choice, "tool_choice").map_err(|_| wrong())? {
        Choice::Mode(mode) => match &*mode {
            "none" => ("NONE", None),
            "auto" => ("AUTO", None),
            "required" => ("ANY", None),
            _ => return Err(wrong()),
        },
        Choice::Named { function } => ("ANY", Some([function.name])),
    };
    let known = |name: &String| tool.is_none_or(|tool| tool.function_declarations.iter().any(|function| function.name == *name));
    if let Some([name]) = name.as_ref().filter(|[name]| !known(name)) {
        let name: String = name.chars().take(NAME_CHARS).collect();
        return Err(unfit("tool_choice", &format!("names `{name}`, which is none of `tools`")));
    }
    match (tool.is_some(), mode) {
        (true, _) => Ok(Some(Config { function_calling_config: Calling { mode, allowed_function_names: name } })),
        (false, "ANY") => Err(unfit("tool_choice", "asks for a call, and `tools` holds no function")),
        (false, _) => Ok(None),
    }
}

fn unfit(param: impl Into<String>, message: &str) -> UnsupportedField {
    UnsupportedField { param: param.into(), message: message.to_owned() }
}
