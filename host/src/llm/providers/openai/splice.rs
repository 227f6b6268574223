//! Changes to a JSON text at the places that a borrowed parse of it found, made all at once: whatever is not changed stays byte for byte. And the
//! quick way for the many events of a stream that differ in nothing but their text: a template is made of an event that was read in full and
//! changed nothing of the reply's state; an event that fits it would be read to the same end, so only its texts are looked at.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::shape::Raw;

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

    /// Puts a text before a value and another behind it.
    pub(super) fn around(&mut self, value: &'a RawValue, before: &'static str, behind: &'static str) {
        let (start, end) = self.place(value);
        self.edits.push((start, start, before.into()));
        self.edits.push((end, end, behind.into()));
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
        // What is put in at a place goes before what is replaced or taken out from there on. Stable: of two that are put in at one place the one
        // that was noted first goes first.
        edits.sort_by_key(|(start, until, _)| (*start, *until));
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

const BEGIN: &[u8] = b"data: ";
const END: &[u8] = b"\n\n";

/// An event with holes in place of its texts.
pub(super) struct Template {
    /// The event goes out as it came.
    pub(super) passes: bool,
    /// The first is the text of the delta, which holds something; the other is padding, as some providers add it.
    holes: usize,
    text_at: usize,
    /// What stands before, between and behind the holes, as it comes and as it goes out.
    comes: Vec<Vec<u8>>,
    goes: Vec<Vec<u8>>,
}

/// An event that fits, with the bounds of its holes.
pub(super) struct Found {
    holes: [(usize, usize); 2],
    len: usize,
}

impl Found {
    /// Bytes of the event with its line ends.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl Template {
    /// Of the event that `splice` changes. `text` is the string in its delta, `padding` another string that means nothing.
    pub(super) fn of<'a>(splice: &Splice<'a>, text: &'a RawValue, padding: Raw<'a>) -> Option<Self> {
        let whole = splice.text().as_bytes();
        if memchr::memchr2(b'\n', b'\r', whole).is_some() {
            return None;
        }
        let text = splice.place(text);
        let padding = padding.filter(|raw| raw.get().starts_with('"')).map(|raw| splice.place(raw));
        let mut holes: Vec<(usize, usize)> = [Some(text), padding].into_iter().flatten().collect();
        holes.sort_unstable();
        if holes.iter().any(|(begin, end)| splice.touches(*begin, *end)) {
            return None;
        }
        let begins = std::iter::once(0).chain(holes.iter().map(|(_, end)| *end));
        let ends = holes.iter().map(|(begin, _)| *begin).chain([whole.len()]);
        let (mut comes, mut goes) = (Vec::with_capacity(3), Vec::with_capacity(3));
        for (begin, end) in begins.zip(ends) {
            comes.push(whole[begin..end].to_vec());
            goes.push(splice.part(begin, end));
        }
        let text_at = usize::from(holes[0] != text);
        for parts in [&mut comes, &mut goes] {
            parts[0].splice(0..0, BEGIN.iter().copied());
            parts[holes.len()].extend_from_slice(END);
        }
        Some(Self { passes: splice.is_empty(), holes: holes.len(), text_at, comes, goes })
    }

    /// The event at the beginning of `block`, if it fits.
    pub(super) fn find(&self, block: &[u8]) -> Option<Found> {
        let mut holes = [(0, 0); 2];
        let mut at = 0;
        for (nth, part) in self.comes.iter().enumerate() {
            if !block[at..].starts_with(part) {
                return None;
            }
            at += part.len();
            if nth < self.holes {
                let len = string(&block[at..])?;
                if nth == self.text_at && len == 2 {
                    return None;
                }
                holes[nth] = (at, at + len);
                at += len;
            }
        }
        Some(Found { holes, len: at })
    }

    /// Appends what goes out for an event that was found at the beginning of `block`.
    pub(super) fn write(&self, block: &[u8], found: &Found, out: &mut Vec<u8>) {
        for (nth, part) in self.goes.iter().enumerate() {
            out.extend_from_slice(part);
            if nth < self.holes {
                let (begin, end) = found.holes[nth];
                out.extend_from_slice(&block[begin..end]);
            }
        }
    }
}

/// Bytes of the JSON string at the beginning of `bytes`, quotes included; none if there is no whole and valid one, or if it has a part of a
/// character that takes two escapes.
fn string(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes.strip_prefix(b"\"")?.iter().enumerate();
    let mut half = false;
    while let Some((at, byte)) = rest.next() {
        if half && *byte != b'\\' {
            return None;
        }
        match byte {
            b'"' => return std::str::from_utf8(&bytes[1..=at]).is_ok().then_some(at + 2),
            b'\\' => match rest.next()?.1 {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' if !half => {}
                b'u' => {
                    let mut digits = [0; 4];
                    for digit in &mut digits {
                        *digit = *rest.next().filter(|(_, digit)| digit.is_ascii_hexdigit())?.1;
                    }
                    let is_second = matches!(digits, [b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..]);
                    if is_second != half {
                        return None;
                    }
                    half = matches!(digits, [b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..]);
                }
                _ => return None,
            },
            0..0x20 => return None,
            _ => {}
        }
    }
    None
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

#[cfg(test)]
mod template_tests {
    use super::string;

    #[test]
    fn a_string_is_taken_for_one_exactly_if_a_parser_takes_it() {
        for text in [
            r#""""#,
            r#""a""#,
            r#""é漢""#,
            r#""a\"b\\""#,
            r#""\ud83d\ude00 \u00e9""#,
            r#""\ud83""#,
            r#""\x""#,
            "\"a\nb\"",
            "\"a",
            "a\"",
            "",
            "\"\\",
            "\"\u{7f}\"",
            "\"\u{1f}\"",
        ] {
            let parsed = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
            assert_eq!(string(text.as_bytes()), parsed.then_some(text.len()), "{text:?}");
        }
        for half in [r#""\ud83d""#, r#""\ude00""#, r#""\uD83d\n""#, r#""\ud83d\u00e9""#, r#""\ud83d\ud83d\ude00""#] {
            assert_eq!(string(half.as_bytes()), None, "{half}");
        }
        assert_eq!(string(b"\"\xff\""), None);
        assert_eq!(string(b"\"a\",\"b\""), Some(3));
    }
}
