//! The conversation: who spoke in turn, what was called and what came of it. Gemini wants user and model to alternate, no turn empty,
//! and the results of one turn's calls together, in the order of the calls, under the functions' names.
//! Must not know tools' declarations or settings. A participant's `name` has no counterpart and is not sent.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::media;
use super::params::read;
use crate::chat::codec::{json, json_string};
use crate::chat::{Content, FunctionCall, Json, Message, Part as Given, ToolCall};
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::providers::gemini::model::Model;
use crate::llm::providers::gemini::thought;
use crate::llm::tree::Tree;

/// What a turn without text says: Gemini refuses a turn of nothing, and one of images alone.
const FILLER: &str = " ";

pub(super) struct Conversation<'a> {
    pub(super) system: Option<Turn<'a>>,
    pub(super) turns: Vec<Turn<'a>>,
}

/// Gemini's `Content`.
#[derive(Serialize)]
pub(super) struct Turn<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Part<'a>>,
    /// It holds results of calls, and nothing else may join it.
    #[serde(skip)]
    answers: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(flatten)]
    payload: Payload<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<Cow<'a, str>>,
    /// Of a result: the place of its call among all calls.
    #[serde(skip)]
    place: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Payload<'a> {
    Text(Cow<'a, str>),
    InlineData(media::Inline<'a>),
    FileData(media::File<'a>),
    FunctionCall(Call<'a>),
    FunctionResponse(Answer<'a>),
}

#[derive(Serialize)]
pub(super) struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: Cow<'a, str>,
    args: Json,
}

#[derive(Serialize)]
pub(super) struct Answer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    response: Json,
}

impl<'a> From<Payload<'a>> for Part<'a> {
    fn from(payload: Payload<'a>) -> Self {
        Self { payload, thought_signature: None, place: 0 }
    }
}

fn text<'a>(text: impl Into<Cow<'a, str>>) -> Part<'a> {
    Payload::Text(text.into()).into()
}

/// # Errors
/// `UnsupportedField` names the message and what in it Gemini cannot take.
pub(super) fn conversation<'a>(request: &'a CompletionRequest<'_>, model: &Model<'_>) -> Result<Conversation<'a>, UnsupportedField> {
    let messages = request.messages;
    let newest = messages.iter().rposition(|message| message.role == "user").unwrap_or(0);
    let mut teller = Teller {
        request,
        ids: model.since((3, 0)),
        signed_from: if model.since((3, 0)) { newest } else { usize::MAX },
        system: Vec::new(),
        turns: Vec::new(),
        results: None,
        calls: HashMap::new(),
        places: 0,
    };
    for (at, message) in messages.iter().enumerate() {
        teller.tell(at, message)?;
    }
    Ok(teller.finish())
}

struct Teller<'a> {
    request: &'a CompletionRequest<'a>,
    /// Whether calls and results carry ids: Gemini 3 takes them, older models answer 400.
    ids: bool,
    /// From this message on a first call needs a signature.
    signed_from: usize,
    system: Vec<Part<'a>>,
    turns: Vec<Turn<'a>>,
    /// Where the results of the newest calls belong: right behind the turn that made them, whoever spoke in between.
    results: Option<usize>,
    /// Each call by its id without signature: its place among all calls, and the function's name.
    calls: HashMap<&'a str, (usize, &'a str)>,
    places: usize,
}

impl<'a> Teller<'a> {
    fn tell(&mut self, at: usize, message: &'a Message) -> Result<(), UnsupportedField> {
        match message.role.as_str() {
            "system" | "developer" => {
                let parts = said(self.request, at, message, false)?;
                self.system.extend(parts);
            }
            "user" => {
                let parts = said(self.request, at, message, true)?;
                self.turn("user", parts);
            }
            "assistant" => {
                let mut parts = self.assistant(at, message)?;
                let calls = self.calls(at, message)?;
                let called = !calls.is_empty();
                parts.extend(calls);
                // One that says nothing would be refused.
                if !parts.is_empty() {
                    self.turn("model", parts);
                }
                if called {
                    self.results = Some(self.turns.len());
                }
            }
            "tool" => self.result(at, message)?,
            "function" => {
                let name = message.name.as_deref();
                let name = name.ok_or_else(|| unfit(format!("messages[{at}].name"), "is missing; name the function that was called"))?;
                self.answer(None, name, self.places, &result_text(at, message)?);
            }
            other => {
                let message = format!("is `{other}`; Gemini knows system, developer, user, assistant, tool and function");
                return Err(unfit(format!("messages[{at}].role"), message));
            }
        }
        Ok(())
    }

    /// More of the same speaker joins what was said last.
    fn turn(&mut self, role: &'static str, parts: Vec<Part<'a>>) {
        match self.turns.last_mut() {
            Some(last) if last.role == Some(role) && !last.answers => last.parts.extend(parts),
            _ => self.turns.push(Turn { role: Some(role), parts, answers: false }),
        }
    }

    /// What an assistant said. A refusal stands beside the content, and in its place.
    fn assistant(&self, at: usize, message: &'a Message) -> Result<Vec<Part<'a>>, UnsupportedField> {
        if given(message, "audio").is_some() {
            self.request
                .refuse_or_drop(format!("messages[{at}].audio"), "names audio that Gemini has not; send its transcript as content")?;
        }
        let parts = said(self.request, at, message, false)?;
        let refusal = given(message, "refusal").filter(|_| parts.is_empty());
        let refusal = refusal.and_then(|json| serde_json::from_str::<String>(json.get()).ok()).filter(|text| !text.is_empty());
        Ok(refusal.map_or(parts, |refusal| vec![text(refusal)]))
    }

    /// The calls of an assistant's message. Gemini signs the first of several; without any signature Gemini 3 refuses the current turn.
    fn calls(&mut self, at: usize, message: &'a Message) -> Result<Vec<Part<'a>>, UnsupportedField> {
        let mut parts = Vec::new();
        for (index, call) in message.tool_calls.iter().enumerate() {
            let param = format!("messages[{at}].tool_calls[{index}]");
            let ToolCall::Function(call) = call else {
                return Err(unfit(param, "is no function call with `id`, `function.name` and `function.arguments`; Gemini knows no other"));
            };
            parts.push(self.call(&param, call)?);
        }
        if let Some(old) = given(message, "function_call") {
            let old: OldCall<'a> = read(old, &format!("messages[{at}].function_call"))?;
            let args = arguments(&format!("messages[{at}].function_call.arguments"), &old.arguments)?;
            parts.push(Payload::FunctionCall(Call { id: None, name: old.name, args }).into());
        }
        if let Some(first) = parts.first_mut().filter(|first| first.thought_signature.is_none() && at >= self.signed_from) {
            first.thought_signature = Some(Cow::Borrowed(thought::PLACEHOLDER));
        }
        Ok(parts)
    }

    fn call(&mut self, param: &str, call: &'a FunctionCall) -> Result<Part<'a>, UnsupportedField> {
        let (id, signature) = thought::split(&call.id);
        self.calls.insert(id, (self.places, &call.name));
        self.places += 1;
        let args = arguments(&format!("{param}.function.arguments"), &call.arguments)?;
        let payload = Payload::FunctionCall(Call { id: self.ids.then_some(id), name: Cow::Borrowed(&call.name), args });
        let thought_signature = signature.map(Cow::Borrowed).or_else(|| thought::beside(&call.extra).map(Cow::Owned));
        Ok(Part { thought_signature, ..payload.into() })
    }

    fn result(&mut self, at: usize, message: &'a Message) -> Result<(), UnsupportedField> {
        let param = || format!("messages[{at}].tool_call_id");
        let given =
            message.tool_call_id.as_deref().ok_or_else(|| unfit(param(), "is missing; name the call that this is the result of"))?;
        let (id, _) = thought::split(given);
        let Some((place, name)) = self.calls.get(id).copied() else {
            return Err(unfit(param(), "is no call of an assistant's message before it; Gemini needs the function's name from there"));
        };
        self.answer(self.ids.then_some(id), name, place, &result_text(at, message)?);
        Ok(())
    }

    /// A result joins those of the same calls; they are put in order at the end.
    fn answer(&mut self, id: Option<&'a str>, name: &'a str, place: usize, text: &str) {
        let payload = Payload::FunctionResponse(Answer { id, name, response: response(text) });
        let part = Part { place, ..payload.into() };
        let at = self.results.unwrap_or(self.turns.len());
        match self.turns.get_mut(at) {
            Some(turn) if turn.answers => turn.parts.push(part),
            // What stands behind is one turn of the user's at most, so this moves next to nothing.
            _ => self.turns.insert(at, Turn { role: Some("user"), parts: vec![part], answers: true }),
        }
    }

    fn finish(mut self) -> Conversation<'a> {
        // A conversation of system messages alone would be refused as empty, and one that begins with a call as out of order.
        if self.turns.first().is_none_or(|turn| turn.role == Some("model")) {
            self.turns.insert(0, Turn { role: Some("user"), parts: Vec::new(), answers: false });
        }
        for turn in self.turns.iter_mut().filter(|turn| turn.role == Some("user")) {
            if turn.answers {
                turn.parts.sort_by_key(|part| part.place);
            } else if !turn.parts.iter().any(|part| matches!(part.payload, Payload::Text(_))) {
                turn.parts.push(text(FILLER));
            }
        }
        let system = Some(self.system).filter(|parts| !parts.is_empty());
        Conversation { system: system.map(|parts| Turn { role: None, parts, answers: false }), turns: self.turns }
    }
}

/// OpenAI's form before tools.
#[derive(Deserialize)]
struct OldCall<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Cow<'a, str>,
}

/// The field of that name that the canonical form does not model, unless it is null.
fn given<'a>(message: &'a Message, name: &str) -> Option<&'a Json> {
    message.extra.iter().find_map(|(key, json)| (key == name && json.get() != "null").then_some(json))
}

/// What a message says beside its calls. Empty texts are left out, for Gemini refuses them.
fn said<'a>(request: &CompletionRequest<'_>, at: usize, message: &'a Message, media: bool) -> Result<Vec<Part<'a>>, UnsupportedField> {
    let parts = match &message.content {
        Content::Null => return Ok(Vec::new()),
        Content::Text(said) => return Ok(Some(said).filter(|said| !said.is_empty()).map(text).into_iter().collect()),
        Content::Parts(parts) => parts,
    };
    let mut out = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let param = format!("messages[{at}].content[{index}]");
        match part {
            Given::Text { text: said, .. } if said.is_empty() => {}
            Given::Text { text: said, .. } => out.push(text(said)),
            Given::Other(json) => match media::read(request, json, &param)? {
                None => {}
                Some(media::Part::Refusal(said)) => out.push(text(said)),
                Some(part) if media => out.push(part.into_payload().into()),
                _ => return Err(unfit(param, format!("is no text, which is all that a message of role `{}` may hold", message.role))),
            },
        }
    }
    Ok(out)
}

fn result_text(at: usize, message: &Message) -> Result<String, UnsupportedField> {
    if let Content::Parts(parts) = &message.content
        && let Some(index) = parts.iter().position(|part| matches!(part, Given::Other(_)))
    {
        return Err(unfit(format!("messages[{at}].content[{index}]"), "is no text, which is all that the result of a call may hold"));
    }
    Ok(message.joined_text())
}

/// Arguments of a call as the object that Gemini wants; none are an empty one.
fn arguments(param: &str, text: &str) -> Result<Json, UnsupportedField> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let args = json(text.to_owned()).ok().filter(|args| args.get().starts_with('{'));
    args.ok_or_else(|| unfit(param, "is no JSON object, which the arguments of a call must be"))
}

/// An object goes as it is; other texts go into one. So does an object with `$ref` in it, which Gemini would follow.
fn response(text: &str) -> Json {
    let object = || {
        let tree: Tree = Some(text).filter(|text| text.trim_start().starts_with('{')).and_then(|text| serde_json::from_str(text).ok())?;
        json(text.to_owned()).ok().filter(|_| !tree.has_key("$ref"))
    };
    object().unwrap_or_else(|| json(format!("{{\"content\":{}}}", json_string(text))).expect("an object around a JSON string is JSON"))
}

fn unfit(param: impl Into<String>, message: impl Into<String>) -> UnsupportedField {
    UnsupportedField { param: param.into(), message: message.into() }
}
