//! What a chat message or a delta says in fields that the canonical form does not model; a field of an odd form says nothing.

use serde_json::value::RawValue;

use crate::chat::{Fields, Json};

/// The field of a chat message that holds reasoning as text.
pub(super) const TEXT: &str = "reasoning_content";
/// The same, as some servers spell it.
const TEXT_TOO: &str = "reasoning";

/// The fields that are not modelled.
pub(super) struct Extra<'a>(pub(super) &'a Fields);

impl<'a> Extra<'a> {
    /// The model's reasoning as text.
    pub(super) fn reasoning(&self) -> Option<String> {
        self.text(TEXT).or_else(|| self.text(TEXT_TOO))
    }

    /// A list of JSON values; empty if it is none.
    pub(super) fn list(&self, name: &str) -> Vec<Json> {
        let list = self.field(name).and_then(|json| serde_json::from_str::<Option<Vec<Json>>>(json.get()).ok());
        list.flatten().unwrap_or_default()
    }

    pub(super) fn refusal(&self) -> Option<String> {
        self.text("refusal")
    }

    pub(super) fn field(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find_map(|(key, value)| (key == name).then_some(&**value))
    }

    /// None if it is empty or no text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str::<String>(self.field(name)?.get()).ok().filter(|text| !text.is_empty())
    }
}
