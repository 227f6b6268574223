//! What a model has written of its answer so far. Each piece is checked against those before it, so that whoever reads the answer gets choices
//! that the client asked for, calls that begin before they go on, and nothing behind a finish. Nothing invalid and no more than `output` leaves this file.

use std::collections::{BTreeMap, BTreeSet};

use super::bindings::types as wit;
use super::convert::{object, value};
use super::{Exhausted, FaultKind};
use crate::chat::codec::{self, alike, parse_fields};
use crate::chat::{Delta, Fields, Piece};

/// Calls of functions in one choice.
const CALLS_MAX: u32 = 1_000;

/// OpenAI's words for why a choice ended; clients check them.
const REASONS: [&str; 5] = ["stop", "length", "tool_calls", "content_filter", "function_call"];

/// Fields of OpenAI's delta that the contract has pieces for: among the others they would hide what readers see.
const OF_DELTA: [&str; 6] = ["role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls"];
const OF_USAGE: [&str; 3] = ["prompt_tokens", "completion_tokens", "total_tokens"];

/// One answer.
pub(super) struct Written {
    /// How many choices the client asked for.
    choices_max: u32,
    bytes: usize,
    bytes_max: usize,
    choices: BTreeMap<u32, Choice>,
    usage: Option<crate::chat::Json>,
}

/// One choice that has begun.
#[derive(Default)]
struct Choice {
    calls: BTreeSet<u32>,
    finished: bool,
}

impl Written {
    /// `output`: the bytes that an answer may have.
    pub(super) fn new(choices_max: u32, output: usize) -> Self {
        Self { choices_max, bytes: 0, bytes_max: output, choices: BTreeMap::new(), usage: None }
    }

    /// The pieces as the host has them, and how many bytes they take.
    pub(super) fn take(&mut self, deltas: Vec<wit::Delta>) -> Result<(Vec<Delta>, usize), FaultKind> {
        let mut taken = Vec::with_capacity(deltas.len());
        for wit::Delta { choice, piece } in deltas {
            self.piece(choice, piece, &mut taken).map_err(FaultKind::Invalid)?;
        }
        let bytes = taken.iter().map(Delta::bytes).sum();
        self.count(bytes)?;
        Ok((taken, bytes))
    }

    /// Counts bytes of the answer.
    pub(super) fn count(&mut self, bytes: usize) -> Result<(), FaultKind> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.bytes_max { Err(FaultKind::Exhausted(Exhausted::Output(self.bytes_max))) } else { Ok(()) }
    }

    /// What the answer cost; the last one counts.
    pub(super) fn set_usage(&mut self, usage: wit::Usage) -> Result<(), FaultKind> {
        let wit::Usage { prompt_tokens, completion_tokens, extra } = usage;
        let total = u64::from(prompt_tokens) + u64::from(completion_tokens);
        let mut fields: Fields = vec![
            ("prompt_tokens".into(), codec::raw_json(&prompt_tokens)),
            ("completion_tokens".into(), codec::raw_json(&completion_tokens)),
            ("total_tokens".into(), codec::raw_json(&total)),
        ];
        for wit::Field { name, value: text } in extra {
            // The total is ours to add up.
            if name == "total_tokens" {
                continue;
            }
            if OF_USAGE.iter().any(|known| alike(&name, known)) {
                return Err(FaultKind::Invalid(format!("extra of the usage holds `{name}`, which has a place of its own")));
            }
            let json = value(text, &format!("usage.extra.{name}")).map_err(FaultKind::Invalid)?;
            fields.push((name, json));
        }
        let json = codec::object(&fields);
        self.count(json.get().len())?;
        self.usage = Some(json);
        Ok(())
    }

    /// The answer is over: what it left unsaid.
    pub(super) fn end(&mut self) -> Result<Vec<Delta>, FaultKind> {
        if self.choices.is_empty() {
            return Err(FaultKind::Invalid("its answer holds nothing: no piece was written, not even a finish".into()));
        }
        let open = self.choices.iter_mut().filter(|(_, choice)| !choice.finished);
        let finish = |(index, choice): (&u32, &mut Choice)| {
            choice.finished = true;
            let reason = if choice.calls.is_empty() { "stop" } else { "tool_calls" };
            Delta::Piece { choice: *index, piece: Piece::Finish(reason.to_owned()) }
        };
        let mut last: Vec<Delta> = open.map(finish).collect();
        last.extend(self.usage.take().map(Delta::UsageJson));
        Ok(last)
    }

    fn piece(&mut self, index: u32, piece: wit::Piece, taken: &mut Vec<Delta>) -> Result<(), String> {
        if index >= self.choices_max {
            return Err(format!("it wrote choice {index}, and the client asked for {}", self.choices_max));
        }
        let choice = self.choices.entry(index).or_default();
        if choice.finished {
            return Err(format!("it wrote more of choice {index} after its finish"));
        }
        let mut add = |piece| taken.push(Delta::Piece { choice: index, piece });
        match piece {
            wit::Piece::Text(text) => add(Piece::Text(text)),
            wit::Piece::Refusal(text) => add(Piece::Refusal(text)),
            wit::Piece::Reasoning(text) => add(Piece::Reasoning(text)),
            wit::Piece::ToolCall(call) => choice.call(call, &mut add)?,
            wit::Piece::Finish(reason) => {
                choice.finished = true;
                let known = REASONS.contains(&reason.as_str());
                // What the host does with a provider's word that it does not know.
                add(Piece::Finish(if known { reason } else { "content_filter".into() }));
            }
            wit::Piece::Other(text) => add(Piece::Fields(other(text)?)),
        }
        Ok(())
    }
}

impl Choice {
    fn call(&mut self, call: wit::ToolCallPiece, add: &mut impl FnMut(Piece)) -> Result<(), String> {
        let wit::ToolCallPiece { index, id, name, arguments } = call;
        if index >= CALLS_MAX {
            return Err(format!("it wrote tool call {index}; a choice has at most {CALLS_MAX}"));
        }
        match (self.calls.insert(index), id, name) {
            (true, Some(id), Some(name)) => add(Piece::Call { index, id, name, extra: Fields::new() }),
            (true, ..) => return Err(format!("the first piece of tool call {index} has no id or no name")),
            (false, None, None) => {}
            (false, ..) => return Err(format!("only the first piece of tool call {index} has an id and a name")),
        }
        if !arguments.is_empty() {
            add(Piece::Arguments { index, text: arguments });
        }
        Ok(())
    }
}

fn other(text: String) -> Result<Fields, String> {
    let json = object(text, "another piece")?;
    let fields = parse_fields(json.get().as_bytes()).map_err(|invalid| format!("another piece is no object: {}", invalid.message))?;
    match fields.as_slice() {
        [(name, _)] if OF_DELTA.iter().any(|known| alike(name, known)) => {
            Err(format!("another piece holds `{name}`, which has a piece of its own"))
        }
        [_] => Ok(fields),
        _ => Err(format!("another piece must be an object of one key, and has {}", fields.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(choice: u32, piece: wit::Piece) -> wit::Delta {
        wit::Delta { choice, piece }
    }

    fn text(text: &str) -> wit::Delta {
        delta(0, wit::Piece::Text(text.into()))
    }

    fn call(index: u32, begins: bool) -> wit::Delta {
        let word = |word: &str| begins.then(|| word.to_owned());
        delta(0, wit::Piece::ToolCall(wit::ToolCallPiece { index, id: word("c"), name: word("f"), arguments: "{}".into() }))
    }

    fn other(text: &str) -> wit::Delta {
        delta(0, wit::Piece::Other(text.into()))
    }

    fn finish(reason: &str) -> wit::Delta {
        delta(0, wit::Piece::Finish(reason.into()))
    }

    fn take(deltas: Vec<wit::Delta>) -> Result<String, FaultKind> {
        Written::new(2, 1 << 20).take(deltas).map(|(taken, _)| format!("{taken:?}"))
    }

    #[test]
    fn what_does_not_fit_to_what_was_written_before_is_an_invalid_outcome() {
        for (deltas, why) in [
            (vec![delta(2, wit::Piece::Text("x".into()))], "choice 2"),
            (vec![finish("stop"), text("x")], "after its finish"),
            (vec![finish("stop"), finish("stop")], "after its finish"),
            (vec![call(0, false)], "no id or no name"),
            (vec![call(0, true), call(0, true)], "only the first piece"),
            (vec![call(CALLS_MAX, true)], "at most 1000"),
            (vec![other("{")], "no valid JSON"),
            (vec![other("[]")], "no JSON object"),
            (vec![other("{}")], "one key"),
            (vec![other(r#"{"a":1,"b":2}"#)], "one key"),
            (vec![other(r#"{"Content":"hidden"}"#)], "piece of its own"),
            (vec![other(r#"{"tool_calls":[]}"#)], "piece of its own"),
        ] {
            let refused = take(deltas).expect_err(why);
            assert!(matches!(&refused, FaultKind::Invalid(text) if text.contains(why)), "{why}: {refused}");
        }
        let fits =
            vec![text("a"), call(0, true), call(0, false), call(CALLS_MAX - 1, true), other(r#"{"annotations":[]}"#), finish("stop")];
        assert!(take(fits).is_ok());
    }

    #[test]
    fn a_foreign_reason_becomes_one_that_clients_know() {
        assert!(take(vec![finish("end_turn")]).is_ok_and(|taken| taken.contains("content_filter")));
        assert!(take(vec![finish("length")]).is_ok_and(|taken| taken.contains("length")));
    }

    #[test]
    fn an_answer_is_bounded_at_its_edge_in_one_write_and_in_many() {
        let size = Delta::Piece { choice: 0, piece: Piece::Text("x".into()) }.bytes();
        for (writes, fits) in [(10, true), (11, false)] {
            let mut many = Written::new(1, size * 10);
            let last = (0..writes).map(|_| many.take(vec![text("x")]).map(drop)).last().expect("some");
            let one = Written::new(1, size * 10).take((0..writes).map(|_| text("x")).collect()).map(drop);
            let expected = if fits { Ok(()) } else { Err(FaultKind::Exhausted(Exhausted::Output(size * 10))) };
            assert_eq!((last, one), (expected.clone(), expected));
        }
    }

    #[test]
    fn an_answer_ends_with_what_was_left_unsaid_and_one_of_nothing_is_none() {
        let end = |deltas: Vec<wit::Delta>| {
            let mut written = Written::new(2, 1 << 20);
            written.take(deltas).expect("valid");
            written.end().map(|last| format!("{last:?}"))
        };
        assert!(matches!(end(Vec::new()), Err(FaultKind::Invalid(why)) if why.contains("holds nothing")));
        assert!(end(vec![text("a")]).is_ok_and(|last| last.contains("\"stop\"")));
        assert!(end(vec![call(0, true)]).is_ok_and(|last| last.contains("\"tool_calls\"")));
        assert_eq!(end(vec![finish("length")]), Ok("[]".into()));
    }

    #[test]
    fn the_last_usage_counts_and_its_total_is_the_hosts_to_add_up() {
        let field = |name: &str, value: &str| wit::Field { name: name.into(), value: value.into() };
        let usage = |extra| wit::Usage { prompt_tokens: 3, completion_tokens: u32::MAX, extra };
        let mut written = Written::new(1, 1 << 20);
        written.set_usage(usage(vec![field("total_tokens", "1"), field("cost", "0.5")])).expect("valid");
        let expected = r#"{"prompt_tokens":3,"completion_tokens":4294967295,"total_tokens":4294967298,"cost":0.5}"#;
        assert_eq!(written.usage.as_ref().map(|json| json.get()), Some(expected));
        for extra in [field("PromptTokens", "1"), field("cost", "nan")] {
            assert!(matches!(written.set_usage(usage(vec![extra])), Err(FaultKind::Invalid(_))));
        }
    }
}
