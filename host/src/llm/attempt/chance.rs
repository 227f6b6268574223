//! Random numbers for pauses and draws: fast, seedable, and nothing that a secret could hang on.
//! Must not know what is drawn.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// SplitMix64 (Steele, Lea and Flood, 2014): every state gives another number, so that threads need no lock.
pub(super) struct Chance(AtomicU64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Chance {
    /// Another sequence in each process: servers that failed together shall not come back together.
    pub(super) fn new() -> Self {
        Self::seeded(RandomState::new().build_hasher().finish())
    }

    /// The same sequence each time.
    pub(super) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is at least 1. The lowest ones come more often by less than one in 2^32.
    pub(super) fn below(&self, end: u32) -> u32 {
        let high = (u64::from(end) * (self.next() >> 32)) >> 32;
        u32::try_from(high).expect("less than `end`")
    }

    /// A time from nothing to `most`.
    pub(super) fn up_to(&self, most: Duration) -> Duration {
        most.mul_f64(f64::from(self.below(u32::MAX)) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_no_seed_others() {
        let numbers = |chance: Chance| (0..8).map(|_| chance.next()).collect::<Vec<_>>();
        assert_eq!(numbers(Chance::seeded(7)), numbers(Chance::seeded(7)));
        assert_ne!(numbers(Chance::seeded(7)), numbers(Chance::seeded(8)));
        assert_ne!(numbers(Chance::new()), numbers(Chance::new()));
        // The first numbers that the authors' own program gives for the seed 1234567.
        assert_eq!(numbers(Chance::seeded(1_234_567))[..2], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn draws_stay_below_their_end_and_reach_every_number() {
        let chance = Chance::seeded(1);
        let mut seen = [0; 5];
        (0..5_000).for_each(|_| seen[chance.below(5) as usize] += 1);
        assert!(seen.iter().all(|count| (850..1_150).contains(count)), "{seen:?}");
        assert_eq!(chance.below(1), 0);
    }

    #[test]
    fn times_lie_between_nothing_and_the_most() {
        let (chance, most) = (Chance::seeded(1), Duration::from_millis(200));
        let times: Vec<_> = (0..1_000).map(|_| chance.up_to(most)).collect();
        assert!(times.iter().all(|time| *time <= most));
        assert!(times.iter().min() < Some(&(most / 20)) && times.iter().max() > Some(&(most / 20 * 19)));
        assert_eq!(chance.up_to(Duration::ZERO), Duration::ZERO);
    }
}
