//! Postal addresses, in three forms only: `12 Main Street, Springfield, IL 62701`, `Hauptstr. 5, 10115 Berlin` and `12 rue de la Paix, 75002 Paris`.
//! There must be a street with a number; towns alone are none.

use std::ops::Range;

use crate::words::Words;

const ENGLISH: [&str; 24] = [
    "street",
    "st",
    "avenue",
    "ave",
    "road",
    "rd",
    "lane",
    "ln",
    "drive",
    "dr",
    "boulevard",
    "blvd",
    "court",
    "ct",
    "square",
    "sq",
    "place",
    "pl",
    "way",
    "terrace",
    "close",
    "highway",
    "hwy",
    "parkway",
];
const GERMAN: [&str; 10] = ["straße", "strasse", "str", "weg", "platz", "allee", "gasse", "ufer", "chaussee", "damm"];
const FRENCH: [&str; 8] = ["rue", "avenue", "boulevard", "place", "quai", "impasse", "chemin", "cours"];
const FRENCH_PARTICLES: [&str; 8] = ["de", "du", "des", "la", "le", "les", "l", "d"];
/// How many words a street's name and what follows it may have.
const MOST_WORDS: usize = 6;

/// Where there are addresses.
pub(crate) fn find(words: &Words<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let end = english(words, at).or_else(|| german(words, at)).or_else(|| french(words, at));
        if let Some(end) = end {
            found.push(words.range(at).start..words.range(end - 1).end);
        }
        at = end.unwrap_or(at + 1);
    }
    found
}

fn english(words: &Words<'_>, at: usize) -> Option<usize> {
    if !is_number(words.get(at), 5) || words.gap(at) != Some(" ") {
        return None;
    }
    let mut street = None;
    for index in at + 1..words.len().min(at + MOST_WORDS) {
        let word = words.get(index);
        if index > at + 1 && ENGLISH.contains(&word.to_lowercase().as_str()) && is_capitalised(word) {
            street = Some(index + 1);
        }
        let is_ordinal = word.starts_with(|c: char| c.is_ascii_digit()) && word.ends_with(|c: char| c.is_ascii_lowercase());
        if !(is_capitalised(word) || is_ordinal) || !matches!(words.gap(index), Some(" " | ". " | "'" | "’")) {
            break;
        }
    }
    street.map(|end| english_town(words, end).unwrap_or(end))
}

/// `, Apt 4, Springfield, IL 62701` or `, London NW1 6XE`
fn english_town(words: &Words<'_>, street: usize) -> Option<usize> {
    for index in street..words.len().min(street + MOST_WORDS) {
        let (word, next) = (words.get(index), words.get(index + 1));
        if !is_gap(words, index - 1) || !(is_capitalised(word) || is_number(word, 5)) {
            return None;
        }
        let upper = word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        let state = word.len() == 2 && upper && is_number(next, 5) && next.len() == 5;
        let postcode = (2..=4).contains(&word.len()) && upper && word.ends_with(|c: char| c.is_ascii_alphanumeric()) && is_inward(next);
        if (state || postcode) && words.gap(index) == Some(" ") {
            return Some(index + 2);
        }
    }
    None
}

/// The second half of a British postcode.
fn is_inward(word: &str) -> bool {
    matches!(word.as_bytes(), [b'0'..=b'9', b'A'..=b'Z', b'A'..=b'Z'])
}

fn german(words: &Words<'_>, at: usize) -> Option<usize> {
    let is_street = |word: &str| {
        let lower = word.to_lowercase();
        GERMAN.iter().find(|ending| lower.ends_with(**ending)).map(|ending| lower.len() - ending.len())
    };
    if !is_capitalised(words.get(at)) {
        return None;
    }
    // `Hauptstraße 5`, or `Berliner Straße 5` with a word before.
    let street = match is_street(words.get(at)) {
        Some(stem) if stem > 2 => at,
        _ if is_capitalised(words.get(at + 1)) && matches!(words.gap(at), Some(" " | "-")) && is_street(words.get(at + 1)).is_some() => {
            at + 1
        }
        _ => return None,
    };
    if !matches!(words.gap(street), Some(" " | ". ")) || !is_number(words.get(street + 1), 4) {
        return None;
    }
    let end = street + 2;
    Some(continental_town(words, end).unwrap_or(end))
}

fn french(words: &Words<'_>, at: usize) -> Option<usize> {
    if !is_number(words.get(at), 4) || !matches!(words.gap(at), Some(" " | ", ")) || !FRENCH.contains(&words.get(at + 1)) {
        return None;
    }
    let mut street = None;
    for index in at + 2..words.len().min(at + 2 + MOST_WORDS) {
        if is_capitalised(words.get(index)) {
            street = Some(index + 1);
        } else if !FRENCH_PARTICLES.contains(&words.get(index)) {
            break;
        }
        if !matches!(words.gap(index), Some(" " | "-" | "'" | "’")) {
            break;
        }
    }
    street.map(|end| continental_town(words, end).unwrap_or(end))
}

/// `, 10115 Berlin`
fn continental_town(words: &Words<'_>, street: usize) -> Option<usize> {
    let is_code = matches!(words.get(street).len(), 4 | 5) && is_number(words.get(street), 5);
    if !is_code || !is_gap(words, street - 1) || words.gap(street) != Some(" ") || !is_capitalised(words.get(street + 1)) {
        return None;
    }
    let second = is_capitalised(words.get(street + 2)) && matches!(words.gap(street + 1), Some(" " | "-"));
    Some(street + 2 + usize::from(second))
}

fn is_gap(words: &Words<'_>, index: usize) -> bool {
    words.gap(index).is_some_and(|gap| gap.len() <= 3 && gap.chars().all(|c| matches!(c, ' ' | ',' | '\n' | '.' | '#')))
}

/// Digits, with a letter after them at most.
fn is_number(word: &str, most: usize) -> bool {
    let digits = word.strip_suffix(|c: char| c.is_ascii_alphabetic()).unwrap_or(word);
    !digits.is_empty() && digits.len() <= most && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_capitalised(word: &str) -> bool {
    word.starts_with(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found() {
        for address in [
            "12 Main Street",
            "221B Baker Street, London NW1 6XE",
            "350 5th Ave",
            "12 N. Oak Ave, Apt 4, Springfield, IL 62701",
            "1600 Pennsylvania Avenue\nWashington, DC 20500",
            "Hauptstraße 5",
            "Hauptstr. 5a, 10115 Berlin",
            "Berliner Straße 12\n60311 Frankfurt",
            "Kurfürstendamm 7",
            "12 rue de la Paix, 75002 Paris",
            "7, avenue Victor-Hugo",
        ] {
            let text = format!("They live at {address}, and so do we.");
            let found: Vec<&str> = find(&Words::of(&text)).into_iter().map(|range| &text[range]).collect();
            assert_eq!(found, [address]);
        }
    }

    #[test]
    fn what_only_looks_like_an_address_is_left() {
        for text in [
            "5 streets",
            "12 people in Main Street",
            "Spring 5",
            "Engineering 101",
            "String 255",
            "Room 12",
            "5 place settings",
            "10115 Berlin",
        ] {
            assert_eq!(find(&Words::of(text)), [], "{text}");
        }
    }
}
