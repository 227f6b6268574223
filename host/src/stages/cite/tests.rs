//! Citations in whole replies and in streams, beside what a provider gives of its own.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use serde_json::{Value, json};

use super::*;
use crate::chat::{Client, Deadline, Name, ReplyStream};

fn exchange() -> Exchange {
    let hit = |document: &str, source: &str, url: Option<&str>, page| Hit {
        document: document.into(),
        source: source.into(),
        url: url.map(str::to_owned),
        page,
        ..Hit::default()
    };
    let mut exchange = Exchange::new("r".into(), Client::Host, "p".into(), Deadline::after(Duration::from_secs(60)));
    exchange.hits = vec![hit("d-1", "hours.md", None, Some(7)), hit("d-2", "prices", Some("https://example.org/prices"), None)];
    exchange
}

fn of_file(start: usize, end: usize) -> Value {
    json!({"type": "url_citation",
        "url_citation": {"start_index": start, "end_index": end, "title": "hours.md", "url": "urn:uuid:d-1"}})
}

fn of_url(start: usize, end: usize) -> Value {
    json!({"type": "url_citation",
        "url_citation": {"start_index": start, "end_index": end, "title": "prices", "url": "https://example.org/prices"}})
}

fn numbered(mut annotation: Value, index: usize) -> Value {
    annotation["index"] = json!(index);
    annotation
}

fn whole(message: &Value) -> Reply {
    let body = json!({"id": "c", "created": 1, "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    Reply::Whole(Whole::Raw(body.to_string().into()))
}

#[test]
fn a_whole_reply_says_which_sources_it_names_and_keeps_what_the_provider_says() {
    let message = json!({"role": "assistant", "content": "Ab sechs [1], für neun [2].", "annotations": [{"type": "x"}]});
    let Reply::Whole(Whole::Parsed(completion)) = run(&exchange(), whole(&message)) else { panic!("not annotated") };
    let (_, list) = completion.choices[0].message.extra.iter().find(|(name, _)| name == FIELD).expect("annotations");
    let list: Value = serde_json::from_str(list.get()).expect("JSON");
    assert_eq!(list, json!([{"type": "x"}, of_file(9, 12), of_url(23, 26)]));
}

#[test]
fn a_reply_that_names_no_source_leaves_as_it_came() {
    let plain = json!({"role": "assistant", "content": "At six, see [3]."});
    assert!(matches!(run(&exchange(), whole(&plain)), Reply::Whole(Whole::Raw(_))));
    let garbled = Reply::Whole(Whole::Raw(Bytes::from_static(b"no JSON [1]")));
    assert!(matches!(run(&exchange(), garbled), Reply::Whole(Whole::Raw(_))));
    let none = Exchange { hits: Vec::new(), ..exchange() };
    assert!(matches!(run(&none, whole(&json!({"role": "assistant", "content": "[1]"}))), Reply::Whole(Whole::Raw(_))));
}

/// What a client gets of a stream of these chunks, each as the `choices` of one, in reads of `block` events.
fn streamed(choices: &[Value], block: usize) -> (String, Vec<Value>) {
    let events: Vec<String> = choices
        .iter()
        .map(|choices| {
            format!("data: {}\n\n", json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}))
        })
        .collect();
    let blocks: Vec<String> = events.chunks(block).map(<[String]>::concat).collect();
    let last = blocks.len() - 1;
    let items: Vec<_> = blocks
        .into_iter()
        .enumerate()
        .map(|(at, text)| Ok(if at == last { Frames::raw(text.into()).ending() } else { Frames::raw(text.into()) }))
        .collect();
    let name = Name { id: "ours".into(), model: "ours".into(), created: 2 };
    let Reply::Stream(mut stream) = run(&exchange(), Reply::Stream(ReplyStream::new(stream::iter(items), name, false))) else {
        panic!("a stream")
    };
    let mut writer = stream.chunk_writer();
    let mut out = Vec::new();
    while let Some(item) = stream.next().now_or_never().expect("it never waits") {
        out.extend_from_slice(&writer.encode(item.expect("frames")));
    }
    let text = String::from_utf8(out).expect("UTF-8");
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let chunks = data.map(|data| serde_json::from_str(data).expect("JSON")).collect();
    (text, chunks)
}

fn says(text: &str) -> Value {
    json!([{"index": 0, "delta": {"content": text}, "finish_reason": null}])
}

#[test]
fn a_stream_says_so_before_its_end_and_each_other_chunk_is_as_it_came() {
    let end = json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]);
    let theirs = json!([{"index": 0, "delta": {"annotations": [{"type": "x", "index": 0}]}, "finish_reason": null}]);
    let given = [says("At six ["), theirs, says("1], for nine (prices)."), end];
    for block in 1..=4 {
        let (_, mut chunks) = streamed(&given, block);
        assert_eq!(chunks.len(), 5, "{block}: {chunks:?}");
        let ours = chunks.remove(3);
        assert_eq!((&ours["id"], &ours["model"]), (&json!("c"), &json!("m")));
        let choice = &ours["choices"][0];
        assert_eq!(choice["delta"], json!({"annotations": [numbered(of_file(7, 10), 1), numbered(of_url(21, 29), 2)]}), "{block}");
        assert!(choice["finish_reason"].is_null());
        let rest: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"]).collect();
        assert_eq!(rest, given.iter().collect::<Vec<_>>(), "{block}");
    }
}

#[test]
fn an_end_that_comes_with_text_has_the_citations_between() {
    let given = [says("At six"), json!([{"index": 0, "delta": {"content": " [1]"}, "finish_reason": "stop"}])];
    let (_, chunks) = streamed(&given, 1);
    let said = |at: usize| &chunks[at]["choices"][0];
    assert_eq!(said(1)["delta"]["content"], " [1]");
    assert_eq!(said(2)["delta"]["annotations"], json!([numbered(of_file(7, 10), 0)]));
    assert_eq!((chunks.len(), &said(3)["finish_reason"]), (4, &json!("stop")));
}

#[test]
fn each_choice_has_its_own_and_a_stream_without_any_is_byte_for_byte_the_providers() {
    let choice = |index: u32, text: &str| json!([{"index": index, "delta": {"content": text}, "finish_reason": null}]);
    let end = |index: u32| json!([{"index": index, "delta": {}, "finish_reason": "stop"}]);
    let (_, chunks) = streamed(&[choice(1, "[1]"), choice(0, "[2"), end(1), choice(0, "]"), end(0)], 2);
    let cited: Vec<(u64, &Value)> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0])
        .filter_map(|choice| Some((choice["index"].as_u64()?, choice["delta"].get(FIELD)?)))
        .collect();
    assert_eq!(cited, [(1, &json!([numbered(of_file(0, 3), 0)])), (0, &json!([numbered(of_url(0, 3), 0)]))]);
    let plain = [says("At six"), end(0)];
    let (text, chunks) = streamed(&plain, 1);
    assert_eq!(chunks.len(), 2);
    assert_eq!(text.matches("data: ").count(), 3, "two chunks and the end mark");
}
