//! The one rule for names of pipelines, plugins, namespaces, providers and keys: whatever passes is fit for a path, a file's name, a log line
//! and a metric's label as it is. Names that people give to documents may be anything that can be seen.

/// What `is_name` takes, in words for whoever wrote something else.
pub const NAME_RULE: &str = "1 to 64 letters, digits, `-`, `_` or `.`";

/// Whether `text` can be a name.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// Whether a character ends a line, cannot be seen, or changes how the text around it is read: controls, Unicode's line separators, marks of
/// direction, joiners and tags. Source: Unicode Standard Annex 44, the categories Cc, Zl and Zp, and what of Cf is no letter's part.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_or_turns_the_text_around_it_is_hidden() {
        for c in
            ['\0', '\t', '\n', '\r', '\u{7f}', '\u{85}', '\u{ad}', '\u{200b}', '\u{200e}', '\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}']
        {
            assert!(is_hidden(c), "{c:?}");
        }
        for c in ['\u{61c}', '\u{2060}', '\u{2069}', '\u{feff}', '\u{e0041}', '\u{fe0f}'] {
            assert!(is_hidden(c), "{c:?}");
        }
        for c in " a-é中ไ😀\u{a0}\u{301}".chars() {
            assert!(!is_hidden(c), "{c:?}");
        }
    }

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
