//! Finds spans of personal data in a text and replaces each with a word for its kind. Text outside of the spans is never changed.

use std::ops::Range;

pub(crate) use personal_data::Kinds;
use personal_data::{Kind, find};

/// The text without personal data; none if there is nothing to redact.
pub(crate) fn redact(text: &str, kinds: Kinds) -> Option<String> {
    let spans = spans(text, kinds);
    (!spans.is_empty()).then(|| without(text, 0..text.len(), &spans))
}

/// A part of the text with a word in the place of each span that ends in it.
pub(crate) fn without(text: &str, part: Range<usize>, spans: &[(Range<usize>, &'static str)]) -> String {
    let mut out = String::with_capacity(part.len());
    let mut done = part.start;
    for (span, word) in spans.iter().filter(|(span, _)| span.end > part.start && span.end <= part.end) {
        out.push_str(&text[done..span.start.max(done)]);
        out.push_str(word);
        done = span.end;
    }
    out.push_str(&text[done..part.end]);
    out
}

/// Where there is personal data, in order, with the word for it.
pub(crate) fn spans(text: &str, kinds: Kinds) -> Vec<(Range<usize>, &'static str)> {
    let word = |kind| match kind {
        Kind::Email => "[redacted e-mail]",
        Kind::Phone => "[redacted phone]",
        Kind::Card => "[redacted card]",
    };
    find(text, kinds).into_iter().map(|(span, kind)| (span, word(kind))).collect()
}
