//! What a child says: one line of JSON, and behind it the text. It is read as what a stranger wrote, because a parser that went wrong may have
//! written it. Invariant: pages rise and begin at characters of the text.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::extracted::Extracted;
use crate::rag::{Error, Kind, Limits, PageStart};

/// Bytes of a title, and of a parser's reason, that are kept.
const TITLE_BYTES: usize = 300;
const REASON_BYTES: usize = 200;

/// What a child has to say.
#[derive(Debug)]
pub(super) enum Reply {
    Text(Extracted),
    Refused(Refused),
}

/// Why there is no text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refused {
    /// What it is instead.
    Kind(String),
    /// What is wrong with it.
    Damaged(String),
    Encrypted,
    Empty,
    /// So many pages of pictures.
    Scanned(u32),
    Pages,
    TextBytes,
    Expansion,
}

#[derive(Serialize, Deserialize)]
enum Head {
    Text { title: Option<String>, markdown: bool, pages: Vec<PageStart> },
    Refused(Refused),
}

impl Reply {
    /// # Errors
    /// What the system says of the pipe.
    pub(super) fn write(&self, mut to: impl Write) -> std::io::Result<()> {
        let (head, text) = match self {
            Self::Refused(why) => (Head::Refused(why.clone()), ""),
            Self::Text(Extracted { title, kind, markdown, pages }) => {
                let head = Head::Text { title: title.clone(), markdown: *kind == Kind::Markdown, pages: pages.clone() };
                (head, markdown.as_str())
            }
        };
        serde_json::to_writer(&mut to, &head)?;
        to.write_all(b"\n")?;
        to.write_all(text.as_bytes())?;
        to.flush()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        match serde_json::from_slice(&bytes[..end]).ok()? {
            Head::Refused(why) => Some(Self::Refused(why)),
            Head::Text { title, markdown, pages } => {
                let text = std::str::from_utf8(&bytes[end + 1..]).ok()?;
                let rise = pages.is_sorted_by(|one, next| one.number < next.number && one.offset <= next.offset);
                if !rise || !pages.iter().all(|page| text.is_char_boundary(page.offset)) {
                    return None;
                }
                let (title, kind) = (title.and_then(|title| one_line(&title)), if markdown { Kind::Markdown } else { Kind::Text });
                Some(Self::Text(Extracted { title, kind, markdown: text.to_owned(), pages }))
            }
        }
    }
}

/// A title or a reason as words of one line, or none if it has none.
pub(super) fn one_line(text: &str) -> Option<String> {
    cut(text, TITLE_BYTES)
}

fn cut(text: &str, bytes: usize) -> Option<String> {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let line = text.chars().take(bytes).map(visible).collect::<String>();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = &line[..line.floor_char_boundary(bytes)];
    (!line.is_empty()).then(|| line.to_owned())
}

impl Refused {
    pub(super) fn damaged(why: impl std::fmt::Display) -> Self {
        Self::Damaged(cut(&why.to_string(), REASON_BYTES).unwrap_or_default())
    }

    /// The error of the room, which names the document and the limit.
    pub(super) fn of(self, name: &str, limits: &Limits) -> Error {
        let name = name.to_owned();
        let too_large = |what, limit, key| Error::TooLarge { what: format!("{what} of `{name}`"), limit, key };
        match self {
            Self::Pages => too_large("the number of pages", limits.pages, "limits.rag.pages"),
            Self::TextBytes => too_large("the size in bytes", limits.document_bytes, "limits.rag.document_bytes"),
            Self::Expansion => too_large("the factor of expansion", limits.expansion, "limits.rag.expansion"),
            Self::Kind(what) => Error::Unsupported { name, what: cut(&what, REASON_BYTES).unwrap_or_default() },
            Self::Damaged(why) => Error::Unreadable { name, why: cut(&why, REASON_BYTES).unwrap_or_default() },
            Self::Encrypted => Error::Encrypted { name },
            Self::Empty => Error::Empty { name },
            Self::Scanned(pages) => Error::Scanned { name, pages },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(markdown: &str, pages: &[(usize, u32)]) -> Extracted {
        let pages = pages.iter().map(|(offset, number)| PageStart { offset: *offset, number: *number }).collect();
        Extracted { title: Some("A title".into()), kind: Kind::Markdown, markdown: markdown.into(), pages }
    }

    fn round(extracted: Extracted) -> Option<Extracted> {
        let mut bytes = Vec::new();
        Reply::Text(extracted).write(&mut bytes).unwrap();
        match Reply::read(&bytes)? {
            Reply::Text(extracted) => Some(extracted),
            Reply::Refused(why) => panic!("{why:?}"),
        }
    }

    #[test]
    fn what_a_child_says_comes_back_as_it_was_said() {
        let whole = text("# é\n\ntext", &[(0, 1), (4, 3), (4, 4), (10, 9)]);
        assert_eq!(round(whole.clone()), Some(whole));
        let mut bytes = Vec::new();
        Reply::Refused(Refused::Scanned(3)).write(&mut bytes).unwrap();
        assert!(matches!(Reply::read(&bytes), Some(Reply::Refused(Refused::Scanned(3)))));
    }

    #[test]
    fn pages_that_are_none_of_the_text_are_not_taken() {
        for pages in [&[(1, 1), (0, 2)][..], &[(0, 2), (1, 2)], &[(0, 2), (1, 1)], &[(99, 1)]] {
            assert_eq!(round(text("# ab", pages)), None, "{pages:?}");
        }
        assert_eq!(round(text("é", &[(1, 1)])), None, "inside a character");
        for garbled in [&b""[..], b"{}\n", b"no json\ntext", b"{\"Text\":{\"title\":null,\"markdown\":true,\"pages\":[]}}\n\xff"] {
            assert!(Reply::read(garbled).is_none());
        }
    }

    #[test]
    fn titles_and_reasons_are_one_short_line() {
        assert_eq!(one_line(" A\u{0}title\n of  two lines "), Some("A title of two lines".into()));
        assert_eq!((one_line("\u{1b}\n "), one_line(&"é".repeat(999)).map(|title| title.len())), (None, Some(TITLE_BYTES)));
    }
}
