//! Where a text names a source, as the model was told to: in brackets, by its number or its name. What stands in code is no citation.

use crate::chat::Hit;

/// Characters between two brackets that are looked at: some names, or many numbers.
const INSIDE_CHARS: usize = 400;

/// Citations of one text that are told: far more than a reader follows.
const MARKS_MAX: usize = 64;

/// Brackets within brackets of the same kind.
const DEPTH_MAX: usize = 4;

/// Ranges such as `[1-4]` name each source between.
const RANGE_MAX: usize = 16;

/// One citation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// In characters from the start of the text, the brackets included.
    pub(super) start: usize,
    pub(super) end: usize,
    /// The place of the hit.
    pub(super) hit: usize,
}

/// The citations in the order of the text, the first ones if there are too many.
pub(super) fn marks(text: &str, hits: &[Hit]) -> Vec<Mark> {
    let chars: Vec<char> = text.chars().collect();
    let names = names(hits);
    let mut marks = Vec::new();
    let mut at = 0;
    while at < chars.len() && marks.len() < MARKS_MAX {
        if chars[at] == '`' {
            at = behind_code(&chars, at);
            continue;
        }
        if let Some(end) = closing(&chars, at) {
            let inside: String = chars[at + 1..end].iter().collect();
            let cited = cited(&inside, !matches!(chars[at], '(' | '（'), (hits.len(), &names));
            marks.extend(cited.iter().map(|hit| Mark { start: at, end: end + 1, hit: *hit }));
            // An outer bracket that cites nothing may hold one that does.
            if !cited.is_empty() {
                at = end;
            }
        }
        at += 1;
    }
    marks.truncate(MARKS_MAX);
    marks
}

/// The place behind code that begins here: as many backticks end it as begin it. Without such an end they are just characters.
fn behind_code(chars: &[char], at: usize) -> usize {
    let run = |from: usize| chars[from..].iter().take_while(|c| **c == '`').count();
    let ticks = run(at);
    let mut next = at + ticks;
    while next < chars.len() {
        match run(next) {
            0 => next += 1,
            count if count == ticks => return next + count,
            count => next += count,
        }
    }
    // An open fence goes on to the end of the text.
    if ticks >= 3 { chars.len() } else { at + ticks }
}

/// Where the bracket that opens here closes, on the same line.
fn closing(chars: &[char], at: usize) -> Option<usize> {
    let pairs = [('[', ']'), ('(', ')'), ('【', '】'), ('［', '］'), ('（', '）')];
    let (open, close) = pairs.into_iter().find(|(open, _)| *open == chars[at])?;
    let mut depth = 0;
    for (place, c) in chars.iter().enumerate().skip(at).take(INSIDE_CHARS) {
        if *c == open {
            depth += 1;
        } else if *c == close {
            depth -= 1;
        }
        if *c == '\n' || depth > DEPTH_MAX {
            return None;
        }
        if depth == 0 {
            return Some(place);
        }
    }
    None
}

/// The hits that stand between two brackets, each once.
fn cited(inside: &str, numbers: bool, (hits, names): (usize, &[(usize, String)])) -> Vec<usize> {
    let mut cited = Vec::new();
    if numbers {
        for item in inside.split([',', ';', '&', '、', '，']) {
            cited.extend(range(item).filter(|number| (1..=hits).contains(number)).map(|number| number - 1));
        }
    }
    if cited.is_empty() {
        cited = named(inside, names);
    }
    let mut once = Vec::new();
    for hit in cited {
        if !once.contains(&hit) {
            once.push(hit);
        }
    }
    once
}

/// `3`, `^3`, `source 3`, `3†a.md`, `1-4`; nothing else that has digits.
fn range(item: &str) -> impl Iterator<Item = usize> {
    let item = item.split('†').next().unwrap_or_default().trim().trim_start_matches('^');
    let lower = item.to_lowercase();
    let word = ["sources", "source", "excerpts", "excerpt", "quelle", "doc", "no.", "#"].into_iter().find(|word| lower.starts_with(word));
    let item = item.get(word.map_or(0, str::len)..).unwrap_or_default().trim_start_matches([':', ' ']);
    let number =
        |text: &str| Some(text.trim()).filter(|text| text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit()))?.parse::<usize>().ok();
    let (first, last) = match item.split_once(['-', '–']) {
        Some((first, last)) => (number(first), number(last)),
        None => (number(item), number(item)),
    };
    let range = first.zip(last).filter(|(first, last)| first <= last && last - first < RANGE_MAX);
    range.into_iter().flat_map(|(first, last)| first..=last)
}

/// The names that are looked for, in lower case, each with the best hit of its document. A longer name comes first, so that `a.md` is not found in
/// `data a.md`.
fn names(hits: &[Hit]) -> Vec<(usize, String)> {
    let mut names: Vec<(usize, String)> = Vec::new();
    for (at, hit) in hits.iter().enumerate() {
        let name = hit.source.to_lowercase();
        if !name.trim().is_empty() && !names.iter().any(|(_, known)| *known == name) {
            names.push((at, name));
        }
    }
    names.sort_by_key(|(at, name)| (std::cmp::Reverse(name.len()), *at));
    names
}

fn named(inside: &str, names: &[(usize, String)]) -> Vec<usize> {
    let mut rest = inside.to_lowercase();
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (hit, name) in names {
        if let Some(place) = whole(&rest, name) {
            found.push((place, *hit));
            // Blanks, so that places stay and no shorter name is found in it.
            rest.replace_range(place..place + name.len(), &" ".repeat(name.len()));
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, hit)| hit).collect()
}

/// The first place where the name stands by itself.
fn whole(text: &str, name: &str) -> Option<usize> {
    let joins = |c: char| c.is_alphanumeric() || matches!(c, '/' | '\\' | '_' | '-');
    text.match_indices(name).map(|(place, _)| place).find(|place| {
        let before = text[..*place].chars().next_back();
        let after = text[place + name.len()..].chars().next();
        !before.is_some_and(joins) && !after.is_some_and(joins)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits() -> Vec<Hit> {
        let hit = |source: &str| Hit { source: source.into(), ..Hit::default() };
        ["hours.md", "data/hours.md", "hours.md", "Report (final).pdf", "价格.md"].map(hit).into()
    }

    /// What is cited, as the texts of the marks with their hits.
    fn found(text: &str) -> Vec<(String, usize)> {
        let of = |mark: Mark| (text.chars().skip(mark.start).take(mark.end - mark.start).collect(), mark.hit);
        marks(text, &hits()).into_iter().map(of).collect()
    }

    #[test]
    fn a_source_is_cited_by_its_number_or_its_name_in_brackets() {
        for (text, expected) in [
            ("At six [1].", vec![("[1]", 0)]),
            ("At six[1][2], not seven [3, 4].", vec![("[1]", 0), ("[2]", 1), ("[3, 4]", 2), ("[3, 4]", 3)]),
            (
                "At six [1-3] [^2] [source 4] 【5†价格.md】",
                vec![("[1-3]", 0), ("[1-3]", 1), ("[1-3]", 2), ("[^2]", 1), ("[source 4]", 3), ("【5†价格.md】", 4)],
            ),
            ("\"At six.\" (hours.md)", vec![("(hours.md)", 0)]),
            (
                "See [data/hours.md; Hours.md, page 3].",
                vec![("[data/hours.md; Hours.md, page 3]", 1), ("[data/hours.md; Hours.md, page 3]", 0)],
            ),
            ("So says (Report (final).pdf).", vec![("(Report (final).pdf)", 3)]),
            ("六点（价格.md）。", vec![("（价格.md）", 4)]),
            ("[see (hours.md)]", vec![("[see (hours.md)]", 0)]),
            ("(or [2])", vec![("[2]", 1)]),
        ] {
            let expected: Vec<(String, usize)> = expected.into_iter().map(|(mark, hit)| (mark.to_owned(), hit)).collect();
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_citation_is_none() {
        for text in [
            "",
            "[",
            "]",
            "[]",
            "[0]",
            "[6]",
            "[99999999999999999999]",
            "(1)",
            "1.",
            "[x]",
            "[1.5]",
            "[+1]",
            "[-1]",
            "[2026]",
            "hours.md",
            "(myhours.md)",
            "(hours.mdx)",
            "`list[1]` and ``a ` [1]``",
            "```\nlist[1]\n```",
            "```\nlist[1]",
            "[\n1]",
            "[ ] to do",
            "[1\u{0663}]",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
        assert_eq!(found("` [1]"), [("[1]".to_owned(), 0)], "one backtick alone is no code");
        assert_eq!(found(&format!("[1{}]", " ".repeat(500))), []);
        assert!(marks("[1]", &[]).is_empty());
    }

    #[test]
    fn a_text_of_brackets_alone_takes_no_time_to_speak_of() {
        assert!(marks(&"[(".repeat(1 << 16), &hits()).is_empty());
        assert_eq!(marks(&"[1]".repeat(1 << 16), &hits()).len(), MARKS_MAX);
        assert!(marks(&"`".repeat(1 << 16), &hits()).is_empty());
    }
}
