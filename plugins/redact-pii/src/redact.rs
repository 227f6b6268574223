//! Puts the scanners together: finds spans of personal data in a text and replaces each with a word for its kind.
//! Text outside of the spans is never changed.

use std::ops::Range;

use crate::{card, email, number, phone};

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub(crate) email: bool,
    pub(crate) phone: bool,
    pub(crate) card: bool,
}

impl Kinds {
    pub(crate) const ALL: Self = Self { email: true, phone: true, card: true };
    pub(crate) const NONE: Self = Self { email: false, phone: false, card: false };
}

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
    let mut spans = Vec::new();
    if kinds.email {
        spans.extend(email::find(text).into_iter().map(|span| (span, "[redacted e-mail]")));
    }
    if kinds.phone || kinds.card {
        let emails = spans.len();
        let mut email = 0;
        for run in number::runs(text) {
            while email < emails && spans[email].0.end <= run.start() {
                email += 1;
            }
            let overlaps = email < emails && spans[email].0.start < run.end();
            if !overlaps && !run.is_iban() {
                find_numbers(&run, kinds, &mut spans);
            }
        }
    }
    spans.sort_by_key(|(span, _)| span.start);
    spans
}

/// Cards come first: sixteen digits are never a phone number, but four of them may end one.
fn find_numbers(run: &number::Run<'_>, kinds: Kinds, spans: &mut Vec<(Range<usize>, &'static str)>) {
    let mut at = 0;
    while at < run.len() {
        if let Some(end) = card::end(run, at) {
            if kinds.card {
                spans.push((run.span(at, end), "[redacted card]"));
            }
            at = end;
        } else if kinds.phone
            && let Some(end) = phone::end(run, at)
        {
            spans.push((run.span(at, end), "[redacted phone]"));
            at = end;
        } else {
            at += 1;
        }
    }
}
