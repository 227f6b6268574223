//! A rate as a bucket: it holds a minute's worth, is filled evenly, and may be overdrawn by what could not be known before.
//! What requests under way have reserved is still in it and is not left. It counts in whole numbers, so that nothing is lost to rounding.

use std::time::Duration;

/// Parts of one unit: with nanoseconds of a minute, `per_minute` units a minute are `per_minute` parts a nanosecond.
const UNIT: i128 = 60_000_000_000;

/// However much one charge takes, the bucket is positive again after so many minutes: a count that a provider got wrong must not lock a
/// caller out for days.
const DEBT_MINUTES: i128 = 60;

/// One rate's state; begins full.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    per_minute: i128,
    /// In parts; negative if more was charged than was there.
    level: i128,
    /// In parts; what requests under way may use of it.
    reserved: i128,
    /// When `level` was true.
    at: Duration,
}

impl Bucket {
    pub(super) fn full(per_minute: u64, now: Duration) -> Self {
        Self { per_minute: per_minute.into(), level: i128::from(per_minute) * UNIT, reserved: 0, at: now }
    }

    /// Another rate from now on, or none. What was taken of the last minute's worth is taken of the new one too.
    pub(super) fn renew(bucket: &mut Option<Self>, per_minute: Option<u64>, now: Duration) {
        match (bucket.as_mut(), per_minute) {
            (Some(bucket), Some(per_minute)) => bucket.set_rate(per_minute.into(), now),
            (None, Some(per_minute)) => *bucket = Some(Self::full(per_minute, now)),
            (_, None) => *bucket = None,
        }
    }

    fn set_rate(&mut self, per_minute: i128, now: Duration) {
        self.fill(now);
        let change = (per_minute - self.per_minute) * UNIT;
        self.per_minute = per_minute;
        self.level = (self.level + change).max(-DEBT_MINUTES * per_minute * UNIT);
    }

    /// Whole units that are there.
    pub(super) fn left(&mut self, now: Duration) -> u64 {
        self.fill(now);
        u64::try_from((self.level - self.reserved).max(0) / UNIT).unwrap_or(u64::MAX)
    }

    /// Whether something would be left if nothing were reserved.
    pub(super) fn is_filled(&mut self, now: Duration) -> bool {
        self.fill(now);
        self.level >= UNIT
    }

    /// Keeps units for a request that is under way, even if they are not there.
    pub(super) fn reserve(&mut self, units: u64) {
        self.reserved += i128::from(units) * UNIT;
    }

    /// Gives back what was reserved.
    pub(super) fn release(&mut self, units: u64) {
        self.reserved = (self.reserved - i128::from(units) * UNIT).max(0);
    }

    /// Takes units, even if they are not there.
    pub(super) fn charge(&mut self, units: u64, now: Duration) {
        self.fill(now);
        let floor = -DEBT_MINUTES * self.per_minute * UNIT;
        self.level = (self.level - i128::from(units) * UNIT).max(floor);
    }

    /// How long until one whole unit is there, even if all that is reserved is used; zero if it is.
    pub(super) fn until_one(&mut self, now: Duration) -> Duration {
        self.until(UNIT, now)
    }

    /// How long until it is full.
    pub(super) fn until_full(&mut self, now: Duration) -> Duration {
        self.until(self.per_minute * UNIT, now)
    }

    fn until(&mut self, level: i128, now: Duration) -> Duration {
        self.fill(now);
        // A debt that is only reserved is no longer waited for than one that was made.
        let left = (self.level - self.reserved).max(-DEBT_MINUTES * self.per_minute * UNIT);
        let missing = (level - left).max(0);
        let nanos = (missing + self.per_minute - 1) / self.per_minute;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn fill(&mut self, now: Duration) {
        // Threads may read the clock in one order and come here in another.
        let passed = now.saturating_sub(self.at).as_nanos() as i128;
        self.at = self.at.max(now);
        self.level = (self.level + passed * self.per_minute).min(self.per_minute * UNIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_begins_full_and_fills_evenly() {
        let mut bucket = Bucket::full(60, Duration::ZERO);
        assert_eq!((bucket.left(Duration::ZERO), bucket.until_full(Duration::ZERO)), (60, Duration::ZERO));
        bucket.charge(60, Duration::ZERO);
        assert_eq!((bucket.left(Duration::ZERO), bucket.until_one(Duration::ZERO)), (0, SECOND));
        let almost = SECOND - Duration::from_nanos(1);
        assert_eq!((bucket.left(almost), bucket.until_one(almost)), (0, Duration::from_nanos(1)));
        assert_eq!((bucket.left(SECOND), bucket.until_one(SECOND)), (1, Duration::ZERO));
        assert_eq!((bucket.left(60 * SECOND), bucket.left(600 * SECOND)), (60, 60));
    }

    #[test]
    fn what_is_overdrawn_is_paid_back_and_never_takes_longer_than_an_hour() {
        let mut bucket = Bucket::full(100, Duration::ZERO);
        bucket.charge(300, Duration::ZERO);
        assert_eq!((bucket.left(60 * SECOND), bucket.left(120 * SECOND), bucket.left(180 * SECOND)), (0, 0, 100));
        bucket.charge(u64::MAX, 180 * SECOND);
        let hour = Duration::from_secs(3_600);
        let one = Duration::from_millis(600);
        assert_eq!(bucket.until_one(180 * SECOND), hour + one);
    }

    #[test]
    fn whoever_takes_all_it_can_gets_one_minute_s_worth_more_than_the_rate() {
        let mut bucket = Bucket::full(60, Duration::ZERO);
        let mut took = Vec::new();
        for tenth in 0..36_000 {
            let now = tenth * SECOND / 10;
            let units = bucket.left(now);
            bucket.charge(units, now);
            took.push(units);
        }
        assert_eq!(took.iter().sum::<u64>(), 60 + 60 * 60 - 1, "in an hour, whose last second is not over");
        let most = took.windows(600).map(|minute| minute.iter().sum::<u64>()).max();
        assert_eq!(most, Some(60 + 59));
        assert_eq!(took[600..].windows(600).map(|minute| minute.iter().sum::<u64>()).max(), Some(60));
    }

    #[test]
    fn what_is_reserved_is_not_left_and_comes_back_without_more() {
        let mut bucket = Bucket::full(60, Duration::ZERO);
        bucket.reserve(70);
        assert_eq!((bucket.left(Duration::ZERO), bucket.is_filled(Duration::ZERO)), (0, true));
        // Ten that are missing, and one more.
        assert_eq!(bucket.until_one(Duration::ZERO), 11 * SECOND);
        bucket.charge(30, Duration::ZERO);
        bucket.release(70);
        assert_eq!(bucket.left(Duration::ZERO), 30);
        bucket.reserve(u64::MAX);
        assert_eq!(bucket.until_one(Duration::ZERO), 3_601 * SECOND);
        bucket.release(u64::MAX);
        bucket.release(1);
        assert_eq!(bucket.left(Duration::ZERO), 30);
    }

    #[test]
    fn a_reading_from_the_past_takes_nothing_away() {
        let mut bucket = Bucket::full(60, 10 * SECOND);
        bucket.charge(10, 10 * SECOND);
        assert_eq!(bucket.left(5 * SECOND), 50);
        assert_eq!(bucket.left(11 * SECOND), 51);
    }

    #[test]
    fn another_rate_gives_back_nothing_that_was_taken_and_the_same_rate_changes_nothing() {
        let mut bucket = Some(Bucket::full(60, Duration::ZERO));
        let left = |bucket: &mut Option<Bucket>, now| bucket.as_mut().map(|bucket| bucket.left(now));
        bucket.as_mut().unwrap().charge(50, Duration::ZERO);
        Bucket::renew(&mut bucket, Some(60), Duration::ZERO);
        assert_eq!(left(&mut bucket, Duration::ZERO), Some(10));
        Bucket::renew(&mut bucket, Some(600), Duration::ZERO);
        assert_eq!(left(&mut bucket, Duration::ZERO), Some(550));
        Bucket::renew(&mut bucket, Some(20), Duration::ZERO);
        assert_eq!(left(&mut bucket, Duration::ZERO), Some(0), "fifty of twenty are taken");
        assert_eq!((left(&mut bucket, 90 * SECOND), left(&mut bucket, 93 * SECOND)), (Some(0), Some(1)));
        Bucket::renew(&mut bucket, None, Duration::ZERO);
        assert_eq!(left(&mut bucket, Duration::ZERO), None);
        Bucket::renew(&mut bucket, Some(5), Duration::ZERO);
        assert_eq!(left(&mut bucket, Duration::ZERO), Some(5));
    }

    #[test]
    fn one_a_minute_and_the_most_that_can_be_configured_are_exact() {
        let mut slow = Bucket::full(1, Duration::ZERO);
        slow.charge(1, Duration::ZERO);
        assert_eq!((slow.left(60 * SECOND - Duration::from_nanos(1)), slow.left(60 * SECOND)), (0, 1));
        let mut fast = Bucket::full(1_000_000_000, Duration::ZERO);
        fast.charge(1_000_000_000, Duration::ZERO);
        assert_eq!((fast.left(Duration::from_nanos(59)), fast.left(Duration::from_nanos(60))), (0, 1));
        assert_eq!(fast.left(Duration::MAX), 1_000_000_000);
    }
}
