//! The text inside a call's arguments `{"input": "…"}`, whole or as it grows. It leaves as soon as it is certain.
//! Arguments of another form are held to their end, and are then what they are.

use std::collections::HashMap;

use serde_json::Value;

/// The property that holds the text.
pub(super) const INPUT: &str = "input";

/// Bytes of arguments of another form that are held; longer ones go out as they came.
pub(super) const HELD_BYTES: usize = 4 << 20;

/// Bytes that the property may take to begin, white space included.
const BEGINNING_BYTES: usize = 1 << 10;

/// The text that the whole arguments hold.
pub(super) fn whole(arguments: &str) -> String {
    let Ok(fields) = serde_json::from_str::<HashMap<String, Value>>(arguments) else { return arguments.to_owned() };
    if fields.is_empty() {
        return String::new();
    }
    let named = fields.get(INPUT);
    // Some models give the one property a name of their own.
    let only = named.or_else(|| fields.values().next().filter(|_| fields.len() == 1));
    only.and_then(Value::as_str).map_or_else(|| arguments.to_owned(), str::to_owned)
}

/// Arguments that come in pieces.
#[derive(Debug, Default)]
pub(super) struct Growing {
    /// Not looked at to its end: a beginning that may still be the property, or an escape that is not whole.
    held: String,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Beginning,
    /// Inside the string.
    Text,
    /// Behind it.
    Over,
    /// They are something else.
    Other,
    /// Something else, and too long to hold.
    Plain,
}

impl Growing {
    /// The part of the text that is certain after `more`.
    pub(super) fn push(&mut self, more: &str) -> String {
        match self.state {
            State::Over => return String::new(),
            State::Plain => return more.to_owned(),
            State::Beginning | State::Text | State::Other => self.held.push_str(more),
        }
        if self.state == State::Beginning {
            match beginning(&self.held) {
                Beginning::Whole(bytes) => {
                    self.held.drain(..bytes);
                    self.state = State::Text;
                }
                // Each byte of a beginning is looked at again with the next piece.
                Beginning::Part if self.held.len() > BEGINNING_BYTES => self.state = State::Other,
                Beginning::Part => {}
                Beginning::None => self.state = State::Other,
            }
        }
        match self.state {
            State::Text => self.text(),
            _ if self.held.len() > HELD_BYTES => self.give_up(),
            _ => String::new(),
        }
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// What is held, as it came; nothing is held from here on.
    pub(super) fn give_up(&mut self) -> String {
        self.state = State::Plain;
        std::mem::take(&mut self.held)
    }

    /// The rest.
    pub(super) fn end(self) -> String {
        match self.state {
            State::Beginning | State::Other => whole(&self.held),
            // A string that was cut off.
            State::Text | State::Over | State::Plain => String::new(),
        }
    }

    /// Takes what is whole out of the string.
    fn text(&mut self) -> String {
        let mut out = String::new();
        let mut at = 0;
        while let Some(c) = self.held[at..].chars().next() {
            match c {
                '"' => {
                    self.state = State::Over;
                    at = self.held.len();
                }
                '\\' => match escape(&self.held[at..]) {
                    Some((c, bytes)) => {
                        out.push(c);
                        at += bytes;
                    }
                    None => break,
                },
                c => {
                    out.push(c);
                    at += c.len_utf8();
                }
            }
        }
        self.held.drain(..at);
        out
    }
}

enum Beginning {
    /// So many bytes, the quotation mark of the string included.
    Whole(usize),
    Part,
    None,
}

/// Whether the text begins as the property does, white space aside.
fn beginning(text: &str) -> Beginning {
    let wanted = ['{', '"'].into_iter().chain(INPUT.chars()).chain(['"', ':', '"']);
    let mut found = text.char_indices();
    for (place, wanted) in wanted.enumerate() {
        let inside = (2..=2 + INPUT.len()).contains(&place);
        match found.find(|(_, c)| inside || !c.is_ascii_whitespace()) {
            None => return Beginning::Part,
            Some((_, c)) if c == wanted => {}
            Some(_) => return Beginning::None,
        }
    }
    Beginning::Whole(text.len() - found.as_str().len())
}

/// The character of the escape that the text begins with, and its length; none if it is not whole yet. Half a character is U+FFFD.
fn escape(text: &str) -> Option<(char, usize)> {
    let kind = text[1..].chars().next()?;
    let plain = match kind {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'u' => {
            let unit = |text: &str| text.get(2..6).map(|digits| u32::from_str_radix(digits, 16).unwrap_or(0xfffd));
            let first = unit(text)?;
            if !(0xd800..0xdc00).contains(&first) {
                return Some((char::from_u32(first).unwrap_or('\u{fffd}'), 6));
            }
            let rest = &text[6..];
            if !rest.starts_with("\\u") {
                // The other half may still come.
                return (!"\\u".starts_with(rest)).then_some(('\u{fffd}', 6));
            }
            let second = unit(rest)?;
            if !(0xdc00..0xe000).contains(&second) {
                return Some(('\u{fffd}', 6));
            }
            let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return Some((char::from_u32(code).unwrap_or('\u{fffd}'), 12));
        }
        other => other,
    };
    Some((plain, 1 + kind.len_utf8()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_split_gives_the_same_text() {
        let text = "*** Begin \"Patch\"\n+tab\t\\ slash / é 😀 \u{1}";
        for arguments in [
            serde_json::json!({ INPUT: text }).to_string(),
            format!(" {{ \"input\" :\n {} }} ", serde_json::json!(text)),
            format!("{{\"input\":{}}}", serde_json::json!(text).to_string().replace('😀', "\\ud83d\\ude00").replace('é', "\\u00E9")),
        ] {
            assert_eq!(whole(&arguments), text, "{arguments}");
            for cut in (0..arguments.len()).filter(|at| arguments.is_char_boundary(*at)) {
                let mut growing = Growing::default();
                let out = growing.push(&arguments[..cut]) + &growing.push(&arguments[cut..]);
                assert_eq!(out + &growing.end(), text, "{arguments} cut at {cut}");
            }
            let mut growing = Growing::default();
            let out: String = arguments.chars().map(|c| growing.push(&c.to_string())).collect();
            assert_eq!(out + &growing.end(), text, "{arguments}");
        }
    }

    #[test]
    fn arguments_of_another_form_are_taken_as_they_are_or_for_their_only_text() {
        for (arguments, text) in [
            ("", ""),
            ("{}", ""),
            ("*** Begin Patch", "*** Begin Patch"),
            ("{\"patch\":\"x\"}", "x"),
            ("{\"a\":\"x\",\"input\":\"y\"}", "y"),
            ("{\"a\":\"x\",\"b\":\"y\"}", "{\"a\":\"x\",\"b\":\"y\"}"),
            ("{\"input\":7}", "{\"input\":7}"),
            ("{\"inputs\":\"x\"}", "x"),
        ] {
            let mut growing = Growing::default();
            let out = growing.push(arguments);
            assert_eq!((out + &growing.end(), whole(arguments)), (text.to_owned(), text.to_owned()), "{arguments}");
        }
    }

    #[test]
    fn white_space_without_end_is_not_looked_at_again_and_again() {
        let mut growing = Growing::default();
        assert!((0..1_000_000).all(|_| growing.push(" ").is_empty()));
        assert_eq!(growing.push("{\"input\":\"x\"}") + &growing.end(), "x");
    }

    #[test]
    fn half_a_character_harms_nothing_else() {
        let mut growing = Growing::default();
        let out = growing.push("{\"input\":\"a\\ud83d b\\ud83d\\n\\ude00c");
        assert_eq!(out + &growing.end(), "a\u{fffd} b\u{fffd}\n\u{fffd}c");
    }

    #[test]
    fn arguments_too_long_to_hold_go_out_as_they_came() {
        let long = "x".repeat(HELD_BYTES + 1);
        let mut growing = Growing::default();
        assert_eq!((growing.push(&long), growing.push("y"), growing.end()), (long, "y".into(), String::new()));
    }
}
