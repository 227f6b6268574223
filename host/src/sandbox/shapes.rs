//! What hooks are handed, in the contract's shapes: views of the exchange and of the completion, so that no text is copied on its way to the
//! guest's memory. They must fit `wit/shapes.wit`, `pre-hook.wit` and `post-hook.wit`; every call checks that before the guest runs.

mod said;

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use wasmtime::component::{ComponentType, Lower};

use super::merge::channel_of;
use super::scope::{Channels, Data, Names};
use crate::chat::{self, Completion, Content, Exchange, Fields, Json, Metadata, Part, ToolCall};

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
    /// What the hook reads of it. `model` is the one that would be asked.
    pub(super) fn of(exchange: &'a Exchange, model: &'a str, reads: &Data) -> Self {
        let (window, last) = reads.window(&exchange.messages);
        let shown = |at: usize| Message::shown(&exchange.messages[at], reads.of_message(at, last));
        Self {
            context: Context::of(exchange),
            model,
            messages: window.map(shown).collect(),
            params: shown_fields(&exchange.params, |name| reads.params.has(name)),
            metadata: metadata(&exchange.metadata, &reads.metadata).collect(),
        }
    }
}

impl<'a> Question<'a> {
    /// `model` is the id of one of the plugin's models.
    pub(super) fn of(exchange: &'a Exchange, model: &'a str, reads: &Data) -> Self {
        let Request { context, messages, params, metadata, .. } = Request::of(exchange, model, reads);
        Self { context, model, messages, params, metadata }
    }
}

/// What lowering a message costs beside its texts, in bytes of text: some allocations of the guest's.
const MESSAGE_BYTES: usize = 256;

impl Request<'_> {
    /// About how many bytes it takes to hand this over.
    pub(super) fn bytes(exchange: &Exchange, reads: &Data) -> usize {
        let (window, last) = reads.window(&exchange.messages);
        let messages = window.map(|at| message_bytes(&exchange.messages[at], reads.of_message(at, last)));
        messages.sum::<usize>() + fields_bytes(&exchange.params, |name| reads.params.has(name)) + metadata_bytes(exchange, reads)
    }
}

impl Reply<'_> {
    /// About how many bytes it takes to hand this over.
    pub(super) fn bytes(exchange: &Exchange, completion: &Completion, reads: &Data) -> usize {
        let choices = completion.choices.iter().filter(|_| reads.reply != Channels::NONE);
        choices.map(|choice| message_bytes(&choice.message, reads.reply)).sum::<usize>() + metadata_bytes(exchange, reads)
    }
}

fn metadata_bytes(exchange: &Exchange, reads: &Data) -> usize {
    metadata(&exchange.metadata, &reads.metadata).map(|field| field.name.len() + field.value.len()).sum()
}

/// Of what `channels` show of the message.
pub(super) fn message_bytes(message: &chat::Message, channels: Channels) -> usize {
    let content = match &message.content {
        Content::Text(text) if channels.has(Channels::TEXT) => text.len(),
        Content::Null | Content::Text(_) => 0,
        Content::Parts(parts) => parts.iter().map(|part| part_bytes(part, channels)).sum(),
    };
    let calls = message.tool_calls.iter().filter(|_| channels.has(Channels::TOOL_CALLS)).map(|call| match call {
        ToolCall::Other(raw) => MESSAGE_BYTES + raw.get().len(),
        ToolCall::Function(call) => MESSAGE_BYTES + call.arguments.len() + fields_bytes(&call.extra, |_| true),
    });
    MESSAGE_BYTES + content + calls.sum::<usize>() + fields_bytes(&message.extra, |name| channels.has(channel_of(name)))
}

fn part_bytes(part: &Part, channels: Channels) -> usize {
    match part {
        Part::Text { text, extra } if channels.has(Channels::TEXT) => {
            MESSAGE_BYTES + text.len() + fields_bytes(extra, |_| channels.has(Channels::OTHER))
        }
        Part::Other(raw) if channels.has(Channels::OTHER) => MESSAGE_BYTES + raw.get().len(),
        _ => 0,
    }
}

fn fields_bytes(list: &Fields, shows: impl Fn(&str) -> bool) -> usize {
    list.iter().filter(|(name, _)| shows(name)).map(|(name, value)| name.len() + value.get().len()).sum()
}

impl<'a> Reply<'a> {
    /// What the hook reads of it; no choice if it reads nothing of the reply.
    pub(super) fn of(exchange: &'a Exchange, completion: &'a Completion, reads: &Data) -> Self {
        let choices = completion.choices.iter().filter(|_| reads.reply != Channels::NONE);
        Self {
            context: Context::of(exchange),
            model: &completion.model,
            choices: choices.map(|choice| Choice::of(choice, reads.reply)).collect(),
            usage: completion.usage.as_deref().filter(|_| reads.usage).and_then(Usage::of),
            metadata: metadata(&exchange.metadata, &reads.metadata).collect(),
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
    fn of(choice: &'a chat::Choice, channels: Channels) -> Self {
        Self { index: choice.index, message: Message::shown(&choice.message, channels), finish_reason: choice.finish_reason.as_deref() }
    }
}

impl<'a> Context<'a> {
    pub(super) fn of(exchange: &'a Exchange) -> Self {
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
    /// The role, and of the rest what those channels are of.
    pub(super) fn shown(message: &'a chat::Message, channels: Channels) -> Self {
        let [text, calls, other] = [Channels::TEXT, Channels::TOOL_CALLS, Channels::OTHER].map(|channel| channels.has(channel));
        let content = match &message.content {
            Content::Text(said) if text => vec![ContentPart::Text(TextPart { text: said, extra: Vec::new() })],
            Content::Null | Content::Text(_) => Vec::new(),
            Content::Parts(parts) => parts.iter().filter_map(|part| ContentPart::of(part, text, other)).collect(),
        };
        Self {
            role: &message.role,
            content,
            tool_calls: message.tool_calls.iter().filter(|_| calls).map(Call::of).collect(),
            tool_call_id: message.tool_call_id.as_deref().filter(|_| calls),
            name: message.name.as_deref().filter(|_| other),
            extra: shown_fields(&message.extra, |name| channels.has(channel_of(name))),
        }
    }
}

impl<'a> ContentPart<'a> {
    fn of(part: &'a Part, text: bool, other: bool) -> Option<Self> {
        match part {
            Part::Text { text: said, extra } => text.then(|| Self::Text(TextPart { text: said, extra: shown_fields(extra, |_| other) })),
            Part::Other(raw) => other.then(|| Self::Other(raw.get())),
        }
    }
}

impl<'a> Call<'a> {
    fn of(call: &'a ToolCall) -> Self {
        match call {
            ToolCall::Other(raw) => Self::Other(raw.get()),
            ToolCall::Function(call) => Self::Function(FunctionCall {
                id: &call.id,
                name: &call.name,
                arguments: &call.arguments,
                extra: shown_fields(&call.extra, |_| true),
            }),
        }
    }
}

impl<'a> Field<'a> {
    pub(super) fn of(name: &'a str, value: &'a Json) -> Self {
        Self { name, value: value.get() }
    }
}

fn shown_fields(list: &Fields, shows: impl Fn(&str) -> bool) -> Vec<Field<'_>> {
    list.iter().filter(|(name, _)| shows(name)).map(|(name, value)| Field::of(name, value)).collect()
}

fn metadata<'a>(all: &'a Metadata, names: &Names) -> impl Iterator<Item = Field<'a>> {
    all.iter().filter(|(name, _)| names.has(name)).map(|(name, value)| Field::of(name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::PluginConfig;
    use crate::sandbox::scope::{Declared, Scope};
    use crate::sandbox::tests::exchange;

    fn reads(words: &[&str]) -> Data {
        let own = PluginConfig { reads: Some(words.iter().map(|word| (*word).to_owned()).collect()), ..PluginConfig::default() };
        Scope::new("p", Declared::default(), &own).expect("known words").reads
    }

    /// A conversation of that many bytes before the newest message of the user.
    fn conversation(bytes: usize) -> Exchange {
        let turns = (0..bytes / 100).map(|_| chat::Message::text("assistant", "x".repeat(100)));
        let newest = chat::Message::text("user", "y".repeat(500));
        let params = vec![("tools".to_owned(), crate::chat::codec::json(format!("[\"{}\"]", "z".repeat(bytes))).expect("JSON"))];
        Exchange { messages: turns.chain([newest]).collect(), params, ..exchange() }
    }

    #[test]
    fn what_a_hook_does_not_read_costs_nothing_however_long_it_is() {
        let (short, long) = (conversation(1_000), conversation(100_000));
        for words in [&["last-user-message"][..], &["last-user-message.text", "metadata", "params.temperature"], &[]] {
            let reads = reads(words);
            assert_eq!(Request::bytes(&short, &reads), Request::bytes(&long, &reads), "{words:?}");
            let [few, many] = [&short, &long].map(|exchange| Request::of(exchange, "m", &reads));
            assert_eq!((few.messages.len(), few.params.len()), (many.messages.len(), many.params.len()), "{words:?}");
            assert!(many.messages.len() <= 1 && many.params.is_empty());
        }
        let everything = Data::everything();
        assert!(Request::bytes(&long, &everything) > 200_000 && Request::of(&long, "m", &everything).messages.len() == 1_001);
    }

    #[test]
    fn a_channel_shows_its_own_kind_and_no_other() {
        let json = |text: &str| crate::chat::codec::json(text.into()).expect("JSON");
        let fields = |name: &str| vec![(name.to_owned(), json("1"))];
        let message = chat::Message {
            role: "user".into(),
            content: Content::Parts(vec![Part::Text { text: "t".into(), extra: fields("e") }, Part::Other(json("{}"))]),
            name: Some("n".into()),
            tool_calls: vec![ToolCall::Other(json("{}"))],
            tool_call_id: Some("c".into()),
            extra: ["refusal", "reasoning", "reasoning_content", "audio"].into_iter().flat_map(fields).collect(),
        };
        let shown = |channels: Channels| {
            let shown = Message::shown(&message, channels);
            let mut line: Vec<&str> = Vec::new();
            for part in &shown.content {
                match part {
                    ContentPart::Text(part) => line.extend(if part.extra.is_empty() { &["text"][..] } else { &["text", "fields of text"] }),
                    ContentPart::Other(_) => line.push("part"),
                }
            }
            line.extend(shown.name);
            line.extend(shown.tool_calls.iter().map(|_| "call"));
            line.extend(shown.tool_call_id);
            line.extend(shown.extra.iter().map(|field| field.name));
            line.join(" ")
        };
        assert_eq!(shown(Channels::NONE), "");
        assert_eq!(shown(Channels::TEXT), "text");
        assert_eq!(shown(Channels::REFUSAL), "refusal");
        assert_eq!(shown(Channels::REASONING), "reasoning reasoning_content");
        assert_eq!(shown(Channels::TOOL_CALLS), "call c");
        assert_eq!(shown(Channels::OTHER), "part n audio");
        assert_eq!(shown(Channels::ALL), "text fields of text part n call c refusal reasoning reasoning_content audio");
        for (_, channel) in Channels::EACH {
            assert!(message_bytes(&message, channel) > message_bytes(&message, Channels::NONE), "{channel:?}");
        }
    }

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
