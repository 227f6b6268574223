//! Normalizes OpenAI-shaped replies: decides for each event whether it passes as it is, is rewritten, or is dropped. After it a client can rely on
//! one id, created and model; a finish reason once for each choice; usage only if asked for, and then last. Bytes that pass as they came are a
//! slice of the read that they came in. Source: OpenAI API reference, "Chat completion chunk".

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::errors::{InBand, hoisted, in_band, is_bare, reported};
use super::shape::{Chunk, Raw, filled, malformed};
use super::splice::{Splice, Template};
use super::state::{Choices, Head};
use super::whole;
use crate::chat::{ChunkWriter, Delta, HEAD_BYTES_MAX, Json, Name, Piece, Usage, Whole, sse};
use crate::llm::json_repair::JsonRepair;
use crate::llm::meter::Tally;
use crate::llm::provider_error::DecodeError;

/// A chunk of OpenAI's has some 250 bytes for a token's four.
const EVENT_BYTES_PER_TEXT_BYTE: usize = 64;

/// Bytes of an event around its data: `data: ` and two line ends.
const EVENT_LINES: usize = 8;

/// What becomes of an event.
#[derive(Debug, PartialEq)]
pub(in crate::llm) enum Verdict {
    AsIs,
    /// The data that goes out in its place.
    Rewritten(Vec<u8>),
    Dropped,
}

/// The state of one reply.
pub(in crate::llm) struct OpenAiNormalizer {
    /// What the reply is called if the provider does not say.
    name: Name,
    include_usage: bool,
    in_band: InBand,
    /// Taken from the first chunk that goes out, and not changed after it.
    head: Option<Head>,
    choices: Choices,
    usage: Option<Usage>,
    /// Usage that came beside choices or before their end, and waits for a chunk of its own.
    held: Option<Json>,
    usage_is_out: bool,
    /// The provider's name for the model, until it was reported.
    model: Option<String>,
    repair: JsonRepair,
    /// The last event, if the next one may differ from it in its text alone.
    template: Option<Template>,
}

impl OpenAiNormalizer {
    /// `name`: what the reply is called if the provider gives no name.
    pub(in crate::llm) fn new(name: Name, include_usage: bool) -> Self {
        Self {
            name,
            include_usage,
            in_band,
            head: None,
            choices: Choices::default(),
            usage: None,
            held: None,
            usage_is_out: false,
            model: None,
            repair: JsonRepair::default(),
            template: None,
        }
    }

    /// With a vendor's own way to read an error inside a success.
    pub(in crate::llm) fn reading_errors(self, in_band: InBand) -> Self {
        Self { in_band, ..self }
    }

    /// Appends the whole events in `block` as a client gets them. What passes as it is, and stands together, is not copied.
    ///
    /// # Errors
    /// An event that ends the stream; what was appended before it still counts.
    pub(in crate::llm) fn block(&mut self, block: Bytes, out: &mut Events, tally: &mut Tally) -> Result<(), DecodeError> {
        // Everything before `clean` is in `out`; from there to `at` all may pass.
        let (mut clean, mut at) = (0, 0);
        while at < block.len() {
            let begin = at;
            if let Some((template, found)) = self.template.as_ref().and_then(|template| Some((template, template.find(&block[at..])?))) {
                tally.generated((found.len() - EVENT_LINES) / EVENT_BYTES_PER_TEXT_BYTE);
                at += found.len();
                if !template.passes {
                    out.slice(&block, clean..begin);
                    template.write(&block[begin..], &found, out.buffer(block.len()));
                    clean = at;
                }
                continue;
            }
            let Some((event, _)) = sse::split_event(&block[at..]) else { break };
            at += event.raw.len();
            let verdict = match event.data.as_deref().map(<[u8]>::trim_ascii) {
                // llama.cpp's errors are no data, and others name the event so.
                None if let Some(error) = error_line(event.raw) => Err(reported(error, self.in_band)),
                Some(data) if !event.raw.starts_with(b"data") && sse::field(event.raw, b"event") == Some(b"error") => {
                    Err(reported(data, self.in_band))
                }
                // Comments, and fields without data. Clients that read text fail at what is none.
                None if std::str::from_utf8(event.raw).is_err() => Ok(Verdict::Dropped),
                None => continue,
                // The end mark is written when the stream has ended well.
                Some(data) if sse::is_done(data) => Ok(Verdict::Dropped),
                Some(data) => {
                    tally.generated(data.len() / EVENT_BYTES_PER_TEXT_BYTE);
                    match self.event(data) {
                        // The data is text, and a field beside it is none.
                        Ok(Verdict::AsIs) if std::str::from_utf8(event.raw).is_err() => Ok(Verdict::Rewritten(data.to_vec())),
                        verdict => verdict,
                    }
                }
            };
            if matches!(verdict, Ok(Verdict::AsIs)) {
                continue;
            }
            out.slice(&block, clean..begin);
            clean = at;
            if verdict.is_err() {
                // What was counted before the error holds, however the events were cut into reads.
                self.report(tally);
            }
            if let Verdict::Rewritten(json) = verdict? {
                sse::append(out.buffer(block.len()), &json);
            }
        }
        self.report(tally);
        out.slice(&block, clean..at);
        Ok(())
    }

    /// The data of one event, `[DONE]` aside.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub(in crate::llm) fn event(&mut self, data: &[u8]) -> Result<Verdict, DecodeError> {
        self.template = None;
        if let Some(repaired) = self.repair.event(data) {
            let verdict = self.chunk(utf8(&repaired)?)?;
            self.template = None;
            return Ok(if verdict == Verdict::AsIs { Verdict::Rewritten(repaired) } else { verdict });
        }
        let verdict = self.chunk(utf8(data)?)?;
        if self.repair.holds() {
            // The next event may have what is held back before its text.
            self.template = None;
        }
        Ok(verdict)
    }

    fn chunk(&mut self, text: &str) -> Result<Verdict, DecodeError> {
        if text.is_empty() {
            return Ok(Verdict::Dropped);
        }
        let chunk = Chunk::read(text)?;
        if chunk.is_error() {
            return Err(self.error(text));
        }
        let usage = chunk.usage_anywhere();
        self.usage = usage.and_then(Usage::read).or(self.usage);
        let mut splice = Splice::new(text);
        // The one text of an event that changed nothing but what the client has read.
        let mut text_alone = None;
        match &chunk.choices {
            // The usage is the last chunk of all.
            Some(choices) if !choices.is_empty() && self.usage_is_out => return Ok(Verdict::Dropped),
            Some(choices) if !choices.is_empty() => {
                let (mut goes_out, begun, said) = (false, self.choices.len(), self.choices.says_something);
                for (at, entry) in (0..).zip(choices) {
                    if choices.len() > 1 && entry.is_bare() {
                        return Err(malformed("a choice without an index and a delta beside others"));
                    }
                    let found = self.choices.entry(at, entry, &self.name.id, &mut splice)?;
                    goes_out |= found.goes_out;
                    text_alone = found.text_alone.filter(|_| choices.len() == 1 && said && usage.is_none() && self.head.is_some());
                }
                self.hold(chunk.usage, usage, &mut splice);
                if !goes_out {
                    // What began in it has not.
                    self.choices.truncate(begun);
                    return Ok(Verdict::Dropped);
                }
            }
            // Without choices only the usage is worth anything: Azure's verdict on the prompt makes clients fail that read `choices[0]`.
            choices => {
                if choices.is_none() && usage.is_none() && serde_json::from_str(text).is_ok_and(|json| is_bare(&json)) {
                    return Err(self.error(text));
                }
                let Some(usage) = usage.filter(|_| self.usage.is_some() && self.include_usage && !self.usage_is_out) else {
                    return Ok(Verdict::Dropped);
                };
                if !self.finished() {
                    // Some servers count as they go; the last count waits for the end.
                    self.head.get_or_insert_with(|| Head::of(&self.name, &chunk));
                    self.held = Some(regular(usage));
                    return Ok(Verdict::Dropped);
                }
                self.usage_is_out = true;
                let in_its_place = chunk.usage.is_some_and(|own| std::ptr::eq(own, usage));
                if choices.is_none() || !in_its_place || !Usage::is_regular(usage) {
                    return Ok(Verdict::Rewritten(self.usage_chunk(regular(usage))));
                }
            }
        }
        let Self { name, model, .. } = self;
        let first = || {
            *model = named(chunk.model);
            Head::of(name, &chunk)
        };
        self.head.get_or_insert_with(first).rename(&chunk, &mut splice);
        if let Some(found) = text_alone {
            self.template = Template::of(&splice, found, chunk.padding());
        }
        Ok(splice.done().map_or(Verdict::AsIs, Verdict::Rewritten))
    }

    /// Whether some event so far had content, reasoning, a refusal, a tool call or a finish reason.
    pub(in crate::llm) fn says_something(&self) -> bool {
        self.choices.says_something
    }

    /// Whether there was a choice and each has its finish reason.
    pub(in crate::llm) fn finished(&self) -> bool {
        self.choices.finished()
    }

    /// Reports what the provider said about the reply since the last time.
    pub(in crate::llm) fn report(&mut self, tally: &mut Tally) {
        if let Some(usage) = self.usage {
            tally.reported(usage);
        }
        if let Some(model) = self.model.take() {
            tally.named(&model);
        }
        for reason in self.choices.reasons.drain(..) {
            tally.finished(&reason);
        }
    }

    /// What the provider left out, one chunk a call until there is none. To be called when the provider ended the stream itself: choices that it
    /// left open get their finish reason.
    pub(in crate::llm) fn end(&mut self) -> Option<Vec<u8>> {
        if let Some((choice, reason)) = self.choices.finish_next() {
            return Some(self.written(Delta::Piece { choice, piece: Piece::Finish(reason.to_owned()) }));
        }
        let usage = self.held.take().filter(|_| self.include_usage && !self.usage_is_out)?;
        self.usage_is_out = true;
        Some(self.usage_chunk(usage))
    }

    /// A reply in one piece.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub(in crate::llm) fn whole(&mut self, body: &Bytes) -> Result<Whole, DecodeError> {
        let body = &JsonRepair::whole(body).map_or_else(|| body.clone(), Bytes::from);
        let text = utf8(body)?;
        let reply = Chunk::read(text)?;
        let bare = || reply.choices.is_none() && serde_json::from_str(text).is_ok_and(|json| is_bare(&json));
        if reply.is_error() || bare() {
            return Err(self.error(text));
        }
        self.usage = reply.usage_anywhere().and_then(Usage::read);
        let whole = whole::whole(&self.name, body, text, &reply)?;
        if let Whole::Raw(_) = whole {
            self.model = named(reply.model);
            let reasons = reply.choices.iter().flatten().filter_map(|choice| filled(choice.finish_reason));
            self.choices.reasons = reasons.map(|raw| raw.get().trim_matches('"').to_owned()).collect();
        }
        Ok(whole)
    }

    fn error(&self, text: &str) -> DecodeError {
        match serde_json::from_str(text) {
            Ok(json) => {
                let (status, error) = (self.in_band)(&hoisted(json));
                DecodeError::Error(status, error)
            }
            Err(error) => DecodeError::Malformed(error.to_string()),
        }
    }

    /// Usage beside choices is never sent on where it stands: a client that asked gets it last, in a chunk of its own.
    fn hold<'a>(&mut self, own: Raw<'a>, found: Raw<'a>, splice: &mut Splice<'a>) {
        if let Some(usage) = found.filter(|_| self.include_usage) {
            self.held = Some(regular(usage));
        }
        let Some(usage) = own else { return };
        if !self.include_usage {
            return splice.cut("usage", usage);
        }
        if usage.get() != "null" {
            splice.replace(usage, "null");
        }
    }

    fn usage_chunk(&mut self, usage: Json) -> Vec<u8> {
        self.written(Delta::UsageJson(usage))
    }

    /// A chunk of ours with the names of the provider's, as the one encoder writes it.
    fn written(&mut self, delta: Delta) -> Vec<u8> {
        let head = self.head.get_or_insert_with(|| Head::ours(&self.name)).fields();
        let (mut writer, mut out) = (ChunkWriter::joining(&head, self.include_usage), Vec::new());
        let mut sink = |json: &str| out.extend_from_slice(json.as_bytes());
        let usage = matches!(delta, Delta::UsageJson(_));
        writer.write(delta, &mut sink);
        if usage {
            writer.end(&mut sink);
        }
        out
    }
}

/// The usage as strict clients take it.
fn regular(usage: &RawValue) -> Json {
    match Usage::read(usage) {
        Some(counts) if !Usage::is_regular(usage) => counts.json(),
        _ => usage.to_owned(),
    }
}

/// What an event without data reports as an error: in a field of that name, or as the error's JSON without any field.
fn error_line(event: &[u8]) -> Option<&[u8]> {
    let bare = || {
        let text = event.trim_ascii();
        let chunk = Chunk::read(std::str::from_utf8(text).ok()?).ok()?;
        chunk.is_error().then_some(text)
    };
    sse::field(event, b"error").or_else(bare)
}

/// A name that is kept for the trace, if it is one.
fn named(model: Raw<'_>) -> Option<String> {
    let name = filled(model).filter(|raw| raw.get().len() <= HEAD_BYTES_MAX)?;
    serde_json::from_str(name.get()).ok()
}

fn utf8(data: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(data).map(str::trim).map_err(|error| DecodeError::Malformed(format!("it is no UTF-8: {error}")))
}

/// Room for what may follow the events of a read: the usage, and `[DONE]`.
const SPARE_BYTES: usize = 64;

/// Events that were appended.
#[derive(Default)]
pub(in crate::llm) struct Events {
    slice: Bytes,
    copied: Vec<u8>,
}

impl Events {
    /// All events, if there are any.
    pub(in crate::llm) fn take(self) -> Option<Bytes> {
        let events = if self.copied.is_empty() { self.slice } else { self.copied.into() };
        (!events.is_empty()).then_some(events)
    }

    /// Appends an event of this JSON text.
    pub(in crate::llm) fn event(&mut self, json: &[u8]) {
        sse::append(self.buffer(json.len()), json);
    }

    /// Appends whole events of a block as they are.
    pub(super) fn slice(&mut self, block: &Bytes, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if self.slice.is_empty() && self.copied.is_empty() {
            self.slice = block.slice(range);
        } else {
            self.buffer(block.len()).extend_from_slice(&block[range]);
        }
    }

    /// All events so far as bytes to append to. `bytes`: about how many there will be.
    pub(super) fn buffer(&mut self, bytes: usize) -> &mut Vec<u8> {
        if self.copied.capacity() == 0 {
            self.copied.reserve(bytes.max(self.slice.len()) + SPARE_BYTES);
        }
        self.copied.extend_from_slice(&std::mem::take(&mut self.slice));
        &mut self.copied
    }
}

#[cfg(test)]
mod tests;
