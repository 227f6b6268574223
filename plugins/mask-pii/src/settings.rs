//! What the operator may set. The schema says the same; a test keeps the two together.

use cofferdam_guest::{HookError, config};
use serde::Deserialize;

use crate::placeholder::Kind;
use crate::words::Words;

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) names: Vec<String>,
    pub(crate) terms: Vec<String>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) instruction: String,
}

/// As it is written.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    names: Vec<String>,
    terms: Vec<String>,
    kinds: Vec<String>,
    instruction: String,
}

/// What is looked for beside the operator's own names and terms.
const KINDS: [&str; 7] = ["name", "email", "address", "phone", "card", "iban", "ip"];
const INSTRUCTION: &str = "Words such as [MASKED_EMAIL_0] stand for values that you need not know. Write them exactly as they are wherever the value would stand.";

impl Default for Written {
    fn default() -> Self {
        let kinds = KINDS.map(str::to_owned).to_vec();
        Self { names: Vec::new(), terms: Vec::new(), kinds, instruction: INSTRUCTION.to_owned() }
    }
}

impl Settings {
    pub(crate) fn read() -> Result<Self, HookError> {
        let Written { names, terms, kinds, instruction } = config::read()?;
        for name in names.iter().chain(&terms) {
            let words = Words::of(name);
            if (0..words.len()).map(|index| words.get(index).chars().count()).sum::<usize>() < 2 {
                return Err(wrong(&format!("`{name}` is too short to be looked for; names and terms have two letters or digits at least")));
            }
        }
        let kind = |name: &String| {
            let known = KINDS.contains(&name.as_str()).then(|| Kind::from_word(name)).flatten();
            known.ok_or_else(|| wrong(&format!("unknown kind `{name}` in `kinds`, expected any of {}", KINDS.join(", "))))
        };
        let kinds = kinds.iter().map(kind).collect::<Result<_, _>>()?;
        Ok(Self { names, terms, kinds, instruction })
    }
}

fn wrong(text: &str) -> HookError {
    HookError::Unavailable(format!("configuration of the plugin: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_and_the_code_have_the_same_defaults() {
        let schema: serde_json::Value = serde_json::from_str(include_str!("settings.schema.json")).unwrap();
        let default = |name: &str| schema["properties"][name]["default"].clone();
        let Written { names, terms, kinds, instruction } = Written::default();
        assert_eq!(default("names"), serde_json::json!(names));
        assert_eq!(default("terms"), serde_json::json!(terms));
        assert_eq!(default("kinds"), serde_json::json!(kinds));
        assert_eq!(default("instruction"), instruction);
        assert_eq!(schema["properties"]["kinds"]["items"]["enum"], serde_json::json!(KINDS));
    }

    #[test]
    fn what_makes_no_sense_is_told_to_the_operator() {
        for (config, word) in [(r#"{"names": ["C++"]}"#, "too short"), (r#"{"kinds": ["term"]}"#, "`term`"), (r#"{"name": []}"#, "`name`")]
        {
            cofferdam_guest::testing::set_config(config);
            let Err(HookError::Unavailable(text)) = Settings::read() else { panic!("{config} was taken") };
            assert!(text.contains(word), "{text}");
        }
    }
}
