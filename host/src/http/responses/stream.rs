//! The stream of a response: pulls the chat stream one event at a time and only when the client has taken what there was. Nothing is spawned,
//! so a client that leaves drops the provider's stream too. Must not know what the events say.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;

use super::writer::Writer;
use crate::chat::StreamError;
use crate::chat::reply::Pieces;
use crate::http::body::Event;
use crate::llm;

/// Told on when a provider says no more than that it is still there.
const PING: Bytes = Bytes::from_static(b": ping\n\n");

pub(super) struct Responding {
    /// None when the chat stream is over.
    pieces: Option<Pieces>,
    /// Its items are framed events; else each is the data of one.
    framed: bool,
    /// Data of events that were read and not looked at yet.
    waiting: VecDeque<Bytes>,
    writer: Writer,
    stage: Stage,
}

enum Stage {
    Reading,
    /// The chat stream has ended; the items are being closed.
    Ending,
    Failing(StreamError),
    /// The last event is out; what is left of the chat stream is read away, so that the provider's connection can be used again.
    Over,
}

impl Responding {
    pub(super) fn new(pieces: Pieces, framed: bool, writer: Writer) -> Self {
        Self { pieces: Some(pieces), framed, waiting: VecDeque::new(), writer, stage: Stage::Reading }
    }

    /// One step of reading; an event only where the provider has to say that it is there.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(data) = self.waiting.pop_front() {
            if self.framed && data.trim_ascii() == b"[DONE]" {
                self.waiting.clear();
                self.stage = Stage::Ending;
            } else if let Err(broken) = self.writer.chunk(&data) {
                self.stage = Stage::Failing(broken);
            }
            return Poll::Ready(None);
        }
        let item = match &mut self.pieces {
            Some(pieces) => ready!(pieces.as_mut().poll_next(cx)),
            None => None,
        };
        match item {
            Some(Ok(piece)) if self.framed => {
                self.waiting.extend(llm::events(&piece).map(|data| match data {
                    std::borrow::Cow::Borrowed(data) => piece.slice_ref(data),
                    std::borrow::Cow::Owned(data) => data.into(),
                }));
                return Poll::Ready(self.waiting.is_empty().then_some(Event { bytes: PING, ended: None }));
            }
            Some(Ok(json)) => self.waiting.push_back(json),
            Some(Err(broken)) => self.stage = Stage::Failing(broken),
            None => {
                self.pieces = None;
                self.stage = Stage::Ending;
            }
        }
        Poll::Ready(None)
    }

    /// The last event, which says how it ended.
    fn last(&mut self, ended: &'static str) -> Option<Event> {
        self.stage = Stage::Over;
        self.writer.next().map(|bytes| Event { bytes, ended: Some(ended) })
    }
}

impl Stream for Responding {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let this = &mut *self;
        loop {
            if let Some(bytes) = this.writer.next() {
                return Poll::Ready(Some(Event { bytes, ended: None }));
            }
            match &this.stage {
                Stage::Reading => {
                    if let Some(ping) = ready!(this.read(cx)) {
                        return Poll::Ready(Some(ping));
                    }
                }
                Stage::Ending => {
                    if !this.writer.close_next() {
                        this.writer.end();
                        return Poll::Ready(this.last("done"));
                    }
                }
                // The events that begin a response leave first, where nothing had been said.
                Stage::Failing(_) if this.writer.begin() => {}
                Stage::Failing(broken) => {
                    let code = broken.code;
                    this.pieces = None;
                    this.waiting.clear();
                    this.writer.fail(&broken.message);
                    return Poll::Ready(this.last(code));
                }
                Stage::Over => {
                    let Some(pieces) = &mut this.pieces else { return Poll::Ready(None) };
                    if ready!(pieces.as_mut().poll_next(cx)).is_none() {
                        this.pieces = None;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
