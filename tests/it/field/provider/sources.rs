//! What belongs to Anthropic's API alone: marks and counts of its cache, its own searches and their sources, features in beta; and keys as files
//! on Windows hold them.

use serde_json::{Value, json};

use super::*;

fn marks(value: &Value) -> usize {
    match value {
        Value::Object(fields) => usize::from(fields.get("cache_control") == Some(&mark())) + fields.values().map(marks).sum::<usize>(),
        Value::Array(items) => items.iter().map(marks).sum(),
        _ => 0,
    }
}

fn mark() -> Value {
    json!({"type": "ephemeral", "ttl": "1h"})
}

/// Case 23.
#[tokio::test]
async fn marks_of_the_cache_arrive_and_what_is_written_to_it_is_told() {
    let gateway = gateway(ONCE).await;
    let mut reply = message(json!([{"type": "text", "text": "ok"}]), "end_turn");
    reply["usage"] = json!({"input_tokens": 5, "output_tokens": 1, "cache_creation_input_tokens": 2000, "cache_read_input_tokens": 300});
    let function = json!({"name": "f", "parameters": {"type": "object", "properties": {}}});
    let mut marked = function.clone();
    marked["cache_control"] = mark();
    let part = json!([{"type": "text", "text": "long", "cache_control": mark()}]);
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}, "cache_control": mark()});
    for ask in [
        json!({"cache_control": mark()}),
        json!({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c", "content": "r"}], "tools": [{"type": "function", "function": function}]}),
        json!({"messages": [{"role": "system", "content": part}, {"role": "user", "content": "hi"}]}),
        json!({"messages": [{"role": "user", "content": part}]}),
        json!({"messages": [{"role": "user", "content": "hi", "cache_control": mark()}]}),
        json!({"tools": [{"type": "function", "function": function, "cache_control": mark()}]}),
        json!({"tools": [{"type": "function", "function": marked}]}),
    ] {
        gateway.upstream.next(Script::json(200, &reply));
        let usage = gateway.client.chat("anthropic", "hi", ask.clone()).await.ok().json()["usage"].clone();
        assert_eq!(marks(&gateway.upstream.requests().pop().expect("a request").json()), 1, "{ask}");
        assert_eq!((&usage["prompt_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]), (&json!(2305), &json!(300)));
        assert_eq!(usage["prompt_tokens_details"]["cache_write_tokens"], 2000);
    }
    gateway.upstream.next(Script::json(200, &reply));
    assert_eq!(gateway.response("anthropic").await["usage"]["input_tokens_details"]["cache_write_tokens"], 2000);
}

/// Case 44.
#[tokio::test]
async fn a_search_of_anthropic_s_own_is_no_call_and_its_sources_arrive() {
    let gateway = gateway(ONCE).await;
    let citation =
        json!({"type": "web_search_result_location", "url": "https://a.example", "title": "A", "cited_text": "The sky is blue."});
    let blocks = json!([
        {"type": "text", "text": "I look it up. "},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "sky"}},
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"type": "web_search_result", "url": "https://a.example", "title": "A"}]},
        {"type": "text", "text": "It is blue.", "citations": [citation]},
    ]);
    let block = |at: u32, block: Value, deltas: Vec<Value>| {
        let start = json!({"type": "content_block_start", "index": at, "content_block": block});
        let deltas = deltas.into_iter().map(|delta| json!({"type": "content_block_delta", "index": at, "delta": delta}));
        std::iter::once(start)
            .chain(deltas.collect::<Vec<_>>())
            .chain([json!({"type": "content_block_stop", "index": at})])
            .collect::<Vec<_>>()
    };
    let text = |text: &str| json!({"type": "text_delta", "text": text});
    let events = [
        vec![json!({"type": "message_start", "message": {"id": "m", "model": "c"}})],
        block(0, json!({"type": "text", "text": ""}), vec![text("I look it up. ")]),
        block(
            1,
            json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
            vec![json!({"type": "input_json_delta", "partial_json": "{}"})],
        ),
        block(2, json!({"type": "text", "text": ""}), vec![json!({"type": "citations_delta", "citation": citation}), text("It is blue.")]),
        vec![json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}), json!({"type": "message_stop"})],
    ];
    gateway.upstream.next(Script::json(200, &message(blocks, "end_turn"))).next(named(&events.concat()));
    let ask =
        json!({"web_search_options": {"search_context_size": "low"}, "tools": [{"type": "function", "function": {"name": "web_search"}}]});
    let reply = gateway.client.chat("anthropic", "hi", ask).await.ok().json();
    let tools = gateway.upstream.requests()[0].json()["tools"].clone();
    assert_eq!(tools[1], json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 1}));
    assert_eq!(tools[0]["name"], "web_search_2", "the client's own tool of that name gets another one");
    let message = &reply["choices"][0]["message"];
    let expected =
        json!({"type": "url_citation", "url_citation": {"start_index": 14, "end_index": 25, "url": "https://a.example", "title": "A"}});
    assert_eq!((&message["content"], &message["annotations"]), (&json!("I look it up. It is blue."), &json!([expected])));
    assert_eq!((message.get("tool_calls"), &reply["choices"][0]["finish_reason"]), (None, &json!("stop")));
    let events = gateway.stream("anthropic", json!({})).await;
    assert_eq!((events.text().as_str(), events.reasons()), ("I look it up. It is blue.", vec!["stop".to_owned()]));
    let chunks = events.chunks();
    let annotation = chunks.iter().find_map(|chunk| chunk["choices"][0]["delta"]["annotations"].as_array().cloned());
    assert_eq!(annotation.expect("a source")[0]["url_citation"], expected["url_citation"]);
    // The vendor's own tool, for clients that know whom they speak to.
    gateway.upstream.next(Script::json(200, &super::message(json!([{"type": "text", "text": "ok"}]), "end_turn")));
    let own = json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 2});
    gateway.client.chat("anthropic", "hi", json!({"tools": [own]})).await.ok();
    assert_eq!(gateway.upstream.requests().pop().expect("a request").json()["tools"], json!([own]));
}

/// Case 49: the operator names the features in beta, the client asks for thought.
#[tokio::test]
async fn features_in_beta_are_the_operators_and_thought_is_the_clients() {
    let beta = "anthropic_beta = [\"context-1m-2025-08-07\", \"interleaved-thinking-2025-05-14\"]\n";
    let gateway = gateway_with(ONCE, ("anthropic", beta), |builder| builder).await;
    let blocks = json!([{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "ok"}]);
    gateway.upstream.next(Script::json(200, &message(blocks, "end_turn")));
    let ask = json!({"thinking": {"type": "enabled", "budget_tokens": 2048}, "max_tokens": 4096});
    let client = Client::of(gateway.server.address).header("anthropic-beta", "of-the-client");
    let reply = client.chat("anthropic", "hi", ask).await.ok().json()["choices"][0]["message"].clone();
    assert_eq!((&reply["reasoning_content"], reply["thinking_blocks"].as_array().map(Vec::len)), (&json!("hm"), Some(1)));
    let sent = gateway.upstream.requests().pop().expect("a request");
    assert_eq!(sent.header("anthropic-beta"), Some("context-1m-2025-08-07,interleaved-thinking-2025-05-14"));
    assert_eq!(sent.json()["thinking"]["budget_tokens"], 2048);
}

/// Case 62.
#[tokio::test]
async fn a_key_is_read_from_whatever_form_its_file_has() {
    for form in ["sk-good-0123456789\r\n", "\u{feff}sk-good-0123456789\n", "\"sk-good-0123456789\"\n", "'sk-good-0123456789'\r\n"] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("KEY"), form).expect("written");
        let secrets = format!("secret_dir = {:?}\n", folder.path());
        let own = "secret_key_name = \"KEY\"\nauth = \"x-api-key\"\n";
        let gateway = gateway_with(&format!("{secrets}{ONCE}"), ("openai", own), |builder| builder).await;
        gateway.upstream.next(Script::says("fine"));
        assert_eq!(gateway.client.chat("openai", "hi", json!({})).await.ok().content(), "fine");
        let sent = gateway.upstream.requests().pop().expect("a request");
        assert_eq!((sent.header("x-api-key"), sent.header("authorization")), (Some("sk-good-0123456789"), None), "{form:?}");
    }
}
