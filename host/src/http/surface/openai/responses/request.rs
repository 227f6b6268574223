//! The body of a request: its fields under the chat endpoint's names, and what the response repeats of them. A field that needs a server with
//! a memory, or with tools of its own, is refused by name; one that is not known is passed on.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use serde_json::value::RawValue;

use super::echo::Echo;
use super::field::{is_null, read};
use super::names::Names;
use super::{input, text, tools};
use crate::chat::codec::{self, ChatRequest, raw_json};
use crate::chat::{Fields, Json, Message};
use crate::http::error::{Failure, Refusal};

/// A request, read.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) chat: ChatRequest,
    pub(super) echo: Echo,
    pub(super) include: Include,
    pub(super) names: Names,
}

/// What the client wants to see beside the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Include {
    /// What a provider wants back with the next turn, as `encrypted_content`.
    pub(super) encrypted: bool,
    pub(super) logprobs: bool,
}

/// Fields that need a memory.
const STATEFUL: [&str; 4] = ["previous_response_id", "conversation", "prompt", "context_management"];

/// Fields of this API without effect on the answer and without a counterpart: who sends it, and how OpenAI keeps, checks or watches a response.
/// Passed on they would end the turn with a provider that refuses what it does not know.
const WITHOUT_COUNTERPART: [&str; 4] = ["client_metadata", "moderation", "prompt_cache_options", "stream_options"];

/// The chat endpoint's names for what has another name here. Passed on they would stand beside ours, or in our place.
const CHAT_NAMES: [(&str, &str); 10] = [
    ("messages", "send `input`"),
    ("max_tokens", "send `max_output_tokens`"),
    ("max_completion_tokens", "send `max_output_tokens`"),
    ("response_format", "send `text.format`"),
    ("verbosity", "send `text.verbosity`"),
    ("reasoning_effort", "send `reasoning.effort`"),
    ("logprobs", "send `include: [\"message.output_text.logprobs\"]`"),
    ("functions", "send `tools`"),
    ("function_call", "send `tool_choice`"),
    ("n", "a response is one answer; send the request several times"),
];

/// Reads a request's body, which is dropped first: every field is kept until it is read.
pub(super) fn read_body(body: Bytes) -> Result<Asked, Failure> {
    let mut draft = Draft::new();
    let fields = codec::parse_fields(&body)?;
    drop(body);
    let field = |name: &str| fields.iter().find_map(|(key, value)| (key == name).then_some(&**value));
    // First, for they name what the input and the choice speak of.
    draft.tools(field("tools"), field("input"))?;
    for (name, value) in fields.into_iter().filter(|(name, _)| name != "tools") {
        if !draft.whole(&name, &value)? && !draft.passed(&name, &value)? && !is_null(&value) {
            if let Some((_, remedy)) = CHAT_NAMES.iter().find(|(chat, _)| *chat == name) {
                return Err(Refusal::field(name, format!("is a field of the chat endpoint; {remedy}")).into());
            }
            draft.params.push((name, value));
        }
    }
    Ok(draft.done()?)
}

struct Draft {
    model: Option<String>,
    input: Option<Vec<Message>>,
    instructions: Option<String>,
    stream: bool,
    toggles: Option<Json>,
    tools: bool,
    choice: Option<(Json, bool)>,
    parallel: Option<Json>,
    top_logprobs: Option<u64>,
    include: Include,
    params: Fields,
    echo: Echo,
    names: Names,
}

#[derive(Deserialize)]
struct Reasoning {
    effort: Option<String>,
    summary: Option<String>,
}

impl Draft {
    fn new() -> Self {
        Self {
            model: None,
            input: None,
            instructions: None,
            stream: false,
            toggles: None,
            tools: false,
            choice: None,
            parallel: None,
            top_logprobs: None,
            include: Include::default(),
            params: Fields::new(),
            echo: Echo::new(),
            names: Names::default(),
        }
    }

    /// Takes a field that has a meaning of its own here; false if it has none.
    fn whole(&mut self, name: &str, value: &Json) -> Result<bool, Refusal> {
        match name {
            "model" => self.model = Some(read(name, value)?),
            "input" if !is_null(value) => self.input = Some(input::messages(value, &mut self.names)?),
            "instructions" => self.instructions = self.echoed("instructions", value)?,
            "stream" => self.stream = read::<Option<bool>>(name, value)?.unwrap_or(false),
            "pipeline" => self.toggles = Some(value.clone()),
            "tool_choice" if !is_null(value) => self.choice = Some(tools::choice(value, &mut self.names, &mut self.echo)?),
            "parallel_tool_calls" => self.parallel = self.echoed::<bool>("parallel_tool_calls", value)?.map(|_| value.clone()),
            "text" => text::text(value, &mut self.params, &mut self.echo)?,
            "reasoning" => self.reasoning(read::<Option<Reasoning>>(name, value)?),
            "include" => self.include(read::<Option<Vec<String>>>(name, value)?.unwrap_or_default()),
            "top_logprobs" => self.top_logprobs = self.echoed("top_logprobs", value)?,
            "max_output_tokens" => {
                if self.echoed::<u64>("max_output_tokens", value)?.is_some() {
                    self.params.push(("max_completion_tokens".into(), value.clone()));
                }
            }
            "truncation" => match read::<Option<String>>(name, value)?.as_deref() {
                None | Some("disabled") => {}
                Some(_) => {
                    return Err(Refusal::field(name, "must be `disabled`: this server does not shorten an input; send one that fits"));
                }
            },
            "background" if read::<Option<bool>>(name, value)? == Some(true) => {
                return Err(Refusal::field(
                    name,
                    "must be false: this server keeps no state, so nothing could be fetched later; stream instead",
                ));
            }
            // Labels of a stored response, and none is stored; OpenAI's chat endpoint refuses them without `store`.
            "metadata" => drop(self.echoed::<BTreeMap<String, String>>("metadata", value)?),
            // There are no tools of the server whose calls could be counted.
            "max_tool_calls" => drop(self.echoed::<u64>("max_tool_calls", value)?),
            "store" | "background" => drop(read::<Option<bool>>(name, value)?),
            // Of `stream_options` too: the last event always carries the usage.
            _ if WITHOUT_COUNTERPART.contains(&name) => {}
            _ if STATEFUL.contains(&name) && !is_null(value) => {
                return Err(Refusal::field(name, "is not taken: this server keeps no state; send the whole conversation in `input`"));
            }
            _ => return Ok(STATEFUL.contains(&name)),
        }
        Ok(true)
    }

    /// Takes a field that reaches the provider under its own name and stands in the response; false if it is no such field.
    fn passed(&mut self, name: &str, value: &Json) -> Result<bool, Refusal> {
        let there = match name {
            "temperature" => self.echoed::<f64>("temperature", value)?.is_some(),
            "top_p" => self.echoed::<f64>("top_p", value)?.is_some(),
            "user" => self.echoed_if_there("user", value)?,
            "safety_identifier" => self.echoed_if_there("safety_identifier", value)?,
            "prompt_cache_key" => self.echoed_if_there("prompt_cache_key", value)?,
            "prompt_cache_retention" => self.echoed_if_there("prompt_cache_retention", value)?,
            "service_tier" => self.echoed_if_there("service_tier", value)?,
            _ => return Ok(false),
        };
        if there {
            self.params.push((name.to_owned(), value.clone()));
        }
        Ok(true)
    }

    /// A field of that type that the response repeats as it came.
    fn echoed<T: DeserializeOwned>(&mut self, name: &'static str, value: &Json) -> Result<Option<T>, Refusal> {
        let read = read::<Option<T>>(name, value)?;
        if read.is_some() {
            self.echo.set(name, value);
        }
        Ok(read)
    }

    fn echoed_if_there(&mut self, name: &'static str, value: &Json) -> Result<bool, Refusal> {
        Ok(self.echoed::<String>(name, value)?.is_some())
    }

    fn tools(&mut self, tools: Option<&RawValue>, input: Option<&RawValue>) -> Result<(), Refusal> {
        if let Some(tools) = tools::tools(tools, input, &mut self.names, &mut self.echo)? {
            self.params.push(("tools".into(), tools));
            self.tools = true;
        }
        Ok(())
    }

    fn reasoning(&mut self, reasoning: Option<Reasoning>) {
        let Some(Reasoning { effort, summary }) = reasoning else { return };
        self.echo.set("reasoning", &json!({"effort": effort, "summary": summary}));
        if let Some(effort) = effort {
            self.params.push(("reasoning_effort".into(), raw_json(&effort)));
        }
    }

    /// What is left out of this list belongs to tools that are not there, so it is never missed.
    fn include(&mut self, include: Vec<String>) {
        for name in include {
            match name.as_str() {
                "reasoning.encrypted_content" => self.include.encrypted = true,
                "message.output_text.logprobs" => self.include.logprobs = true,
                _ => {}
            }
        }
    }

    fn done(mut self) -> Result<Asked, Refusal> {
        let model = self.model.take().ok_or_else(|| Refusal::field("model", "is missing; GET /v1/models lists the ids"))?;
        if model.is_empty() {
            return Err(Refusal::field("model", "is empty; GET /v1/models lists the ids"));
        }
        let input = self.input.take().ok_or_else(|| Refusal::field("input", "is missing; send a text or a list of items"))?;
        if input.is_empty() {
            return Err(Refusal::field("input", "must hold at least one message"));
        }
        let instructions = self.instructions.take().map(|text| Message::text("system", text));
        self.settle_tools()?;
        self.settle_logprobs();
        if self.stream {
            self.params.push(("stream_options".into(), raw_json(&json!({"include_usage": true}))));
        }
        let messages = instructions.into_iter().chain(input).collect();
        let chat = ChatRequest { model, messages, stream: self.stream, toggles: self.toggles, params: self.params };
        Ok(Asked { chat, echo: self.echo, include: self.include, names: self.names })
    }

    /// Providers refuse fields about tools if there are none.
    fn settle_tools(&mut self) -> Result<(), Refusal> {
        match (self.choice.take(), self.tools) {
            (Some((choice, _)), true) => self.params.push(("tool_choice".into(), choice)),
            (Some((_, true)), false) => return Err(Refusal::field("tool_choice", "asks for a tool, and `tools` holds none")),
            (Some((_, false)) | None, _) => {}
        }
        if let Some(parallel) = self.parallel.take().filter(|_| self.tools) {
            self.params.push(("parallel_tool_calls".into(), parallel));
        }
        Ok(())
    }

    fn settle_logprobs(&mut self) {
        self.include.logprobs |= self.top_logprobs.is_some_and(|count| count > 0);
        if self.include.logprobs {
            self.params.push(("logprobs".into(), raw_json(&true)));
            if let Some(count) = self.top_logprobs {
                self.params.push(("top_logprobs".into(), raw_json(&count)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
