//! A text as its words, and lists of names to look for among them. Words are compared without regard to how their accents are written; what stands
//! between two words of a name may differ a little (`Anna-Lena`, `Anna Lena`).

use std::collections::HashMap;
use std::ops::Range;

use personal_data::is_unspaced;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The words of a text in order. A letter of a script that is written without spaces is a word.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    pub(crate) text: &'a str,
    ranges: Vec<Range<usize>>,
}

impl<'a> Words<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut open = false;
        for (at, c) in text.char_indices() {
            let end = at + c.len_utf8();
            if c.is_alphanumeric() && is_unspaced(c) {
                ranges.push(at..end);
                open = false;
            } else if c.is_alphanumeric() || (open && is_combining_mark(c)) {
                match ranges.last_mut().filter(|_| open) {
                    Some(word) => word.end = end,
                    None => ranges.push(at..end),
                }
                open = true;
            } else {
                open = false;
            }
        }
        Self { text, ranges }
    }

    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    pub(crate) fn range(&self, index: usize) -> Range<usize> {
        self.ranges[index].clone()
    }

    /// The word; empty beyond the last one.
    pub(crate) fn get(&self, index: usize) -> &'a str {
        self.ranges.get(index).map_or("", |range| &self.text[range.clone()])
    }

    /// What stands between that word and the next one; none after the last word.
    pub(crate) fn gap(&self, index: usize) -> Option<&'a str> {
        self.ranges.get(index + 1).map(|next| &self.text[self.ranges[index].end..next.start])
    }
}

/// Whether case matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Any,
    /// As it is given or all in upper case, which tells names from words that are spelled alike.
    Kept,
}

/// Names to look for.
#[derive(Debug)]
pub(crate) struct List {
    case: Case,
    /// The words of each name by the first one, the longest name first.
    names: HashMap<String, Vec<Vec<String>>>,
}

impl List {
    pub(crate) fn new(case: Case) -> Self {
        Self { case, names: HashMap::new() }
    }

    pub(crate) fn add(&mut self, name: &str) {
        let words = Words::of(name);
        let spelled: Vec<String> = (0..words.len()).map(|index| self.fold(words.get(index))).collect();
        if self.case == Case::Kept {
            self.insert(spelled.iter().map(|word| word.to_uppercase()).collect());
        }
        self.insert(spelled);
    }

    fn insert(&mut self, name: Vec<String>) {
        let Some(first) = name.first() else { return };
        let names = self.names.entry(first.clone()).or_default();
        if !names.contains(&name) {
            let place = names.partition_point(|other| other.len() >= name.len());
            names.insert(place, name);
        }
    }

    fn fold(&self, word: &str) -> String {
        let composed: String = word.nfc().collect();
        if self.case == Case::Any { composed.to_lowercase() } else { composed }
    }

    /// Where the names stand.
    pub(crate) fn find(&self, words: &Words<'_>) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        if self.names.is_empty() {
            return found;
        }
        let folded: Vec<String> = (0..words.len()).map(|index| self.fold(words.get(index))).collect();
        let mut at = 0;
        while at < folded.len() {
            let names = self.names.get(&folded[at]).into_iter().flatten();
            let name = names
                .into_iter()
                .find(|name| folded[at..].starts_with(name) && (at..at + name.len() - 1).all(|index| is_near(words, index)));
            if let Some(name) = name {
                found.push(words.range(at).start..words.range(at + name.len() - 1).end);
            }
            at += name.map_or(1, Vec::len);
        }
        found
    }
}

fn is_near(words: &Words<'_>, index: usize) -> bool {
    words.gap(index).is_some_and(|gap| gap.chars().count() <= 3 && gap.matches('\n').count() < 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn found<'a>(case: Case, name: &str, text: &'a str) -> Vec<&'a str> {
        let mut list = List::new(case);
        list.add(name);
        list.find(&Words::of(text)).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn names_are_found_as_whole_words_however_they_are_joined() {
        let text = "Jean-Luc, jean luc and JEAN_LUC, not Jean-Lucas, not Jean alone, not Jean and Luc.";
        assert_eq!(found(Case::Any, "Jean Luc", text), ["Jean-Luc", "jean luc", "JEAN_LUC"]);
        assert_eq!(found(Case::Any, "O'Brien", "o’brien's"), ["o’brien"]);
    }

    #[test]
    fn accents_may_be_written_in_two_ways_and_scripts_without_spaces_have_no_words() {
        assert_eq!(found(Case::Any, "Müller", "Mu\u{308}ller, MÜLLER"), ["Mu\u{308}ller", "MÜLLER"]);
        assert_eq!(found(Case::Any, "王小明", "我叫王小明。"), ["王小明"]);
    }

    #[test]
    fn case_can_tell_a_name_from_a_word() {
        assert_eq!(found(Case::Kept, "Brown", "Brown, BROWN, brown"), ["Brown", "BROWN"]);
    }

    #[test]
    fn the_longest_name_is_taken() {
        let mut list = List::new(Case::Any);
        ["Jane", "Jane Doe", "Jane D"].iter().for_each(|name| list.add(name));
        assert_eq!(list.find(&Words::of("Jane Doe")), vec![Range { start: 0, end: 8 }]);
    }
}
