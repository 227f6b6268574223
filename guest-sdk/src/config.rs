//! What the operator wrote under `[plugins.NAME] config = { … }`. A plugin sees its own configuration only.

#[cfg(target_family = "wasm")]
use crate::bindings::imports::cofferdam::hooks::config as source;
#[cfg(not(target_family = "wasm"))]
use crate::testing as source;

/// The whole configuration as the text of one JSON object; `{}` if the operator wrote none.
#[must_use]
pub fn all() -> String {
    source::all()
}

/// The JSON text under one key.
#[must_use]
pub fn get(key: &str) -> Option<String> {
    source::get(key)
}

/// The whole configuration as a value of the plugin's own type; give its fields `#[serde(default)]`.
///
/// # Errors
/// [`HookError::Unavailable`](crate::HookError::Unavailable) with a reason for the operator, if the configuration does not fit the type.
#[cfg(feature = "serde")]
pub fn read<T: serde::de::DeserializeOwned>() -> Result<T, crate::HookError> {
    serde_json::from_str(&all()).map_err(|error| {
        // The position says nothing to an operator, who wrote TOML.
        let text = error.to_string();
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
        crate::HookError::Unavailable(format!("configuration of the plugin: {reason}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn without_a_configuration_there_is_an_empty_object() {
        testing::set_config("{}");
        assert_eq!(all(), "{}");
        #[cfg(feature = "serde")]
        assert_eq!(get("a"), None);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_configuration_is_read_whole_or_by_key() {
        testing::set_config(r#"{"limit": 3, "words": ["a"]}"#);
        let config: std::collections::BTreeMap<String, serde_json::Value> = read().unwrap();
        assert_eq!(config["limit"], 3);
        assert_eq!(get("words").as_deref(), Some("[\"a\"]"));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_configuration_that_does_not_fit_is_told_to_the_operator() {
        testing::set_config(r#"{"limit": "three"}"#);
        let error = read::<std::collections::BTreeMap<String, u32>>().unwrap_err();
        let crate::HookError::Unavailable(text) = error else { panic!("{error:?}") };
        assert_eq!(text, "configuration of the plugin: invalid type: string \"three\", expected u32");
    }
}
