//! What can be wrong with settings, and how much of them there may be. A message never holds a value, because values may be secrets.

use serde_json::Value;

/// Bytes of settings as JSON.
pub const SETTINGS_BYTES_MAX: usize = 64 << 10;
/// Values in settings, each field, item and table counted.
const VALUES_MAX: usize = 4_096;
/// Tables and lists inside each other, in settings and in a schema.
pub(super) const DEPTH_MAX: usize = 32;
/// Problems that are told at once.
pub(super) const PROBLEMS_MAX: usize = 20;
/// Characters of a message of the validator's.
const MESSAGE_MAX: usize = 300;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", if path.is_empty() { "settings" } else { path })]
pub struct Problem {
    /// Where in the settings, or in the schema if it is what is wrong, as a JSON pointer; empty for the whole.
    pub path: String,
    pub message: String,
}

impl Problem {
    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let end = message.floor_char_boundary(MESSAGE_MAX);
        Self { path: path.into(), message: message[..end].to_owned() }
    }
}

/// Problems in one line.
pub(in crate::sandbox) fn told(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

/// Settings that are cheap to look at, whatever the schema asks.
pub(super) fn bounded(settings: &Value) -> Result<(), Problem> {
    fn count(value: &Value, depth: usize, left: &mut usize) -> bool {
        *left = left.saturating_sub(1);
        depth <= DEPTH_MAX
            && *left > 0
            && match value {
                Value::Array(items) => items.iter().all(|item| count(item, depth + 1, left)),
                Value::Object(fields) => fields.values().all(|field| count(field, depth + 1, left)),
                _ => true,
            }
    }
    if !count(settings, 0, &mut (VALUES_MAX + 1)) {
        return Err(Problem::new("", format!("more than {VALUES_MAX} values, or more than {DEPTH_MAX} tables or lists inside each other")));
    }
    let bytes = settings.to_string().len();
    if bytes > SETTINGS_BYTES_MAX {
        return Err(Problem::new("", format!("{bytes} bytes as JSON; at most {SETTINGS_BYTES_MAX} are allowed")));
    }
    Ok(())
}
