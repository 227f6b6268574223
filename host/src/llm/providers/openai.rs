//! The normaliser of OpenAI-shaped replies: says of each event whether it may pass as it is, must change, or must not be seen.
//! It keeps what clients rely on: one id, created and model; a finish reason once for each choice; usage only if asked for, and then last.
//! Must not know framing, sockets, or which vendor speaks. Source: OpenAI API reference, "Chat completion chunk".

mod calls;
mod dialect;
mod embeddings;
mod entry;
mod errors;
mod head;
mod object;
mod request;
mod shape;
mod splice;
mod whole;

use bytes::Bytes;

use crate::chat::{HEAD_BYTES_MAX, Name, Usage, Whole};
use crate::llm::adapter::DecodeError;
use crate::llm::meter::Tally;
use entry::Choice;
use head::Head;
use shape::{Chunk, Raw, filled, says};
use splice::Splice;

pub(in crate::llm) use calls::{CALLS_MAX, Calls, is_finalisation};
pub use dialect::OpenAiOptions;
pub(in crate::llm) use dialect::{INFO, OpenAi};
pub(in crate::llm) use embeddings::{decode_embeddings, embeddings_body, vectors};
pub(in crate::llm) use errors::{InBand, in_band, kind, provider_error, status};
pub(in crate::llm) use object::Object;
pub(in crate::llm) use request::{params, wants_usage};
pub(in crate::llm) use shape::{Call, Raw as RawField, calls, present, says as holds_something};

/// What becomes of an event.
#[derive(Debug, PartialEq)]
pub(in crate::llm) enum Passed {
    AsIs,
    /// The data that goes out in its place.
    Rewritten(Vec<u8>),
    Dropped,
}

/// The state of one reply.
pub(in crate::llm) struct OpenAiNormalizer {
    /// What the reply is called where the provider does not say.
    name: Name,
    include_usage: bool,
    in_band: InBand,
    /// Taken from the first chunk that goes out, and not changed after it.
    head: Option<Head>,
    choices: Vec<Choice>,
    usage: Option<Usage>,
    /// Usage that came beside choices or before their end, and waits for a chunk of its own.
    held: Option<String>,
    usage_is_out: bool,
    says_something: bool,
    /// The provider's name for the model and why choices ended, as far as nobody was told.
    model: Option<String>,
    reasons: Vec<String>,
}

impl OpenAiNormalizer {
    /// `name`: what the reply is called where the provider gives no name.
    pub(in crate::llm) fn new(name: Name, include_usage: bool) -> Self {
        Self {
            name,
            include_usage,
            in_band,
            head: None,
            choices: Vec::new(),
            usage: None,
            held: None,
            usage_is_out: false,
            says_something: false,
            model: None,
            reasons: Vec::new(),
        }
    }

    /// With a vendor's own way to read an error inside a success.
    pub(in crate::llm) fn reading_errors(self, in_band: InBand) -> Self {
        Self { in_band, ..self }
    }

    /// The data of one event, `[DONE]` aside.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub(in crate::llm) fn event(&mut self, data: &[u8]) -> Result<Passed, DecodeError> {
        let text = utf8(data)?;
        if text.is_empty() {
            return Ok(Passed::Dropped);
        }
        let chunk = Chunk::read(text)?;
        if chunk.is_error() {
            return Err(self.error(text));
        }
        let usage = chunk.usage.filter(|raw| says(raw));
        self.usage = usage.and_then(Usage::read).or(self.usage);
        let mut splice = Splice::new(text);
        match &chunk.choices {
            // The usage is the last chunk of all.
            Some(choices) if !choices.is_empty() && self.usage_is_out => return Ok(Passed::Dropped),
            Some(choices) if !choices.is_empty() => {
                let (mut goes_out, begun) = (false, self.choices.len());
                for (at, entry) in (0..).zip(choices) {
                    if choices.len() > 1 && entry.is_bare() {
                        return Err(malformed("a choice without an index and a delta beside others"));
                    }
                    goes_out |= self.entry(at, entry, &mut splice)?;
                }
                self.hold(chunk.usage, &mut splice);
                if !goes_out {
                    // What began in it has not.
                    self.choices.truncate(begun);
                    return Ok(Passed::Dropped);
                }
            }
            // Without choices only the usage is worth anything: Azure's verdict on the prompt makes clients fail that read `choices[0]`.
            choices => {
                let Some(usage) = usage.filter(|_| self.usage.is_some() && self.include_usage && !self.usage_is_out) else {
                    return Ok(Passed::Dropped);
                };
                if !self.finished() {
                    // Some servers count as they go; the last count waits for the end.
                    self.head.get_or_insert_with(|| Head::of(&self.name, &chunk));
                    self.held = Some(usage.get().to_owned());
                    return Ok(Passed::Dropped);
                }
                self.usage_is_out = true;
                if choices.is_none() {
                    return Ok(Passed::Rewritten(self.usage_chunk(usage.get())));
                }
            }
        }
        let Self { name, model, .. } = self;
        let first = || {
            *model = named(chunk.model);
            Head::of(name, &chunk)
        };
        self.head.get_or_insert_with(first).rename(&chunk, &mut splice);
        Ok(splice.done().map_or(Passed::AsIs, Passed::Rewritten))
    }

    /// Whether some event so far had content, reasoning, a refusal, a tool call or a finish reason.
    pub(in crate::llm) fn says_something(&self) -> bool {
        self.says_something
    }

    /// Whether there was a choice and each has its finish reason.
    pub(in crate::llm) fn finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finished)
    }

    /// Tells what the provider said of the reply since the last time.
    pub(in crate::llm) fn tell(&mut self, tally: &mut Tally) {
        if let Some(usage) = self.usage {
            tally.told(usage);
        }
        if let Some(model) = self.model.take() {
            tally.named(&model);
        }
        for reason in self.reasons.drain(..) {
            tally.finished(&reason);
        }
    }

    /// What the provider left unsaid, one chunk a call until there is none. To be called when the provider ended the stream itself: choices that
    /// it left open get their finish reason.
    pub(in crate::llm) fn end(&mut self) -> Option<Vec<u8>> {
        let open: Vec<String> = self.choices.iter_mut().filter(|choice| !choice.finished).map(Choice::finish).collect();
        if !open.is_empty() {
            let usage = if self.include_usage { ",\"usage\":null" } else { "" };
            return Some(format!("{{{},\"choices\":[{}]{usage}}}", self.beginning(), open.join(",")).into_bytes());
        }
        let usage = self.held.take().filter(|_| self.include_usage && !self.usage_is_out)?;
        self.usage_is_out = true;
        Some(self.usage_chunk(&usage))
    }

    /// A reply in one piece.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub(in crate::llm) fn whole(&mut self, body: &Bytes) -> Result<Whole, DecodeError> {
        let text = utf8(body)?;
        let reply = Chunk::read(text)?;
        if reply.is_error() {
            return Err(self.error(text));
        }
        self.usage = reply.usage.and_then(Usage::read);
        let whole = whole::whole(&self.name, body, text, &reply)?;
        if let Whole::Raw(_) = whole {
            self.model = named(reply.model);
            let reasons = reply.choices.iter().flatten().filter_map(|choice| filled(choice.finish_reason));
            self.reasons = reasons.map(|raw| raw.get().trim_matches('"').to_owned()).collect();
        }
        Ok(whole)
    }

    fn error(&self, text: &str) -> DecodeError {
        match serde_json::from_str(text) {
            Ok(json) => {
                let (status, error) = (self.in_band)(&json);
                DecodeError::Error(status, error)
            }
            Err(error) => DecodeError::Malformed(error.to_string()),
        }
    }

    /// Usage beside choices is never sent on where it stands: a client that asked gets it last, in a chunk of its own.
    fn hold<'a>(&mut self, usage: Raw<'a>, splice: &mut Splice<'a>) {
        let Some(usage) = usage else { return };
        if !self.include_usage {
            return splice.cut("usage", usage);
        }
        if says(usage) {
            self.held = Some(usage.get().to_owned());
        }
        if usage.get() != "null" {
            splice.replace(usage, "null");
        }
    }

    /// What a chunk of ours begins with, without the brace.
    fn beginning(&mut self) -> String {
        self.head.get_or_insert_with(|| Head::ours(&self.name)).fields()
    }

    fn usage_chunk(&mut self, usage: &str) -> Vec<u8> {
        format!("{{{},\"choices\":[],\"usage\":{usage}}}", self.beginning()).into_bytes()
    }
}

/// A name that is kept for the trace, if it is one.
fn named(model: Raw<'_>) -> Option<String> {
    let name = filled(model).filter(|raw| raw.get().len() <= HEAD_BYTES_MAX)?;
    serde_json::from_str(name.get()).ok()
}

/// A finish reason as OpenAI says it. Some servers say that a model stopped where it called tools, and clients then do not run them.
fn canonical_reason(reason: &str, calls: bool) -> &str {
    match reason {
        "stop" if calls => "tool_calls",
        "model_length" => "length",
        reason => reason,
    }
}

fn utf8(data: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(data).map(str::trim).map_err(|error| DecodeError::Malformed(format!("it is no UTF-8: {error}")))
}

fn malformed(cause: &str) -> DecodeError {
    DecodeError::Malformed(cause.to_owned())
}

#[cfg(test)]
mod tests;
