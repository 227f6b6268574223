//! What hooks in the style of the web are shown, and what becomes of what they answer.

use serde_json::{Value, json};

use super::answered::{Answer, Looked, settle_post, settle_pre};
use super::asked::Asked;
use crate::chat::codec::{raw_json, to_json};
use crate::chat::{Exchange, Message, Metadata};
use crate::sandbox::capability::log::Log;
use crate::sandbox::{FaultKind, Hook, Limits, PreOutcome, Rejection};

fn messages(json: Value) -> Vec<Message> {
    serde_json::from_value::<Vec<Value>>(json)
        .expect("a list")
        .iter()
        .map(|message| serde_json::from_str(&message.to_string()).expect("a message"))
        .collect()
}

fn exchange(said: Value, metadata: Value) -> Exchange {
    let metadata: Metadata = metadata.as_object().expect("an object").iter().map(|(name, value)| (name.clone(), raw_json(value))).collect();
    Exchange { id: "r".into(), messages: messages(said), metadata, ..crate::sandbox::tests::exchange() }
}

fn asked(exchange: &Exchange) -> Asked {
    Asked::of(Hook::Pre, &exchange.id, exchange.messages.iter(), &exchange.metadata)
}

/// What the function is shown.
fn shown(exchange: &Exchange) -> Value {
    serde_json::from_slice(asked(exchange).body()).expect("JSON")
}

fn says(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer { status, retry_after: None, body: body.into() }
}

fn log() -> Log {
    Log::new("p".into(), "r".into(), &Limits::default())
}

/// Answers as `with` makes it of what it is shown.
fn answered(exchange: &mut Exchange, with: impl FnOnce(&mut Value)) -> Result<PreOutcome, FaultKind> {
    let asked = asked(exchange);
    let mut shown = shown(exchange);
    with(&mut shown);
    settle_pre(says(200, shown.to_string()), &asked, exchange, &log())
}

fn now(exchange: &Exchange) -> Value {
    serde_json::from_slice(&to_json(&exchange.messages)).expect("JSON")
}

fn rich() -> Value {
    json!([
        {"role": "system", "content": "Be brief.", "cache_control": {"type": "ephemeral"}},
        {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "image_url", "image_url": {"url": "data:,x"}}, {"type": "text", "text": "this?"}], "name": "ada"},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "content": "a cat", "tool_call_id": "c", "vendor": [1, 2.50]},
        {"role": "user", "content": "Sure?", "content_parts": [{"type": "text", "text": "smuggled"}]},
    ])
}

#[test]
fn content_is_always_a_string_and_all_else_stands_beside_it() {
    let shown = shown(&exchange(rich(), json!({"plan": "gold"})));
    assert_eq!(shown["metadata"], json!({"plan": "gold"}));
    let messages = shown["messages"].as_array().expect("a list");
    assert!(messages.iter().all(|message| message["content"].is_string()), "{shown}");
    assert_eq!(messages[0]["cache_control"], json!({"type": "ephemeral"}));
    assert_eq!((&messages[1]["content"], &messages[1]["name"]), (&json!("What is\nthis?"), &json!("ada")));
    assert_eq!(messages[1]["content_parts"], rich()[1]["content"]);
    assert_eq!((&messages[2]["content"], &messages[2]["tool_calls"]), (&json!(""), &rich()[2]["tool_calls"]));
    assert_eq!((&messages[3]["tool_call_id"], &messages[3]["vendor"]), (&json!("c"), &json!([1, 2.5])));
    assert_eq!(messages[4], json!({"role": "user", "content": "Sure?"}), "no client makes parts of its own");
}

#[test]
fn what_comes_back_unchanged_is_what_it_was() {
    let mut exchange = exchange(rich(), json!({"plan": "gold"}));
    let before = (now(&exchange), exchange.metadata.len());
    assert!(matches!(answered(&mut exchange, |_| {}), Ok(PreOutcome::Proceed)));
    assert_eq!((now(&exchange), exchange.metadata.len()), before);
    // As a function makes them that knows the seed's two fields alone, also with one more before them.
    let bare = |message: &Value| json!({"role": message["role"], "content": message["content"]});
    for before_them in [vec![], vec![json!({"role": "system", "content": "Today is Friday."})]] {
        let (added, mut exchange) = (before_them.len(), self::exchange(rich(), json!({})));
        let outcome = answered(&mut exchange, |shown| {
            let messages = shown["messages"].as_array().expect("a list").iter().map(bare);
            shown["messages"] = before_them.into_iter().chain(messages).collect();
        });
        assert!(matches!(outcome, Ok(PreOutcome::Proceed)));
        assert_eq!(now(&exchange).as_array().expect("a list")[added..], *rich().as_array().expect("a list"));
    }
}

#[test]
fn the_text_is_contents_to_say_and_the_rest_the_parts() {
    let parts = |exchange: &Exchange| now(exchange)[1]["content"].clone();
    let image = json!({"type": "image_url", "image_url": {"url": "data:,x"}});
    type Change = fn(&mut Value);
    let cases: [(Change, Value); 5] = [
        (|message| message["content"] = "Was ist das?".into(), json!([{"type": "text", "text": "Was ist das?"}, image])),
        (|message| message["content"] = "".into(), json!([image])),
        (|message| message["content_parts"] = json!([]), json!("What is\nthis?")),
        (|message| message["content_parts"] = Value::Null, json!("What is\nthis?")),
        (|message| *message = json!({"role": "user", "content": "new"}), json!("new")),
    ];
    for (change, expected) in cases {
        let mut exchange = exchange(rich(), json!({}));
        assert!(matches!(answered(&mut exchange, |shown| change(&mut shown["messages"][1])), Ok(PreOutcome::Proceed)));
        assert_eq!(parts(&exchange), expected);
        assert_eq!(now(&exchange)[3], rich()[3], "the others are untouched");
    }
}

#[test]
fn metadata_that_comes_back_is_set_or_removed_and_what_does_not_stays() {
    let mut exchange = exchange(json!([{"role": "user", "content": "x"}]), json!({"kept": 1, "gone": 2, "changed": [3]}));
    let outcome = answered(&mut exchange, |shown| shown["metadata"] = json!({"gone": null, "changed": {"a": "é"}, "new": true}));
    assert!(matches!(outcome, Ok(PreOutcome::Proceed)));
    let now: Vec<(&str, &str)> = exchange.metadata.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
    assert_eq!(now, [("changed", r#"{"a":"é"}"#), ("kept", "1"), ("new", "true")]);
    for none in [Value::Null, json!({})] {
        assert!(answered(&mut exchange, |shown| shown["metadata"] = none).is_ok());
        assert_eq!(exchange.metadata.len(), 3);
    }
    assert!(answered(&mut exchange, |shown| drop(shown.as_object_mut().and_then(|shown| shown.remove("metadata")))).is_ok());
    // All of it may come back as it was, however much there is.
    let large = json!({"large": "x".repeat(200 << 10)});
    let mut exchange = self::exchange(json!([{"role": "user", "content": "x"}]), large);
    assert!(answered(&mut exchange, |shown| shown["metadata"]["more"] = 1.into()).is_ok());
    let more = answered(&mut exchange, |shown| shown["metadata"]["more"] = "x".repeat(60 << 10).into());
    assert!(matches!(more, Err(FaultKind::Invalid(why)) if why.contains("metadata would be larger")));
}

#[test]
fn an_answer_that_cannot_be_used_changes_nothing() {
    let deep = "[".repeat(200) + &"]".repeat(200);
    for (body, why) in [
        ("".to_owned(), "JSON"),
        ("no".into(), "JSON"),
        ("[]".into(), "its answer must be"),
        (r#"[[{"role": "user", "Refusal": "x"}]]"#.into(), "its answer must be"),
        ("{}".into(), "missing field `messages`"),
        (r#"{"messages": "x"}"#.into(), "its answer must be"),
        (r#"{"messages": []}"#.into(), "it left no message"),
        (r#"{"messages": [5]}"#.into(), "messages[0]"),
        (r#"{"messages": [{"content": "x"}]}"#.into(), "role"),
        (r#"{"messages": [{"role": "", "content": "x"}]}"#.into(), "an empty role"),
        (r#"{"messages": [{"role": "user", "content": 5}]}"#.into(), "messages[0]"),
        (r#"{"messages": [{"role": "user", "Content": "x"}]}"#.into(), "content"),
        (r#"{"Messages": [], "messages": [{"role": "user"}]}"#.into(), "messages"),
        (
            r#"{"messages": [{"role": "user", "content": "", "content_parts": [{"type": "text", "text": "", "TEXT": "x"}]}]}"#.into(),
            "a place of its own",
        ),
        (r#"{"messages": [{"role": "user", "content": "", "content_parts": [{"text": "x"}]}]}"#.into(), "content_parts"),
        (r#"{"messages": [{"role": "user", "content": "", "content_parts": 5}]}"#.into(), "content_parts"),
        (r#"{"messages": [{"role": "user", "content": "x", "vendor": 1e999}]}"#.into(), "no valid JSON"),
        (format!(r#"{{"messages": [{{"role": "user", "content": "x", "vendor": {deep}}}]}}"#), "inside more than 128"),
        (r#"{"messages": [{"role": "user", "content": "x"}], "metadata": []}"#.into(), "metadata"),
        (format!(r#"{{"messages": [{}{{"role": "user"}}]}}"#, r#"{"role": "user"},"#.repeat(20_000)), "messages"),
    ] {
        let mut exchange = exchange(rich(), json!({"a": 1}));
        let before = now(&exchange);
        let asked = asked(&exchange);
        match settle_pre(says(200, body.clone()), &asked, &mut exchange, &log()) {
            Err(FaultKind::Invalid(said)) => assert!(said.contains(why), "{}: {said}", &body[..body.len().min(200)]),
            other => panic!("{}: {other:?}", &body[..body.len().min(200)]),
        }
        assert_eq!((now(&exchange), exchange.metadata.len()), (before, 1));
    }
    // What JavaScript makes of half a character is no reason to fail.
    let mut exchange = exchange(json!([{"role": "user", "content": "x"}]), json!({}));
    let asked = asked(&exchange);
    let half = says(200, r#"{"messages": [{"role": "user", "content": "a\ud83d"}]}"#);
    assert!(settle_pre(half, &asked, &mut exchange, &log()).is_ok());
    assert_eq!(now(&exchange)[0]["content"], "a\u{fffd}");
}

#[test]
fn a_status_that_is_not_2xx_refuses_fails_or_says_nothing() {
    let settle = |status: u16, body: &str| {
        let mut exchange = exchange(json!([{"role": "user", "content": "x"}]), json!({}));
        let asked = asked(&exchange);
        settle_pre(Answer { status, retry_after: Some(3), body: body.into() }, &asked, &mut exchange, &log())
    };
    for (body, code, message) in [
        (r#"{"error": "off topic"}"#, "", "off topic"),
        (r#"{"error": {"message": "off topic", "code": "topic", "more": 1}}"#, "topic", "off topic"),
        (r#"{"error": {"code": "topic"}}"#, "topic", "a plugin refused it with the status 422"),
        ("Off topic.\n", "", "Off topic."),
        ("", "", "a plugin refused it with the status 422"),
    ] {
        let Ok(PreOutcome::Reject(rejection)) = settle(422, body) else { panic!("{body}") };
        assert_eq!(rejection, Rejection { status: 422, code: code.into(), message: message.into(), retry_after: Some(3) }, "{body}");
    }
    assert!(matches!(settle(400, ""), Ok(PreOutcome::Reject(_))));
    assert!(matches!(settle(499, ""), Ok(PreOutcome::Reject(_))));
    assert_eq!(settle(500, "").map(drop), Err(FaultKind::Reported("it answered with the status 500".into())));
    let said = settle(503, r#"{"error": {"message": "no database"}}"#).map(drop);
    assert_eq!(said, Err(FaultKind::Reported("it answered with the status 503: no database".into())));
    for status in [100, 103, 301, 304, 600] {
        assert!(matches!(settle(status, "{}"), Err(FaultKind::Invalid(_))), "{status}");
    }
}

#[test]
fn of_a_reply_the_last_message_counts() {
    let mut exchange = exchange(json!([{"role": "user", "content": "Hi"}]), json!({}));
    let reply = &messages(json!([{"role": "assistant", "content": "Hello", "refusal": null}]))[0];
    let asked = Asked::of(Hook::Post, &exchange.id, exchange.messages.iter().chain([reply]), &exchange.metadata);
    let shown: Value = serde_json::from_slice(asked.body()).expect("JSON");
    assert_eq!(shown["messages"][1], json!({"role": "assistant", "content": "Hello", "refusal": null}));
    let mut settle = |body: Value| settle_post(says(200, body.to_string()), &asked, reply, &mut exchange.metadata, &log());
    assert!(matches!(settle(shown.clone()), Ok(Looked::Kept(None))));
    assert!(matches!(settle(json!({"messages": [shown["messages"][1]]})), Ok(Looked::Kept(None))), "alone, too");
    let signed = settle(json!({"messages": [{"role": "assistant", "content": "Hello. - the house"}], "metadata": {"signed": true}}));
    let Ok(Looked::Kept(Some(message))) = signed else { panic!("it was changed") };
    assert_eq!(message.joined_text(), "Hello. - the house");
    for wrong in [json!({"messages": []}), json!({"messages": [{"role": "user", "content": "Hello"}]})] {
        assert!(matches!(settle(wrong), Err(FaultKind::Invalid(_))));
    }
    assert_eq!(exchange.metadata.len(), 1);
}
