//! The two time limits of a stream on one timer: between two reads, and for all of it.
//! Must not know what is read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

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
    pub(super) fn finish_within(&mut self, time: Duration) {
        if !std::mem::replace(&mut self.finishing, true) {
            self.end = self.end.min(Instant::now() + time);
            self.sleep.as_mut().reset(self.end);
        }
    }
}
