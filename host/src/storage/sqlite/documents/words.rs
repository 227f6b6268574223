//! Texts as words: what the keyword index is given, and the terms of a question. Both are cut in the same way, which is what makes them meet.
//! Every token is the number of a namespace, a `z` and a word, so that no question reaches a posting of another namespace. Nothing that comes out
//! of here is anything but letters, digits and marks: a text cannot hold a word of a query language.
//!
//! Scripts that do not set words apart are cut into pairs of characters. Lower case, diacritics and English endings are left to the tokenizer
//! of the table.

mod stop;

use std::collections::HashSet;

/// Words of a question that are looked for; it is read from its start.
pub(super) const TERMS_MAX: usize = 32;
/// Characters of a word; what is longer is cut, in texts and questions alike.
const WORD_CHARS: usize = 48;

/// The namespace's words of the texts, as the table takes them.
pub(super) fn indexed(namespace: i64, texts: &[&str]) -> String {
    let prefix = prefix(namespace);
    let mut out = String::new();
    for text in texts {
        each(text, |word| {
            out.push_str(&prefix);
            out.push_str(word);
            out.push(' ');
        });
    }
    out
}

/// The different words of a question, the common ones of its language left out, as far as `TERMS_MAX`.
pub(super) fn terms(question: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut seen = HashSet::new();
    each(question, |word| {
        let word = word.to_lowercase();
        // Common words go first, so that some more are read.
        if words.len() < 4 * TERMS_MAX && seen.insert(word.clone()) {
            words.push(word);
        }
    });
    let common = stop::language(&words);
    words.retain(|word| !common.contains(&word.as_str()));
    words.truncate(TERMS_MAX);
    words
}

/// A term as a query of the table.
pub(super) fn query(namespace: i64, term: &str) -> String {
    format!("\"{}{term}\"", prefix(namespace))
}

/// `z` because no rule for English endings takes it away, and a number ends at the first one.
fn prefix(namespace: i64) -> String {
    format!("{namespace}z")
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    /// Of a script that does not set words apart.
    Spaceless,
    /// Joins the parts of an identifier, as in `ERR-4012`.
    Joint,
    Other,
}

/// Calls `take` with every word.
fn each(text: &str, mut take: impl FnMut(&str)) {
    let mut identifier = Identifier::default();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let class = class(first);
        let end = rest.find(|c| self::class(c) != class).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        match class {
            Class::Letter => {
                let word = start(run);
                take(word);
                identifier.push(word);
            }
            Class::Joint if run.len() == 1 && rest.chars().next().is_some_and(|next| self::class(next) == Class::Letter) => {
                identifier.underscore |= run == "_";
            }
            _ => identifier.finish(&mut take),
        }
        if class == Class::Spaceless {
            pairs(run, &mut take);
        }
    }
    identifier.finish(&mut take);
}

/// Parts of what may be one name, such as `P-047`, `v2.3.1` or `max_tokens`. It is a word of its own besides its parts.
#[derive(Default)]
struct Identifier {
    joined: String,
    parts: usize,
    underscore: bool,
}

impl Identifier {
    fn push(&mut self, word: &str) {
        self.parts += 1;
        if self.joined.len() < 2 * WORD_CHARS {
            self.joined.push_str(word);
        }
    }

    fn finish(&mut self, take: &mut impl FnMut(&str)) {
        let Self { joined, parts, underscore } = std::mem::take(self);
        let digit = joined.contains(|c: char| c.is_numeric());
        let letter = joined.contains(|c: char| c.is_alphabetic());
        if parts > 1 && (underscore || (digit && (letter || parts > 2))) {
            take(start(&joined));
        }
    }
}

fn pairs(run: &str, take: &mut impl FnMut(&str)) {
    let mut starts = run.char_indices().map(|(at, _)| at).chain([run.len()]);
    let (mut from, mut middle) = (starts.next().unwrap_or(0), starts.next().unwrap_or(run.len()));
    if middle == run.len() {
        take(run);
    }
    for end in starts {
        take(&run[from..end]);
        (from, middle) = (middle, end);
    }
}

fn start(word: &str) -> &str {
    word.char_indices().nth(WORD_CHARS).map_or(word, |(end, _)| &word[..end])
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Class::Letter,
        '-' | '_' | '.' | '/' | ':' => Class::Joint,
        _ if c.is_ascii() => Class::Other,
        // Thai, Lao, Myanmar, Khmer; kana; Han; Hangul, which sets words apart and hangs particles on them.
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' if c.is_alphabetic() || is_mark(c) => Class::Spaceless,
        '\u{1100}'..='\u{11ff}' | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' if c.is_alphabetic() => {
            Class::Spaceless
        }
        '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}'
            if c.is_alphabetic() =>
        {
            Class::Spaceless
        }
        _ if c.is_alphanumeric() || is_mark(c) => Class::Letter,
        _ => Class::Other,
    }
}

/// Marks that are part of a word and no letters by themselves: accents, and the signs of Hebrew, Arabic, the scripts of India, and Thai.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{487}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}'
        | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e4}'
        | '\u{900}'..='\u{963}' | '\u{981}'..='\u{983}' | '\u{9bc}'..='\u{9cd}' | '\u{a3c}'..='\u{a4d}' | '\u{abc}'..='\u{acd}'
        | '\u{b3c}'..='\u{b4d}' | '\u{bbe}'..='\u{bcd}' | '\u{c3c}'..='\u{c4d}' | '\u{cbc}'..='\u{ccd}' | '\u{d3b}'..='\u{d4d}'
        | '\u{dca}'..='\u{ddf}' | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{eb1}' | '\u{eb4}'..='\u{ebc}' | '\u{ec8}'..='\u{ece}'
        | '\u{102b}'..='\u{103e}' | '\u{17b4}'..='\u{17d3}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        each(text, |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn words_are_letters_digits_and_marks() {
        assert_eq!(words("The pump, “N° 7”!"), ["The", "pump", "N", "7"]);
        assert_eq!(words("größe naïve Ελλάδα"), ["größe", "naïve", "Ελλάδα"]);
        assert_eq!(words("हिन्दी भाषा"), ["हिन्दी", "भाषा"]);
        assert_eq!(words(" \n—…"), [""; 0]);
    }

    #[test]
    fn scripts_without_spaces_are_pairs() {
        assert_eq!(words("防水圍堰。水"), ["防水", "水圍", "圍堰", "水"]);
        assert_eq!(words("第2版"), ["第", "2", "版"]);
        assert_eq!(words("データ"), ["デー", "ータ"]);
        assert_eq!(words("가물막이는"), ["가물", "물막", "막이", "이는"]);
        assert_eq!(words("ABC製品"), ["ABC", "製品"]);
    }

    #[test]
    fn identifiers_are_words_besides_their_parts() {
        assert_eq!(words("ERR-4012."), ["ERR", "4012", "ERR4012"]);
        assert_eq!(words("v2.3.1"), ["v2", "3", "1", "v231"]);
        assert_eq!(words("max_tokens"), ["max", "tokens", "maxtokens"]);
        assert_eq!(words("well-known"), ["well", "known"]);
        assert_eq!(words("1.5"), ["1", "5"]);
        assert_eq!(words("a--b 4-"), ["a", "b", "4"]);
    }

    #[test]
    fn every_token_names_its_namespace_and_a_long_one_is_cut() {
        assert_eq!(indexed(12, &["One two", "三四"]), "12zOne 12ztwo 12z三四 ");
        assert_eq!(words(&"é".repeat(WORD_CHARS + 9)), ["é".repeat(WORD_CHARS)]);
        assert_eq!(query(12, "one"), "\"12zone\"");
    }

    #[test]
    fn terms_are_different_words_without_the_common_ones_of_their_language() {
        assert_eq!(terms("Who won the war, and who lost the WAR?"), ["won", "war", "lost"]);
        assert_eq!(terms("Wie war der Druck der Pumpe?"), ["druck", "pumpe"]);
        assert_eq!(terms("Quelle est la pression de la pompe ?"), ["pression", "pompe"]);
        assert_eq!(terms("what is it?"), [""; 0]);
        assert_eq!(terms("\"' OR * NEAR( ^ words: -"), ["near", "words"]);
        assert_eq!(terms("!?… \u{0} \n"), [""; 0]);
        let many: String = (0..1000).map(|n| format!("the word{n} ")).collect();
        assert_eq!(terms(&many).len(), TERMS_MAX);
    }

    #[test]
    fn whatever_a_question_holds_its_terms_are_letters_digits_and_marks() {
        let hostile =
            ["\" OR 1z", "a\"b", "a*", "{words}: x", "NEAR(a b, 3)", "a AND NOT b", "x\u{0}y", "^a + b", "'; DROP TABLE chunks; --"];
        for term in hostile.iter().flat_map(|question| terms(question)) {
            assert!(term.chars().all(|c| c.is_alphanumeric() || is_mark(c)), "{term:?}");
        }
        for c in ('\u{0}'..=char::MAX).filter(|c| matches!(class(*c), Class::Letter | Class::Spaceless)) {
            assert!(c.is_alphanumeric() || is_mark(c), "{c:?}");
        }
    }
}
