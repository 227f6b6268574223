//! JSON as strict readers take it, made of what some servers write: of keys with one name the last stays, as lenient readers have it, and a half
//! of a character that was escaped without its other half (a server cut an emoji in two) is joined with it, or becomes U+FFFD. All other bytes
//! stay as they came. It does not check: what is no JSON leaves for the parser to refuse. The time is linear, whatever the text.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

/// Levels that are looked at, which are those that the parser takes.
const LEVELS_MAX: usize = 128;

/// Keys of an object that are compared one by one; more are looked up.
const FEW: usize = 8;

/// Bytes of `\ud83d`.
const ESCAPE: usize = 6;

const UNKNOWN: &str = "\u{fffd}";

/// Repairs the events of one stream, or a whole reply.
#[derive(Debug, Default)]
pub(super) struct JsonRepair {
    /// The first half of a character that ended a text, which may go on in the next event.
    half: Option<Half>,
}

#[derive(Debug)]
struct Half {
    /// Where the text stood, as keys and places.
    path: String,
    /// As it was escaped.
    escape: String,
}

impl JsonRepair {
    /// An event as a strict reader takes it; none if it is that as it came. A first half of a character at the end of a text is held back for
    /// the text at the same place of the next event.
    pub(super) fn event(&mut self, data: &[u8]) -> Option<Vec<u8>> {
        let text = text_of(data);
        let edits = Scan::new(&text, &mut self.half, true).edits();
        done(text, edits)
    }

    /// Whether half of a character is held back.
    pub(super) fn holds(&self) -> bool {
        self.half.is_some()
    }

    /// A whole reply, as [`Self::event`].
    pub(super) fn whole(data: &[u8]) -> Option<Vec<u8>> {
        let text = text_of(data);
        let edits = Scan::new(&text, &mut None, false).edits();
        done(text, edits)
    }
}

/// The text of the bytes. Nearly all are UTF-8, which the strict check finds out much faster than the one that looks for what to replace.
fn text_of(data: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(data).map_or_else(|_| String::from_utf8_lossy(data), Cow::Borrowed)
}

/// The text with its edits; none if that is what came.
fn done(text: Cow<'_, str>, mut edits: Vec<Edit>) -> Option<Vec<u8>> {
    if edits.is_empty() {
        return match text {
            Cow::Borrowed(_) => None,
            Cow::Owned(text) => Some(text.into_bytes()),
        };
    }
    edits.sort_by_key(|(place, _)| (place.start, place.end));
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    // A field that is taken out takes its edits with it.
    for (place, with) in edits {
        if place.start >= at {
            out.extend_from_slice(&text.as_bytes()[at..place.start]);
            out.extend_from_slice(with.as_bytes());
            at = place.end;
        }
    }
    out.extend_from_slice(&text.as_bytes()[at..]);
    Some(out)
}

type Edit = (Range<usize>, Cow<'static, str>);

/// An object or a list that is open.
struct Level<'t> {
    is_object: bool,
    /// The keys of an object with the places where they begin.
    keys: Vec<(Cow<'t, str>, usize)>,
    /// The same keys' places in `keys`, once there are many.
    index: HashMap<Cow<'t, str>, usize>,
    /// The next string is a key.
    key_comes: bool,
    /// Entries of a list so far.
    entries: usize,
}

struct Scan<'t, 'h> {
    text: &'t str,
    half: &'h mut Option<Half>,
    /// A half at the end of a text may be held back.
    holds: bool,
    levels: Vec<Level<'t>>,
    edits: Vec<Edit>,
    /// Which of the edits holds a half back.
    held: Option<usize>,
}

impl<'t, 'h> Scan<'t, 'h> {
    fn new(text: &'t str, half: &'h mut Option<Half>, holds: bool) -> Self {
        Self { text, half, holds, levels: Vec::new(), edits: Vec::new(), held: None }
    }

    fn edits(mut self) -> Vec<Edit> {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'"' => {
                    let Some(end) = self.string(at) else { break };
                    at = end;
                    continue;
                }
                b'{' | b'[' => {
                    if self.levels.len() == LEVELS_MAX {
                        break;
                    }
                    let is_object = *byte == b'{';
                    let (keys, index) = (Vec::new(), HashMap::new());
                    self.levels.push(Level { is_object, keys, index, key_comes: is_object, entries: 0 });
                }
                b'}' | b']' => drop(self.levels.pop()),
                b',' => {
                    if let Some(level) = self.levels.last_mut() {
                        level.key_comes = level.is_object;
                        level.entries += 1;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        self.edits
    }

    /// Reads the string that begins at `begin`; gives the place behind it, if it ends.
    fn string(&mut self, begin: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let is_key = self.levels.last().is_some_and(|level| level.key_comes);
        let first = begin + 1;
        // Of this text the half that is held back is the beginning.
        let mut before = if is_key { None } else { self.half_of_this(bytes.get(first) == Some(&b'"')) };
        let (mut at, edits) = (first, self.edits.len());
        let end = loop {
            let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) else {
                self.edits.truncate(edits);
                return None;
            };
            at += found;
            if bytes[at] == b'"' {
                break at;
            }
            let Some(unit) = escaped_unit(bytes, at) else {
                at += 2;
                continue;
            };
            let pair =
                matches!(unit, 0xd800..=0xdbff) && escaped_unit(bytes, at + ESCAPE).is_some_and(|next| matches!(next, 0xdc00..=0xdfff));
            match unit {
                _ if pair => at += ESCAPE,
                0xd800..=0xdbff if self.holds && !is_key && bytes.get(at + ESCAPE) == Some(&b'"') => {
                    // One half is held back, that of the last text which ends in one.
                    if let Some(other) = self.held.replace(self.edits.len()) {
                        self.edits[other].1 = Cow::Borrowed(UNKNOWN);
                    }
                    *self.half = Some(Half { path: self.path(), escape: self.text[at..at + ESCAPE].to_owned() });
                    self.edits.push((at..at + ESCAPE, Cow::Borrowed("")));
                }
                0xdc00..=0xdfff if at == first && before.is_some() => {
                    self.edits.extend(before.take().map(|escape| (at..at, Cow::Owned(escape))));
                }
                0xd800..=0xdfff => self.edits.push((at..at + ESCAPE, Cow::Borrowed(UNKNOWN))),
                _ => {}
            }
            at += ESCAPE;
        };
        if before.is_some() {
            self.edits.push((first..first, Cow::Borrowed(UNKNOWN)));
        }
        if is_key {
            self.key(begin, end + 1);
        }
        Some(end + 1)
    }

    /// The half that is held back, if it belongs to the text that begins here. An empty text says nothing of what follows.
    fn half_of_this(&mut self, is_empty: bool) -> Option<String> {
        let path = self.half.as_ref().filter(|_| !is_empty).map(|_| self.path())?;
        self.half.take_if(|half| half.path == path).map(|half| half.escape)
    }

    fn path(&self) -> String {
        let steps = self.levels.iter().map(|level| match level.keys.last() {
            Some((key, _)) => key.clone(),
            None => Cow::Owned(level.entries.to_string()),
        });
        steps.collect::<Vec<_>>().join("/")
    }

    /// Notes a key, and takes out the field before it that has the same.
    fn key(&mut self, begin: usize, end: usize) {
        let raw = &self.text[begin + 1..end - 1];
        let Some(level) = self.levels.last_mut() else { return };
        level.key_comes = false;
        let unescaped = || serde_json::from_str(&self.text[begin..end]).map_or(Cow::Borrowed(raw), Cow::Owned);
        let name = if raw.contains('\\') { unescaped() } else { Cow::Borrowed(raw) };
        let place = level.keys.len();
        let older = if place < FEW {
            level.keys.iter().rposition(|(key, _)| *key == name)
        } else {
            if level.index.is_empty() {
                level.index.extend(level.keys.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)));
            }
            level.index.insert(name.clone(), place)
        };
        level.keys.push((name, begin));
        if let Some(older) = older {
            self.edits.push((level.keys[older].1..level.keys[older + 1].1, Cow::Borrowed("")));
        }
    }
}

/// The number of `\uXXXX` at this place, if there is one.
fn escaped_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + ESCAPE)?.strip_prefix(b"\\u")?;
    // A sign would be taken too.
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u16::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(events: &[(&str, Option<&str>)]) {
        let mut repair = JsonRepair::default();
        for (event, expected) in events {
            let found = repair.event(event.as_bytes()).map(|event| String::from_utf8(event).expect("UTF-8"));
            assert_eq!(found.as_deref(), *expected, "{event}");
        }
    }

    #[test]
    fn of_keys_with_one_name_the_last_stays_at_every_level() {
        check(&[
            (r#"{"a":1,"b":{"a":1},"c":[{"a":2},{"a":3}]}"#, None),
            (r#"{"a":1,"a":2}"#, Some(r#"{"a":2}"#)),
            (r#"{ "a" : {"x":[1,2]} , "b":0, "a":2, "a" : 3}"#, Some(r#"{ "b":0, "a" : 3}"#)),
            (r#"{"a":[{"b":"}","b":{"c":1,"c":2}}]}"#, Some(r#"{"a":[{"b":{"c":2}}]}"#)),
            (r#"{"a":{"b":1,"b":2},"a":0}"#, Some(r#"{"a":0}"#)),
            (r#"{"us\u0061ge":1,"usage":2}"#, Some(r#"{"usage":2}"#)),
            (r#"{"a":"a","b":"a"}"#, None),
        ]);
        let many = |last: &str| format!("{{{}\"k3\":0{last}}}", (0..40).map(|at| format!("\"k{at}\":1,")).collect::<String>());
        let found = JsonRepair::whole(many(",\"k9\":2").as_bytes()).expect("repaired");
        let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&found).expect("JSON");
        assert_eq!((fields.len(), &fields["k3"], &fields["k9"]), (40, &0.into(), &2.into()));
    }

    #[test]
    fn the_halves_of_a_character_are_joined_over_two_events() {
        check(&[
            (r#"{"a":[{"t":"Hello \ud83d"}]}"#, Some(r#"{"a":[{"t":"Hello "}]}"#)),
            (r#"{"a":[{"t":"","u":"x"}]}"#, None),
            (r#"{"a":[{"t":"\ude00 you"}]}"#, Some(r#"{"a":[{"t":"\ud83d\ude00 you"}]}"#)),
            (r#"{"a":[{"t":"\uD83D\uDE00"}]}"#, None),
        ]);
    }

    #[test]
    fn a_half_without_the_other_is_one_unknown_character() {
        check(&[
            (r#"{"t":"a\ud83d b"}"#, Some("{\"t\":\"a\u{fffd} b\"}")),
            (r#"{"t":"\ude00 b\ud83d"}"#, Some("{\"t\":\"\u{fffd} b\"}")),
            (r#"{"t":"c"}"#, Some("{\"t\":\"\u{fffd}c\"}")),
            (r#"{"t":"\ud83d\ud83d\ude00"}"#, Some("{\"t\":\"\u{fffd}\\ud83d\\ude00\"}")),
            (r#"{"t":"a\ud83d","u":"b\ud83d"}"#, Some("{\"t\":\"a\u{fffd}\",\"u\":\"b\"}")),
            (r#"{"\ud83d":1}"#, Some("{\"\u{fffd}\":1}")),
            (r#"{"t":"\\ud83d \u00e9"}"#, None),
        ]);
        assert_eq!(JsonRepair::whole(br#"{"t":"b\ud83d"}"#).as_deref(), Some("{\"t\":\"b\u{fffd}\"}".as_bytes()));
        assert_eq!(JsonRepair::whole(b"{\"t\":\"b\xf0\x9f\"}").as_deref(), Some("{\"t\":\"b\u{fffd}\"}".as_bytes()));
    }

    #[test]
    fn what_is_no_json_is_left_alone_and_costs_no_panic() {
        for text in ["", "\"", "\"\\", "\"\\u", "\"\\ud83d", "\"\\ud83d\\u", "{\"a", "}]", "[DONE]", "\\ud83d", "{\"a\":1,,\"b\"}"] {
            check(&[(text, None)]);
        }
        let deep = "[".repeat(1_000_000);
        check(&[(&deep, None)]);
    }
}
