//! `response_format`: output that is held to a schema where the model can do that, elsewhere a tool that the model must call with its answer.
//! Source: OpenAI API reference, `response_format`; Anthropic's "Structured outputs". Must not know messages.

use serde::Deserialize;

use super::answer::Wrapping;
use super::content::unfit;
use super::holdable::holdable;
use super::models::Model;
use super::schema;
use super::tools::Tool;
use crate::chat::Json;
use crate::llm::adapter::UnsupportedField;
use crate::llm::tree::{Object, Tree, field};

/// The tool whose input is the answer.
pub(super) const TOOL: &str = "json_tool_call";

/// The property that holds an answer which is no object, for a tool's input must be one.
pub(super) const WRAPPER: &str = "values";

/// How the answer gets its form.
#[derive(Debug)]
pub(super) enum Format {
    Text,
    /// `output_config.format`.
    Schema(Tree),
    /// The input of [`TOOL`].
    Tool {
        tool: Box<Tool>,
        wrapping: Wrapping,
    },
}

#[derive(Deserialize)]
struct Given {
    #[serde(rename = "type")]
    kind: String,
    json_schema: Option<Schema>,
}

#[derive(Deserialize)]
struct Schema {
    description: Option<String>,
    schema: Option<Tree>,
}

impl Format {
    pub(super) fn read(given: Option<&Json>, model: Model) -> Result<Self, UnsupportedField> {
        let Some(json) = given else { return Ok(Self::Text) };
        let given: Given =
            serde_json::from_str(json.get()).map_err(|error| unfit("response_format", format!("is not as it must be: {error}")))?;
        match (given.kind.as_str(), given.json_schema) {
            ("text", _) => Ok(Self::Text),
            // Any object at all is more than held output can be.
            ("json_object", _) => Ok(Self::called(None, None)),
            ("json_schema", Some(Schema { description, schema })) => match schema.map(schema::definitions) {
                Some(schema) if model.takes_schema() && holdable(&schema) => Ok(Self::Schema(schema::strict(schema))),
                schema => Ok(Self::called(schema, description)),
            },
            ("json_schema", None) => Err(unfit("response_format.json_schema", "is missing")),
            (kind, _) => Err(unfit("response_format.type", format!("is `{kind}`; it must be text, json_object or json_schema"))),
        }
    }

    fn called(schema: Option<Tree>, description: Option<String>) -> Self {
        let (object, wrapping) = match schema {
            None => (Object::from([("additionalProperties".to_owned(), Tree::Bool(true))]), Wrapping::Never),
            Some(Tree::Object(object)) if is_input(&object) => {
                let wrapping = if has_property(&object, WRAPPER) { Wrapping::Never } else { Wrapping::Stray };
                (object, wrapping)
            }
            Some(schema) => (wrapped(schema), Wrapping::Ours),
        };
        let task = "Call this tool with your whole answer as its input.";
        let description = description.map_or_else(|| task.to_owned(), |text| format!("{task} {text}"));
        let input_schema = schema::input(Some(Tree::Object(object)));
        let tool = Tool { name: TOOL.to_owned(), description: Some(description), input_schema, strict: false, cache_control: None };
        Self::Tool { tool: Box::new(tool), wrapping }
    }
}

fn has_property(schema: &Object, name: &str) -> bool {
    matches!(field(schema, "properties"), Some(Tree::Object(properties)) if field(properties, name).is_some())
}

/// Whether a schema is of objects and nothing else.
fn is_input(schema: &Object) -> bool {
    match field(schema, "type") {
        Some(kind) => kind.as_str() == Some("object"),
        None => field(schema, "properties").is_some(),
    }
}

/// An object with the one property that holds what `schema` says. Its definitions stay at the root, where references look for them.
fn wrapped(schema: Tree) -> Object {
    let mut object = Object::new();
    let inner = match schema {
        Tree::Object(fields) => {
            let (root, inner): (Object, Object) = fields.into_iter().partition(|(name, _)| name == "$defs");
            object.extend(root);
            Tree::Object(inner)
        }
        other => other,
    };
    object.push(("properties".to_owned(), Tree::Object(vec![(WRAPPER.to_owned(), inner)])));
    object.push(("required".to_owned(), Tree::List(vec![Tree::text(WRAPPER)])));
    object
}
