//! Fields beside the messages: conformance items 23 to 27, and what each generation of models takes.

use super::*;

fn asks(model: &str, fields: Value) -> Value {
    let mut body = with(fields);
    body["model"] = json!(model);
    body
}

fn tools() -> Value {
    json!([{"type": "function", "function": {"name": "f"}}, {"type": "function", "function": {"name": "g"}}])
}

#[test]
fn c23_stops_of_white_space_are_left_out() {
    let stop = |stop: Value| wire(&with(json!({"stop": stop}))).get("stop_sequences").cloned();
    assert_eq!(stop(json!(["\n", "END", " ", ""])), Some(json!(["END"])));
    assert_eq!(stop(json!("END")), Some(json!(["END"])));
    assert_eq!(stop(json!("\n\n")), None);
    assert_eq!(stop(json!(null)), None);
    assert_eq!(refused(&with(json!({"stop": 1}))), "stop");
}

#[test]
fn c24_a_user_is_sent_unless_it_is_an_address() {
    assert_eq!(wire(&with(json!({"user": "u-17"})))["metadata"], json!({"user_id": "u-17"}));
    assert_eq!(wire(&with(json!({"user": "ada@example.org"}))).get("metadata"), None);
    assert_eq!(wire(&with(json!({"user": "ada@example.org", "safety_identifier": "3f0c"})))["metadata"], json!({"user_id": "3f0c"}));
    assert_eq!(refused(&with(json!({"user": 17}))), "user");
}

#[test]
fn c25_max_tokens_is_always_sent() {
    assert_eq!(wire(&with(json!({})))["max_tokens"], 4096);
    assert_eq!(wire(&with(json!({"max_tokens": 10})))["max_tokens"], 10);
    assert_eq!(wire(&with(json!({"max_tokens": 10, "max_completion_tokens": 20})))["max_tokens"], 20);
    assert_eq!(wire(&with(json!({"max_tokens": null})))["max_tokens"], 4096);
    assert_eq!(refused(&with(json!({"max_tokens": "10"}))), "max_tokens");
    assert_eq!(refused(&with(json!({"max_completion_tokens": -1}))), "max_completion_tokens");
}

#[test]
fn c26_temperature_is_clamped() {
    for (theirs, ours) in [(0.0, 0.0), (0.7, 0.7), (1.0, 1.0), (1.7, 1.0), (2.0, 1.0)] {
        assert_eq!(wire(&with(json!({"temperature": theirs})))["temperature"], json!(ours), "{theirs}");
    }
    assert_eq!(refused(&with(json!({"temperature": "hot"}))), "temperature");
}

#[test]
fn sampling_is_refused_where_the_model_refuses_it_unless_it_says_nothing() {
    let newest = |fields| asks("claude-opus-4-7", fields);
    assert_eq!(refused(&newest(json!({"temperature": 0.2}))), "temperature");
    assert_eq!(refused(&newest(json!({"top_p": 0.9}))), "top_p");
    assert_eq!(refused(&newest(json!({"top_k": 5}))), "top_k");
    let plain = wire(&newest(json!({"temperature": 1, "top_p": 1})));
    assert!(plain.get("temperature").is_none() && plain.get("top_p").is_none());
    assert!(dropped(&newest(json!({"temperature": 0.2, "top_p": 0.5, "top_k": 5}))).get("top_k").is_none());
    let both = json!({"temperature": 0.2, "top_p": 0.9});
    assert_eq!(refused(&asks("claude-sonnet-4-5", both.clone())), "top_p");
    assert_eq!(dropped(&asks("claude-sonnet-4-5", both.clone()))["temperature"], json!(0.2));
    assert_eq!(wire(&asks("claude-sonnet-4-5", json!({"temperature": 1, "top_p": 0.9})))["top_p"], json!(0.9));
    assert_eq!(wire(&asks("claude-sonnet-4-0", both))["top_p"], json!(0.9));
    assert_eq!(wire(&asks("claude-sonnet-4-0", json!({"top_k": 40})))["top_k"], 40);
}

#[test]
fn c27_a_schema_is_held_to_where_it_can_be_and_cleaned_for_it() {
    let schema = json!({"type": "object", "properties": {"a": {"oneOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}}});
    let format = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema, "strict": true}});
    let held = wire(&asks("claude-haiku-4-5", json!({"response_format": format})));
    let a = json!({"anyOf": [{"type": "integer", "description": "minimum: 1"}, {"type": "null"}]});
    let clean = json!({"type": "object", "properties": {"a": a}, "additionalProperties": false});
    assert_eq!(held["output_config"], json!({"format": {"type": "json_schema", "schema": clean}}));
    assert_eq!((held.get("tools"), held.get("tool_choice")), (None, None));
    // A tool's input is only advice, so it may say all that it says.
    let called = wire(&asks("claude-opus-4-1", json!({"response_format": format})));
    assert_eq!(called["tools"][0]["input_schema"], schema);
    assert_eq!(called.get("output_config"), None);
}

#[test]
fn c27_a_schema_that_cannot_be_held_to_is_a_tools_input() {
    let answered = |schema: Value| {
        let format = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": schema}});
        wire(&asks("claude-sonnet-4-5", json!({"response_format": format})))["tools"][0]["input_schema"].clone()
    };
    let map = json!({"type": "object", "additionalProperties": {"type": "string"}});
    assert_eq!(answered(map.clone()), map);
    let node = json!({"type": "object", "properties": {"next": {"$ref": "#/definitions/node"}}});
    let list = answered(json!({"type": "object", "properties": {"head": {"$ref": "#/definitions/node"}}, "definitions": {"node": node}}));
    assert_eq!(list["$defs"]["node"]["properties"]["next"]["$ref"], "#/$defs/node");
    assert_eq!(answered(json!({"type": "object", "properties": {"a": {}}})), Value::Null);
}

#[test]
fn an_answer_as_a_tool_shares_the_request_with_the_clients_tools() {
    let json = json!({"type": "json_object"});
    let choice = |choice: Value| {
        let wire = wire(&with(json!({"response_format": json, "tools": tools(), "tool_choice": choice})));
        let names: Vec<&str> = wire["tools"].as_array().expect("tools").iter().map(|tool| tool["name"].as_str().expect("a name")).collect();
        (names.join(" "), wire["tool_choice"].clone())
    };
    assert_eq!(choice(json!(null)), ("f g json_tool_call".to_owned(), json!({"type": "any"})));
    assert_eq!(choice(json!("auto")), ("f g json_tool_call".to_owned(), json!({"type": "any"})));
    let alone = json!({"type": "tool", "name": "json_tool_call", "disable_parallel_tool_use": true});
    assert_eq!(choice(json!("none")), ("f g json_tool_call".to_owned(), alone));
    assert_eq!(choice(json!("required")), ("f g".to_owned(), json!({"type": "any"})));
}

#[test]
fn a_form_that_cannot_be_had_is_refused_by_name() {
    assert_eq!(refused(&asks("claude-opus-5-5", json!({"response_format": {"type": "json_object"}}))), "response_format");
    assert_eq!(refused(&with(json!({"response_format": {"type": "xml"}}))), "response_format.type");
    assert_eq!(refused(&with(json!({"response_format": {"type": "json_schema"}}))), "response_format.json_schema");
    assert_eq!(refused(&with(json!({"response_format": "json"}))), "response_format");
    assert_eq!(wire(&with(json!({"response_format": {"type": "text"}}))).get("tools"), None);
}

#[test]
fn the_choice_of_tools_is_said_in_their_words() {
    let choice = |fields: Value| {
        let mut body = with(json!({"tools": tools()}));
        body.as_object_mut().expect("an object").extend(fields.as_object().expect("fields").clone());
        wire(&body).get("tool_choice").cloned()
    };
    assert_eq!(choice(json!({})), None);
    assert_eq!(choice(json!({"tool_choice": "auto"})), Some(json!({"type": "auto"})));
    assert_eq!(choice(json!({"tool_choice": "none", "parallel_tool_calls": false})), Some(json!({"type": "none"})));
    assert_eq!(choice(json!({"tool_choice": "required"})), Some(json!({"type": "any"})));
    let named = json!({"type": "function", "function": {"name": "g"}});
    assert_eq!(choice(json!({"tool_choice": named})), Some(json!({"type": "tool", "name": "g"})));
    assert_eq!(choice(json!({"parallel_tool_calls": true})), None);
    let one = Some(json!({"type": "auto", "disable_parallel_tool_use": true}));
    assert_eq!(choice(json!({"parallel_tool_calls": false})), one);
}

#[test]
fn a_choice_or_a_tool_that_cannot_be_is_refused_by_name() {
    assert_eq!(refused(&with(json!({"tool_choice": "required"}))), "tool_choice");
    let other = json!({"type": "function", "function": {"name": "h"}});
    assert_eq!(refused(&with(json!({"tools": tools(), "tool_choice": other}))), "tool_choice");
    assert_eq!(refused(&with(json!({"tools": tools(), "tool_choice": "any"}))), "tool_choice");
    let allowed = json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}});
    assert_eq!(refused(&with(json!({"tools": tools(), "tool_choice": allowed}))), "tool_choice");
    assert_eq!(refused(&asks("claude-opus-5-5", json!({"tools": tools(), "tool_choice": "required"}))), "tool_choice");
    let dropped = dropped(&asks("claude-opus-5-5", json!({"tools": tools(), "tool_choice": "required"})));
    assert_eq!(dropped["tool_choice"], json!({"type": "auto"}));
    assert_eq!(refused(&with(json!({"tools": [{"type": "custom", "custom": {"name": "x"}}]}))), "tools[0]");
    assert_eq!(refused(&with(json!({"tools": [1]}))), "tools[0]");
    assert_eq!(refused(&with(json!({"tools": {}}))), "tools");
    for parameters in [json!("a"), json!([]), json!({"type": "array"})] {
        let tools = json!([{"type": "function", "function": {"name": "f", "parameters": parameters}}]);
        assert_eq!(refused(&with(json!({"tools": tools}))), "tools[0].function.parameters", "{parameters}");
    }
    assert_eq!(wire(&with(json!({"tools": []}))).get("tools"), None);
}

#[test]
fn strict_tools_are_strict_where_they_can_be() {
    let parameters = json!({"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}});
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": parameters, "strict": true}}]);
    let strict = wire(&asks("claude-sonnet-4-5", json!({"tools": tools})))["tools"][0].clone();
    let clean =
        json!({"type": "object", "properties": {"a": {"type": "integer", "description": "minimum: 1"}}, "additionalProperties": false});
    assert_eq!((&strict["strict"], &strict["input_schema"]), (&json!(true), &clean));
    let loose = wire(&asks("claude-sonnet-4-0", json!({"tools": tools})))["tools"][0].clone();
    assert_eq!((loose.get("strict"), &loose["input_schema"]), (None, &parameters));
}

#[test]
fn effort_is_a_budget_for_the_older_models() {
    let asked = |fields: Value| wire(&asks("claude-sonnet-4-5", fields));
    let budget = |wire: &Value| (wire["thinking"].clone(), wire["max_tokens"].as_u64().expect("a number"));
    let enabled = |tokens: u64| json!({"type": "enabled", "budget_tokens": tokens});
    assert_eq!(budget(&asked(json!({"reasoning_effort": "low"}))), (enabled(1024), 4096 + 1024));
    assert_eq!(budget(&asked(json!({"reasoning_effort": "high"}))), (enabled(4096), 4096 + 4096));
    assert_eq!(budget(&asked(json!({"reasoning_effort": "high", "max_tokens": 6000}))), (enabled(3000), 6000));
    assert_eq!(budget(&asked(json!({"reasoning_effort": "high", "max_tokens": 1025}))), (enabled(1024), 1025));
    assert_eq!(budget(&asked(json!({"reasoning_effort": "high", "max_tokens": 1024}))), (Value::Null, 1024));
    assert_eq!(budget(&asked(json!({"reasoning_effort": "none"}))), (Value::Null, 4096));
    assert_eq!(refused(&with(json!({"reasoning_effort": "enormous"}))), "reasoning_effort");
    assert_eq!(refused(&asks("claude-3-5-sonnet-latest", json!({"reasoning_effort": "low"}))), "reasoning_effort");
}

#[test]
fn effort_is_effort_for_the_newer_models() {
    let asked = |model: &str, effort: &str| {
        let wire = wire(&asks(model, json!({"reasoning_effort": effort})));
        (wire["thinking"].clone(), wire["output_config"]["effort"].clone())
    };
    assert_eq!(asked("claude-opus-4-6", "minimal"), (json!({"type": "adaptive"}), json!("low")));
    assert_eq!(asked("claude-opus-4-6", "xhigh"), (json!({"type": "adaptive"}), json!("high")));
    let shown = json!({"type": "adaptive", "display": "summarized"});
    assert_eq!(asked("claude-sonnet-5", "xhigh"), (shown, json!("xhigh")));
    assert_eq!(asked("claude-opus-4-7", "none"), (Value::Null, Value::Null));
    assert_eq!(asked("claude-opus-5", "none"), (json!({"type": "disabled"}), Value::Null));
    assert_eq!(asked("claude-opus-5-5", "none"), (Value::Null, json!("low")));
    let room = |fields: Value| wire(&asks("claude-opus-4-6", fields))["max_tokens"].clone();
    assert_eq!(room(json!({"reasoning_effort": "high"})), 4096 + 4096);
    assert_eq!(room(json!({"reasoning_effort": "high", "max_tokens": 500})), 500);
}

#[test]
fn thinking_stands_against_sampling_and_forced_calls() {
    let thinks = |fields: Value| {
        let mut body = asks("claude-sonnet-4-5", json!({"reasoning_effort": "low", "tools": tools()}));
        body.as_object_mut().expect("an object").extend(fields.as_object().expect("fields").clone());
        body
    };
    assert_eq!(refused(&thinks(json!({"temperature": 0.2}))), "temperature");
    assert_eq!(refused(&thinks(json!({"top_k": 2}))), "top_k");
    assert_eq!(refused(&thinks(json!({"top_p": 0.5}))), "top_p");
    assert_eq!(wire(&thinks(json!({"top_p": 0.97, "temperature": 1})))["top_p"], json!(0.97));
    let cold = dropped(&thinks(json!({"temperature": 0.2})));
    assert!(cold.get("temperature").is_none() && cold["thinking"]["type"] == "enabled");
    assert_eq!(refused(&thinks(json!({"tool_choice": "required"}))), "reasoning_effort");
    let forced = dropped(&thinks(json!({"tool_choice": "required", "temperature": 0.2})));
    assert_eq!((forced.get("thinking"), &forced["tool_choice"], &forced["temperature"]), (None, &json!({"type": "any"}), &json!(0.2)));
    let format = json!({"type": "json_object"});
    assert_eq!(
        refused(&asks("claude-sonnet-4-0", json!({"thinking": {"type": "enabled", "budget_tokens": 2000}, "response_format": format}))),
        "thinking"
    );
}

#[test]
fn thinking_in_their_own_words_goes_as_it_came() {
    let thinking = json!({"type": "enabled", "budget_tokens": 9000});
    let wire = wire(&with(json!({"thinking": thinking})));
    assert_eq!((&wire["thinking"], &wire["max_tokens"]), (&thinking, &json!(13096)));
    assert_eq!(refused(&with(json!({"thinking": true}))), "thinking");
    let both = json!({"thinking": {"type": "adaptive"}, "reasoning_effort": "low"});
    assert_eq!(super::wire(&asks("claude-opus-4-6", both))["output_config"], json!({"effort": "low"}));
}

#[test]
fn a_budget_is_not_asked_for_where_the_history_forgot_its_thought() {
    let call = json!({"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let asked = |model: &str, extra: Value| {
        let mut turn = json!({"role": "assistant", "content": null, "tool_calls": [call]});
        turn.as_object_mut().expect("an object").extend(extra.as_object().expect("fields").clone());
        let messages = json!([{"role": "user", "content": "a"}, turn, {"role": "tool", "tool_call_id": "t", "content": "b"}]);
        wire(&json!({"model": model, "messages": messages, "tools": tools(), "reasoning_effort": "low"}))["thinking"]["type"].clone()
    };
    let thoughts = json!({"thinking_blocks": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]});
    assert_eq!(asked("claude-sonnet-4-5", json!({})), Value::Null);
    assert_eq!(asked("claude-sonnet-4-5", thoughts), json!("enabled"));
    assert_eq!(asked("claude-opus-4-6", json!({})), json!("adaptive"));
}

#[test]
fn fields_that_they_have_not_are_refused_or_dropped_as_chosen() {
    for (name, value) in [
        ("n", json!(2)),
        ("logprobs", json!(true)),
        ("top_logprobs", json!(3)),
        ("presence_penalty", json!(0.5)),
        ("frequency_penalty", json!(-0.5)),
        ("logit_bias", json!({"50256": -100})),
        ("seed", json!(0)),
        ("modalities", json!(["text", "audio"])),
        ("service_tier", json!("flex")),
        ("functions", json!([])),
        ("no_such_field", json!(1)),
    ] {
        let body = with(json!({name: value}));
        assert_eq!(refused(&body), name);
        assert_eq!(dropped(&body), wire(&with(json!({}))), "{name}");
    }
}

#[test]
fn fields_that_ask_for_nothing_change_nothing() {
    for (name, value) in [
        ("n", json!(1)),
        ("logprobs", json!(false)),
        ("top_logprobs", json!(0)),
        ("presence_penalty", json!(0)),
        ("frequency_penalty", json!(0.0)),
        ("logit_bias", json!({})),
        ("modalities", json!(["text"])),
        ("seed", json!(null)),
        ("store", json!(true)),
        ("metadata", json!({"a": "b"})),
        ("prediction", json!({"type": "content", "content": "a"})),
        ("prompt_cache_key", json!("k")),
        ("stream_options", json!({"include_usage": true})),
        ("no_such_field", json!(null)),
    ] {
        assert_eq!(wire(&with(json!({name: value}))), wire(&with(json!({}))), "{name}");
    }
}

#[test]
fn a_field_of_the_wrong_type_is_refused_by_name_whatever_the_policy() {
    for (name, value) in [
        ("n", json!("1")),
        ("logprobs", json!(1)),
        ("presence_penalty", json!("0")),
        ("logit_bias", json!([])),
        ("top_p", json!([])),
        ("top_k", json!(1.5)),
        ("tools", json!("f")),
        ("tool_choice", json!(1)),
        ("parallel_tool_calls", json!("no")),
        ("reasoning_effort", json!(3)),
        ("service_tier", json!(1)),
    ] {
        let mut body = with(json!({"tools": tools()}));
        body[name] = value;
        let refused = asked(&body, Unsupported::Drop).map(|(wire, _)| wire).expect_err(name);
        assert_eq!(refused.param, name);
    }
}
