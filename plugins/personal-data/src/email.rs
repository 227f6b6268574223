//! E-mail addresses: a local part, `@` and a domain with a dot. Stops where prose, markdown and code begin, and at scripts that are
//! written without spaces around an address. Whether a mailbox exists is not asked.

use std::ops::Range;

use crate::number::is_unspaced;

/// `@` as it is written in prose, in URLs and in wide type.
const AT: [&str; 3] = ["@", "%40", "\u{ff20}"];

/// Ends of file names that look like domains: `icon@2x.png`.
const FILE_ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "gif", "webp", "svg", "ico", "pdf"];

/// All addresses of a text, in order.
pub(crate) fn find(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, sign) in signs(text) {
        let free = found.last().map_or(0, |last| last.end);
        if at < free {
            continue;
        }
        let Some(end) = domain_end(text, at + sign.len()) else { continue };
        let Some(start) = local_start(text, free, at, end) else { continue };
        // `git@host:path` is where a program fetches from.
        let fetch = &text[start..at] == "git" && text[end..].starts_with(':');
        if !fetch {
            found.push(start..end);
        }
    }
    found
}

fn signs(text: &str) -> impl Iterator<Item = (usize, &'static str)> + use<'_> {
    let candidates = text.bytes().enumerate().filter(|(_, byte)| matches!(byte, b'@' | b'%' | 0xef));
    candidates.filter_map(|(at, _)| AT.into_iter().find(|sign| text.as_bytes()[at..].starts_with(sign.as_bytes())).map(|sign| (at, sign)))
}

/// Where the local part that ends at `at` starts.
fn local_start(text: &str, free: usize, at: usize, end: usize) -> Option<usize> {
    let before = &text[free..at];
    if before.ends_with('"') {
        return quoted_start(before).map(|start| free + start);
    }
    let last = before.chars().next_back()?;
    let mut start = before.len();
    for (index, c) in before.char_indices().rev() {
        // `o'brien`, but not the quote in `to='brien`.
        let inner_quote = c == '\'' && before[..index].ends_with(|c: char| c.is_alphanumeric());
        let plain = c.is_alphanumeric() && is_unspaced(c) == is_unspaced(last);
        if !(plain || inner_quote || matches!(c, '.' | '_' | '%' | '+' | '-')) {
            break;
        }
        start = index;
    }
    let local = before[start..].trim_start_matches(['.', '%', '+', '-']);
    // `_a@example.org_` is an address in italics.
    let local = if text[end..].starts_with('_') { local.trim_start_matches('_') } else { local };
    (!local.is_empty()).then(|| at - local.len())
}

/// `"john doe"@example.org`
fn quoted_start(before: &str) -> Option<usize> {
    let inside = &before[..before.len() - 1];
    let line = inside.rfind('\n').map_or(0, |end| end + 1);
    inside[line..].rfind('"').map(|start| line + start).filter(|start| inside.len() - start <= 64)
}

/// Where the domain that starts at `from` ends; none if what follows is no domain with a dot.
fn domain_end(text: &str, from: usize) -> Option<usize> {
    let unspaced = is_unspaced(text[from..].chars().next()?);
    let mut labels: Vec<Range<usize>> = Vec::new();
    let mut at = from;
    loop {
        let label = label(&text[at..], unspaced);
        if label.is_empty() || begins_a_sentence(&text[from..at], label, labels.len()) {
            break;
        }
        labels.push(at..at + label.len());
        at += label.len();
        let rest = &text[at..];
        match rest.chars().next() {
            Some(dot @ ('.' | '\u{3002}')) => at += dot.len_utf8(),
            _ => break,
        }
    }
    while labels.last().is_some_and(|last| !is_top_level(&text[last.clone()])) {
        labels.pop();
    }
    let ending = labels.last().map(|last| text[last.clone()].to_ascii_lowercase());
    let file = ending.is_some_and(|ending| FILE_ENDINGS.contains(&ending.as_str()));
    labels.last().filter(|_| labels.len() >= 2 && !file).map(|last| last.end)
}

/// The letters, digits and hyphens that the text begins with, without hyphens at the end.
fn label(text: &str, unspaced: bool) -> &str {
    let belongs = |c: char| c == '-' || (c.is_alphanumeric() && is_unspaced(c) == unspaced);
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text[..end].trim_end_matches('-')
}

/// Whether a label is the first word of the next sentence: `at a@example.org.Thanks`.
fn begins_a_sentence(domain: &str, label: &str, labels: usize) -> bool {
    let lower = domain.trim_end_matches('.').ends_with(|c: char| c.is_lowercase());
    labels >= 2 && lower && label.starts_with(|c: char| c.is_uppercase())
}

fn is_top_level(label: &str) -> bool {
    label.starts_with("xn--") || (label.chars().count() >= 2 && label.chars().all(char::is_alphabetic))
}
