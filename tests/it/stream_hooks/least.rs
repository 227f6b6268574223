//! A stream hook that reads some channels of a reply: it is handed those, the others pass by it, and what it may not write comes back as it was.

use super::*;

fn chunk(delta: &Value, finish: Option<&str>) -> String {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    .to_string()
}

fn call(name: Option<&str>, arguments: &str) -> String {
    let mut call = json!({"index": 0, "function": {"arguments": arguments}});
    if let Some(name) = name {
        call = json!({"index": 0, "id": "t", "type": "function", "function": {"name": name, "arguments": arguments}});
    }
    chunk(&json!({"tool_calls": [call]}), None)
}

/// Of the operator's entry. The hook leaves something at its end.
fn words(reads: &str, writes: &str) -> String {
    format!("reads = [{reads}]\nwrites = [\"metadata\", {writes}]")
}

/// What the client gets of text, of arguments and of an end, in its order.
fn told_in_order(events: &[String]) -> String {
    let mut told = String::new();
    for chunk in events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok()) {
        let choice = &chunk["choices"][0];
        let arguments = choice["delta"]["tool_calls"][0]["function"]["arguments"].as_str();
        let texts = [choice["delta"]["content"].as_str(), arguments, choice["finish_reason"].as_str()];
        texts.into_iter().flatten().for_each(|text| told.push_str(text));
    }
    told
}

#[tokio::test]
async fn what_is_not_read_does_not_wait_for_what_is_held_back_and_the_end_waits_for_both() {
    let upstream = Upstream::start().await;
    let go = Signal::default();
    let script = Script::stream().event(&delta("text")).event(&call(Some("f"), "{")).event(&call(None, "}")).wait(&go);
    upstream.next(script.event(&delta(" more")).event(&chunk(&json!({}), Some("tool_calls"))).event("[DONE]").end());
    let server = server(&upstream, &["streamer"], "transform", "hold", &words("\"reply.text\"", "\"reply.text\"")).start();
    let mut stream = asked(&server).await;
    let mut events = Vec::new();
    while told_in_order(&events) != "{}" {
        events.push(stream.next().await.expect("framed").expect("the call while the hook holds the text"));
    }
    go.fire();
    events.extend(stream.all().await.expect("a stream"));
    assert_eq!(told_in_order(&events), "{}text moretool_calls");
}

#[tokio::test]
async fn a_hook_is_not_called_for_what_it_does_not_read() {
    let upstream = Upstream::start().await;
    let script = || Script::stream().event(&delta("the secret")).event(&finish()).event("[DONE]").end();
    for (reads, pushes) in [("\"reply.tool-calls\"", "after 1 pushes"), ("\"usage\"", "after 0 pushes"), ("", "after 0 pushes")] {
        for act in ["star", "swallow", "none"] {
            upstream.next(script());
            let server = server(&upstream, &["streamer"], "transform", act, &words(reads, "\"reply.tool-calls\"")).start();
            assert_eq!(text_of(&told(&server).await), "the secret", "{reads} {act}");
            server.wait_for_line(|line| line.contains(pushes) && line.contains("closed Ending::Finished"));
        }
    }
}

#[tokio::test]
async fn what_a_hook_may_not_write_comes_back_as_it_was_or_the_word_is_named() {
    let upstream = Upstream::start().await;
    let script = || {
        Script::stream()
            .event(&chunk(&json!({"content": "a secr", "reasoning_content": "hm"}), None))
            .event(&delta("et"))
            .event(&finish())
            .event("[DONE]")
            .end()
    };
    for act in ["none", "hold", "tell"] {
        upstream.next(script());
        let server = server(&upstream, &["streamer"], "transform", act, &words("\"reply\"", "\"reject\"")).start();
        let events = told(&server).await;
        assert_eq!(text_of(&events), "a secret", "{act}: it may hold back what it may not change");
        assert_eq!(events.iter().filter(|event| event.contains("\"finish_reason\":\"stop\"")).count(), 1);
    }
    let left_out = "which the operator's `plugins.NAME.writes` leaves out";
    for (reads, writes, act, why) in [
        (
            "\"reply\"",
            "\"reject\"",
            "star",
            format!("changes `reasoning` of the reply, {left_out}: `reply.reasoning` would have to stand there"),
        ),
        (
            "\"reply.text\"",
            "\"reject\"",
            "star",
            format!("changes `text` of the reply, {left_out}: `reply.text` would have to stand there"),
        ),
        (
            "\"reply\"",
            "\"reply.text\"",
            "star",
            format!("changes `reasoning` of the reply, {left_out}: `reply.reasoning` would have to stand there"),
        ),
        ("\"reply.text\"", "", "swallow", format!("takes away `text` of the reply, {left_out}: `reply.text` would have to stand there")),
        ("\"reply.text\"", "", "mark", format!("changes `text` of the reply, {left_out}")),
        ("\"reply.reasoning\"", "", "mark", "`reply.text` is not among what it reads".to_owned()),
    ] {
        // As a stream and as a whole reply.
        let whole = json!({"id": "c", "object": "chat.completion", "created": 7, "model": "m", "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "a secret", "reasoning_content": "hm"}}]});
        upstream.next(script()).next(Script::json(200, &whole));
        let server = server(&upstream, &["streamer"], "transform", act, &words(reads, writes)).start();
        let events = asked(&server).await.all().await.unwrap_or_default();
        assert!(!text(&events).contains("A ") && !text(&events).contains('!'), "nothing of it takes effect: {events:?}");
        server.wait_for_log(&why);
        let answer = Client::of(server.address).chat("p", "hi", json!({})).await;
        assert_eq!(answer.refused(502), "plugin_invalid_outcome", "{act}");
        let said = answer.json()["error"]["message"].as_str().expect("a message").to_owned();
        assert!(said.contains(&why), "{said}");
    }
}

#[tokio::test]
async fn of_a_whole_reply_what_is_not_read_stays_as_its_provider_wrote_it() {
    let upstream = Upstream::start().await;
    let server = server(&upstream, &["streamer"], "transform", "star", &words("\"reply.text\"", "\"reply.text\"")).start();
    let message = json!({"role": "assistant", "reasoning": "a secret", "reasoning_content": "another secret", "refusal": "secret", "x_other": ["secret"],
        "content": "the secret",
        "tool_calls": [{"id": "t", "type": "function", "function": {"name": "secret", "arguments": "{}"}, "x": 1}]});
    let whole = json!({"id": "c", "object": "chat.completion", "created": 7, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    upstream.next(Script::json(200, &whole));
    let answer = Client::of(server.address).chat("p", "hi", json!({})).await.ok().json();
    let mut expected = message;
    expected["content"] = "THE ******".into();
    assert_eq!(answer["choices"][0]["message"], expected);
}
