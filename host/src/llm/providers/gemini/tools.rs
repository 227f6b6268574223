//! What the model may call and whether it must, and the thought signatures that Gemini wants back with a call. OpenAI's clients drop fields that
//! they do not know, so a signature travels in the call's id, `ID__thought__SIGNATURE`, and beside it as Google's own OpenAI surface has it.
//! `strict` is not sent, because Gemini has no such promise for functions.
//! Sources: Gemini API reference, `Tool` and `ToolConfig`, <https://ai.google.dev/api/caching#Tool>; "Thought signatures",
//! <https://ai.google.dev/gemini-api/docs/thought-signatures>.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::params::{Params, read};
use super::schema::{Budget, converted};
use crate::chat::Fields;
use crate::chat::codec::{json, json_string};
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::tool_names::{NameRule, ToolNames};
use crate::llm::tool_schema::folded;

/// The names of functions that Gemini takes; it refuses the whole request for one that it does not.
pub(super) const NAMES: NameRule = NameRule { bytes: 64, begins: begins_name, goes_on: goes_on_in_name };

fn begins_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn goes_on_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-')
}

/// Characters of a name that an error shows.
const NAME_CHARS: usize = 100;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tool<'a> {
    function_declarations: Vec<Declaration<'a>>,
}

#[derive(Serialize)]
struct Declaration<'a> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig {
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
struct OfferedTool<'a> {
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
    parameters: Option<Value>,
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

/// All functions in one tool, as Gemini wants them; none if there is no function.
pub(super) fn tool<'a>(
    request: &CompletionRequest<'a>,
    params: &Params<'a>,
    names: &mut ToolNames,
    budget: &mut Budget,
) -> Result<Option<Tool<'a>>, UnsupportedField> {
    let parallel = params.get("parallel_tool_calls")?.unwrap_or(true);
    let mut declarations = Vec::new();
    for (at, json) in params.get::<Vec<&'a RawValue>>("tools")?.unwrap_or_default().into_iter().enumerate() {
        let param = format!("tools[{at}]");
        let offered: OfferedTool<'a> = read(json, &param)?;
        match (&*offered.kind, offered.function) {
            ("function", Some(function)) => declarations.push(declaration(function, &format!("{param}.function"), names, budget)?),
            ("function", None) => return Err(UnsupportedField::new(format!("{param}.function"), "is missing")),
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

fn declaration<'a>(
    json: &'a RawValue,
    param: &str,
    names: &mut ToolNames,
    budget: &mut Budget,
) -> Result<Declaration<'a>, UnsupportedField> {
    let Function { name, description, parameters } = read(json, param)?;
    let param = format!("{param}.parameters");
    let parameters = match parameters {
        None | Some(Value::Null) => None,
        Some(schema) if is_object(&schema) => Some(parameters_of(schema, &param, budget)?),
        Some(_) => return Err(UnsupportedField::new(param, "must be the schema of an object, whose properties are the parameters")),
    };
    // An object without properties is refused ("should be non-empty for OBJECT type").
    let parameters = parameters.filter(|schema| schema.get("properties").is_some());
    Ok(Declaration { name: names.wire_name(&name), description, parameters })
}

/// The parameters in Gemini's subset. It wants one object at the root; below that there may be alternatives.
fn parameters_of(mut schema: Value, param: &str, budget: &mut Budget) -> Result<Value, UnsupportedField> {
    // The arguments of a call are an object whatever else the schema allows.
    if schema["type"].is_array() {
        schema["type"] = "object".into();
    }
    let parameters = converted(&schema, param, false, budget)?;
    match schema {
        Value::Object(schema) if parameters.get("anyOf").is_some() => converted(&Value::Object(folded(schema)), param, false, budget),
        _ => Ok(parameters),
    }
}

/// Whether a schema allows an object.
fn is_object(schema: &Value) -> bool {
    match (schema, schema.get("type")) {
        (Value::Object(_), None) => true,
        (_, Some(Value::String(name))) => name == "object",
        (_, Some(Value::Array(names))) => names.iter().any(|name| name == "object"),
        _ => false,
    }
}

/// `tool_choice`; if it is absent, the model chooses.
pub(super) fn tool_config(
    params: &Params<'_>,
    tool: Option<&Tool<'_>>,
    names: &mut ToolNames,
) -> Result<Option<ToolConfig>, UnsupportedField> {
    let Some(choice) = params.raw("tool_choice") else { return Ok(None) };
    let invalid =
        || UnsupportedField::new("tool_choice", "must be none, auto, required or {\"type\": \"function\", \"function\": {\"name\"}}");
    let (mode, name) = match read(choice, "tool_choice").map_err(|_| invalid())? {
        Choice::Mode(mode) => match &*mode {
            "none" => ("NONE", None),
            "auto" => ("AUTO", None),
            "required" => ("ANY", None),
            _ => return Err(invalid()),
        },
        Choice::Named { function } => ("ANY", Some([function.name])),
    };
    if let Some([name]) = name.as_ref().filter(|[name]| tool.is_some() && !names.contains(name)) {
        let name: String = name.chars().take(NAME_CHARS).collect();
        return Err(UnsupportedField::new("tool_choice", format!("names `{name}`, which is none of `tools`")));
    }
    let name = name.map(|[name]| [names.wire_name(&name)]);
    match (tool.is_some(), mode) {
        (true, _) => Ok(Some(ToolConfig { function_calling_config: Calling { mode, allowed_function_names: name } })),
        (false, "ANY") => Err(UnsupportedField::new("tool_choice", "asks for a call, and `tools` holds no function")),
        (false, _) => Ok(None),
    }
}

/// Stands between a call's own id and its signature.
const SEPARATOR: &str = "__thought__";

/// Base64 of `skip_thought_signature_validator`, which Google gives for calls that another model made. Gemini 3 refuses a call of the current
/// turn that has neither this nor a signature.
pub(super) const NO_SIGNATURE: &str = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I=";

/// The id that the client gets.
pub(super) fn with_signature(id: &str, signature: Option<&str>) -> String {
    signature.map_or_else(|| id.to_owned(), |signature| format!("{id}{SEPARATOR}{signature}"))
}

/// The call's own id and the signature in it. A signature that is no base64 was never Gemini's.
pub(super) fn split_signature(id: &str) -> (&str, Option<&str>) {
    match id.split_once(SEPARATOR) {
        Some((own, signature)) => (own, Some(signature).filter(|signature| is_base64(signature))),
        None => (id, None),
    }
}

/// The signature beside a call: `extra_content.google.thought_signature`.
pub(super) fn signature_beside(call: &Fields) -> Option<String> {
    #[derive(Deserialize)]
    struct ExtraContent {
        google: Option<Google>,
    }
    #[derive(Deserialize)]
    struct Google {
        thought_signature: Option<String>,
    }
    let (_, extra) = call.iter().find(|(name, _)| name == "extra_content")?;
    let extra: ExtraContent = serde_json::from_str(extra.get()).ok()?;
    extra.google?.thought_signature.filter(|signature| is_base64(signature))
}

/// The field beside a call that holds its signature.
pub(super) fn signature_fields(signature: Option<&str>) -> Fields {
    let field = |signature: &str| {
        let text = format!("{{\"google\":{{\"thought_signature\":{}}}}}", json_string(signature));
        ("extra_content".to_owned(), json(text).expect("an object around a JSON string is JSON"))
    };
    signature.map(field).into_iter().collect()
}

/// Whether this is base64, plain or URL-safe, which Google's JSON reads alike.
pub(super) fn is_base64(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c19_an_id_with_base64_in_it_comes_back_as_it_was() {
        for (id, signature) in [("call_1", Some("CiQB/+9=")), ("call_/+=", Some("a__b")), ("call_/+=", None)] {
            let joined = with_signature(id, signature);
            assert_eq!(split_signature(&joined), (id, signature), "{joined}");
        }
    }

    #[test]
    fn an_id_is_split_at_the_first_separator_and_keeps_no_false_signature() {
        assert_eq!(split_signature("a__thought__b__thought__c"), ("a", Some("b__thought__c")));
        assert_eq!(split_signature("a__thought__"), ("a", None));
        assert_eq!(split_signature("a__thought__not base64"), ("a", None));
    }

    #[test]
    fn the_field_beside_a_call_reads_back() {
        assert_eq!(signature_beside(&signature_fields(Some("CiQB/+9="))).as_deref(), Some("CiQB/+9="));
        assert_eq!(signature_beside(&signature_fields(None)), None);
        let odd = vec![("extra_content".to_owned(), json(r#"{"google":7}"#.into()).expect("JSON"))];
        assert_eq!(signature_beside(&odd), None);
    }
}
