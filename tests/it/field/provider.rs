//! Reports of what providers do: each kind of provider behind the real server, scripted to do it. The unit tests of the rooms have more of each kind.

mod failures;
mod forms;
mod nothing_said;
mod sources;
mod tools;

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{Builder, Server};
use crate::upstream::{Script, Upstream};

/// One attempt at each provider and no circuits.
const ONCE: &str = "[limits.providers]\nretries = 0\ncircuit_failures = 0\n";

/// The kinds of providers, which are also the names of the models that ask them.
const KINDS: [&str; 4] = ["openai", "azure-openai", "anthropic", "gemini"];

/// A server that has a model for each kind, all asking one upstream, then `second`, which says `second`.
struct Gateway {
    upstream: Upstream,
    second: Upstream,
    client: Client,
    server: Server,
}

async fn gateway(extra: &str) -> Gateway {
    gateway_with(extra, ("", ""), |builder| builder).await
}

/// `own`: a kind, and what else its entry has.
async fn gateway_with(extra: &str, own: (&str, &str), build: impl FnOnce(Builder) -> Builder) -> Gateway {
    let (upstream, second) = (Upstream::start().await, Upstream::start().await);
    second.answer_with(|request| if request.json()["stream"] == true { Script::streams(&["second"]) } else { Script::says("second") });
    let mut config = format!("{extra}\n[providers.second]\nkind = \"openai\"\nbase_url = \"{}\"\n", second.url());
    for kind in KINDS {
        let (url, more) = (upstream.url(), if kind == own.0 { own.1 } else { "" });
        let model = if kind == "anthropic" { "claude-sonnet-4-5" } else { "gemini-2.5-flash" };
        let primary = format!("{{ provider = \"{kind}\", model = \"{model}\" }}");
        let chain = format!("primary = {primary}, fallbacks = [ {{ provider = \"second\", model = \"m\" }} ]");
        config += &format!(
            "[providers.{kind}]\nbase_url = \"{url}\"\n{more}\n[[pipelines]]\nid = \"{kind}\"\npipeline = [ {{ stage = \"llm\", config = {{ {chain} }} }} ]\n"
        );
    }
    let server = build(Server::with(&config)).start();
    let client = Client::of(server.address);
    Gateway { upstream, second, client, server }
}

impl Gateway {
    /// How often the upstream and the second provider were asked.
    fn asked(&self) -> (usize, usize) {
        (self.upstream.requests().len(), self.second.requests().len())
    }

    /// The events of a stream that ended as HTTP says.
    async fn stream(&self, model: &str, extra: Value) -> Events {
        Events(self.client.chat_stream(model, "hi", extra).await.all().await.expect("the connection ends as HTTP says"))
    }

    /// A response of the Responses API, whole.
    async fn response(&self, model: &str) -> Value {
        self.client.post("/v1/responses", &json!({"model": model, "input": "hi"})).await.ok().json()
    }
}

/// The data of a stream's events.
struct Events(Vec<String>);

impl Events {
    fn chunks(&self) -> Vec<Value> {
        self.0.iter().filter(|event| *event != "[DONE]").map(|event| serde_json::from_str(event).expect("JSON")).collect()
    }

    fn is_done(&self) -> bool {
        self.0.last().is_some_and(|event| event == "[DONE]")
    }

    fn text(&self) -> String {
        self.joined("content")
    }

    fn reasons(&self) -> Vec<String> {
        self.chunks().iter().filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str().map(str::to_owned)).collect()
    }

    /// What a field of the deltas comes to.
    fn joined(&self, field: &str) -> String {
        self.chunks().iter().filter_map(|chunk| chunk["choices"][0]["delta"][field].as_str().map(str::to_owned)).collect()
    }

    /// The code of the error that ended it.
    fn error(&self) -> Option<String> {
        self.chunks().last()?["error"]["code"].as_str().map(str::to_owned)
    }
}

fn chunk(delta: Value, reason: Option<&str>) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
}

fn completion(message: Value, reason: &str) -> Value {
    json!({"id": "c", "object": "chat.completion", "created": 5, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})
}

/// A stream of these events, with `[DONE]`.
fn done(events: &[Value]) -> Script {
    ended(events, true)
}

/// A stream of these events, as Gemini ends it.
fn undone(events: &[Value]) -> Script {
    ended(events, false)
}

fn ended(events: &[Value], mark: bool) -> Script {
    let script = events.iter().fold(Script::stream(), |script, event| script.event(&event.to_string()));
    if mark { script.event("[DONE]").end() } else { script.end() }
}

/// Anthropic's events.
fn named(events: &[Value]) -> Script {
    let event =
        |script: Script, event: &Value| script.piece(format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a type")));
    events.iter().fold(Script::stream(), event).end()
}

/// Anthropic's whole message.
fn message(content: Value, reason: &str) -> Value {
    json!({"id": "m", "type": "message", "role": "assistant", "model": "c", "content": content, "stop_reason": reason,
        "usage": {"input_tokens": 3, "output_tokens": 1}})
}

/// A reply of Gemini's with one candidate.
fn candidate(content: Value, reason: &str) -> Value {
    let mut candidate = json!({"index": 0, "finishReason": reason});
    if !content.is_null() {
        candidate["content"] = content;
    }
    json!({"candidates": [candidate], "usageMetadata": {"promptTokenCount": 8, "totalTokenCount": 8}, "modelVersion": "g", "responseId": "r"})
}
