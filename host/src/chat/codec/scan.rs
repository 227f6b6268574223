//! A pass over a JSON text before a value is made of it: how much structure it has, whether its fields are spelled as they are known, and
//! whether its escapes are halves of characters. It allocates nothing that grows with the text.
//! Invariant: what a parser would make of the text before it fails was counted here. A text that is no JSON is left to the parser to refuse.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::invalid::Invalid;
use super::place::{ANY, Form, List, Place};
use crate::chat::Sizes;

/// Characters of a field's name, and bytes of a whole path, that an error repeats.
const NAME_SHOWN: usize = 64;
const PATH_SHOWN: usize = 256;

/// What was found in a text that may be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Values that a parser may make memory of.
    pub(super) values: usize,
    /// Whether there are halves of surrogate pairs among the escapes.
    pub(super) halves: bool,
}

/// # Errors
/// Names the place that is too large, too deep or misspelled.
pub(super) fn scan(text: &[u8], form: Form, sizes: &Sizes) -> Result<Found, Invalid> {
    let mut scan =
        Scan { text, at: 0, root: Place::root(form), open: Vec::with_capacity(8), sizes, lists: [0; 6], values: 0, halves: false };
    scan.run()?;
    Ok(Found { values: scan.values, halves: scan.halves })
}

/// Puts the replacement character in place of every half of a surrogate pair, as Python's and JavaScript's encoders of UTF-8 do. The text
/// keeps its length.
pub(super) fn mend(text: &mut [u8]) {
    let mut at = 0;
    // In JSON a backslash stands in strings only, and begins an escape.
    while let Some(found) = memchr(b'\\', &text[at..]) {
        at += found;
        let (next, half) = escape(text, at);
        if half {
            text[at + 2..at + 6].copy_from_slice(b"fffd");
        }
        at = next;
    }
}

/// Where the escape at `at` ends, a whole pair being one, and whether it is half of a pair.
fn escape(text: &[u8], at: usize) -> (usize, bool) {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
    };
    match unit(at) {
        None => ((at + 2).min(text.len()), false),
        Some(0xD800..=0xDBFF) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => (at + 12, false),
        Some(0xD800..=0xDFFF) => (at + 6, true),
        Some(_) => (at + 6, false),
    }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    root: &'static Place,
    /// The objects and lists around this point.
    open: Vec<Level>,
    sizes: &'a Sizes,
    lists: [usize; 6],
    values: usize,
    halves: bool,
}

struct Level {
    place: &'static Place,
    object: bool,
    /// Of an object: a name comes next, and not a value.
    name_next: bool,
    /// Of an object: the latest name with its quotes, and the place of its value.
    name: (usize, usize),
    inside: &'static Place,
    /// Of a list: the number of the element.
    index: usize,
}

impl Scan<'_> {
    fn run(&mut self) -> Result<(), Invalid> {
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                b'"' => {
                    let begin = self.at;
                    self.string();
                    if self.open.last().is_some_and(|level| level.name_next) {
                        self.name(begin)?;
                    } else {
                        self.value(false)?;
                    }
                }
                b'{' | b'[' => {
                    let place = self.value(false)?;
                    self.begin(place, byte == b'{')?;
                }
                b'}' | b']' => {
                    self.open.pop();
                    self.at += 1;
                }
                b',' => {
                    if let Some(level) = self.open.last_mut() {
                        level.name_next = level.object;
                        level.index += 1;
                    }
                    self.at += 1;
                }
                b':' => {
                    if let Some(level) = self.open.last_mut() {
                        level.name_next = false;
                    }
                    self.at += 1;
                }
                _ => {
                    self.value(byte == b'-' || byte.is_ascii_digit())?;
                    let end = |b: &u8| matches!(b, b',' | b']' | b'}' | b':' | b'"' | b'{' | b'[' | b' ' | b'\n' | b'\r' | b'\t');
                    self.at += self.text[self.at..].iter().position(end).unwrap_or(self.text.len() - self.at).max(1);
                }
            }
        }
        Ok(())
    }

    /// Passes the string that begins here.
    fn string(&mut self) {
        self.at += 1;
        let mut plain = 0;
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    return;
                }
                b'\\' => {
                    let (next, half) = escape(self.text, self.at);
                    self.halves |= half;
                    self.at = next;
                    plain = 0;
                }
                // Names and code have something every few bytes, for which a search in blocks is slow.
                _ if plain < 16 => {
                    self.at += 1;
                    plain += 1;
                }
                _ => self.at += memchr2(b'"', b'\\', &self.text[self.at..]).unwrap_or(self.text.len() - self.at),
            }
        }
    }

    /// The string since `begin` is the name of a field.
    fn name(&mut self, begin: usize) -> Result<(), Invalid> {
        let span = (begin, self.at);
        let Some(level) = self.open.last() else { return Ok(()) };
        let place = level.place;
        let found = place.inside(&self.shown(span));
        let level = self.open.last_mut().expect("it was there");
        level.name = span;
        match found {
            Ok((inside, known)) => {
                level.inside = inside;
                if known || !place.strict { Ok(()) } else { self.count(List::Fields) }
            }
            Err(known) => Err(self.refused(&format!("is the field `{known}` in another spelling; send it as `{known}`"))),
        }
    }

    /// A value begins here; the place where it stands.
    fn value(&mut self, number: bool) -> Result<&'static Place, Invalid> {
        let (place, in_list) = match self.open.last() {
            None => (self.root, false),
            Some(level) if level.object => (level.inside, false),
            Some(level) => (level.place, true),
        };
        if place.unread || (number && in_list && place.numbers) {
            return Ok(place);
        }
        self.values += 1;
        if self.values > self.sizes.values {
            return Err(self.too_many("the body", "values", "body_values", self.sizes.values));
        }
        if in_list && let Some(list) = place.counted {
            self.count(list)?;
        }
        Ok(place)
    }

    fn count(&mut self, list: List) -> Result<(), Invalid> {
        let sizes = self.sizes;
        let (most, what, key) = match list {
            List::Messages => (sizes.messages, "messages", "messages"),
            List::Parts => (sizes.parts, "parts of messages", "parts"),
            List::ToolCalls => (sizes.tool_calls, "calls of tools", "tool_calls"),
            List::Tools => (sizes.tools, "tools", "tools"),
            List::Fields => (sizes.fields, "fields that this server does not know", "body_fields"),
            List::Inputs => (sizes.inputs, "texts", "embedding_inputs"),
        };
        let counted = &mut self.lists[list as usize];
        *counted += 1;
        if *counted > most {
            return Err(self.too_many("the body", what, key, most));
        }
        Ok(())
    }

    fn begin(&mut self, place: &'static Place, object: bool) -> Result<(), Invalid> {
        if self.open.len() == self.sizes.depth {
            return Err(self.refused(&format!("is inside more than {} objects and lists (`limits.http.body_depth`)", self.sizes.depth)));
        }
        self.open.push(Level { place, object, name_next: object, name: (0, 0), inside: &ANY, index: 0 });
        self.at += 1;
        Ok(())
    }

    #[cold]
    fn too_many(&self, whose: &str, what: &str, key: &str, most: usize) -> Invalid {
        let place = self.path(1).unwrap_or_else(|| "body".into());
        Invalid { message: format!("{place}: {whose} has more than {most} {what} (`limits.http.{key}`)"), param: Some(place) }
    }

    #[cold]
    fn refused(&self, why: &str) -> Invalid {
        let place = self.path(usize::MAX).unwrap_or_else(|| "body".into());
        Invalid { message: format!("{place} {why}"), param: Some(place) }
    }

    /// Where this point is, e.g. `messages[0].content`, to that many steps; none if it is at the top. A long path ends in `…`.
    fn path(&self, steps: usize) -> Option<String> {
        let mut path = String::new();
        for level in self.open.iter().take(steps) {
            if path.len() > PATH_SHOWN {
                path.push('…');
                break;
            }
            if level.object {
                let name: String = self.shown(level.name).chars().take(NAME_SHOWN).collect();
                if !path.is_empty() && !name.is_empty() {
                    path.push('.');
                }
                path.push_str(&name);
            } else {
                path.push_str(&format!("[{}]", level.index));
            }
        }
        Some(path).filter(|path| !path.is_empty())
    }

    /// The text of a string with its quotes, its escapes resolved; empty if it is none.
    fn shown(&self, (begin, end): (usize, usize)) -> Cow<'_, str> {
        let quoted = &self.text[begin..end];
        let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
        if memchr(b'\\', inner).is_none() {
            // The strict check is the faster one.
            return std::str::from_utf8(inner).map_or_else(|_| String::from_utf8_lossy(inner), Cow::Borrowed);
        }
        let mut mended = quoted.to_vec();
        mend(&mut mended);
        serde_json::from_slice::<String>(&mended).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests;
