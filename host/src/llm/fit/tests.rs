//! Requests that are rewritten and replies that are told back, whole and in pieces; and that nothing else is touched.

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::*;
use crate::chat::codec::{parse_completion, parse_request, to_json};
use crate::chat::{Delta, Frame, Frames, Piece, Whole};

fn request(extra: &Value, messages: &Value) -> (Vec<Message>, Fields) {
    let mut body = json!({"model": "m", "messages": messages});
    body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    let request = parse_request(body.to_string().as_bytes()).expect("a request");
    (request.messages, request.params)
}

fn fit(extra: &Value, messages: &Value, takes: Takes) -> (Value, Value, Back) {
    let (messages, params) = request(extra, messages);
    let Fitted { messages, params, back } = fitted(&messages, &params, takes);
    let params: serde_json::Map<String, Value> =
        params.iter().map(|(name, json)| (name.clone(), serde_json::from_str(json.get()).expect("JSON"))).collect();
    (serde_json::from_slice(&to_json(&messages)).expect("JSON"), params.into(), back)
}

fn hi() -> Value {
    json!([{"role": "user", "content": "hi"}])
}

fn custom() -> Value {
    json!({"tools": [
        {"type": "function", "function": {"name": "shell", "parameters": {"type": "object"}}},
        {"type": "custom", "cache_control": {"type": "ephemeral"}, "custom": {"name": "patch", "description": "Edits.",
            "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}}}},
    ]})
}

#[test]
fn what_a_dialect_takes_is_neither_copied_nor_changed() {
    let (messages, params) = request(&custom(), &hi());
    for (messages, params, takes) in [(&messages, &params, Takes::ALL), (&messages, &Fields::new(), Takes::default())] {
        let fitted = fitted(messages, params, takes);
        assert!(matches!(fitted, Fitted { messages: Cow::Borrowed(_), params: Cow::Borrowed(_), .. }));
        let bytes = bytes::Bytes::from_static(b"not looked at");
        assert!(matches!(fitted.back.whole(Whole::Raw(bytes.clone())), Ok(Whole::Raw(raw)) if raw == bytes));
    }
}

#[test]
fn a_custom_tool_is_a_function_of_one_text_with_its_grammar_in_words() {
    let (_, params, _) = fit(&custom(), &hi(), Takes::default());
    let tool = &params["tools"][1];
    assert_eq!((&tool["type"], &tool["cache_control"]["type"]), (&json!("function"), &json!("ephemeral")));
    let function = &tool["function"];
    assert_eq!((&function["name"], &function["parameters"]["required"]), (&json!("patch"), &json!(["input"])));
    let description = function["description"].as_str().expect("a text");
    assert!(description.starts_with("Edits.\n\n") && description.ends_with("(lark):\nstart: X"), "{description}");
    assert_eq!(params["tools"][0], custom()["tools"][0]);
}

#[test]
fn the_choice_of_a_custom_tool_and_calls_of_it_become_a_functions() {
    let function = json!({"type": "function", "function": {"name": "patch"}});
    let allowed = |tool: &Value| json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool]}});
    let chosen = json!({"type": "custom", "custom": {"name": "patch"}});
    for (choice, expected) in [(chosen.clone(), function.clone()), (allowed(&chosen), allowed(&function)), (json!("auto"), json!("auto"))] {
        let mut extra = custom();
        extra["tool_choice"] = choice;
        assert_eq!(fit(&extra, &hi(), Takes { allowed_tools: true, ..Takes::default() }).1["tool_choice"], expected);
    }
    let call = json!({"id": "c", "type": "custom", "custom": {"name": "patch", "input": "a\"b"}, "extra_content": {"k": 1}});
    let messages =
        json!([{"role": "assistant", "content": null, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "x"}]);
    let (sent, ..) = fit(&json!({}), &messages, Takes::default());
    let expected = json!([{"id": "c", "type": "function", "function": {"name": "patch", "arguments": "{\"input\":\"a\\\"b\"}"}, "extra_content": {"k": 1}}]);
    assert_eq!(sent[0]["tool_calls"], expected);
    assert_eq!(fit(&json!({}), &messages, Takes { custom_tools: true, ..Takes::default() }).0, messages);
}

fn completion(calls: &Value) -> Whole {
    let body = json!({"id": "i", "model": "m", "created": 1, "choices": [{"index": 0, "finish_reason": "tool_calls",
        "message": {"role": "assistant", "content": null, "tool_calls": calls}}]});
    Whole::Raw(body.to_string().into())
}

fn told(back: &Back, whole: Whole) -> Value {
    match back.whole(whole).expect("a completion") {
        Whole::Raw(bytes) => serde_json::to_value(std::str::from_utf8(&bytes).expect("UTF-8")).expect("a text"),
        Whole::Parsed(completion) => serde_json::from_slice::<Value>(&to_json(&completion)).expect("JSON")["choices"][0].clone(),
    }
}

#[test]
fn a_whole_reply_calls_the_custom_tool_and_one_without_such_a_call_keeps_its_bytes() {
    let (.., back) = fit(&custom(), &hi(), Takes::default());
    let calls = json!([
        {"id": "a", "type": "function", "function": {"name": "shell", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "patch", "arguments": "{\"input\":\"+x\\n\"}"}, "extra_content": {"k": 1}},
    ]);
    let told_calls = told(&back, completion(&calls))["message"]["tool_calls"].clone();
    let expected =
        json!([calls[0], {"id": "b", "type": "custom", "custom": {"name": "patch", "input": "+x\n"}, "extra_content": {"k": 1}}]);
    assert_eq!(told_calls, expected);
    assert!(told(&back, completion(&json!([calls[0]]))).is_string());
}

fn functions() -> Value {
    json!({"functions": [{"name": "search", "parameters": {"type": "object"}}], "function_call": "auto"})
}

#[test]
fn old_functions_are_tools_on_the_wire_and_function_call_in_the_reply() {
    let (_, params, back) = fit(&functions(), &hi(), Takes::default());
    let tools = json!([{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]);
    assert_eq!(params, json!({"tools": tools, "tool_choice": "auto"}));
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "search", "arguments": "{\"q\":1}"}});
    let choice = told(&back, completion(&json!([call("a"), call("b")])));
    assert_eq!(choice["message"]["function_call"], json!({"name": "search", "arguments": "{\"q\":1}"}));
    assert_eq!((&choice["finish_reason"], &choice["message"]["tool_calls"]), (&json!("function_call"), &Value::Null));
    let named = json!({"functions": functions()["functions"], "function_call": {"name": "search"}});
    assert_eq!(fit(&named, &hi(), Takes::default()).1["tool_choice"], json!({"type": "function", "function": {"name": "search"}}));
    let both = json!({"functions": functions()["functions"], "tools": tools});
    assert_eq!(fit(&both, &hi(), Takes::default()).1, both);
    assert_eq!(fit(&functions(), &hi(), Takes { functions: true, ..Takes::default() }).1, functions());
}

#[test]
fn an_old_history_has_ids_that_fit_together() {
    let called = |name: &str| json!({"role": "assistant", "content": null, "function_call": {"name": name, "arguments": "{}"}});
    let result = |name: &str| json!({"role": "function", "name": name, "content": "found"});
    let (sent, ..) = fit(
        &json!({}),
        &json!([called("a"), result("a"), called("b"), called("a"), result("a"), result("b"), result("c")]),
        Takes::default(),
    );
    let ids: Vec<&Value> = [0, 2, 3].map(|at: usize| &sent[at]["tool_calls"][0]["id"]).into();
    assert_eq!([1, 5, 4].map(|at: usize| &sent[at]["tool_call_id"]).to_vec(), ids);
    assert_eq!((&sent[1]["role"], &sent[6]["role"], &sent[0]["function_call"]), (&json!("tool"), &json!("function"), &Value::Null));
}

#[test]
fn a_whole_number_is_whole_however_it_is_written() {
    let given = json!({"top_k": 40.0, "max_tokens": 1e3, "n": 1, "seed": -7.0, "top_logprobs": 2.5, "temperature": 1.0, "max_completion_tokens": null});
    let (_, params, _) = fit(&given, &hi(), Takes::default());
    let expected = json!({"top_k": 40, "max_tokens": 1000, "n": 1, "seed": -7, "top_logprobs": 2.5, "temperature": 1.0, "max_completion_tokens": null});
    assert_eq!(params.to_string(), expected.to_string());
    assert_eq!(fit(&given, &hi(), Takes { any_numbers: true, ..Takes::default() }).1, given);
}

#[test]
fn allowed_tools_are_a_shorter_list() {
    let mut given = custom();
    let allowed = json!([{"type": "custom", "custom": {"name": "patch"}}]);
    given["tool_choice"] = json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": allowed}});
    let (_, params, _) = fit(&given, &hi(), Takes::default());
    assert_eq!((params["tools"].as_array().map(Vec::len), &params["tool_choice"]), (Some(1), &json!("required")));
    assert_eq!(params["tools"][0]["function"]["name"], "patch");
    assert_eq!(fit(&given, &hi(), Takes { allowed_tools: true, custom_tools: true, ..Takes::default() }).1, given);
}

#[tokio::test]
async fn a_client_that_wants_one_call_gets_the_first_of_several() {
    let given = json!({"parallel_tool_calls": false});
    let (_, params, back) = fit(&given, &hi(), Takes::default());
    assert_eq!(params, json!({}));
    let calls = json!([
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]);
    assert_eq!(told(&back, completion(&calls))["message"]["tool_calls"], json!([calls[0]]));
    let pieces = vec![call(0, "f"), arguments(0, "{}"), call(1, "g"), arguments(1, "{}"), Piece::Finish("tool_calls".into())];
    let choices = streamed(back, pieces).await;
    assert!(!choices.to_string().contains("\"g\"") && choices.to_string().contains("\"f\""), "{choices}");
    assert_eq!(fit(&given, &hi(), Takes { one_call: true, ..Takes::default() }).1, given);
}

#[test]
fn pictures_in_results_follow_the_results_behind_a_line_that_names_the_call() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:x"}});
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let result = |id: &str, content: Value| json!({"role": "tool", "content": content, "tool_call_id": id});
    let text = |text: &str| json!({"type": "text", "text": text});
    let calls = json!({"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]});
    let after = json!({"role": "assistant", "content": "so"});
    let messages = json!([calls, result("a", json!([text("seen"), image])), result("b", json!([image])), after]);
    let (sent, ..) = fit(&json!({}), &messages, Takes::default());
    let lifted =
        json!({"role": "user", "content": [text("The result of tool call \"a\":"), image, text("The result of tool call \"b\":"), image]});
    let stand_in = result("b", json!([text("The result is in the next user message.")]));
    assert_eq!(sent, json!([calls, result("a", json!([text("seen")])), stand_in, lifted, after]));
    assert_eq!(fit(&json!({}), &messages, Takes { media_in_results: true, ..Takes::default() }).0, messages);
}

/// What a client puts together of the stream of these pieces.
async fn streamed(back: Back, pieces: Vec<Piece>) -> Value {
    let frames = pieces.into_iter().map(|piece| Ok(Frames::from_iter([Frame::of(vec![Delta::Piece { choice: 0, piece }])])));
    let frames: Vec<_> = frames.chain([Ok(Frames::default().ending())]).collect();
    let name = crate::chat::Name { id: "c".into(), model: "m".into(), created: 1 };
    let mut writer = crate::chat::ChunkWriter::new(name, false);
    let bytes: Vec<bytes::Bytes> =
        back.stream(Box::pin(futures_util::stream::iter(frames))).map(|frames| writer.encode(frames.expect("no error"))).collect().await;
    let bytes = bytes.concat();
    let events = crate::chat::sse::events(&bytes).filter_map(|event| event.data);
    let chunks: Vec<Value> = events.filter_map(|data| serde_json::from_slice(&data).ok()).collect();
    chunks.iter().map(|chunk| chunk["choices"][0].clone()).filter(|choice| choice["delta"]["role"].is_null()).collect()
}

fn call(index: u32, name: &str) -> Piece {
    Piece::Call { index, id: format!("call_{index}"), name: name.into(), extra: Fields::new() }
}

fn arguments(index: u32, text: &str) -> Piece {
    Piece::Arguments { index, text: text.into() }
}

#[tokio::test]
async fn a_streamed_input_leaves_as_it_grows_and_other_calls_stay() {
    let (.., back) = fit(&custom(), &hi(), Takes::default());
    let pieces = vec![
        Piece::Text("a".into()),
        call(0, "patch"),
        arguments(0, "{\"inp"),
        call(1, "shell"),
        arguments(0, "ut\":\"+x\\"),
        arguments(1, "{}"),
        arguments(0, "n\"}"),
        Piece::Finish("tool_calls".into()),
    ];
    let choices = streamed(back, pieces).await;
    let said: Vec<Value> = choices.as_array().expect("a list").iter().map(|choice| choice["delta"]["tool_calls"][0].clone()).collect();
    let expected = [
        Value::Null,
        json!({"index": 0, "id": "call_0", "type": "custom", "custom": {"name": "patch", "input": ""}}),
        json!({"index": 1, "id": "call_1", "type": "function", "function": {"name": "shell", "arguments": ""}}),
        json!({"index": 0, "type": "custom", "custom": {"input": "+x"}}),
        json!({"index": 1, "function": {"arguments": "{}"}}),
        json!({"index": 0, "type": "custom", "custom": {"input": "\n"}}),
        Value::Null,
    ];
    assert_eq!(said, expected);
    assert_eq!((&choices[0]["delta"]["content"], &choices[6]["finish_reason"]), (&json!("a"), &json!("tool_calls")));
}

#[tokio::test]
async fn the_inputs_of_all_calls_hold_no_more_than_one_may() {
    let (.., back) = fit(&custom(), &hi(), Takes::default());
    let half = "x".repeat(input::HELD_BYTES / 2 + 1);
    let pieces = vec![call(0, "patch"), arguments(0, &half), call(1, "patch"), arguments(1, &half), Piece::Finish("tool_calls".into())];
    let choices = streamed(back, pieces).await;
    let inputs: Vec<usize> = choices
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|choice| choice["delta"]["tool_calls"][0]["custom"]["input"].as_str().map(str::len))
        .collect();
    assert_eq!(inputs, [0, 0, half.len(), half.len()], "the second goes out as it came, the first at the end");
}

#[tokio::test]
async fn an_input_of_another_form_comes_before_the_end_even_without_a_reason() {
    for finish in [true, false] {
        let (.., back) = fit(&custom(), &hi(), Takes::default());
        let mut pieces = vec![call(0, "patch"), arguments(0, "*** Begin Patch")];
        pieces.extend(finish.then(|| Piece::Finish("tool_calls".into())));
        let choices = streamed(back, pieces).await;
        assert_eq!(choices[1]["delta"]["tool_calls"][0]["custom"]["input"], "*** Begin Patch", "{choices}");
    }
}

#[tokio::test]
async fn a_stream_for_an_old_client_says_function_call_of_its_first_call() {
    let (.., back) = fit(&functions(), &hi(), Takes::default());
    let pieces = vec![
        call(0, "search"),
        arguments(0, "{\"q\":"),
        arguments(0, "1}"),
        call(1, "search"),
        arguments(1, "{}"),
        Piece::Finish("tool_calls".into()),
    ];
    let choices = streamed(back, pieces).await;
    let said: Vec<Value> = choices.as_array().expect("a list").iter().map(|choice| choice["delta"].clone()).collect();
    let expected = [
        json!({"function_call": {"name": "search", "arguments": ""}}),
        json!({"function_call": {"arguments": "{\"q\":"}}),
        json!({"function_call": {"arguments": "1}"}}),
        json!({}),
    ];
    assert_eq!(said, expected);
    assert_eq!(choices[3]["finish_reason"], "function_call");
}

#[test]
fn a_reply_that_cannot_be_read_is_told_so_only_if_it_must_be_read() {
    let (.., back) = fit(&custom(), &hi(), Takes::default());
    assert!(back.whole(Whole::Raw(bytes::Bytes::from_static(b"no"))).is_err());
    let mut parsed = parse_completion(br#"{"choices":[{"message":{"role":"assistant","content":"hi"}}]}"#).expect("a completion");
    assert!(!back.completion(&mut parsed));
}
