//! JSON text, which is how fields cross the boundary. Writes strings and numbers itself, so that a plugin that only sets a few keys
//! carries no JSON library. Reading JSON is left to the plugin.

use std::fmt::Write;

/// The text of a JSON value. Made from strings, numbers and booleans; from anything else by [`Json::raw`] or, with the feature
/// `serde`, [`Json::of`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(String);

impl Json {
    /// Takes a text that is JSON already. The host refuses the outcome if it is not.
    #[must_use]
    pub fn raw(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    #[must_use]
    pub fn null() -> Self {
        Self::raw("null")
    }

    /// The JSON of any serializable value.
    ///
    /// # Errors
    /// The value has no JSON, e.g. a map whose keys are no strings.
    #[cfg(feature = "serde")]
    pub fn of(value: &impl serde::Serialize) -> Result<Self, crate::HookError> {
        serde_json::to_string(value).map(Self).map_err(|error| crate::HookError::Other(format!("no JSON for a value: {error}")))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Json> for String {
    fn from(json: Json) -> Self {
        json.0
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        let mut out = String::with_capacity(text.len() + 2);
        out.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c < ' ' => write!(out, "\\u{:04x}", u32::from(c)).expect("writing to a string cannot fail"),
                c => out.push(c),
            }
        }
        out.push('"');
        Self(out)
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<f64> for Json {
    /// Numbers that JSON cannot write become `null`.
    fn from(number: f64) -> Self {
        if number.is_finite() { Self(number.to_string()) } else { Self::null() }
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self(value.to_string())
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {
        $(impl From<$integer> for Json {
            fn from(number: $integer) -> Self {
                Self(number.to_string())
            }
        })*
    };
}
from_integers!(i32, i64, u32, u64, usize);

#[cfg(feature = "serde")]
impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        Self(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        let text = "a \"quote\", a \\, \n\r\t, \u{1b}[0m, ü, 🦀, \u{7f}";
        let json = Json::from(text);
        assert_eq!(json.as_str(), "\"a \\\"quote\\\", a \\\\, \\n\\r\\t, \\u001b[0m, ü, 🦀, \u{7f}\"");
        #[cfg(feature = "serde")]
        assert_eq!(serde_json::from_str::<String>(json.as_str()).unwrap(), text);
    }

    #[test]
    fn numbers_that_json_cannot_write_are_null() {
        assert_eq!(Json::from(0.5).as_str(), "0.5");
        assert_eq!(Json::from(f64::NAN).as_str(), "null");
        assert_eq!(Json::from(f64::INFINITY).as_str(), "null");
        assert_eq!(Json::from(-3).as_str(), "-3");
        assert_eq!(Json::from(true).as_str(), "true");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn any_serializable_value_has_its_json() {
        assert_eq!(Json::of(&vec![Some(1), None]).unwrap().as_str(), "[1,null]");
        assert!(matches!(Json::of(&std::collections::BTreeMap::from([((), 1)])), Err(crate::HookError::Other(_))));
        assert_eq!(Json::from(serde_json::json!({"a": 1})).as_str(), "{\"a\":1}");
    }
}
