//! What came to the place of one hook in one reply and what the hook was shown of it: counted while the reply passes, told in the record of the
//! exchange and in the metrics when it is over, however it ends.

use std::sync::Arc;

use crate::chat::coverage::Place;
use crate::chat::{Delta, Exchange, Frame, Frames, Said};
use crate::sandbox::Hook;
use crate::telemetry::{Metrics, PluginFigures};

/// The count of one hook.
pub(super) struct Seen {
    place: Place,
    figures: PluginFigures,
    hook: Hook,
}

impl Seen {
    pub(super) fn new(exchange: &Exchange, plugin: &Arc<str>, hook: Hook, metrics: &Metrics) -> Self {
        Self { place: exchange.coverage.place(plugin.clone()), figures: metrics.plugin(plugin), hook }
    }

    /// Something has come.
    pub(super) fn came(&mut self, delta: &Delta) {
        self.place.came(delta);
    }

    /// A whole reply has come.
    pub(super) fn came_whole(&mut self, said: Said) {
        self.place.came_whole(said);
    }

    /// Frames go on as they came, whatever a hook says to them. `show` is given what they say.
    pub(super) fn passes(&mut self, frames: Frames, mut show: impl FnMut(&Delta)) -> Frames {
        let end = frames.end;
        let mut all: Vec<Frame> = frames.into_iter().collect();
        for frame in &mut all {
            self.place.came_beside(frame.unread_bytes());
            // What cannot be read is the client's to refuse.
            for delta in frame.deltas().unwrap_or_default() {
                self.place.came(delta);
                show(delta);
            }
        }
        let mut frames = Frames::from_iter(all);
        frames.end = end;
        frames
    }

    /// The hook was handed this, and answered.
    pub(super) fn shown(&mut self, said: Said) {
        self.place.shown(said);
    }

    /// The client has all of the reply: what the hook has not seen by now, it had not seen then.
    pub(super) fn tell(&self) {
        self.place.tell();
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        let (shown, unseen) = self.place.tell();
        let words = |said: &Said| said.channels().map(|(channel, bytes)| (channel.word(), bytes)).collect::<Vec<_>>();
        self.figures.saw(self.hook.word(), words(&shown).into_iter(), words(&unseen).into_iter());
    }
}
