//! A card number in pieces never leaves, whatever it is part of and however the reply comes about; what a client gets is all that is looked at.

use super::*;

/// In ten pieces.
const PIECES: [&str; 10] = ["4", "111 ", "11", "11 1", "1", "11", " ", "111", "1", " and so on"];
const REDACTED: &str = "[redacted card]";

fn chunk(choice: u32, delta: &Value, finish: Option<&str>) -> String {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m",
        "choices": [{"index": choice, "delta": delta, "finish_reason": finish}]})
    .to_string()
}

/// A reply with the number in each of `choices`, in deltas that `piece` makes.
fn script(choices: u32, piece: impl Fn(&str) -> Value) -> Script {
    let mut script = Script::stream();
    for text in PIECES {
        script = (0..choices).fold(script, |script, choice| script.event(&chunk(choice, &piece(text), None)));
    }
    (0..choices).fold(script, |script, choice| script.event(&chunk(choice, &json!({}), Some("stop"))))
}

fn whole(choices: u32, piece: impl Fn(&str) -> Value) -> Script {
    script(choices, piece).event("[DONE]").end()
}

/// Everything that digits could be hidden in.
#[track_caller]
fn nothing_leaks(said: &str) {
    let digits: String = said.chars().filter(|c| c.is_ascii_digit()).collect();
    assert!(!digits.contains("4111") && !said.contains("111"), "{said}");
}

/// What an event of `/v1/responses` says; its numbers and names are no part of the reply.
fn texts(event: &Value, out: &mut String) {
    match event {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if ["delta", "text", "refusal"].contains(&name.as_str()) => out.push_str(text),
                    _ => texts(value, out),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| texts(value, out)),
        _ => {}
    }
}

fn redacting(upstream: &Upstream) -> Builder {
    server(upstream, &["redact-pii"], "", "", "")
}

async fn responses(server: &Server) -> Streaming {
    let body = json!({"model": "p", "stream": true, "input": "hi"}).to_string();
    let client = Client::of(server.address);
    client.open(hyper::Method::POST, "/v1/responses", Some("application/json"), body.into()).await.expect("an answer")
}

#[tokio::test]
async fn a_number_in_ten_pieces_leaves_neither_in_text_nor_in_reasoning_nor_in_a_refusal() {
    let upstream = Upstream::start().await;
    let server = redacting(&upstream).start();
    for channel in ["content", "reasoning_content", "refusal"] {
        for choices in [1, 2] {
            upstream.next(whole(choices, |text| json!({channel: text})));
            let events = Client::of(server.address).chat_stream("p", "hi", json!({"n": choices})).await.all().await.expect("a stream");
            let said: String = events
                .iter()
                .filter_map(|event| serde_json::from_str::<Value>(event).ok())
                .map(|chunk| {
                    let delta = &chunk["choices"][0]["delta"];
                    delta[channel].as_str().unwrap_or_default().to_owned()
                })
                .collect();
            nothing_leaks(&said);
            assert_eq!(said.matches(REDACTED).count(), choices as usize, "{channel}: {events:?}");
        }
        if channel == "refusal" {
            continue;
        }
        upstream.next(whole(1, |text| json!({channel: text})));
        let events = responses(&server).await.all().await.expect("a stream");
        let mut said = String::new();
        for event in &events {
            texts(&serde_json::from_str(event).expect("JSON"), &mut said);
        }
        nothing_leaks(&said);
        assert!(said.contains(REDACTED), "{channel}: {events:?}");
    }
}

/// A provider may answer the request for a stream with a whole reply.
#[tokio::test]
async fn what_a_whole_reply_to_a_stream_request_says_is_looked_at_as_a_streams_pieces_are() {
    let upstream = Upstream::start().await;
    let server = redacting(&upstream).start();
    let number = PIECES.concat();
    for channel in ["content", "reasoning_content", "reasoning", "refusal"] {
        let mut message = json!({"role": "assistant", "content": null, "refusal": null});
        message[channel] = number.as_str().into();
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        let whole = json!({"id": "c", "object": "chat.completion", "created": 7, "model": "m", "choices": [choice]});
        upstream.next(Script::json(200, &whole)).next(Script::json(200, &whole));
        let events = told(&server).await;
        let deltas: Vec<Value> = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok())
            .map(|chunk| chunk["choices"][0]["delta"].clone())
            .collect();
        let said: String = deltas
            .iter()
            .flat_map(|delta| ["content", "reasoning_content", "reasoning", "refusal"].map(|name| delta[name].as_str()))
            .flatten()
            .collect();
        nothing_leaks(&said);
        assert_eq!(said, format!("{REDACTED} and so on"), "{channel}: {events:?}");
        assert_eq!(deltas.iter().filter(|delta| delta["role"] == "assistant").count(), 1, "{events:?}");
        let events = responses(&server).await.all().await.expect("a stream");
        let mut said = String::new();
        for event in &events {
            texts(&serde_json::from_str(event).expect("JSON"), &mut said);
        }
        nothing_leaks(&said);
        assert!(said.contains(REDACTED), "{channel}: {events:?}");
    }
}

/// Some servers write the model's reasoning under both of its names.
#[tokio::test]
async fn a_number_under_either_name_of_reasoning_leaves_under_none() {
    let upstream = Upstream::start().await;
    let server = redacting(&upstream).start();
    let both = |text: &str| json!({"reasoning": text, "reasoning_content": text});
    let first = |text: &str| json!({"reasoning": text, "reasoning_content": "x"});
    let second = |text: &str| json!({"reasoning": "x", "reasoning_content": text});
    let redacted = format!("{REDACTED} and so on");
    let exes = "x".repeat(PIECES.len());
    for (script, reasoning, content) in [
        (whole(1, both), "", redacted.as_str()),
        (whole(1, first), redacted.as_str(), exes.as_str()),
        (whole(1, second), exes.as_str(), redacted.as_str()),
    ] {
        upstream.next(script);
        let events = told(&server).await;
        assert_eq!(
            (said_as("reasoning", &events).as_str(), said_as("reasoning_content", &events).as_str()),
            (reasoning, content),
            "{events:?}"
        );
    }
}

/// A text of the deltas, put together.
fn said_as(name: &str, events: &[String]) -> String {
    let chunks = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    chunks.filter_map(|chunk| chunk["choices"][0]["delta"][name].as_str().map(str::to_owned)).collect()
}

/// The pieces come in turns, so that neither number stands in what both say together.
#[tokio::test]
async fn two_texts_of_reasoning_are_looked_at_each_for_itself_whole_and_streamed() {
    let upstream = Upstream::start().await;
    let server = redacting(&upstream).start();
    let redacted = format!("{REDACTED} and so on");
    for (names, apart) in [
        (["reasoning_content", "reasoning"], true),
        (["reasoning", "reasoning_content"], true),
        (["reasoning", "reasoning_content"], false),
    ] {
        let mut script = Script::stream();
        for (piece, other) in PIECES.iter().zip(["4111", " ", "1", "11", "1 1", "111", " 111", "1", " and", " so on"]) {
            let deltas = if apart {
                vec![json!({names[0]: piece}), json!({names[1]: other})]
            } else {
                vec![json!({names[0]: piece, names[1]: other})]
            };
            script = deltas.iter().fold(script, |script, delta| script.event(&chunk(0, delta, None)));
        }
        upstream.next(script.event(&chunk(0, &json!({}), Some("stop"))).event("[DONE]").end());
        let events = told(&server).await;
        assert_eq!(names.map(|name| said_as(name, &events)), [redacted.as_str(); 2], "{names:?} {apart}: {events:?}");
    }
    let number = PIECES.concat();
    let other = format!("first {number}");
    for (reasoning, left) in [(&number, &redacted), (&other, &format!("first {redacted}"))] {
        let message = json!({"role": "assistant", "content": "fine", "reasoning_content": number, "reasoning": reasoning});
        let whole = json!({"id": "c", "object": "chat.completion", "created": 7, "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
        upstream.next(Script::json(200, &whole));
        let answer = Client::of(server.address).chat("p", "hi", json!({})).await.ok().json();
        let message = &answer["choices"][0]["message"];
        assert_eq!((&message["reasoning_content"], &message["reasoning"]), (&json!(redacted), &json!(left)), "{answer}");
    }
}

#[tokio::test]
async fn a_number_in_pieces_of_a_calls_arguments_is_starred_by_a_hook_that_looks_at_them() {
    let upstream = Upstream::start().await;
    let server = streamer(&upstream, "transform", "star");
    let pieces = ["{\"say\":\"s", "e", "c", "r", "e", "t", " an", "d ", "so", " on\"}"];
    let mut script = Script::stream();
    for (at, text) in pieces.into_iter().enumerate() {
        for choice in 0..2 {
            let call = match at {
                0 => json!({"index": 0, "id": "t", "type": "function", "function": {"name": "f", "arguments": text}}),
                _ => json!({"index": 0, "function": {"arguments": text}}),
            };
            script = script.event(&chunk(choice, &json!({"tool_calls": [call]}), None));
        }
    }
    let ends = (0..2).fold(script, |script, choice| script.event(&chunk(choice, &json!({}), Some("tool_calls"))));
    upstream.next(ends.event("[DONE]").end());
    let events = Client::of(server.address).chat_stream("p", "hi", json!({"n": 2})).await.all().await.expect("a stream");
    for choice in 0..2 {
        let arguments: String = events
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok())
            .filter(|chunk| chunk["choices"][0]["index"] == choice)
            .filter_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str().map(str::to_owned))
            .collect();
        assert_eq!(arguments.to_lowercase(), "{\"say\":\"****** and so on\"}");
    }
}

#[tokio::test]
async fn the_reply_of_a_fallback_is_looked_at_as_the_first_ones_would_have_been() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let config = format!(
        r#"
        [providers.first]
        kind = "openai"
        base_url = "{}"
        [providers.up]
        kind = "openai"
        base_url = "{}"
        [limits.providers]
        retries = 0
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "first", model = "m" }}, fallbacks = [ {{ provider = "up", model = "m" }} ] }} }},
            {{ stage = "post_hook", config = {{ function_id = "redact-pii" }} }} ]
        "#,
        first.url(),
        second.url()
    );
    let server = Server::with(&config).plugin("redact-pii").start();
    // One refuses, one breaks off before it has said anything.
    for failing in
        [Script::reply(500, &[], "oops"), Script::stream().event(&chunk(0, &json!({"role": "assistant", "content": ""}), None)).cut()]
    {
        first.next(failing);
        second.next(whole(1, |text| json!({"content": text})));
        let stream = asked(&server).await;
        assert_eq!(stream.headers["x-cofferdam-provider"], "up");
        let events = stream.all().await.expect("a stream");
        nothing_leaks(&text_of(&events));
        assert_eq!(text_of(&events), format!("{REDACTED} and so on"));
    }
    // One that breaks off later is not replaced; what was held back is redacted all the same.
    first.next(script(1, |text| json!({"content": text})).cut());
    let events = told(&server).await;
    nothing_leaks(&text(&events));
    assert!(events.last().expect("events").contains("upstream_cut"), "{events:?}");
}

#[tokio::test]
async fn a_client_that_hangs_up_in_the_middle_has_got_nothing_of_it() {
    let upstream = Upstream::start().await;
    let server = redacting(&upstream).start();
    let long = "Plain words and nothing else in them. ".repeat(20);
    let script = PIECES[..9].iter().fold(Script::stream().event(&delta(&long)), |script, text| script.event(&delta(text)));
    upstream.next(script.hang());
    let mut stream = asked(&server).await;
    let event = stream.next().await.expect("framed").expect("an event");
    nothing_leaks(&text(&[event]));
    drop(stream);
    upstream.hung_up().await;
}

#[tokio::test]
async fn a_post_hook_refuses_the_client_of_a_stream_with_its_status() {
    let upstream = Upstream::start().await;
    upstream.next(Script::says("fine"));
    let server = server(&upstream, &["streamer", "bad-status"], "transform", "none", "").start();
    assert_eq!(asked(&server).await.answer().await.refused(403), "not_an_error");
    server.wait_for_log("closed Ending::Finished after 1 pushes");
}
