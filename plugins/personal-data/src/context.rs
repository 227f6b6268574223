//! What the words before a number call it: `Tel.: 5551234567` is a phone number, `order no. 5551234567` is none.
//! English and German. What the numbers themselves look like is for the scanners to say.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    Phone,
    Reference,
    Nothing,
}

/// How far back a word may stand, in bytes, and how many words may stand in between.
const REACH_BYTES: usize = 48;
const REACH_WORDS: usize = 4;

const FILLERS: [&str; 18] =
    ["a", "am", "at", "is", "ist", "lautet", "me", "mir", "my", "no", "nr", "number", "numbers", "nummer", "on", "our", "unter", "us"];
/// Whole words.
const PHONE_WORDS: [&str; 8] = ["cell", "fax", "fon", "handy", "handynummer", "rufnummer", "tel", "telnr"];
const REFERENCE_WORDS: [&str; 10] = ["case", "id", "ids", "part", "ref", "sku", "tax", "v", "vat", "iban"];
/// Beginnings of words, so that `phoneNumber` and `Bestellnummer` count.
const PHONE_STEMS: [&str; 6] = ["phone", "telephon", "telefon", "mobil", "whatsapp", "smartphone"];
const REFERENCE_STEMS: [&str; 22] = [
    "account",
    "article",
    "artikel",
    "auftrag",
    "bestell",
    "build",
    "commit",
    "customer",
    "invoice",
    "isbn",
    "issue",
    "kunden",
    "order",
    "rechnung",
    "reference",
    "serial",
    "ticket",
    "tracking",
    "transaction",
    "version",
    "vorgang",
    "issn",
];

/// What the end of `before` calls the number that follows it.
pub(crate) fn called(before: &str) -> Called {
    let mut start = before.len().saturating_sub(REACH_BYTES);
    while !before.is_char_boundary(start) {
        start += 1;
    }
    let near = &before[start..];
    let near = near.rsplit('\n').next().unwrap_or(near);
    if near.trim_end().ends_with(['#', '№']) {
        return Called::Reference;
    }
    let words = near.rsplit(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    for word in words.take(REACH_WORDS) {
        let word = word.to_lowercase();
        let begins = |stems: &[&str]| stems.iter().any(|stem| word.starts_with(stem));
        if PHONE_WORDS.contains(&word.as_str()) || begins(&PHONE_STEMS) {
            return Called::Phone;
        }
        if REFERENCE_WORDS.contains(&word.as_str()) || begins(&REFERENCE_STEMS) {
            return Called::Reference;
        }
        if !FILLERS.contains(&word.as_str()) {
            return Called::Nothing;
        }
    }
    Called::Nothing
}
