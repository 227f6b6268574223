//! `text`: the form of the answer, flat here, nested in the chat endpoint. A schema leaves as it came, for models keep the order of its
//! properties.

use serde::{Deserialize, Serialize};

use super::echo::Echo;
use super::field::{need, read};
use crate::chat::codec::raw_json;
use crate::chat::{Fields, Json};
use crate::http::error::Refusal;

const FORMAT: &str = "text.format";

#[derive(Deserialize)]
struct Text {
    format: Option<Format>,
    verbosity: Option<String>,
}

#[derive(Deserialize)]
struct Format {
    r#type: String,
    name: Option<String>,
    description: Option<String>,
    schema: Option<Json>,
    strict: Option<bool>,
}

/// What the response repeats.
#[derive(Serialize)]
struct Echoed<'a> {
    format: Form<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verbosity: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Form<'a> {
    Text,
    JsonObject,
    JsonSchema(Schema<'a>),
}

/// The chat endpoint's `response_format`.
#[derive(Serialize)]
struct ResponseFormat<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<Schema<'a>>,
}

#[derive(Clone, Copy, Serialize)]
struct Schema<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    schema: &'a Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
}

/// Adds what the chat endpoint calls it to `params`, and what the response repeats to `echo`.
pub(super) fn text(json: &Json, params: &mut Fields, echo: &mut Echo) -> Result<(), Refusal> {
    let Some(Text { format, verbosity }) = read("text", json)? else { return Ok(()) };
    let form = match &format {
        None => Form::Text,
        Some(format) => form(format)?,
    };
    let sent = match &form {
        Form::Text => None,
        Form::JsonObject => Some(ResponseFormat { r#type: "json_object", json_schema: None }),
        Form::JsonSchema(schema) => Some(ResponseFormat { r#type: "json_schema", json_schema: Some(*schema) }),
    };
    params.extend(sent.map(|sent| ("response_format".into(), raw_json(&sent))));
    params.extend(verbosity.iter().map(|verbosity| ("verbosity".into(), raw_json(verbosity))));
    echo.set("text", &Echoed { format: form, verbosity: verbosity.as_deref() });
    Ok(())
}

fn form(format: &Format) -> Result<Form<'_>, Refusal> {
    let Format { r#type, name, description, schema, strict } = format;
    match r#type.as_str() {
        "text" => Ok(Form::Text),
        "json_object" => Ok(Form::JsonObject),
        "json_schema" => Ok(Form::JsonSchema(Schema {
            name: need(FORMAT, "name", name.as_deref())?,
            description: description.as_deref(),
            schema: need(FORMAT, "schema", schema.as_ref())?,
            strict: *strict,
        })),
        other => {
            let message = format!("`{other}` is not a format; formats are text, json_object and json_schema");
            Err(Refusal::field(format!("{FORMAT}.type"), message))
        }
    }
}
