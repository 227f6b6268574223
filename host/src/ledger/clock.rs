//! What time it is, for budgets and books: a clock that never goes back for what is counted by the minute, the calendar for what is
//! counted by the day. Days are those of UTC, so that every server agrees on them. Must not know what is counted.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const DAY_SECONDS: u64 = 86_400;

/// Tells the time; tests bring one that they move.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Since some fixed moment; never goes back.
    pub steady: Duration,
    /// Since 1970 began in UTC.
    pub unix: Duration,
}

/// A day of UTC, counted from 1970-01-01; shown as `2026-11-22`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

/// The machine's clocks.
pub fn system() -> Clock {
    let began = Instant::now();
    Arc::new(move || Moment { steady: began.elapsed(), unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() })
}

impl Moment {
    pub fn day(self) -> Day {
        Day(u32::try_from(self.unix.as_secs() / DAY_SECONDS).unwrap_or(u32::MAX))
    }

    /// How long until the day is over; never zero.
    pub fn to_midnight(self) -> Duration {
        Duration::from_secs(DAY_SECONDS) - (self.unix - Duration::from_secs(self.unix.as_secs() / DAY_SECONDS * DAY_SECONDS))
    }
}

impl Day {
    /// `2026-11-22`, from 1970 to 9999; none for another text or a day that no month has.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |range: std::ops::Range<usize>| {
            let part = text.get(range).filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?;
            part.parse::<u32>().ok()
        };
        let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        let found = Self::of(year, month, day);
        // What is written back differs for the 30th of February, and where something else stands between or after the numbers.
        (found.to_string() == text).then_some(found)
    }

    /// Counted from 1970-01-01, which is 0.
    pub fn number(self) -> u32 {
        self.0
    }

    /// That many days before, but not before 1970.
    pub fn back(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }

    /// How many days lie from `earlier` to this one; none where it is later.
    pub fn since(self, earlier: Self) -> Option<u32> {
        self.0.checked_sub(earlier.0)
    }

    // Both conversions are Howard Hinnant's (chrono-Compatible Low-Level Date Algorithms): years begin in March, so that a leap day ends one.

    fn of(year: u32, month: u32, day: u32) -> Self {
        let year = year - u32::from(month <= 2);
        let (era, year) = (year / 400, year % 400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        Self(era * 146_097 + year * 365 + year / 4 - year / 100 + day_of_year - 719_468)
    }

    fn civil(self) -> (u64, u64, u64) {
        let days = u64::from(self.0) + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day_of_year = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (year + era * 400 + u64::from(month <= 2), month, day)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_is_written_and_read_back() {
        assert_eq!((Day(0).to_string(), Day(59).to_string()), ("1970-01-01".into(), "1970-03-01".into()));
        let mut before = String::new();
        for number in 0..60_000 {
            let text = Day(number).to_string();
            assert_eq!(Day::parse(&text), Some(Day(number)), "{text}");
            assert!(text > before, "{text} comes after {before}, also as text");
            before = text;
        }
        assert_eq!(Day::parse("2000-02-29").map(|day| day.0), Some(11_016));
        assert_eq!(Day::parse("9999-12-31").map(|day| day.to_string()), Some("9999-12-31".into()));
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2026-11-2",
            "2026-11-222",
            "2026-02-29",
            "2026-04-31",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "1969-12-31",
            "2026/11/22",
            "2026-11-+2",
            "20261122",
            "2026-11-é",
            "today",
        ] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_day_ends_at_midnight_of_utc() {
        let at = |seconds: u64| Moment { unix: Duration::from_secs(seconds), ..Moment::default() };
        assert_eq!((at(86_399).day(), at(86_400).day()), (Day(0), Day(1)));
        assert_eq!((at(86_399).to_midnight(), at(86_400).to_midnight()), (Duration::from_secs(1), Duration::from_secs(86_400)));
        assert_eq!((Day(3).back(2), Day(3).back(9), Day(3).since(Day(1)), Day(1).since(Day(3))), (Day(1), Day(0), Some(2), None));
    }
}
