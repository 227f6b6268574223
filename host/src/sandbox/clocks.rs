//! The two clocks of a call: one counts the guest's own running, the other its waiting in host calls; exactly one of them runs at a time.
//! They are switched around host functions that wait (`waiting`), not for every host call: a guest makes thousands of short ones, and a guest
//! that sleeps on a clock of WASI's waits for nobody, so that its sleep counts as running.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{Exhausted, Limits};

/// One call's clocks, shared with the host functions of that call.
#[derive(Debug)]
pub(super) struct Clocks {
    time: Duration,
    wait: Duration,
    reading: Mutex<Reading>,
}

/// What a call took so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spent {
    /// The guest's own running.
    pub(super) running: Duration,
    /// Its waiting in host calls.
    pub(super) waiting: Duration,
}

#[derive(Debug)]
struct Reading {
    /// Up to `since`.
    spent: Spent,
    /// When the clock that runs now started.
    since: Instant,
    waits: bool,
}

impl Clocks {
    /// Clocks that stand still until `start`.
    pub(super) fn new(limits: &Limits) -> Self {
        let reading = Reading { spent: Spent::default(), since: Instant::now(), waits: false };
        Self { time: limits.time, wait: limits.wait, reading: Mutex::new(reading) }
    }

    /// Starts the clock of the guest's running. The time since `new`, in which the call may have waited for its permits, is not the guest's.
    pub(super) fn start(&self) {
        self.reading().since = Instant::now();
    }

    /// Both readings as of now.
    pub(super) fn spent(&self) -> Spent {
        self.reading().at(Instant::now())
    }

    /// Awaits what a host function waits for, on the clock of waiting.
    #[cfg_attr(not(test), expect(dead_code, reason = "`log` and `config` answer at once; the first capability that waits calls it"))]
    pub(super) async fn waiting<T>(&self, work: impl Future<Output = T>) -> T {
        let _switched = Waiting::begin(self);
        work.await
    }

    /// Drives the guest until it is done or one of its two limits is reached. To end the guest, drop its store after this.
    ///
    /// # Errors
    /// The limit that was reached.
    pub(super) async fn bound<T>(&self, guest: impl Future<Output = T>) -> Result<T, Exhausted> {
        let mut guest = pin!(guest);
        // Never registered for a guest that is done at once, as most are.
        let mut alarm = pin!(sleep_until(Instant::now()));
        poll_fn(|context| {
            if let Poll::Ready(value) = guest.as_mut().poll(context) {
                return Poll::Ready(Ok(value));
            }
            let (due, limit) = self.due();
            // Looked at here and not by the alarm alone: a guest that only yields must not outlive its time on a busy machine.
            if Instant::now() >= due {
                return Poll::Ready(Err(limit));
            }
            if alarm.deadline() != due {
                alarm.as_mut().reset(due);
            }
            alarm.as_mut().poll(context).map(|()| Err(limit))
        })
        .await
    }

    /// When the clock that runs now reaches its limit.
    fn due(&self) -> (Instant, Exhausted) {
        let reading = self.reading();
        if reading.waits {
            (reading.since + self.wait.saturating_sub(reading.spent.waiting), Exhausted::Wait(self.wait))
        } else {
            (reading.since + self.time.saturating_sub(reading.spent.running), Exhausted::Time(self.time))
        }
    }

    fn switch(&self, waits: bool) {
        let now = Instant::now();
        let mut reading = self.reading();
        *reading = Reading { spent: reading.at(now), since: now, waits };
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reading {
    fn at(&self, now: Instant) -> Spent {
        let more = now.saturating_duration_since(self.since);
        let Spent { running, waiting } = self.spent;
        if self.waits { Spent { running, waiting: waiting + more } } else { Spent { running: running + more, waiting } }
    }
}

impl Spent {
    /// The wall clock around the call.
    pub(super) fn whole(self) -> Duration {
        self.running + self.waiting
    }
}

/// Stands for one wait; the guest's own clock goes on when it is dropped, also when the call is.
struct Waiting<'a>(&'a Clocks);

impl<'a> Waiting<'a> {
    fn begin(clocks: &'a Clocks) -> Self {
        clocks.switch(true);
        Self(clocks)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.switch(false);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const TIME: Duration = Duration::from_millis(500);
    const WAIT: Duration = Duration::from_secs(5);
    const TICK: Duration = Duration::from_millis(1);

    fn clocks() -> Clocks {
        Clocks::new(&Limits { time: TIME, wait: WAIT, ..Limits::default() })
    }

    async fn waits(clocks: &Clocks, time: Duration) {
        clocks.waiting(sleep_until(Instant::now() + time)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn running_and_waiting_are_counted_apart() {
        let clocks = clocks();
        advance(TIME / 2).await;
        waits(&clocks, WAIT / 2).await;
        advance(TIME / 4).await;
        assert_eq!(clocks.spent(), Spent { running: TIME * 3 / 4, waiting: WAIT / 2 });
        assert_eq!(clocks.spent().whole(), TIME * 3 / 4 + WAIT / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn all_waits_of_a_call_together_are_limited_to_the_millisecond() {
        for (last, expected) in [(WAIT / 2, Ok(())), (WAIT / 2 + TICK, Err(Exhausted::Wait(WAIT)))] {
            let clocks = clocks();
            let guest = async {
                waits(&clocks, WAIT / 2).await;
                waits(&clocks, last).await;
            };
            assert_eq!(clocks.bound(guest).await, expected, "{last:?}");
            assert_eq!(clocks.spent(), Spent { running: Duration::ZERO, waiting: WAIT }, "{last:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn running_is_limited_to_the_millisecond_however_long_the_guest_waits() {
        for (last, expected) in [(TIME / 2, Ok(())), (TIME / 2 + TICK, Err(Exhausted::Time(TIME)))] {
            let clocks = clocks();
            let guest = async {
                sleep_until(Instant::now() + TIME / 2).await;
                waits(&clocks, WAIT).await;
                sleep_until(Instant::now() + last).await;
            };
            assert_eq!(clocks.bound(guest).await, expected, "{last:?}");
            assert_eq!(clocks.spent(), Spent { running: TIME, waiting: WAIT }, "{last:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_guest_that_only_yields_is_stopped() {
        let clocks = clocks();
        let guest = async {
            loop {
                advance(TICK).await;
            }
        };
        assert_eq!(clocks.bound::<()>(guest).await, Err(Exhausted::Time(TIME)));
    }
}
