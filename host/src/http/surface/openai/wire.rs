//! The forms of `/v1`'s larger bodies, for `/openapi.json` alone: they are parsed and written elsewhere, as open as OpenAI's are.
//! Invariant: what a schema here does not name is allowed, because unknown fields pass through; the test client holds every answer of the
//! suite against these, so that they stay true.
#![expect(dead_code, reason = "here for their schemas")]

use schemars::JsonSchema;
use serde_json::{Map, Value};

use crate::http::respond::Envelope;

type Object = Map<String, Value>;

/// A chat, in OpenAI's form. Fields that are not named here reach the provider as they are.
#[derive(JsonSchema)]
pub(in crate::http::surface) struct ChatRequest {
    /// A pipeline's id, or `PROVIDER/MODEL` if the operator offers it.
    model: String,
    #[schemars(length(min = 1))]
    messages: Vec<RequestMessage>,
    /// Whether the reply is to come as events.
    stream: Option<bool>,
    /// `include_usage`: whether the last chunk is to say what was used.
    stream_options: Option<Object>,
    tools: Option<Vec<Object>>,
    /// Switches stages for this request, such as `{"rag": false}`.
    pipeline: Option<Object>,
}

#[derive(JsonSchema)]
struct RequestMessage {
    /// `system`, `developer`, `user`, `assistant` or `tool`
    role: String,
    content: Option<RequestContent>,
    name: Option<String>,
    tool_calls: Option<Vec<Object>>,
    tool_call_id: Option<String>,
}

/// A text, or parts of several kinds.
#[derive(JsonSchema)]
#[serde(untagged)]
enum RequestContent {
    Text(String),
    Parts(Vec<Object>),
}

/// A whole reply.
#[derive(JsonSchema)]
pub(in crate::http::surface) struct ChatCompletion {
    id: String,
    /// `chat.completion`
    object: String,
    /// Seconds since 1970.
    created: u64,
    /// The model that gave the reply, as its provider calls it.
    model: String,
    choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(JsonSchema)]
#[schemars(rename = "ChatChoice")]
struct Choice {
    index: u32,
    message: ReplyMessage,
    /// `stop`, `length`, `tool_calls` or `content_filter`
    finish_reason: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename = "ChatReplyMessage")]
struct ReplyMessage {
    /// `assistant`
    role: String,
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    /// What the model thought before it answered, if its provider shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Vec<Object>>,
}

#[derive(JsonSchema)]
#[schemars(rename = "ChatUsage")]
struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

/// The data of an event: a chunk, the failure that ends the stream, or what a model says beside its answer.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(in crate::http::surface) enum ChatEvent {
    Chunk(ChatChunk),
    Error(Envelope<'static>),
    Event(ModelEvent),
}

/// What a model says beside its answer, if Open WebUI asks: a status, a citation or another event.
#[derive(JsonSchema)]
pub(in crate::http::surface) struct ModelEvent {
    event: Value,
}

/// A piece of a streamed reply.
#[derive(JsonSchema)]
pub(in crate::http::surface) struct ChatChunk {
    /// The same in all chunks, as are `created` and `model`.
    id: String,
    /// `chat.completion.chunk`
    object: String,
    created: u64,
    model: String,
    /// Empty in the chunk that says what was used.
    choices: Vec<ChunkChoice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

#[derive(JsonSchema)]
#[schemars(rename = "ChatChunkChoice")]
struct ChunkChoice {
    index: u32,
    delta: Delta,
    #[serde(skip_serializing_if = "Option::is_none")]
    finish_reason: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(rename = "ChatDelta")]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_calls: Option<Vec<Object>>,
}

/// A request of the Responses API. What would need something kept between requests, such as `previous_response_id`, is refused by name.
#[derive(JsonSchema)]
pub(super) struct ResponsesRequest {
    /// A pipeline's id, or `PROVIDER/MODEL` if the operator offers it.
    model: String,
    input: ResponsesInput,
    instructions: Option<String>,
    stream: Option<bool>,
    tools: Option<Vec<Object>>,
    max_output_tokens: Option<u64>,
}

/// A text, or items: messages, calls of tools, their outputs, reasoning.
#[derive(JsonSchema)]
#[serde(untagged)]
enum ResponsesInput {
    Text(String),
    Items(Vec<Object>),
}

/// A response.
#[derive(JsonSchema)]
#[schemars(rename = "Response")]
pub(super) struct ResponseObject {
    id: String,
    /// `response`
    object: String,
    /// Seconds since 1970.
    created_at: u64,
    /// `completed`, `incomplete`, `failed` or `in_progress`
    status: String,
    model: String,
    output: Vec<OutputItem>,
    error: Option<Object>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<ResponseUsage>,
}

/// A message, a call of a tool, or reasoning.
#[derive(JsonSchema)]
#[schemars(rename = "ResponseItem")]
struct OutputItem {
    id: String,
    r#type: String,
}

#[derive(JsonSchema)]
struct ResponseUsage {
    input_tokens: u64,
    output_tokens: u64,
    total_tokens: u64,
}

/// The data of an event, whose `type` is also the event's name.
#[derive(JsonSchema)]
pub(super) struct ResponseEvent {
    r#type: String,
    sequence_number: u64,
}
