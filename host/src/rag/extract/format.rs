//! What kind of file it is. Its first bytes and a look at its text decide; its name and the type that was declared count only where texts look
//! alike: a page of Markdown, plain text and a table may all be the same bytes.

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::decode;
use super::reply::Refused;
use crate::rag::Kind;

/// What a child parses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Pdf,
    /// Which of the three is seen in the archive.
    Office,
    Html,
    Csv,
    Json,
    JsonLines,
}

/// What is to be done with a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// It is the text that it is.
    Text(Kind, String),
    /// In UTF-8 if it is a text.
    Parsed(Format, Bytes),
}

/// What begins files of which people believe that there is a text in them, and some others.
const BEGINNINGS: [(&[u8], &str); 17] = [
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"II*\0", "a picture"),
    (b"MM\0*", "a picture"),
    (b"{\\rtf", "a file of Rich Text Format"),
    (b"\x1f\x8b", "a compressed file"),
    (b"BZh", "a compressed file"),
    (b"\xfd7zXZ", "a compressed file"),
    (b"\x28\xb5\x2f\xfd", "a compressed file"),
    (b"7z\xbc\xaf", "an archive"),
    (b"Rar!", "an archive"),
    (b"\x7fELF", "a program"),
    (b"\0asm", "a program"),
    (b"SQLite format 3\0", "a database"),
    (b"%!PS", "a PostScript file"),
    (b"OggS", "a recording"),
];

/// Bytes in which the beginning of a PDF is looked for, by the rule of its readers.
const PDF_WITHIN: usize = 1024;
/// Characters that are looked at to know Markdown and HTML.
const HEAD: usize = 4 << 10;
/// A text may take so many bytes for each byte that it has in UTF-8.
const WIDEST: usize = 2;

impl Format {
    const ALL: [Self; 6] = [Self::Pdf, Self::Office, Self::Html, Self::Csv, Self::Json, Self::JsonLines];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Office => "office",
            Self::Html => "html",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::JsonLines => "json-lines",
        }
    }

    pub(super) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.word() == word)
    }
}

/// What the name and the declared type say of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hint {
    Text,
    Markdown,
    Html,
    Csv,
    Json,
    JsonLines,
    /// It is named as a text of some other kind, such as a program.
    Other,
    None,
}

/// `text_max` is what a text may have in UTF-8.
pub(super) fn recognise(name: &str, declared: Option<&str>, bytes: Bytes, text_max: usize) -> Result<Content, Refused> {
    if bytes.is_empty() {
        return Err(Refused::Empty);
    }
    let head = &bytes[..bytes.len().min(PDF_WITHIN)];
    if memchr::memmem::find(head, b"%PDF-").is_some() {
        return Ok(Content::Parsed(Format::Pdf, bytes));
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") || bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        return Ok(Content::Parsed(Format::Office, bytes));
    }
    if let Some((_, what)) = BEGINNINGS.iter().find(|(beginning, _)| bytes.starts_with(beginning)) {
        return Err(Refused::Kind((*what).into()));
    }
    let hint = Hint::of(name, declared);
    let large = bytes.len() > text_max.saturating_mul(WIDEST);
    // What has markup or numbers around its text may be larger than that.
    if large && matches!(hint, Hint::Text | Hint::Markdown | Hint::Other) {
        return Err(Refused::TextBytes);
    }
    let text = decode::text(bytes).ok_or_else(|| Refused::Kind("not a text, nor a document of a kind that is read".into()))?;
    if text.trim().is_empty() {
        return Err(Refused::Empty);
    }
    kind_of_text(hint, text)
}

fn kind_of_text(hint: Hint, text: String) -> Result<Content, Refused> {
    let parsed = |format, text: String| Ok(Content::Parsed(format, text.into()));
    let begins_with = text.trim_start().chars().next();
    if is_html(&text, hint) {
        return parsed(Format::Html, text);
    }
    if matches!(begins_with, Some('{' | '[')) || matches!(hint, Hint::Json | Hint::JsonLines) {
        let whole = serde_json::from_str::<IgnoredAny>(&text);
        let lines = || text.lines().filter(|line| !line.trim().is_empty());
        match whole {
            Ok(_) => return parsed(Format::Json, text),
            Err(_) if lines().count() > 1 && lines().all(|line| serde_json::from_str::<IgnoredAny>(line).is_ok()) => {
                return parsed(Format::JsonLines, text);
            }
            // So named, it is broken and not something else; the parser says where.
            Err(_) if hint == Hint::JsonLines => return parsed(Format::JsonLines, text),
            Err(_) if hint == Hint::Json => return parsed(Format::Json, text),
            Err(_) => {}
        }
    }
    match hint {
        Hint::Csv => parsed(Format::Csv, text),
        Hint::Markdown => Ok(Content::Text(Kind::Markdown, text)),
        Hint::None if is_markdown(&text) => Ok(Content::Text(Kind::Markdown, text)),
        _ => Ok(Content::Text(Kind::Text, text)),
    }
}

impl Hint {
    fn of(name: &str, declared: Option<&str>) -> Self {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        let by_name = match ending.as_deref() {
            Some("txt" | "text" | "log") => Self::Text,
            Some("md" | "markdown" | "mdown" | "mkd") => Self::Markdown,
            Some("html" | "htm" | "xhtml") => Self::Html,
            Some("csv" | "tsv" | "tab") => Self::Csv,
            Some("json") => Self::Json,
            Some("jsonl" | "ndjson") => Self::JsonLines,
            // The name lies, or there is none.
            None | Some("pdf" | "docx" | "pptx" | "xlsx") => Self::None,
            Some(_) => Self::Other,
        };
        if !matches!(by_name, Self::Other | Self::None) {
            return by_name;
        }
        let declared = declared.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match declared.as_str() {
            "text/markdown" | "text/x-markdown" => Self::Markdown,
            "text/html" | "application/xhtml+xml" => Self::Html,
            "text/csv" | "text/tab-separated-values" => Self::Csv,
            "application/json" => Self::Json,
            "application/jsonl" | "application/x-ndjson" | "application/jsonlines" => Self::JsonLines,
            _ => by_name,
        }
    }
}

fn is_html(text: &str, hint: Hint) -> bool {
    let mut rest = text.trim_start();
    // A declaration and remarks may stand before it.
    while let Some((opening, closing)) = [("<?xml", "?>"), ("<!--", "-->")].into_iter().find(|(opening, _)| rest.starts_with(opening)) {
        let Some((_, behind)) = rest[opening.len()..].split_once(closing) else { return false };
        rest = behind.trim_start();
    }
    let begins = |word: &str| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if begins("<!doctype html") || begins("<html") {
        return true;
    }
    let head = &text[..text.floor_char_boundary(HEAD)];
    hint == Hint::Html && head.contains('<') && head.contains('>')
}

/// Whether it looks like Markdown: a heading and something else that only Markdown has.
fn is_markdown(text: &str) -> bool {
    let head = &text[..text.floor_char_boundary(HEAD)];
    let any = |is: fn(&str) -> bool| head.lines().any(is);
    let heading = any(|line| {
        let rest = line.trim_start_matches('#');
        let level = line.len() - rest.len();
        (1..=6).contains(&level) && rest.starts_with(' ')
    });
    let other = any(|line| {
        line.starts_with("## ") || line.starts_with("```") || line.starts_with("- ") || line.starts_with("* ") || line.starts_with('>')
    });
    heading && (other || head.contains("](") || head.contains("**"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, declared: Option<&str>, text: impl Into<Bytes>) -> String {
        match recognise(name, declared, text.into(), 1 << 20) {
            Ok(Content::Text(kind, _)) => format!("{kind:?}").to_lowercase(),
            Ok(Content::Parsed(format, _)) => format.word().into(),
            Err(why) => format!("{why:?}"),
        }
    }

    #[test]
    fn the_content_decides_and_not_the_name() {
        let page = "<!-- made by hand -->\n<!DOCTYPE HTML><html><body>x</body></html>";
        for name in ["a.pdf", "a.txt", "a.md", "a.html", "a", "a.docx"] {
            assert_eq!(kind(name, Some("text/plain"), "%PDF-1.4 ..."), "pdf");
            assert_eq!(kind(name, None, "\n\n%PDF-1.4 ..."), "pdf");
            assert_eq!(kind(name, None, "PK\x03\x04..."), "office");
            assert_eq!(kind(name, Some("application/pdf"), page), "html");
            assert_eq!(kind(name, None, "{\"a\": [1, 2]}"), "json");
            assert_eq!(kind(name, None, "{\"a\": 1}\n{\"a\": 2}\n\n"), "json-lines");
            assert!(kind(name, None, "\x7fELF...").contains("a program"));
            assert_eq!(kind(name, None, ""), "Empty");
        }
        assert!(kind("a.pdf", None, &b"\x89PNG\r\n\x1a\n"[..]).contains("a picture"));
        assert!(kind("a.txt", None, "{\\rtf1 text}").contains("Rich Text"));
    }

    #[test]
    fn names_and_declared_types_tell_texts_apart_that_look_alike() {
        let text = "# a, b\n\n1, 2\n";
        for (name, declared, expected) in [
            ("a.txt", None, "text"),
            ("a.md", None, "markdown"),
            ("A.MD", Some("text/plain"), "markdown"),
            ("a.csv", None, "csv"),
            ("a.py", None, "text"),
            ("a", Some("text/markdown; charset=utf-8"), "markdown"),
            ("a", Some("text/csv"), "csv"),
            ("a", None, "text"),
        ] {
            assert_eq!(kind(name, declared, text), expected, "{name}");
        }
        assert_eq!(kind("README", None, "# A tool\n\n- one\n- two\n"), "markdown");
        assert_eq!(kind("a.html", None, "<p>part of a page"), "html");
        assert_eq!(kind("a.html", None, "no markup at all"), "text");
        assert_eq!(kind("a.md", None, "[a link](b)"), "markdown");
        assert_eq!(kind("a.json", None, "{\"a\": "), "json");
        assert_eq!(kind("a.jsonl", None, "{\"a\": 1}\n{\"b\""), "json-lines");
        assert_eq!(kind("a.txt", None, "{\"a\": "), "text");
    }

    #[test]
    fn a_text_that_cannot_fit_is_refused_before_it_is_decoded() {
        let long = "a".repeat(101);
        assert_eq!(recognise("a.txt", None, long.clone().into(), 50), Err(Refused::TextBytes));
        assert!(recognise("a.txt", None, long[..100].to_owned().into(), 50).is_ok(), "it is judged again as a text");
        assert!(recognise("a.html", None, long.into(), 50).is_ok());
    }

    #[test]
    fn words_of_formats_are_those_that_a_child_knows() {
        assert!(Format::ALL.into_iter().all(|format| Format::of_word(format.word()) == Some(format)));
        assert_eq!(Format::of_word("doc"), None);
    }
}
