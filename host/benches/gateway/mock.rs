//! The mock upstream: the same short reply in every dialect, whole, as a stream of words, or as one write of all events; and streams that say
//! one word and no more.
//! Counts the slow streams that it lost.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use serde_json::{Value, json};

use super::peers::{Body, serve};

/// Events of a stream that say something.
pub(super) const EVENTS: usize = 60;

const WORDS: &str = "The sea is wide and the night is long, and the lamp at the end of the pier is lit.";

/// Slow streams whose reader left.
static LOST: AtomicUsize = AtomicUsize::new(0);

/// Which dialect a request speaks.
#[derive(Clone, Copy)]
enum Dialect {
    OpenAi,
    Anthropic,
    Gemini,
    Workers,
}

pub(super) fn mock() {
    serve(async |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        if path == "/lost" {
            return Response::new(full(LOST.load(Ordering::Relaxed).to_string().into()));
        }
        let dialect = match path.split('/').nth(1) {
            Some("anthropic") => Dialect::Anthropic,
            Some("gemini") => Dialect::Gemini,
            Some("ai") => Dialect::Workers,
            _ => Dialect::OpenAi,
        };
        let body = request.into_body().collect().await.expect("a body").to_bytes();
        let has = |text: &str| memchr::memmem::find(&body, text.as_bytes()).is_some();
        let streamed = has("\"stream\":true") || path.ends_with(":streamGenerateContent");
        let reply = Response::builder().header("content-type", if streamed { "text/event-stream" } else { "application/json" });
        let body = match streamed {
            true if has("slow poem") => slow(),
            true if has("burst poem") => full(events(dialect, has("\"include_usage\":true")).concat().into()),
            // As OpenAI does it: who asks for usage gets `null` of it with every chunk, and the count with the last.
            true => paced(events(dialect, has("\"include_usage\":true"))),
            false => full(dialect.whole().to_string().into()),
        };
        reply.body(body).expect("a reply")
    });
}

impl Dialect {
    fn whole(self) -> Value {
        match self {
            Self::OpenAi => json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "mock",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": WORDS, "refusal": null}, "finish_reason": "stop", "logprobs": null}],
                "usage": {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50}}),
            Self::Anthropic => json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "mock",
                "content": [{"type": "text", "text": WORDS}], "stop_reason": "end_turn", "stop_sequence": null,
                "usage": {"input_tokens": 30, "output_tokens": 20}}),
            Self::Gemini => json!({"responseId": "r1", "modelVersion": "mock",
                "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": WORDS}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 30, "candidatesTokenCount": 20, "totalTokenCount": 50}}),
            Self::Workers => json!({"success": true, "errors": [], "messages": [],
                "result": {"response": WORDS, "usage": {"prompt_tokens": 30, "completion_tokens": 20, "total_tokens": 50}}}),
        }
    }

    /// What comes before the words.
    fn first(self) -> Option<Value> {
        let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "mock", "content": [],
            "stop_reason": null, "usage": {"input_tokens": 30, "output_tokens": 1}});
        match self {
            Self::Anthropic => Some(json!({"type": "message_start", "message": message})),
            _ => None,
        }
    }

    fn word(self, at: usize) -> Value {
        let word = format!("word{at} ");
        match self {
            Self::OpenAi => chunk(&json!({"content": word}), &Value::Null),
            Self::Anthropic if at == 0 => json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            Self::Anthropic => json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}),
            Self::Gemini => json!({"responseId": "r1", "modelVersion": "mock",
                "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": word}]}}],
                "usageMetadata": {"promptTokenCount": 30, "candidatesTokenCount": at, "totalTokenCount": 30 + at}}),
            Self::Workers => json!({"response": word, "p": "abcdefgh"}),
        }
    }

    /// What comes after the words.
    fn last(self) -> Vec<String> {
        let values = match self {
            Self::OpenAi => vec![chunk(&json!({}), &json!("stop"))],
            Self::Anthropic => vec![
                json!({"type": "content_block_stop", "index": 0}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": 60}}),
                json!({"type": "message_stop"}),
            ],
            Self::Gemini => vec![json!({"responseId": "r1", "modelVersion": "mock",
                "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP"}],
                "usageMetadata": {"promptTokenCount": 30, "candidatesTokenCount": 60, "totalTokenCount": 90}})],
            Self::Workers => vec![json!({"response": "", "usage": {"prompt_tokens": 30, "completion_tokens": 60, "total_tokens": 90}})],
        };
        let mark = matches!(self, Self::OpenAi | Self::Workers).then(|| "[DONE]".to_owned());
        values.iter().map(Value::to_string).chain(mark).collect()
    }
}

fn chunk(delta: &Value, reason: &Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "mock",
        "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": null}]})
}

/// All events of a stream; `counted`: as OpenAI writes them for a client that asked for usage.
fn events(dialect: Dialect, counted: bool) -> Vec<String> {
    let words = (0..EVENTS).map(|at| dialect.word(at).to_string());
    let mut all: Vec<String> = dialect.first().map(|value| value.to_string()).into_iter().chain(words).chain(dialect.last()).collect();
    if counted && matches!(dialect, Dialect::OpenAi) {
        let done = all.pop().expect("a stream has its end mark");
        for chunk in &mut all {
            chunk.truncate(chunk.len() - 1);
            chunk.push_str(",\"usage\":null}");
        }
        let usage = json!({"prompt_tokens": 30, "completion_tokens": 60, "total_tokens": 90});
        let last =
            json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "mock", "choices": [], "usage": usage});
        all.extend([last.to_string(), done]);
    }
    all.into_iter().map(event).collect()
}

/// Each event is written by itself, as a model's tokens are: yielding between them lets the connection flush each.
fn paced(events: Vec<String>) -> Body {
    let frames = stream::iter(events).then(|event| async {
        tokio::task::yield_now().await;
        Ok(Frame::data(event.into()))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// One word, then nothing until the reader leaves.
fn slow() -> Body {
    struct Held;
    impl Drop for Held {
        fn drop(&mut self) {
            LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
    let held = Held;
    let first = stream::iter([Ok(Frame::data(event(Dialect::OpenAi.word(0).to_string()).into()))]);
    let rest = stream::once(async move {
        let _held = held;
        std::future::pending().await
    });
    StreamBody::new(first.chain(rest)).boxed_unsync()
}

fn event(data: String) -> String {
    format!("data: {data}\n\n")
}

fn full(text: Bytes) -> Body {
    Full::new(text).map_err(|never: Infallible| match never {}).boxed_unsync()
}
