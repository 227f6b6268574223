//! Tools and the choice among them, and `response_format`: output that is held to a schema if the model can do that, otherwise a tool that the
//! model must call with its answer, which becomes content again. A name or a wrapper that is put on here comes off here.
//! Sources: Anthropic's "Define tools", "Strict tool use", "Structured outputs"; OpenAI API reference, `tools`, `tool_choice`, `response_format`.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::model::Model;
use super::schema::{self, is_enforceable};
use super::search::is_of_the_vendor;
use crate::chat::Json;
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::tool_keys::{KeyRule, Keys};
use crate::llm::tool_names::{NameRule, ToolNames};

/// Bytes of a tool's name.
const NAME_BYTES: usize = 128;

/// The names that the API takes.
pub(super) const NAMES: NameRule = NameRule { bytes: NAME_BYTES, begins: is_plain, goes_on: is_plain };

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// The tool whose input is the answer.
pub(super) const ANSWER_TOOL: &str = "json_tool_call";

/// The property that holds an answer which is no object, because a tool's input must be an object.
const WRAPPER: &str = "values";

/// Bytes of an answer that are held back to be unwrapped; a longer one goes out as it came.
const HELD_BYTES: usize = 4 << 20;

/// How a wrapped answer begins, white space aside: [`WRAPPER`] as the first field.
const WRAPPED: &[u8] = b"{\"values\":";

/// A tool as it is sent.
#[derive(Debug, Serialize)]
pub(super) struct Tool {
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    pub(super) input_schema: Value,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) strict: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<Json>,
}

/// A tool as OpenAI's clients define it.
#[derive(Deserialize)]
struct OfferedTool {
    #[serde(rename = "type")]
    kind: String,
    function: Option<Function>,
    cache_control: Option<Json>,
}

#[derive(Deserialize)]
struct Function {
    cache_control: Option<Json>,
    name: String,
    description: Option<String>,
    parameters: Option<Value>,
    strict: Option<bool>,
}

/// Whether a schema can be that of a call's arguments, which are an object.
fn takes_objects(schema: &Value) -> bool {
    let is_object = |kind: &Value| kind == "object";
    schema.as_object().is_some_and(|schema| match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(is_object),
        kind => kind.is_none_or(is_object),
    })
}

/// The keys of properties that the API takes.
const KEYS: KeyRule = KeyRule { bytes: 64, takes: is_key };

fn is_key(c: char) -> bool {
    is_plain(c) || c == '.'
}

/// Keys of tools that were changed, by the tools' names on the wire.
pub(super) type ToolKeys = HashMap<String, Keys>;

/// The client's tools, and which of their keys were changed. `strict` is kept if the model can hold its calls to the schema. Otherwise it is left
/// out without an error, because OpenAI's own libraries set it unasked.
pub(super) fn tools(
    request: &CompletionRequest<'_>,
    model: Model,
    offered: &[Json],
    names: &mut ToolNames,
) -> Result<(Vec<Tool>, ToolKeys), UnsupportedField> {
    let (mut tools, mut changed) = (Vec::with_capacity(offered.len()), ToolKeys::new());
    for (at, json) in offered.iter().enumerate() {
        let path = format!("tools[{at}]");
        let tool: OfferedTool =
            serde_json::from_str(json.get()).map_err(|error| UnsupportedField::new(&path, format!("is no tool: {error}")))?;
        match tool.function {
            Some(Function { name, description, parameters, strict, cache_control }) if tool.kind == "function" => {
                if parameters.as_ref().is_some_and(|parameters| !takes_objects(parameters)) {
                    return Err(UnsupportedField::new(format!("{path}.function.parameters"), "must be a JSON schema of the type `object`"));
                }
                let mut input_schema = schema::input(parameters);
                let (name, keys) = (names.wire_name(&name), KEYS.apply(&mut input_schema));
                if !keys.is_empty() {
                    changed.insert(name.clone(), keys);
                }
                let strict = strict == Some(true) && model.takes_schema() && is_enforceable(&input_schema);
                let input_schema = if strict { schema::strict(input_schema) } else { input_schema };
                let description = description.filter(|text| !text.trim().is_empty());
                tools.push(Tool { name, description, input_schema, strict, cache_control: tool.cache_control.or(cache_control) });
            }
            // It is sent as it is.
            _ if is_of_the_vendor(&tool.kind) => {}
            _ => request.refuse_or_drop(path, format!("is a tool of the type `{}`; Anthropic takes functions only", tool.kind))?,
        }
    }
    Ok((tools, changed))
}

/// The only tool of a request without tools whose history has calls: the API refuses such a history without any.
pub(super) fn placeholder(names: &mut ToolNames) -> Tool {
    Tool {
        name: names.wire_name("no_tool"),
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
    /// Reads `tool_choice`; none if it is absent.
    pub(super) fn read(request: &CompletionRequest<'_>, tool_choice: Option<&Value>) -> Result<Option<Self>, UnsupportedField> {
        let Some(choice) = tool_choice else { return Ok(None) };
        if let Some(name) = choice["function"]["name"].as_str().filter(|_| choice["type"] == "function") {
            return Ok(Some(Self::Named(name.to_owned())));
        }
        match choice.as_str() {
            Some("auto") => Ok(Some(Self::Auto)),
            Some("none") => Ok(Some(Self::None)),
            Some("required") => Ok(Some(Self::Any)),
            _ if choice.is_object() => {
                let kind = choice["type"].as_str().unwrap_or("?");
                request.refuse_or_drop(
                    "tool_choice",
                    format!("is of the type `{kind}`; Anthropic takes auto, none, required or a function"),
                )?;
                Ok(None)
            }
            _ => Err(UnsupportedField::new(
                "tool_choice",
                "must be auto, none, required or {\"type\": \"function\", \"function\": {\"name\": …}}",
            )),
        }
    }

    /// Whether the reply must be a call.
    pub(super) fn forces(&self) -> bool {
        matches!(self, Self::Any | Self::Named(_) | Self::Answer)
    }

    /// As it is sent. `one_call`: a reply may hold at most one call.
    pub(super) fn json(&self, names: &mut ToolNames, one_call: bool) -> Value {
        let mut json = match self {
            Self::Auto => json!({"type": "auto"}),
            Self::None => return json!({"type": "none"}),
            Self::Any => json!({"type": "any"}),
            Self::Named(name) => json!({"type": "tool", "name": names.wire_name(name)}),
            Self::Answer => json!({"type": "tool", "name": ANSWER_TOOL}),
        };
        if one_call {
            json["disable_parallel_tool_use"] = json!(true);
        }
        json
    }
}

/// How the answer gets its format.
#[derive(Debug)]
pub(super) enum Format {
    Text,
    /// `output_config.format`.
    Schema(Value),
    /// The input of [`ANSWER_TOOL`].
    Tool {
        tool: Box<Tool>,
        wrapping: Wrapping,
    },
}

#[derive(Deserialize)]
struct ResponseFormat {
    #[serde(rename = "type")]
    kind: String,
    json_schema: Option<Schema>,
}

#[derive(Deserialize)]
struct Schema {
    description: Option<String>,
    schema: Option<Value>,
}

impl Format {
    pub(super) fn read(response_format: Option<&Json>, model: Model) -> Result<Self, UnsupportedField> {
        let Some(json) = response_format else { return Ok(Self::Text) };
        let format: ResponseFormat = serde_json::from_str(json.get())
            .map_err(|error| UnsupportedField::new("response_format", format!("is not as it must be: {error}")))?;
        match (format.kind.as_str(), format.json_schema) {
            ("text", _) => Ok(Self::Text),
            // "Any object" is no schema that output can be held to.
            ("json_object", _) => Ok(Self::as_tool(None, None)),
            ("json_schema", Some(Schema { description, schema })) => match schema.map(schema::definitions) {
                Some(schema) if model.takes_schema() && is_enforceable(&schema) => Ok(Self::Schema(schema::strict(schema))),
                schema => Ok(Self::as_tool(schema, description)),
            },
            ("json_schema", None) => Err(UnsupportedField::new("response_format.json_schema", "is missing")),
            (kind, _) => {
                Err(UnsupportedField::new("response_format.type", format!("is `{kind}`; it must be text, json_object or json_schema")))
            }
        }
    }

    fn as_tool(schema: Option<Value>, description: Option<String>) -> Self {
        let (object, wrapping) = match schema {
            None => (Map::from_iter([("additionalProperties".to_owned(), json!(true))]), Wrapping::Never),
            Some(Value::Object(object)) if is_object_schema(&object) => {
                let wrapping = if has_property(&object, WRAPPER) { Wrapping::Never } else { Wrapping::Unrequested };
                (object, wrapping)
            }
            Some(schema) => (wrapped(schema), Wrapping::Requested),
        };
        let task = "Call this tool with your whole answer as its input.";
        let description = description.map_or_else(|| task.to_owned(), |text| format!("{task} {text}"));
        let input_schema = schema::input(Some(Value::Object(object)));
        let tool = Tool { name: ANSWER_TOOL.to_owned(), description: Some(description), input_schema, strict: false, cache_control: None };
        Self::Tool { tool: Box::new(tool), wrapping }
    }
}

fn has_property(schema: &Map<String, Value>, name: &str) -> bool {
    schema.get("properties").and_then(Value::as_object).is_some_and(|properties| properties.contains_key(name))
}

/// Whether a schema is of objects and nothing else.
fn is_object_schema(schema: &Map<String, Value>) -> bool {
    match schema.get("type") {
        Some(kind) => kind.as_str() == Some("object"),
        None => schema.contains_key("properties"),
    }
}

/// An object with one property, whose schema is `schema`. Its definitions stay at the root, where references look for them.
fn wrapped(schema: Value) -> Map<String, Value> {
    let mut object = Map::new();
    let inner = match schema {
        Value::Object(mut fields) => {
            object.extend(fields.shift_remove("$defs").map(|defs| ("$defs".to_owned(), defs)));
            Value::Object(fields)
        }
        other => other,
    };
    object.insert("properties".to_owned(), json!({ WRAPPER: inner }));
    object.insert("required".to_owned(), json!([WRAPPER]));
    object
}

/// What the decoding of a reply needs of its request.
#[derive(Debug, Default)]
pub(super) struct ReplyContext {
    /// The client's names of tools by those on the wire, if they differ.
    pub(super) names: HashMap<String, String>,
    pub(super) keys: ToolKeys,
    /// Set if the answer is the input of a tool of ours.
    pub(super) wrapping: Option<Wrapping>,
}

/// Whether an answer lies within [`WRAPPER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    Never,
    /// The schema is of objects and has no such property, but now and then models put one around the answer.
    Unrequested,
    /// Our schema asks for it.
    Requested,
}

impl ReplyContext {
    /// The client's name for a tool.
    pub(super) fn client_name(&self, wire_name: String) -> String {
        self.names.get(&wire_name).cloned().unwrap_or(wire_name)
    }

    /// The answer that begins with a call of this tool, if the tool is ours.
    pub(super) fn answer(&self, wire_name: &str) -> Option<ToolAnswer> {
        let wrapping = self.wrapping.filter(|_| wire_name == ANSWER_TOOL)?;
        Some(ToolAnswer { held: String::new(), matched: 0, is_plain: wrapping == Wrapping::Never, wrapping })
    }
}

/// An answer that comes as a tool's input, as it grows. It is held back only while it may be wrapped.
#[derive(Debug)]
pub(super) struct ToolAnswer {
    held: String,
    /// Bytes of a wrapper's beginning that were seen.
    matched: usize,
    is_plain: bool,
    wrapping: Wrapping,
}

impl ToolAnswer {
    /// The part of the answer that is certain.
    pub(super) fn push(&mut self, text: &str) -> String {
        if self.is_plain {
            return text.to_owned();
        }
        self.held.push_str(text);
        self.is_plain = self.held.len() > HELD_BYTES || !self.may_be_wrapped(text);
        if self.is_plain { std::mem::take(&mut self.held) } else { String::new() }
    }

    /// The rest.
    pub(super) fn end(self) -> String {
        unwrapped(&self.held, self.wrapping).unwrap_or(self.held)
    }

    /// Whether the answer may still be wrapped after `more`. Each byte is looked at once, however small the pieces are.
    fn may_be_wrapped(&mut self, more: &str) -> bool {
        more.bytes().filter(|byte| !byte.is_ascii_whitespace()).all(|byte| match WRAPPED.get(self.matched) {
            Some(expected) => {
                self.matched += 1;
                byte == *expected
            }
            None => true,
        })
    }
}

/// What the wrapper holds, if there is nothing beside it. A wrapper that was not requested holds an object; anything else is no wrapper.
fn unwrapped(text: &str, wrapping: Wrapping) -> Option<String> {
    let mut fields: HashMap<String, Json> = serde_json::from_str(text).ok()?;
    let inner = fields.remove(WRAPPER)?;
    let fits = wrapping == Wrapping::Requested || inner.get().starts_with('{');
    (fits && fields.is_empty()).then(|| inner.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c20_names_with_dots_and_slashes_round_trip() {
        let mut names = ToolNames::new(NAMES);
        let wire_names: Vec<String> =
            ["plain-1_a", "fs.read/now", "fs/read.now", "größe", "", "plain-1_a"].map(|name| names.wire_name(name)).into();
        assert_eq!(wire_names, ["plain-1_a", "fs_read_now", "fs_read_now_2", "gr__e", "_", "plain-1_a"]);
        let client_names = names.into_client_names();
        assert_eq!(
            (client_names.len(), client_names["fs_read_now"].as_str(), client_names["fs_read_now_2"].as_str()),
            (4, "fs.read/now", "fs/read.now")
        );
    }

    #[test]
    fn long_names_stay_apart() {
        let mut names = ToolNames::new(NAMES);
        let (a, b) = (names.wire_name(&"x".repeat(200)), names.wire_name(&"x".repeat(201)));
        assert_eq!(a.len(), NAME_BYTES);
        assert!(b.len() < NAME_BYTES && b.ends_with("x_2"), "{b}");
    }

    #[test]
    fn a_name_that_is_ours_is_changed() {
        let mut names = ToolNames::new(NAMES);
        names.reserve("json_tool_call");
        assert_eq!(names.wire_name("json_tool_call"), "json_tool_call_2");
    }

    fn decoded(pieces: &[&str]) -> Vec<String> {
        decoded_within(Wrapping::Requested, pieces)
    }

    fn decoded_within(wrapping: Wrapping, pieces: &[&str]) -> Vec<String> {
        let context = ReplyContext { wrapping: Some(wrapping), ..ReplyContext::default() };
        let mut answer = context.answer(ANSWER_TOOL).expect("ours");
        let mut out: Vec<String> = pieces.iter().map(|piece| answer.push(piece)).collect();
        out.push(answer.end());
        out
    }

    #[test]
    fn an_answer_is_held_back_only_while_it_may_be_wrapped() {
        assert_eq!(decoded(&["{\"va", "lue\":", "1}"]), ["", "{\"value\":", "1}", ""]);
        assert_eq!(decoded(&["{ \"val", "ues\" : [1,", " 2]}"]), ["", "", "", "[1, 2]"]);
        assert_eq!(decoded(&["{\"values\":1,", "\"more\":2}"]), ["", "", "{\"values\":1,\"more\":2}"]);
        assert_eq!(decoded(&["{\"values\":[1"]), ["", "{\"values\":[1"]);
        assert_eq!(decoded(&[]), [""]);
    }

    #[test]
    fn a_wrapper_that_nobody_asked_for_comes_off_an_object_only() {
        let unrequested = |text| decoded_within(Wrapping::Unrequested, &[text]).concat();
        assert_eq!(unrequested("{\"values\":{\"a\":1}}"), "{\"a\":1}");
        assert_eq!(unrequested("{\"values\":[1]}"), "{\"values\":[1]}");
        assert_eq!(decoded_within(Wrapping::Never, &["{\"values\":", "{}}"]), ["{\"values\":", "{}}", ""]);
    }

    #[test]
    fn an_answer_too_long_to_hold_goes_out_as_it_came() {
        let long = format!("{{\"values\":\"{}", "x".repeat(HELD_BYTES));
        assert_eq!(decoded(&[&long, "\"}"]), [long.as_str(), "\"}", ""]);
    }

    #[test]
    fn white_space_before_an_answer_is_looked_at_once() {
        let context = ReplyContext { wrapping: Some(Wrapping::Requested), ..ReplyContext::default() };
        let mut answer = context.answer(ANSWER_TOOL).expect("ours");
        assert!((0..1_000_000).all(|_| answer.push(" ").is_empty()));
        assert_eq!(answer.push("{\"values\":7}") + &answer.end(), "7");
        assert_eq!(WRAPPED, format!("{{\"{WRAPPER}\":").as_bytes());
    }

    #[test]
    fn only_our_tool_is_an_answer() {
        assert!(ReplyContext::default().answer(ANSWER_TOOL).is_none());
        assert!(ReplyContext { wrapping: Some(Wrapping::Requested), ..ReplyContext::default() }.answer("get_weather").is_none());
    }
}
