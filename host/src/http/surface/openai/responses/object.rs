//! The response object around its output, the same in a whole reply and in the events that hold one. Its id and time stay the same from the first event to the last.
//! Source: OpenAI API reference, "The response object".

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::called::Called;
use super::echo::Echo;
use super::names::Names;
use crate::chat::{Json, Usage};
use crate::llm::sortable_id;

/// Service tiers that clients know; a provider may have others.
const TIERS: [&str; 7] = ["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"];

/// What stays the same from the first event to the last.
#[derive(Debug)]
pub(super) struct Frame {
    /// Ends every id of this response.
    base: String,
    created_at: u64,
    model: String,
    service_tier: Option<String>,
    echo: Echo,
    names: Names,
}

/// Where a response stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State<'a> {
    InProgress,
    Completed,
    /// With OpenAI's word for why.
    Incomplete(&'static str),
    /// With a message for the client.
    Failed(&'a str),
}

#[derive(Serialize)]
pub(super) struct Object<'a> {
    id: String,
    object: &'static str,
    created_at: u64,
    completed_at: Option<u64>,
    status: &'static str,
    error: Option<Error<'a>>,
    incomplete_details: Option<Incomplete>,
    model: &'a str,
    output: &'a [Json],
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Tokens>,
    #[serde(flatten)]
    echo: &'a Echo,
}

#[derive(Serialize)]
struct Error<'a> {
    code: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
struct Tokens {
    input_tokens: u64,
    input_tokens_details: Input,
    output_tokens: u64,
    output_tokens_details: Output,
    total_tokens: u64,
}

#[derive(Serialize)]
struct Input {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct Output {
    reasoning_tokens: u64,
}

impl Frame {
    /// `model` stands for the provider's own name of it until that is known.
    pub(super) fn new(model: String, echo: Echo) -> Self {
        let base = sortable_id().simple().to_string();
        Self { base, created_at: now(), model, service_tier: None, echo, names: Names::default() }
    }

    /// With the names of the tools that were offered.
    pub(super) fn with_names(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// The tool that the chat endpoint calls `name`, as the client knows it.
    pub(super) fn called(&self, name: &str, custom: bool) -> Called {
        Called::of(&self.names, name, custom)
    }

    /// What the provider says of itself; an empty name does not count.
    pub(super) fn answered(&mut self, model: Option<&str>, service_tier: Option<&str>) {
        if let Some(model) = model.filter(|model| !model.is_empty()) {
            model.clone_into(&mut self.model);
        }
        if let Some(tier) = service_tier.filter(|tier| TIERS.contains(tier)) {
            self.service_tier = Some(tier.to_owned());
        }
    }

    /// The id of the item at that place of the output.
    pub(super) fn id(&self, kind: &str, at: usize) -> String {
        format!("{kind}_{}{at:04x}", self.base)
    }

    pub(super) fn object<'a>(&'a self, state: State<'a>, output: &'a [Json], usage: Option<&Json>) -> Object<'a> {
        let status = match state {
            State::InProgress => "in_progress",
            State::Completed => "completed",
            State::Incomplete(_) => "incomplete",
            State::Failed(_) => "failed",
        };
        Object {
            id: format!("resp_{}", self.base),
            object: "response",
            created_at: self.created_at,
            completed_at: (state == State::Completed).then(now),
            status,
            error: if let State::Failed(message) = state { Some(Error { code: "server_error", message }) } else { None },
            incomplete_details: if let State::Incomplete(reason) = state { Some(Incomplete { reason }) } else { None },
            model: &self.model,
            output,
            service_tier: self.service_tier.as_deref(),
            usage: usage.and_then(tokens),
            echo: &self.echo,
        }
    }
}

impl State<'_> {
    /// Of a reply that ended for that reason.
    pub(super) fn of(finish_reason: Option<&str>) -> State<'static> {
        match finish_reason {
            Some("length") => State::Incomplete("max_output_tokens"),
            Some("content_filter") => State::Incomplete("content_filter"),
            _ => State::Completed,
        }
    }

    /// The status of an item that was the last when it came to this.
    pub(super) fn of_item(self) -> &'static str {
        if self == State::Completed { "completed" } else { "incomplete" }
    }
}

fn tokens(json: &Json) -> Option<Tokens> {
    #[derive(Deserialize)]
    struct Wire {
        prompt_tokens_details: Option<Details>,
    }
    #[derive(Deserialize)]
    struct Details {
        cache_write_tokens: Option<u64>,
    }
    let usage = Usage::read(json)?;
    let details = serde_json::from_str::<Wire>(json.get()).ok().and_then(|wire| wire.prompt_tokens_details);
    let cache_write_tokens = details.and_then(|details| details.cache_write_tokens).unwrap_or(0);
    Some(Tokens {
        input_tokens: usage.prompt,
        input_tokens_details: Input { cached_tokens: usage.cached, cache_write_tokens },
        output_tokens: usage.completion,
        output_tokens_details: Output { reasoning_tokens: usage.reasoning },
        total_tokens: usage.total(),
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
