//! Idle connections of one provider, newest first, few and not for long.
//! Must not know what a connection is: it is given back, taken, or dropped.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What can be kept.
pub(super) trait Reusable {
    /// The peer has not closed it.
    fn is_open(&self) -> bool;
}

/// Kept connections, the oldest in front. Those that are too old are dropped at the next use of the pool, for which no timer runs.
pub(super) struct Pool<T> {
    idle: Mutex<VecDeque<(Instant, T)>>,
    most: usize,
    kept: Duration,
}

impl<T: Reusable> Pool<T> {
    pub(super) fn new(most: usize, kept: Duration) -> Self {
        Self { idle: Mutex::default(), most, kept }
    }

    /// The connection that was used last and is still open.
    pub(super) fn take(&self, now: Instant) -> Option<T> {
        let mut idle = self.fresh(now);
        while let Some((_, connection)) = idle.pop_back() {
            if connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps `connection` for the next request if there is room.
    pub(super) fn give_back(&self, connection: T, now: Instant) {
        let mut idle = self.fresh(now);
        if connection.is_open() && idle.len() < self.most {
            idle.push_back((now, connection));
        }
    }

    fn fresh(&self, now: Instant) -> MutexGuard<'_, VecDeque<(Instant, T)>> {
        // A panic elsewhere leaves a list of connections, which is as good as before.
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) > self.kept) {
            idle.pop_front();
        }
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Fake(u32, bool);

    impl Reusable for Fake {
        fn is_open(&self) -> bool {
            self.1
        }
    }

    const KEPT: Duration = Duration::from_secs(30);

    #[test]
    fn the_newest_open_connection_is_taken_first() {
        let (pool, now) = (Pool::new(9, KEPT), Instant::now());
        for fake in [Fake(1, true), Fake(2, true), Fake(3, false)] {
            pool.give_back(fake, now);
        }
        assert_eq!(pool.take(now), Some(Fake(2, true)));
        assert_eq!(pool.take(now), Some(Fake(1, true)));
        assert_eq!(pool.take(now), None);
    }

    #[test]
    fn no_more_than_the_limit_are_kept() {
        for most in 0..3 {
            let (pool, now) = (Pool::new(most, KEPT), Instant::now());
            (0..3).for_each(|id| pool.give_back(Fake(id, true), now));
            assert_eq!(std::iter::from_fn(|| pool.take(now)).count(), most);
        }
    }

    #[test]
    fn a_connection_is_dropped_once_it_is_older_than_kept() {
        let (pool, now) = (Pool::new(9, KEPT), Instant::now());
        pool.give_back(Fake(1, true), now);
        assert_eq!(pool.take(now + KEPT), Some(Fake(1, true)));
        pool.give_back(Fake(2, true), now);
        assert_eq!(pool.take(now + KEPT + Duration::from_millis(1)), None);
    }
}
