//! The headings that a position in a Markdown text stands under.
//! Positions must be asked for in rising order, which makes a whole document one walk.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag};

struct Heading {
    range: Range<usize>,
    level: usize,
    /// As an ATX line, whichever way it was written.
    line: String,
}

/// A walk through a text's headings; positions are asked for in rising order.
pub(super) struct Headings<'a> {
    text: &'a str,
    all: Vec<Heading>,
    /// How many of `all` begin before the position asked for last.
    passed: usize,
    /// Indices of the passed ones that are still open, outermost first.
    open: Vec<usize>,
}

/// Bytes of a title that are looked at: more than fits beside a chunk, and every chunk below it is measured with it.
const TITLE_BYTES: usize = 1 << 10;

impl<'a> Headings<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let all = Parser::new_ext(text, Options::all()).into_offset_iter().filter_map(|(event, range)| match event {
            Event::Start(Tag::Heading { level, .. }) => {
                let level = level as usize;
                let title = text[range.clone()].lines().next()?.trim_matches(['#', ' ', '\t']);
                let title = &title[..title.floor_char_boundary(TITLE_BYTES)];
                Some(Heading { range, level, line: format!("{} {title}", "#".repeat(level)) })
            }
            _ => None,
        });
        Self { text, all: all.collect(), passed: 0, open: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The byte offsets where headings begin, rising.
    pub(super) fn starts(&self) -> Vec<usize> {
        self.all.iter().map(|heading| heading.range.start).collect()
    }

    /// The headings that a piece of the text stands under, those that it begins with included, outermost first; and where its text begins behind
    /// these. A piece of headings only is its own text.
    pub(super) fn under(&mut self, piece: Range<usize>) -> (Vec<&str>, usize) {
        let above = self.open_at(piece.start);
        let mut open = above.clone();
        let mut at = piece.start;
        for (index, heading) in self.all.iter().enumerate().skip(self.passed).take_while(|(_, heading)| heading.range.start < piece.end) {
            if !self.text[at..heading.range.start].trim().is_empty() {
                break;
            }
            while open.pop_if(|last| self.all[*last].level >= heading.level).is_some() {}
            open.push(index);
            at = heading.range.end.min(piece.end);
        }
        let (open, at) = if self.text[at..piece.end].trim().is_empty() { (above, piece.start) } else { (open, at) };
        (open.into_iter().map(|index| self.all[index].line.as_str()).collect(), at)
    }

    /// The indices of the headings above the byte offset, outermost first. One that begins there is not above, and closes those of its level and
    /// deeper.
    fn open_at(&mut self, at: usize) -> Vec<usize> {
        while let Some(heading) = self.all.get(self.passed).filter(|heading| heading.range.start < at) {
            while self.open.pop_if(|last| self.all[*last].level >= heading.level).is_some() {}
            self.open.push(self.passed);
            self.passed += 1;
        }
        let next = self.all.get(self.passed).filter(|next| self.text[at..next.range.start].trim_start().is_empty());
        let level = next.map_or(usize::MAX, |next| next.level);
        self.open.iter().copied().filter(|index| self.all[*index].level < level).collect()
    }

    /// The last heading of a piece of the text that holds headings only. The piece begins at the position asked for last.
    pub(super) fn alone(&self, piece: Range<usize>) -> Option<&str> {
        let mut at = piece.start;
        let mut last = None;
        for heading in self.all[self.passed..].iter().take_while(|heading| heading.range.start < piece.end) {
            if !self.text[at..heading.range.start].trim().is_empty() {
                return None;
            }
            at = heading.range.end.min(piece.end);
            last = Some(heading.line.as_str());
        }
        last.filter(|_| self.text[at..piece.end].trim().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let at = text.find('@').expect("the position is marked");
        let mut headings = Headings::of(text);
        let above = headings.open_at(at);
        assert_eq!(above.into_iter().map(|index| headings.all[index].line.as_str()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_position_stands_under_the_open_headings_only() {
        check("# A\n\n## B\n\nx\n\n## C\n\n@", &["# A", "## C"]);
        check("# A\n\n### B\n\nx\n\n## C ##\n\n@", &["# A", "## C"]);
        check("# A\n\n# B\n\n@", &["# B"]);
        check("@\n\n# A", &[]);
        check("Title\n=====\n\nPart\n----\n\n@", &["# Title", "## Part"]);
    }

    #[test]
    fn a_number_sign_in_code_is_no_heading() {
        check("# A\n\n```sh\n# a comment\n```\n\n@", &["# A"]);
    }

    #[test]
    fn a_piece_of_headings_only_is_told_from_others() {
        for (text, expected) in
            [("# A\n\n## B #\n", Some("## B")), ("# A\n\nx", None), ("x", None), ("x\n\n# A", None), ("A\n=\n", Some("# A"))]
        {
            assert_eq!(Headings::of(text).alone(0..text.len()), expected, "{text:?}");
        }
    }

    #[test]
    fn a_piece_stands_under_the_headings_that_it_begins_with_too() {
        let text = "# A\n\n## B\n\nx\n\n## C\n\ny\n\n# D\n\n## E\n";
        let mut headings = Headings::of(text);
        let at = |what: &str| text.find(what).unwrap();
        assert_eq!(headings.under(0..at("## C")), (vec!["# A", "## B"], at("\n\nx") + 1));
        assert_eq!(headings.under(at("## C")..at("# D")), (vec!["# A", "## C"], at("\n\ny") + 1));
        assert_eq!(headings.under(at("y")..at("# D")), (vec!["# A", "## C"], at("y")));
        assert_eq!(headings.under(at("# D")..text.len()), (vec![], at("# D")), "headings only");
        assert_eq!(headings.under(at("## E")..text.len()), (vec!["# D"], at("## E")));
    }
}
