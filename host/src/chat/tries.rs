//! The tries at providers for one exchange, as a log line tells of them: how many began, who was asked, and what they used.
//! Clones are one, so that whoever keeps one knows all this also of an exchange that failed or was dropped.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Usage;

#[derive(Clone, Debug, Default)]
pub struct Tries(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    begun: AtomicU32,
    known: Mutex<Known>,
}

/// What is known of the tries so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Who answered; as long as nobody did, who was asked last.
    pub asked: Option<Asked>,
    /// What all tries used that cost something, together. None if none did, or if nobody counts.
    pub usage: Option<Usage>,
    /// Part of that is a guess.
    pub estimated: bool,
}

/// Who was asked in a try that is over, or for a stream has begun to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub provider: String,
    pub model: String,
    answered: bool,
}

impl Tries {
    /// One more begins; its number, counted from 1.
    pub fn begin(&self) -> u32 {
        self.0.begun.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many were begun.
    pub fn begun(&self) -> u32 {
        self.0.begun.load(Ordering::Relaxed)
    }

    /// One is over. Those that end after one has answered, such as the slower of two, change nothing.
    pub fn ended(&self, provider: &str, model: &str, answered: bool) {
        let mut known = self.lock();
        if known.asked.as_ref().is_none_or(|asked| !asked.answered) {
            known.asked = Some(Asked { provider: provider.to_owned(), model: model.to_owned(), answered });
        }
    }

    /// One of them used so much.
    pub fn used(&self, usage: &Usage, estimated: bool) {
        let mut known = self.lock();
        known.usage = Some(known.usage.map_or(*usage, |before| before.plus(usage)));
        known.estimated |= estimated;
    }

    pub fn known(&self) -> Known {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A panic elsewhere leaves sums that are right as far as they go.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(tries: &Tries) -> (String, String) {
        tries.known().asked.map(|asked| (asked.provider, asked.model)).expect("somebody was asked")
    }

    #[test]
    fn who_answered_stands_for_all_and_before_that_who_was_asked_last() {
        let tries = Tries::default();
        assert_eq!(tries.known(), Known::default());
        tries.ended("a", "m", false);
        tries.ended("b", "m", false);
        assert_eq!(who(&tries), ("b".into(), "m".into()));
        tries.ended("c", "n", true);
        tries.ended("a", "m", false);
        assert_eq!(who(&tries), ("c".into(), "n".into()));
    }

    #[test]
    fn what_tries_used_adds_up_and_one_guess_makes_the_sum_a_guess() {
        let tries = Tries::default();
        let usage = Usage { prompt: 7, completion: 5, cached: 2, ..Usage::default() };
        tries.clone().used(&usage, false);
        assert_eq!((tries.known().usage, tries.known().estimated), (Some(usage), false));
        tries.used(&Usage { prompt: u64::MAX, completion: 1, ..Usage::default() }, true);
        let sum = Usage { prompt: u64::MAX, completion: 6, cached: 2, ..Usage::default() };
        assert_eq!((tries.known().usage, tries.known().estimated), (Some(sum), true));
    }
}
