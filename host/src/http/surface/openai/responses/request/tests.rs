//! Every field of a request, once as it should be and once as it must not be.

use serde_json::{Map, Value, json};

use super::*;

fn asked(extra: &Value) -> Result<Asked, Refusal> {
    let mut body = json!({"model": "m", "input": "hi"});
    body.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    body.as_object_mut().expect("an object").retain(|_, value| value != "LEFT OUT");
    read_body(body.to_string().into()).map_err(|failure| match failure {
        Failure::Refused(refusal) => refusal,
        other => panic!("{other}"),
    })
}

fn params(asked: &Asked) -> Value {
    let value = |json: &Json| serde_json::from_str(json.get()).expect("JSON");
    Value::Object(asked.chat.params.iter().map(|(name, json)| (name.clone(), value(json))).collect::<Map<_, _>>())
}

fn echo(asked: &Asked) -> Value {
    serde_json::to_value(&asked.echo).expect("JSON")
}

fn tool() -> Value {
    json!({"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true})
}

fn sent_tool() -> Value {
    json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}})
}

#[test]
fn every_field_reaches_the_chat_in_its_own_words() {
    let choice = |choice: Value| json!({"tools": [tool()], "tool_choice": choice});
    let chosen = |choice: Value| json!({"tools": [sent_tool()], "tool_choice": choice});
    let named = json!({"type": "function", "function": {"name": "f"}});
    let schema = json!({"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true});
    let cases = [
        (json!({}), json!({})),
        (json!({"max_output_tokens": 16}), json!({"max_completion_tokens": 16})),
        (json!({"max_output_tokens": null, "temperature": null, "user": null, "metadata": null, "seed": null}), json!({})),
        (json!({"metadata": {"a": "b"}}), json!({})),
        (json!({"text": {"format": {"type": "text"}}}), json!({})),
        (
            json!({"text": {"format": {"type": "json_object"}, "verbosity": "low"}}),
            json!({"response_format": {"type": "json_object"}, "verbosity": "low"}),
        ),
        (
            json!({"text": {"format": schema, "verbosity": "high"}}),
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}}, "verbosity": "high"}),
        ),
        (json!({"reasoning": {"effort": "low", "summary": "auto"}}), json!({"reasoning_effort": "low"})),
        (json!({"reasoning": {"summary": "auto"}}), json!({})),
        (json!({"tools": [tool()]}), json!({"tools": [sent_tool()]})),
        (
            json!({"tools": [{"type": "function", "name": "f", "parameters": null, "strict": null}]}),
            json!({"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ),
        (json!({"tools": [], "tool_choice": "auto", "parallel_tool_calls": true}), json!({})),
        (json!({"tools": [tool()], "parallel_tool_calls": false}), json!({"tools": [sent_tool()], "parallel_tool_calls": false})),
        (choice(json!("required")), chosen(json!("required"))),
        (choice(json!({"type": "function", "name": "f"})), chosen(named.clone())),
        (
            choice(json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]})),
            chosen(json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named]}})),
        ),
        (json!({"include": ["message.output_text.logprobs"], "top_logprobs": 2}), json!({"logprobs": true, "top_logprobs": 2})),
        (json!({"include": ["web_search_call.results"], "top_logprobs": 0}), json!({})),
        (json!({"stream": true, "stream_options": {"include_obfuscation": false}}), json!({"stream_options": {"include_usage": true}})),
        (json!({"store": true, "background": false, "truncation": "disabled", "max_tool_calls": 2, "conversation": null}), json!({})),
        (json!({"metadata": {"a": "b"}}), json!({})),
        (json!({"seed": 7, "stop": ["x"], "of_tomorrow": {"a": 1}}), json!({"seed": 7, "stop": ["x"], "of_tomorrow": {"a": 1}})),
    ];
    for (extra, expected) in cases {
        let asked = asked(&extra).unwrap_or_else(|refusal| panic!("{extra}: {refusal}"));
        assert_eq!(params(&asked), expected, "{extra}");
    }
    let same = json!({"temperature": 0.5, "top_p": 1, "user": "u", "service_tier": "flex", "safety_identifier": "s",
        "prompt_cache_key": "k", "prompt_cache_retention": "24h"});
    assert_eq!(params(&asked(&same).expect("taken")), same);
}

#[test]
fn a_refused_field_is_named() {
    let cases = [
        (json!({"model": "LEFT OUT"}), "model"),
        (json!({"model": ""}), "model"),
        (json!({"model": 7}), "model"),
        (json!({"input": "LEFT OUT"}), "input"),
        (json!({"input": null}), "input"),
        (json!({"input": []}), "input"),
        (json!({"instructions": ["x"]}), "instructions"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"background": true}), "background"),
        (json!({"previous_response_id": "resp_1"}), "previous_response_id"),
        (json!({"conversation": {"id": "c"}}), "conversation"),
        (json!({"prompt": {"id": "p"}}), "prompt"),
        (json!({"context_management": []}), "context_management"),
        (json!({"truncation": "auto"}), "truncation"),
        (json!({"truncation": 1}), "truncation"),
        (json!({"store": 1}), "store"),
        (json!({"max_output_tokens": "many"}), "max_output_tokens"),
        (json!({"max_tool_calls": -1}), "max_tool_calls"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_logprobs": 1.5}), "top_logprobs"),
        (json!({"metadata": {"a": 1}}), "metadata.a"),
        (json!({"user": 1}), "user"),
        (json!({"parallel_tool_calls": "no"}), "parallel_tool_calls"),
        (json!({"include": "all"}), "include"),
        (json!({"reasoning": {"effort": 1}}), "reasoning.effort"),
        (json!({"text": {"format": {"type": "xml"}}}), "text.format.type"),
        (json!({"text": {"format": {"type": "json_schema", "schema": {}}}}), "text.format.name"),
        (json!({"text": {"format": {"type": "json_schema", "name": "n"}}}), "text.format.schema"),
        (json!({"tools": [tool(), {"type": "web_search"}], "tool_choice": {"type": "web_search"}}), "tool_choice.type"),
        (json!({"tools": [{"type": "mcp", "server_label": "x"}], "tool_choice": "required"}), "tool_choice"),
        (json!({"tools": [{"type": "function"}]}), "tools[0].name"),
        (json!({"tools": [{"type": "custom"}]}), "tools[0].name"),
        (json!({"tools": [{"type": "namespace", "tools": []}]}), "tools[0].name"),
        (json!({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}]}), "tools[0].tools[0].name"),
        (json!({"tools": [{"type": 7}]}), "tools[0].type"),
        (json!({"tools": [{"name": "f"}]}), "tools[0].type"),
        (json!({"tool_choice": "any"}), "tool_choice"),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (json!({"tools": [tool()], "tool_choice": {"type": "function"}}), "tool_choice.name"),
        (json!({"tools": [tool()], "tool_choice": {"type": "file_search"}}), "tool_choice.type"),
        (
            json!({"tools": [tool()], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]}}),
            "tool_choice.tools[0].type",
        ),
    ];
    for (extra, param) in cases {
        match asked(&extra) {
            Err(Refusal::Field { param: found, message }) => {
                assert_eq!(found, param, "{extra}");
                assert!(!message.is_empty(), "{extra}");
            }
            other => panic!("{extra}: {other:?}"),
        }
    }
}

#[test]
fn tools_that_the_client_runs_have_a_form_and_those_of_openai_s_servers_are_left_out() {
    let grammar = json!({"type": "grammar", "syntax": "lark", "definition": "start: X"});
    let custom = json!({"type": "custom", "name": "patch", "description": "d", "format": grammar});
    let plain = json!({"type": "custom", "name": "note", "format": {"type": "text"}});
    let namespace = json!({"type": "namespace", "name": "mcp__x", "description": "d", "tools": [tool(), custom, {"type": "web_search"}]});
    let shell = json!({"type": "local_shell"});
    let hosted =
        ["web_search", "web_search_preview", "file_search", "code_interpreter", "image_generation", "mcp", "tool_search", "computer"];
    let mut tools = vec![namespace.clone(), tool(), custom.clone(), plain.clone(), shell.clone()];
    tools.extend(hosted.map(|kind| json!({"type": kind, "name": 7})));
    let asked = asked(&json!({"tools": tools, "tool_choice": {"type": "custom", "name": "patch", "namespace": "mcp__x"}})).expect("taken");
    let sent_custom = |name: &str| {
        let grammar = json!({"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: X"}});
        json!({"type": "custom", "custom": {"name": name, "description": "d", "format": grammar}})
    };
    let mut flat = sent_tool();
    flat["function"]["name"] = "mcp__x__f".into();
    let sent = params(&asked);
    let list = sent["tools"].as_array().expect("a list");
    let expected = [
        flat,
        sent_custom("mcp__x__patch"),
        sent_tool(),
        sent_custom("patch"),
        json!({"type": "custom", "custom": {"name": "note", "format": {"type": "text"}}}),
    ];
    assert_eq!(list[..5], expected);
    assert_eq!((list.len(), &list[5]["function"]["name"]), (6, &json!("local_shell")));
    assert_eq!(sent["tool_choice"], json!({"type": "custom", "custom": {"name": "mcp__x__patch"}}));
    assert_eq!(echo(&asked)["tools"], json!([namespace, tool(), custom, plain, shell]));
}

#[test]
fn tools_that_the_input_adds_are_offered_with_the_others_and_the_newest_of_a_name_counts() {
    let named = |name: &str, description: &str| json!({"type": "function", "name": name, "description": description});
    let adds = |tools: Value| json!({"type": "additional_tools", "id": "at_1", "role": "developer", "tools": tools});
    let group = |name: &str, tools: Value| json!({"type": "namespace", "name": name, "tools": tools});
    let input = json!([
        adds(json!([group("functions", json!([{"type": "custom", "name": "exec"}, named("wait", "old")])), group("clock", json!([named("sleep", "d")]))])),
        {"role": "user", "content": "hi"},
        adds(json!([group("functions", json!([named("wait", "new")])), {"type": "web_search"}])),
    ]);
    let taken = asked(&json!({"input": input, "tools": [named("f", "d")]})).expect("taken");
    let sent = params(&taken);
    let names = sent["tools"].as_array().expect("a list").iter().map(|tool| {
        let tool = if tool["type"] == "custom" { &tool["custom"] } else { &tool["function"] };
        (tool["name"].as_str().unwrap_or_default(), tool["description"].as_str().unwrap_or_default())
    });
    assert_eq!(names.collect::<Vec<_>>(), [("f", "d"), ("exec", ""), ("wait", "new"), ("clock__sleep", "d")]);
    assert_eq!((taken.chat.messages.len(), echo(&taken)["tools"].as_array().map(Vec::len)), (1, Some(1)));
    let refused = asked(&json!({"input": [adds(json!([{"type": "function"}])), {"role": "user", "content": "hi"}]}));
    assert!(matches!(refused, Err(Refusal::Field { param, .. }) if param == "input[0].tools[0].name"));
}

#[test]
fn a_call_in_the_input_has_the_name_that_its_tool_was_offered_under_wherever_the_tools_stand() {
    let body = json!({"model": "m", "input": [{"type": "function_call", "call_id": "c", "namespace": "n", "name": "f", "arguments": "{}"}],
        "tools": [{"type": "namespace", "name": "n", "tools": [tool()]}, {"type": "function", "name": "n__f"}]});
    let asked = read_body(body.to_string().into()).unwrap_or_else(|failure| panic!("{failure}"));
    let crate::chat::ToolCall::Function(call) = &asked.chat.messages[0].tool_calls[0] else { panic!("a function") };
    assert_eq!((call.name.as_str(), &params(&asked)["tools"][0]["function"]["name"]), ("n__f_2", &json!("n__f_2")));
}

#[test]
fn what_belongs_to_this_api_alone_reaches_no_provider() {
    for name in WITHOUT_COUNTERPART {
        assert_eq!(params(&asked(&json!({name: {"a": "b"}})).expect("taken")), json!({}), "{name}");
    }
}

#[test]
fn no_field_of_the_chat_endpoint_slips_past_its_own_name_here() {
    for (name, _) in CHAT_NAMES {
        assert!(matches!(asked(&json!({name: "x"})), Err(Refusal::Field { param, .. }) if param == name), "{name}");
        assert_eq!(params(&asked(&json!({name: null})).expect("nothing was said")), json!({}), "{name}");
    }
    let written = ["messages", "max_completion_tokens", "response_format", "verbosity", "reasoning_effort", "logprobs"];
    assert!(
        written.iter().all(|name| CHAT_NAMES.iter().any(|(chat, _)| chat == name)),
        "whatever is written here must not come from there"
    );
}

#[test]
fn instructions_come_first_and_the_rest_of_the_request_is_kept() {
    let asked = asked(&json!({"instructions": "be brief", "stream": true, "pipeline": {"rag": false},
        "include": ["reasoning.encrypted_content"]}))
    .expect("taken");
    let roles: Vec<(&str, String)> = asked.chat.messages.iter().map(|message| (message.role.as_str(), message.joined_text())).collect();
    assert_eq!(roles, [("system", "be brief".into()), ("user", "hi".into())]);
    assert_eq!((asked.chat.model.as_str(), asked.chat.stream), ("m", true));
    assert_eq!(asked.chat.toggles.as_ref().map(|json| json.get()), Some("{\"rag\":false}"));
    assert_eq!(asked.include, Include { encrypted: true, logprobs: false });
}

#[test]
fn a_response_repeats_its_request_and_says_what_holds_without_it() {
    let expected = json!({"background": false, "instructions": null, "max_output_tokens": null, "max_tool_calls": null, "metadata": {},
        "parallel_tool_calls": true, "previous_response_id": null, "reasoning": {"effort": null, "summary": null}, "store": false,
        "temperature": null, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [], "top_logprobs": 0, "top_p": null,
        "truncation": "disabled"});
    assert_eq!(echo(&asked(&json!({"store": true})).expect("taken")), expected);
    let schema = json!({"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"});
    let given = json!({"instructions": "i", "max_output_tokens": 16, "max_tool_calls": 1, "metadata": {"a": "b"}, "parallel_tool_calls": false,
        "reasoning": {"effort": "low", "summary": "auto"}, "temperature": 0.5, "text": schema, "tool_choice": {"type": "function", "name": "f"},
        "tools": [tool()], "top_logprobs": 3, "top_p": 0.5, "user": "u", "service_tier": "flex"});
    let echoed = echo(&asked(&given).expect("taken"));
    for (name, value) in given.as_object().expect("an object") {
        assert_eq!(&echoed[name], value, "{name}");
    }
}

#[test]
fn a_schema_keeps_the_order_of_its_properties() {
    let body = br#"{"model":"m","input":"hi","text":{"format":{"type":"json_schema","name":"n","schema":{"z":1,"a":2}}},
        "tools":[{"type":"function","name":"f","parameters":{"z":1,"a":2}}]}"#;
    let asked = read_body(Bytes::from_static(body)).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(asked.chat.params.iter().all(|(_, json)| json.get().contains(r#"{"z":1,"a":2}"#)), "{:?}", asked.chat.params);
}

#[test]
fn a_body_that_is_no_json_is_told_so() {
    assert!(matches!(read_body(Bytes::from_static(b"{")), Err(Failure::Invalid(invalid)) if invalid.param.is_none()));
    assert!(matches!(read_body(Bytes::from_static(b"[]")), Err(Failure::Invalid(_))));
}
