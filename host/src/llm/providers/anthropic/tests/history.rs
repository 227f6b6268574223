//! Conversations: conformance items 16 to 22, and what the API refuses of a history.

use super::*;

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn calls(calls: &[Value]) -> Value {
    json!({"role": "assistant", "content": null, "tool_calls": calls})
}

fn result(id: &str, content: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": content})
}

fn user(content: &str) -> Value {
    json!({"role": "user", "content": content})
}

fn text(content: &str) -> Value {
    json!({"type": "text", "text": content})
}

fn turns(messages: Value) -> Value {
    wire(&of(messages))["messages"].clone()
}

/// `(role, block types)` of each turn.
fn shape(turns: &Value) -> Vec<(String, Vec<String>)> {
    let word = |value: &Value| value.as_str().expect("a word").to_owned();
    let kinds = |turn: &Value| turn["content"].as_array().expect("blocks").iter().map(|block| word(&block["type"])).collect();
    turns.as_array().expect("turns").iter().map(|turn| (word(&turn["role"]), kinds(turn))).collect()
}

#[test]
fn c16_empty_arguments_in_history_are_an_empty_object() {
    for arguments in ["", " ", "null", "{}"] {
        let turns = turns(json!([user("a"), calls(&[call("t", "f", arguments)]), result("t", "b")]));
        assert_eq!(turns[1]["content"][0]["input"], json!({}), "`{arguments}`");
    }
}

#[test]
fn c17_arguments_that_are_no_json_object_are_refused_by_name() {
    for arguments in ["{\"a\":", "[1]", "\"a\"", "1", "{} {}"] {
        let messages = json!([user("a"), calls(&[call("t", "f", "{}"), call("u", "f", arguments)]), result("t", "b"), result("u", "b")]);
        assert_eq!(refused(&of(messages)), "messages[1].tool_calls[1].function.arguments", "`{arguments}`");
    }
}

#[test]
fn c18_results_and_what_the_user_says_make_one_turn_with_the_results_first() {
    let messages = json!([
        user("a"),
        calls(&[call("t", "f", "{}"), call("u", "f", "{}")]),
        result("u", "1"),
        user("wait"),
        result("t", "2"),
        user("go on")
    ]);
    let turns = turns(messages);
    let blocks = turns[2]["content"].as_array().expect("blocks");
    let expected = [
        json!({"type": "tool_result", "tool_use_id": "u", "content": [text("1")]}),
        json!({"type": "tool_result", "tool_use_id": "t", "content": [text("2")]}),
        text("wait"),
        text("go on"),
    ];
    assert_eq!(blocks.as_slice(), expected);
}

#[test]
fn c18_calls_and_results_that_do_not_match_are_refused_by_name() {
    for (messages, param) in [
        (json!([user("a"), calls(&[call("t", "f", "{}")])]), "messages[1].tool_calls[0]"),
        (
            json!([user("a"), calls(&[call("t", "f", "{}"), call("u", "f", "{}")]), result("t", "b"), user("c")]),
            "messages[1].tool_calls[1]",
        ),
        (json!([user("a"), calls(&[call("t", "f", "{}")]), {"role": "assistant", "content": "b"}]), "messages[1].tool_calls[0]"),
        (json!([user("a"), result("t", "b")]), "messages[1].tool_call_id"),
        (json!([user("a"), calls(&[call("t", "f", "{}")]), result("u", "b")]), "messages[2].tool_call_id"),
        (json!([user("a"), calls(&[call("t", "f", "{}")]), result("t", "b"), result("t", "b")]), "messages[3].tool_call_id"),
        (json!([user("a"), calls(&[call("t", "f", "{}")]), {"role": "tool", "content": "b"}]), "messages[2].tool_call_id"),
        (json!([user("a"), calls(&[call("t", "f", "{}"), call("t", "f", "{}")]), result("t", "b")]), "messages[1].tool_calls[1].id"),
        (json!([user("a"), calls(&[json!({"type": "custom", "custom": {}})])]), "messages[1].tool_calls[0]"),
    ] {
        assert_eq!(refused(&of(messages.clone())), param, "{messages}");
    }
}

#[test]
fn c19_ids_are_changed_alike_on_both_sides_and_stay_apart() {
    let messages = json!([
        user("a"),
        calls(&[call("call_1__thought__a/b+c=", "f", "{}"), call("call_1__thought__a+b/c=", "f", "{}")]),
        result("call_1__thought__a+b/c=", "second"),
        result("call_1__thought__a/b+c=", "first"),
        calls(&[call("call_1__thought__a/b+c=", "f", "{}")]),
        result("call_1__thought__a/b+c=", "third")
    ]);
    let turns = turns(messages);
    let ids: Vec<&Value> = [(1, 0), (1, 1), (3, 0)].map(|(turn, at)| &turns[turn]["content"][at]["id"]).into();
    assert_eq!(ids, ["call_1__thought__a_b_c_", "call_1__thought__a_b_c__2", "call_1__thought__a_b_c__3"]);
    let answers = |turn: usize, at: usize| {
        let block = &turns[turn]["content"][at];
        (block["tool_use_id"].as_str().expect("an id"), block["content"][0]["text"].as_str().expect("a text"))
    };
    assert_eq!(answers(2, 0), ("call_1__thought__a_b_c__2", "second"));
    assert_eq!(answers(2, 1), ("call_1__thought__a_b_c_", "first"));
    assert_eq!(answers(4, 0), ("call_1__thought__a_b_c__3", "third"));
}

#[test]
fn c20_a_tools_name_round_trips_through_choice_history_and_reply() {
    let mut body = of(json!([user("a"), calls(&[call("t", "fs.read/now", "{}")]), result("t", "b")]));
    body["tools"] = json!([{"type": "function", "function": {"name": "fs.read/now"}}]);
    body["tool_choice"] = json!({"type": "function", "function": {"name": "fs.read/now"}});
    let (wire, mut decoder) = asked(&body, Unsupported::Refuse).expect("fits");
    assert_eq!(wire["tools"][0]["name"], "fs_read_now");
    assert_eq!(wire["tool_choice"], json!({"type": "tool", "name": "fs_read_now"}));
    assert_eq!(wire["messages"][1]["content"][0]["name"], "fs_read_now");
    let reply = json!({"content": [{"type": "tool_use", "id": "t", "name": "fs_read_now", "input": {}}], "stop_reason": "tool_use"});
    let completion = decoder.whole(reply.to_string().as_bytes()).expect("a reply");
    let completion: Value = serde_json::from_slice(&to_json(&completion)).expect("JSON");
    assert_eq!(completion["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "fs.read/now");
}

#[test]
fn c21_only_the_leading_run_of_system_messages_is_the_system_prompt() {
    let system = |content: &str| json!({"role": "system", "content": content});
    let messages = json!([
        system("one"),
        {"role": "developer", "content": "two"},
        user("a"),
        calls(&[call("t", "f", "{}")]),
        system("three"),
        result("t", "b"),
        {"role": "assistant", "content": "c"},
        system("four"),
        system("")
    ]);
    let wire = wire(&of(messages));
    assert_eq!(wire["system"], json!([text("one"), text("two")]));
    let turns = &wire["messages"];
    let kinds = |list: &[&str]| list.iter().map(|kind| (*kind).to_owned()).collect::<Vec<String>>();
    let expected = [
        ("user".to_owned(), kinds(&["text"])),
        ("assistant".to_owned(), kinds(&["tool_use"])),
        ("user".to_owned(), kinds(&["tool_result", "text"])),
        ("assistant".to_owned(), kinds(&["text"])),
        ("user".to_owned(), kinds(&["text"])),
    ];
    assert_eq!(shape(turns), expected);
    let note = turns[4]["content"][0]["text"].as_str().expect("a text");
    assert!(note.starts_with("Instruction from the operator") && note.ends_with("\nfour"), "{note}");
}

#[test]
fn c22_a_user_who_says_nothing_leaves_no_empty_text() {
    for nothing in [json!(""), json!(" \n"), json!(null), json!([]), json!([{"type": "text", "text": ""}])] {
        let turns = turns(json!([{"role": "user", "content": nothing}, {"role": "assistant", "content": "a"}, user("b")]));
        assert_eq!(turns[0], json!({"role": "user", "content": [text(".")]}), "{nothing}");
    }
    let turns = turns(json!([user("a"), {"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "b"}]}]));
    assert_eq!(turns, json!([{"role": "user", "content": [text("a"), text("b")]}]));
}

#[test]
fn a_conversation_begins_with_the_user_and_has_at_least_one_turn() {
    assert_eq!(turns(json!([{"role": "system", "content": "a"}])), json!([{"role": "user", "content": [text(".")]}]));
    let answered = turns(json!([{"role": "assistant", "content": "a"}, user("b")]));
    assert_eq!(answered[0], json!({"role": "user", "content": [text(".")]}));
}

#[test]
fn messages_of_one_role_make_one_turn_and_an_assistant_who_says_nothing_makes_none() {
    let assistant = |content: Value| json!({"role": "assistant", "content": content});
    let messages = json!([user("a"), assistant(json!("b ")), assistant(json!("c")), user("d"), assistant(json!("")), user("e")]);
    let expected = json!([
        {"role": "user", "content": [text("a")]},
        {"role": "assistant", "content": [text("b "), text("c")]},
        {"role": "user", "content": [text("d"), text("e")]},
    ]);
    assert_eq!(turns(messages), expected);
}

#[test]
fn the_last_words_of_an_assistant_end_without_white_space() {
    let turns = turns(json!([user("a"), {"role": "assistant", "content": "The answer is \n"}]));
    assert_eq!(turns[1]["content"], json!([text("The answer is")]));
}

#[test]
fn a_refusal_in_history_is_what_was_said() {
    let turns = turns(json!([user("a"), {"role": "assistant", "content": null, "refusal": "No."}, user("b")]));
    assert_eq!(turns[1]["content"], json!([text("No.")]));
    let parts = json!([{"type": "refusal", "refusal": "Never."}]);
    let turns = super::history::turns(json!([user("a"), {"role": "assistant", "content": parts}, user("b")]));
    assert_eq!(turns[1]["content"], json!([text("Never.")]));
}

#[test]
fn a_history_of_calls_without_tools_gets_a_tool_that_stands_for_them() {
    let wire = wire(&of(json!([user("a"), calls(&[call("t", "f", "{}")]), result("t", "b")])));
    assert_eq!((&wire["tools"][0]["name"], &wire["tool_choice"]), (&json!("no_tool"), &json!({"type": "none"})));
    assert_eq!(super::wire(&of(json!([user("a")]))).get("tools"), None);
}

#[test]
fn a_result_may_be_empty_or_an_error() {
    let failed = json!({"role": "tool", "tool_call_id": "u", "content": "it broke", "is_error": true});
    let turns = turns(json!([user("a"), calls(&[call("t", "f", "{}"), call("u", "f", "{}")]), result("t", ""), failed]));
    assert_eq!(turns[2]["content"][0], json!({"type": "tool_result", "tool_use_id": "t"}));
    assert_eq!(turns[2]["content"][1], json!({"type": "tool_result", "tool_use_id": "u", "content": [text("it broke")], "is_error": true}));
}

#[test]
fn addresses_that_somebody_would_have_to_fetch_for_the_vendor_are_refused() {
    let image = |url: &str| of(json!([{"role": "user", "content": [text("a"), {"type": "image_url", "image_url": {"url": url}}]}]));
    for url in ["http://169.254.169.254/latest", "HTTP://example.org/a.png", "file:///etc/passwd", "//example.org", "gs://b/a", ""] {
        assert_eq!(refused(&image(url)), "messages[0].content[1].image_url.url", "{url}");
        assert!(asked(&image(url), Unsupported::Drop).is_err(), "{url} is refused whatever the policy");
    }
}

#[test]
fn parts_that_the_vendor_has_not_are_refused_or_dropped_as_chosen() {
    let audio =
        of(json!([{"role": "user", "content": [text("a"), {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}]}]));
    assert_eq!(refused(&audio), "messages[0].content[1]");
    assert_eq!(dropped(&audio)["messages"][0]["content"], json!([text("a")]));
    for part in [json!({"type": "image_url"}), json!({"type": "file", "file": {}}), json!({"type": "file", "file": {"file_data": "AAAA"}})]
    {
        let body = of(json!([{"role": "user", "content": [part]}]));
        assert!(refused(&body).starts_with("messages[0].content[0]"), "{part}");
    }
}

#[test]
fn roles_and_fields_of_old_are_refused_by_name() {
    for (message, param) in [
        (json!({"role": "function", "name": "f", "content": "a"}), "messages[1].role"),
        (json!({"role": "critic", "content": "a"}), "messages[1].role"),
        (json!({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}), "messages[1].function_call"),
        (json!({"role": "assistant", "audio": {"id": "a"}}), "messages[1].audio"),
        (json!({"role": "assistant", "content": "a", "thinking_blocks": [{"type": "text"}]}), "messages[1].thinking_blocks"),
        (json!({"role": "system", "content": [{"type": "image_url", "image_url": {"url": "https://a"}}]}), "messages[1].content[0]"),
    ] {
        assert_eq!(refused(&of(json!([user("a"), message]))), param, "{message}");
    }
}
