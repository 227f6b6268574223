//! A field of a request or a message by its name.
//! Invariant: a field that is null counts as absent.

use crate::chat::Fields;

/// The field's JSON.
pub(super) fn param<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find_map(|(key, json)| (key == name && json.get() != "null").then(|| json.get()))
}
