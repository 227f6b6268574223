//! Reads the table of one grant, key by key. What is out of its range, of another kind, or a key that nobody asked for is refused with a
//! sentence that names it, so that no misspelt limit of a grant is silently the default.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytesize::ByteSize;
use serde_json::{Map, Value};

/// One grant's table.
pub(in crate::sandbox) struct Terms<'a> {
    table: &'a Map<String, Value>,
    known: Vec<&'static str>,
}

impl<'a> Terms<'a> {
    /// # Errors
    /// It is no table.
    pub(in crate::sandbox) fn of(value: &'a Value, example: &str) -> Result<Self, String> {
        let table = value.as_object().ok_or_else(|| format!("expected a table such as `{example}`"))?;
        Ok(Self { table, known: Vec::new() })
    }

    pub(in crate::sandbox) fn take(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.push(key);
        self.table.get(key)
    }

    /// Text such as "16MiB", or a number of bytes.
    pub(in crate::sandbox) fn bytes(&mut self, key: &'static str, default: u64, allowed: RangeInclusive<u64>) -> Result<u64, String> {
        let Some(value) = self.take(key) else { return Ok(default) };
        let read = value.as_u64().or_else(|| value.as_str()?.parse::<ByteSize>().ok().map(|size| size.as_u64()));
        let range = || format!("`{key}`: expected a size from {} to {} bytes, such as \"1MiB\"", allowed.start(), allowed.end());
        read.filter(|read| allowed.contains(read)).ok_or_else(range)
    }

    pub(in crate::sandbox) fn count(&mut self, key: &'static str, default: u64, allowed: RangeInclusive<u64>) -> Result<u64, String> {
        let Some(value) = self.take(key) else { return Ok(default) };
        let range = || format!("`{key}`: expected a whole number from {} to {}", allowed.start(), allowed.end());
        value.as_u64().filter(|read| allowed.contains(read)).ok_or_else(range)
    }

    /// Text such as "10s".
    pub(in crate::sandbox) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        allowed: RangeInclusive<Duration>,
    ) -> Result<Duration, String> {
        let Some(value) = self.take(key) else { return Ok(default) };
        let read = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        let shown = humantime::format_duration;
        let range = || format!("`{key}`: expected a duration from {} to {}", shown(*allowed.start()), shown(*allowed.end()));
        read.filter(|read| allowed.contains(read)).ok_or_else(range)
    }

    /// `true` or `false`; without the key it is false.
    pub(in crate::sandbox) fn flag(&mut self, key: &'static str) -> Result<bool, String> {
        let Some(value) = self.take(key) else { return Ok(false) };
        value.as_bool().ok_or_else(|| format!("`{key}`: expected true or false"))
    }

    /// # Errors
    /// A key that was not taken.
    pub(in crate::sandbox) fn finish(self) -> Result<(), String> {
        match self.table.keys().find(|key| !self.known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(format!("`{}` is no key of this grant; known here are {}", short(key), self.known.join(", "))),
        }
    }
}

/// The beginning of a text, for a message.
fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(60)]
}
