//! Splits a text into runs of digit groups: `+49 (0)30 1234-56` is one run of five groups. Knows what stands around a run and
//! between its groups, not what a run means.

use std::ops::Range;

/// What stands between two groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Separator {
    Space,
    Dash,
    Dot,
    Slash,
    /// A parenthesis, with or without a space or dash beside it.
    Paren,
}

/// Longest first. Spaces that do not break a line count as spaces; line breaks and everything else end a run.
const SEPARATORS: [(&str, Separator); 18] = [
    (" – ", Separator::Dash),
    (" - ", Separator::Dash),
    (" / ", Separator::Slash),
    (" (", Separator::Paren),
    (") ", Separator::Paren),
    (")-", Separator::Paren),
    (")/", Separator::Paren),
    ("(", Separator::Paren),
    (")", Separator::Paren),
    ("/", Separator::Slash),
    ("-", Separator::Dash),
    ("\u{2011}", Separator::Dash),
    ("–", Separator::Dash),
    (" ", Separator::Space),
    ("\u{a0}", Separator::Space),
    ("\u{2009}", Separator::Space),
    ("\u{202f}", Separator::Space),
    (".", Separator::Dot),
];

/// Groups of ASCII digits with separators between them.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    text: &'a str,
    groups: Vec<Range<usize>>,
    separators: Vec<Separator>,
}

/// All runs of a text in order.
pub(crate) fn runs(text: &str) -> Vec<Run<'_>> {
    let mut runs = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].bytes().position(|byte| byte.is_ascii_digit()) {
        let run = Run::parse(text, at + offset);
        at = run.end();
        runs.push(run);
    }
    runs
}

impl<'a> Run<'a> {
    fn parse(text: &'a str, start: usize) -> Self {
        let mut run = Self { text, groups: Vec::new(), separators: Vec::new() };
        let mut at = start;
        loop {
            let end = at + digits(&text[at..]);
            run.groups.push(at..end);
            let Some((separator, length)) = separator(&text[end..]) else { return run };
            run.separators.push(separator);
            at = end + length;
        }
    }

    /// The number of groups.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn group(&self, index: usize) -> &'a str {
        &self.text[self.groups[index].clone()]
    }

    /// The lengths of the groups in `from..to`.
    pub(crate) fn sizes(&self, from: usize, to: usize) -> Vec<usize> {
        self.groups[from..to].iter().map(Range::len).collect()
    }

    /// The separators between the groups in `from..to`.
    pub(crate) fn inner(&self, from: usize, to: usize) -> &[Separator] {
        &self.separators[from..to - 1]
    }

    /// What stands between the group before `index` and that one.
    pub(crate) fn separator_before(&self, index: usize) -> Option<Separator> {
        index.checked_sub(1).map(|index| self.separators[index])
    }

    /// What stands between the last group before `end` and the next one.
    pub(crate) fn separator_after(&self, end: usize) -> Option<Separator> {
        self.separators.get(end - 1).copied()
    }

    /// The digits of the groups in `from..to`.
    pub(crate) fn digits(&self, from: usize, to: usize) -> impl Iterator<Item = u8> + use<'_> {
        self.groups[from..to].iter().flat_map(|group| self.text[group.clone()].bytes())
    }

    pub(crate) fn start(&self) -> usize {
        self.groups[0].start
    }

    pub(crate) fn end(&self) -> usize {
        self.groups[self.groups.len() - 1].end
    }

    /// The text before the group.
    pub(crate) fn before(&self, index: usize) -> &'a str {
        &self.text[..self.groups[index].start]
    }

    /// The text after the last group before `end`.
    pub(crate) fn after(&self, end: usize) -> &'a str {
        &self.text[self.groups[end - 1].end..]
    }

    /// Whether a `+` stands before the group.
    pub(crate) fn has_plus(&self, index: usize) -> bool {
        self.before(index).ends_with('+')
    }

    /// Whether the group stands in a parenthesis of its own.
    pub(crate) fn is_in_parens(&self, index: usize) -> bool {
        self.before(index).trim_end_matches('+').ends_with('(') && self.after(index + 1).starts_with(')')
    }

    /// The groups `from..to` in the text, with the sign and the parenthesis that belong to the first one.
    pub(crate) fn span(&self, from: usize, to: usize) -> Range<usize> {
        let sign = usize::from(self.has_plus(from));
        // A parenthesis that stays open after the last group is not the number's own.
        let paren = usize::from(self.is_in_parens(from) && to - from > 1);
        self.groups[from].start - sign - paren..self.groups[to - 1].end
    }

    /// Whether the run is the rest of an account number such as `DE89 3704 0044 0532 0130 00`, which holds cards and phones by chance.
    pub(crate) fn is_iban(&self) -> bool {
        let mut letters = self.before(0).chars().rev();
        let country = letters.by_ref().take(2).filter(char::is_ascii_uppercase).count() == 2;
        country && !letters.next().is_some_and(joins) && self.group(0).len() == 2 && self.len() >= 4
    }

    /// Whether a letter, a digit or `_` stands right before the run: then its first group is the end of a word such as `A4`.
    pub(crate) fn begins_in_word(&self) -> bool {
        let before = self.before(0);
        before.strip_suffix('+').unwrap_or(before).chars().next_back().is_some_and(joins)
    }

    /// Whether a letter, `_` or `@` stands right after the run: then its last group is the start of a word such as `3rd`.
    /// The `x` of an extension (`555-123-4567x89`) does not count.
    pub(crate) fn ends_in_word(&self) -> bool {
        let after = self.after(self.len());
        let extension = after.strip_prefix('x').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        !extension && after.chars().next().is_some_and(|c| joins(c) || c == '@')
    }
}

/// Whether a character makes one word of itself and a digit beside it. Scripts that are written without spaces do not.
fn joins(c: char) -> bool {
    c == '_' || (c.is_alphanumeric() && !is_unspaced(c))
}

/// Whether a letter is of a script that is written without spaces, or that puts its endings right after a foreign word.
pub fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}' | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{3ffff}')
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn separator(rest: &str) -> Option<(Separator, usize)> {
    let follows =
        |(text, _): &&(&str, Separator)| rest.strip_prefix(text).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    SEPARATORS.iter().find(follows).map(|(text, separator)| (*separator, text.len()))
}
