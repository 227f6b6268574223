//! Typed reads of JSON that is kept as bytes. A mistake is refused with the path of its field.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::error::Refusal;

/// The value that stands at the path `at`.
pub(super) fn read<'a, T: Deserialize<'a>>(at: &str, json: &'a RawValue) -> Result<T, Refusal> {
    let reader = &mut serde_json::Deserializer::from_str(json.get());
    serde_path_to_error::deserialize(reader).map_err(|error| {
        let path = error.path().to_string();
        let text = error.inner().to_string();
        let cause = text.split(" at line ").next().unwrap_or(&text);
        let missing = cause.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
        let mut param = at.to_owned();
        for below in [Some(path.as_str()).filter(|path| *path != "."), missing].into_iter().flatten() {
            if !below.starts_with('[') {
                param.push('.');
            }
            param.push_str(below);
        }
        Refusal::field(param, cause)
    })
}

/// A value that must be there.
pub(super) fn need<T>(at: &str, name: &str, value: Option<T>) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::field(format!("{at}.{name}"), "is missing"))
}

pub(super) fn is_null(json: &RawValue) -> bool {
    json.get() == "null"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::codec::json;

    #[test]
    fn a_mistake_is_named_by_its_whole_path() {
        #[derive(Debug, serde::Deserialize)]
        #[expect(dead_code, reason = "only parsed")]
        struct Form {
            list: Vec<u8>,
            name: String,
        }
        let cases = [
            (r#"{"list":[1,"x"],"name":"n"}"#, "input[3].list[1]"),
            (r#"{"list":[]}"#, "input[3].name"),
            (r#"{"list":[],"name":1}"#, "input[3].name"),
            ("7", "input[3]"),
        ];
        for (text, param) in cases {
            match read::<Form>("input[3]", &json(text.into()).expect("JSON")) {
                Err(Refusal::Field { param: found, message }) => {
                    assert_eq!(found, param, "{text}");
                    assert!(!message.contains(" at line "), "{message}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
