//! What time it is, for budgets and sums: a clock that never goes back for what is counted by the minute, the calendar for what is
//! counted by the day. Days are those of UTC, so that every server agrees on them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Span;
use jiff::civil::Date;

const DAY_SECONDS: u64 = 86_400;

/// Day 0.
const EPOCH: Date = Date::constant(1970, 1, 1);

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

/// A day of UTC, counted from 1970-01-01 so that finding and comparing days costs nothing; shown as `2026-11-22`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

    /// How long until the month is over; never zero.
    pub fn to_next_month(self) -> Duration {
        let today = self.day();
        let days = today.next_month().since(today).unwrap_or(1).saturating_sub(1);
        self.to_midnight() + Duration::from_secs(u64::from(days) * DAY_SECONDS)
    }

    /// How long until the day is over; never zero.
    pub fn to_midnight(self) -> Duration {
        Duration::from_secs(DAY_SECONDS) - (self.unix - Duration::from_secs(self.unix.as_secs() / DAY_SECONDS * DAY_SECONDS))
    }
}

impl Day {
    /// `2026-11-22`, from 1970 to 9999; none for another text or a day that no month has.
    pub fn parse(text: &str) -> Option<Self> {
        let date: Date = text.parse().ok()?;
        let days = date.duration_since(EPOCH).as_hours() / 24;
        // jiff reads other spellings too, such as `20261122`; they are not written back as they came.
        u32::try_from(days).ok().map(Self).filter(|day| day.to_string() == text)
    }

    /// Counted from 1970-01-01, which is 0.
    pub fn number(self) -> u32 {
        self.0
    }

    /// That many days before, but not before 1970.
    pub fn back(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }

    /// The first day of its month.
    pub fn month(self) -> Self {
        self.date().map_or(self, |date| Self::of(date.first_of_month()))
    }

    /// The first day of the month after its own.
    pub fn next_month(self) -> Self {
        let next = self.date().and_then(|date| date.last_of_month().tomorrow().ok());
        next.map_or(Self(self.0.saturating_add(1)), Self::of)
    }

    /// None after the year 9999.
    fn date(self) -> Option<Date> {
        Span::new().try_days(self.0).and_then(|days| EPOCH.checked_add(days)).ok()
    }

    /// Not before 1970.
    fn of(date: Date) -> Self {
        Self(u32::try_from(date.duration_since(EPOCH).as_hours() / 24).unwrap_or(0))
    }

    /// How many days lie from `earlier` to this one; none if it is later.
    pub fn since(self, earlier: Self) -> Option<u32> {
        self.0.checked_sub(earlier.0)
    }
}

impl fmt::Display for Day {
    /// After the year 9999 its last day is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.date().unwrap_or(Date::MAX), f)
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
        let of =
            |text: &str| Moment { unix: Duration::from_secs(u64::from(Day::parse(text).unwrap().0) * 86_400 + 1), ..Moment::default() };
        for (day, first, next, seconds) in [
            ("2026-11-01", "2026-11-01", "2026-12-01", 30 * 86_400 - 1),
            ("2026-11-30", "2026-11-01", "2026-12-01", 86_399),
            ("2026-12-31", "2026-12-01", "2027-01-01", 86_399),
            ("2028-02-29", "2028-02-01", "2028-03-01", 86_399),
        ] {
            let now = of(day);
            assert_eq!((now.day().month().to_string(), now.day().next_month().to_string()), (first.into(), next.into()));
            assert_eq!(now.to_next_month(), Duration::from_secs(seconds));
        }
        assert_eq!((Day(u32::MAX).month(), Day(u32::MAX).next_month()), (Day(u32::MAX), Day(u32::MAX)));
        assert_eq!((Day(3).back(2), Day(3).back(9), Day(3).since(Day(1)), Day(1).since(Day(3))), (Day(1), Day(0), Some(2), None));
    }
}
