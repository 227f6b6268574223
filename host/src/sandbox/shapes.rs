//! What hooks are handed, in the contract's shapes: views of the exchange and of the completion, so that no text is copied on its way to the
//! guest's memory. They must fit `wit/types.wit`, `pre-hook.wit` and `post-hook.wit`; every call checks that before the guest runs.

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

/// `post-hook`'s record `reply`.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Reply<'a> {
    context: Context<'a>,
    model: &'a str,
    choices: Vec<Choice<'a>>,
    usage: Option<&'a str>,
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

#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Context<'a> {
    #[component(name = "request-id")]
    request_id: &'a str,
    pipeline: &'a str,
    caller: Option<&'a str>,
    stream: bool,
    attempt: u32,
    #[component(name = "deadline-ms")]
    deadline_ms: u64,
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

fn message_bytes(message: &chat::Message) -> usize {
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
            usage: completion.usage.as_ref().map(|usage| usage.get()),
            metadata: exchange.metadata.iter().map(|(name, value)| Field::of(name, value)).collect(),
        }
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
            stream: exchange.stream,
            attempt: exchange.tries.begun(),
            deadline_ms: u64::try_from(exchange.deadline.remaining().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl<'a> Message<'a> {
    fn of(message: &'a chat::Message) -> Self {
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
    fn of(name: &'a str, value: &'a Json) -> Self {
        Self { name, value: value.get() }
    }
}

fn fields(list: &Fields) -> Vec<Field<'_>> {
    list.iter().map(|(name, value)| Field::of(name, value)).collect()
}
