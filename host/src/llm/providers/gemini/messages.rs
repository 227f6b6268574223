//! The conversation as Gemini takes it: user and model alternate, no turn is empty, and the results of one turn's calls stand together, in the
//! order of the calls, under the functions' names. A participant's `name` has no counterpart and is not sent.
//! Source: Gemini API reference, `Content`, <https://ai.google.dev/api/caching#Content>.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::media;
use super::model::Model;
use super::params::read;
use super::tools::{NO_SIGNATURE, signature_beside, split_signature};
use crate::chat::codec::{json, json_string};
use crate::chat::{Content, FunctionCall, Json, Message, Part as ContentPart, ToolCall};
use crate::llm::adapter::{CompletionRequest, UnsupportedField};
use crate::llm::tool_names::ToolNames;

/// The text of a turn that has none. Gemini refuses an empty turn, and one of images alone.
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
    is_results: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    #[serde(flatten)]
    payload: Payload<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<Cow<'a, str>>,
    /// Of a result: the number of its call among all calls.
    #[serde(skip)]
    call_number: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Payload<'a> {
    Text(Cow<'a, str>),
    InlineData(media::Inline<'a>),
    FileData(media::File<'a>),
    FunctionCall(Call<'a>),
    FunctionResponse(FunctionResult<'a>),
}

#[derive(Serialize)]
pub(super) struct Call<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: String,
    args: Json,
}

#[derive(Serialize)]
pub(super) struct FunctionResult<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: String,
    response: Json,
}

impl<'a> From<Payload<'a>> for Part<'a> {
    fn from(payload: Payload<'a>) -> Self {
        Self { payload, thought_signature: None, call_number: 0 }
    }
}

fn text<'a>(text: impl Into<Cow<'a, str>>) -> Part<'a> {
    Payload::Text(text.into()).into()
}

/// # Errors
/// `UnsupportedField` names the message and what in it Gemini cannot take.
pub(super) fn conversation<'a>(
    request: &'a CompletionRequest<'_>,
    model: &Model<'_>,
    names: &'a mut ToolNames,
) -> Result<Conversation<'a>, UnsupportedField> {
    let messages = request.messages;
    let newest = messages.iter().rposition(|message| message.role == "user").unwrap_or(0);
    let mut builder = ConversationBuilder {
        request,
        names,
        takes_ids: model.since((3, 0)),
        signed_from: if model.since((3, 0)) { newest } else { usize::MAX },
        system: Vec::new(),
        turns: Vec::new(),
        results: None,
        calls: HashMap::new(),
        calls_made: 0,
    };
    for (at, message) in messages.iter().enumerate() {
        builder.add(at, message)?;
    }
    Ok(builder.finish())
}

struct ConversationBuilder<'a> {
    request: &'a CompletionRequest<'a>,
    /// What functions are called on the wire.
    names: &'a mut ToolNames,
    /// Whether calls and results carry ids: Gemini 3 takes them, older models answer 400.
    takes_ids: bool,
    /// From this message on, the first call of a message needs a signature.
    signed_from: usize,
    system: Vec<Part<'a>>,
    turns: Vec<Turn<'a>>,
    /// Where the results of the newest calls belong: directly behind the turn that made them, even if others spoke in between.
    results: Option<usize>,
    /// The calls by their ids without signature: each call's number, and the function's name.
    calls: HashMap<&'a str, (usize, &'a str)>,
    calls_made: usize,
}

impl<'a> ConversationBuilder<'a> {
    fn add(&mut self, at: usize, message: &'a Message) -> Result<(), UnsupportedField> {
        match message.role.as_str() {
            "system" | "developer" => {
                let parts = parts(self.request, at, message, false)?;
                self.system.extend(parts);
            }
            "user" => {
                let parts = parts(self.request, at, message, true)?;
                self.turn("user", parts);
            }
            "assistant" => {
                let mut parts = self.assistant(at, message)?;
                let calls = self.calls(at, message)?;
                let called = !calls.is_empty();
                parts.extend(calls);
                // An empty turn would be refused.
                if !parts.is_empty() {
                    self.turn("model", parts);
                }
                if called {
                    self.results = Some(self.turns.len());
                }
            }
            "tool" => self.tool_result(at, message)?,
            "function" => {
                let name = message.name.as_deref();
                let name = name.ok_or_else(|| {
                    UnsupportedField::new(format!("messages[{at}].name"), "is missing; name the function that was called")
                })?;
                self.add_result(None, name, self.calls_made, &result_text(at, message)?);
            }
            other => {
                let message = format!("is `{other}`; Gemini knows system, developer, user, assistant, tool and function");
                return Err(UnsupportedField::new(format!("messages[{at}].role"), message));
            }
        }
        Ok(())
    }

    /// Adds a turn. What the same role says next joins its last turn.
    fn turn(&mut self, role: &'static str, parts: Vec<Part<'a>>) {
        match self.turns.last_mut() {
            Some(last) if last.role == Some(role) && !last.is_results => last.parts.extend(parts),
            _ => self.turns.push(Turn { role: Some(role), parts, is_results: false }),
        }
    }

    /// What an assistant said. A refusal counts only if there is no content.
    fn assistant(&self, at: usize, message: &'a Message) -> Result<Vec<Part<'a>>, UnsupportedField> {
        if extra(message, "audio").is_some() {
            self.request
                .refuse_or_drop(format!("messages[{at}].audio"), "names audio that Gemini has not; send its transcript as content")?;
        }
        let parts = parts(self.request, at, message, false)?;
        let refusal = extra(message, "refusal").filter(|_| parts.is_empty());
        let refusal = refusal.and_then(|json| serde_json::from_str::<String>(json.get()).ok()).filter(|text| !text.is_empty());
        Ok(refusal.map_or(parts, |refusal| vec![text(refusal)]))
    }

    /// The calls of an assistant's message. Gemini signs the first of several; without any signature Gemini 3 refuses the current turn.
    fn calls(&mut self, at: usize, message: &'a Message) -> Result<Vec<Part<'a>>, UnsupportedField> {
        let mut parts = Vec::new();
        for (index, call) in message.tool_calls.iter().enumerate() {
            let param = format!("messages[{at}].tool_calls[{index}]");
            let ToolCall::Function(call) = call else {
                return Err(UnsupportedField::new(
                    param,
                    "is no function call with `id`, `function.name` and `function.arguments`; Gemini knows no other",
                ));
            };
            parts.push(self.call(&param, call)?);
        }
        if let Some(old) = extra(message, "function_call") {
            let old: OldCall<'a> = read(old, &format!("messages[{at}].function_call"))?;
            let args = arguments(&format!("messages[{at}].function_call.arguments"), &old.arguments)?;
            parts.push(Payload::FunctionCall(Call { id: None, name: self.names.wire_name(&old.name), args }).into());
        }
        if let Some(first) = parts.first_mut().filter(|first| first.thought_signature.is_none() && at >= self.signed_from) {
            first.thought_signature = Some(Cow::Borrowed(NO_SIGNATURE));
        }
        Ok(parts)
    }

    fn call(&mut self, param: &str, call: &'a FunctionCall) -> Result<Part<'a>, UnsupportedField> {
        let (id, signature) = split_signature(&call.id);
        self.calls.insert(id, (self.calls_made, &call.name));
        self.calls_made += 1;
        let args = arguments(&format!("{param}.function.arguments"), &call.arguments)?;
        let payload = Payload::FunctionCall(Call { id: self.takes_ids.then_some(id), name: self.names.wire_name(&call.name), args });
        let thought_signature = signature.map(Cow::Borrowed).or_else(|| signature_beside(&call.extra).map(Cow::Owned));
        Ok(Part { thought_signature, ..payload.into() })
    }

    fn tool_result(&mut self, at: usize, message: &'a Message) -> Result<(), UnsupportedField> {
        let param = || format!("messages[{at}].tool_call_id");
        let id = message
            .tool_call_id
            .as_deref()
            .ok_or_else(|| UnsupportedField::new(param(), "is missing; name the call that this is the result of"))?;
        let (id, _) = split_signature(id);
        let Some((call_number, name)) = self.calls.get(id).copied() else {
            return Err(UnsupportedField::new(
                param(),
                "is no call of an assistant's message before it; Gemini needs the function's name from there",
            ));
        };
        self.add_result(self.takes_ids.then_some(id), name, call_number, &result_text(at, message)?);
        Ok(())
    }

    /// A result joins the results of the same turn's calls; they are sorted at the end.
    fn add_result(&mut self, id: Option<&'a str>, name: &str, call_number: usize, text: &str) {
        let payload = Payload::FunctionResponse(FunctionResult { id, name: self.names.wire_name(name), response: response(text) });
        let part = Part { call_number, ..payload.into() };
        let at = self.results.unwrap_or(self.turns.len());
        match self.turns.get_mut(at) {
            Some(turn) if turn.is_results => turn.parts.push(part),
            // At most one turn of the user's stands behind, so this moves next to nothing.
            _ => self.turns.insert(at, Turn { role: Some("user"), parts: vec![part], is_results: true }),
        }
    }

    fn finish(mut self) -> Conversation<'a> {
        // Gemini refuses a conversation of system messages alone as empty, and one that begins with a call as out of order.
        if self.turns.first().is_none_or(|turn| turn.role == Some("model")) {
            self.turns.insert(0, Turn { role: Some("user"), parts: Vec::new(), is_results: false });
        }
        for turn in self.turns.iter_mut().filter(|turn| turn.role == Some("user")) {
            if turn.is_results {
                turn.parts.sort_by_key(|part| part.call_number);
            } else if !turn.parts.iter().any(|part| matches!(part.payload, Payload::Text(_))) {
                turn.parts.push(text(FILLER));
            }
        }
        let system = Some(self.system).filter(|parts| !parts.is_empty());
        Conversation { system: system.map(|parts| Turn { role: None, parts, is_results: false }), turns: self.turns }
    }
}

/// OpenAI's form of a call before there were tools.
#[derive(Deserialize)]
struct OldCall<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    arguments: Cow<'a, str>,
}

/// The field of that name that the canonical form does not model, unless it is null.
fn extra<'a>(message: &'a Message, name: &str) -> Option<&'a Json> {
    message.extra.iter().find_map(|(key, json)| (key == name && json.get() != "null").then_some(json))
}

/// What a message says beside its calls. Empty texts are left out, because Gemini refuses them. `media`: it may hold other parts than text.
fn parts<'a>(request: &CompletionRequest<'_>, at: usize, message: &'a Message, media: bool) -> Result<Vec<Part<'a>>, UnsupportedField> {
    let parts = match &message.content {
        Content::Null => return Ok(Vec::new()),
        Content::Text(content) => return Ok(Some(content).filter(|content| !content.is_empty()).map(text).into_iter().collect()),
        Content::Parts(parts) => parts,
    };
    let mut out = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let param = format!("messages[{at}].content[{index}]");
        match part {
            ContentPart::Text { text: content, .. } if content.is_empty() => {}
            ContentPart::Text { text: content, .. } => out.push(text(content)),
            ContentPart::Other(json) => match media::read(request, json, &param)? {
                None => {}
                Some(media::Part::Refusal(refusal)) => out.push(text(refusal)),
                Some(media::Part::Inline(inline)) if media => out.push(Payload::InlineData(inline).into()),
                Some(media::Part::File(file)) if media => out.push(Payload::FileData(file).into()),
                _ => {
                    return Err(UnsupportedField::new(
                        param,
                        format!("is no text, which is all that a message of role `{}` may hold", message.role),
                    ));
                }
            },
        }
    }
    Ok(out)
}

fn result_text(at: usize, message: &Message) -> Result<String, UnsupportedField> {
    if let Content::Parts(parts) = &message.content
        && let Some(index) = parts.iter().position(|part| matches!(part, ContentPart::Other(_)))
    {
        return Err(UnsupportedField::new(
            format!("messages[{at}].content[{index}]"),
            "is no text, which is all that the result of a call may hold",
        ));
    }
    Ok(message.joined_text())
}

/// The arguments of a call as the object that Gemini wants; an empty text is an empty object.
fn arguments(param: &str, text: &str) -> Result<Json, UnsupportedField> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let args = json(text.to_owned()).ok().filter(|args| args.get().starts_with('{'));
    args.ok_or_else(|| UnsupportedField::new(param, "is no JSON object, which the arguments of a call must be"))
}

/// A result that is an object is sent as it is. Other texts become a field of one, and so does an object with `$ref` in it, which Gemini would
/// follow.
fn response(text: &str) -> Json {
    let object = || {
        let value: Value = Some(text).filter(|text| text.trim_start().starts_with('{')).and_then(|text| serde_json::from_str(text).ok())?;
        json(text.to_owned()).ok().filter(|_| !has_key(&value, "$ref"))
    };
    object().unwrap_or_else(|| json(format!("{{\"content\":{}}}", json_string(text))).expect("an object around a JSON string is JSON"))
}

/// Whether an object in `value`, however deep, has this key.
fn has_key(value: &Value, key: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| has_key(item, key)),
        Value::Object(fields) => fields.contains_key(key) || fields.values().any(|value| has_key(value, key)),
        _ => false,
    }
}
