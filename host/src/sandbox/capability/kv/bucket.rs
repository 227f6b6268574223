//! One plugin's way to the store. Sizes and numbers are checked here, so that no backend sees a key or a value beyond what was granted.

use std::sync::Arc;
use std::time::Duration;

use super::store::{Bucket, Entry, KvError, KvStore, NUMBER_MAX, Write};
use super::terms::KvTerms;
use crate::chat::Client;

/// Keys that one call of `keys` gives at most.
pub const KEYS_MAX: usize = 1_000;

/// A time to live beyond it is as good as none: a hundred years.
const TTL_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The store, as one plugin was granted it.
#[derive(Clone)]
pub struct Kv {
    store: Arc<dyn KvStore>,
    plugin: Arc<str>,
    terms: KvTerms,
}

impl Kv {
    pub fn new(store: Arc<dyn KvStore>, plugin: Arc<str>, terms: KvTerms) -> Self {
        Self { store, plugin, terms }
    }

    /// The plugin's own keys.
    pub fn own(&self) -> Bucket {
        Bucket::of_plugin(self.plugin.clone())
    }

    /// What it keeps for the caller whose request this is.
    pub fn of(&self, caller: &Client) -> Bucket {
        Bucket::of_caller(self.plugin.clone(), caller)
    }

    /// # Errors
    /// `KeyTooLong` and `Store`.
    pub async fn get(&self, bucket: &Bucket, key: &str) -> Result<Option<Entry>, KvError> {
        self.check_key(key)?;
        self.store.get(bucket, key).await
    }

    /// # Errors
    /// As `KvError` says.
    pub async fn set(&self, bucket: &Bucket, key: &str, value: Vec<u8>, ttl: Option<u32>, relaxed: bool) -> Result<(), KvError> {
        self.check_key(key)?;
        self.check_value(&value)?;
        self.store.set(bucket, key, value, self.write(ttl, relaxed)?).await
    }

    /// # Errors
    /// As `KvError` says.
    pub async fn swap(
        &self,
        bucket: &Bucket,
        key: &str,
        expected: Option<&str>,
        value: Vec<u8>,
        ttl: Option<u32>,
        relaxed: bool,
    ) -> Result<bool, KvError> {
        self.check_key(key)?;
        self.check_value(&value)?;
        self.store.swap(bucket, key, expected, value, self.write(ttl, relaxed)?).await
    }

    /// The sum, which a 64-bit float holds exactly.
    ///
    /// # Errors
    /// As `KvError` says.
    pub async fn increment(&self, bucket: &Bucket, key: &str, by: f64, ttl: Option<u32>, relaxed: bool) -> Result<f64, KvError> {
        self.check_key(key)?;
        if by.fract() != 0.0 || !(-(NUMBER_MAX as f64)..=NUMBER_MAX as f64).contains(&by) {
            return Err(KvError::Invalid("only whole numbers up to 2^53 can be added"));
        }
        let sum = self.store.increment(bucket, key, by as i64, self.write(ttl, relaxed)?).await?;
        Ok(sum as f64)
    }

    /// # Errors
    /// `KeyTooLong` and `Store`.
    pub async fn delete(&self, bucket: &Bucket, key: &str) -> Result<bool, KvError> {
        self.check_key(key)?;
        self.store.delete(bucket, key).await
    }

    /// At most `KEYS_MAX`, however many were asked for.
    ///
    /// # Errors
    /// `KeyTooLong`, for a prefix too, and `Store`.
    pub async fn keys(&self, bucket: &Bucket, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, KvError> {
        self.check_length(prefix)?;
        after.map_or(Ok(()), |after| self.check_length(after))?;
        let limit = usize::try_from(limit).map_or(KEYS_MAX, |limit| limit.min(KEYS_MAX));
        if limit == 0 {
            return Ok(Vec::new());
        }
        self.store.keys(bucket, prefix, after, limit).await
    }

    fn check_key(&self, key: &str) -> Result<(), KvError> {
        if key.is_empty() {
            return Err(KvError::Invalid("a key has at least one character"));
        }
        self.check_length(key)
    }

    fn check_length(&self, key: &str) -> Result<(), KvError> {
        let max = self.terms.key_bytes;
        if key.len() as u64 > max { Err(KvError::KeyTooLong { bytes: key.len(), max }) } else { Ok(()) }
    }

    fn check_value(&self, value: &[u8]) -> Result<(), KvError> {
        let max = self.terms.value_bytes;
        if value.len() as u64 > max { Err(KvError::ValueTooLarge { bytes: value.len(), max }) } else { Ok(()) }
    }

    fn write(&self, ttl: Option<u32>, relaxed: bool) -> Result<Write, KvError> {
        if ttl == Some(0) {
            return Err(KvError::Invalid("a `ttl` is at least one second; leave it out for a key that stays"));
        }
        let ttl = ttl.map(|seconds| Duration::from_secs(seconds.into())).filter(|ttl| *ttl < TTL_MAX);
        Ok(Write { ttl, relaxed, quota: self.terms.quota })
    }
}
