//! The keys of the file, named once and walked by two visitors: `Section` reads them, `Printer` writes them.
//! Because both walk the same function, the effective configuration shows every key that is read, under the same name.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

/// Visits the keys of one table. Plain keys come before tables, because in TOML a key after a table header belongs to that table.
pub(super) trait Walk: Sized {
    /// Text such as "200ms".
    fn duration(&mut self, key: &'static str, value: &mut Duration, allowed: RangeInclusive<Duration>);
    /// Text such as "32MiB", or a number of bytes.
    fn bytes<N: Number>(&mut self, key: &'static str, value: &mut N, allowed: RangeInclusive<u64>);
    /// A whole number.
    fn count<N: Number>(&mut self, key: &'static str, value: &mut N, allowed: RangeInclusive<u64>);
    /// A whole number that may be absent.
    fn optional(&mut self, key: &'static str, value: &mut Option<u64>, allowed: RangeInclusive<u64>);
    /// US dollars that may be absent, in millionths.
    fn dollars(&mut self, key: &'static str, value: &mut Option<u64>, allowed: RangeInclusive<u64>);
    /// `true` or `false`.
    fn flag(&mut self, key: &'static str, value: &mut bool);
    /// One of a few words.
    fn choice<T: Copy + PartialEq>(&mut self, key: &'static str, value: &mut T, words: &[(&'static str, T)]);
    fn path(&mut self, key: &'static str, value: &mut PathBuf);
    /// A path that may be absent.
    fn optional_path(&mut self, key: &'static str, value: &mut Option<PathBuf>);
    /// Any TOML, as JSON.
    fn json(&mut self, key: &'static str, value: &mut Map<String, Value>);
    fn table(&mut self, key: &'static str, inside: impl FnOnce(&mut Self));
}

/// The integers that limits are kept in.
pub(super) trait Number: Copy {
    /// `None` if the value does not fit.
    fn from_u64(value: u64) -> Option<Self>;
    fn to_u64(self) -> u64;
}

impl<T: Copy + TryFrom<u64> + TryInto<u64>> Number for T {
    fn from_u64(value: u64) -> Option<Self> {
        T::try_from(value).ok()
    }

    fn to_u64(self) -> u64 {
        // No limit is kept in an integer wider than 64 bits, and none is negative.
        self.try_into().unwrap_or(u64::MAX)
    }
}

pub(super) const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Dollars are kept in millionths.
pub(super) const MICRO: u64 = 1_000_000;

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;
