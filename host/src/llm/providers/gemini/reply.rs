//! Gemini's replies, whole and streamed: both are `GenerateContentResponse` objects, so both are read by the same rules.
//! Finish reasons are held back to the end: early models say `STOP` in every chunk, and a call may come before or after it.
//! Must not know requests. Source: Gemini API reference, `GenerateContentResponse`, <https://ai.google.dev/api/generate-content>.

mod chunk;
mod finish;
mod logprobs;
mod usage;
mod whole;

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{errors, thought};
use crate::chat::codec::{self, to_json};
use crate::chat::sse::is_done;
use crate::chat::{CHOICES_MAX, Completion, Delta, HEAD_BYTES_MAX, Json, Name, Piece};
use crate::llm::adapter::{DecodeError, ReplyDecoder};
use crate::llm::call_id;
use chunk::{Call, Candidate, Chunk, Inline, Part};

/// Calls of one candidate: far more than any answer has.
const CALLS_MAX: u32 = 4096;

/// Parts of all candidates of a whole reply, whose pieces are all held.
const PARTS_MAX: usize = 1 << 16;

/// Bytes of a call's id, which is kept to know it again.
const ID_BYTES_MAX: usize = 256;

/// Reads the reply to one request.
pub(super) struct Reply {
    name: Name,
    stream: bool,
    /// Whether the reply's own id and model are known.
    named: (bool, bool),
    /// A search was made, whose results are not billed as part of the prompt.
    grounded: bool,
    /// Parts of a whole reply so far.
    parts: usize,
    choices: Vec<Choice>,
}

/// What is remembered of one candidate.
#[derive(Default)]
struct Choice {
    index: u32,
    /// Ids of its calls, which must differ.
    ids: HashSet<String>,
    calls: u32,
    /// OpenAI's word for why it ended, calls left aside.
    finish: Option<&'static str>,
    /// How many images it has shown.
    shown: usize,
    /// Of a whole reply: what goes beside the text.
    logprobs: Vec<Value>,
    images: Vec<Json>,
}

impl Reply {
    pub(super) fn new(name: Name, stream: bool) -> Self {
        Self { name, stream, named: (false, false), grounded: false, parts: 0, choices: Vec::new() }
    }

    /// One object, or a list of them: a stream without `alt=sse`, or a relay's error.
    fn read(&mut self, body: &[u8], deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        if body.trim_ascii_start().starts_with(b"[") {
            let chunks: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
            return chunks.into_iter().try_for_each(|chunk| self.chunk(read(chunk)?, deltas));
        }
        self.chunk(serde_json::from_slice(body).map_err(|error| malformed(&error))?, deltas)
    }

    fn chunk(&mut self, chunk: Chunk<'_>, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        if let Some(error) = chunk.error {
            let json = json!({ "error": error });
            let status = errors::status(&json);
            return Err(DecodeError::Error(status, errors::provider_error(status, &json)));
        }
        if [&chunk.response_id, &chunk.model_version].into_iter().flatten().any(|text| text.len() > HEAD_BYTES_MAX) {
            return Err(DecodeError::Malformed("its id or its model is absurd".into()));
        }
        let named = (self.named.0 || chunk.response_id.is_some(), self.named.1 || chunk.model_version.is_some());
        if named != self.named {
            self.named = named;
            deltas.push(Delta::Head { id: chunk.response_id, model: chunk.model_version, created: None });
        }
        let candidates = chunk.candidates.unwrap_or_default();
        if candidates.is_empty() && chunk.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            let blocked = self.choice(0, deltas)?;
            self.choices[blocked].finish = Some(finish::FILTERED);
        }
        for candidate in candidates {
            self.candidate(read(candidate)?, deltas)?;
        }
        if let Some(usage) = chunk.usage_metadata {
            deltas.push(Delta::Usage(usage.canonical(self.grounded)));
        }
        Ok(())
    }

    /// The place of a candidate, which begins here if it is new.
    fn choice(&mut self, index: u32, deltas: &mut Vec<Delta>) -> Result<usize, DecodeError> {
        if let Some(place) = self.choices.iter().position(|choice| choice.index == index) {
            return Ok(place);
        }
        if self.choices.len() == CHOICES_MAX {
            return Err(DecodeError::Malformed(format!("it has more than {CHOICES_MAX} candidates")));
        }
        self.choices.push(Choice { index, ..Choice::default() });
        deltas.push(Delta::Piece { choice: index, piece: Piece::Begin });
        Ok(self.choices.len() - 1)
    }

    fn candidate(&mut self, candidate: Candidate<'_>, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let place = self.choice(candidate.index.unwrap_or(0), deltas)?;
        self.grounded |= candidate.grounding_metadata.is_some();
        let choice = &mut self.choices[place];
        let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
        if !self.stream {
            self.parts += parts.len();
            if self.parts > PARTS_MAX {
                return Err(DecodeError::Malformed(format!("it has more than {PARTS_MAX} parts")));
            }
        }
        for part in parts {
            choice.part(read(part)?, &self.name, self.stream, deltas)?;
        }
        if let Some(reason) = &candidate.finish_reason {
            choice.finish = Some(finish::reason(reason));
        }
        // They are not asked for with a stream, whose chunks have no place for them.
        if let Some(result) = candidate.logprobs_result.filter(|_| !self.stream) {
            choice.logprobs.extend(logprobs::tokens(result));
        }
        Ok(())
    }
}

impl Choice {
    /// Code that Gemini ran itself is not asked for and not told.
    fn part(&mut self, part: Part<'_>, name: &Name, stream: bool, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        let mut tell = |piece| deltas.push(Delta::Piece { choice: self.index, piece });
        if let Some(text) = part.text.filter(|text| !text.is_empty()) {
            tell(if part.thought == Some(true) { Piece::Reasoning(text) } else { Piece::Text(text) });
        }
        // A draft of an image is a thought too.
        let images = part.inline_data.filter(|inline| part.thought != Some(true) && inline.mime_type.starts_with("image/"));
        if let Some(inline) = images {
            let image = image(&inline, self.shown);
            self.shown += 1;
            if stream {
                let images = codec::json(format!("[{image}]")).expect("a list of a JSON value is JSON");
                tell(Piece::Fields(vec![("images".to_owned(), images)]));
            } else {
                self.images.push(image);
            }
        }
        if let Some(Call { id, name: function, args }) = part.function_call {
            if self.calls == CALLS_MAX {
                return Err(DecodeError::Malformed(format!("it has more than {CALLS_MAX} calls")));
            }
            let own = id.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX && self.ids.insert(id.clone()));
            // Made from the reply's name, so that another reply of the same conversation has other ids.
            let id = own.unwrap_or_else(|| call_id::made(name.id.trim_start_matches("chatcmpl-"), self.index, self.calls));
            let signature = part.thought_signature.as_deref().filter(|signature| thought::is_base64(signature));
            let (id, extra) = (thought::join(&id, signature), thought::fields(signature));
            tell(Piece::Call { index: self.calls, id, name: function, extra });
            tell(Piece::Arguments { index: self.calls, text: args.map_or_else(|| "{}".to_owned(), arguments) });
            self.calls += 1;
        }
        Ok(())
    }

    fn finish(&self) -> Option<&'static str> {
        self.finish.map(|reason| finish::with_calls(reason, self.calls))
    }
}

impl ReplyDecoder for Reply {
    fn whole(&mut self, body: &[u8]) -> Result<Completion, DecodeError> {
        let mut deltas = Vec::new();
        self.read(body, &mut deltas)?;
        if self.choices.is_empty() {
            return Err(DecodeError::Malformed("it has neither candidates nor a reason why the prompt was blocked".into()));
        }
        Ok(whole::completion(&self.name, std::mem::take(&mut self.choices), deltas))
    }

    fn event(&mut self, data: &[u8], deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        // Gemini sends no such mark; relays that know OpenAI's streams do.
        if data.trim_ascii().is_empty() || is_done(data) {
            return Ok(());
        }
        self.read(data, deltas)
    }

    fn end(&mut self, deltas: &mut Vec<Delta>) -> bool {
        for choice in &self.choices {
            if let Some(reason) = choice.finish() {
                deltas.push(Delta::Piece { choice: choice.index, piece: Piece::Finish(reason.to_owned()) });
            }
        }
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finish.is_some())
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Result<T, DecodeError> {
    serde_json::from_str(json.get()).map_err(|error| malformed(&error))
}

fn malformed(error: &serde_json::Error) -> DecodeError {
    DecodeError::Malformed(format!("no GenerateContentResponse: {error}"))
}

/// A generated image as an entry of `images`, in the form that other gateways have for it; OpenAI has none.
fn image(inline: &Inline, index: usize) -> Json {
    let url = format!("data:{};base64,{}", inline.mime_type, inline.data);
    let text = to_json(&json!({"type": "image_url", "index": index, "image_url": {"url": url}}));
    codec::json(String::from_utf8_lossy(&text).into_owned()).expect("it was written as JSON")
}

/// Arguments as the text that OpenAI has for them: without the line breaks that Gemini writes between, otherwise as they came.
fn arguments(args: &RawValue) -> String {
    let (mut inside, mut escaped) = (false, false);
    let kept = args.get().chars().filter(|c| {
        let space = !inside && c.is_ascii_whitespace();
        inside ^= *c == '"' && !escaped;
        escaped = inside && *c == '\\' && !escaped;
        !space
    });
    kept.collect()
}

#[cfg(test)]
mod tests;
