//! From a provider's events to the frames of a reply: OpenAI-shaped events keep their bytes if nothing is wrong with them, events of other
//! shapes become deltas. No split of the bytes into blocks changes what comes out.

use bytes::Bytes;

use super::adapter::{DecodeError, Decoding, ReplyDecoder};
use super::json_repair::JsonRepair;
use super::meter::Tally;
use super::providers::openai::{Events, OpenAiNormalizer, in_band, reported};
use crate::chat::codec::{self, Form};
use crate::chat::{Delta, Frame, Frames, Piece, Sizes, sse};

/// A longer block is counted before it is decoded; in a shorter one there is nothing to speak of.
const COUNTED_BYTES: usize = 64 << 10;

/// How one stream is decoded.
pub(super) struct StreamDecoder {
    decoding: Decoding,
    /// For the events that are translated; the normalizer has its own.
    repair: JsonRepair,
    says_something: bool,
}

impl StreamDecoder {
    pub(super) fn new(decoding: Decoding) -> Self {
        Self { decoding, repair: JsonRepair::default(), says_something: false }
    }

    /// Whether something of the answer has been decoded.
    pub(super) fn says_something(&self) -> bool {
        match &self.decoding {
            Decoding::OpenAi(normalizer) => normalizer.says_something(),
            Decoding::Translated(_) => self.says_something,
        }
    }

    /// Appends to `frames` what the whole events in `block` say.
    ///
    /// # Errors
    /// An event that ends the stream; what was appended before it still counts.
    pub(super) fn decode(&mut self, block: Bytes, frames: &mut Frames, tally: &mut Tally) -> Result<(), DecodeError> {
        if block.len() > COUNTED_BYTES {
            count(&block)?;
        }
        match &mut self.decoding {
            Decoding::OpenAi(normalizer) => {
                let mut events = Events::default();
                let decoded = normalizer.block(block, &mut events, tally);
                if let Some(events) = events.take() {
                    frames.push_raw(events);
                }
                decoded
            }
            Decoding::Translated(decoder) => {
                for event in sse::events(&block) {
                    let mut deltas = Vec::new();
                    let decoded = match event.data.as_deref().map(<[u8]>::trim_ascii) {
                        None => match sse::field(event.raw, b"error") {
                            Some(error) => Err(reported(error, in_band)),
                            None => continue,
                        },
                        Some(b"") => continue,
                        // `[DONE]` too: if nothing else ends a stream, its decoder waits for it.
                        Some(data) => decoder.event(self.repair.event(data).as_deref().unwrap_or(data), &mut deltas),
                    };
                    self.says_something |= push(deltas, frames, tally);
                    decoded?;
                }
                Ok(())
            }
        }
    }

    /// No event follows; `marked` if `[DONE]` came. Appends what was held back and marks the end; false if the stream was
    /// not complete.
    pub(super) fn end(&mut self, marked: bool, frames: &mut Frames, tally: &mut Tally) -> bool {
        frames.end = match &mut self.decoding {
            Decoding::OpenAi(normalizer) => end_normalized(normalizer, marked, frames, tally),
            Decoding::Translated(decoder) => {
                let (complete, says_something) = end_translated(&mut **decoder, frames, tally);
                self.says_something |= says_something;
                complete
            }
        };
        if frames.end {
            tally.complete();
        }
        frames.end
    }
}

/// Refuses events with more in them than a whole reply may have.
fn count(block: &Bytes) -> Result<(), DecodeError> {
    for event in sse::events(block) {
        let data = event.data.as_deref().unwrap_or_default();
        codec::count(data, Form::Reply, &Sizes::REPLY).map_err(|_| DecodeError::Malformed("an event with too much in it".into()))?;
    }
    Ok(())
}

fn end_normalized(normalizer: &mut OpenAiNormalizer, marked: bool, frames: &mut Frames, tally: &mut Tally) -> bool {
    // Some servers forget the mark; a finish reason for every choice says as much.
    if !marked && !normalizer.finished() {
        return false;
    }
    let mut events = Events::default();
    while let Some(chunk) = normalizer.end() {
        events.event(&chunk);
    }
    if let Some(events) = events.take() {
        frames.push_raw(events);
    }
    normalizer.report(tally);
    true
}

/// Whether the stream was complete, and whether its end said something.
fn end_translated(decoder: &mut dyn ReplyDecoder, frames: &mut Frames, tally: &mut Tally) -> (bool, bool) {
    let mut deltas = Vec::new();
    let complete = decoder.end(&mut deltas);
    (complete, push(deltas, frames, tally))
}

/// Appends a frame of these deltas, if there are any, and counts them; true if they say something.
fn push(deltas: Vec<Delta>, frames: &mut Frames, tally: &mut Tally) -> bool {
    let mut says_something = false;
    for delta in &deltas {
        says_something |= delta.says_something();
        match delta {
            Delta::Usage(usage) => tally.reported(*usage),
            Delta::Head { model: Some(model), .. } => tally.named(model),
            Delta::Piece { piece: Piece::Finish(reason), .. } => tally.finished(reason),
            Delta::Piece {
                piece: Piece::Text(text) | Piece::Reasoning(text) | Piece::Thought(text) | Piece::Arguments { text, .. },
                ..
            } => {
                tally.generated(text.len());
            }
            Delta::Piece { .. } | Delta::Head { .. } | Delta::UsageJson(_) | Delta::Fields(_) => {}
        }
    }
    if !deltas.is_empty() {
        frames.push(Frame::of(deltas));
    }
    says_something
}
