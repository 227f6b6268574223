//! Names of tools: this API has namespaces and tools without a name, the chat endpoint has one list of names. Each tool has a name of its own
//! there, and a call comes back under the names that the client knows.

use std::collections::{HashMap, HashSet};

/// Characters of a name that OpenAI takes.
const NAME_CHARS: usize = 64;

/// The namespace of tools that stand in none; a tool of it has no other name.
const DEFAULT: &str = "functions";

/// Bytes of `_` and of the largest number behind a name.
const NUMBER_BYTES: usize = 11;

/// What a tool of the chat endpoint stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// A function or a custom tool of a namespace.
    Within { namespace: String, name: String },
    /// The tool of the type `local_shell`.
    LocalShell,
}

/// The names of one request, both ways.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    within: HashMap<(String, String), String>,
    /// None unless the client offers it.
    local_shell: Option<String>,
    tools: HashMap<String, Tool>,
    /// The last number behind each stem, so that the search for a free one begins where the last one ended.
    counts: HashMap<String, u64>,
}

impl Names {
    /// Keeps the name of a tool without a namespace, which is its name in the chat endpoint too. To be called before the others are named.
    pub(super) fn plain(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// The name in the chat endpoint of a tool that may have a namespace.
    pub(super) fn chat_name(&mut self, namespace: Option<&str>, name: &str) -> String {
        let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) else { return name.to_owned() };
        let known = (namespace.to_owned(), name.to_owned());
        if let Some(chat) = self.within.get(&known) {
            return chat.clone();
        }
        let joined = match namespace {
            DEFAULT => name.to_owned(),
            _ if namespace.ends_with("__") => format!("{namespace}{name}"),
            _ => format!("{namespace}__{name}"),
        };
        let chat = self.free(&joined);
        self.tools.insert(chat.clone(), Tool::Within { namespace: namespace.to_owned(), name: name.to_owned() });
        self.within.insert(known, chat.clone());
        chat
    }

    /// The name of the tool of the type `local_shell`.
    pub(super) fn local_shell(&mut self) -> String {
        if let Some(chat) = &self.local_shell {
            return chat.clone();
        }
        let chat = self.free("local_shell");
        self.tools.insert(chat.clone(), Tool::LocalShell);
        self.local_shell = Some(chat.clone());
        chat
    }

    /// What a call of that name is to the client; none if it is a tool of just that name.
    pub(super) fn tool(&self, chat: &str) -> Option<&Tool> {
        self.tools.get(chat)
    }

    /// `name` cut to what OpenAI takes, with a number behind it if another tool has it.
    fn free(&mut self, name: &str) -> String {
        let base = &name[..name.floor_char_boundary(NAME_CHARS)];
        if self.taken.insert(base.to_owned()) {
            return base.to_owned();
        }
        let stem = &base[..base.floor_char_boundary(NAME_CHARS - NUMBER_BYTES)];
        let count = self.counts.entry(stem.to_owned()).or_insert(1);
        loop {
            *count += 1;
            let numbered = format!("{stem}_{count}");
            if self.taken.insert(numbered.clone()) {
                return numbered;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_of_a_namespace_has_one_name_and_is_found_by_it() {
        let mut names = Names::default();
        names.plain("shell");
        names.plain("mcp__a__run");
        let taken = names.chat_name(Some("mcp__a"), "run");
        assert_eq!(taken, "mcp__a__run_2");
        assert_eq!(names.chat_name(Some("mcp__a"), "run"), taken);
        assert_eq!(names.chat_name(Some("mcp__b__"), "run"), "mcp__b__run");
        assert_eq!((names.chat_name(None, "shell"), names.chat_name(Some(""), "shell")), ("shell".into(), "shell".into()));
        assert_eq!(
            (names.chat_name(Some("functions"), "exec"), names.chat_name(Some("functions"), "shell")),
            ("exec".into(), "shell_2".into())
        );
        assert_eq!(names.tool("mcp__b__run"), Some(&Tool::Within { namespace: "mcp__b__".into(), name: "run".into() }));
        assert_eq!(names.tool("shell"), None);
        assert_eq!((names.local_shell().as_str(), names.tool("local_shell")), ("local_shell", Some(&Tool::LocalShell)));
    }

    #[test]
    fn long_names_fit_and_stay_apart() {
        let mut names = Names::default();
        let long = |end: &str| format!("{}{end}", "x".repeat(80));
        let given: HashSet<String> = (0..20_000).map(|end| names.chat_name(Some("n"), &long(&end.to_string()))).collect();
        assert!(given.len() == 20_000 && given.iter().all(|name| name.len() <= NAME_CHARS));
    }
}
