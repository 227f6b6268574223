//! A streamed reply: frames, each one event. A frame has its bytes, its deltas or both; its deltas are parsed only when somebody asks, and
//! its bytes leave as they came unless somebody edits it, after which the one encoder writes it (`chunk.rs`).

use bytes::Bytes;

use super::{Delta, StreamError, decode, sse};

/// One event of a reply. Its bytes are one server-sent event of one canonical chunk, or a comment, never `[DONE]`.
#[derive(Clone, Debug)]
pub struct Frame {
    raw: Option<Bytes>,
    /// None until somebody asks.
    deltas: Option<Vec<Delta>>,
}

impl Frame {
    /// An event as it came.
    pub fn raw(event: Bytes) -> Self {
        Self { raw: Some(event), deltas: None }
    }

    /// What an event says, for the encoder to write.
    pub fn of(deltas: Vec<Delta>) -> Self {
        Self { raw: None, deltas: Some(deltas) }
    }

    /// What the event says; a comment says nothing.
    ///
    /// # Errors
    /// If its bytes are an error of the provider's, or no JSON object.
    pub fn deltas(&mut self) -> Result<&[Delta], StreamError> {
        let Self { raw, deltas } = self;
        if deltas.is_none() {
            *deltas = Some(decode::event(raw.as_deref().unwrap_or_default())?);
        }
        Ok(deltas.as_deref().unwrap_or_default())
    }

    /// Bytes of an event as it came that its deltas do not have: comments and the like, or all of one that cannot be read.
    pub fn unread_bytes(&mut self) -> usize {
        let unreadable = self.deltas().is_err();
        self.raw.as_deref().map_or(0, |raw| if unreadable { raw.len() } else { sse::beside_data(raw) })
    }

    /// Puts other deltas in place of the frame's own; its bytes are gone then. The names of the reply stay known.
    pub fn replace(&mut self, with: Vec<Delta>) {
        let known = self.deltas().unwrap_or_default();
        let names = known.iter().find(|delta| matches!(delta, Delta::Head { .. })).cloned();
        *self = Self::of(names.into_iter().chain(with).collect());
    }

    /// Its bytes, if it was not edited, and its deltas, if somebody asked for them.
    pub fn into_parts(self) -> (Option<Bytes>, Vec<Delta>) {
        (self.raw, self.deltas.unwrap_or_default())
    }
}

/// The frames of one read, the item of a reply's stream. Unedited neighbours stay one slice of the bytes that were read, so that a read of
/// sixty events costs one item and, on the way out, one write; [`Frames::into_iter`] takes them apart for who looks at each.
#[derive(Debug, Default)]
pub struct Frames {
    /// Whole events as they came, before all others.
    pub(super) raw: Bytes,
    pub(super) edited: Vec<Frame>,
    /// The reply is whole with these frames: none follow, and `[DONE]` goes out. A stream that ends without is not whole.
    pub end: bool,
}

impl Frames {
    /// Whole events as they came.
    pub fn raw(events: Bytes) -> Self {
        Self { raw: events, ..Self::default() }
    }

    /// The same, as the last frames of a reply that is whole with them.
    #[must_use]
    pub fn ending(self) -> Self {
        Self { end: true, ..self }
    }

    /// No frame, and no end.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty() && self.edited.is_empty() && !self.end
    }

    /// Whether no event says anything, as with comments that keep a connection alive.
    pub fn is_silent(&self) -> bool {
        let comment = |frame: &Frame| frame.raw.as_deref().is_some_and(|raw| sse::events(raw).all(|event| event.data.is_none()));
        sse::events(&self.raw).all(|event| event.data.is_none()) && self.edited.iter().all(comment)
    }

    /// What all events say, in order; one that says nothing that can be read is passed over.
    pub fn each_delta(&self, mut see: impl FnMut(&Delta)) {
        for event in sse::events(&self.raw) {
            decode::event(event.raw).unwrap_or_default().iter().for_each(&mut see);
        }
        for frame in &self.edited {
            match &frame.deltas {
                Some(deltas) => deltas.iter().for_each(&mut see),
                None => decode::event(frame.raw.as_deref().unwrap_or_default()).unwrap_or_default().iter().for_each(&mut see),
            }
        }
    }

    /// Appends whole events as they came.
    pub fn push_raw(&mut self, events: Bytes) {
        if self.raw.is_empty() && self.edited.is_empty() {
            self.raw = events;
        } else {
            self.edited.extend(Self::raw(events));
        }
    }

    pub fn push(&mut self, frame: Frame) {
        self.edited.push(frame);
    }

    /// Bytes that are held, roughly.
    pub fn bytes(&self) -> usize {
        let frame =
            |frame: &Frame| frame.raw.as_ref().map_or(0, Bytes::len) + frame.deltas.iter().flatten().map(Delta::bytes).sum::<usize>();
        self.raw.len() + self.edited.iter().map(frame).sum::<usize>()
    }
}

impl FromIterator<Frame> for Frames {
    fn from_iter<T: IntoIterator<Item = Frame>>(frames: T) -> Self {
        Self { edited: frames.into_iter().collect(), ..Self::default() }
    }
}

impl IntoIterator for Frames {
    type Item = Frame;
    type IntoIter = IntoFrames;

    fn into_iter(self) -> IntoFrames {
        IntoFrames { raw: self.raw, edited: self.edited.into_iter() }
    }
}

/// Frames one by one.
#[derive(Debug, Default)]
pub struct IntoFrames {
    raw: Bytes,
    edited: std::vec::IntoIter<Frame>,
}

impl Iterator for IntoFrames {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        match sse::split_event(&self.raw).map(|(event, _)| event.raw.len()) {
            Some(bytes) => Some(Frame::raw(self.raw.split_to(bytes))),
            None => self.edited.next(),
        }
    }
}
