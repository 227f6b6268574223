//! Finds e-mail addresses, phone numbers and payment card numbers in a text, by hand-written scanners and not by regular expressions: every call
//! of a plugin runs in a fresh instance, which would compile them anew. Takes time in proportion to the text, and changes nothing.

mod card;
mod context;
mod email;
mod number;
mod phone;

use std::ops::Range;

pub use number::is_unspaced;

/// What to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    pub email: bool,
    pub phone: bool,
    pub card: bool,
}

impl Kinds {
    pub const ALL: Self = Self { email: true, phone: true, card: true };
    pub const NONE: Self = Self { email: false, phone: false, card: false };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Email,
    Phone,
    Card,
}

/// Where there is personal data, in order.
#[must_use]
pub fn find(text: &str, kinds: Kinds) -> Vec<(Range<usize>, Kind)> {
    let mut spans = Vec::new();
    if kinds.email {
        spans.extend(email::find(text).into_iter().map(|span| (span, Kind::Email)));
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
fn find_numbers(run: &number::Run<'_>, kinds: Kinds, spans: &mut Vec<(Range<usize>, Kind)>) {
    let mut at = 0;
    while at < run.len() {
        if let Some(end) = card::end(run, at) {
            if kinds.card {
                spans.push((run.span(at, end), Kind::Card));
            }
            at = end;
        } else if kinds.phone
            && let Some(end) = phone::end(run, at)
        {
            spans.push((run.span(at, end), Kind::Phone));
            at = end;
        } else {
            at += 1;
        }
    }
}
