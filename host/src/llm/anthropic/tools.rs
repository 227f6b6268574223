//! Tools, the choice among them, and their names: Anthropic takes fewer characters than OpenAI's clients send, so names are changed on the
//! way out and changed back on the way in. Source: Anthropic's "Define tools". Must not know messages.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::content::unfit;
use super::models::Model;
use super::schema;
use super::tree::Tree;
use crate::chat::Json;
use crate::llm::adapter::{Ask, Unfit};

/// Bytes of a name.
const NAME_BYTES: usize = 128;

/// Names as Anthropic takes them, one for each name of the client's.
#[derive(Debug, Default)]
pub(super) struct Names {
    wires: HashMap<String, String>,
    taken: HashSet<String>,
}

impl Names {
    /// Keeps a name for ourselves.
    pub(super) fn reserve(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// The wire's name for the client's: the same one if it can be.
    pub(super) fn wire(&mut self, name: &str) -> String {
        if let Some(wire) = self.wires.get(name) {
            return wire.clone();
        }
        let wire = fresh(name, NAME_BYTES, &mut self.taken);
        self.wires.insert(name.to_owned(), wire.clone());
        wire
    }

    /// Whether the client's name has come up.
    pub(super) fn know(&self, name: &str) -> bool {
        self.wires.contains_key(name)
    }

    /// The client's names by the wire's, of those that differ.
    pub(super) fn back(self) -> HashMap<String, String> {
        self.wires.into_iter().filter(|(name, wire)| name != wire).map(|(name, wire)| (wire, name)).collect()
    }
}

/// `name` in letters, digits, `_` and `-`, at most `bytes` long, and unlike all that is taken.
pub(super) fn fresh(name: &str, bytes: usize, taken: &mut HashSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let base: String = name.chars().map(plain).take(bytes).collect();
    let base = if base.is_empty() { "_".to_owned() } else { base };
    let mut wire = base.clone();
    let mut count = 1;
    while !taken.insert(wire.clone()) {
        count += 1;
        let tail = format!("_{count}");
        wire = format!("{}{tail}", &base[..base.len().min(bytes - tail.len())]);
    }
    wire
}

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

/// The client's tools. `strict` is kept where the model can hold its calls to a schema; elsewhere it is a wish that nobody can grant, and
/// OpenAI's own libraries set it unasked, so it is left out without a word.
pub(super) fn tools(ask: &Ask<'_>, model: Model, given: &[Json], names: &mut Names) -> Result<Vec<Tool>, Unfit> {
    let mut tools = Vec::with_capacity(given.len());
    for (at, json) in given.iter().enumerate() {
        let path = format!("tools[{at}]");
        let tool: Given = serde_json::from_str(json.get()).map_err(|error| unfit(&path, format!("is no tool: {error}")))?;
        match tool.function {
            Some(Function { name, description, parameters, strict }) if tool.kind == "function" => {
                let strict = strict == Some(true) && model.takes_schema();
                let input_schema = schema::input(parameters);
                let input_schema = if strict { schema::strict(input_schema) } else { input_schema };
                let description = description.filter(|text| !text.trim().is_empty());
                tools.push(Tool { name: names.wire(&name), description, input_schema, strict, cache_control: tool.cache_control });
            }
            _ => ask.cannot(path, format!("is a tool of the type `{}`; Anthropic takes functions only", tool.kind))?,
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
    pub(super) fn read(ask: &Ask<'_>, given: Option<&Value>) -> Result<Option<Self>, Unfit> {
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
                ask.cannot("tool_choice", format!("is of the type `{kind}`; Anthropic takes auto, none, required or a function"))?;
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
            Self::Answer => json!({"type": "tool", "name": super::format::TOOL}),
        };
        if one {
            wire["disable_parallel_tool_use"] = json!(true);
        }
        wire
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c20_names_with_dots_and_slashes_round_trip() {
        let mut names = Names::default();
        let wires: Vec<String> = ["plain-1_a", "fs.read/now", "fs/read.now", "größe", "", "plain-1_a"].map(|name| names.wire(name)).into();
        assert_eq!(wires, ["plain-1_a", "fs_read_now", "fs_read_now_2", "gr__e", "_", "plain-1_a"]);
        let back = names.back();
        assert_eq!((back.len(), back["fs_read_now"].as_str(), back["fs_read_now_2"].as_str()), (4, "fs.read/now", "fs/read.now"));
    }

    #[test]
    fn long_names_stay_apart() {
        let mut names = Names::default();
        let (a, b) = (names.wire(&"x".repeat(200)), names.wire(&"x".repeat(201)));
        assert_eq!((a.len(), b.len()), (NAME_BYTES, NAME_BYTES));
        assert!(a != b && b.ends_with("x_2"), "{b}");
    }

    #[test]
    fn a_name_that_is_ours_is_changed() {
        let mut names = Names::default();
        names.reserve("json_tool_call");
        assert_eq!(names.wire("json_tool_call"), "json_tool_call_2");
    }
}
