//! Cases on the side of the client: tools, fields, bodies, documents and models as clients have them by default.
//! Each test says the number of its case; the tests of a room hold the details.

mod agents;
mod compressed;
mod guards;
mod kept;
mod knowledge;
mod models;
mod tools;
mod vectors;

use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::server::Server;
use crate::upstream::{Request, Script, Upstream};

/// A server in front of one fake provider of each of three kinds: `op`, `an` and `ge`; `redacted` asks `op` and reads its replies in a hook.
struct House {
    op: Upstream,
    an: Upstream,
    ge: Upstream,
    client: Client,
    _server: Server,
}

async fn house() -> House {
    let (op, an, ge) = (Upstream::start().await, Upstream::start().await, Upstream::start().await);
    let mut config = String::new();
    for (name, kind, upstream) in [("op", "openai", &op), ("an", "anthropic", &an), ("ge", "gemini", &ge)] {
        config += &format!("[providers.{name}]\nkind = \"{kind}\"\nbase_url = \"{}\"\nmodels = [\"*\"]\n", upstream.url());
    }
    config += "[[pipelines]]\nid = \"redacted\"\npipeline = [ { stage = \"llm\", config = { primary = { provider = \"op\", model = \"m\" } } }, \
        { stage = \"post_hook\", config = { function_id = \"redact-pii\" } } ]\n";
    let server = Server::with(&config).plugin("redact-pii").start();
    House { op, an, ge, client: Client::of(server.address), _server: server }
}

impl House {
    /// An answer of the Responses API, in either form.
    async fn respond(&self, mut body: Value, stream: bool) -> Value {
        body["stream"] = stream.into();
        let answer = self.client.post("/v1/responses", &body).await.ok();
        if stream { last_response(&answer) } else { answer.json() }
    }
}

/// The response in the last event of a stream.
fn last_response(answer: &Answer) -> Value {
    let text = answer.text();
    let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().expect("an event");
    let event: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(event["type"], "response.completed", "{event}");
    event["response"].clone()
}

/// The chunks of an OpenAI-shaped reply, as the request asked for it.
fn reply(request: &Request, message: &Value, reason: &str) -> Script {
    if request.json()["stream"] != true {
        let choice = json!({"index": 0, "message": message, "finish_reason": reason});
        return Script::json(200, &json!({"id": "c", "object": "chat.completion", "created": 7, "model": "m", "choices": [choice]}));
    }
    let chunk = |delta: &Value, reason: Option<&str>| {
        json!({"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
        .to_string()
    };
    let mut delta = message.clone();
    for (call, index) in delta["tool_calls"].as_array_mut().into_iter().flatten().zip(0..) {
        call["index"] = index.into();
    }
    Script::stream().event(&chunk(&delta, None)).event(&chunk(&json!({}), Some(reason))).event("[DONE]").end()
}

fn said(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

/// Anthropic's whole reply or stream of these blocks.
fn of_anthropic(request: &Request, blocks: &[Value], reason: &str) -> Script {
    let usage = json!({"input_tokens": 1, "output_tokens": 1});
    if request.json()["stream"] != true {
        let body = json!({"id": "m", "type": "message", "role": "assistant", "model": "claude", "content": blocks, "stop_reason": reason, "usage": usage});
        return Script::json(200, &body);
    }
    let mut script = Script::stream();
    let mut events = vec![
        json!({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": usage}}),
    ];
    for (index, block) in blocks.iter().enumerate() {
        let mut start = block.clone();
        let delta = if block["type"] == "tool_use" {
            start["input"] = json!({});
            json!({"type": "input_json_delta", "partial_json": block["input"].to_string()})
        } else {
            start["text"] = "".into();
            json!({"type": "text_delta", "text": block["text"]})
        };
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 2}}));
    events.push(json!({"type": "message_stop"}));
    for event in events {
        script = script.piece(format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a name")));
    }
    script.end()
}

/// Gemini's whole reply or stream of these parts.
fn of_gemini(request: &Request, parts: &[Value]) -> Script {
    let body = json!({"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}});
    if request.path.contains("stream") { Script::stream().event(&body.to_string()).end() } else { Script::json(200, &body) }
}

fn last_sent(upstream: &Upstream) -> Value {
    upstream.requests().last().expect("a request").json()
}
