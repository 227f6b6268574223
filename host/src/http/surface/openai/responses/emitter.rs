//! Numbers events, writes them, and holds them until the connection takes them. No number is left out.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;

use crate::chat::codec::to_json;
use crate::chat::sse;

#[derive(Debug, Default)]
pub(super) struct Emitter {
    sequence: u64,
    waiting: VecDeque<Bytes>,
}

#[derive(Serialize)]
struct Event<'a, T> {
    r#type: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    body: &'a T,
}

/// Where in the output an event belongs.
#[derive(Serialize)]
pub(super) struct Place<'a> {
    pub(super) item_id: &'a str,
    pub(super) output_index: usize,
}

/// An event of one item.
#[derive(Serialize)]
pub(super) struct InItem<'a, T> {
    #[serde(flatten)]
    pub(super) place: Place<'a>,
    #[serde(flatten)]
    pub(super) body: T,
}

impl Emitter {
    pub(super) fn emit<T: Serialize>(&mut self, kind: &'static str, body: &T) {
        let json = to_json(&Event { r#type: kind, sequence_number: self.sequence, body });
        self.sequence += 1;
        self.waiting.push_back(sse::event(Some(kind), &json));
    }

    /// The oldest event that was not taken yet.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        self.waiting.pop_front()
    }
}
