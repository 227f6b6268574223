//! Items of the conformance list that only the whole gateway can show: a provider of every kind behind the real server, byte by byte.
//! What one decoder does is tested beside it; these tests see end marks, names, usage, hang-ups and hooks as a client does.

use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::server::{PATIENCE, Server};
use crate::upstream::{Script, Upstream};

const KINDS: [&str; 5] = ["openai", "anthropic", "gemini", "azure-openai", "workers-ai"];

/// A server whose model of each kind's name asks that kind of provider at `upstream`, and whose `chain` asks Anthropic, then Gemini.
struct Gateway {
    upstream: Upstream,
    client: Client,
    server: Server,
}

async fn gateway(limits: &str) -> Gateway {
    let upstream = Upstream::start().await;
    let mut config = format!("[limits.providers]\n{limits}\n");
    for kind in KINDS {
        let api = if kind == "azure-openai" { "api_version = \"2024-10-21\"\n" } else { "" };
        config += &format!(
            "[providers.{kind}]\nkind = \"{kind}\"\nbase_url = \"{}\"\n{api}[[pipelines]]\nid = \"{kind}\"\n\
             pipeline = [ {{ stage = \"llm\", config = {{ primary = {{ provider = \"{kind}\", model = \"m\" }} }} }} ]\n",
            upstream.url()
        );
    }
    config += &format!("[providers.azure-v1]\nkind = \"azure-openai\"\nbase_url = \"{}\"\n", upstream.url());
    let stage =
        |more: &str| format!("{{ stage = \"llm\", config = {{ primary = {{ provider = \"anthropic\", model = \"m\" }}, {more} }} }}");
    let gemini = "fallbacks = [ { provider = \"gemini\", model = \"m\" } ]";
    // The second one needs the whole reply, so that both get it.
    let hook = "{ stage = \"post_hook\", config = { function_ids = [\"redact-pii\", \"noop-post\"] } }";
    for (id, stages) in [
        ("chain", stage(gemini)),
        ("hedged", stage(&format!("{gemini}, hedge_after = \"1ms\""))),
        ("azure-v1", "{ stage = \"llm\", config = { primary = { provider = \"azure-v1\", model = \"m\" } } }".to_owned()),
        ("redacted", format!("{{ stage = \"llm\", config = {{ primary = {{ provider = \"openai\", model = \"m\" }} }} }}, {hook}")),
    ] {
        config += &format!("[[pipelines]]\nid = \"{id}\"\npipeline = [ {stages} ]\n");
    }
    let server = Server::with(&config).plugin("redact-pii").plugin("noop_post").start();
    Gateway { upstream, client: Client::of(server.address), server }
}

/// One attempt at each provider, and no circuits.
const ONCE: &str = "retries = 0\ncircuit_failures = 0";

/// A stream of Gemini, which has no end mark.
fn gemini(words: &[&str]) -> Script {
    let part = |word: &str| {
        let candidate = json!({"index": 0, "content": {"role": "model", "parts": [{"text": word}]}});
        json!({"candidates": [candidate], "responseId": "g-1", "modelVersion": "gemini-x"}).to_string()
    };
    let script = words.iter().fold(Script::stream(), |script, word| script.event(&part(word)));
    let usage = json!({"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7});
    script.event(&json!({"candidates": [{"index": 0, "finishReason": "STOP"}], "usageMetadata": usage}).to_string()).end()
}

/// A whole reply of each kind that says `hello`.
fn whole(kind: &str) -> Value {
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7});
    match kind {
        "anthropic" => json!({"type": "message", "id": "a-1", "model": "claude-x", "role": "assistant", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "hello"}], "usage": {"input_tokens": 5, "output_tokens": 2}}),
        "gemini" => {
            json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}})
        }
        _ => json!({"id": "o-1", "object": "chat.completion", "created": 5, "model": "m-x", "usage": usage,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}),
    }
}

/// The JSON of every event but the end mark.
fn chunks(events: &[String]) -> Vec<Value> {
    events.iter().filter(|event| *event != "[DONE]").map(|event| serde_json::from_str(event).expect("JSON")).collect()
}

fn reasons(chunks: &[Value]) -> Vec<&str> {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str()).collect()
}

async fn in_time(event: impl Future<Output = ()>) {
    tokio::time::timeout(PATIENCE, event).await.expect("it happens");
}

#[tokio::test]
async fn c40_a_stream_without_an_end_mark_gets_one_and_a_cut_one_does_not() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    upstream.next(gemini(&["hel", "lo"]));
    let events = client.chat_stream("gemini", "hi", json!({})).await.all().await.expect("a whole stream");
    assert_eq!((text_of(&events).as_str(), reasons(&chunks(&events))), ("hello", vec!["stop"]));
    let begun = json!({"candidates": [{"index": 0, "content": {"parts": [{"text": "hel"}]}}]});
    upstream.next(Script::stream().event(&begun.to_string()).end());
    let events = client.chat_stream("gemini", "hi", json!({})).await.all().await.expect("the connection ends as HTTP says");
    assert!(!events.contains(&"[DONE]".to_owned()) && reasons(&chunks(&events)).is_empty(), "{events:?}");
    assert_eq!(chunks(&events).last().expect("an error")["error"]["code"], "upstream_cut");
}

#[tokio::test]
async fn c41_an_error_after_the_first_token_ends_the_stream_in_an_error() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    let error = json!({"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}).to_string();
    let part = json!({"candidates": [{"index": 0, "content": {"parts": [{"text": "hel"}]}}]}).to_string();
    upstream.next(Script::stream().event(&part).event(&error).end());
    let events = client.chat_stream("gemini", "hi", json!({})).await.all().await.expect("the connection ends as HTTP says");
    let chunks = chunks(&events);
    assert_eq!(chunks.last().expect("an error")["error"]["code"], "upstream_error");
    assert!(!events.contains(&"[DONE]".to_owned()) && reasons(&chunks).is_empty(), "{events:?}");
}

#[tokio::test]
async fn c48_a_page_of_html_becomes_an_error_without_html() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    upstream.always(Script::reply(
        503,
        &[("content-type", "text/html")],
        "<html><body>Our services aren't available right now</body></html>",
    ));
    for kind in KINDS {
        let whole = client.chat(kind, "hi", json!({})).await;
        let streamed = client.chat_stream(kind, "hi", json!({})).await.answer().await;
        for answer in [whole, streamed] {
            assert!(answer.status.is_server_error() && !answer.text().contains("<html>"), "{kind}: {answer:?}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{kind}");
        }
    }
}

#[tokio::test]
async fn c50_azures_dated_api_and_its_v1_are_asked_at_their_own_urls() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    upstream.always(Script::json(200, &whole("azure-openai")));
    for model in ["azure-openai", "azure-v1"] {
        assert_eq!(client.chat(model, "hi", json!({})).await.ok().content(), "hello");
    }
    let paths: Vec<String> = upstream.requests().iter().map(|request| request.path.clone()).collect();
    assert_eq!(paths, ["/v1/openai/deployments/m/chat/completions?api-version=2024-10-21", "/v1/chat/completions"]);
    assert_eq!(upstream.requests()[1].json()["model"], "m");
}

#[tokio::test]
async fn c56_a_whole_reply_to_a_client_that_wants_a_stream_becomes_one_whoever_answers() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    for kind in KINDS {
        for pretty in [false, true] {
            let body = whole(kind);
            let body = if pretty { serde_json::to_string_pretty(&body).expect("JSON") } else { body.to_string() };
            upstream.next(Script::reply(200, &[("content-type", "application/json; charset=utf-8")], body));
            let wanted = json!({"stream_options": {"include_usage": true}});
            let events = client.chat_stream(kind, "hi", wanted).await.all().await.expect("a whole stream");
            assert_eq!(text_of(&events), "hello", "{kind}");
            let chunks = chunks(&events);
            assert_eq!((reasons(&chunks), &chunks[0]["choices"][0]["delta"]["role"]), (vec!["stop"], &json!("assistant")), "{kind}");
            assert_eq!(chunks.last().expect("chunks")["usage"]["total_tokens"], 7, "{kind}");
        }
    }
}

#[tokio::test]
async fn c57_usage_is_in_a_stream_only_where_it_was_asked_for_and_then_last() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}).to_string();
    let openai =
        || Script::stream().event(&crate::upstream::delta("hello")).event(&crate::upstream::finish()).event(&usage).event("[DONE]").end();
    for kind in ["openai", "gemini"] {
        for wanted in [false, true] {
            upstream.next(if kind == "openai" { openai() } else { gemini(&["hel", "lo"]) });
            let extra = if wanted { json!({"stream_options": {"include_usage": true}}) } else { json!({}) };
            let events = client.chat_stream(kind, "hi", extra).await.all().await.expect("a whole stream");
            assert_eq!(text_of(&events), "hello");
            let chunks = chunks(&events);
            let with_usage: Vec<usize> = (0..chunks.len()).filter(|at| !chunks[*at]["usage"].is_null()).collect();
            assert_eq!(with_usage, if wanted { vec![chunks.len() - 1] } else { vec![] }, "{kind}: {events:?}");
            if wanted {
                assert_eq!((&chunks[with_usage[0]]["usage"]["total_tokens"], &chunks[with_usage[0]]["choices"]), (&json!(7), &json!([])));
            } else {
                assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()), "{kind}: {events:?}");
            }
        }
    }
}

#[tokio::test]
async fn c58_a_stream_has_one_name_also_after_a_fallback_to_another_dialect() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    let start = r#"{"type":"message_start","message":{"id":"msg_1","model":"claude-x","usage":{"input_tokens":1}}}"#;
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    for failure in [
        Script::json(529, &serde_json::from_str(overloaded).expect("JSON")),
        // The provider has sent the head of its reply, and fails before any content.
        Script::stream().event(start).event(overloaded).end(),
        Script::stream().event(start).cut(),
    ] {
        upstream.next(failure).next(gemini(&["hel", "lo"]));
        let stream = client.chat_stream("chain", "hi", json!({})).await;
        assert_eq!(stream.headers["x-cofferdam-provider"], "gemini");
        let events = stream.all().await.expect("a whole stream");
        assert_eq!(text_of(&events), "hello");
        let chunks = chunks(&events);
        assert!(chunks.iter().all(|chunk| chunk["id"] == "g-1" && chunk["model"] == "gemini-x"), "{events:?}");
        assert_eq!(reasons(&chunks), ["stop"]);
    }
}

#[tokio::test]
async fn c59_hanging_up_before_the_first_event_hangs_up_on_every_kind_of_provider() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    for kind in KINDS {
        for stream in [true, false] {
            upstream.next(Script::default().hang());
            gone_once(&client, kind, stream, upstream.received()).await;
            in_time(upstream.hung_up()).await;
        }
    }
}

#[tokio::test]
async fn c59_hanging_up_ends_a_try_again_and_asks_nobody_else() {
    let Gateway { upstream, client, server: _server } = gateway("retries = 1\nretry_backoff = \"1ms\"\ncircuit_failures = 0").await;
    for stream in [true, false] {
        let before = upstream.requests().len();
        upstream.next(Script::reply(503, &[], "")).next(Script::default().hang());
        gone_once(&client, "chain", stream, async {
            upstream.received().await;
            upstream.received().await;
        })
        .await;
        in_time(upstream.hung_up()).await;
        assert_eq!(upstream.requests().len() - before, 2, "the fallback is not asked for a client that is gone");
    }
}

#[tokio::test]
async fn c59_hanging_up_ends_both_of_a_hedge() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    for stream in [true, false] {
        upstream.next(Script::default().hang()).next(Script::default().hang());
        gone_once(&client, "hedged", stream, async {
            upstream.received().await;
            upstream.received().await;
        })
        .await;
        in_time(upstream.hung_up()).await;
        in_time(upstream.hung_up()).await;
    }
}

/// Sends a request, and hangs up as soon as `seen` completes.
async fn gone_once(client: &Client, model: &str, stream: bool, seen: impl Future<Output = ()>) {
    let asking = async {
        if stream {
            client.chat_stream(model, "hi", json!({})).await;
        } else {
            client.chat(model, "hi", json!({})).await;
        }
    };
    tokio::select! {
        () = asking => panic!("nobody answered"),
        () = seen => {}
    }
}

/// A provider's reply with two choices, each with something to redact and the second with a tool call, indented as OpenAI does.
fn two_choices() -> String {
    let call = json!({"id": "t", "type": "function", "function": {"name": "mail", "arguments": "{\"to\":\"jane@example.com\"}"}});
    let choice =
        |index: u32, text: &str| json!({"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
    let mut second = choice(1, "Or to john@example.org, whoever is there.");
    second["message"]["tool_calls"] = json!([call]);
    second["finish_reason"] = json!("tool_calls");
    let body = json!({"id": "o-1", "object": "chat.completion", "created": 5, "model": "m-x",
        "choices": [choice(0, "Write to jane@example.com, please."), second],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}});
    serde_json::to_string_pretty(&body).expect("JSON")
}

const REDACTED: [&str; 2] = ["Write to [redacted e-mail], please.", "Or to [redacted e-mail], whoever is there."];

#[tokio::test]
async fn c60_a_hook_guards_every_choice() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    upstream.always(Script::reply(200, &[("content-type", "application/json")], two_choices()));
    let answer = client.chat("redacted", "hi", json!({"n": 2})).await.ok().json();
    let text = [0, 1].map(|at| answer["choices"][at]["message"]["content"].as_str().expect("text").to_owned());
    assert_eq!(text, REDACTED);
    let events = client.chat_stream("redacted", "hi", json!({"n": 2})).await.all().await.expect("a whole stream");
    assert_eq!([0, 1].map(|index| content_of(&chunks(&events), index)), REDACTED);
    assert!(!events[..].concat().contains("john@"), "{events:?}");
}

#[tokio::test]
async fn c61_a_hooks_edit_keeps_usage_and_calls() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    upstream.always(Script::reply(200, &[("content-type", "application/json")], two_choices()));
    let sent: Value = serde_json::from_str(&two_choices()).expect("JSON");
    let answer = client.chat("redacted", "hi", json!({"n": 2})).await.ok().json();
    let call = |reply: &Value| reply["choices"][1]["message"]["tool_calls"].clone();
    assert_eq!((&answer["usage"], call(&answer)), (&sent["usage"], call(&sent)));
    assert_eq!(answer["choices"][1]["finish_reason"], "tool_calls");
    let wanted = json!({"n": 2, "stream_options": {"include_usage": true}});
    let chunks = chunks(&client.chat_stream("redacted", "hi", wanted).await.all().await.expect("a whole stream"));
    assert_eq!(chunks.last().expect("chunks")["usage"], sent["usage"]);
    let entries = || chunks.iter().flat_map(|chunk| chunk["choices"].as_array().expect("a list"));
    let calls: Vec<&Value> = entries().filter_map(|choice| choice["delta"]["tool_calls"].get(0)).collect();
    assert_eq!((calls.len(), &calls[0]["function"]), (1, &call(&sent)[0]["function"]));
    let ends: Vec<&str> = entries().filter_map(|choice| choice["finish_reason"].as_str()).collect();
    assert_eq!(ends, ["stop", "tool_calls"]);
}

/// A post-hook sees whole replies, so nothing that is split over deltas gets past it. The provider is not even asked for a stream.
#[tokio::test]
async fn c62_a_secret_that_would_be_split_over_three_chunks_is_caught() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    // It is longer than one delta of the stream, and split at another place in each case.
    let card = "4111 1111 1111 1111";
    for lead in 0..30 {
        let text = format!("{}pay with {card} and write to a.very.long.name.of.somebody@mail.example.com today.", "x ".repeat(lead));
        let mut body = whole("openai");
        body["choices"][0]["message"]["content"] = json!(text);
        upstream.next(Script::json(200, &body));
        let events = client.chat_stream("redacted", "hi", json!({})).await.all().await.expect("a whole stream");
        assert_eq!(text_of(&events), format!("{}pay with [redacted card] and write to [redacted e-mail] today.", "x ".repeat(lead)));
    }
    assert!(upstream.requests().iter().all(|request| request.json()["stream"] != true));
    // If a provider streams all the same, its answer is not used, and nothing of it reaches the client.
    let pieces = ["pay with 4111 11", "11 1111", " 1111"];
    upstream.next(Script::streams(&pieces));
    let answer = client.chat_stream("redacted", "hi", json!({})).await.answer().await;
    assert!(answer.status.is_server_error() && !answer.text().contains("1111"), "{answer:?}");
}

/// The text of one choice of a stream.
fn content_of(chunks: &[Value], index: u32) -> String {
    let entries = chunks.iter().flat_map(|chunk| chunk["choices"].as_array().expect("a list"));
    entries.filter(|choice| choice["index"] == index).filter_map(|choice| choice["delta"]["content"].as_str()).collect()
}

/// What a response repeats of its request can hold the line breaks of the client's own JSON.
#[tokio::test]
async fn a_request_printed_for_people_tears_no_event_of_its_response() {
    let Gateway { upstream, client, server: _server } = gateway(ONCE).await;
    upstream.next(Script::streams(&["hello"]));
    let tool = json!({"type": "function", "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}});
    let body = json!({"model": "openai", "stream": true, "input": "hi", "tools": [tool], "metadata": {"a": "b"}});
    let body = serde_json::to_string_pretty(&body).expect("JSON");
    let stream = client.open(hyper::Method::POST, "/v1/responses", Some("application/json"), body.into()).await.expect("an answer");
    let events = stream.all().await.expect("a whole stream");
    let last: Value = serde_json::from_str(events.last().expect("events")).expect("whole JSON in one event");
    assert_eq!(last["type"], "response.completed");
}
