//! Which call of a choice a tool-call delta belongs to. Calls are counted from 0 without gaps, in the order they begin, whatever the provider
//! counts: some give every call the index 0, some none, some repeat the id on every delta, some have no ids.
//! Must not know how a delta is written.

use super::shape::{Call, filled, says};
use crate::llm::provider_error::DecodeError;

/// Calls of one choice that are kept apart.
pub(in crate::llm) const CALLS_MAX: usize = 256;

/// The calls of one choice.
#[derive(Debug, Default)]
pub(in crate::llm) struct Calls {
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    /// As its JSON text; none where the provider gave none.
    id: Option<String>,
    theirs: Option<u32>,
    named: bool,
}

/// Where a delta belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::llm) struct Place {
    pub(in crate::llm) index: u32,
    /// The call begins here.
    pub(in crate::llm) begins: bool,
    /// The id in the delta is missing, or another call has it.
    pub(in crate::llm) lacks_id: bool,
    /// The name in the delta is news.
    pub(in crate::llm) names: bool,
}

impl Calls {
    pub(in crate::llm) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// # Errors
    /// `Malformed` where there are more calls than any answer has.
    pub(in crate::llm) fn place(&mut self, call: &Call<'_>) -> Result<Place, DecodeError> {
        let id = filled(call.id).map(|id| id.get());
        let theirs = call.index.and_then(|index| index.get().parse::<u32>().ok());
        let name = filled(call.function.as_ref().map_or(call.name, |function| function.name)).is_some();
        let found = match (id, theirs) {
            (Some(id), None) => self.known.iter().rposition(|known| known.id.as_deref() == Some(id)),
            (Some(id), theirs) => self.known.iter().rposition(|known| known.theirs == theirs && known.id.as_deref() == Some(id)),
            // Where there are no ids, a name begins a call.
            (None, Some(_)) => {
                let last = self.known.iter().rposition(|known| known.theirs == theirs);
                last.filter(|at| !(name && self.known[*at].named && self.known[*at].id.is_none()))
            }
            (None, None) if name => None,
            (None, None) => self.known.len().checked_sub(1),
        };
        if let Some(at) = found {
            let names = name && !self.known[at].named;
            self.known[at].named |= name;
            return Ok(Place { index: number(at), begins: false, lacks_id: false, names });
        }
        if self.known.len() == CALLS_MAX {
            return Err(DecodeError::Malformed(format!("more than {CALLS_MAX} tool calls in one choice")));
        }
        let taken = self.known.iter().any(|known| id.is_some() && known.id.as_deref() == id);
        self.known.push(Known { id: id.map(str::to_owned), theirs, named: name });
        Ok(Place { index: number(self.known.len() - 1), begins: true, lacks_id: id.is_none() || taken, names: name })
    }
}

/// The delta with which some providers end their calls: it names nothing and adds nothing, and says so with `null` or by being empty.
pub(in crate::llm) fn is_finalisation(call: &Call<'_>) -> bool {
    let (name, arguments) = call.function.as_ref().map_or((call.name, call.arguments), |function| (function.name, function.arguments));
    let nameless = filled(call.id).is_none() && filled(name).is_none();
    let said_null = [call.id, name].iter().flatten().any(|value| value.get() == "null");
    nameless && !arguments.is_some_and(says) && (said_null || (call.index.is_none() && call.function.is_none()))
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("there are at most CALLS_MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Index, whether it begins, and whether its id is missing.
    fn places(deltas: &[&str]) -> Vec<(u32, bool, bool)> {
        let mut calls = Calls::default();
        let place = |delta: &&str| {
            let place = calls.place(&serde_json::from_str(delta).expect("a call")).expect("few calls");
            (place.index, place.begins, place.lacks_id)
        };
        deltas.iter().map(place).collect()
    }

    #[test]
    fn calls_that_share_an_index_are_kept_apart_by_id() {
        let deltas = [r#"{"index":0,"id":"a"}"#, r#"{"index":0}"#, r#"{"index":0,"id":"b"}"#, r#"{"index":0}"#, r#"{"index":0,"id":"a"}"#];
        assert_eq!(places(&deltas), [(0, true, false), (0, false, false), (1, true, false), (1, false, false), (0, false, false)]);
    }

    #[test]
    fn calls_without_an_index_are_found_by_id_or_are_the_last() {
        let deltas = [r#"{"id":"a"}"#, r#"{"id":"b"}"#, r#"{"id":"a"}"#, r#"{}"#, r#"{"function":{"name":"f"}}"#, r#"{"id":null}"#];
        let expected = [(0, true, false), (1, true, false), (0, false, false), (1, false, false), (2, true, true), (2, false, false)];
        assert_eq!(places(&deltas), expected);
    }

    #[test]
    fn without_ids_a_name_begins_a_call() {
        let deltas = [
            r#"{"index":0,"id":"","function":{"name":"f","arguments":"{}"}}"#,
            r#"{"index":0,"function":{"arguments":""}}"#,
            r#"{"index":0,"id":"","function":{"name":"f","arguments":"{}"}}"#,
            r#"{"index":1,"id":"a","function":{"name":"g"}}"#,
            r#"{"index":1,"function":{"name":"g","arguments":"{}"}}"#,
        ];
        assert_eq!(places(&deltas), [(0, true, true), (0, false, false), (1, true, true), (2, true, false), (2, false, false)]);
    }

    #[test]
    fn calls_with_one_id_but_two_indices_are_two() {
        assert_eq!(places(&[r#"{"index":0,"id":"a"}"#, r#"{"index":1,"id":"a"}"#]), [(0, true, false), (1, true, true)]);
    }

    #[test]
    fn calls_are_counted_from_0_without_gaps() {
        let deltas = [r#"{"index":1,"id":"a"}"#, r#"{"index":5,"id":"b"}"#, r#"{"index":1}"#];
        assert_eq!(places(&deltas), [(0, true, false), (1, true, false), (0, false, false)]);
    }

    #[test]
    fn more_calls_than_the_limit_are_malformed() {
        let mut calls = Calls::default();
        let begin = |calls: &mut Calls, at: usize| calls.place(&serde_json::from_str(&format!(r#"{{"id":"{at}"}}"#)).expect("a call"));
        for at in 0..CALLS_MAX {
            begin(&mut calls, at).expect("at the edge");
        }
        begin(&mut calls, CALLS_MAX).expect_err("one more");
    }
}
