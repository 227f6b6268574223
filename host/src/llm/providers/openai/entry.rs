//! The entries of a chunk's `choices`: what is wrong with each, whether it is worth sending, and what is known of the choices so far.
//! A choice gets its role first and its finish reason once.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::calls::{Calls, is_finalisation};
use super::shape::{Entry, Raw, Said, calls, canonical_reason, filled, malformed, says};
use super::splice::Splice;
use crate::chat::CHOICES_MAX;
use crate::chat::codec::json_string;
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
        let said = delta.map(Said::read).transpose()?.unwrap_or_default();
        let index = entry.index.and_then(|raw| raw.get().parse().ok());
        let (at, begins) = self.choice(index.unwrap_or(place))?;
        let calls = self.begun[at].calls(said.tool_calls, reply_id, splice)?;
        let finishes = self.finish(at, entry.finish_reason, splice);
        let calls_something = matches!(calls, CallsOf::Some(_));
        self.says_something |= said.something || calls_something || finishes;
        let verdict = entry.content_filter_results.is_some_and(says);
        let useful = said.something || said.more || calls_something || finishes || verdict;
        // An empty delta is harmless if the choice goes on, and the role often comes with one.
        let harmless = delta.is_some() && !self.begun[at].finished && (begins || !matches!(calls, CallsOf::Finalisation));
        if index.is_none() {
            give_index(entry, place, splice);
        }
        give_delta(entry, delta, begins.then_some(&said), splice);
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
        let Some(reason) = filled(reason).filter(|_| !choice.finished).map(|raw| raw.get().trim_matches('"')) else {
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
        let mut more = None;
        for (raw, call) in &deltas {
            let place = self.calls.place(call)?;
            let index = place.index.to_string();
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
    match (entry.index, entry.delta.or(entry.finish_reason).or(entry.content_filter_results)) {
        (Some(found), _) => splice.replace(found, index.to_string()),
        (None, Some(neighbour)) => splice.behind(neighbour, format!(",\"index\":{index}")),
        // It says nothing that we know of.
        (None, None) => {}
    }
}

/// Gives an entry a delta where it has none, and the first of a choice the role. `first`: what the first delta says.
fn give_delta<'a>(entry: &Entry<'a>, delta: Raw<'a>, first: Option<&Said<'a>>, splice: &mut Splice<'a>) {
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
            if let Some(neighbour) = entry.finish_reason.or(entry.index).or(entry.content_filter_results) {
                splice.behind(neighbour, format!(",\"delta\":{empty}"));
            }
        }
    }
}
