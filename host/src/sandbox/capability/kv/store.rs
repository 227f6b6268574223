//! The port for what plugins keep. `storage` implements it, and `tests/contract/kv.rs` holds every backend to what is said here: no change is
//! lost or done twice, buckets do not see each other, and quotas hold.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::chat::Client;

/// The largest whole number that every language keeps exactly: 2^53. No number in the store passes it.
pub const NUMBER_MAX: i64 = 1 << 53;

/// What an entry counts beside the bytes of its key and value, for what a backend needs to keep it.
pub const ENTRY_BYTES: u64 = 64;

/// Tells how long ago 1970 began, in UTC; tests bring a clock that they move.
pub type UnixClock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Keeps keys and values in buckets. A future that is dropped has done the whole of its work, or none, or does it in the background.
///
/// A change is durable when its future returns, so a power cut does not lose it. A relaxed change is seen by every later call at once, but
/// survives only once the store has written it, which takes no longer than `KvLimits::flush` while the disk keeps up. Changes of one key take
/// effect one after the other, and a durable change never survives an earlier relaxed one of the same store that did not.
///
/// All methods fail with `KvError::Store` if the backend cannot read or write.
pub trait KvStore: Send + Sync + 'static {
    /// The value and its version; none if there is no such key or its time is over.
    fn get<'a>(&'a self, bucket: &'a Bucket, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, KvError>>;

    /// Puts a value in place of the one under the key. Its time counts anew.
    ///
    /// # Errors
    /// `QuotaBytes`, `QuotaKeys` and `Full`, which leave everything as it was. A value that is no larger than the one before always fits.
    fn set<'a>(&'a self, bucket: &'a Bucket, key: &'a str, value: Vec<u8>, write: Write) -> BoxFuture<'a, Result<(), KvError>>;

    /// As `set`, if the key's version is the expected one (none: if there is no such key). Whether it did.
    ///
    /// # Errors
    /// As `set`.
    fn swap<'a>(
        &'a self,
        bucket: &'a Bucket,
        key: &'a str,
        expected: Option<&'a str>,
        value: Vec<u8>,
        write: Write,
    ) -> BoxFuture<'a, Result<bool, KvError>>;

    /// Adds to the whole number under the key, kept as its decimal digits, and gives back the sum. A key that is not there counts from 0 and
    /// gets its time then; one that is there keeps the time that it has.
    ///
    /// # Errors
    /// `Invalid` if what is under the key is no whole number, or the sum would pass `NUMBER_MAX`; else as `set`.
    fn increment<'a>(&'a self, bucket: &'a Bucket, key: &'a str, by: i64, write: Write) -> BoxFuture<'a, Result<i64, KvError>>;

    /// Whether there was such a key. Durable.
    fn delete<'a>(&'a self, bucket: &'a Bucket, key: &'a str) -> BoxFuture<'a, Result<bool, KvError>>;

    /// At most `limit` keys that begin with the prefix and come after `after`, in the order of their bytes.
    fn keys<'a>(
        &'a self,
        bucket: &'a Bucket,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<String>, KvError>>;

    /// Writes what waits to be written. Another server has the store from now on; both may change it until this one ends, so every change of
    /// this one is written at once.
    fn hand_over(&self) -> BoxFuture<'_, Result<(), KvError>>;
}

/// Whose keys: a plugin's own, or those that it keeps for one caller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    pub plugin: Arc<str>,
    /// Empty for the plugin's own; else the caller, in a form that means the same after a restart.
    pub owner: Arc<str>,
}

impl Bucket {
    /// The plugin's own.
    pub fn of_plugin(plugin: Arc<str>) -> Self {
        Self { plugin, owner: "".into() }
    }

    /// What the plugin keeps for one caller: the name of the key that was used, or without keys the address, so that callers whom nobody
    /// told apart do not read each other's.
    pub fn of_caller(plugin: Arc<str>, caller: &Client) -> Self {
        let owner = match caller {
            Client::Key(name) => format!("key:{name}"),
            Client::Address(address) => format!("address:{address}"),
            Client::Host => "host:".to_owned(),
        };
        Self { plugin, owner: owner.into() }
    }
}

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub value: Vec<u8>,
    /// Another one after every change, also after the key was deleted and made again.
    pub version: String,
}

/// How a change is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Write {
    /// How long until the key is gone; none for never.
    pub ttl: Option<Duration>,
    /// Whether the change may be lost if the process is killed, or the power cut, soon after.
    pub relaxed: bool,
    pub quota: Quota,
}

/// How much one plugin may keep, over all its buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Of keys, callers' names and values, and `ENTRY_BYTES` for each key.
    pub bytes: u64,
    pub keys: u64,
}

/// Limits of the store, over all plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLimits {
    /// What all plugins together may keep, counted as in `Quota`.
    pub bytes: u64,
    /// How long a relaxed change may wait until it is written.
    pub flush: Duration,
}

impl Default for KvLimits {
    fn default() -> Self {
        // Sixty plugins with all that is granted by default. A tenth of a second costs ten writes to the disk a second at most.
        Self { bytes: 1 << 30, flush: Duration::from_millis(100) }
    }
}

/// Why nothing was read or changed. Each text is a sentence for the plugin's author or its operator, and names the key that decides.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    #[error("the key has {bytes} bytes, and `grants.kv.key_bytes` allows {max}")]
    KeyTooLong { bytes: usize, max: u64 },
    #[error("the value has {bytes} bytes, and `grants.kv.value_bytes` allows {max}")]
    ValueTooLarge { bytes: usize, max: u64 },
    #[error("with this the plugin would keep {bytes} bytes, and `grants.kv.bytes` allows {max}")]
    QuotaBytes { bytes: u64, max: u64 },
    #[error("the plugin keeps {max} keys, and `grants.kv.keys` allows no more")]
    QuotaKeys { max: u64 },
    #[error("all plugins together keep {max} bytes, and `limits.kv.bytes` allows no more")]
    Full { max: u64 },
    #[error("{0}")]
    Invalid(&'static str),
    /// The backend failed; the text spells out all causes.
    #[error("the store failed: {0}")]
    Store(String),
}
