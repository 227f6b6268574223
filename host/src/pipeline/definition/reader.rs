//! Reading JSON with an eye on what is wrong with it: all problems are collected, each with its path, up to a limit.
//! A value that is wrong is replaced by a default, which nobody sees: with any problem there is no definition.

use serde_json::Value;

use crate::chat::{NAME_RULE, is_name};

/// Problems that are reported of one definition.
const PROBLEMS_MAX: usize = 50;

/// One thing that is wrong with a definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// e.g. `pipeline[2].config.primary.provider`
    pub path: String,
    pub message: String,
}

/// Collects problems while it reads.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn problem(&mut self, path: &str, message: &str) {
        // Enough to act on; a hostile definition has millions.
        if self.problems.len() == PROBLEMS_MAX {
            return;
        }
        self.problems.push(Problem { path: path.into(), message: message.into() });
    }

    /// Refuses keys that nobody reads, so that a typing mistake does not switch a guard off.
    pub(super) fn only(&mut self, object: &Value, at: &str, known: &[&str]) {
        match object.as_object() {
            Some(map) => {
                for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
                    self.problem(&format!("{at}.{key}"), &format!("is not a key; known are {}", known.join(", ")));
                }
            }
            None if object.is_null() => {}
            None => self.problem(at, "must be an object"),
        }
    }

    pub(super) fn flag(&mut self, stage: &Value, at: &str, key: &str, default: bool) -> bool {
        match &stage[key] {
            Value::Null => default,
            Value::Bool(flag) => *flag,
            _ => {
                self.problem(&format!("{at}.{key}"), "must be true or false");
                default
            }
        }
    }

    /// A name that is also fit for a path and a metric label.
    pub(super) fn name(&mut self, value: &Value, path: &str) -> Option<String> {
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text,
            _ => {
                self.problem(path, "must be a string");
                return None;
            }
        };
        if !is_name(text) {
            self.problem(path, &format!("must be {NAME_RULE}"));
            return None;
        }
        Some(text.clone())
    }
}
