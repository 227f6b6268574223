//! Since when a client has taken nothing of what waits for it. That it waits for an answer, or has taken all, is not counted.
//! Pure but for a lock: times are handed in.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is offered to one client, on a socket or on a stream of HTTP/2.
#[derive(Default)]
pub(super) struct Offer(Mutex<Option<Instant>>);

impl Offer {
    /// Something waits for the client. If something did already, the time goes on.
    pub(super) fn waits(&self, now: Instant) {
        self.since().get_or_insert(now);
    }

    /// The client took something, or nothing waits for it.
    pub(super) fn taken(&self) {
        *self.since() = None;
    }

    /// None if the client has taken nothing for that time; else when to look again.
    pub(super) fn check(&self, now: Instant, time: Duration) -> Option<Instant> {
        let due = self.since().unwrap_or(now) + time;
        (due > now).then_some(due)
    }

    /// Ready once the client has taken nothing for that time, and at `end` whatever it took.
    pub(super) async fn unread(&self, time: Duration, end: Instant) {
        while let Some(next) = self.check(Instant::now(), time).filter(|_| Instant::now() < end) {
            tokio::time::sleep_until(next.min(end)).await;
        }
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn time_runs_only_while_something_waits_and_begins_anew_when_it_is_taken() {
        let (start, offer) = (Instant::now(), Offer::default());
        assert_eq!(offer.check(start + 60 * SECOND, SECOND), Some(start + 61 * SECOND), "nothing waits");
        offer.waits(start);
        offer.waits(start + SECOND / 2);
        assert_eq!(offer.check(start + SECOND / 2, SECOND), Some(start + SECOND));
        assert_eq!(offer.check(start + SECOND, SECOND), None);
        offer.taken();
        assert!(offer.check(start + SECOND, SECOND).is_some());
    }
}
