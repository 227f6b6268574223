//! What is known of a stream so far: its head, its choices and their tool calls; and what is wrong with each entry of a chunk's `choices`.
//! The id, time and model of the first chunk are those of all. A choice gets its role first and its finish reason once. Calls are counted from 0
//! without gaps, in the order in which they begin, whatever the provider counts: some give every call the index 0, some none, some repeat the id
//! on every delta, some have no ids. A call keeps its number once it has one.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::parts;
use super::shape::{Call, Chunk, Entry, Raw, Said, calls, canonical_reason, filled, malformed, reason, says};
use super::splice::Splice;
use crate::chat::codec::json_string;
use crate::chat::{CHOICES_MAX, HEAD_BYTES_MAX, Name};
use crate::llm::call_id;
use crate::llm::provider_error::DecodeError;

/// The choices of one reply.
#[derive(Default)]
pub(super) struct Choices {
    begun: Vec<Choice>,
    /// Some entry had content, reasoning, a refusal, a tool call or a finish reason.
    pub(super) says_something: bool,
    /// Why choices ended, until it was reported.
    pub(super) reasons: Vec<String>,
}

/// A choice that has begun.
struct Choice {
    index: u32,
    finished: bool,
    calls: Calls,
}

/// What an entry came to.
pub(super) struct Decided<'a> {
    /// A client has a use for it.
    pub(super) goes_out: bool,
    /// The one text in it, if the entry changed nothing but what the client has read.
    pub(super) text_alone: Raw<'a>,
}

/// What a list of tool calls came to.
enum CallsOf<'a> {
    Nothing,
    /// The provider's mark that its calls are over, for which the canonical form has no use.
    Finalisation,
    /// With the arguments, if all that it says is more of those of one call.
    Some(Raw<'a>),
}

impl Choices {
    /// Notes in `splice` what must change of the entry, which stands at `place`. `reply_id` is the base of ids for calls that have none.
    ///
    /// # Errors
    /// `Malformed` if it is no choice, or one too many.
    pub(super) fn entry<'a>(
        &mut self,
        place: u32,
        entry: &Entry<'a>,
        reply_id: &str,
        splice: &mut Splice<'a>,
    ) -> Result<Decided<'a>, DecodeError> {
        let delta = entry.delta.filter(|raw| raw.get() != "null");
        let mut said = delta.map(Said::read).transpose()?.unwrap_or_default();
        // A server that answers as OpenAI's older API does has its text here.
        let older = entry.text.filter(|_| delta.is_none() && entry.delta.is_none()).and_then(|raw| filled(Some(raw)));
        said.something |= older.is_some();
        let index = entry.index.and_then(number_of);
        let (at, begins) = self.choice(index.unwrap_or(place))?;
        let calls = self.begun[at].calls(said.tool_calls, reply_id, splice)?;
        let finishes = self.finish(at, entry.finish_reason, splice);
        let calls_something = matches!(calls, CallsOf::Some(_));
        self.says_something |= said.something || calls_something || finishes;
        let verdict = entry.content_filter_results.is_some_and(says);
        let useful = said.something || said.more || calls_something || finishes || verdict;
        // An empty delta is harmless if the choice goes on, and the role often comes with one.
        let harmless = delta.is_some() && !self.begun[at].finished && (begins || !matches!(calls, CallsOf::Finalisation));
        let exact = entry.index.is_some_and(|raw| raw.get().parse::<u32>().is_ok());
        if !exact {
            give_index(entry, index.unwrap_or(place), splice);
        }
        parts::mend(&said, splice);
        give_delta(entry, delta, begins.then_some(&said), older, splice);
        let text_alone = match calls {
            _ if begins || finishes => None,
            CallsOf::Nothing => filled(said.alone),
            CallsOf::Some(arguments) if !said.something => filled(arguments),
            CallsOf::Finalisation | CallsOf::Some(_) => None,
        };
        Ok(Decided { goes_out: useful || harmless, text_alone })
    }

    pub(super) fn len(&self) -> usize {
        self.begun.len()
    }

    /// Forgets the choices that began after the first so many.
    pub(super) fn truncate(&mut self, len: usize) {
        self.begun.truncate(len);
    }

    /// Whether there was a choice and each has its finish reason.
    pub(super) fn finished(&self) -> bool {
        !self.begun.is_empty() && self.begun.iter().all(|choice| choice.finished)
    }

    /// Finishes the first choice that the provider left open; gives its index and the reason.
    pub(super) fn finish_next(&mut self) -> Option<(u32, &'static str)> {
        let choice = self.begun.iter_mut().find(|choice| !choice.finished)?;
        choice.finished = true;
        Some((choice.index, canonical_reason("stop", !choice.calls.is_empty())))
    }

    /// The place of a choice in our list, and whether it begins now.
    fn choice(&mut self, index: u32) -> Result<(usize, bool), DecodeError> {
        if let Some(at) = self.begun.iter().position(|choice| choice.index == index) {
            return Ok((at, false));
        }
        if self.begun.len() == CHOICES_MAX {
            return Err(malformed("more choices than any request can ask for"));
        }
        self.begun.push(Choice { index, finished: false, calls: Calls::default() });
        Ok((self.begun.len() - 1, true))
    }

    /// Notes the finish reason; true if it counts, which only the first of a choice does.
    fn finish<'a>(&mut self, at: usize, reason: Raw<'a>, splice: &mut Splice<'a>) -> bool {
        let Self { begun, reasons, .. } = self;
        let choice = &mut begun[at];
        let Some(raw) = reason.filter(|raw| raw.get() != "null") else { return false };
        let Some(reason) = self::reason(reason).filter(|_| !choice.finished) else {
            splice.replace(raw, "null");
            return false;
        };
        let canonical = canonical_reason(reason, !choice.calls.is_empty());
        if canonical != reason {
            splice.replace(raw, format!("\"{canonical}\""));
        }
        choice.finished = true;
        reasons.push(canonical.to_owned());
        true
    }
}

impl Choice {
    /// Gives each tool-call delta its place and, if it begins without one, an id.
    fn calls<'a>(&mut self, list: Raw<'a>, reply_id: &str, splice: &mut Splice<'a>) -> Result<CallsOf<'a>, DecodeError> {
        let Some(list) = list.filter(|raw| says(raw)) else { return Ok(CallsOf::Nothing) };
        let deltas = calls(list)?;
        if deltas.iter().all(|(_, call)| is_finalisation(call)) {
            splice.replace(list, "null");
            return Ok(if deltas.is_empty() { CallsOf::Nothing } else { CallsOf::Finalisation });
        }
        if list.get().starts_with('{') {
            splice.around(list, "[", "]");
        }
        let (mut more, mut last) = (None, 0);
        for (raw, call) in &deltas {
            if is_finalisation(call) {
                // It says nothing, so it begins no call, and has the number of the one before it.
                give(raw, "index", call.index, &last.to_string(), splice);
                continue;
            }
            let place = self.calls.place(call)?;
            last = place.index;
            let index = last.to_string();
            give(raw, "index", call.index, &index, splice);
            let (name, arguments) = call.function.as_ref().map_or((None, None), |function| (function.name, function.arguments));
            if place.lacks_id {
                let id = json_string(&call_id::made(reply_id, self.index, place.index));
                give(raw, "id", call.id, id.get(), splice);
            } else if !place.begins {
                // Clients put the pieces of one call together, the ids too.
                for repeated in [filled(call.id), filled(name).filter(|_| !place.names)].into_iter().flatten() {
                    splice.replace(repeated, "null");
                }
            }
            match arguments {
                Some(object) if object.get().starts_with('{') => splice.replace(object, json_string(object.get()).get().to_owned()),
                text => more = text.filter(|_| deltas.len() == 1 && !place.begins && !place.names),
            }
        }
        Ok(CallsOf::Some(more))
    }
}

/// Gives `object` a field, in place of the one it has.
fn give<'a>(object: &'a RawValue, name: &str, found: Raw<'a>, wanted: &str, splice: &mut Splice<'a>) {
    match found {
        Some(found) if found.get() == wanted => {}
        Some(found) => splice.replace(found, wanted.to_owned()),
        None if object.get()[1..].trim_start().starts_with('}') => splice.replace(object, format!("{{\"{name}\":{wanted}}}")),
        None => splice.first(object, format!("\"{name}\":{wanted},")),
    }
}

fn give_index<'a>(entry: &Entry<'a>, index: u32, splice: &mut Splice<'a>) {
    match (entry.index, entry.delta.or(entry.finish_reason).or(entry.content_filter_results).or(entry.text)) {
        (Some(found), _) => splice.replace(found, index.to_string()),
        (None, Some(neighbour)) => splice.behind(neighbour, format!(",\"index\":{index}")),
        // It says nothing that we know of.
        (None, None) => {}
    }
}

/// A number, which some servers write as a text.
fn number_of(raw: &RawValue) -> Option<u32> {
    raw.get().trim_matches('"').parse().ok()
}

/// Gives an entry a delta if it has none, and the first of a choice the role. `first`: the content of the first delta. `older`: the text that
/// stands beside the delta.
fn give_delta<'a>(entry: &Entry<'a>, delta: Raw<'a>, first: Option<&Said<'a>>, older: Raw<'a>, splice: &mut Splice<'a>) {
    const ROLE: &str = "\"role\":\"assistant\"";
    let role = first.filter(|said| filled(said.role).is_none()).map(|said| said.role);
    let empty: Cow<'a, str> = if role.is_some() { format!("{{{ROLE}}}").into() } else { "{}".into() };
    match (delta, entry.delta, role) {
        (Some(_), _, None) => {}
        (Some(_), _, Some(Some(found))) => splice.replace(found, "\"assistant\""),
        (Some(delta), _, Some(None)) if delta.get()[1..].trim_start().starts_with('"') => splice.first(delta, format!("{ROLE},")),
        (Some(delta), ..) => splice.replace(delta, empty),
        (None, Some(null), _) => splice.replace(null, empty),
        (None, None, _) => {
            let empty = match older {
                Some(text) if role.is_some() => format!("{{{ROLE},\"content\":{text}}}").into(),
                Some(text) => format!("{{\"content\":{text}}}").into(),
                None => empty,
            };
            if let Some(neighbour) = entry.finish_reason.or(entry.index).or(entry.content_filter_results).or(entry.text) {
                splice.behind(neighbour, format!(",\"delta\":{empty}"));
            }
        }
    }
}

/// Calls of one choice that are kept apart.
pub(in crate::llm) const CALLS_MAX: usize = 256;

/// The calls of one choice.
#[derive(Debug, Default)]
pub(in crate::llm) struct Calls {
    known: Vec<Known>,
}

#[derive(Debug)]
struct Known {
    /// As its JSON text; none if the provider gave none.
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
    /// `Malformed` if there are more calls than any answer has.
    pub(in crate::llm) fn place(&mut self, call: &Call<'_>) -> Result<Place, DecodeError> {
        let id = filled(call.id).map(|id| id.get());
        let theirs = call.index.and_then(number_of);
        let name = filled(call.function.as_ref().map_or(call.name, |function| function.name)).is_some();
        let found = match (id, theirs) {
            (Some(id), None) => self.known.iter().rposition(|known| known.id.as_deref() == Some(id)),
            (Some(id), theirs) => self.known.iter().rposition(|known| known.theirs == theirs && known.id.as_deref() == Some(id)),
            // If there are no ids, a name begins a call.
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

const OBJECT: &str = "\"chat.completion.chunk\"";

/// What every chunk begins with, as JSON texts.
pub(super) struct Head {
    id: String,
    created: String,
    model: String,
}

impl Head {
    /// The provider's names as far as they are any; what is missing is ours.
    pub(super) fn of(name: &Name, chunk: &Chunk<'_>) -> Self {
        let ours = Self::ours(name);
        let text = |raw: Raw<'_>, ours: String| match filled(raw).map(RawValue::get) {
            Some(theirs) if theirs.len() <= HEAD_BYTES_MAX => theirs.to_owned(),
            _ => ours,
        };
        let created = chunk.created.and_then(seconds).unwrap_or(ours.created);
        Self { id: text(chunk.id, ours.id), created, model: text(chunk.model, ours.model) }
    }

    pub(super) fn ours(name: &Name) -> Self {
        let [id, model] = [&name.id, &name.model].map(|text| json_string(text).get().to_owned());
        Self { id, created: name.created.to_string(), model }
    }

    /// As the first fields of a chunk, without the brace.
    pub(super) fn fields(&self) -> String {
        let Self { id, created, model } = self;
        format!("\"id\":{id},\"object\":{OBJECT},\"created\":{created},\"model\":{model}")
    }

    /// Gives a chunk that goes out these names.
    pub(super) fn rename<'a>(&self, chunk: &Chunk<'a>, splice: &mut Splice<'a>) {
        let fields = [
            ("id", chunk.id, self.id.as_str()),
            ("object", chunk.object, OBJECT),
            ("created", chunk.created, &self.created),
            ("model", chunk.model, &self.model),
        ];
        for (name, found, wanted) in fields {
            match found {
                Some(found) if found.get() == wanted => {}
                Some(found) => splice.replace(found, wanted.to_owned()),
                None => splice.first_of_all(format!("\"{name}\":{wanted},")),
            }
        }
    }
}

/// A time as a whole number of seconds, as the API has it; some servers write fractions, or 0 for none.
fn seconds(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite() && *seconds >= 1.0)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least 1, and a cast saturates")]
    let whole = seconds as u64;
    Some(if text.parse::<u64>().is_ok() { text.to_owned() } else { whole.to_string() })
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
