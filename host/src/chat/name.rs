//! The one rule for names: of pipelines, plugins, namespaces, providers and keys.
//! Whatever passes is fit for a path, a file's name, a log line and a metric's label as it is.

/// What `is_name` takes, in words for whoever wrote something else.
pub const NAME_RULE: &str = "1 to 64 letters, digits, `-`, `_` or `.`";

/// Whether `text` can be a name.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_limited_at_its_edges() {
        for name in ["a", "gpt-4o_mini.v2", "..", &"n".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for text in ["", "a b", "a/b", "é", "a\0", "a:b", &"n".repeat(65)] {
            assert!(!is_name(text), "{text}");
        }
    }
}
