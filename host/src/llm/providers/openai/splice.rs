//! Changes to a JSON text at the places that a borrowed parse of it found, made all at once. Whatever is not changed stays byte for byte.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// A text and what is to become of it. Every value that is named must be borrowed from the text.
pub(super) struct Splice<'a> {
    text: &'a str,
    edits: Vec<Edit<'a>>,
}

/// Start, end, and what goes there instead.
type Edit<'a> = (usize, usize, Cow<'a, str>);

impl<'a> Splice<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, edits: Vec::new() }
    }

    pub(super) fn replace(&mut self, value: &'a RawValue, with: impl Into<Cow<'a, str>>) {
        let (start, end) = self.place(value);
        self.edits.push((start, end, with.into()));
    }

    /// Puts `text` behind a value.
    pub(super) fn behind(&mut self, value: &'a RawValue, text: impl Into<Cow<'a, str>>) {
        let (_, end) = self.place(value);
        self.edits.push((end, end, text.into()));
    }

    /// Puts a field first into an object that has at least one; `field` ends in a comma.
    pub(super) fn first(&mut self, object: &'a RawValue, field: impl Into<Cow<'a, str>>) {
        let (start, _) = self.place(object);
        self.edits.push((start + 1, start + 1, field.into()));
    }

    /// As [`Self::first`], for the whole text.
    pub(super) fn first_of_all(&mut self, field: impl Into<Cow<'a, str>>) {
        self.edits.push((1, 1, field.into()));
    }

    /// Takes a field out, its comma with it. A name that is written with escapes stays, with `null` for its value. Of fields that stand side by
    /// side only one may be taken out.
    pub(super) fn cut(&mut self, name: &str, value: &'a RawValue) {
        let (start, end) = self.place(value);
        let colon = self.text[..start].trim_end().strip_suffix(':').map(str::trim_end);
        let key = colon.and_then(|text| text.strip_suffix('"')?.strip_suffix(name)?.strip_suffix('"')).map(str::trim_end);
        match key {
            Some(before) if before.ends_with(',') => self.edits.push((before.len() - 1, end, "".into())),
            Some(before) => {
                let behind = self.text[end..].trim_start();
                let rest = behind.strip_prefix(',').unwrap_or(behind);
                self.edits.push((before.len(), self.text.len() - rest.len(), "".into()));
            }
            None => self.replace(value, "null"),
        }
    }

    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Whether anything between `begin` and `end` changes.
    pub(super) fn touches(&self, begin: usize, end: usize) -> bool {
        self.edits.iter().any(|(start, until, _)| *start < end && begin < *until)
    }

    /// The bytes from `begin` to `end` as they are when changed. What is put in at `end` does not belong to them.
    pub(super) fn part(&self, begin: usize, end: usize) -> Vec<u8> {
        let within = |(start, until, _): &&Edit<'a>| begin <= *start && *until <= end && (*start < end || end == self.text.len());
        let mut edits: Vec<&Edit<'a>> = self.edits.iter().filter(within).collect();
        // Stable: of two at one place the one that was noted first goes first.
        edits.sort_by_key(|(start, ..)| *start);
        let mut out = Vec::with_capacity(end - begin);
        let mut at = begin;
        for (start, until, with) in edits {
            out.extend_from_slice(&self.text.as_bytes()[at..*start]);
            out.extend_from_slice(with.as_bytes());
            at = *until;
        }
        out.extend_from_slice(&self.text.as_bytes()[at..end]);
        out
    }

    /// The changed text; none if nothing changes.
    pub(super) fn done(self) -> Option<Vec<u8>> {
        if self.edits.is_empty() {
            return None;
        }
        Some(self.part(0, self.text.len()))
    }

    /// Where a value begins and ends in the text.
    pub(super) fn place(&self, value: &RawValue) -> (usize, usize) {
        let start = value.get().as_ptr().addr() - self.text.as_ptr().addr();
        (start, start + value.get().len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[track_caller]
    fn check(text: &str, change: impl for<'a> FnOnce(&mut Splice<'a>, &HashMap<String, &'a RawValue>), expected: Option<&str>) {
        let fields: HashMap<String, &RawValue> = serde_json::from_str(text).expect("an object");
        let mut splice = Splice::new(text);
        change(&mut splice, &fields);
        assert_eq!(splice.done().map(|text| String::from_utf8(text).expect("UTF-8")).as_deref(), expected);
    }

    #[test]
    fn a_text_without_changes_is_none() {
        check(r#"{"a":1}"#, |_, _| {}, None);
    }

    #[test]
    fn a_field_is_cut_wherever_it_stands() {
        for (text, expected) in [
            (r#"{"a":1,"usage":null}"#, r#"{"a":1}"#),
            (r#"{"a":1,"usage":{"b":"}"},"c":2}"#, r#"{"a":1,"c":2}"#),
            (r#"{"usage":null,"a":1}"#, r#"{"a":1}"#),
            (r#"{ "usage" : null , "a":1}"#, r#"{ "a":1}"#),
            (r#"{"a":1 , "usage" : 5 }"#, r#"{"a":1  }"#),
            (r#"{"usage":1}"#, "{}"),
            (r#"{"a":",\"usage\":null","usage":null}"#, r#"{"a":",\"usage\":null"}"#),
            (r#"{"a":1,"us\u0061ge":7}"#, r#"{"a":1,"us\u0061ge":null}"#),
        ] {
            check(text, |splice, fields| splice.cut("usage", fields["usage"]), Some(expected));
        }
    }

    #[test]
    fn changes_are_made_in_the_order_of_their_places() {
        let change = |splice: &mut Splice<'_>, _: &HashMap<String, &RawValue>| {
            splice.first_of_all("\"x\":1,");
            splice.first_of_all("\"y\":2,");
        };
        check(r#"{"a":1}"#, change, Some(r#"{"x":1,"y":2,"a":1}"#));
        let text = r#"{"a":{"b":1.0},"c":"d"}"#;
        check(
            text,
            |splice, fields| {
                splice.behind(fields["c"], ",\"e\":[]");
                splice.first(fields["a"], "\"z\":0,");
                splice.replace(fields["c"], "null");
            },
            Some(r#"{"a":{"z":0,"b":1.0},"c":null,"e":[]}"#),
        );
    }
}
