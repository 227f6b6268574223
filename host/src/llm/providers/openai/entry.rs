//! One entry of a chunk's `choices`: what is wrong with it, and whether it is worth sending.
//! Must not know the chunk around it.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::calls::{Calls, is_finalisation};
use super::shape::{Entry, Raw, Said, calls, filled, says};
use super::splice::Splice;
use super::{OpenAiNormalizer, canonical_reason, malformed};
use crate::chat::CHOICES_MAX;
use crate::chat::codec::json_string;
use crate::llm::adapter::DecodeError;
use crate::llm::call_id;

/// A choice that has begun.
pub(super) struct Choice {
    index: u32,
    pub(super) finished: bool,
    calls: Calls,
}

/// What a list of tool calls came to.
enum Heard {
    Nothing,
    /// The provider's mark that its calls are over, for which the canonical form has no use.
    Finalisation,
    Calls,
}

impl Choice {
    /// The entry that finishes a choice which the provider left open.
    pub(super) fn finish(&mut self) -> String {
        self.finished = true;
        let reason = canonical_reason("stop", !self.calls.is_empty());
        format!("{{\"index\":{},\"delta\":{{}},\"finish_reason\":\"{reason}\",\"logprobs\":null}}", self.index)
    }
}

impl OpenAiNormalizer {
    /// Notes in `splice` what must change of the entry, which stands at `place`. False if a client has no use for it.
    ///
    /// # Errors
    /// `Malformed` where it is no choice, or one too many.
    pub(super) fn entry<'a>(&mut self, place: u32, entry: &Entry<'a>, splice: &mut Splice<'a>) -> Result<bool, DecodeError> {
        let delta = entry.delta.filter(|raw| raw.get() != "null");
        let said = delta.map(Said::read).transpose()?.unwrap_or_default();
        let index = entry.index.and_then(|raw| raw.get().parse().ok());
        let (at, begins) = self.choice(index.unwrap_or(place))?;
        let heard = self.hear(at, said.tool_calls, splice)?;
        let finishes = self.finish(at, entry.finish_reason, splice);
        self.says_something |= said.something || matches!(heard, Heard::Calls) || finishes;
        let verdict = entry.content_filter_results.is_some_and(says);
        let useful = said.something || said.more || matches!(heard, Heard::Calls) || finishes || verdict;
        // An empty delta is harmless where the choice goes on, and the role often comes with one.
        let harmless = delta.is_some() && !self.choices[at].finished && (begins || !matches!(heard, Heard::Finalisation));
        if index.is_none() {
            give_index(entry, place, splice);
        }
        give_delta(entry, delta, begins.then_some(&said), splice);
        Ok(useful || harmless)
    }

    /// The place of a choice in our list, and whether it begins now.
    fn choice(&mut self, index: u32) -> Result<(usize, bool), DecodeError> {
        if let Some(at) = self.choices.iter().position(|choice| choice.index == index) {
            return Ok((at, false));
        }
        if self.choices.len() == CHOICES_MAX {
            return Err(malformed("more choices than any request can ask for"));
        }
        self.choices.push(Choice { index, finished: false, calls: Calls::default() });
        Ok((self.choices.len() - 1, true))
    }

    /// Notes the finish reason; true if it counts, which only the first of a choice does.
    fn finish<'a>(&mut self, at: usize, reason: Raw<'a>, splice: &mut Splice<'a>) -> bool {
        let Self { choices, reasons, .. } = self;
        let choice = &mut choices[at];
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

    /// Gives each tool-call delta its place and, where it begins without one, an id.
    fn hear<'a>(&mut self, at: usize, list: Raw<'a>, splice: &mut Splice<'a>) -> Result<Heard, DecodeError> {
        let Some(list) = list.filter(|raw| says(raw)) else { return Ok(Heard::Nothing) };
        let deltas = calls(list)?;
        if deltas.iter().all(|(_, call)| is_finalisation(call)) {
            splice.replace(list, "null");
            return Ok(if deltas.is_empty() { Heard::Nothing } else { Heard::Finalisation });
        }
        let Self { choices, name, .. } = self;
        let choice = &mut choices[at];
        for (raw, call) in &deltas {
            let place = choice.calls.place(call)?;
            let index = place.index.to_string();
            give(raw, "index", call.index, &index, splice);
            if place.lacks_id {
                let id = json_string(&call_id::made(&name.id, choice.index, place.index));
                give(raw, "id", call.id, id.get(), splice);
            } else if !place.begins {
                // Clients put the pieces of one call together, the ids too.
                let repeated = call.function.as_ref().and_then(|function| filled(function.name)).filter(|_| !place.names);
                for repeated in [filled(call.id), repeated].into_iter().flatten() {
                    splice.replace(repeated, "null");
                }
            }
            if let Some(arguments) = call.function.as_ref().and_then(|function| function.arguments).filter(|raw| raw.get().starts_with('{'))
            {
                splice.replace(arguments, json_string(arguments.get()).get().to_owned());
            }
        }
        Ok(Heard::Calls)
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
