//! The end of the row of stream hooks: what leaves here goes to the client. A reply that a hook cut after its first byte ends every choice
//! that has begun with `finish_reason: "content_filter"`, so that no client takes its text for a whole one.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};

use super::stage::CUT;
use crate::chat::coverage::Meter;
use crate::chat::{Coverage, Delta, Frame, FrameStream, Frames, Piece, StreamError};

#[derive(Default)]
struct Sent {
    head: Option<Delta>,
    /// Each choice of which something was sent, and whether it has ended.
    choices: BTreeMap<u32, bool>,
    meter: Meter,
    coverage: Coverage,
}

pub(super) fn stream(frames: FrameStream, coverage: Coverage) -> FrameStream {
    let items = frames.scan(Sent { coverage, ..Sent::default() }, |sent, item| {
        let items: Vec<Result<Frames, StreamError>> = match item {
            Ok(frames) => vec![Ok(sent.note(frames))],
            Err(error) if error.code == CUT => sent.ends().map(Ok).into_iter().chain([Err(error)]).collect(),
            Err(error) => vec![Err(error)],
        };
        std::future::ready(Some(stream::iter(items)))
    });
    Box::pin(items.flatten())
}

impl Sent {
    /// Looks at what was decoded already, which is all that hooks let out.
    fn note(&mut self, frames: Frames) -> Frames {
        let end = frames.end;
        let mut all: Vec<Frame> = frames.into_iter().collect();
        for frame in &mut all {
            // What cannot be read says nothing to a client either.
            for delta in frame.deltas().unwrap_or_default() {
                self.meter.delta(delta);
                match delta {
                    Delta::Head { .. } if self.head.is_none() => self.head = Some(delta.clone()),
                    Delta::Piece { choice, piece } => {
                        let ended = self.choices.entry(*choice).or_default();
                        *ended |= matches!(piece, Piece::Finish(_));
                    }
                    _ => {}
                }
            }
        }
        self.coverage.sent(self.meter.take());
        let mut frames = Frames::from_iter(all);
        frames.end = end;
        frames
    }

    fn ends(&self) -> Option<Frames> {
        let open = self.choices.iter().filter(|(_, ended)| !**ended);
        let ends: Vec<Delta> = open.map(|(choice, _)| Delta::Piece { choice: *choice, piece: Piece::Finish(CUT.to_owned()) }).collect();
        let frame = |ends: Vec<Delta>| Frame::of(self.head.iter().cloned().chain(ends).collect());
        (!ends.is_empty()).then(|| Frames::from_iter([frame(ends)]))
    }
}
