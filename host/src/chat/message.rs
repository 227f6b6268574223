//! One message of a conversation, with every field we do not model kept as it came.
//! Source: OpenAI API reference, "Create chat completion", `messages`.

use serde_json::value::RawValue;

/// A JSON value kept as its bytes, so that what we do not model leaves as it came.
pub type Json = Box<RawValue>;

/// Unmodelled fields of an object, in the order they came.
pub type Fields = Vec<(String, Json)>;

/// One turn of the conversation.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant`, `tool` or `function`; a string because the list has grown before.
    pub role: String,
    pub content: Content,
    pub name: Option<String>,
    pub tool_calls: Vec<ToolCall>,
    pub tool_call_id: Option<String>,
    pub extra: Fields,
}

/// What a message says: nothing (`null` or absent), one string, or a list of parts.
#[derive(Clone, Debug, Default)]
pub enum Content {
    #[default]
    Null,
    Text(String),
    Parts(Vec<Part>),
}

/// A piece of a message's content.
#[derive(Clone, Debug)]
pub enum Part {
    Text {
        text: String,
        extra: Fields,
    },
    /// Images, audio, files and whatever comes next, as their JSON.
    Other(Json),
}

/// What the model asks the client to run.
#[derive(Clone, Debug)]
pub enum ToolCall {
    Function(FunctionCall),
    /// A kind of call that we do not model, as its JSON.
    Other(Json),
}

/// `{"id", "type": "function", "function": {"name", "arguments"}}`; `arguments` is a string that should hold JSON.
#[derive(Clone, Debug)]
pub struct FunctionCall {
    pub id: String,
    pub name: String,
    pub arguments: String,
    pub extra: Fields,
}

impl Message {
    /// A message of plain text.
    pub fn text(role: impl Into<String>, text: impl Into<String>) -> Self {
        Self { role: role.into(), content: Content::Text(text.into()), ..Self::default() }
    }

    /// All text of the message; the texts of several parts are joined by a newline.
    pub fn joined_text(&self) -> String {
        match &self.content {
            Content::Null => String::new(),
            Content::Text(text) => text.clone(),
            Content::Parts(parts) => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Text { text, .. } => Some(text.as_str()),
                    Part::Other(_) => None,
                })
                .collect::<Vec<_>>()
                .join("\n"),
        }
    }
}
