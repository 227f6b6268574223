//! Text that comes in pieces: lets go of what no later piece can turn into personal data, so that a stream is redacted as its whole text would
//! be. It is cut behind a word that cannot be a part of any, and far enough before the end that what follows the word is known.

use std::ops::Range;

use cofferdam_guest::Tail;

use crate::redact::{Kinds, spans, without};

/// Bytes at the end that stay until more has come: longer than a number with its separators, or an address in use.
const HOLD_BYTES: usize = 96;
/// Without a word to cut behind, as in scripts without spaces, so much is held at most and the text is cut before what was found.
const HOLD_BYTES_MAX: usize = 1_024;

/// What goes on of the tail.
pub(crate) fn decided(tail: &mut Tail, last: bool, kinds: Kinds) -> String {
    let (text, from) = tail.with_context();
    if !last && text.len() - from <= HOLD_BYTES {
        return String::new();
    }
    let spans = spans(text, kinds);
    let end = if last { text.len() } else { cut(text, from, &spans) };
    let out = without(text, from..end, &spans);
    let _ = tail.take_to(end - from);
    out
}

fn cut(text: &str, from: usize, spans: &[(Range<usize>, &'static str)]) -> usize {
    let most = text.floor_char_boundary(text.len() - HOLD_BYTES);
    let inside = |at: usize| spans.iter().find(|(span, _)| span.start < at && at < span.end);
    let ends = text[from..most].char_indices().rev().filter(|(_, c)| c.is_whitespace()).map(|(at, c)| from + at + c.len_utf8());
    for at in ends {
        if inside(at).is_none() && is_quiet(text[..at].trim_end()) {
            return at;
        }
    }
    if text.len() - from <= HOLD_BYTES_MAX {
        return from;
    }
    inside(most).map_or(most, |(span, _)| span.start.max(from))
}

/// Whether the last word is no part of a number, an address or a quoted name.
fn is_quiet(text: &str) -> bool {
    let word = text.rsplit(char::is_whitespace).next().unwrap_or_default();
    word.len() > 1 && word.chars().all(|c| c.is_alphabetic() || matches!(c, ',' | ';' | ':' | '!' | '?'))
}

#[cfg(test)]
mod tests {
    use cofferdam_guest::{Texts, testing};

    use super::*;
    use crate::redact::redact;

    const TEXT: &str = "Jane (jane@example.org, +49 30 1234567) paid with 4111 1111 1111 1111 on 2024-01-15, as we all know. Please write to \
        jane.doe+news@mail.example.co.uk or to jörg@müller.example; order no. 555-123-4567 is no phone number, but (555) 123-4567 is one. \
        Nothing is said about DE89 3704 0044 0532 0130 00, which is an account. Tel.: 5551234567 and \
        `4242424242424242`, and 🦀jane@example.org🦀 too, and a last one at the very end that is long enough to be held: joe@example.org";

    fn streamed(pieces: &[&str]) -> String {
        let mut texts = Texts::default();
        let mut out = texts.push(testing::deltas(pieces), |tail, last| decided(tail, last, Kinds::ALL));
        out.extend(texts.close(|tail, last| decided(tail, last, Kinds::ALL)));
        testing::text_of(&out)
    }

    #[test]
    fn a_text_in_pieces_is_redacted_as_the_whole_one_however_it_is_cut() {
        let whole = redact(TEXT, Kinds::ALL).unwrap();
        let mut random = 7_u64;
        for round in 0..2_000 {
            let mut pieces = Vec::new();
            let mut rest = TEXT;
            while !rest.is_empty() {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let size = 1 + (random >> 33) as usize % (1 + round % 60);
                let (piece, more) = rest.split_at(rest.ceil_char_boundary(size.min(rest.len())));
                pieces.push(piece);
                rest = more;
            }
            assert_eq!(streamed(&pieces), whole, "{pieces:?}");
        }
    }

    #[test]
    fn no_more_is_held_back_than_is_needed() {
        let mut tail = Tail::default();
        let mut out = String::new();
        for _ in 0..100 {
            tail.push("plain words ");
            out += &decided(&mut tail, false, Kinds::ALL);
            assert!(tail.as_str().len() <= HOLD_BYTES + 24, "{}", tail.as_str().len());
        }
        for _ in 0..1_000 {
            tail.push("无空格");
            out += &decided(&mut tail, false, Kinds::ALL);
            assert!(tail.as_str().len() <= HOLD_BYTES_MAX + 16, "{}", tail.as_str().len());
        }
        out += &decided(&mut tail, true, Kinds::ALL);
        assert_eq!(out, "plain words ".repeat(100) + &"无空格".repeat(1_000));
    }
}
