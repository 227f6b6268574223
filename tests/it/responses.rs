//! The Responses API through the real server: whole and streamed, tools over two turns, hooks and switches, hang-ups, breaks, refusals.
//! Every mapping is tested in the room `http`; these tests show what only the whole gateway can.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client, Streaming};
use crate::server::{PATIENCE, Server};
use crate::upstream::{Script, Upstream, delta};

const PATH: &str = "/v1/responses";

/// A server whose model `p` asks a provider, and whose model `redacted` asks it and redacts its reply.
struct Gateway {
    upstream: Upstream,
    client: Client,
    server: Server,
}

async fn gateway(extra: &str) -> Gateway {
    let upstream = Upstream::start().await;
    let config = format!(
        r#"
        {extra}
        [providers.up]
        kind = "openai"
        base_url = "{}"
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }} ]
        [[pipelines]]
        id = "redacted"
        pipeline = [
            {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }},
            {{ stage = "post_hook", config = {{ function_id = "redact-pii" }} }},
        ]
        "#,
        upstream.url()
    );
    let server = Server::with(&config).plugin("redact-pii").start();
    let client = Client::of(server.address);
    Gateway { upstream, client, server }
}

async fn whole(client: &Client, body: Value) -> Answer {
    client.post(PATH, &body).await
}

async fn streamed(client: &Client, mut body: Value) -> Streaming {
    body["stream"] = true.into();
    client.open(Method::POST, PATH, Some("application/json"), Bytes::from(body.to_string())).await.expect("the server answers")
}

async fn events(client: &Client, body: Value) -> Vec<Value> {
    let events = streamed(client, body).await.all().await.expect("a whole stream");
    events.iter().map(|event| serde_json::from_str(event).expect("JSON")).collect()
}

/// The text of the first message.
fn text(response: &Value) -> &str {
    let output = response["output"].as_array().expect("a list");
    let message = output.iter().find(|item| item["type"] == "message").expect("a message");
    message["content"][0]["text"].as_str().expect("text")
}

fn ends(events: &[Value], kind: &str) -> Value {
    let last = events.last().expect("events");
    assert_eq!(last["type"], kind, "{events:?}");
    last["response"].clone()
}

#[tokio::test]
async fn a_response_comes_whole_and_says_who_answered() {
    let Gateway { upstream, client, server: _server } = gateway("").await;
    upstream.next(Script::says("hello"));
    let answer =
        whole(&client, json!({"model": "p", "instructions": "be brief", "input": "hi", "max_output_tokens": 16, "seed": 7})).await.ok();
    assert_eq!((answer.header("x-cofferdam-provider"), answer.header("content-type")), (Some("up"), Some("application/json")));
    let response = answer.json();
    assert_eq!((text(&response), &response["status"], &response["usage"]["input_tokens"]), ("hello", &json!("completed"), &json!(1)));
    let sent = upstream.requests()[0].json();
    let expected = json!({"model": "m", "stream": false, "max_completion_tokens": 16, "seed": 7,
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]});
    assert_eq!(sent, expected);
    let metrics = client.get("/metrics").await.ok().text();
    assert!(metrics.contains("route=\"responses\""), "{metrics}");
}

#[tokio::test]
async fn a_response_streams_as_it_is_said_and_always_with_its_usage() {
    let Gateway { upstream, client, server } = gateway("").await;
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}}).to_string();
    upstream.next(Script::stream().event(&delta("one")).piece(": ping\n\n").event(&delta(" two")).event(&usage).event("[DONE]").end());
    let events = events(&client, json!({"model": "p", "input": "hi"})).await;
    let streamed: String =
        events.iter().filter(|event| event["type"] == "response.output_text.delta").filter_map(|e| e["delta"].as_str()).collect();
    let response = ends(&events, "response.completed");
    assert_eq!((streamed.as_str(), text(&response), &response["usage"]["total_tokens"]), ("one two", "one two", &json!(6)));
    assert!(events.iter().zip(0..).all(|(event, at)| event["sequence_number"] == at), "{events:?}");
    assert_eq!(upstream.requests()[0].json()["stream_options"], json!({"include_usage": true}));
    assert!(server.wait_for_log("POST responses answered 200").contains("done"));
}

#[tokio::test]
async fn a_tool_is_called_and_its_output_goes_back_with_the_next_turn() {
    let Gateway { upstream, client, server: _server } = gateway("").await;
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Oslo\"}"}});
    let mut piece = call.clone();
    piece["index"] = 0.into();
    let chunk = json!({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": null}]}).to_string();
    let finish = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}).to_string();
    let tool = json!({"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": false});
    for stream in [false, true] {
        let body = json!({"model": "p", "input": "How is the weather?", "tools": [tool], "tool_choice": "required"});
        let response = if stream {
            upstream.next(Script::stream().event(&chunk).event(&finish).event("[DONE]").end());
            ends(&events(&client, body).await, "response.completed")
        } else {
            let message = json!({"role": "assistant", "content": null, "tool_calls": [call]});
            upstream.next(Script::json(200, &json!({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})));
            whole(&client, body).await.ok().json()
        };
        let item = &response["output"][0];
        assert_eq!((&item["type"], &item["call_id"], &item["name"]), (&json!("function_call"), &json!("call_1"), &json!("weather")));
        upstream.next(Script::says("cold"));
        let mut input = vec![json!({"role": "user", "content": "How is the weather?"})];
        input.extend(response["output"].as_array().expect("a list").clone());
        input.push(json!({"type": "function_call_output", "call_id": "call_1", "output": "-3"}));
        let answer = whole(&client, json!({"model": "p", "input": input, "tools": [tool]})).await.ok().json();
        assert_eq!(text(&answer), "cold");
        let sent = upstream.requests().last().expect("asked").json();
        let expected = json!([
            {"role": "user", "content": "How is the weather?"},
            {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "content": "-3", "tool_call_id": "call_1"},
        ]);
        assert_eq!(sent["messages"], expected);
        assert_eq!(sent["tools"][0]["function"]["name"], "weather");
    }
}

#[tokio::test]
async fn hooks_see_a_response_before_the_client_does_and_are_switched_as_ever() {
    let Gateway { upstream, client, server: _server } = gateway("").await;
    upstream.always(Script::says("Write to jane@example.com."));
    let body = json!({"model": "redacted", "input": "hi"});
    assert_eq!(text(&whole(&client, body.clone()).await.ok().json()), "Write to [redacted e-mail].");
    let events = events(&client, body.clone()).await;
    assert!(!format!("{events:?}").contains("jane@"), "{events:?}");
    assert_eq!(text(&ends(&events, "response.completed")), "Write to [redacted e-mail].");
    let mut off = body.clone();
    off["pipeline"] = json!({"post_hook": false});
    assert_eq!(text(&whole(&client, off).await.ok().json()), "Write to jane@example.com.");
    let header = client.clone().header("x-cofferdam-stages", "post_hook=off");
    assert_eq!(text(&whole(&header, body).await.ok().json()), "Write to jane@example.com.");
}

#[tokio::test]
async fn hanging_up_on_a_response_hangs_up_on_the_provider() {
    let Gateway { upstream, client, server } = gateway("").await;
    upstream.next(Script::stream().event(&delta("one")).hang());
    let mut stream = streamed(&client, json!({"model": "p", "input": "hi"})).await;
    for kind in ["created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"] {
        let event = stream.next().await.expect("a stream").expect("an event");
        assert!(event.contains(&format!("\"response.{kind}\"")), "{event}");
    }
    drop(stream);
    tokio::time::timeout(PATIENCE, upstream.hung_up()).await.expect("the provider is left");
    server.wait_for_log("client_gone");
}

#[tokio::test]
async fn a_stream_that_breaks_ends_as_a_failed_response() {
    let Gateway { upstream, client, server } = gateway("[limits.http]\nresponse_bytes = \"1KiB\"").await;
    let broken = json!({"error": {"message": "overloaded"}}).to_string();
    for (script, code) in [
        (Script::stream().event(&delta("one")).cut(), "upstream_cut"),
        (Script::stream().event(&delta("one")).event(&broken).end(), "upstream_error"),
        (Script::stream().event(&delta("one")).event("half").end(), "upstream_garbled"),
        (Script::stream().event(&delta("one")).event(&delta(&"x".repeat(1024))).hang(), "response_too_large"),
    ] {
        upstream.next(script);
        let events = events(&client, json!({"model": "p", "input": "hi"})).await;
        let response = ends(&events, "response.failed");
        assert_eq!((&response["status"], &response["error"]["code"]), (&json!("failed"), &json!("server_error")), "{code}");
        assert_eq!((text(&response), &response["output"][0]["status"]), ("one", &json!("incomplete")), "{code}");
        assert!(response["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{code}");
        server.wait_for_log(&format!("outcome=\"{code}\""));
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_in_openais_envelope() {
    let Gateway { upstream, client, server: _server } = gateway("[limits.providers]\nretries = 0\ncircuit_failures = 0").await;
    let body = |extra: Value| {
        let mut body = json!({"model": "p", "input": "hi"});
        body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        body
    };
    let cases = [
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
        (json!({"conversation": "conv_1"}), "conversation"),
        (json!({"background": true}), "background"),
        (json!({"truncation": "auto"}), "truncation"),
        (json!({"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}), "tool_choice.type"),
        (json!({"input": [{"type": "item_reference", "id": "msg_1"}]}), "input[0]"),
        (json!({"messages": []}), "messages"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"pipeline": {"rag": 1}}), "pipeline.rag"),
    ];
    for (extra, param) in cases {
        let answers = [whole(&client, body(extra.clone())).await, streamed(&client, body(extra)).await.answer().await];
        for answer in answers {
            assert_eq!((answer.refused(400).as_str(), &answer.json()["error"]["param"]), ("invalid_value", &json!(param)));
        }
    }
    assert_eq!(whole(&client, body(json!({"model": "nobody"}))).await.refused(404), "model_not_found");
    assert_eq!(client.get(PATH).await.refused(405), "method_not_allowed");
    assert!(upstream.requests().is_empty(), "nobody was asked");
    upstream.next(Script::json(200, &json!({"no": "completion"})));
    assert_eq!(whole(&client, body(json!({}))).await.refused(502), "provider_garbled");
    upstream.next(Script::reply(429, &[("retry-after", "7")], json!({"error": {"message": "slow down", "code": "theirs"}}).to_string()));
    let limited = streamed(&client, body(json!({}))).await.answer().await;
    assert_eq!((limited.refused(429).as_str(), limited.header("retry-after")), ("theirs", Some("7")));
}
