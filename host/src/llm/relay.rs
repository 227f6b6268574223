//! A provider's stream on its way to the client: read only as fast as the client takes it, cut at event ends, watched for its end and its
//! time limits. A stream that does not end as its dialect says ends in an error item, and the reply's use is reported before its last item leaves.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::decoder::StreamDecoder;
use super::error_body;
use super::meter::Meter;
use super::provider_error::DecodeError;
use super::received::Received;
use super::secrets::Redactor;
use super::transport::Body;
use crate::chat::sse::{End, Framer};
use crate::chat::{Frames, StreamError};

/// What a provider may take between the end of its events and the end of its body, after which the connection is closed instead of kept.
const WIND_DOWN: Duration = Duration::from_millis(200);

/// Reads after the end of the events.
const WIND_DOWN_READS: usize = 8;

/// The code and the message for a stream that ended too early.
const CUT: (&str, &str) = ("upstream_cut", "closed the stream before its end");

/// The frames of a reply as its provider sends them.
pub(super) struct Relay {
    provider: Arc<str>,
    /// None when the stream is over.
    body: Option<Body>,
    /// What of it is in memory: the event that has not ended, and the frames that the client was given last.
    received: Received,
    framer: Framer,
    redactor: Redactor,
    decoder: StreamDecoder,
    /// The next item.
    frames: Frames,
    /// How the stream ended, once it has; comes after `frames`.
    over: Option<Over>,
    clock: Clock,
    /// None once the use was reported: before the client sees the end, for its next request may come at once.
    meter: Option<Meter>,
}

/// How a stream ended.
enum Over {
    Well,
    Broken(StreamError),
}

/// A stream that has been decoded as far as its first event that says something.
pub(super) struct Begun {
    pub(super) body: Body,
    pub(super) received: Received,
    pub(super) framer: Framer,
    /// Every block passes it before it is decoded.
    pub(super) redactor: Redactor,
    pub(super) decoder: StreamDecoder,
    /// What was decoded so far.
    pub(super) frames: Frames,
    /// The reply is whole with these frames.
    pub(super) ended: bool,
    pub(super) meter: Meter,
}

impl Relay {
    pub(super) fn new(provider: Arc<str>, begun: Begun, idle: Duration, end: Instant) -> Self {
        let Begun { body, received, framer, redactor, decoder, frames, ended, meter } = begun;
        // Without a meter the use is reported.
        let (clock, meter) = (Clock::new(idle, end), (!ended).then_some(meter));
        let over = ended.then_some(Over::Well);
        let mut relay = Self { provider, body: Some(body), received, framer, redactor, decoder, frames, over, clock, meter };
        relay.check_budget();
        relay.check_end();
        relay
    }

    /// Takes one read in.
    fn take(&mut self, read: Bytes) {
        let block = self.framer.push(read);
        if !self.received.hold(self.framer.bytes() + block.as_ref().map_or(0, Bytes::len)) {
            return self.fail("overloaded", "sent an event for which the server has no room now (`limits.providers.replies_bytes`)");
        }
        match block {
            Some(block) => self.decode(block),
            None => self.check_end(),
        }
    }

    /// Ends a reply that is longer than was reserved for it if its caller's budget has nothing left.
    fn check_budget(&mut self) {
        if self.meter.as_mut().is_some_and(|meter| !meter.extend()) {
            self.fail("insufficient_quota", "was stopped, because the budget of the key or of its end user is used up");
        }
    }

    /// Decodes whole events.
    fn decode(&mut self, block: Bytes) {
        let Some(meter) = &mut self.meter else { return };
        if let Err(error) = self.decoder.decode(self.redactor.redact(block), &mut self.frames, &mut meter.tally) {
            meter.judge(&error);
            let (code, what) = match error {
                DecodeError::Error(status, _) => ("upstream_error", format!("failed in the middle of the stream ({})", status.as_u16())),
                DecodeError::Malformed(cause) => {
                    let cause = error_body::truncated(self.redactor.redact_text(cause));
                    ("upstream_garbled", format!("sent an event that cannot be used: {cause}"))
                }
            };
            self.fail(code, &what);
        }
        self.check_budget();
        self.check_end();
    }

    fn check_end(&mut self) {
        match self.framer.end() {
            Some(End::TooLarge) if self.over.is_none() => self.fail("event_too_large", "sent an event over `limits.providers.event_bytes`"),
            Some(End::Done) if self.over.is_none() => self.finish(true, CUT),
            _ => {}
        }
    }

    /// No event follows; `marked` if `[DONE]` came. `code` and `what` are the error if the reply is not whole.
    fn finish(&mut self, marked: bool, (code, what): (&'static str, &str)) {
        let Some(mut meter) = self.meter.take() else { return };
        if self.decoder.end(marked, &mut self.frames, &mut meter.tally) {
            self.over = Some(Over::Well);
        } else {
            self.fail(code, what);
        }
    }

    /// Ends the stream with an error; dropping the body closes the connection.
    fn fail(&mut self, code: &'static str, what: &str) {
        (self.body, self.meter) = (None, None);
        tracing::warn!(llm.provider = &*self.provider, code, "provider `{}` {what}", self.provider);
        self.over = Some(Over::Broken(StreamError { message: format!("provider `{}` {what}", self.provider), code }));
    }

    /// After the last event: waits for the end of the body, so that its connection can be used again.
    fn wind_down(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(body) = &mut self.body else { return Poll::Ready(()) };
        self.clock.finish_within(WIND_DOWN);
        // A few reads at most: a provider that goes on sending after its end is not worth a kept connection.
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
        // Asked for more, so that the frames before have gone on their way. What was enough for them is enough without them.
        let _ = self.received.hold(self.framer.bytes());
        let Some(body) = &mut self.body else { return Poll::Ready(()) };
        match body.poll_data(cx) {
            Poll::Ready(Some(Ok(read))) => {
                if self.clock.read() {
                    self.fail("deadline", "did not finish in time");
                } else {
                    self.take(read);
                }
            }
            Poll::Ready(Some(Err(_))) => self.fail(CUT.0, CUT.1),
            Poll::Ready(None) => {
                if let Some(block) = self.framer.finish() {
                    self.decode(block);
                }
                if self.over.is_none() {
                    self.finish(false, CUT);
                }
            }
            Poll::Pending => match ready!(self.clock.poll(cx)) {
                Late::Idle => {
                    // Some servers neither send `[DONE]` nor close the connection; a reply that is whole does not fail for that.
                    self.body = None;
                    self.finish(false, ("upstream_idle", "stopped sending in the middle of the stream"));
                }
                Late::Deadline => self.fail("deadline", "did not finish in time"),
            },
        }
        Poll::Ready(())
    }
}

impl Stream for Relay {
    type Item = Result<Frames, StreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if !this.frames.is_empty() {
                return Poll::Ready(Some(Ok(std::mem::take(&mut this.frames))));
            }
            match this.over.take() {
                Some(Over::Broken(error)) => {
                    this.over = Some(Over::Well);
                    return Poll::Ready(Some(Err(error)));
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

/// Two limits on one timer, which is moved only when it fires: a read costs a look at the clock and no more.
pub(super) struct Clock {
    sleep: Pin<Box<Sleep>>,
    idle: Duration,
    last_read: Instant,
    end: Instant,
    finishing: bool,
}

/// Which limit passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Late {
    Idle,
    Deadline,
}

impl Clock {
    pub(super) fn new(idle: Duration, end: Instant) -> Self {
        let now = Instant::now();
        Self { sleep: Box::pin(sleep_until(end.min(now + idle))), idle, last_read: now, end, finishing: false }
    }

    /// Notes a read; true if the deadline has passed.
    pub(super) fn read(&mut self) -> bool {
        self.last_read = Instant::now();
        self.last_read >= self.end
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let (now, idle) = (Instant::now(), self.last_read + self.idle);
            if now >= self.end {
                return Poll::Ready(Late::Deadline);
            }
            if now >= idle {
                return Poll::Ready(Late::Idle);
            }
            self.sleep.as_mut().reset(idle.min(self.end));
        }
    }

    /// Brings the deadline forward, once.
    fn finish_within(&mut self, time: Duration) {
        if !std::mem::replace(&mut self.finishing, true) {
            self.end = self.end.min(Instant::now() + time);
            self.sleep.as_mut().reset(self.end);
        }
    }
}
