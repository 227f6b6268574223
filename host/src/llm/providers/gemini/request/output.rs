//! `response_format`: JSON, and JSON of a schema. Since 2.0 Gemini reads JSON Schema as it is; before, it wants its own subset of it.
//! Must not know messages. Source: Gemini API docs, "Structured output", <https://ai.google.dev/gemini-api/docs/structured-output>.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::generation::Config;
use super::params::{Params, read};
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::providers::gemini::model::Model;
use crate::llm::providers::gemini::schema::{Budget, cleaned};
use crate::llm::tree::Tree;

const PARAM: &str = "response_format";

#[derive(Deserialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    json_schema: Option<Named<'a>>,
}

/// Its `name`, `description` and `strict` have no counterpart; Gemini always keeps to the schema.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

pub(super) fn format(
    request: &CompletionRequest<'_>,
    params: &Params<'_>,
    model: &Model<'_>,
    functions: bool,
    budget: &mut Budget,
    config: &mut Config,
) -> Result<(), UnsupportedField> {
    let Some(format) = params.get::<Format<'_>>(PARAM)? else { return Ok(()) };
    let schema = match &*format.kind {
        "text" => return Ok(()),
        "json_object" => None,
        "json_schema" => {
            let schema = format.json_schema.and_then(|named| named.schema);
            Some(schema.ok_or_else(|| unfit("response_format.json_schema.schema", "is missing"))?)
        }
        _ => return Err(unfit("response_format.type", "must be text, json_object or json_schema")),
    };
    if functions && model.before((3, 0)) {
        return request.refuse_or_drop(PARAM, "cannot be had together with `tools` before Gemini 3; leave one of them out");
    }
    config.put("responseMimeType", &"application/json");
    match schema {
        None => {}
        Some(schema) if model.before((2, 0)) => {
            let tree: Tree = read(schema, "response_format.json_schema.schema")?;
            config.put("responseSchema", &cleaned(&tree, "response_format.json_schema.schema", true, budget)?);
        }
        Some(schema) if schema.get().starts_with('{') => config.put("responseJsonSchema", &schema),
        Some(_) => return Err(unfit("response_format.json_schema.schema", "must be an object")),
    }
    Ok(())
}

fn unfit(param: &str, message: &str) -> UnsupportedField {
    UnsupportedField { param: param.to_owned(), message: message.to_owned() }
}
