//! Tools and the choice among them. Sources: Anthropic's "Define tools", "Strict tool use"; OpenAI API reference, `tools`, `tool_choice`.
//! Must not know messages.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::content::unfit;
use super::format::TOOL;
use super::holdable::holdable;
use super::models::Model;
use super::names::Names;
use super::schema;
use crate::chat::Json;
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::tree::{Tree, field};

/// A tool on the wire.
#[derive(Debug, Serialize)]
pub(super) struct Tool {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    pub(super) input_schema: Tree,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) strict: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<Json>,
}

/// A tool as OpenAI's clients define it.
#[derive(Deserialize)]
struct Given {
    #[serde(rename = "type")]
    kind: String,
    function: Option<Function>,
    cache_control: Option<Json>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    description: Option<String>,
    parameters: Option<Tree>,
    strict: Option<bool>,
}

/// Whether a schema can be that of a call's arguments.
fn is_input(schema: &Tree) -> bool {
    matches!(schema, Tree::Object(object) if field(object, "type").and_then(Tree::as_str).is_none_or(|kind| kind == "object"))
}

/// The client's tools. `strict` is kept where the model can hold its calls to the schema; elsewhere it is a wish that nobody can grant, and
/// OpenAI's own libraries set it unasked, so it is left out without a word.
pub(super) fn tools(
    request: &CompletionRequest<'_>,
    model: Model,
    given: &[Json],
    names: &mut Names,
) -> Result<Vec<Tool>, UnsupportedField> {
    let mut tools = Vec::with_capacity(given.len());
    for (at, json) in given.iter().enumerate() {
        let path = format!("tools[{at}]");
        let tool: Given = serde_json::from_str(json.get()).map_err(|error| unfit(&path, format!("is no tool: {error}")))?;
        match tool.function {
            Some(Function { name, description, parameters, strict }) if tool.kind == "function" => {
                if parameters.as_ref().is_some_and(|parameters| !is_input(parameters)) {
                    return Err(unfit(format!("{path}.function.parameters"), "must be a JSON schema of the type `object`"));
                }
                let input_schema = schema::input(parameters);
                let strict = strict == Some(true) && model.takes_schema() && holdable(&input_schema);
                let input_schema = if strict { schema::strict(input_schema) } else { input_schema };
                let description = description.filter(|text| !text.trim().is_empty());
                tools.push(Tool { name: names.wire(&name), description, input_schema, strict, cache_control: tool.cache_control });
            }
            _ => request.refuse_or_drop(path, format!("is a tool of the type `{}`; Anthropic takes functions only", tool.kind))?,
        }
    }
    Ok(tools)
}

/// What stands in for tools where the history has calls and the request no tools: the API refuses such a history.
pub(super) fn stand_in(names: &mut Names) -> Tool {
    Tool {
        name: names.wire("no_tool"),
        description: Some("Stands for the tools of earlier turns, which are gone. Never call it.".to_owned()),
        input_schema: schema::input(None),
        strict: false,
        cache_control: None,
    }
}

/// Which tools a reply may or must call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Auto,
    None,
    Any,
    /// By the client's name.
    Named(String),
    /// The tool that takes the answer.
    Answer,
}

impl Choice {
    /// Reads `tool_choice`; none where it is absent.
    pub(super) fn read(request: &CompletionRequest<'_>, given: Option<&Value>) -> Result<Option<Self>, UnsupportedField> {
        let Some(given) = given else { return Ok(None) };
        if let Some(name) = given["function"]["name"].as_str().filter(|_| given["type"] == "function") {
            return Ok(Some(Self::Named(name.to_owned())));
        }
        match given.as_str() {
            Some("auto") => Ok(Some(Self::Auto)),
            Some("none") => Ok(Some(Self::None)),
            Some("required") => Ok(Some(Self::Any)),
            _ if given.is_object() => {
                let kind = given["type"].as_str().unwrap_or("?");
                request.refuse_or_drop(
                    "tool_choice",
                    format!("is of the type `{kind}`; Anthropic takes auto, none, required or a function"),
                )?;
                Ok(None)
            }
            _ => Err(unfit("tool_choice", "must be auto, none, required or {\"type\": \"function\", \"function\": {\"name\": …}}")),
        }
    }

    /// Whether the reply must be a call.
    pub(super) fn forces(&self) -> bool {
        matches!(self, Self::Any | Self::Named(_) | Self::Answer)
    }

    /// As the wire says it, `one`: at most one call a reply.
    pub(super) fn wire(&self, names: &mut Names, one: bool) -> Value {
        let mut wire = match self {
            Self::Auto => json!({"type": "auto"}),
            Self::None => return json!({"type": "none"}),
            Self::Any => json!({"type": "any"}),
            Self::Named(name) => json!({"type": "tool", "name": names.wire(name)}),
            Self::Answer => json!({"type": "tool", "name": TOOL}),
        };
        if one {
            wire["disable_parallel_tool_use"] = json!(true);
        }
        wire
    }
}
