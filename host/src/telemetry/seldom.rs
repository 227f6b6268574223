//! Lines of the log that could come with every call: each is told once in a while, with how many there were since it was told last.
//! Invariant: however many different ones there are, no more than `DIFFERENT_MAX` are told apart.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(60);
/// Kinds that are told apart; those beyond share one line. Some are named by what a guest wrote.
const DIFFERENT_MAX: usize = 16;
/// The kind of those beyond.
const OTHERS: &str = "";

/// What was told, by kind.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<HashMap<String, Told>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    /// Since then.
    count: u64,
}

impl Seldom {
    /// How many there were since the last line of that kind, these included, if it is time for a line.
    pub fn due(&self, kind: &str, count: u64) -> Option<u64> {
        let now = Instant::now();
        // Each change is complete when the lock is given back.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !told.contains_key(kind) && told.len() >= DIFFERENT_MAX {
            told.retain(|_, told| now.duration_since(told.at) < PAUSE);
        }
        let kind = if told.contains_key(kind) || told.len() < DIFFERENT_MAX { kind } else { OTHERS };
        let Some(before) = told.get_mut(kind) else {
            told.insert(kind.to_owned(), Told { at: now, count: 0 });
            return Some(count);
        };
        before.count += count;
        if now.duration_since(before.at) < PAUSE {
            return None;
        }
        before.at = now;
        Some(std::mem::take(&mut before.count))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_is_told_at_once_and_the_next_a_minute_later_with_all_that_came_between() {
        let seldom = Seldom::default();
        assert_eq!(seldom.due("a", 1), Some(1));
        assert_eq!((seldom.due("a", 1), seldom.due("a", 5)), (None, None));
        assert_eq!(seldom.due("b", 2), Some(2), "each kind for itself");
        advance(PAUSE - Duration::from_millis(1)).await;
        assert_eq!(seldom.due("a", 1), None);
        advance(Duration::from_millis(1)).await;
        assert_eq!(seldom.due("a", 1), Some(8));
        assert_eq!(seldom.due("a", 1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_kinds_are_told_apart_and_the_others_share_one_line() {
        let seldom = Seldom::default();
        for kind in 0..DIFFERENT_MAX {
            assert_eq!(seldom.due(&kind.to_string(), 1), Some(1));
        }
        assert_eq!(seldom.due("x", 1), Some(1));
        for kind in 0..1_000 {
            assert_eq!(seldom.due(&format!("y{kind}"), 1), None);
        }
        assert_eq!(seldom.0.lock().unwrap().len(), DIFFERENT_MAX + 1);
        advance(PAUSE).await;
        // Those that nobody asks about any more make room.
        assert_eq!(seldom.due("z", 1), Some(1));
        assert!(seldom.0.lock().unwrap().len() <= DIFFERENT_MAX);
    }
}
