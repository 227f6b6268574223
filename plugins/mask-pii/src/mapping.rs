//! Which value stands behind which placeholder, in one conversation. Numbers are given in the order in which values come, so that a conversation that
//! grows keeps them; a number that somebody wrote himself is given to no value.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use crate::placeholder::{self, Form, Kind};

#[derive(Debug, Default)]
pub(crate) struct Mapping {
    values: BTreeMap<(Kind, u32), String>,
    numbers: HashMap<(Kind, String), u32>,
    /// What stood in the conversation before anything was masked.
    taken: BTreeSet<(Kind, u32)>,
    last: BTreeMap<Kind, u32>,
}

impl Mapping {
    /// What [`to_json`](Self::to_json) gave; none if it is something else.
    pub(crate) fn from_json(json: &str) -> Option<Self> {
        let mut mapping = Self::default();
        for (name, value) in serde_json::from_str::<BTreeMap<String, String>>(json).ok()? {
            let (word, number) = name.split_once('_')?;
            let (kind, number) = (Kind::from_word(word)?, number.parse().ok()?);
            mapping.numbers.insert((kind, same(kind, &value)), number);
            mapping.taken.insert((kind, number));
            mapping.values.insert((kind, number), value);
        }
        Some(mapping)
    }

    pub(crate) fn to_json(&self) -> String {
        let name = |(kind, number): &(Kind, u32)| format!("{}_{number}", kind.word());
        let object = self.values.iter().map(|(key, value)| (name(key), Value::from(value.as_str()))).collect();
        Value::Object(object).to_string()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn value(&self, kind: Kind, number: u32) -> Option<&str> {
        self.values.get(&(kind, number)).map(String::as_str)
    }

    /// Keeps what looks like a placeholder in a text that is not masked yet from becoming one.
    pub(crate) fn reserve(&mut self, text: &str) {
        for (start, _) in text.char_indices().filter(|(_, c)| placeholder::may_begin(*c)) {
            for form in [Form::Plain, Form::Json] {
                if let Ok(found) = placeholder::at(text, start, true, form) {
                    self.taken.insert((found.kind, found.number));
                }
            }
        }
    }

    /// The placeholder of a value, which is the same each time.
    pub(crate) fn placeholder(&mut self, kind: Kind, value: &str) -> String {
        let key = (kind, same(kind, value));
        if let Some(number) = self.numbers.get(&key) {
            return placeholder::write(kind, *number);
        }
        let last = self.last.entry(kind).or_default();
        let number = loop {
            *last += 1;
            if !self.taken.contains(&(kind, *last)) {
                break *last;
            }
        };
        self.numbers.insert(key, number);
        self.values.insert((kind, number), value.to_owned());
        placeholder::write(kind, number)
    }
}

/// A form in which two spellings of one value are equal.
fn same(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Phone | Kind::Card => value.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect(),
        Kind::Iban => value.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect(),
        Kind::Email | Kind::Ip => value.nfc().collect::<String>().to_lowercase(),
        Kind::Name | Kind::Term | Kind::Address => {
            let folded = value.nfc().collect::<String>().to_lowercase();
            folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_has_the_same_placeholder() {
        let mut mapping = Mapping::default();
        for (kind, spellings) in [
            (Kind::Email, ["Jane@example.org", "jane@EXAMPLE.org"]),
            (Kind::Phone, ["+49 30 1234567", "+49 (30) 123-4567"]),
            (Kind::Name, ["Anna-Lena", "anna lena"]),
            (Kind::Iban, ["DE89 3704", "de893704"]),
        ] {
            let first = mapping.placeholder(kind, spellings[0]);
            assert_eq!(first, placeholder::write(kind, 1));
            assert_eq!(mapping.placeholder(kind, spellings[1]), first);
            assert_eq!(mapping.value(kind, 1), Some(spellings[0]));
        }
        assert_eq!(mapping.placeholder(Kind::Email, "joe@example.org"), "[MASKED_EMAIL_2]");
    }

    #[test]
    fn a_number_that_somebody_wrote_is_not_given() {
        let mut mapping = Mapping::default();
        mapping.reserve("see [masked email 1] and MASKED\\_EMAIL\\_3");
        assert_eq!(mapping.placeholder(Kind::Email, "a@example.org"), "[MASKED_EMAIL_2]");
        assert_eq!(mapping.placeholder(Kind::Email, "b@example.org"), "[MASKED_EMAIL_4]");
        assert_eq!(mapping.value(Kind::Email, 1), None);
    }

    #[test]
    fn it_travels_as_json() {
        let mut mapping = Mapping::default();
        mapping.placeholder(Kind::Name, "a \"b\"");
        let mut again = Mapping::from_json(&mapping.to_json()).unwrap();
        assert_eq!(again.value(Kind::Name, 1), Some("a \"b\""));
        assert_eq!(again.placeholder(Kind::Name, "c"), "[MASKED_NAME_2]");
        for other in ["[]", "{\"x\":\"y\"}", "{\"NAME_1\":2}", "{\"NAME_x\":\"y\"}"] {
            assert!(Mapping::from_json(other).is_none(), "{other}");
        }
    }
}
