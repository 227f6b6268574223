//! Tools as clients offer them unasked: mixed kinds, old functions, fields of one API that reach another, pictures in results.

use serde_json::{Value, json};

use super::{House, house, last_sent, of_anthropic, of_gemini, reply, said};

const PATCH: &str = "*** Begin Patch\n+hi \"there\"\n*** End Patch\n";

fn function() -> Value {
    json!({"type": "function", "name": "shell", "strict": false, "parameters": {"type": "object", "properties": {"cmd": {"type": "string"}}}})
}

fn custom() -> Value {
    let format = json!({"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"});
    json!({"type": "custom", "name": "apply_patch", "description": "Edits files.", "format": format})
}

fn item<'a>(response: &'a Value, kind: &str) -> &'a Value {
    let output = response["output"].as_array().expect("a list");
    output.iter().find(|item| item["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {response}"))
}

/// Every provider calls the first tool that it was given, with `arguments`, and after a result says `done`.
fn all_call(house: &House, arguments: &'static str) {
    house.op.answer_with(move |request| {
        let body = request.json();
        if body["messages"].as_array().expect("a list").iter().any(|message| message["role"] == "tool") {
            return reply(request, &said("done"), "stop");
        }
        let function = json!({"name": body["tools"][0]["function"]["name"], "arguments": arguments});
        reply(
            request,
            &json!({"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}),
            "tool_calls",
        )
    });
    house.an.answer_with(move |request| {
        let body = request.json();
        if body.to_string().contains("tool_result") {
            return of_anthropic(request, &[json!({"type": "text", "text": "done"})], "end_turn");
        }
        let input: Value = serde_json::from_str(arguments).expect("JSON");
        of_anthropic(request, &[json!({"type": "tool_use", "id": "toolu_1", "name": body["tools"][0]["name"], "input": input})], "tool_use")
    });
    house.ge.answer_with(move |request| {
        let body = request.json();
        if body.to_string().contains("functionResponse") {
            return of_gemini(request, &[json!({"text": "done"})]);
        }
        let args: Value = serde_json::from_str(arguments).expect("JSON");
        let name = &body["tools"][0]["functionDeclarations"][0]["name"];
        of_gemini(request, &[json!({"functionCall": {"name": name, "args": args}})])
    });
}

const MODELS: [&str; 4] = ["op/m", "an/claude-sonnet-4-5", "ge/gemini-2.5-flash", "redacted"];

/// Case 30: Codex sends functions, a custom tool and tools of OpenAI's servers in one list.
#[tokio::test]
async fn a_custom_tool_is_called_with_its_raw_text_and_takes_its_output_with_every_provider() {
    let house = house().await;
    all_call(&house, r#"{"input":"*** Begin Patch\n+hi \"there\"\n*** End Patch\n"}"#);
    for model in MODELS {
        for stream in [false, true] {
            let user = json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "write hi"}]});
            let body = json!({"model": model, "input": [user], "tools": [custom(), function(), {"type": "web_search"}]});
            let response = house.respond(body, stream).await;
            let call = item(&response, "custom_tool_call");
            assert_eq!((&call["name"], &call["input"]), (&json!("apply_patch"), &json!(PATCH)), "{model} {response}");
            let output = json!({"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "ok"});
            let next = json!({"model": model, "input": [user, call, output], "tools": [custom(), function()]});
            let response = house.respond(next, stream).await;
            assert_eq!(item(&response, "message")["content"][0]["text"], "done", "{model}");
        }
    }
}

/// Case 30, in the chat endpoint's own form.
#[tokio::test]
async fn a_chat_s_custom_tool_is_called_whole_and_streamed() {
    let house = house().await;
    all_call(&house, r#"{"input":"+x"}"#);
    let tools = json!([{"type": "custom", "custom": {"name": "apply_patch"}}]);
    for model in MODELS {
        let whole = house.client.chat(model, "hi", json!({"tools": tools})).await.ok().json();
        let call = &whole["choices"][0]["message"]["tool_calls"][0];
        assert_eq!((&call["type"], &call["custom"]), (&json!("custom"), &json!({"name": "apply_patch", "input": "+x"})), "{model}");
        let events = house.client.chat_stream(model, "hi", json!({"tools": tools})).await.all().await.expect("a whole stream");
        let chunks: Vec<Value> = events.iter().filter_map(|event| serde_json::from_str(event).ok()).collect();
        let calls = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0]["custom"]);
        let input: String = calls.filter_map(|custom| custom["input"].as_str()).collect();
        assert_eq!(input, "+x", "{model} {events:?}");
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    }
}

/// Case 30: tools in a namespace, as Codex offers those of MCP servers, and the local shell.
#[tokio::test]
async fn a_tool_of_a_namespace_and_the_local_shell_come_back_as_they_were_offered() {
    let house = house().await;
    all_call(&house, r#"{"command":["ls"]}"#);
    let namespace = json!({"type": "namespace", "name": "mcp__x", "description": "d", "tools": [function()]});
    for stream in [false, true] {
        let response = house.respond(json!({"model": "op/m", "input": "hi", "tools": [namespace]}), stream).await;
        let call = item(&response, "function_call");
        assert_eq!((&call["namespace"], &call["name"]), (&json!("mcp__x"), &json!("shell")));
        assert_eq!(last_sent(&house.op)["tools"][0]["function"]["name"], "mcp__x__shell");
        let output = json!({"type": "function_call_output", "call_id": call["call_id"], "output": "ok"});
        let next = json!({"model": "op/m", "input": [{"role": "user", "content": "hi"}, call, output], "tools": [namespace]});
        house.respond(next, stream).await;
        assert_eq!(last_sent(&house.op)["messages"][1]["tool_calls"][0]["function"]["name"], "mcp__x__shell");
        let response = house.respond(json!({"model": "op/m", "input": "hi", "tools": [{"type": "local_shell"}]}), stream).await;
        assert_eq!(item(&response, "local_shell_call")["action"], json!({"type": "exec", "command": ["ls"], "env": {}}));
    }
}

/// Case 30: what cannot be done is refused only if it must be.
#[tokio::test]
async fn a_hosted_tool_is_left_out_and_refused_if_it_is_chosen() {
    let house = house().await;
    all_call(&house, "{}");
    for kind in ["web_search", "file_search", "code_interpreter", "image_generation", "mcp", "tool_search"] {
        let mut body = json!({"model": "op/m", "input": "hi", "tools": [function(), {"type": kind}]});
        let response = house.respond(body.clone(), false).await;
        assert_eq!(response["tools"].as_array().map(Vec::len), Some(1));
        assert_eq!(last_sent(&house.op)["tools"].as_array().map(Vec::len), Some(1));
        body["tool_choice"] = json!({"type": kind});
        let refused = house.client.post("/v1/responses", &body).await;
        assert_eq!((refused.status.as_u16(), &refused.json()["error"]["param"]), (400, &json!("tool_choice.type")), "{kind}");
    }
}

/// Case 73: what belongs to the Responses API alone reaches no provider, and ends no turn.
#[tokio::test]
async fn every_field_that_codex_sends_is_taken_and_none_reaches_a_provider_under_a_name_that_it_does_not_know() {
    let house = house().await;
    house.op.answer_with(|request| reply(request, &said("ok"), "stop"));
    house.an.answer_with(|request| of_anthropic(request, &[json!({"type": "text", "text": "ok"})], "end_turn"));
    house.ge.answer_with(|request| of_gemini(request, &[json!({"text": "ok"})]));
    let body = json!({"input": "hi", "store": false, "instructions": "You code.", "tools": [function()], "tool_choice": "auto",
        "parallel_tool_calls": true, "client_metadata": {"x": "1"}, "prompt_cache_key": "k", "text": {"verbosity": "medium"},
        "reasoning": {"effort": "medium", "summary": "auto"}, "include": ["reasoning.encrypted_content"], "service_tier": "auto",
        "max_tool_calls": 5, "safety_identifier": "u", "metadata": {"a": "b"}, "truncation": "disabled",
        "stream_options": {"include_obfuscation": false}});
    for model in ["op/m", "an/claude-sonnet-4-5", "ge/gemini-2.5-flash"] {
        for stream in [false, true] {
            let mut body = body.clone();
            body["model"] = model.into();
            assert_eq!(item(&house.respond(body, stream).await, "message")["content"][0]["text"], "ok", "{model}");
        }
    }
    let known = [
        "model",
        "messages",
        "stream",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "prompt_cache_key",
        "verbosity",
        "reasoning_effort",
        "service_tier",
        "safety_identifier",
        "stream_options",
    ];
    for request in house.op.requests() {
        let sent = request.json();
        let odd: Vec<&String> = sent.as_object().expect("an object").keys().filter(|name| !known.contains(&name.as_str())).collect();
        assert!(odd.is_empty(), "{odd:?}");
    }
}

/// Case 21: clients of before tools.
#[tokio::test]
async fn old_functions_are_taken_by_every_provider_and_answered_in_their_own_form() {
    let house = house().await;
    all_call(&house, r#"{"q":"x"}"#);
    let functions = json!({"functions": [{"name": "search", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}}],
        "function_call": "auto"});
    let history = json!([
        {"role": "user", "content": "find x"},
        {"role": "assistant", "content": null, "function_call": {"name": "search", "arguments": "{\"q\":\"x\"}"}},
        {"role": "function", "name": "search", "content": "found"},
    ]);
    for model in ["an/claude-sonnet-4-5", "ge/gemini-2.5-flash"] {
        let choice = house.client.chat(model, "find x", functions.clone()).await.ok().json()["choices"][0].clone();
        assert_eq!(
            (&choice["message"]["function_call"]["name"], &choice["finish_reason"]),
            (&json!("search"), &json!("function_call")),
            "{model}"
        );
        let events = house.client.chat_stream(model, "find x", functions.clone()).await.all().await.expect("a whole stream");
        let chunks: Vec<Value> = events.iter().filter_map(|event| serde_json::from_str(event).ok()).collect();
        let told = |field: &str| -> String {
            chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["function_call"][field].as_str()).collect()
        };
        assert_eq!((told("name"), told("arguments")), ("search".into(), r#"{"q":"x"}"#.into()), "{model}");
        let reasons: Vec<&str> = chunks.iter().filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str()).collect();
        assert_eq!(reasons, ["function_call"]);
        let answer = house.client.post("/v1/chat/completions", &json!({"model": model, "messages": history})).await.ok();
        assert_eq!(answer.content(), "done", "{model}");
    }
    house.client.chat("op/m", "hi", functions.clone()).await.ok();
    let sent = last_sent(&house.op);
    assert_eq!((&sent["functions"], &sent["tools"]), (&functions["functions"], &Value::Null), "OpenAI still has them");
}

/// Case 32: a tool's output that holds a picture.
#[tokio::test]
async fn a_picture_in_the_output_of_a_tool_reaches_every_provider() {
    let house = house().await;
    house.op.answer_with(|request| reply(request, &said("seen"), "stop"));
    house.an.answer_with(|request| of_anthropic(request, &[json!({"type": "text", "text": "seen"})], "end_turn"));
    house.ge.answer_with(|request| of_gemini(request, &[json!({"text": "seen"})]));
    let image = json!({"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "auto"});
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "shell", "arguments": "{}"});
    for output in [json!([{"type": "input_text", "text": "a picture"}, image]), json!([image])] {
        let input = json!([{"role": "user", "content": "look"}, call("c1"), call("c2"),
            {"type": "function_call_output", "call_id": "c1", "output": output}, {"type": "function_call_output", "call_id": "c2", "output": "plain"}]);
        for (model, upstream) in [("op/m", &house.op), ("an/claude-sonnet-4-5", &house.an), ("ge/gemini-3-pro-preview", &house.ge)] {
            house.respond(json!({"model": model, "input": input, "tools": [function()]}), false).await;
            assert!(last_sent(upstream).to_string().contains("iVBORw0KGgo="), "{model}");
        }
        let messages = last_sent(&house.op)["messages"].clone();
        let list = messages.as_array().expect("a list");
        let roles: Vec<&str> = list.iter().filter_map(|message| message["role"].as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "tool", "user"]);
        assert!(list.iter().filter(|message| message["role"] == "tool").all(|message| !message.to_string().contains("image_url")));
    }
}
