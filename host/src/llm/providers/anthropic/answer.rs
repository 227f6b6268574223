//! What the reading of a reply needs of its request, and the answer that comes as a tool's input, made content again.
//! Must not know events or blocks.

use std::collections::HashMap;

use super::format::{TOOL, WRAPPER};
use crate::chat::Json;

/// Bytes of an answer that may be held back to be unwrapped; a longer one goes out as it came.
const HELD_BYTES: usize = 4 << 20;

/// How a wrapped answer begins, white space aside: [`WRAPPER`] as the first field.
const WRAPPED: &[u8] = b"{\"values\":";

/// What a request leaves for its reply.
#[derive(Debug, Default)]
pub(super) struct Sense {
    /// The client's names of tools by the wire's, where they differ.
    pub(super) names: HashMap<String, String>,
    /// Set where the answer is the input of a tool of ours.
    pub(super) wrapping: Option<Wrapping>,
}

/// Whether an answer lies within [`WRAPPER`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrapping {
    Never,
    /// The schema is of objects and knows no such property, but models put one around the answer now and then.
    Stray,
    /// Our schema asks for it.
    Ours,
}

impl Sense {
    /// The client's name for a tool.
    pub(super) fn name(&self, wire: String) -> String {
        self.names.get(&wire).cloned().unwrap_or(wire)
    }

    /// The answer that begins with a call of this tool, if it is ours.
    pub(super) fn answer(&self, wire: &str) -> Option<Answer> {
        let wrapping = self.wrapping.filter(|_| wire == TOOL)?;
        Some(Answer { held: String::new(), alike: 0, passes: wrapping == Wrapping::Never, wrapping })
    }
}

/// An answer as it grows. It is held back only while it looks as if it were wrapped.
#[derive(Debug)]
pub(super) struct Answer {
    held: String,
    /// How much of a wrapper's beginning was seen.
    alike: usize,
    passes: bool,
    wrapping: Wrapping,
}

impl Answer {
    /// The part of the answer that is sure.
    pub(super) fn push(&mut self, text: &str) -> String {
        if self.passes {
            return text.to_owned();
        }
        self.held.push_str(text);
        self.passes = self.held.len() > HELD_BYTES || !self.may_be_wrapped(text);
        if self.passes { std::mem::take(&mut self.held) } else { String::new() }
    }

    /// The rest.
    pub(super) fn end(self) -> String {
        unwrapped(&self.held, self.wrapping).unwrap_or(self.held)
    }

    /// Whether it still looks like that with `more`. Each byte is looked at once, however small the pieces are.
    fn may_be_wrapped(&mut self, more: &str) -> bool {
        more.bytes().filter(|byte| !byte.is_ascii_whitespace()).all(|byte| match WRAPPED.get(self.alike) {
            Some(expected) => {
                self.alike += 1;
                byte == *expected
            }
            None => true,
        })
    }
}

/// What the wrapper holds, if there is nothing beside it. What is wrapped without being asked to is an object, or it is no wrapper.
fn unwrapped(text: &str, wrapping: Wrapping) -> Option<String> {
    let mut fields: HashMap<String, Json> = serde_json::from_str(text).ok()?;
    let inner = fields.remove(WRAPPER)?;
    let fits = wrapping == Wrapping::Ours || inner.get().starts_with('{');
    (fits && fields.is_empty()).then(|| inner.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pieces: &[&str]) -> Vec<String> {
        said_within(Wrapping::Ours, pieces)
    }

    fn said_within(wrapping: Wrapping, pieces: &[&str]) -> Vec<String> {
        let sense = Sense { wrapping: Some(wrapping), ..Sense::default() };
        let mut answer = sense.answer(TOOL).expect("ours");
        let mut out: Vec<String> = pieces.iter().map(|piece| answer.push(piece)).collect();
        out.push(answer.end());
        out
    }

    #[test]
    fn an_answer_is_held_back_only_while_it_may_be_wrapped() {
        assert_eq!(said(&["{\"va", "lue\":", "1}"]), ["", "{\"value\":", "1}", ""]);
        assert_eq!(said(&["{ \"val", "ues\" : [1,", " 2]}"]), ["", "", "", "[1, 2]"]);
        assert_eq!(said(&["{\"values\":1,", "\"more\":2}"]), ["", "", "{\"values\":1,\"more\":2}"]);
        assert_eq!(said(&["{\"values\":[1"]), ["", "{\"values\":[1"]);
        assert_eq!(said(&[]), [""]);
    }

    #[test]
    fn a_wrapper_that_nobody_asked_for_comes_off_an_object_only() {
        let stray = |text| said_within(Wrapping::Stray, &[text]).concat();
        assert_eq!(stray("{\"values\":{\"a\":1}}"), "{\"a\":1}");
        assert_eq!(stray("{\"values\":[1]}"), "{\"values\":[1]}");
        assert_eq!(said_within(Wrapping::Never, &["{\"values\":", "{}}"]), ["{\"values\":", "{}}", ""]);
    }

    #[test]
    fn an_answer_too_long_to_hold_goes_out_as_it_came() {
        let long = format!("{{\"values\":\"{}", "x".repeat(HELD_BYTES));
        assert_eq!(said(&[&long, "\"}"]), [long.as_str(), "\"}", ""]);
    }

    #[test]
    fn white_space_before_an_answer_is_looked_at_once() {
        let sense = Sense { wrapping: Some(Wrapping::Ours), ..Sense::default() };
        let mut answer = sense.answer(TOOL).expect("ours");
        assert!((0..1_000_000).all(|_| answer.push(" ").is_empty()));
        assert_eq!(answer.push("{\"values\":7}") + &answer.end(), "7");
        assert_eq!(WRAPPED, format!("{{\"{WRAPPER}\":").as_bytes());
    }

    #[test]
    fn only_our_tool_is_an_answer() {
        assert!(Sense::default().answer(TOOL).is_none());
        assert!(Sense { wrapping: Some(Wrapping::Ours), ..Sense::default() }.answer("get_weather").is_none());
    }
}
