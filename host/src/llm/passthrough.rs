//! A provider's stream on its way to the client: bytes unparsed, cut at event ends, watched for its end and its time limits.
//! A stream that ends without `[DONE]` ends in an error item. Must not know HTTP heads or what the events say.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::sse::{End, Framer};
use super::transport::Body;
use crate::chat::Broken;

/// What a provider may take between `[DONE]` and the end of its body, after which the connection is closed instead of kept.
const WIND_DOWN: Duration = Duration::from_millis(200);

/// Reads after `[DONE]`.
const WIND_DOWN_READS: usize = 8;

/// The stream behind `Reply::PassThrough`.
pub(super) struct PassThrough {
    provider: Arc<str>,
    /// Whole events that were read already.
    head: Option<Bytes>,
    /// None when the stream is over.
    body: Option<Body>,
    framer: Framer,
    clock: Clock,
}

impl PassThrough {
    /// `head`: the whole events that `framer` gave out so far.
    pub(super) fn new(provider: Arc<str>, head: Bytes, body: Body, framer: Framer, idle: Duration, end: Instant) -> Self {
        Self { provider, head: Some(head), body: Some(body), framer, clock: Clock::new(idle, end) }
    }

    /// Ends the stream with an error; dropping the body closes the connection.
    fn broken(&mut self, code: &'static str, what: &str) -> Poll<Option<Result<Bytes, Broken>>> {
        self.body = None;
        tracing::warn!(llm.provider = &*self.provider, code, "provider `{}` {what}", self.provider);
        Poll::Ready(Some(Err(Broken { message: format!("provider `{}` {what}", self.provider), code })))
    }

    /// After `[DONE]`: waits for the end of the body, so that its connection can be used again.
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
}

impl Stream for PassThrough {
    type Item = Result<Bytes, Broken>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(head) = this.head.take() {
            return Poll::Ready(Some(Ok(head)));
        }
        loop {
            let Some(body) = &mut this.body else { return Poll::Ready(None) };
            match this.framer.end() {
                Some(End::TooLarge) => return this.broken("event_too_large", "sent an event over `limits.providers.event_bytes`"),
                Some(End::Done) => {
                    ready!(this.wind_down(cx));
                    this.body = None;
                    return Poll::Ready(None);
                }
                None => {}
            }
            match body.poll_data(cx) {
                Poll::Ready(Some(Ok(read))) => {
                    if this.clock.read() {
                        return this.broken("deadline", "did not finish in time");
                    }
                    if let Some(events) = this.framer.push(read) {
                        return Poll::Ready(Some(Ok(events)));
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => return this.broken("upstream_cut", "closed the stream before its end"),
                Poll::Pending => {
                    return match ready!(this.clock.poll(cx)) {
                        Late::Idle => this.broken("upstream_idle", "stopped sending in the middle of the stream"),
                        Late::Deadline => this.broken("deadline", "did not finish in time"),
                    };
                }
            }
        }
    }
}

/// Two limits on one timer, which is moved only when it fires: a read costs a look at the clock and no more.
struct Clock {
    sleep: Pin<Box<Sleep>>,
    idle: Duration,
    last_read: Instant,
    end: Instant,
    finishing: bool,
}

enum Late {
    Idle,
    Deadline,
}

impl Clock {
    fn new(idle: Duration, end: Instant) -> Self {
        let now = Instant::now();
        Self { sleep: Box::pin(sleep_until(end.min(now + idle))), idle, last_read: now, end, finishing: false }
    }

    /// Notes a read; true if the deadline has passed.
    fn read(&mut self) -> bool {
        self.last_read = Instant::now();
        self.last_read >= self.end
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
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
