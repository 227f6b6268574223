//! The built-in answerer quotes what fits and says plainly when nothing does.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::*;
use crate::chat::{Client, Deadline, Hit, sse};

fn exchange(question: &str, hits: &[(&str, &str, f32)]) -> Exchange {
    let hit = |&(source, text, score): &(&str, &str, f32)| Hit { source: source.into(), ordinal: 0, text: text.into(), score };
    Exchange {
        messages: vec![Message::text("user", "an older question about swans"), Message::text("user", question)],
        hits: hits.iter().map(hit).collect(),
        ..Exchange::new("r".into(), Client::Host, "p".into(), Deadline::after(Duration::from_secs(9)))
    }
}

#[track_caller]
fn check(question: &str, hits: &[(&str, &str, f32)], expected: &[&str]) {
    let answer = answer(&exchange(question, hits));
    let quoted: Vec<&str> = answer.lines().filter(|line| line.starts_with('"')).collect();
    assert_eq!(quoted, expected, "{answer}");
    assert!(answer.ends_with(ABOUT), "{answer}");
}

const HOURS: &str = "The lock gate opens at six. The harbour master is Ada. Ships wait in the basin.";

#[test]
fn the_sentence_that_shares_rare_words_is_quoted_with_its_source() {
    check("When does the gate open?", &[("hours.md", HOURS, 0.9)], &["\"The lock gate opens at six.\" (hours.md)"]);
    check("who is the harbour master", &[("hours.md", HOURS, 0.9)], &["\"The harbour master is Ada.\" (hours.md)"]);
}

#[test]
fn sentences_of_equal_worth_are_ordered_by_their_hit_and_three_at_most_are_quoted() {
    let hits = [("low.md", "Swans swim.", 0.2), ("high.md", "Swans sleep.", 0.8), ("mid.md", "Swans eat. Swans fly.", 0.5)];
    let expected = ["\"Swans sleep.\" (high.md)", "\"Swans eat.\" (mid.md)", "\"Swans fly.\" (mid.md)"];
    check("What do swans do?", &hits, &expected);
}

#[test]
fn a_sentence_in_two_overlapping_chunks_is_quoted_once() {
    let hits = [("a.md", "Swans swim.", 0.2), ("a.md", "Swans swim. Ducks dive.", 0.8)];
    check("swans", &hits, &["\"Swans swim.\" (a.md)"]);
}

#[test]
fn nothing_to_quote_is_said_plainly() {
    check("When does the gate open?", &[], &[]);
    check("What is the price of coal?", &[("hours.md", HOURS, 0.9)], &[]);
    check("   ", &[("hours.md", HOURS, 0.9)], &[]);
    assert!(answer(&exchange("coal", &[])).starts_with("No document was found"));
    assert!(answer(&exchange("coal", &[("hours.md", HOURS, 0.9)])).starts_with("Nothing in the documents"));
}

fn whole(exchange: &Exchange) -> Result<Value, UnsupportedField> {
    let Reply::Whole(Whole::Parsed(completion)) = reply("", exchange, Mode::Whole)? else { panic!("must be parsed") };
    Ok(serde_json::from_slice(&codec::to_json(&completion)).expect("JSON"))
}

#[test]
fn a_whole_reply_is_an_openai_completion_and_counts_its_tokens() {
    let json = whole(&exchange("gate", &[("hours.md", HOURS, 0.9)])).expect("an answer");
    assert!(json["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")));
    assert_eq!((&json["model"], &json["choices"][0]["finish_reason"]), (&"extractive".into(), &"stop".into()));
    let bytes = json["choices"][0]["message"]["content"].as_str().map(str::len).expect("a text");
    assert_eq!((&json["usage"]["prompt_tokens"], &json["usage"]["completion_tokens"]), (&9.into(), &bytes.div_ceil(4).into()));
}

fn with(params: &Value) -> Exchange {
    let params = params.as_object().expect("an object").iter().map(|(name, value)| (name.clone(), codec::raw_json(value))).collect();
    Exchange { params, ..exchange("gate", &[("hours.md", HOURS, 0.9)]) }
}

#[test]
fn what_only_a_model_could_do_is_refused_by_its_name() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (name, value) in [
        ("tools", tools.clone()),
        ("functions", tools.clone()),
        ("tool_choice", json!("required")),
        ("tool_choice", json!({"type": "function", "function": {"name": "f"}})),
        ("n", json!(2)),
        ("response_format", json!({"type": "json_object"})),
        ("response_format", json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {}}})),
        ("logprobs", json!(true)),
        ("modalities", json!(["text", "audio"])),
        ("stop", json!(7)),
        ("max_tokens", json!("many")),
    ] {
        let refused = whole(&with(&json!({ name: value }))).expect_err("refused");
        assert_eq!(refused.param, name, "{value}");
    }
    let mut seen = exchange("gate", &[]);
    let parts = r#"[{"type":"text","text":"what is this?"},{"type":"image_url","image_url":{"url":"data:x"}}]"#;
    seen.messages.push(Message { content: serde_json::from_str(parts).expect("parts"), ..Message::text("user", "") });
    assert_eq!(whole(&seen).expect_err("refused").param, "messages[2].content[1]");
}

#[test]
fn what_changes_nothing_is_taken() {
    let fields = json!({"tools": [], "tool_choice": "auto", "n": 1, "response_format": {"type": "text"}, "logprobs": false, "temperature": 0.5,
        "reasoning_effort": "low", "user": "u", "stop": null, "max_tokens": null, "parallel_tool_calls": true, "of_tomorrow": 1});
    assert_eq!(whole(&with(&fields)).expect("an answer")["choices"][0]["finish_reason"], "stop");
}

#[test]
fn an_answer_ends_at_a_stop_and_at_the_limit_of_tokens() {
    let said = |params: Value| {
        let json = whole(&with(&params)).expect("an answer");
        let choice = &json["choices"][0];
        (
            choice["message"]["content"].as_str().unwrap_or_default().to_owned(),
            choice["finish_reason"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let expected = |text: &str, reason: &str| (text.to_owned(), reason.to_owned());
    assert_eq!(said(json!({"stop": " gate"})), expected("\"The lock", "stop"));
    assert_eq!(said(json!({"stop": ["nowhere", "gate", "lock", ""]})), expected("\"The ", "stop"));
    assert_eq!(said(json!({"max_tokens": 2})), expected("\"The loc", "length"));
    assert_eq!(said(json!({"max_completion_tokens": 2, "max_tokens": 99})), expected("\"The loc", "length"));
    assert_eq!(said(json!({"max_tokens": 1, "stop": "he"})), expected("\"T", "stop"));
    assert_eq!(said(json!({"max_tokens": 9_000_000_000_u64})).1, "stop");
}

#[test]
fn a_quote_is_a_whole_sentence_without_marks() {
    let quoted = |text: &str| {
        let answer = answer(&exchange("Which warranty has the pump?", &[("a.md", text, 0.9)]));
        answer.lines().filter(|line| line.starts_with('"')).map(str::to_owned).collect::<Vec<_>>()
    };
    let cases = [
        ("**Pumps.** The **warranty** of a pump is *two* years.", "\"The warranty of a pump is two years.\" (a.md)"),
        ("**The warranty of a pump is two years. Not more.**", "\"The warranty of a pump is two years.\" (a.md)"),
        (
            "See [the warranty of a pump](https://x.example/a_b), `A*B` and __two__ years.",
            "\"See the warranty of a pump, A*B and two years.\" (a.md)",
        ),
        ("Dr. Smith, e.g. of No. 5, gives a pump its warranty.", "\"Dr. Smith, e.g. of No. 5, gives a pump its warranty.\" (a.md)"),
        ("| part | warranty |\n| --- | :-: |\n| pump | two years |\n| hose | one year |", "\"pump, two years\" (a.md)"),
    ];
    for (text, expected) in cases {
        assert!(quoted(text).contains(&expected.to_owned()), "{text}: {:?}", quoted(text));
        assert!(quoted(text).iter().all(|quote| !quote.contains("**") && !quote.contains("__")), "{text}");
    }
}

#[test]
fn half_a_sentence_is_quoted_only_if_nothing_else_speaks_of_it_and_says_so() {
    let full = |text: &str| format!("{} {text}", "The basin is deep. ".repeat(12));
    let cut = full("The warranty of a pump is two years if the");
    let answer = |hits: &[(&str, &str, f32)]| answer(&exchange("Which warranty has the pump?", hits));
    let alone = answer(&[("a.md", &cut, 0.9)]);
    assert!(alone.contains("\"The warranty of a pump is two years if the …\" (a.md)"), "{alone}");
    let other = answer(&[("a.md", &cut, 0.9), ("b.md", "A pump has a warranty.", 0.5)]);
    assert!(other.contains("A pump has a warranty.") && !other.contains("if the"), "{other}");
}

#[test]
fn a_sentence_that_was_cut_between_two_chunks_is_one_again() {
    let mut asked = exchange("Which warranty has the pump?", &[("a.md", "receipt is shown. The end.", 0.8), ("a.md", "", 0.9)]);
    asked.hits[1].text = format!("{} The warranty of a pump is two years if the", "The basin is deep. ".repeat(12));
    asked.hits[0].ordinal = 1;
    let answer = answer(&asked);
    assert!(answer.contains("\"The warranty of a pump is two years if the receipt is shown.\" (a.md)"), "{answer}");
}

#[tokio::test]
async fn a_streamed_reply_says_the_same_in_chunks() {
    let exchange = exchange("gate", &[("hours.md", HOURS, 0.9)]);
    let Ok(Reply::Stream(stream)) = reply("mine", &exchange, Mode::Stream) else { panic!("must be a stream") };
    let mut writer = stream.chunk_writer();
    let bytes: Vec<u8> = stream.map(|frames| writer.encode(frames.expect("no error"))).collect::<Vec<_>>().await.concat();
    let data = sse::events(&bytes).filter_map(|event| event.data).filter(|data| !sse::is_done(data));
    let chunks: Vec<Value> = data.map(|data| serde_json::from_slice(&data).expect("JSON")).collect();
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, answer(&exchange));
    assert!(chunks.iter().all(|chunk| chunk["model"] == "mine" && chunk["id"] == chunks[0]["id"]));
}
