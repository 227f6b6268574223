//! Names that follow a title: `Mr Smith`, `Frau Dr. Anna-Lena von Berg`. The title stays, because a reply needs it for its grammar. Names without
//! a title are not guessed.

use std::ops::Range;

use crate::words::Words;

const TITLES: [&str; 21] = [
    "Mr",
    "Mrs",
    "Ms",
    "Mx",
    "Miss",
    "Dr",
    "Prof",
    "Professor",
    "MR",
    "MRS",
    "Herr",
    "Herrn",
    "Frau",
    "Mme",
    "Mlle",
    "Madame",
    "Monsieur",
    "Señor",
    "Señora",
    "Signor",
    "Signora",
];
const PARTICLES: [&str; 16] = ["von", "van", "vom", "zu", "zum", "de", "der", "den", "del", "della", "di", "da", "du", "la", "bin", "al"];
/// Words of a name that count, particles aside.
const MOST_WORDS: usize = 3;

/// Where there are such names.
pub(crate) fn find(words: &Words<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if !TITLES.contains(&words.get(at)) {
            at += 1;
            continue;
        }
        let mut first = at + 1;
        while TITLES.contains(&words.get(first)) && follows_title(words, first - 1) {
            first += 1;
        }
        let end = if follows_title(words, first - 1) { name_end(words, first) } else { None };
        if let Some(end) = end {
            found.push(words.range(first).start..words.range(end - 1).end);
        }
        at = end.unwrap_or(first);
    }
    found
}

/// The parts of a name by which a person may be called too.
pub(crate) fn parts(name: &str) -> impl Iterator<Item = &str> {
    let words = Words::of(name);
    let parts: Vec<&str> = (0..words.len()).map(|index| words.get(index)).collect();
    parts.into_iter().filter(|word| word.chars().count() >= 3 && !PARTICLES.contains(word))
}

fn follows_title(words: &Words<'_>, title: usize) -> bool {
    matches!(words.gap(title), Some(" " | ". " | "\u{a0}" | ".\u{a0}" | "."))
}

/// The word after the name that begins with the word `first`.
fn name_end(words: &Words<'_>, first: usize) -> Option<usize> {
    let mut end = None;
    let mut count = 0;
    for index in first..words.len() {
        let word = words.get(index);
        if is_capitalised(word) {
            // `O'Brien` and `Anna-Lena` are one word each.
            let joined = index > first && matches!(words.gap(index - 1), Some("-" | "'" | "’"));
            count += usize::from(!joined && word.chars().count() > 1);
            if count > MOST_WORDS {
                break;
            }
            end = Some(index + 1);
        } else if !PARTICLES.contains(&word) {
            break;
        }
        let initial = word.chars().count() == 1;
        match words.gap(index) {
            Some(" " | "-" | "'" | "’" | "\u{a0}") => {}
            Some("." | ". ") if initial => {}
            _ => break,
        }
    }
    end
}

fn is_capitalised(word: &str) -> bool {
    word.starts_with(char::is_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn found(text: &str) -> Vec<&str> {
        find(&Words::of(text)).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn titled_names_are_found_without_their_titles() {
        for (text, names) in [
            ("Ask Mr Smith or Mrs. Jones.", vec!["Smith", "Jones"]),
            ("Dr. J. R. Smith's car", vec!["J. R. Smith"]),
            ("Frau Dr. Anna-Lena von Berg kommt", vec!["Anna-Lena von Berg"]),
            ("Herrn Prof. Dr. Müller", vec!["Müller"]),
            ("MR SMITH AND OTHERS", vec!["SMITH AND OTHERS"]),
            ("Mme d'Arc, Monsieur O'Brien", vec!["O'Brien"]),
            ("Mr John Jacob Jingleheimer Schmidt", vec!["John Jacob Jingleheimer"]),
            ("Mr Smith. Then he left.", vec!["Smith"]),
            ("Mr.Smith", vec!["Smith"]),
        ] {
            assert_eq!(found(text), names, "{text}");
        }
    }

    #[test]
    fn titles_without_a_name_and_names_without_a_title_are_left() {
        for text in ["Mr and Mrs", "the Dr said", "Ms. ", "John Smith", "MS Word", "Sr. Engineer", "Mr\n\nSmith", "Mr, Smith"] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn the_parts_of_a_name_are_names() {
        assert_eq!(parts("J. Anna-Lena von Berg").collect::<Vec<_>>(), ["Anna", "Lena", "Berg"]);
    }
}
