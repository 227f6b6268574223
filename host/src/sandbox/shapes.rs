//! What hooks are handed, in the contract's shapes: views of the exchange and of the completion, so that no text is copied on its way to the
//! guest's memory. They must fit `wit/shapes.wit`, `pre-hook.wit` and `post-hook.wit`; every call checks that before the guest runs.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use wasmtime::component::{ComponentType, Lower};

use crate::chat::{self, Completion, Content, Exchange, Fields, Json, Part, ToolCall};

/// `pre-hook`'s record `request`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Request<'a> {
    context: Context<'a>,
    model: &'a str,
    messages: Vec<Message<'a>>,
    params: Vec<Field<'a>>,
    metadata: Vec<Field<'a>>,
}

/// `model`'s record `question`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Question<'a> {
    context: Context<'a>,
    model: &'a str,
    messages: Vec<Message<'a>>,
    params: Vec<Field<'a>>,
    metadata: Vec<Field<'a>>,
}

/// `post-hook`'s record `reply`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Reply<'a> {
    context: Context<'a>,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    usage: Option<Usage<'a>>,
    metadata: Vec<Field<'a>>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Choice<'a> {
    index: u32,
    message: Message<'a>,
    #[component(name = "finish-reason")]
    finish_reason: Option<&'a str>,
}

/// Its names are copies, because the JSON that they are read from may have escaped them.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Usage<'a> {
    #[component(name = "prompt-tokens")]
    prompt_tokens: u32,
    #[component(name = "completion-tokens")]
    completion_tokens: u32,
    extra: Vec<NamedField<'a>>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct NamedField<'a> {
    name: String,
    value: &'a str,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Context<'a> {
    #[component(name = "request-id")]
    pub(super) request_id: &'a str,
    pub(super) pipeline: &'a str,
    pub(super) caller: Option<&'a str>,
    pub(super) streamed: bool,
    pub(super) attempt: u32,
    #[component(name = "deadline-ms")]
    pub(super) deadline_ms: u32,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Message<'a> {
    role: &'a str,
    content: Vec<ContentPart<'a>>,
    #[component(name = "tool-calls")]
    tool_calls: Vec<Call<'a>>,
    #[component(name = "tool-call-id")]
    tool_call_id: Option<&'a str>,
    name: Option<&'a str>,
    extra: Vec<Field<'a>>,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
pub(super) enum ContentPart<'a> {
    #[component(name = "text")]
    Text(TextPart<'a>),
    #[component(name = "other")]
    Other(&'a str),
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct TextPart<'a> {
    text: &'a str,
    extra: Vec<Field<'a>>,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
pub(super) enum Call<'a> {
    #[component(name = "function")]
    Function(FunctionCall<'a>),
    #[component(name = "other")]
    Other(&'a str),
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct FunctionCall<'a> {
    id: &'a str,
    name: &'a str,
    arguments: &'a str,
    extra: Vec<Field<'a>>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Field<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> Request<'a> {
    /// `model` is the pipeline's, for an exchange without one of its own.
    pub(super) fn of(exchange: &'a Exchange, model: &'a str) -> Self {
        Self {
            context: Context::of(exchange),
            model: exchange.model.as_deref().unwrap_or(model),
            messages: exchange.messages.iter().map(Message::of).collect(),
            params: fields(&exchange.params),
            metadata: exchange.metadata.iter().map(|(name, value)| Field::of(name, value)).collect(),
        }
    }
}

impl<'a> Question<'a> {
    /// `model` is the id of one of the plugin's models.
    pub(super) fn of(exchange: &'a Exchange, model: &'a str) -> Self {
        let Request { context, messages, params, metadata, .. } = Request::of(exchange, model);
        Self { context, model, messages, params, metadata }
    }
}

/// What lowering a message costs beside its texts, in bytes of text: some allocations of the guest's.
const MESSAGE_BYTES: usize = 256;

impl Request<'_> {
    /// About how many bytes it takes to hand this over.
    pub(super) fn bytes(exchange: &Exchange) -> usize {
        let metadata: usize = exchange.metadata.iter().map(|(name, value)| name.len() + value.get().len()).sum();
        exchange.messages.iter().map(message_bytes).sum::<usize>() + fields_bytes(&exchange.params) + metadata
    }
}

impl Reply<'_> {
    /// About how many bytes it takes to hand this over.
    pub(super) fn bytes(exchange: &Exchange, completion: &Completion) -> usize {
        let metadata: usize = exchange.metadata.iter().map(|(name, value)| name.len() + value.get().len()).sum();
        completion.choices.iter().map(|choice| message_bytes(&choice.message)).sum::<usize>() + metadata
    }
}

pub(super) fn message_bytes(message: &chat::Message) -> usize {
    let content = match &message.content {
        Content::Null => 0,
        Content::Text(text) => text.len(),
        Content::Parts(parts) => parts.iter().map(part_bytes).sum(),
    };
    let calls = message.tool_calls.iter().map(|call| match call {
        ToolCall::Other(raw) => MESSAGE_BYTES + raw.get().len(),
        ToolCall::Function(call) => MESSAGE_BYTES + call.arguments.len() + fields_bytes(&call.extra),
    });
    MESSAGE_BYTES + content + calls.sum::<usize>() + fields_bytes(&message.extra)
}

fn part_bytes(part: &Part) -> usize {
    match part {
        Part::Text { text, extra } => MESSAGE_BYTES + text.len() + fields_bytes(extra),
        Part::Other(raw) => MESSAGE_BYTES + raw.get().len(),
    }
}

fn fields_bytes(list: &Fields) -> usize {
    list.iter().map(|(name, value)| name.len() + value.get().len()).sum()
}

impl<'a> Reply<'a> {
    pub(super) fn of(exchange: &'a Exchange, completion: &'a Completion) -> Self {
        Self {
            context: Context::of(exchange),
            model: &completion.model,
            choices: completion.choices.iter().map(Choice::of).collect(),
            usage: completion.usage.as_deref().and_then(Usage::of),
            metadata: exchange.metadata.iter().map(|(name, value)| Field::of(name, value)).collect(),
        }
    }
}

impl<'a> Usage<'a> {
    /// None if it is no object, as providers send that know nothing.
    pub(super) fn of(json: &'a RawValue) -> Option<Self> {
        let counts = chat::Usage::read(json)?;
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(json.get()).ok()?;
        let extra = fields.into_iter().filter(|(name, _)| !matches!(name.as_str(), "prompt_tokens" | "completion_tokens"));
        let count = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Some(Self {
            prompt_tokens: count(counts.prompt),
            completion_tokens: count(counts.completion),
            extra: extra.map(|(name, value)| NamedField { name, value: value.get() }).collect(),
        })
    }
}

impl<'a> Choice<'a> {
    fn of(choice: &'a chat::Choice) -> Self {
        Self { index: choice.index, message: Message::of(&choice.message), finish_reason: choice.finish_reason.as_deref() }
    }
}

impl<'a> Context<'a> {
    fn of(exchange: &'a Exchange) -> Self {
        Self {
            request_id: &exchange.id,
            pipeline: &exchange.pipeline,
            caller: exchange.caller.as_deref(),
            streamed: exchange.stream,
            attempt: exchange.tries.begun(),
            deadline_ms: u32::try_from(exchange.deadline.remaining().as_millis()).unwrap_or(u32::MAX),
        }
    }
}

impl<'a> Message<'a> {
    pub(super) fn of(message: &'a chat::Message) -> Self {
        let content = match &message.content {
            Content::Null => Vec::new(),
            Content::Text(text) => vec![ContentPart::Text(TextPart { text, extra: Vec::new() })],
            Content::Parts(parts) => parts.iter().map(ContentPart::of).collect(),
        };
        Self {
            role: &message.role,
            content,
            tool_calls: message.tool_calls.iter().map(Call::of).collect(),
            tool_call_id: message.tool_call_id.as_deref(),
            name: message.name.as_deref(),
            extra: fields(&message.extra),
        }
    }
}

impl<'a> ContentPart<'a> {
    fn of(part: &'a Part) -> Self {
        match part {
            Part::Text { text, extra } => Self::Text(TextPart { text, extra: fields(extra) }),
            Part::Other(raw) => Self::Other(raw.get()),
        }
    }
}

impl<'a> Call<'a> {
    fn of(call: &'a ToolCall) -> Self {
        match call {
            ToolCall::Other(raw) => Self::Other(raw.get()),
            ToolCall::Function(call) => {
                Self::Function(FunctionCall { id: &call.id, name: &call.name, arguments: &call.arguments, extra: fields(&call.extra) })
            }
        }
    }
}

impl<'a> Field<'a> {
    pub(super) fn of(name: &'a str, value: &'a Json) -> Self {
        Self { name, value: value.get() }
    }
}

fn fields(list: &Fields) -> Vec<Field<'_>> {
    list.iter().map(|(name, value)| Field::of(name, value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_its_two_counts_and_every_other_field_as_it_came() {
        let json = crate::chat::codec::json(
            r#"{"total_tokens":5000000003,"prompt_tokens":5000000000,"completion_tokens":"3","a\"b":{"c":[1]}}"#.into(),
        );
        let json = json.expect("JSON");
        let usage = Usage::of(&json).expect("an object");
        assert_eq!((usage.prompt_tokens, usage.completion_tokens), (u32::MAX, 3));
        let extra: Vec<(&str, &str)> = usage.extra.iter().map(|field| (field.name.as_str(), field.value)).collect();
        assert_eq!(extra, [("a\"b", r#"{"c":[1]}"#), ("total_tokens", "5000000003")]);
        for none in ["null", "[]", "3"] {
            assert!(Usage::of(&crate::chat::codec::json(none.into()).expect("JSON")).is_none(), "{none}");
        }
    }
}
