//! A client's own words in an answer: enough to recognise, and no more. Without this, whoever sends 15 MiB gets them back, and does not read.
//! Invariant: an `Echo` is short, whatever it was made of; `respond` cuts once more what was not made with it.

use std::fmt;

/// Characters of a client's words that an answer repeats.
const CHARS: usize = 200;

/// A client's words, cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Echo(String);

impl<T: AsRef<str>> From<T> for Echo {
    fn from(words: T) -> Self {
        Self(cut(words.as_ref(), CHARS).into_owned())
    }
}

impl From<Echo> for String {
    fn from(echo: Echo) -> Self {
        echo.0
    }
}

impl fmt::Display for Echo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first characters of a text, and a sign if there were more.
pub(super) fn cut(text: &str, chars: usize) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(chars) {
        None => text.into(),
        Some((end, _)) => format!("{}…", &text[..end]).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_at_their_edge_and_between_characters() {
        for (words, shown) in [(199, 199), (200, 200), (201, 201), (9_000, 201)] {
            assert_eq!(Echo::from("é".repeat(words)).to_string().chars().count(), shown, "{words}");
        }
        assert_eq!(Echo::from("x".repeat(201)).to_string(), "x".repeat(200) + "…");
        assert_eq!(cut("", 0), "");
    }
}
