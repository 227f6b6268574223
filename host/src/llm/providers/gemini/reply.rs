//! The decoder of Gemini's replies. Whole and streamed ones are `GenerateContentResponse` objects, so both are read by the same rules.
//! Finish reasons are held back to the end, because early models say `STOP` in every chunk and a call may come before or after it.
//! Source: Gemini API reference, `GenerateContentResponse`, <https://ai.google.dev/api/generate-content>.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::response;
use super::response::{Call, Candidate, Ending, FILTERED, Inline, Part, Response, ending, logprobs, with_calls};
use super::tools::{is_base64, signature_fields, with_signature};
use crate::chat::codec::{self, json_string, to_json};
use crate::chat::sse::is_done;
use crate::chat::{
    CHOICES_MAX, Choice, Completion, Content, Delta, FunctionCall, HEAD_BYTES_MAX, Json, Message, Name, Piece, ToolCall, Usage,
};
use crate::llm::adapter::{DecodeError, ReplyDecoder};
use crate::llm::call_id;

/// Calls of one candidate: many more than any answer has.
const CALLS_MAX: u32 = 4096;

/// Parts of all candidates of a whole reply, whose pieces are all held.
const PARTS_MAX: usize = 1 << 16;

/// Bytes of a call's id, which is kept to find it repeated.
const ID_BYTES_MAX: usize = 256;

/// Decodes the reply to one request.
pub(super) struct GeminiDecoder {
    name: Name,
    /// The client's names of functions by those on the wire, if they differ.
    functions: HashMap<String, String>,
    stream: bool,
    /// Whether the reply's own id and model are known.
    named: (bool, bool),
    /// A search was made, whose results are not billed as part of the prompt.
    grounded: bool,
    /// Parts of a whole reply so far.
    parts: usize,
    choices: Vec<ChoiceState>,
}

/// What is remembered of one candidate.
#[derive(Default)]
struct ChoiceState {
    index: u32,
    /// Ids of its calls, which must differ.
    ids: HashSet<String>,
    calls: u32,
    /// There was text, an image or a call.
    answered: bool,
    /// OpenAI's finish reason, without regard to calls.
    finish: Option<&'static str>,
    /// Images so far.
    image_count: usize,
    /// Of a whole reply: what stands beside the text.
    logprobs: Vec<Value>,
    images: Vec<Json>,
}

impl GeminiDecoder {
    pub(super) fn new(name: Name, functions: HashMap<String, String>, stream: bool) -> Self {
        Self { name, functions, stream, named: (false, false), grounded: false, parts: 0, choices: Vec::new() }
    }

    /// One response, or a list of them: a stream without `alt=sse`, or a relay's error.
    fn read(&mut self, body: &[u8], deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        if body.trim_ascii_start().starts_with(b"[") {
            let responses: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| malformed(&error))?;
            return responses.into_iter().try_for_each(|response| self.response(read(response)?, deltas));
        }
        self.response(serde_json::from_slice(body).map_err(|error| malformed(&error))?, deltas)
    }

    fn response(&mut self, response: Response<'_>, deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        if let Some(error) = response.error {
            let json = json!({ "error": error });
            let status = response::status(&json);
            return Err(DecodeError::Error(status, response::provider_error(status, &json)));
        }
        if [&response.response_id, &response.model_version].into_iter().flatten().any(|text| text.len() > HEAD_BYTES_MAX) {
            return Err(DecodeError::Malformed("its id or its model is absurd".into()));
        }
        let named = (self.named.0 || response.response_id.is_some(), self.named.1 || response.model_version.is_some());
        if named != self.named {
            self.named = named;
            deltas.push(Delta::Head { id: response.response_id, model: response.model_version, created: None });
        }
        let candidates = response.candidates.unwrap_or_default();
        if candidates.is_empty() && response.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            let blocked = self.choice(0, deltas)?;
            self.choices[blocked].finish = Some(FILTERED);
        }
        let read = candidates.into_iter().try_for_each(|candidate| self.candidate(read(candidate)?, deltas));
        // A spoilt answer is charged too.
        if let Some(usage) = response.usage_metadata {
            deltas.push(Delta::Usage(usage.canonical(self.grounded)));
        }
        read
    }

    /// The place of a candidate, which begins here if it is new.
    fn choice(&mut self, index: u32, deltas: &mut Vec<Delta>) -> Result<usize, DecodeError> {
        if let Some(place) = self.choices.iter().position(|choice| choice.index == index) {
            return Ok(place);
        }
        if self.choices.len() == CHOICES_MAX {
            return Err(DecodeError::Malformed(format!("it has more than {CHOICES_MAX} candidates")));
        }
        self.choices.push(ChoiceState { index, ..ChoiceState::default() });
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
            choice.part(read(part)?, &self.name, &self.functions, self.stream, deltas)?;
        }
        if let Some(reason) = &candidate.finish_reason {
            choice.end(reason, candidate.finish_message.as_deref())?;
        }
        // They are not asked for with a stream, because chunks have no place for them.
        if let Some(result) = candidate.logprobs_result.filter(|_| !self.stream) {
            choice.logprobs.extend(logprobs(result));
        }
        Ok(())
    }
}

impl ChoiceState {
    /// # Errors
    /// If the model spoilt its answer, or gave none for a reason that OpenAI has no word for.
    fn end(&mut self, reason: &str, in_words: Option<&str>) -> Result<(), DecodeError> {
        match ending(reason) {
            Ending::Open => {}
            Ending::As(word) => self.finish = Some(word),
            // There is something to run, whatever a relay calls that.
            Ending::Other if self.calls > 0 => self.finish = Some("stop"),
            // Of OpenAI's words this one says that the answer is not whole through no fault of the client's.
            Ending::Other if self.answered => self.finish = Some(FILTERED),
            Ending::Other | Ending::Spoilt => {
                let why = in_words.map(|words| format!(": {words}")).unwrap_or_default();
                return Err(DecodeError::model_failed(format!("the model ended its answer with {reason}{why}")));
            }
        }
        Ok(())
    }

    /// Code that Gemini ran itself was not asked for and is left out.
    fn part(
        &mut self,
        part: Part<'_>,
        name: &Name,
        functions: &HashMap<String, String>,
        stream: bool,
        deltas: &mut Vec<Delta>,
    ) -> Result<(), DecodeError> {
        let mut push = |piece| deltas.push(Delta::Piece { choice: self.index, piece });
        if let Some(text) = part.text.filter(|text| !text.is_empty()) {
            self.answered |= part.thought != Some(true);
            push(if part.thought == Some(true) { Piece::Reasoning(text) } else { Piece::Text(text) });
        }
        // A draft of an image is marked as a thought too.
        let images = part.inline_data.filter(|inline| part.thought != Some(true) && inline.mime_type.starts_with("image/"));
        if let Some(inline) = images {
            self.answered = true;
            let image = image(&inline, self.image_count);
            self.image_count += 1;
            if stream {
                let images = codec::json(format!("[{image}]")).expect("a list of a JSON value is JSON");
                push(Piece::Fields(vec![("images".to_owned(), images)]));
            } else {
                self.images.push(image);
            }
        }
        if let Some(Call { id, name: function, args }) = part.function_call {
            if self.calls == CALLS_MAX {
                return Err(DecodeError::Malformed(format!("it has more than {CALLS_MAX} calls")));
            }
            let own = id.filter(|id| !id.is_empty() && id.len() <= ID_BYTES_MAX && self.ids.insert(id.clone()));
            // Made from the reply's id, so that another reply of the same conversation has other ids.
            let id = own.unwrap_or_else(|| call_id::made(name.id.trim_start_matches("chatcmpl-"), self.index, self.calls));
            let signature = part.thought_signature.as_deref().filter(|signature| is_base64(signature));
            let (id, extra) = (with_signature(&id, signature), signature_fields(signature));
            let function = functions.get(&function).cloned().unwrap_or(function);
            push(Piece::Call { index: self.calls, id, name: function, extra });
            push(Piece::Arguments { index: self.calls, text: args.map_or_else(|| "{}".to_owned(), arguments) });
            self.calls += 1;
            self.answered = true;
        }
        Ok(())
    }

    fn finish(&self) -> Option<&'static str> {
        self.finish.map(|reason| with_calls(reason, self.calls))
    }
}

impl ReplyDecoder for GeminiDecoder {
    fn whole(&mut self, body: &[u8]) -> Result<Completion, DecodeError> {
        let mut deltas = Vec::new();
        self.read(body, &mut deltas)?;
        if self.choices.is_empty() {
            return Err(DecodeError::Malformed("it has neither candidates nor a reason why the prompt was blocked".into()));
        }
        Ok(completion(&self.name, std::mem::take(&mut self.choices), deltas))
    }

    fn event(&mut self, data: &[u8], deltas: &mut Vec<Delta>) -> Result<(), DecodeError> {
        // Gemini sends no such mark, but relays that speak as OpenAI do.
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

/// A generated image as an entry of `images`, in the form of other gateways; OpenAI has none.
fn image(inline: &Inline, index: usize) -> Json {
    let url = format!("data:{};base64,{}", inline.mime_type, inline.data);
    let text = to_json(&json!({"type": "image_url", "index": index, "image_url": {"url": url}}));
    codec::json(String::from_utf8_lossy(&text).into_owned()).expect("it was written as JSON")
}

/// Arguments as text: without the white space between tokens that Gemini writes, otherwise as they came.
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

/// One choice of a whole reply, as its deltas come.
#[derive(Default)]
struct ChoiceBuilder {
    text: String,
    reasoning: String,
    calls: Vec<FunctionCall>,
}

/// The completion of a whole reply, from the deltas that its parts became.
fn completion(name: &Name, mut states: Vec<ChoiceState>, deltas: Vec<Delta>) -> Completion {
    states.sort_by_key(|choice| choice.index);
    let mut builders: Vec<ChoiceBuilder> = states.iter().map(|_| ChoiceBuilder::default()).collect();
    let (mut id, mut model, mut usage) = (None, None, None::<Usage>);
    for delta in deltas {
        match delta {
            Delta::Head { id: own, model: version, .. } => {
                id = id.or(own);
                model = model.or(version);
            }
            Delta::Usage(counted) => usage = Some(counted),
            Delta::UsageJson(_) | Delta::Fields(_) => {}
            Delta::Piece { choice, piece } => {
                let place = states.iter().position(|known| known.index == choice).expect("a choice is known before its pieces");
                builders[place].add(piece);
            }
        }
    }
    let named = |own: Option<String>, ours: &str| own.filter(|own| !own.is_empty()).unwrap_or_else(|| ours.to_owned());
    Completion {
        id: named(id, &name.id),
        created: name.created,
        model: named(model, &name.model),
        choices: states.into_iter().zip(builders).map(|(state, builder)| builder.finish(state)).collect(),
        usage: usage.map(|usage| usage.json()),
        extra: Vec::new(),
    }
}

impl ChoiceBuilder {
    fn add(&mut self, piece: Piece) {
        match piece {
            Piece::Text(text) => self.text.push_str(&text),
            Piece::Reasoning(text) | Piece::Thought(text) => self.reasoning.push_str(&text),
            Piece::Call { id, name, extra, .. } => self.calls.push(FunctionCall { id, name, arguments: String::new(), extra }),
            Piece::Arguments { text, .. } => self.calls.last_mut().expect("arguments follow their call").arguments.push_str(&text),
            // Gemini has no refusals; the choice itself holds the fields and the finish reason.
            Piece::Begin | Piece::Refusal(_) | Piece::Fields(_) | Piece::Beside(_) | Piece::Finish(_) => {}
        }
    }

    fn finish(self, state: ChoiceState) -> Choice {
        // OpenAI's published schema requires `refusal`, even if it is null.
        let mut extra = vec![("refusal".to_owned(), raw(&json!(null)))];
        if !self.reasoning.is_empty() {
            extra.push(("reasoning_content".to_owned(), json_string(&self.reasoning)));
        }
        if !state.images.is_empty() {
            extra.push(("images".to_owned(), raw(&state.images)));
        }
        let logprobs = json!({"content": state.logprobs, "refusal": null});
        let beside = if state.logprobs.is_empty() { Vec::new() } else { vec![("logprobs".to_owned(), raw(&logprobs))] };
        Choice {
            index: state.index,
            // A whole reply has ended, even if a relay does not say why.
            finish_reason: Some(state.finish().unwrap_or_else(|| with_calls("stop", state.calls)).to_owned()),
            message: Message {
                role: "assistant".to_owned(),
                content: if self.text.is_empty() { Content::Null } else { Content::Text(self.text) },
                tool_calls: self.calls.into_iter().map(ToolCall::Function).collect(),
                extra,
                ..Message::default()
            },
            extra: beside,
        }
    }
}

fn raw<T: serde::Serialize>(value: &T) -> Json {
    to_raw_value(value).expect("values with string keys are JSON")
}

#[cfg(test)]
mod tests;
