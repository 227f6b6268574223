//! Requests to Workers AI, and its replies in either shape.

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::chat::codec::{ChatRequest, parse_request};
use crate::chat::{ChunkWriter, Name};
use crate::llm::adapter::{ReplyDecoder, Unsupported};

const NATIVE: Workers = Workers { native: true };
const COMPATIBLE: Workers = Workers { native: false };

fn name() -> Name {
    Name { id: "chatcmpl-ours".into(), model: "@cf/meta/llama".into(), created: 7 }
}

fn request(workers: &Workers, ask: &Value, unsupported: Unsupported) -> Result<(String, Value), UnsupportedField> {
    let ChatRequest { model, messages, params, stream, .. } = parse_request(ask.to_string().as_bytes()).expect("a request");
    let completion = CompletionRequest { model: &model, messages: &messages, params: &params, stream, unsupported, name: name() };
    let (wire, _) = workers.encode_chat(&completion)?;
    Ok((wire.path, serde_json::from_slice(&wire.body).expect("JSON")))
}

/// The body that the native API is posted for a plain question with these fields.
#[track_caller]
fn native(fields: Value) -> Value {
    let mut ask = json!({"model": "@cf/meta/llama", "messages": [{"role": "user", "content": "Hi"}]});
    ask.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    request(&NATIVE, &ask, Unsupported::Refuse).expect("it fits").1
}

fn whole(reply: &Value) -> Result<Value, DecodeError> {
    let completion = NativeDecoder::new(name()).whole(reply.to_string().as_bytes())?;
    Ok(serde_json::from_slice(&to_json(&completion)).expect("JSON"))
}

fn result(result: Value) -> Value {
    json!({"result": result, "success": true, "errors": [], "messages": []})
}

/// The chunks that a client gets, and whether the stream was complete.
#[track_caller]
fn streamed(events: &[Value], done: bool) -> (Vec<Value>, bool) {
    let mut decoder = NativeDecoder::new(name());
    let mut deltas = Vec::new();
    for event in events {
        decoder.event(event.to_string().as_bytes(), &mut deltas).expect("it can be used");
    }
    if done {
        decoder.event(b"[DONE]", &mut deltas).expect("the end");
    }
    let complete = decoder.end(&mut deltas);
    let mut writer = ChunkWriter::new(name(), false);
    let mut chunks: Vec<Value> = Vec::new();
    for delta in deltas {
        writer.write(delta, &mut |chunk| chunks.push(serde_json::from_str(chunk).expect("JSON")));
    }
    (chunks, complete)
}

fn text(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
}

#[test]
fn golden() {
    crate::llm::golden::check(&NATIVE, "workers");
}

#[test]
fn the_native_path_is_the_models_name_and_the_compatible_body_has_it() {
    let ask = json!({"model": "@cf/meta/llama", "messages": [{"role": "user", "content": "Hi"}], "stream": true});
    let (path, body) = request(&NATIVE, &ask, Unsupported::Refuse).expect("it fits");
    assert_eq!((path.as_str(), body.get("model"), &body["stream"]), ("/@cf/meta/llama", None, &json!(true)));
    let (path, body) = request(&COMPATIBLE, &ask, Unsupported::Refuse).expect("it fits");
    assert_eq!((path.as_str(), &body["model"]), ("/chat/completions", &json!("@cf/meta/llama")));
    assert_eq!(body["stream_options"], json!({"include_usage": true}));
    let ask = json!({"model": "@cf/../../x", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(request(&NATIVE, &ask, Unsupported::Refuse).expect_err("no name").param, "model");
}

#[test]
fn the_base_url_says_which_api_it_is() {
    assert!(Workers::at("https://api.cloudflare.com/client/v4/accounts/a/ai/run/").native);
    assert!(!Workers::at("https://api.cloudflare.com/client/v4/accounts/a/ai/v1").native);
}

#[test]
fn nothing_optional_is_sent_as_null_or_false() {
    let fields = json!({"temperature": null, "stream": false, "raw": false, "seed": 5, "user": "u", "n": 1, "stop": null,
        "tools": [{"type": "function", "function": {"name": "f", "description": null, "strict": false, "parameters": {"type": "object"}}}]});
    let expected = json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2048, "seed": 5,
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]});
    assert_eq!(native(fields), expected);
}

#[test]
fn the_newer_limit_of_tokens_is_the_one_that_counts() {
    assert_eq!(native(json!({"max_tokens": 5}))["max_tokens"], 5);
    for fields in [json!({"max_tokens": 5, "max_completion_tokens": 9}), json!({"max_completion_tokens": 9})] {
        let body = native(fields);
        assert_eq!((&body["max_tokens"], body.get("max_completion_tokens")), (&json!(9), None));
    }
}

#[test]
fn c53_a_json_schema_is_sent_bare_with_its_name_for_title() {
    let format = |schema: Value| json!({"response_format": {"type": "json_schema", "json_schema": {"name": "place", "strict": true, "schema": schema}}});
    let bare = native(format(json!({"type": "object", "properties": {}})));
    assert_eq!(
        bare["response_format"],
        json!({"type": "json_schema", "json_schema": {"title": "place", "type": "object", "properties": {}}})
    );
    assert_eq!(native(format(json!({"title": "own"})))["response_format"]["json_schema"], json!({"title": "own"}));
    assert_eq!(native(json!({"response_format": {"type": "json_object"}}))["response_format"], json!({"type": "json_object"}));
    assert_eq!(native(json!({"response_format": {"type": "text"}})).get("response_format"), None);
    // Models answer in the order of the schema.
    let body = r#"{"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"properties":{"z":1.50,"a":1}}}}}"#;
    let ChatRequest { messages, params, .. } = parse_request(body.as_bytes()).expect("a request");
    let completion = CompletionRequest {
        model: "m",
        messages: &messages,
        params: &params,
        stream: false,
        unsupported: Unsupported::Refuse,
        name: name(),
    };
    let written = super::request::body(&completion).expect("it fits");
    assert!(std::str::from_utf8(&written).expect("UTF-8").contains(r#"{"title":"n","properties":{"z":1.50,"a":1}}"#));
}

#[test]
fn tool_choices_are_those_that_the_api_knows() {
    let choice = |choice: Value| {
        let body = native(json!({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": choice}));
        (body.get("tools").is_some(), body.get("tool_choice").cloned())
    };
    assert_eq!(choice(json!("any")), (true, Some(json!("required"))));
    assert_eq!(choice(json!("required")), (true, Some(json!("required"))));
    assert_eq!(choice(json!("auto")), (true, None));
    assert_eq!(choice(json!("none")), (false, None));
    let named = json!({"type": "function", "function": {"name": "f"}});
    assert_eq!(choice(named.clone()), (true, Some(named)));
    assert_eq!(native(json!({"tool_choice": "required"})).get("tool_choice"), None);
}

#[test]
fn messages_have_known_roles_and_no_null_content() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}});
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let body = native(json!({"messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
        {"role": "user", "content": [{"type": "text", "text": "see", "cache_control": {}}, image]},
        {"role": "assistant", "content": null, "tool_calls": [call], "refusal": null},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
    ]}));
    let expected = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one\ntwo"},
        {"role": "user", "content": [{"type": "text", "text": "see"}, image]},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "name": "f", "content": "1"},
    ]);
    assert_eq!(body["messages"], expected);
}

#[test]
fn what_the_native_api_cannot_take_is_refused_or_left_out() {
    for (field, value, param) in [
        ("stop", json!(["x"]), "stop"),
        ("n", json!(2), "n"),
        ("logprobs", json!(true), "logprobs"),
        ("tools", json!([{"type": "custom", "custom": {"name": "c"}}]), "tools[0]"),
        ("response_format", json!({"type": "grammar"}), "response_format.type"),
        ("messages", json!([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]), "messages[0].content[0]"),
        ("messages", json!([{"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]}]), "messages[0].tool_calls[0]"),
    ] {
        let mut ask = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        ask[field] = value;
        assert_eq!(request(&NATIVE, &ask, Unsupported::Refuse).expect_err(param).param, param);
        let (_, body) = request(&NATIVE, &ask, Unsupported::Drop).expect("left out");
        assert!(field == "messages" || body.get(field).is_none(), "{body}");
    }
}

#[test]
fn a_list_of_parts_is_its_text_and_its_thought() {
    let content = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "Sum."}]}, {"type": "text", "text": "Four"}]);
    let event = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": content}, "finish_reason": "null"}]}).to_string();
    let mut deltas = Vec::new();
    let mut decoder = NativeDecoder::new(name());
    decoder.event(event.as_bytes(), &mut deltas).expect("an event");
    let said: Vec<String> = deltas
        .iter()
        .filter_map(|delta| match delta {
            crate::chat::Delta::Piece { piece: crate::chat::Piece::Text(text) | crate::chat::Piece::Reasoning(text), .. } => {
                Some(text.clone())
            }
            _ => None,
        })
        .collect();
    assert_eq!(said, ["Sum.", "Four"]);
}

#[test]
fn c51_a_response_that_is_no_string_is_written_as_one() {
    for (response, expected) in
        [(json!(42), "42"), (json!({"a": [1, 2]}), r#"{"a":[1,2]}"#), (json!([1]), "[1]"), (json!(true), "true"), (json!(""), "")]
    {
        let found = whole(&result(json!({"response": response}))).expect("an answer");
        assert_eq!(found["choices"][0]["message"]["content"], expected);
        let (chunks, complete) = streamed(&[json!({"response": response, "p": "padding"})], true);
        assert_eq!((text(&chunks), complete), (expected.to_owned(), true));
    }
    // As it came: a parser that reads numbers would spoil them.
    let found = NativeDecoder::new(name())
        .whole(br#"{"result":{"response":{"b":1.50,"a":10000000000000000000001}},"success":true}"#)
        .expect("an answer");
    assert_eq!(found.choices[0].message.joined_text(), r#"{"b":1.50,"a":10000000000000000000001}"#);
}

#[test]
fn a_native_answer_becomes_a_completion() {
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7});
    let calls =
        json!([{"name": "f", "arguments": {"x": 1}}, {"id": "a", "function": {"name": "g", "arguments": "{}"}}, {"id": "a", "name": "h"}]);
    let found = whole(&result(json!({"response": null, "tool_calls": calls, "usage": usage}))).expect("an answer");
    assert_eq!((&found["id"], &found["model"], &found["created"]), (&json!("chatcmpl-ours"), &json!("@cf/meta/llama"), &json!(7)));
    let choice = &found["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["message"]["content"]), (&json!("tool_calls"), &json!(null)));
    let function =
        |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let expected = json!([
        function("call_chatcmpl-ours_0_0", "f", "{\"x\":1}"),
        function("a", "g", "{}"),
        function("call_chatcmpl-ours_0_2", "h", "{}")
    ]);
    assert_eq!(choice["message"]["tool_calls"], expected);
    assert_eq!((&found["usage"]["prompt_tokens"], &found["usage"]["total_tokens"]), (&json!(5), &json!(7)));
    let cut = whole(&result(json!({"response": "a", "finish_reason": "model_length"}))).expect("an answer");
    assert_eq!((&cut["choices"][0]["finish_reason"], cut.get("usage")), (&json!("length"), None));
}

#[test]
fn openais_shape_inside_the_result_is_read_too() {
    let message = json!({"role": "assistant", "content": "Hi", "reasoning_content": "hm"});
    let inside = json!({"id": "", "model": "", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}});
    for reply in [result(inside.clone()), inside] {
        let found = whole(&reply).expect("an answer");
        assert_eq!((&found["id"], &found["choices"][0]["message"]), (&json!("chatcmpl-ours"), &message));
        assert_eq!(found["usage"], json!({"prompt_tokens": 1}));
    }
}

#[test]
fn a_result_without_an_answer_is_malformed() {
    for reply in
        [result(json!({})), result(json!(null)), result(json!([])), json!({"success": true}), json!([]), result(json!({"usage": {}}))]
    {
        assert!(matches!(whole(&reply), Err(DecodeError::Malformed(_))), "{reply}");
    }
}

#[test]
fn c55_success_false_is_an_error_in_either_api() {
    let failed =
        json!({"success": false, "errors": [{"code": 3040, "message": "Capacity temporarily exceeded"}], "result": null, "messages": []});
    let body = Bytes::from(failed.to_string());
    let ask = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    let ChatRequest { model, messages, params, .. } = parse_request(ask.to_string().as_bytes()).expect("a request");
    let completion = CompletionRequest {
        model: &model,
        messages: &messages,
        params: &params,
        stream: false,
        unsupported: Unsupported::Refuse,
        name: name(),
    };
    let Decoding::OpenAi(mut shaped) = COMPATIBLE.encode_chat(&completion).expect("it fits").1 else {
        panic!("the compatible API is OpenAI-shaped")
    };
    let failures = [
        shaped.whole(&body).map(drop).expect_err("an error"),
        shaped.event(&body).map(drop).expect_err("an error"),
        NativeDecoder::new(name()).whole(&body).map(drop).expect_err("an error"),
        NativeDecoder::new(name()).event(&body, &mut Vec::new()).expect_err("an error"),
        COMPATIBLE.decode_embeddings(1, &body).map(drop).expect_err("an error"),
        NATIVE.decode_embeddings(1, &body).map(drop).expect_err("an error"),
    ];
    for failure in failures {
        let DecodeError::Error(StatusCode::TOO_MANY_REQUESTS, error) = failure else { panic!("{failure:?}") };
        assert_eq!((error.code.as_deref(), error.exhausted), (Some("3040"), false));
    }
}

#[test]
fn c52_the_null_event_that_ends_tool_calls_says_nothing() {
    let call = |id: Value, name: Value, arguments: &str| json!({"response": "", "tool_calls": [{"id": id, "type": "function", "index": 0, "function": {"name": name, "arguments": arguments}}]});
    let events = [call(json!("a"), json!("f"), ""), call(json!(null), json!(null), "{}"), call(json!(null), json!(null), "")];
    let (chunks, complete) = streamed(&events, true);
    let deltas: Vec<&Value> =
        chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0]).filter(|call| !call.is_null()).collect();
    let begin = json!({"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}});
    assert_eq!(deltas, [&begin, &json!({"index": 0, "function": {"arguments": "{}"}})]);
    assert_eq!((complete, &chunks.last().expect("a chunk")["choices"][0]["finish_reason"]), (true, &json!("tool_calls")));
}

#[test]
fn a_call_without_arguments_gets_an_empty_object() {
    let (chunks, _) = streamed(&[json!({"tool_calls": [{"name": "f"}, {"name": "g", "arguments": {"x": 1}}]})], true);
    let function = |chunk: &Value| {
        let call = &chunk["choices"][0]["delta"]["tool_calls"][0];
        call["function"]["arguments"].as_str().map(|arguments| (call["index"].clone(), arguments.to_owned()))
    };
    let arguments: Vec<_> = chunks.iter().filter_map(function).filter(|(_, arguments)| !arguments.is_empty()).collect();
    assert_eq!(arguments, [(json!(1), "{\"x\":1}".to_owned()), (json!(0), "{}".to_owned())]);
}

#[test]
fn a_stream_without_done_was_cut() {
    let events = [
        json!({"response": "Hel"}),
        json!({"response": "lo", "finish_reason": "stop"}),
        json!({"response": "", "usage": {"prompt_tokens": 1}}),
    ];
    let (chunks, complete) = streamed(&events, false);
    assert!(!complete && chunks.iter().all(|chunk| chunk["choices"][0]["finish_reason"].is_null()));
    let (chunks, complete) = streamed(&events, true);
    assert_eq!(
        (complete, text(&chunks).as_str(), &chunks.last().expect("a chunk")["choices"][0]["finish_reason"]),
        (true, "Hello", &json!("stop"))
    );
    assert!(!streamed(&[], true).1, "nothing was said");
}

#[test]
fn events_of_both_shapes_may_be_mixed() {
    let chunk = |delta: Value, reason: Value| json!({"id": "x", "model": "y", "created": 3, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let events = [
        chunk(json!({"role": "assistant", "reasoning": "hm"}), json!(null)),
        json!({"response": "a"}),
        chunk(json!({"content": "b"}), json!("length")),
        json!({"usage": {"prompt_tokens": 1}}),
    ];
    let (chunks, complete) = streamed(&events, true);
    assert!(complete && chunks.iter().all(|chunk| chunk["id"] == "x" && chunk["model"] == "y"));
    assert_eq!(text(&chunks), "ab");
    assert_eq!(chunks[1]["choices"][0]["delta"]["reasoning_content"], "hm");
    assert_eq!(chunks.last().expect("a chunk")["choices"][0]["finish_reason"], "length");
}

#[test]
fn native_vectors_are_in_their_result() {
    let inputs = ["a".to_owned(), "b".to_owned()];
    let ask = EmbeddingsRequest { model: "@cf/baai/bge-base-en-v1.5", inputs: &inputs, tokens: None, dimensions: None, user: Some("u") };
    let wire = NATIVE.encode_embeddings(&ask).expect("it fits");
    assert_eq!((wire.path.as_str(), &wire.body[..]), ("/@cf/baai/bge-base-en-v1.5", &br#"{"text":["a","b"]}"#[..]));
    let fixed = EmbeddingsRequest { dimensions: Some(5), ..ask };
    assert_eq!(NATIVE.encode_embeddings(&fixed).expect_err("fixed").param, "dimensions");
    let tokens = crate::chat::codec::json("[[1]]".into()).expect("JSON");
    let counted = EmbeddingsRequest { tokens: Some(&tokens), ..ask };
    assert_eq!(NATIVE.encode_embeddings(&counted).expect_err("tokens").param, "input");
    let body = result(json!({"shape": [2, 2], "data": [[1.0, 2.0], [3.0, 4.0]]})).to_string();
    assert_eq!(
        NATIVE.decode_embeddings(2, body.as_bytes()),
        Ok(Embedded { vectors: vec![vec![1.0, 2.0], vec![3.0, 4.0]], prompt_tokens: 0 })
    );
    assert!(matches!(NATIVE.decode_embeddings(3, body.as_bytes()), Err(DecodeError::Malformed(_))));
    let wire = COMPATIBLE.encode_embeddings(&ask).expect("it fits");
    assert_eq!(wire.path, "/embeddings");
}

#[test]
fn more_calls_in_a_whole_reply_than_in_a_stream_are_malformed() {
    let calls =
        |count: usize| result(json!({"response": null, "tool_calls": vec![json!({"id": "a", "name": "f", "arguments": {}}); count]}));
    let most = whole(&calls(256)).expect("at the edge");
    let ids: std::collections::HashSet<&str> =
        most["choices"][0]["message"]["tool_calls"].as_array().expect("calls").iter().filter_map(|call| call["id"].as_str()).collect();
    assert_eq!(ids.len(), 256);
    assert!(matches!(whole(&calls(257)), Err(DecodeError::Malformed(_))));
}

#[test]
fn very_many_answers_of_tools_cost_no_more_than_their_bytes() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": format!("f-{id}"), "arguments": "{}"}});
    let answer = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "x"});
    let mut messages = vec![json!({"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]})];
    messages.extend((0..60_000).map(|at| answer(if at % 2 == 0 { "a" } else { "b" })));
    messages.push(json!({"role": "assistant", "content": null, "tool_calls": [{"id": "a", "type": "function", "function": {"name": "g", "arguments": "{}"}}]}));
    messages.extend([answer("a"), answer("c")]);
    let sent = native(json!({"messages": messages}));
    let names: Vec<_> = [1, 2, 60_002, 60_003].iter().map(|at| sent["messages"][at]["name"].as_str()).collect();
    assert_eq!(names, [Some("f-a"), Some("f-b"), Some("g"), None]);
}

#[test]
fn the_names_of_a_reply_are_taken_once_and_not_if_they_are_too_long() {
    use crate::chat::{Delta, HEAD_BYTES_MAX};
    let mut decoder = NativeDecoder::new(name());
    let mut heads = |event: Value| {
        let mut deltas = Vec::new();
        decoder.event(event.to_string().as_bytes(), &mut deltas).expect("an event");
        deltas.into_iter().filter(|delta| matches!(delta, Delta::Head { .. })).count()
    };
    assert_eq!(heads(json!({"id": "x".repeat(HEAD_BYTES_MAX - 1), "response": "a"})), 0, "its JSON text is over the limit");
    assert_eq!(heads(json!({"id": "x".repeat(HEAD_BYTES_MAX - 2), "response": "a"})), 1);
    assert_eq!(heads(json!({"id": "x", "model": "m", "response": "a"})), 1, "the model is new");
    assert_eq!(heads(json!({"id": "y", "model": "n", "response": "a"})), 0);
}
