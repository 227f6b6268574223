//! Odd forms that never reach a client: doubled keys, words for null, lists for texts, halves of characters, counts in odd places.

use serde_json::{Value, json};

use super::*;

/// Case 01.
#[tokio::test]
async fn of_a_doubled_key_the_last_counts_wherever_it_stands() {
    let gateway = gateway(ONCE).await;
    let whole = r#"{"id":"c","id":"c","object":"chat.completion","created":5,"model":"m","choices":[{"index":0,"index":0,"message":{"role":"assistant","content":"old","content":"Blue."},"finish_reason":"stop"}],"usage":null,"usage":null}"#;
    for _ in 0..2 {
        gateway.upstream.next(Script::reply(200, &[("content-type", "application/json")], whole));
    }
    assert_eq!(gateway.client.chat("openai", "hi", json!({})).await.ok().content(), "Blue.");
    assert_eq!(gateway.response("openai").await["output"][0]["content"][0]["text"], "Blue.");
    let delta = r#"{"role":"assistant","content":"Old","content":"Blue."}"#;
    let call = r#"{"role":"assistant","tool_calls":[{"index":0,"id":"k","type":"function","type":"function","function":{"name":"f","name":"f","arguments":"{}"}}]}"#;
    for (inner, text) in [(delta, "Blue."), (call, "")] {
        let event = format!(
            r#"{{"id":"c","object":"chat.completion.chunk","created":5,"model":"m","model":"m","choices":[{{"index":0,"index":0,"delta":{inner},"finish_reason":null,"finish_reason":null}}]}}"#
        );
        gateway.upstream.next(Script::stream().event(&event).event(&chunk(json!({}), Some("stop")).to_string()).event("[DONE]").end());
        let events = gateway.stream("openai", json!({})).await;
        assert_eq!((events.text().as_str(), events.is_done()), (text, true), "{:?}", events.0);
        let arguments = events
            .chunks()
            .iter()
            .find_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str().map(str::to_owned));
        assert_eq!(arguments.as_deref(), (inner == call).then_some("{}"));
    }
    let anthropic = r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[{"type":"text","text":"old","text":"Blue."}],"stop_reason":"end_turn","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}"#;
    let gemini = r#"{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"old","text":"Blue."}]},"finishReason":"STOP","finishReason":"STOP"}],"candidates":[{"index":0,"content":{"parts":[{"text":"Blue."}]},"finishReason":"STOP"}]}"#;
    for (kind, reply) in [("anthropic", anthropic), ("gemini", gemini)] {
        gateway.upstream.next(Script::reply(200, &[("content-type", "application/json")], reply));
        assert_eq!(gateway.client.chat(kind, "hi", json!({})).await.ok().content(), "Blue.", "{kind}");
    }
    gateway.upstream.next(Script::stream().event(gemini).end());
    assert_eq!(gateway.stream("gemini", json!({})).await.text(), "Blue.");
}

/// Case 04.
#[tokio::test]
async fn a_list_where_a_text_should_be_is_its_text_and_its_thought() {
    let gateway = gateway(ONCE).await;
    let think = |text: &str| json!([{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]);
    let whole = completion(json!({"role": "assistant", "content": [think("Sum it.")[0], {"type": "text", "text": "Four."}]}), "stop");
    let stream = [
        chunk(json!({"role": "assistant", "content": ""}), None),
        chunk(json!({"content": think("Sum")}), None),
        chunk(json!({"content": think(" it.")}), None),
        chunk(json!({"content": "Four"}), None),
        chunk(json!({"content": [{"type": "text", "text": "."}]}), None),
        chunk(json!({}), Some("stop")),
    ];
    gateway.upstream.next(Script::json(200, &whole)).next(done(&stream)).next(Script::json(200, &whole));
    let message = gateway.client.chat("openai", "hi", json!({})).await.ok().json()["choices"][0]["message"].clone();
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("Four."), &json!("Sum it.")));
    let events = gateway.stream("openai", json!({})).await;
    assert_eq!((events.text().as_str(), events.joined("reasoning_content").as_str()), ("Four.", "Sum it."));
    let response = gateway.response("openai").await;
    assert!(response.to_string().contains("Sum it.") && response.to_string().contains("Four."), "{response}");
}

/// Case 06.
#[tokio::test]
async fn a_word_for_null_is_no_reason() {
    let gateway = gateway(ONCE).await;
    for word in ["null", "None", ""] {
        let stream = [
            chunk(json!({"role": "assistant", "content": "One"}), Some(word)),
            chunk(json!({"content": " two"}), Some(word)),
            chunk(json!({}), Some("length")),
        ];
        gateway.upstream.next(done(&stream)).next(Script::json(200, &completion(json!({"role": "assistant", "content": "One"}), word)));
        let events = gateway.stream("openai", json!({})).await;
        assert_eq!((events.text().as_str(), events.reasons()), ("One two", vec!["length".to_owned()]), "{word:?}");
        assert_eq!(gateway.client.chat("openai", "hi", json!({})).await.ok().json()["choices"][0]["finish_reason"], "stop", "{word:?}");
    }
}

/// Case 07.
#[tokio::test]
async fn the_halves_of_a_character_are_joined_and_one_alone_costs_no_text() {
    let gateway = gateway_with(&format!("{ONCE}{}", hooked()), ("", ""), |builder| builder.plugin("noop_post")).await;
    let half = |text: &str| {
        format!(
            r#"{{"id":"c","object":"chat.completion.chunk","created":5,"model":"m","choices":[{{"index":0,"delta":{{"role":"assistant","content":"{text}"}},"finish_reason":null}}]}}"#
        )
    };
    let stop = chunk(json!({}), Some("stop")).to_string();
    for (first, second, text) in [
        (r"Hello \ud83d", r"\ude00 you", "Hello \u{1f600} you"),
        (r"Hello \ud83d", " you", "Hello \u{fffd} you"),
        (r"Hello \ude00", " you", "Hello \u{fffd} you"),
        (r"Hello \ud83d\ude00", " you", "Hello \u{1f600} you"),
    ] {
        gateway.upstream.next(Script::stream().event(&half(first)).event(&half(second)).event(&stop).event("[DONE]").end());
        let events = gateway.stream("openai", json!({})).await;
        assert_eq!((events.text().as_str(), events.is_done()), (text, true), "{first}");
    }
    let whole = r#"{"id":"c","object":"chat.completion","created":5,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hello \ud83d you"},"finish_reason":"stop"}]}"#;
    for _ in 0..4 {
        gateway.upstream.next(Script::reply(200, &[("content-type", "application/json")], whole));
    }
    for model in ["openai", "hooked"] {
        assert_eq!(gateway.client.chat(model, "hi", json!({})).await.ok().content(), "Hello \u{fffd} you", "{model}");
    }
    // A hook reads whole replies alone.
    assert_eq!(gateway.stream("hooked", json!({})).await.text(), "Hello \u{fffd} you");
    assert_eq!(gateway.response("openai").await["output"][0]["content"][0]["text"], "Hello \u{fffd} you");
}

/// A model `hooked` whose replies a hook reads, at the same provider.
fn hooked() -> String {
    "[[pipelines]]\nid = \"hooked\"\npipeline = [ { stage = \"llm\", config = { primary = { provider = \"openai\", model = \"m\" } } }, \
     { stage = \"post_hook\", config = { function_id = \"noop-post\" } } ]\n"
        .to_owned()
}

/// Brothers of cases 06 and 59: counts in odd places and forms arrive where clients look for them.
#[tokio::test]
async fn counts_are_found_wherever_a_server_puts_them() {
    let gateway = gateway(ONCE).await;
    let usage = json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5});
    let within = |place: &str, usage: &Value| {
        let mut last = chunk(json!({}), Some("stop"));
        match place {
            "the choice" => last["choices"][0]["usage"] = usage.clone(),
            "x_groq" => last["x_groq"] = json!({"usage": usage}),
            _ => last["usage"] = usage.clone(),
        }
        last
    };
    let texts = json!({"prompt_tokens": "3", "completion_tokens": 2.0, "total_tokens": null});
    for (place, given) in
        [("the choice", &usage), ("x_groq", &usage), ("the chunk", &texts), ("the chunk", &json!({"input_tokens": 3, "output_tokens": 2}))]
    {
        gateway.upstream.next(done(&[chunk(json!({"role": "assistant", "content": "Hi"}), None), within(place, given)]));
        let events = gateway.stream("openai", json!({"stream_options": {"include_usage": true}})).await;
        let found = events.chunks().last().expect("a chunk")["usage"].clone();
        for (name, count) in usage.as_object().expect("an object") {
            assert_eq!(&found[name], count, "{place} {given}: {found}");
        }
        let mut whole = completion(json!({"role": "assistant", "content": "Hi"}), "stop");
        whole["usage"] = given.clone();
        gateway.upstream.next(Script::json(200, &whole));
        assert_eq!(gateway.client.chat("openai", "hi", json!({})).await.ok().json()["usage"]["prompt_tokens"], 3, "{given}");
    }
}

/// Brothers of case 04: numbers and objects where other types belong.
#[tokio::test]
async fn odd_types_become_those_that_clients_know() {
    let gateway = gateway(ONCE).await;
    let odd = json!({"id": 7, "object": "chat.completion", "created": "5", "model": null, "choices": [{"index": "0", "finish_reason": false,
        "message": {"role": null, "content": {"type": "text", "text": "Hi"}, "refusal": false, "tool_calls": {}}}]});
    gateway.upstream.next(Script::json(200, &odd));
    let reply = gateway.client.chat("openai", "hi", json!({})).await.ok().json();
    let choice = &reply["choices"][0];
    assert_eq!((&choice["index"], &choice["finish_reason"], &choice["message"]["role"]), (&json!(0), &json!("stop"), &json!("assistant")));
    assert_eq!((&choice["message"]["content"], &choice["message"]["refusal"]), (&json!("Hi"), &json!(null)), "{reply}");
    assert!(reply["id"].is_string() && reply["created"].is_u64() && reply["model"].is_string(), "{reply}");
    let call = json!({"index": "0", "id": "k", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let mut events = [
        chunk(json!({"role": "assistant", "content": 4}), None),
        chunk(json!({"content": null, "tool_calls": call}), None),
        chunk(json!({}), Some("tool_calls")),
    ];
    events[0]["choices"][0]["index"] = json!("0");
    gateway.upstream.next(done(&events));
    let events = gateway.stream("openai", json!({})).await;
    assert_eq!((events.text().as_str(), events.reasons()), ("4", vec!["tool_calls".to_owned()]));
    let chunks = events.chunks();
    let calls: Vec<&Value> =
        chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"]).filter(|calls| calls.is_array()).collect();
    assert_eq!(calls, [&json!([{"index": 0, "id": "k", "type": "function", "function": {"name": "f", "arguments": "{}"}}])]);
    // A server that answers as OpenAI's older API does.
    gateway.upstream.next(Script::json(200, &json!({"choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}]})));
    assert_eq!(gateway.client.chat("openai", "hi", json!({})).await.ok().content(), "Hi");
    gateway.upstream.next(done(&[
        json!({"choices": [{"index": 0, "text": "Hi", "finish_reason": null}]}),
        json!({"choices": [{"index": 0, "text": "", "finish_reason": "length"}]}),
    ]));
    let events = gateway.stream("openai", json!({})).await;
    assert_eq!((events.text().as_str(), events.reasons()), ("Hi", vec!["length".to_owned()]));
}
