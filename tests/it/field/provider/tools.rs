//! Schemas and names of tools that a vendor refuses, with all the rest of the request, are rewritten and come back as the client's own.

use serde_json::{Value, json};

use super::*;

fn function(name: &str, parameters: &Value) -> Value {
    json!([{"type": "function", "function": {"name": name, "parameters": parameters}}])
}

/// Case 22.
#[tokio::test]
async fn the_root_of_a_tool_s_schema_is_one_object() {
    let gateway = gateway(ONCE).await;
    let properties = json!({"route": {"type": "string"}, "file": {"type": "string"}});
    let of = |name: &str| json!({"type": "object", "properties": {name: {"type": "string"}}, "required": [name]});
    let schemas = [
        json!({"type": "object", "properties": properties, "anyOf": [{"required": ["route"]}, {"required": ["file"]}]}),
        json!({"oneOf": [of("route"), of("file")]}),
        json!({"type": "object", "allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"type": "object", "properties": properties}}}),
        json!({"$ref": "#/definitions/A", "definitions": {"A": {"type": "object", "properties": properties}}}),
        json!({"properties": properties}),
        json!({"type": ["object", "null"], "properties": properties}),
        json!({"type": ["object", "string"], "properties": properties}),
    ];
    for schema in &schemas {
        for strict in [false, true] {
            let mut tools = function("impact", schema);
            tools[0]["function"]["strict"] = json!(strict);
            gateway.upstream.next(Script::json(200, &message(json!([{"type": "text", "text": "ok"}]), "end_turn")));
            gateway.client.chat("anthropic", "hi", json!({"tools": tools})).await.ok();
            let sent = gateway.upstream.requests().pop().expect("a request").json()["tools"][0]["input_schema"].clone();
            assert_eq!(sent["type"], "object", "{schema}");
            assert!(["anyOf", "oneOf", "allOf", "$ref"].iter().all(|keyword| sent.get(keyword).is_none()), "{sent}");
            assert!(sent["properties"]["route"].is_object() && sent["properties"]["file"].is_object(), "{sent}");
        }
        gateway.upstream.next(Script::json(200, &candidate(json!({"parts": [{"text": "ok"}]}), "STOP")));
        gateway.client.chat("gemini", "hi", json!({"tools": function("impact", schema)})).await.ok();
        let sent =
            gateway.upstream.requests().pop().expect("a request").json()["tools"][0]["functionDeclarations"][0]["parameters"].clone();
        assert_eq!((&sent["type"], sent.get("anyOf")), (&json!("OBJECT"), None), "{schema}: {sent}");
        assert!(sent["properties"]["route"].is_object() && sent["properties"]["file"].is_object(), "{sent}");
    }
    let told = gateway.upstream.requests()[0].json()["tools"][0]["input_schema"]["description"].clone();
    assert_eq!(told, "Give at least one of these: `route`; or `file`.");
}

/// A brother of case 22: keys of properties that Anthropic refuses, as OData's.
#[tokio::test]
async fn a_key_that_anthropic_refuses_goes_out_changed_and_comes_back_as_it_was() {
    let gateway = gateway(ONCE).await;
    let schema =
        json!({"type": "object", "properties": {"$filter": {"type": "string"}, "user id": {"type": "integer"}}, "required": ["$filter"]});
    let ask = json!({"tools": function("list", &schema)});
    let block = |input: Value| json!({"type": "tool_use", "id": "t", "name": "list", "input": input});
    gateway.upstream.next(Script::json(200, &message(json!([block(json!({"_filter": "x", "user_id": 1}))]), "tool_use")));
    let reply = gateway.client.chat("anthropic", "hi", ask.clone()).await.ok().json();
    assert_eq!(reply["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"], r#"{"$filter":"x","user id":1}"#);
    let sent = gateway.upstream.requests().pop().expect("a request").json()["tools"][0]["input_schema"].clone();
    assert_eq!((&sent["required"], sent["properties"]["user_id"].is_object()), (&json!(["_filter"]), true), "{sent}");
    let part = |text: &str| json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": text}});
    gateway.upstream.next(named(&[
        json!({"type": "message_start", "message": {"id": "m", "model": "c"}}),
        json!({"type": "content_block_start", "index": 0, "content_block": block(json!({}))}),
        part(r#"{"_fil"#),
        part(r#"ter":"x"}"#),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}),
        json!({"type": "message_stop"}),
    ]));
    let events = gateway.stream("anthropic", ask).await;
    let said = |chunk: &Value| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str().map(str::to_owned);
    let arguments: String = events.chunks().iter().filter_map(said).collect();
    assert_eq!((arguments.as_str(), events.reasons()), (r#"{"$filter":"x"}"#, vec!["tool_calls".to_owned()]));
}

/// Case 29.
#[tokio::test]
async fn a_name_that_gemini_refuses_goes_out_changed_and_comes_back_as_it_was() {
    let gateway = gateway(ONCE).await;
    let is_taken = |name: &str| {
        let mut chars = name.chars();
        let begins = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        begins && name.len() <= 64 && chars.all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c))
    };
    for name in ["21st_magic_component_builder", "fs/read file", &format!("mcp__{}", "x".repeat(70)), "größe", "ok.name:with-all_1"] {
        let history = json!([{"role": "user", "content": "x"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": name, "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "y"}]);
        gateway.upstream.answer_with(|request| {
            let declared = request.json()["tools"][0]["functionDeclarations"][0]["name"].clone();
            let reply = candidate(json!({"role": "model", "parts": [{"functionCall": {"name": declared, "args": {"a": 1}}}]}), "STOP");
            if request.path.contains("stream") { undone(&[reply]) } else { Script::json(200, &reply) }
        });
        let choice = json!({"type": "function", "function": {"name": name}});
        let ask = json!({"tools": function(name, &json!({"type": "object", "properties": {"a": {"type": "integer"}}})), "messages": history, "tool_choice": choice});
        let reply = gateway.client.chat("gemini", "hi", ask.clone()).await.ok().json();
        assert_eq!(reply["choices"][0]["message"]["tool_calls"][0]["function"]["name"], name);
        let events = gateway.stream("gemini", ask).await.chunks();
        let streamed =
            events.iter().find_map(|chunk| chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["name"].as_str().map(str::to_owned));
        assert_eq!(streamed.as_deref(), Some(name));
        let sent = gateway.upstream.requests().pop().expect("a request").json();
        let wire = sent["tools"][0]["functionDeclarations"][0]["name"].as_str().expect("a name").to_owned();
        assert!(is_taken(&wire), "{wire}");
        assert_eq!(wire == name, is_taken(name), "a name that is taken stays");
        for same in [
            &sent["contents"][1]["parts"][0]["functionCall"]["name"],
            &sent["contents"][2]["parts"][0]["functionResponse"]["name"],
            &sent["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"][0],
        ] {
            assert_eq!(same, &json!(wire), "{sent}");
        }
    }
}
