//! Reads each kind of value: durations, sizes, counts, choices, addresses, paths and tables.
//! Every number has a smallest and a largest value; an error names the value that was found and the range that is allowed.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use serde_json::{Map, Value};

use super::print;
use super::section::{Entry, Section};
use super::walk::{MICRO, Number, Walk};

impl Walk for Section<'_> {
    fn duration(&mut self, key: &'static str, value: &mut Duration, allowed: RangeInclusive<Duration>) {
        let Some(entry) = self.take(key) else { return };
        match entry.text().and_then(|text| humantime::parse_duration(text).ok()) {
            Some(read) if allowed.contains(&read) => *value = read,
            Some(_) => {
                entry.wrong(&format!("a duration from {} to {}", print::duration(*allowed.start()), print::duration(*allowed.end())))
            }
            None => entry.wrong("a duration such as \"200ms\""),
        }
    }

    fn bytes<N: Number>(&mut self, key: &'static str, value: &mut N, allowed: RangeInclusive<u64>) {
        let Some(entry) = self.take(key) else { return };
        let size = entry.number().or_else(|| entry.text()?.parse::<ByteSize>().ok().map(|size| size.as_u64()));
        match size {
            Some(size) if allowed.contains(&size) => *value = N::from_u64(size).unwrap_or(*value),
            Some(_) => entry.wrong(&format!("a size from {} to {}", print::bytes(*allowed.start()), print::bytes(*allowed.end()))),
            None => entry.wrong("a size such as \"32MiB\", or a number of bytes"),
        }
    }

    fn count<N: Number>(&mut self, key: &'static str, value: &mut N, allowed: RangeInclusive<u64>) {
        let Some(entry) = self.take(key) else { return };
        match entry.number().filter(|n| allowed.contains(n)).and_then(N::from_u64) {
            Some(read) => *value = read,
            None => entry.wrong(&format!("a whole number from {} to {}", allowed.start(), allowed.end())),
        }
    }

    fn optional(&mut self, key: &'static str, value: &mut Option<u64>, allowed: RangeInclusive<u64>) {
        let mut read = 0;
        self.count(key, &mut read, allowed);
        // 0 is in no allowed range, so it stands for a value that was not read.
        *value = Some(read).filter(|read| *read > 0);
    }

    fn dollars(&mut self, key: &'static str, value: &mut Option<u64>, allowed: RangeInclusive<u64>) {
        let Some(entry) = self.take(key) else { return };
        let micros = entry.fraction().filter(|dollars| dollars.is_finite()).map(|dollars| (dollars * MICRO as f64).round() as u64);
        match micros.filter(|micros| allowed.contains(micros)) {
            Some(read) => *value = Some(read),
            None => {
                let [least, most] = [allowed.start(), allowed.end()].map(|micros| *micros as f64 / MICRO as f64);
                entry.wrong(&format!("a number of US dollars from {least} to {most}"));
            }
        }
    }

    fn flag(&mut self, key: &'static str, value: &mut bool) {
        let Some(entry) = self.take(key) else { return };
        match entry.flag() {
            Some(read) => *value = read,
            None => entry.wrong("true or false"),
        }
    }

    fn choice<T: Copy + PartialEq>(&mut self, key: &'static str, value: &mut T, words: &[(&'static str, T)]) {
        let Some(entry) = self.take(key) else { return };
        match words.iter().find(|(word, _)| entry.text() == Some(word)) {
            Some((_, read)) => *value = *read,
            None => {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
                entry.wrong(&words.join(" or "));
            }
        }
    }

    fn path(&mut self, key: &'static str, value: &mut PathBuf) {
        if let Some(path) = self.take(key).and_then(path) {
            *value = path;
        }
    }

    fn optional_path(&mut self, key: &'static str, value: &mut Option<PathBuf>) {
        if let Some(path) = self.take(key).and_then(path) {
            *value = Some(path);
        }
    }

    fn json(&mut self, key: &'static str, value: &mut Map<String, Value>) {
        let Some(entry) = self.take(key) else { return };
        match entry.json() {
            Some(Value::Object(map)) => *value = map,
            Some(_) => entry.wrong("a table"),
            None => {}
        }
    }

    fn table(&mut self, key: &'static str, inside: impl FnOnce(&mut Self)) {
        if let Some(entry) = self.take(key) {
            entry.table(inside);
        }
    }
}

fn path(entry: Entry<'_>) -> Option<PathBuf> {
    let path = entry.text().filter(|text| !text.is_empty() && !text.contains('\0')).map(PathBuf::from);
    if path.is_none() {
        entry.wrong("a path");
    }
    path
}
