//! Writes the effective configuration as TOML that reads back to the same configuration.
//! No secret gets here: the configuration holds names of secrets and hashes of keys only.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::json::{quote, quote_key, to_toml};
use super::walk::{GIB, KIB, MIB, MICRO, Number, Walk};

/// Writes one table after the other.
#[derive(Default)]
pub(super) struct Printer {
    out: String,
    /// The path of the table that is being written.
    path: String,
}

impl Printer {
    pub(super) fn finish(self) -> String {
        self.out
    }

    /// Writes one line as it is.
    pub(super) fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    /// Writes one key; `value` is TOML already.
    pub(super) fn entry(&mut self, key: &str, value: &str) {
        writeln!(self.out, "{} = {value}", quote_key(key)).expect("a String takes every write");
    }

    /// Writes a table whose name the operator chose.
    pub(super) fn named(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let outer = self.path.clone();
        self.path = if outer.is_empty() { quote_key(name) } else { format!("{outer}.{}", quote_key(name)) };
        writeln!(self.out, "\n[{}]", self.path).expect("a String takes every write");
        inside(self);
        self.path = outer;
    }
}

impl Walk for Printer {
    fn duration(&mut self, key: &'static str, value: &mut Duration, _allowed: RangeInclusive<Duration>) {
        self.entry(key, &duration(*value));
    }

    fn bytes<N: Number>(&mut self, key: &'static str, value: &mut N, _allowed: RangeInclusive<u64>) {
        self.entry(key, &bytes(value.to_u64()));
    }

    fn count<N: Number>(&mut self, key: &'static str, value: &mut N, _allowed: RangeInclusive<u64>) {
        self.entry(key, &value.to_u64().to_string());
    }

    fn optional(&mut self, key: &'static str, value: &mut Option<u64>, _allowed: RangeInclusive<u64>) {
        if let Some(value) = value {
            self.entry(key, &value.to_string());
        }
    }

    fn dollars(&mut self, key: &'static str, value: &mut Option<u64>, _allowed: RangeInclusive<u64>) {
        if let Some(micros) = value {
            self.entry(key, &dollars(*micros));
        }
    }

    fn flag(&mut self, key: &'static str, value: &mut bool) {
        self.entry(key, &value.to_string());
    }

    fn choice<T: Copy + PartialEq>(&mut self, key: &'static str, value: &mut T, words: &[(&'static str, T)]) {
        if let Some((word, _)) = words.iter().find(|(_, of)| of == value) {
            self.entry(key, &quote(word));
        }
    }

    fn path(&mut self, key: &'static str, value: &mut PathBuf) {
        self.entry(key, &quote(&value.to_string_lossy()));
    }

    fn optional_path(&mut self, key: &'static str, value: &mut Option<PathBuf>) {
        if let Some(value) = value {
            self.path(key, value);
        }
    }

    fn json(&mut self, key: &'static str, value: &mut Map<String, Value>) {
        self.entry(key, &to_toml(&Value::Object(value.clone())));
    }

    fn table(&mut self, key: &'static str, inside: impl FnOnce(&mut Self)) {
        self.named(key, inside);
    }
}

/// "1m 30s"
pub(super) fn duration(value: Duration) -> String {
    quote(&humantime::format_duration(value).to_string())
}

/// "2.500000"
pub(super) fn dollars(micros: u64) -> String {
    format!("{}.{:06}", micros / MICRO, micros % MICRO)
}

/// "32MiB" if the value is a whole number of such units, else the number of bytes.
pub(super) fn bytes(value: u64) -> String {
    let round = [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")].into_iter().find(|(unit, _)| value != 0 && value.is_multiple_of(*unit));
    match round {
        Some((unit, name)) => format!("\"{}{name}\"", value / unit),
        None => value.to_string(),
    }
}
