//! The built-in answerer quotes what fits and says plainly when nothing does.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;

use super::*;
use crate::chat::{Client, Deadline, Hit, sse};

fn exchange(question: &str, hits: &[(&str, &str, f32)]) -> Exchange {
    let hit = |&(source, text, score): &(&str, &str, f32)| Hit { source: source.into(), ordinal: 0, text: text.into(), score };
    Exchange {
        id: "r".into(),
        caller: None,
        client: Client::Host,
        pipeline: "p".into(),
        deadline: Deadline::after(Duration::from_secs(9)),
        stream: false,
        model: None,
        messages: vec![Message::text("user", "an older question about swans"), Message::text("user", question)],
        params: Vec::new(),
        metadata: Default::default(),
        hits: hits.iter().map(hit).collect(),
        skipped: Vec::new(),
        end_user: None,
        tries: Default::default(),
        kept: Default::default(),
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

#[test]
fn a_whole_reply_is_an_openai_completion_without_tokens() {
    let Reply::Whole(Whole::Parsed(completion)) = reply("", &exchange("gate", &[("hours.md", HOURS, 0.9)]), Mode::Whole) else {
        panic!("must be parsed");
    };
    let json: Value = serde_json::from_slice(&codec::to_json(&completion)).expect("JSON");
    assert!(json["id"].as_str().is_some_and(|id| id.starts_with("chatcmpl-")));
    assert_eq!((&json["model"], &json["choices"][0]["finish_reason"]), (&"extractive".into(), &"stop".into()));
    assert_eq!(json["usage"]["total_tokens"], 0);
}

#[tokio::test]
async fn a_streamed_reply_says_the_same_in_chunks() {
    let exchange = exchange("gate", &[("hours.md", HOURS, 0.9)]);
    let Reply::Stream(stream) = reply("mine", &exchange, Mode::Stream) else { panic!("must be a stream") };
    let mut writer = stream.chunk_writer();
    let bytes: Vec<u8> = stream.map(|frames| writer.encode(frames.expect("no error"))).collect::<Vec<_>>().await.concat();
    let data = sse::events(&bytes).filter_map(|event| event.data).filter(|data| !sse::is_done(data));
    let chunks: Vec<Value> = data.map(|data| serde_json::from_slice(&data).expect("JSON")).collect();
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, answer(&exchange));
    assert!(chunks.iter().all(|chunk| chunk["model"] == "mine" && chunk["id"] == chunks[0]["id"]));
}
