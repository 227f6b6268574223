//! A provider's stream on its way to the client: read only as fast as the client takes it, cut at event ends, watched for its end and its
//! time limits. A stream that does not end as its dialect says ends in an error item. Must not know HTTP heads or any vendor's events.

mod clock;
mod decoder;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::Instant;

use super::adapter::DecodeError;
use super::error_body;
use super::meter::Meter;
use super::secrets::Redactor;
use super::sse::{End, Framer};
use super::transport::Body;
use crate::chat::StreamError;
use clock::{Clock, Late};
pub(super) use decoder::{Out, StreamDecoder};

/// What a provider may take between the end of its events and the end of its body, after which the connection is closed instead of kept.
const WIND_DOWN: Duration = Duration::from_millis(200);

/// Reads after the end of the events.
const WIND_DOWN_READS: usize = 8;

/// The code and the words for a stream that ended too early.
const CUT: (&str, &str) = ("upstream_cut", "closed the stream before its end");

/// The stream behind `Reply::PassThrough`.
pub(super) struct Relay {
    provider: Arc<str>,
    /// None when the stream is over.
    body: Option<Body>,
    framer: Framer,
    redactor: Redactor,
    voice: StreamDecoder,
    /// What the next item is made of.
    out: Out,
    /// Said after `out`: how the stream ended.
    over: Option<Over>,
    clock: Clock,
    /// None once the use was told: before the client hears the end, for its next request may come at once.
    meter: Option<Meter>,
}

/// How a stream ended.
enum Over {
    Well,
    StreamError(StreamError),
}

/// A stream whose beginning was heard.
pub(super) struct Begun {
    pub(super) body: Body,
    pub(super) framer: Framer,
    /// What every event is heard through.
    pub(super) redactor: Redactor,
    pub(super) voice: StreamDecoder,
    /// What was heard so far.
    pub(super) out: Out,
    pub(super) meter: Meter,
}

impl Relay {
    pub(super) fn new(provider: Arc<str>, begun: Begun, idle: Duration, end: Instant) -> Self {
        let Begun { body, framer, redactor, voice, out, meter } = begun;
        let (clock, meter) = (Clock::new(idle, end), Some(meter));
        let mut relay = Self { provider, body: Some(body), framer, redactor, voice, out, over: None, clock, meter };
        relay.look_at_the_end();
        relay
    }

    /// Hears whole events.
    fn hear(&mut self, block: Bytes) {
        let Some(meter) = &mut self.meter else { return };
        if let Err(bad) = self.voice.hear(self.redactor.redact(block), &mut self.out, &mut meter.tally) {
            let (code, what) = match bad {
                DecodeError::Error(status, _) => ("upstream_error", format!("failed in the middle of the stream ({})", status.as_u16())),
                DecodeError::Malformed(cause) => {
                    let cause = error_body::truncated(self.redactor.redact_text(cause));
                    ("upstream_garbled", format!("sent an event that cannot be used: {cause}"))
                }
            };
            self.broken(code, &what);
        }
        self.look_at_the_end();
    }

    fn look_at_the_end(&mut self) {
        match self.framer.end() {
            Some(End::TooLarge) if self.over.is_none() => {
                self.broken("event_too_large", "sent an event over `limits.providers.event_bytes`")
            }
            Some(End::Done) if self.over.is_none() => self.finish(true, CUT),
            _ => {}
        }
    }

    /// No event follows; `marked` if the provider said so. What it means where the reply is not whole: a code and words.
    fn finish(&mut self, marked: bool, (code, what): (&'static str, &str)) {
        let Some(mut meter) = self.meter.take() else { return };
        if self.voice.end(marked, &mut self.out, &mut meter.tally) {
            self.over = Some(Over::Well);
        } else {
            self.broken(code, what);
        }
    }

    /// Ends the stream with an error; dropping the body closes the connection.
    fn broken(&mut self, code: &'static str, what: &str) {
        (self.body, self.meter) = (None, None);
        tracing::warn!(llm.provider = &*self.provider, code, "provider `{}` {what}", self.provider);
        self.over = Some(Over::StreamError(StreamError { message: format!("provider `{}` {what}", self.provider), code }));
    }

    /// After the last event: waits for the end of the body, so that its connection can be used again.
    fn wind_down(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(body) = &mut self.body else { return Poll::Ready(()) };
        self.clock.finish_within(WIND_DOWN);
        // A few reads at most: whoever goes on sending after its end is not worth a kept connection.
        for _ in 0..WIND_DOWN_READS {
            match body.poll_data(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.clock.poll(cx).map(|_| ()),
            }
        }
        Poll::Ready(())
    }

    /// Reads once.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(body) = &mut self.body else { return Poll::Ready(()) };
        match body.poll_data(cx) {
            Poll::Ready(Some(Ok(read))) => {
                if self.clock.read() {
                    self.broken("deadline", "did not finish in time");
                } else if let Some(block) = self.framer.push(read) {
                    self.hear(block);
                } else {
                    self.look_at_the_end();
                }
            }
            Poll::Ready(Some(Err(_))) => self.broken(CUT.0, CUT.1),
            Poll::Ready(None) => {
                if let Some(block) = self.framer.finish() {
                    self.hear(block);
                }
                if self.over.is_none() {
                    self.finish(false, CUT);
                }
            }
            Poll::Pending => match ready!(self.clock.poll(cx)) {
                Late::Idle => {
                    // Some servers neither mark their end nor close: a reply that is whole is not broken by that.
                    self.body = None;
                    self.finish(false, ("upstream_idle", "stopped sending in the middle of the stream"));
                }
                Late::Deadline => self.broken("deadline", "did not finish in time"),
            },
        }
        Poll::Ready(())
    }
}

impl Stream for Relay {
    type Item = Result<Bytes, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(events) = this.out.take() {
                return Poll::Ready(Some(Ok(events)));
            }
            match this.over.take() {
                Some(Over::StreamError(broken)) => {
                    this.over = Some(Over::Well);
                    return Poll::Ready(Some(Err(broken)));
                }
                Some(Over::Well) => {
                    this.over = Some(Over::Well);
                    ready!(this.wind_down(cx));
                    this.body = None;
                    return Poll::Ready(None);
                }
                None => ready!(this.poll_read(cx)),
            }
        }
    }
}
