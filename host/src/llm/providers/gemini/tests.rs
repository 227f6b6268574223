//! Requests as Gemini gets them, by the numbers of the conformance list, and what is refused. Golden files show whole conversations.

use serde_json::{Value, json};

use super::*;
use crate::chat::Name;
use crate::chat::codec::parse_request;
use crate::llm::adapter::Unsupported;
use crate::llm::golden;

fn encoded(body: &Value, unsupported: Unsupported) -> Result<Value, UnsupportedField> {
    let wire = posted(&body.to_string(), unsupported)?;
    Ok(serde_json::from_slice(&wire.body).expect("JSON"))
}

fn posted(body: &str, unsupported: Unsupported) -> Result<HttpRequest, UnsupportedField> {
    let request = parse_request(body.as_bytes()).expect("a chat request");
    let name = Name { id: "chatcmpl-ours".into(), model: request.model.clone(), created: 7 };
    let (model, messages, params, stream) = (&request.model, &request.messages, &request.params, request.stream);
    Ok(Gemini::new().encode_chat(&CompletionRequest { model, messages, params, stream, unsupported, name })?.0)
}

fn body(body: Value) -> Value {
    encoded(&body, Unsupported::Refuse).expect("fits")
}

#[track_caller]
fn refused(body: Value, param: &str, part: &str) {
    let refused = encoded(&body, Unsupported::Refuse).expect_err("must be refused");
    assert_eq!(refused.param, param, "{}", refused.message);
    assert!(refused.message.contains(part), "{}", refused.message);
}

/// A question to `model` with more fields.
fn with(model: &str, fields: Value) -> Value {
    let mut body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
    body.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    body
}

/// A conversation with gemini-2.5-flash.
fn talk(messages: Value) -> Value {
    json!({"model": "gemini-2.5-flash", "messages": messages})
}

fn contents(messages: Value) -> Value {
    body(talk(messages))["contents"].take()
}

fn call(id: &str, name: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}})
}

fn result(id: &str, content: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": content})
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn calls(calls: Value) -> Value {
    json!({"role": "assistant", "content": null, "tool_calls": calls})
}

#[test]
fn the_golden_files_come_out_as_they_are_written() {
    golden::check(&Gemini::new(), "gemini");
}

#[test]
fn a_key_has_its_own_header_and_a_token_is_a_bearers() {
    let gemini = Gemini::new();
    assert_eq!(gemini.credentials("AIza123"), (HeaderName::from_static("x-goog-api-key"), "AIza123".to_owned()));
    assert_eq!(gemini.credentials("ya29.abc"), (header::AUTHORIZATION, "Bearer ya29.abc".to_owned()));
}

#[test]
fn c30_roles_alternate_however_the_conversation_went() {
    let assistant = |text: &str| json!({"role": "assistant", "content": text});
    let found = contents(
        json!([user("a"), user("b"), assistant("c"), assistant(""), assistant("d"), {"role": "system", "content": "s"}, user("e")]),
    );
    assert_eq!(
        found,
        json!([
            {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
            {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
            {"role": "user", "parts": [{"text": "e"}]}])
    );
}

#[test]
fn c30_a_conversation_is_never_empty() {
    let filler = json!([{"role": "user", "parts": [{"text": " "}]}]);
    let found = body(talk(json!([{"role": "system", "content": "s"}, {"role": "developer", "content": [{"type": "text", "text": "t"}]}])));
    assert_eq!(found["contents"], filler);
    assert_eq!(found["systemInstruction"], json!({"parts": [{"text": "s"}, {"text": "t"}]}));
    assert_eq!(contents(json!([user("")])), filler);
    assert_eq!(contents(json!([{"role": "user", "content": [{"type": "text", "text": ""}]}])), filler);
}

#[test]
fn c31_a_turn_of_images_alone_gets_a_text() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}});
    let found = contents(json!([{"role": "user", "content": [image]}]));
    let parts = json!([{"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}, {"text": " "}]);
    assert_eq!(found, json!([{"role": "user", "parts": parts}]));
    let found = contents(json!([{"role": "user", "content": [image]}, user("What is it?")]));
    assert_eq!(found[0]["parts"][1], json!({"text": "What is it?"}));
}

#[test]
fn c32_a_result_carries_the_name_of_the_function_that_was_called() {
    let found = contents(json!([
        user("q"),
        calls(json!([call("a__thought__c2ln", "first")])),
        result("a", "1"),
        calls(json!([call("b", "second")])),
        result("b__thought__c2ln", "2")
    ]));
    let name = |turn: usize| found[turn]["parts"][0]["functionResponse"]["name"].clone();
    assert_eq!([name(2), name(4)], ["first", "second"]);
    refused(talk(json!([user("q"), result("nobody", "1")])), "messages[1].tool_call_id", "no call");
    refused(talk(json!([user("q"), {"role": "tool", "content": "1"}])), "messages[1].tool_call_id", "missing");
}

#[test]
fn c32_an_id_that_was_used_twice_means_the_call_before_the_result() {
    let found = contents(json!([
        user("q"),
        calls(json!([call("x", "first")])),
        result("x", "1"),
        calls(json!([call("x", "second")])),
        result("x", "2")
    ]));
    assert_eq!(found[4]["parts"][0]["functionResponse"]["name"], "second");
}

#[test]
fn c33_results_stand_together_in_the_order_of_their_calls() {
    let found = contents(json!([
        user("q"),
        calls(json!([call("a", "f"), call("b", "g"), call("c", "h")])),
        result("c", "3"),
        result("a", "1"),
        result("b", "2"),
        user("And?")
    ]));
    let names: Vec<&Value> = found[2]["parts"].as_array().expect("parts").iter().map(|part| &part["functionResponse"]["name"]).collect();
    assert_eq!(names, ["f", "g", "h"]);
    assert_eq!(found[3], json!({"role": "user", "parts": [{"text": "And?"}]}), "Gemini 3 takes nothing beside results");
}

#[test]
fn c33_results_stand_behind_their_calls_though_the_user_spoke_in_between() {
    let found = contents(json!([
        user("q"),
        calls(json!([call("a", "f"), call("b", "g")])),
        user("wait"),
        result("b", "2"),
        user("go on"),
        result("a", "1"),
        {"role": "assistant", "content": "done"}
    ]));
    let answer = |name: &str, text: &str| json!({"functionResponse": {"name": name, "response": {"content": text}}});
    assert_eq!(found[2], json!({"role": "user", "parts": [answer("f", "1"), answer("g", "2")]}));
    assert_eq!(found[3], json!({"role": "user", "parts": [{"text": "wait"}, {"text": "go on"}]}));
    assert_eq!(found[4], json!({"role": "model", "parts": [{"text": "done"}]}));
}

#[test]
fn c30_a_conversation_begins_with_the_user() {
    let found = contents(json!([calls(json!([call("a", "f")])), result("a", "1")]));
    assert_eq!(found[0], json!({"role": "user", "parts": [{"text": " "}]}));
    assert_eq!(found[1]["role"], "model");
}

#[test]
fn what_an_assistant_refused_is_what_it_said_and_audio_is_not_lost_in_silence() {
    let parts = |message: Value| contents(json!([user("q"), message]))[1].take();
    let expected = json!({"role": "model", "parts": [{"text": "No."}]});
    assert_eq!(parts(json!({"role": "assistant", "content": null, "refusal": "No."})), expected);
    assert_eq!(
        parts(json!({"role": "assistant", "content": "No.", "refusal": null, "annotations": [], "audio": null,
        "function_call": null, "tool_calls": null, "parsed": null})),
        expected
    );
    let audio = talk(json!([user("q"), {"role": "assistant", "audio": {"id": "a"}}]));
    refused(audio.clone(), "messages[1].audio", "transcript");
    assert!(encoded(&audio, Unsupported::Drop).is_ok());
}

#[test]
fn parts_of_other_kinds_are_left_out_where_the_operator_chose_that() {
    let odd = talk(json!([{"role": "user", "content": [{"type": "hologram"}, {"type": "text", "text": "a"}]}]));
    refused(odd.clone(), "messages[0].content[0].type", "image_url");
    assert_eq!(encoded(&odd, Unsupported::Drop).expect("left out")["contents"][0]["parts"], json!([{"text": "a"}]));
}

#[test]
fn a_choice_names_a_tool_that_there_is() {
    let choice = |name: &str| {
        let tools = json!([{"type": "function", "function": {"name": "f"}}]);
        with("gemini-2.5-flash", json!({"tools": tools, "tool_choice": {"type": "function", "function": {"name": name}}}))
    };
    assert_eq!(body(choice("f"))["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"], json!(["f"]));
    refused(choice("g"), "tool_choice", "`g`, which is none of `tools`");
}

#[test]
fn a_result_is_an_object_and_never_a_reference() {
    let response = |content: &str| {
        let found = contents(json!([user("q"), calls(json!([call("a", "f")])), result("a", content)]));
        found[2]["parts"][0]["functionResponse"]["response"].clone()
    };
    assert_eq!(response("{\"ok\": true}"), json!({"ok": true}));
    assert_eq!(response("[1]"), json!({"content": "[1]"}));
    assert_eq!(response(""), json!({"content": ""}));
    for reference in [r##"{"$ref":"#/x"}"##, r##"{"a":[{"\u0024ref":"x"}]}"##] {
        assert_eq!(response(reference), json!({"content": reference}));
    }
}

#[test]
fn old_function_calls_and_their_results_are_understood() {
    let found = contents(json!([
        user("q"), {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{\"a\":1}"}},
        {"role": "function", "name": "f", "content": "1"}]));
    assert_eq!(found[1]["parts"], json!([{"functionCall": {"name": "f", "args": {"a": 1}}}]));
    assert_eq!(found[2]["parts"], json!([{"functionResponse": {"name": "f", "response": {"content": "1"}}}]));
}

#[test]
fn c34_a_signature_goes_back_on_the_part_that_had_it() {
    let beside = json!({"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "YmVzaWRl"}}});
    let found = body(json!({"model": "gemini-3-pro-preview", "messages": [
        user("q"), calls(json!([call("a__thought__c2ln", "f"), call("a2", "f")])), result("a", "1"), result("a2", "1"),
        calls(json!([beside])), result("b", "2")]}));
    let signatures = |turn: usize| -> Vec<Value> {
        let parts = found["contents"][turn]["parts"].as_array().expect("parts").clone();
        parts.iter().map(|part| part["thoughtSignature"].clone()).collect()
    };
    assert_eq!(signatures(1), [json!("c2ln"), Value::Null], "of parallel calls the first is signed");
    assert_eq!(signatures(3), [json!("YmVzaWRl")], "of calls in sequence each");
    assert_eq!(found["contents"][1]["parts"][0]["functionCall"]["id"], "a");
}

#[test]
fn c34_calls_of_another_model_get_a_stand_in_in_the_current_turn_only() {
    let messages = json!([
        user("q"), calls(json!([call("a", "f")])), result("a", "1"), {"role": "assistant", "content": "x"},
        user("r"), calls(json!([call("b", "f"), call("c", "f")])), result("b", "1"), result("c", "1"), calls(json!([call("d", "f")])), result("d", "1")]);
    let signatures = |model: &str| -> Vec<Value> {
        let found = body(json!({"model": model, "messages": messages}));
        let parts = found["contents"].as_array().expect("turns").iter().flat_map(|turn| turn["parts"].as_array().expect("parts"));
        parts.filter(|part| part.get("functionCall").is_some()).map(|part| part["thoughtSignature"].clone()).collect()
    };
    let no_signature = json!(tools::NO_SIGNATURE);
    assert_eq!(signatures("gemini-3-flash-preview"), [Value::Null, no_signature.clone(), Value::Null, no_signature]);
    assert_eq!(signatures("gemini-2.5-flash"), [Value::Null, Value::Null, Value::Null, Value::Null]);
}

#[test]
fn ids_of_calls_go_to_gemini_3_only() {
    let messages = json!([user("q"), calls(json!([call("a", "f")])), result("a", "1")]);
    let id = |model: &str| body(json!({"model": model, "messages": messages}))["contents"][1]["parts"][0]["functionCall"]["id"].clone();
    assert_eq!(["gemini-3-pro", "gemini-2.5-pro", "gemini-flash-latest"].map(id), [json!("a"), Value::Null, Value::Null]);
}

#[test]
fn c43_a_schema_bomb_names_the_tool_that_holds_it() {
    let mut defs = serde_json::Map::new();
    defs.insert("D0".into(), json!({"type": "string"}));
    for at in 1..25 {
        let below = json!({"$ref": format!("#/$defs/D{}", at - 1)});
        defs.insert(format!("D{at}"), json!({"type": "object", "properties": {"a": below, "b": below}}));
    }
    let bomb = json!({"$defs": defs, "$ref": "#/$defs/D24"});
    let tool = |parameters: &Value| json!({"type": "function", "function": {"name": "f", "parameters": parameters}});
    let tools = json!({"tools": [tool(&json!({"type": "object"})), tool(&bomb)]});
    refused(with("gemini-2.5-flash", tools), "tools[1].function.parameters", "too large");
    let format = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": bomb}}});
    refused(with("gemini-1.5-flash", format.clone()), "response_format.json_schema.schema", "too large");
    assert!(encoded(&with("gemini-2.5-flash", format), Unsupported::Refuse).is_ok(), "since 2.0 references stay references");
}

#[test]
fn what_gemini_cannot_do_is_refused_by_name_or_left_out() {
    let tool = json!({"type": "function", "function": {"name": "f"}});
    for (model, fields, param) in [
        ("gemini-2.5-flash", json!({"logit_bias": {"5": 1}}), "logit_bias"),
        ("gemini-2.5-flash", json!({"functions": []}), "functions"),
        ("gemini-2.5-flash", json!({"seed": 4_294_967_296_u64}), "seed"),
        ("gemini-2.5-flash", json!({"modalities": ["audio"]}), "modalities"),
        ("gemini-2.5-flash", json!({"logprobs": true, "stream": true}), "logprobs"),
        ("gemini-3-pro", json!({"presence_penalty": 0.5}), "presence_penalty"),
        ("gemini-3-pro", json!({"reasoning_effort": "none"}), "reasoning_effort"),
        ("gemini-2.5-pro", json!({"reasoning_effort": "none"}), "reasoning_effort"),
        ("gemini-2.0-flash", json!({"reasoning_effort": "low"}), "reasoning_effort"),
        ("gemini-2.5-flash", json!({"tools": [{"type": "web_search"}]}), "tools[0].type"),
    ] {
        let asked = with(model, fields);
        assert_eq!(encoded(&asked, Unsupported::Refuse).expect_err("must be refused").param, param);
        let left = encoded(&asked, Unsupported::Drop).expect("left out");
        assert_eq!(left, json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}), "{param}");
    }
    refused(with("gemini-2.5-flash", json!({"tools": [tool, tool], "parallel_tool_calls": false})), "parallel_tool_calls", "one function");
    let format = json!({"tools": [tool], "response_format": {"type": "json_object"}});
    refused(with("gemini-2.5-flash", format.clone()), "response_format", "before Gemini 3");
    assert_eq!(body(with("gemini-3-pro", format))["generationConfig"]["responseMimeType"], "application/json");
    let stops = with("gemini-2.5-flash", json!({"stop": ["a", "b", "c", "d", "e", "f"]}));
    refused(stops.clone(), "stop", "takes 5");
    let left = encoded(&stops, Unsupported::Drop).expect("left out");
    assert_eq!(left["generationConfig"]["stopSequences"], json!(["a", "b", "c", "d", "e"]));
}

#[test]
fn fields_that_change_no_answer_are_not_sent() {
    let fields = json!({"user": "u", "store": true, "metadata": {"a": "b"}, "service_tier": "auto", "prompt_cache_key": "k", "logit_bias": {},
        "unheard_of": null, "n": 1, "stop": [""], "presence_penalty": 0, "reasoning_effort": null, "parallel_tool_calls": true,
        "modalities": ["text"], "tool_choice": "auto", "tools": [], "response_format": {"type": "text"}, "logprobs": false});
    assert_eq!(body(with("gemini-2.0-flash", fields)), json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}));
}

#[test]
fn a_field_of_the_wrong_form_is_named() {
    for (fields, param) in [
        (json!({"max_tokens": "5"}), "max_tokens"),
        (json!({"max_completion_tokens": -1}), "max_completion_tokens"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"stop": 5}), "stop"),
        (json!({"parallel_tool_calls": 1}), "parallel_tool_calls"),
        (json!({"tools": {}}), "tools"),
        (json!({"tools": [{"type": "function"}]}), "tools[0].function"),
        (json!({"tools": [{"type": "function", "function": {"name": 5}}]}), "tools[0].function"),
        (
            json!({"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}]}),
            "tools[0].function.parameters",
        ),
        (json!({"tool_choice": "maybe"}), "tool_choice"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"response_format": {"type": "xml"}}), "response_format.type"),
        (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema.schema"),
        (json!({"reasoning_effort": "much"}), "reasoning_effort"),
    ] {
        refused(with("gemini-2.5-flash", fields), param, "");
    }
    refused(talk(json!([{"role": "robot", "content": "x"}])), "messages[0].role", "robot");
    for arguments in ["{", "[1]", "7"] {
        let invalid = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}});
        refused(talk(json!([user("q"), calls(json!([invalid]))])), "messages[1].tool_calls[0].function.arguments", "object");
    }
    refused(talk(json!([calls(json!([{"id": "a", "type": "custom", "custom": {}}]))])), "messages[0].tool_calls[0]", "function call");
}

#[test]
fn content_that_gemini_cannot_read_is_refused_with_the_remedy() {
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let refused_part = |part: Value, param: &str, text: &str| {
        refused(talk(json!([{"role": "user", "content": [part]}])), &format!("messages[0].content[0]{param}"), text);
    };
    for url in [
        "https://example.com/a.png",
        "http://example.com/a.png",
        "http://www.youtube.com/watch?v=x",
        "https://generativelanguage.googleapis.com.example.com/v1beta/files/x",
        "https://youtube.com.example.com/",
        "",
    ] {
        refused_part(image(url), ".image_url", "data: URL");
    }
    for url in ["data:image/png,abc", "data:;base64,abc", "data:image/png;base64", "data:png;base64,abc"] {
        refused_part(image(url), ".image_url", "data: URL");
    }
    refused_part(image("data:image/png;base64,"), ".image_url", "base64");
    refused_part(image("data:image/png;base64,a b"), ".image_url", "base64");
    refused_part(image("gs://bucket/unknown"), ".image_url", "`format`");
    refused_part(json!({"type": "image_url"}), "", "image_url");
    refused_part(json!({"type": "input_audio", "input_audio": {"data": "QQ==", "format": "ogg"}}), ".input_audio.format", "wav or mp3");
    refused_part(json!({"type": "file", "file": {"file_id": "file-abc"}}), ".file.file_id", "file_data");
    refused_part(json!({"type": "file", "file": {"file_data": "QQ=="}}), ".file.file_data", "data: URL");
    refused_part(json!({"type": "file", "file": {}}), ".file", "file_data");
    refused_part(json!({"type": "hologram"}), ".type", "image_url");
    let message = |role: &str| talk(json!([{"role": role, "content": [image("data:image/png;base64,QQ==")]}]));
    refused(message("assistant"), "messages[0].content[0]", "role `assistant`");
    refused(message("system"), "messages[0].content[0]", "role `system`");
}

#[test]
fn effort_becomes_what_the_model_has_for_it() {
    let thinking = |model: &str, effort: &str| {
        let found = body(with(model, json!({"reasoning_effort": effort})));
        let config = &found["generationConfig"]["thinkingConfig"];
        assert!(config.get("thinkingBudget").is_none() || config.get("thinkingLevel").is_none(), "never both");
        [&config["thinkingBudget"], &config["thinkingLevel"]].into_iter().find(|value| !value.is_null()).cloned().unwrap_or_default()
    };
    let efforts = |model: &str| ["minimal", "low", "medium", "high", "xhigh"].map(|effort| thinking(model, effort));
    let budgets = |least: u32| [json!(least), json!(1_024), json!(2_048), json!(4_096), json!(24_576)];
    assert_eq!(efforts("gemini-2.5-flash"), budgets(1));
    assert_eq!(efforts("gemini-2.5-flash-lite"), budgets(512));
    assert_eq!(efforts("gemini-2.5-pro"), budgets(128));
    assert_eq!(efforts("gemini-3-flash-preview"), ["MINIMAL", "LOW", "MEDIUM", "HIGH", "HIGH"]);
    assert_eq!(efforts("gemini-3-pro-preview"), ["LOW", "LOW", "HIGH", "HIGH", "HIGH"]);
    assert_eq!([thinking("gemini-2.5-flash", "max"), thinking("gemini-3-pro", "max")], [json!(24_576), json!("HIGH")]);
    assert_eq!(efforts("gemini-3.1-pro"), ["LOW", "LOW", "MEDIUM", "HIGH", "HIGH"]);
    let off = body(with("gemini-2.5-flash", json!({"reasoning_effort": "none"})));
    assert_eq!(off["generationConfig"]["thinkingConfig"], json!({"thinkingBudget": 0, "includeThoughts": false}));
    assert!(body(with("gemini-2.0-flash", json!({"reasoning_effort": "none"}))).get("generationConfig").is_none());
}

#[test]
fn what_was_said_in_an_order_or_a_number_keeps_it() {
    let schema = r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"string"}}}"#;
    let text = |body: String| String::from_utf8(posted(&body, Unsupported::Refuse).expect("fits").body.to_vec()).expect("UTF-8");
    let format = |model: &str| {
        let format = format!(r#"{{"type":"json_schema","json_schema":{{"name":"n","schema":{schema}}}}}"#);
        text(format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"q"}}],"response_format":{format}}}"#))
    };
    assert!(format("gemini-2.5-flash").contains(&format!(r#""responseJsonSchema":{schema}"#)));
    assert!(format("gemini-1.5-flash").contains(r#""propertyOrdering":["z","a"]"#));
    let arguments = r#"{"z":12345678901234567890123,"a":1.0}"#;
    let called = json!({"id": "t", "type": "function", "function": {"name": "f", "arguments": arguments}});
    let found = text(talk(json!([user("q"), calls(json!([called])), result("t", r#"{"y":1.0,"b":2}"#)])).to_string());
    assert!(found.contains(&format!(r#""args":{arguments}"#)), "{found}");
    assert!(found.contains(r#""response":{"y":1.0,"b":2}"#), "{found}");
}

#[test]
fn the_result_of_a_call_is_text() {
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}});
    let mut answer = result("a", "");
    answer["content"] = json!([{"type": "text", "text": "1"}, image]);
    refused(talk(json!([user("q"), calls(json!([call("a", "f")])), answer])), "messages[2].content[1]", "no text");
}

fn embed(model: &str, dimensions: Option<u32>) -> Result<HttpRequest, UnsupportedField> {
    let inputs = ["a".to_owned(), "b".to_owned()];
    Gemini::new().encode_embeddings(&EmbeddingsRequest { model, inputs: &inputs, tokens: None, dimensions, user: Some("someone") })
}

#[test]
fn every_input_is_a_request_of_its_own_in_one_batch() {
    let wire = embed("gemini-embedding-001", Some(256)).expect("fits");
    assert_eq!(wire.path, "/models/gemini-embedding-001:batchEmbedContents");
    let one =
        |text: &str| json!({"model": "models/gemini-embedding-001", "content": {"parts": [{"text": text}]}, "outputDimensionality": 256});
    assert_eq!(serde_json::from_slice::<Value>(&wire.body).expect("JSON"), json!({"requests": [one("a"), one("b")]}));
    let plain = embed("models/x", None).expect("fits");
    assert!(!String::from_utf8_lossy(&plain.body).contains("outputDimensionality"));
    assert_eq!(embed("", None).expect_err("no model").param, "model");
}

#[test]
fn vectors_come_in_the_order_of_the_inputs_and_none_is_missing() {
    let body = br#"{"embeddings":[{"values":[0.5,1]},{"values":[-1.0,2e-1]}]}"#;
    let expected = Embedded { vectors: vec![vec![0.5, 1.0], vec![-1.0, 0.2]], prompt_tokens: 0 };
    assert_eq!(Gemini::new().decode_embeddings(2, body), Ok(expected));
    let counted = br#"{"embeddings":[],"usageMetadata":{"promptTokenCount":5}}"#;
    assert_eq!(Gemini::new().decode_embeddings(0, counted), Ok(Embedded { vectors: vec![], prompt_tokens: 5 }));
    assert!(matches!(Gemini::new().decode_embeddings(3, body), Err(DecodeError::Malformed(text)) if text == "2 embeddings for 3 inputs"));
    assert!(matches!(Gemini::new().decode_embeddings(1, b"{}"), Err(DecodeError::Malformed(_))));
}
