//! A model's name as part of a URL's path, so that it can name a model and nothing else.
//! Must not know any vendor's paths. Source: RFC 3986, section 3.3.

use std::fmt::Write;

use crate::llm::adapter::UnsupportedField;

/// `text` with every byte percent-encoded that is neither unreserved nor one of `kept`.
pub(in crate::llm) fn encoded(text: &str, kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("a string takes all");
        }
    }
    out
}

/// A model's name as one segment of a path, `kept` as it is.
///
/// # Errors
/// Where the name, or a part of it between slashes that are kept, is none or would lead elsewhere.
pub(in crate::llm) fn segment(model: &str, kept: &[u8]) -> Result<String, UnsupportedField> {
    let leads_elsewhere = |part: &str| matches!(part, "" | "." | "..");
    let strange = model.chars().any(char::is_control);
    let mut parts = model.split(|c| c == '/' && kept.contains(&b'/'));
    if strange || parts.any(leads_elsewhere) {
        return Err(UnsupportedField {
            param: "model".into(),
            message: "is no model's name; it becomes part of the provider's URL".into(),
        });
    }
    Ok(encoded(model, kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c44_a_models_name_cannot_lead_elsewhere() {
        for model in ["", ".", "..", "../models", "@cf/../x", "@cf//x", "/x", "x/", "a\u{0}b", "a\nb"] {
            segment(model, b"@/").expect_err(model);
        }
        for (model, expected) in [
            ("@cf/meta/llama-3.1-8b-instruct", "@cf/meta/llama-3.1-8b-instruct"),
            ("a?b#c%2e", "a%3Fb%23c%252e"),
            ("..x", "..x"),
            ("a\\..\\b é", "a%5C..%5Cb%20%C3%A9"),
        ] {
            assert_eq!(segment(model, b"@/").expect("a name"), expected);
        }
        assert_eq!(segment("a/../b", b"").expect("one segment"), "a%2F..%2Fb");
    }
}
