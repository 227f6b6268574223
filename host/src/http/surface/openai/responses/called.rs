//! A call as the client knows it: of a function, of a custom tool, of its local shell.
//! Invariant: it has the name and the namespace under which the client offered the tool.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::item::Item;
use super::names::{Names, Tool};
use crate::chat::Json;
use crate::chat::codec::raw_json;

/// Which tool is called, and how its call is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Called {
    Function { namespace: Option<String>, name: String },
    Custom { namespace: Option<String>, name: String },
    LocalShell,
}

/// What else a call's item holds.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a> {
    pub(super) id: &'a str,
    pub(super) status: &'a str,
    pub(super) call_id: &'a str,
    /// Its arguments, or the input of a custom tool.
    pub(super) text: &'a str,
    pub(super) extra_content: Option<&'a RawValue>,
}

impl Called {
    /// The tool that the chat endpoint calls `name`.
    pub(super) fn of(names: &Names, name: &str, custom: bool) -> Self {
        let (namespace, name) = match names.tool(name) {
            Some(Tool::LocalShell) if !custom => return Self::LocalShell,
            Some(Tool::Within { namespace, name }) => (Some(namespace.clone()), name.clone()),
            Some(Tool::LocalShell) | None => (None, name.to_owned()),
        };
        if custom { Self::Custom { namespace, name } } else { Self::Function { namespace, name } }
    }

    /// What the id of its item begins with.
    pub(super) fn prefix(&self) -> &'static str {
        match self {
            Self::Function { .. } => "fc",
            Self::Custom { .. } => "ctc",
            Self::LocalShell => "lsh",
        }
    }

    pub(super) fn item<'a>(&'a self, parts: Parts<'a>) -> Item<'a> {
        let Parts { id, status, call_id, text, extra_content } = parts;
        match self {
            Self::Function { namespace, name } => {
                Item::FunctionCall { id, status, call_id, namespace: namespace.as_deref(), name, arguments: text, extra_content }
            }
            Self::Custom { namespace, name } => {
                Item::CustomToolCall { id, status, call_id, namespace: namespace.as_deref(), name, input: text, extra_content }
            }
            Self::LocalShell => Item::LocalShellCall { id, status, call_id, action: action(text) },
        }
    }
}

/// What the shell runs, of the arguments that a model gave. A command that is no list goes to a shell of the user's.
fn action(arguments: &str) -> Json {
    let given: Value = serde_json::from_str(arguments).unwrap_or_default();
    let command = match &given["command"] {
        Value::String(line) => json!(["bash", "-lc", line]),
        Value::Array(words) => words.iter().filter(|word| word.is_string()).cloned().collect(),
        _ => json!([]),
    };
    let env = Some(&given["env"]).filter(|env| env.is_object()).cloned().unwrap_or_else(|| json!({}));
    let mut action = json!({"type": "exec", "command": command, "env": env});
    for name in ["timeout_ms", "working_directory"] {
        if !given[name].is_null() {
            action[name] = given[name].clone();
        }
    }
    raw_json(&action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_the_shell_holds_what_is_to_run() {
        let cases = [
            (r#"{"command":["ls","-l"],"timeout_ms":5}"#, json!({"type": "exec", "command": ["ls", "-l"], "env": {}, "timeout_ms": 5})),
            (r#"{"command":"ls | wc","env":{"A":"b"}}"#, json!({"type": "exec", "command": ["bash", "-lc", "ls | wc"], "env": {"A": "b"}})),
            ("", json!({"type": "exec", "command": [], "env": {}})),
        ];
        for (arguments, expected) in cases {
            assert_eq!(serde_json::from_str::<Value>(action(arguments).get()).expect("JSON"), expected, "{arguments}");
        }
    }
}
