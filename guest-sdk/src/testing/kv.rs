//! Keys and values in the memory of one thread, by the rules of the contract but without quotas.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::bindings::imports::cofferdam::hooks::kv::{Entry, Scope, WriteOptions};
use crate::bindings::imports::cofferdam::hooks::shapes::{Data, Failure};

/// The largest whole number that every language keeps exactly.
const NUMBER_MAX: f64 = 9_007_199_254_740_992.0;

thread_local! {
    static STORE: RefCell<Store> = RefCell::new(Store::default());
}

#[derive(Default)]
struct Store {
    caller: String,
    now: u64,
    changes: u64,
    kept: BTreeMap<(Option<String>, String), Kept>,
}

struct Kept {
    value: Vec<u8>,
    version: String,
    until: Option<u64>,
}

/// From now on the hooks that this thread calls serve a request of that caller.
pub fn as_caller(name: impl Into<String>) {
    STORE.with_borrow_mut(|store| store.caller = name.into());
}

/// Lets time pass for keys that have a time to live.
pub fn pass_seconds(seconds: u64) {
    STORE.with_borrow_mut(|store| store.now += seconds);
}

fn with<T>(scope: Scope, key: &str, act: impl FnOnce(&mut Store, (Option<String>, String)) -> T) -> T {
    STORE.with_borrow_mut(|store| {
        let now = store.now;
        store.kept.retain(|_, kept| kept.until.is_none_or(|until| until > now));
        let owner = (scope == Scope::Caller).then(|| store.caller.clone());
        act(store, (owner, key.to_owned()))
    })
}

impl Store {
    fn write(&mut self, key: (Option<String>, String), value: Vec<u8>, until: Option<u64>) {
        self.changes += 1;
        self.kept.insert(key, Kept { value, version: self.changes.to_string(), until });
    }

    fn until(&self, options: WriteOptions) -> Option<u64> {
        options.ttl.map(|seconds| self.now + u64::from(seconds))
    }
}

pub(crate) fn get(scope: Scope, key: &str) -> Result<Option<Entry>, Failure> {
    let entry = |kept: &Kept| {
        let value = String::from_utf8(kept.value.clone()).map_or_else(|error| Data::Bytes(error.into_bytes()), Data::Text);
        Entry { value, version: kept.version.clone() }
    };
    Ok(with(scope, key, |store, key| store.kept.get(&key).map(entry)))
}

pub(crate) fn set(scope: Scope, key: &str, value: &Data, options: WriteOptions) -> Result<(), Failure> {
    with(scope, key, |store, key| store.write(key, bytes(value), store.until(options)));
    Ok(())
}

pub(crate) fn delete(scope: Scope, key: &str) -> Result<bool, Failure> {
    Ok(with(scope, key, |store, key| store.kept.remove(&key).is_some()))
}

pub(crate) fn keys(scope: Scope, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, Failure> {
    Ok(with(scope, "", |store, (owner, _)| {
        let own = store.kept.keys().filter(|(of, _)| *of == owner).map(|(_, key)| key);
        let fits = own.filter(|key| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after));
        fits.take(limit.min(1_000) as usize).cloned().collect()
    }))
}

pub(crate) fn increment(scope: Scope, key: &str, by: f64, options: WriteOptions) -> Result<f64, Failure> {
    with(scope, key, |store, key| {
        let invalid = || Failure::Invalid("only whole numbers up to 2^53 can be added".to_owned());
        let (before, until) = match store.kept.get(&key) {
            None => (0.0, store.until(options)),
            Some(kept) => (std::str::from_utf8(&kept.value).ok().and_then(|text| text.parse().ok()).ok_or_else(invalid)?, kept.until),
        };
        let sum: f64 = before + by;
        if by.fract() != 0.0 || sum.abs() > NUMBER_MAX {
            return Err(invalid());
        }
        store.write(key, (sum as i64).to_string().into_bytes(), until);
        Ok(sum)
    })
}

pub(crate) fn swap(scope: Scope, key: &str, expected: Option<&str>, value: &Data, options: WriteOptions) -> Result<bool, Failure> {
    Ok(with(scope, key, |store, key| {
        let fits = store.kept.get(&key).map(|kept| kept.version.as_str()) == expected;
        if fits {
            store.write(key, bytes(value), store.until(options));
        }
        fits
    }))
}

fn bytes(value: &Data) -> Vec<u8> {
    match value {
        Data::Text(text) => text.clone().into_bytes(),
        Data::Bytes(bytes) => bytes.clone(),
    }
}
