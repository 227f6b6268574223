//! Server-sent events on their way out of the normalizer. Bytes that pass as they came are a slice of the read they came in; they are copied only
//! if something else goes out behind or before them.

use std::ops::Range;

use bytes::Bytes;

use crate::chat::sse;

/// Room for what may follow the events of a read: the usage, and `[DONE]`.
const SPARE_BYTES: usize = 64;

/// Events that were appended.
#[derive(Default)]
pub(in crate::llm) struct Events {
    slice: Bytes,
    copied: Vec<u8>,
}

impl Events {
    /// All events, if there are any.
    pub(in crate::llm) fn take(self) -> Option<Bytes> {
        let events = if self.copied.is_empty() { self.slice } else { self.copied.into() };
        (!events.is_empty()).then_some(events)
    }

    /// Appends an event of this JSON text.
    pub(in crate::llm) fn event(&mut self, json: &[u8]) {
        sse::append(self.buffer(json.len()), json);
    }

    /// Appends whole events of a block as they are.
    pub(super) fn slice(&mut self, block: &Bytes, range: Range<usize>) {
        if range.is_empty() {
            return;
        }
        if self.slice.is_empty() && self.copied.is_empty() {
            self.slice = block.slice(range);
        } else {
            self.buffer(block.len()).extend_from_slice(&block[range]);
        }
    }

    /// All events so far as bytes to append to. `bytes`: about how many there will be.
    pub(super) fn buffer(&mut self, bytes: usize) -> &mut Vec<u8> {
        if self.copied.capacity() == 0 {
            self.copied.reserve(bytes.max(self.slice.len()) + SPARE_BYTES);
        }
        self.copied.extend_from_slice(&std::mem::take(&mut self.slice));
        &mut self.copied
    }
}
