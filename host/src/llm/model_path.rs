//! A model's name as part of a URL's path. Whatever a client writes, it names a model below the vendor's own path and nothing else.
//! Source: RFC 3986, section 3.3.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::provider_error::UnsupportedField;

/// All but the characters that a URL never gives a meaning.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// As [`RESERVED`], with the characters that stand in names such as `@cf/meta/llama` kept.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'@').remove(b'/');

/// As [`RESERVED`], and the dot.
const RESERVED_AND_DOT: &AsciiSet = &RESERVED.add(b'.');

/// `text` with every byte encoded that is not unreserved.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// `text` as a part of a path's segment. Two dots are encoded as well: somebody who decodes the path on the way might take them for a step up.
pub(super) fn encoded_within_segment(text: &str) -> String {
    utf8_percent_encode(text, if text.contains("..") { RESERVED_AND_DOT } else { RESERVED }).to_string()
}

/// A model's name as one segment of a path.
///
/// # Errors
/// If the name is empty or would lead elsewhere.
pub(super) fn segment(model: &str) -> Result<String, UnsupportedField> {
    if leads_elsewhere(model) || model.contains(char::is_control) {
        return Err(unsupported());
    }
    Ok(encoded(model))
}

/// A model's name with slashes in it as several segments of a path.
///
/// # Errors
/// If the name, or a part of it between slashes, is empty or would lead elsewhere.
pub(super) fn segments(model: &str) -> Result<String, UnsupportedField> {
    if model.split('/').any(leads_elsewhere) || model.contains(char::is_control) {
        return Err(unsupported());
    }
    Ok(utf8_percent_encode(model, RESERVED_IN_PATH).to_string())
}

fn leads_elsewhere(part: &str) -> bool {
    matches!(part, "" | "." | "..")
}

fn unsupported() -> UnsupportedField {
    UnsupportedField::new("model", "is no model's name; it becomes part of the provider's URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c44_a_models_name_cannot_lead_elsewhere() {
        for model in ["", ".", "..", "../models", "@cf/../x", "@cf//x", "/x", "x/", "a\u{0}b", "a\nb"] {
            segments(model).expect_err(model);
        }
        for (model, expected) in [
            ("@cf/meta/llama-3.1-8b-instruct", "@cf/meta/llama-3.1-8b-instruct"),
            ("a?b#c%2e", "a%3Fb%23c%252e"),
            ("..x", "..x"),
            ("a\\..\\b é", "a%5C..%5Cb%20%C3%A9"),
        ] {
            assert_eq!(segments(model).expect("a name"), expected);
        }
        assert_eq!(segment("a/../b").expect("one segment"), "a%2F..%2Fb");
    }
}
