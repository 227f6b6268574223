//! The stream of a response: pulls the reply's frames one at a time and only when the client has taken what there was. Nothing is spawned,
//! so a client that leaves drops the provider's stream too.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;

use super::writer::Writer;
use crate::chat::frame::IntoFrames;
use crate::chat::{Frame, ReplyStream, StreamError};
use crate::http::body::Event;

/// Sent if a provider says no more than that it is still there.
const PING: Bytes = Bytes::from_static(b": ping\n\n");

pub(super) struct ResponseStream {
    /// None when nothing more is asked of it.
    reply: Option<ReplyStream>,
    /// Frames that were read and not looked at yet.
    waiting: IntoFrames,
    /// The reply is whole with the frames that wait.
    ends: bool,
    writer: Writer,
    stage: Stage,
}

enum Stage {
    Reading,
    /// The reply has ended; the items are being closed.
    Ending,
    Failing(StreamError),
    /// The last event is out; the rest of the reply is read and dropped, so that the provider's connection can be used again.
    Over,
}

impl ResponseStream {
    pub(super) fn new(reply: ReplyStream, mut writer: Writer) -> Self {
        writer.fallback_model(reply.model());
        Self { reply: Some(reply), waiting: IntoFrames::default(), ends: false, writer, stage: Stage::Reading }
    }

    /// One step of reading; gives an event only if the provider has to show that it is there.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(mut frame) = self.waiting.next() {
            if let Err(error) = self.write(&mut frame) {
                self.stage = Stage::Failing(error);
            }
            return Poll::Ready(None);
        }
        if self.ends {
            self.stage = Stage::Ending;
            return Poll::Ready(None);
        }
        let item = match &mut self.reply {
            Some(reply) => ready!(Pin::new(reply).poll_next(cx)),
            None => None,
        };
        match item {
            Some(Ok(frames)) => {
                self.ends = frames.end;
                let silent = !frames.end && frames.is_silent();
                self.waiting = if silent { IntoFrames::default() } else { frames.into_iter() };
                return Poll::Ready(silent.then_some(Event { bytes: PING, ended: None }));
            }
            Some(Err(error)) => self.stage = Stage::Failing(error),
            None => {
                self.reply = None;
                self.stage = Stage::Failing(StreamError { message: "the reply stopped before its end".into(), code: "upstream_cut" });
            }
        }
        Poll::Ready(None)
    }

    fn write(&mut self, frame: &mut Frame) -> Result<(), StreamError> {
        self.writer.frame(frame.deltas()?)
    }

    /// The last event, which says how it ended.
    fn last(&mut self, ended: &'static str) -> Option<Event> {
        self.stage = Stage::Over;
        self.writer.next().map(|bytes| Event { bytes, ended: Some(ended) })
    }
}

impl Stream for ResponseStream {
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
                // The events that begin a response leave first, if nothing was sent before.
                Stage::Failing(_) if this.writer.begin() => {}
                Stage::Failing(error) => {
                    let code = error.code;
                    this.reply = None;
                    this.waiting = IntoFrames::default();
                    this.writer.fail(&error.message);
                    return Poll::Ready(this.last(code));
                }
                Stage::Over => {
                    let Some(reply) = &mut this.reply else { return Poll::Ready(None) };
                    if ready!(Pin::new(reply).poll_next(cx)).is_none() {
                        this.reply = None;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
