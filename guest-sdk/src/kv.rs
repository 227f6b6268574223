//! Keys and values that stay from call to call and over restarts. The operator must grant it, in `[plugins.NAME.grants] kv = { … }`.
//!
//! A hundred requests a minute for each caller:
//!
//! ```
//! use cofferdam_guest::kv::{self, Write};
//! use cofferdam_guest::{HookError, PreOutcome, Rejection};
//!
//! fn admit() -> Result<PreOutcome, HookError> {
//!     // The time to live is set when the counter is made, so it counts one minute and begins anew.
//!     let asked = kv::caller().increment("requests", 1, Write::new().ttl(60).relaxed())?;
//!     if asked > 100 {
//!         return Ok(Rejection::new(429, "too_many", "That is enough for this minute.").retry_after(60).into());
//!     }
//!     Ok(PreOutcome::unchanged())
//! }
//!
//! for _ in 0..100 {
//!     assert_eq!(admit()?, PreOutcome::unchanged());
//! }
//! assert!(matches!(admit()?, PreOutcome::Reject(_)));
//! # Ok::<(), HookError>(())
//! ```
//!
//! Outside of a host, as above, what is written stays in memory, for the thread that runs the test.

#[cfg(target_family = "wasm")]
use crate::bindings::imports::cofferdam::hooks::kv as source;
use crate::bindings::imports::cofferdam::hooks::kv::Scope;
use crate::bindings::imports::cofferdam::hooks::shapes::Data;
#[cfg(not(target_family = "wasm"))]
use crate::testing::kv as source;

pub use crate::bindings::imports::cofferdam::hooks::kv::{Entry, WriteOptions as Write};
pub use crate::bindings::imports::cofferdam::hooks::shapes::Failure;

/// Keys that belong together. Those of one bucket are invisible in every other one.
#[derive(Clone, Copy, Debug)]
pub struct Bucket(Scope);

/// The plugin's own keys, the same for all callers.
#[must_use]
pub fn plugin() -> Bucket {
    Bucket(Scope::Plugin)
}

/// The keys of the caller whose request this is; no other caller's requests see them.
#[must_use]
pub fn caller() -> Bucket {
    Bucket(Scope::Caller)
}

impl Bucket {
    /// The value under a key, if there is one.
    ///
    /// # Errors
    /// As [`Failure`] says; the same for all functions here.
    pub fn get(self, key: &str) -> Result<Option<Entry>, Failure> {
        source::get(self.0, key)
    }

    /// The value under a key as text; none if there is none, or if it is no text.
    #[expect(clippy::missing_errors_doc, reason = "as `get` says")]
    pub fn text(self, key: &str) -> Result<Option<String>, Failure> {
        let text = |entry: Entry| if let Data::Text(text) = entry.value { Some(text) } else { None };
        Ok(self.get(key)?.and_then(text))
    }

    /// Writes a text.
    #[expect(clippy::missing_errors_doc, reason = "as `get` says")]
    pub fn set(self, key: &str, value: &str, options: Write) -> Result<(), Failure> {
        source::set(self.0, key, &Data::Text(value.to_owned()), options)
    }

    /// Writes bytes. What is valid UTF-8 is read back as text.
    #[expect(clippy::missing_errors_doc, reason = "as `get` says")]
    pub fn set_bytes(self, key: &str, value: Vec<u8>, options: Write) -> Result<(), Failure> {
        source::set(self.0, key, &Data::Bytes(value), options)
    }

    /// Adds to the whole number under the key and gives back the sum. A key that is not there counts from 0 and gets the time to live then,
    /// and only then. No number passes 2^53.
    #[expect(clippy::missing_errors_doc, reason = "as `get` says")]
    pub fn increment(self, key: &str, by: i64, options: Write) -> Result<i64, Failure> {
        Ok(source::increment(self.0, key, by as f64, options)? as i64)
    }

    /// Writes if the key's version is the expected one, or if there is no such key and none is expected. Whether it did.
    #[expect(clippy::missing_errors_doc, reason = "as `get` says")]
    pub fn swap(self, key: &str, expected: Option<&str>, value: &str, options: Write) -> Result<bool, Failure> {
        source::swap(self.0, key, expected, &Data::Text(value.to_owned()), options)
    }

    /// Whether there was such a key.
    #[expect(clippy::missing_errors_doc, reason = "as `get` says")]
    pub fn delete(self, key: &str) -> Result<bool, Failure> {
        source::delete(self.0, key)
    }

    /// Keys that begin with the prefix, in order, after the one given: at most `limit`, and never more than 1000.
    #[expect(clippy::missing_errors_doc, reason = "as `get` says")]
    pub fn keys(self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Failure> {
        source::keys(self.0, prefix, after, limit)
    }
}

impl Write {
    /// For ever, and on the disk before the call returns.
    #[must_use]
    pub fn new() -> Self {
        Self { ttl: None, relaxed: false }
    }

    /// Until so many seconds have passed.
    #[must_use]
    pub fn ttl(mut self, seconds: u32) -> Self {
        self.ttl = Some(seconds);
        self
    }

    /// May be lost if the server is killed, or the power cut, within a moment, and is many times faster: for counters and caches.
    #[must_use]
    pub fn relaxed(mut self) -> Self {
        self.relaxed = true;
        self
    }
}

impl Default for Write {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn what_is_written_is_read_in_its_own_bucket_only() {
        plugin().set("k", "v", Write::new()).unwrap();
        caller().set_bytes("k", vec![0xff], Write::new()).unwrap();
        assert_eq!(plugin().text("k"), Ok(Some("v".to_owned())));
        assert_eq!(caller().get("k").unwrap().unwrap().value, Data::Bytes(vec![0xff]));
        assert_eq!((caller().text("k"), caller().text("other")), (Ok(None), Ok(None)));
        testing::as_caller("someone else");
        assert_eq!(caller().get("k"), Ok(None));
        assert_eq!(plugin().keys("", None, 10), Ok(vec!["k".to_owned()]));
        assert_eq!((plugin().delete("k"), plugin().delete("k")), (Ok(true), Ok(false)));
    }

    #[test]
    fn a_swap_takes_place_on_the_version_that_was_read() {
        assert_eq!(plugin().swap("k", None, "1", Write::new()), Ok(true));
        let version = plugin().get("k").unwrap().unwrap().version;
        assert_eq!(plugin().swap("k", None, "2", Write::new()), Ok(false));
        assert_eq!(plugin().swap("k", Some(&version), "2", Write::new()), Ok(true));
        assert_eq!(plugin().swap("k", Some(&version), "3", Write::new()), Ok(false));
    }

    #[test]
    fn a_time_to_live_ends_and_an_increment_keeps_the_first() {
        let minute = Write::new().ttl(60).relaxed();
        assert_eq!(plugin().increment("n", 2, minute), Ok(2));
        testing::pass_seconds(59);
        assert_eq!(plugin().increment("n", 1, minute), Ok(3));
        testing::pass_seconds(1);
        assert_eq!(plugin().increment("n", -1, minute), Ok(-1));
        plugin().set("t", "text", Write::new()).unwrap();
        assert!(matches!(plugin().increment("t", 1, Write::new()), Err(Failure::Invalid(_))));
    }
}
