//! The promises to clients, held against what one got: frames, names, finish reasons, usage, the end.
//! A reply that keeps them is a list of the data of its events. Source: OpenAI API reference, "Chat completion chunk".

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::drive::{Decoded, Ended};
use crate::chat::sse::events;

/// Who wrote a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The provider, corrected where need be: comments and other fields of events may stand between.
    Forwarded,
    /// The gateway, of a provider's events.
    Written,
    /// The gateway, of a completion.
    Completion,
}

/// As far as it is promised; the rest may be anything, also what no parser takes for a number or a string.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    #[serde(borrow)]
    object: &'a RawValue,
    #[serde(borrow)]
    created: &'a RawValue,
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow)]
    choices: Vec<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    index: u32,
    #[serde(borrow)]
    delta: &'a RawValue,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

#[derive(Default)]
struct Seen {
    names: Option<[String; 3]>,
    begun: BTreeSet<u32>,
    finished: BTreeSet<u32>,
    usages: usize,
    done: bool,
}

/// The data of all events of a reply that keeps every promise; panics if one is broken.
pub(super) fn judge(decoded: &Decoded, kind: Kind, include_usage: bool) -> Vec<String> {
    let Decoded { out, ended } = decoded;
    let text = std::str::from_utf8(out).expect("UTF-8");
    assert_eq!(events(out).map(|event| event.raw.len()).sum::<usize>(), out.len(), "half an event at the end of {text}");
    let (mut seen, mut all) = (Seen::default(), Vec::new());
    for event in events(out) {
        let Some(data) = &event.data else {
            assert!(kind == Kind::Forwarded, "an event without data in {text}");
            continue;
        };
        let data = str::from_utf8(data).expect("UTF-8").trim();
        if kind != Kind::Forwarded || data == "[DONE]" {
            assert_eq!(event.raw, format!("data: {data}\n\n").as_bytes());
        }
        assert!(!seen.done, "an event after [DONE] in {text}");
        match data {
            "[DONE]" => seen.done = true,
            data => seen.chunk(data, include_usage, text),
        }
        all.push(data.to_owned());
    }
    assert_eq!(seen.done, *ended == Ended::Well, "[DONE] stands where, and only where, the stream ended well ({ended:?}): {text}");
    if *ended == Ended::Well {
        assert_eq!(seen.begun, seen.finished, "a choice has no finish reason in {text}");
    }
    all
}

impl Seen {
    fn chunk(&mut self, data: &str, include_usage: bool, text: &str) {
        let chunk: Chunk<'_> = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
        assert_eq!(chunk.object.get(), "\"chat.completion.chunk\"", "{data}");
        assert!(chunk.created.get().parse::<u64>().is_ok(), "no time in seconds: {data}");
        let names = [chunk.id, chunk.created, chunk.model].map(|raw| raw.get().to_owned());
        assert!([&names[0], &names[2]].iter().all(|name| name.starts_with('"') && name.len() > 2), "no name: {data}");
        assert_eq!(self.names.get_or_insert_with(|| names.clone()), &names, "other names than before in {text}");
        assert_eq!(self.usages, 0, "a chunk after the usage in {text}");
        if chunk.usage.is_some() {
            assert!(include_usage, "usage that nobody asked for in {text}");
            assert!(chunk.choices.is_empty(), "usage beside choices in {text}");
            self.usages += 1;
        }
        for raw in chunk.choices {
            self.choice(raw, text);
        }
    }

    fn choice(&mut self, raw: &RawValue, text: &str) {
        assert!(raw.get().starts_with('{'), "a choice that is no object: {raw}");
        let choice: Choice<'_> = serde_json::from_str(raw.get()).unwrap_or_else(|error| panic!("{error}: {raw}"));
        assert!(choice.delta.get().starts_with('{'), "a delta that is no object: {raw}");
        if self.begun.insert(choice.index) {
            assert!(choice.delta.get().contains("\"role\""), "the first delta has no role: {raw}");
        }
        if let Some(reason) = choice.finish_reason {
            assert!(reason.get().starts_with('"') && reason.get().len() > 2, "no finish reason: {raw}");
            assert!(self.finished.insert(choice.index), "a second finish reason in {text}");
        }
    }
}
