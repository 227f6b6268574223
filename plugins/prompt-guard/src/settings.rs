//! What the operator may set. The schema says the same; a test keeps the two together.

use cofferdam_guest::{HookError, config};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) threshold: u32,
    pub(crate) action: Action,
    pub(crate) off: Vec<String>,
    pub(crate) rules: Vec<OwnRule>,
    pub(crate) reply: bool,
    pub(crate) image_hosts: Vec<String>,
}

/// What becomes of a message that reaches the threshold, and of a reply that would carry data away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Reject,
    Tag,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnRule {
    pub(crate) id: String,
    pub(crate) score: u32,
    pub(crate) patterns: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { threshold: 5, action: Action::Reject, off: Vec::new(), rules: Vec::new(), reply: true, image_hosts: Vec::new() }
    }
}

impl Settings {
    pub(crate) fn read() -> Result<Self, HookError> {
        let settings: Self = config::read()?;
        if settings.threshold == 0 {
            return Err(wrong("`threshold` is 0, which everything reaches"));
        }
        Ok(settings)
    }
}

pub(crate) fn wrong(text: &str) -> HookError {
    HookError::Unavailable(format!("configuration of the plugin: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{ENCODED, HIDDEN, MARK, RULES, TURN};

    #[test]
    fn the_schema_and_the_code_say_the_same() {
        let schema: serde_json::Value = serde_json::from_str(include_str!("settings.schema.json")).unwrap();
        let default = |name: &str| schema["properties"][name]["default"].clone();
        let Settings { threshold, action, off, rules, reply, image_hosts } = Settings::default();
        assert_eq!((default("threshold"), default("reply")), (threshold.into(), reply.into()));
        assert_eq!((default("action"), action), ("reject".into(), Action::Reject));
        assert_eq!((default("off"), default("image_hosts")), (serde_json::json!(off), serde_json::json!(image_hosts)));
        assert_eq!((default("rules"), rules.len()), (serde_json::json!([]), 0));
        let ids = RULES.iter().map(|rule| rule.id).chain([MARK.0, TURN.0, HIDDEN.0, ENCODED.0]).collect::<Vec<_>>();
        assert_eq!(schema["properties"]["off"]["items"]["enum"], serde_json::json!(ids));
    }
}
