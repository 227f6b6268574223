//! What an operator grants of the store: `grants.kv = { bytes = "16MiB", keys = 10000 }`. Every number has a default and a range.

use serde_json::Value;

use super::store::Quota;
use crate::sandbox::grant::Grant;
use crate::sandbox::grant::terms::Terms;

/// The terms of one plugin's grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvTerms {
    pub quota: Quota,
    /// Bytes of one value.
    pub value_bytes: u64,
    /// Bytes of one key.
    pub key_bytes: u64,
}

impl KvTerms {
    /// A value as an operator would write it.
    pub const EXAMPLE: &'static str = "{ bytes = \"16MiB\", keys = 10000 }";

    /// Reads the operator's value; `{}` is the defaults.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn read(value: &Value) -> Result<Self, String> {
        let mut terms = Terms::of(value, Self::EXAMPLE)?;
        // A counter for each of ten thousand callers, or some hundred cached replies.
        let bytes = terms.bytes("bytes", 16 << 20, 1 << 10..=64 << 30)?;
        let keys = terms.count("keys", 10_000, 1..=10_000_000)?;
        // A long reply is some dozens of KiB.
        let value_bytes = terms.bytes("value_bytes", 256 << 10, 1..=1 << 20)?;
        // A hash with words around it.
        let key_bytes = terms.bytes("key_bytes", 512, 1..=4 << 10)?;
        terms.finish()?;
        Ok(Self { quota: Quota { bytes, keys }, value_bytes, key_bytes })
    }
}

impl Grant for KvTerms {
    const CAPABILITY: &'static str = "kv";
    const EXAMPLE: &'static str = Self::EXAMPLE;

    fn read(value: &Value) -> Result<Self, String> {
        Self::read(value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grant_without_keys_is_the_defaults_and_its_own_example_is_one_too() {
        let terms = KvTerms::read(&json!({})).unwrap();
        assert_eq!(terms, KvTerms { quota: Quota { bytes: 16 << 20, keys: 10_000 }, value_bytes: 256 << 10, key_bytes: 512 });
        assert_eq!(KvTerms::read(&json!({"bytes": "16MiB", "keys": 10_000})).unwrap(), terms);
    }

    #[test]
    fn every_key_has_two_edges_and_what_is_beyond_them_is_refused_by_its_name() {
        for (key, least, most) in
            [("bytes", 1 << 10, 64_u64 << 30), ("keys", 1, 10_000_000), ("value_bytes", 1, 1 << 20), ("key_bytes", 1, 4 << 10)]
        {
            for fits in [least, most] {
                KvTerms::read(&json!({key: fits})).unwrap();
            }
            for beyond in [least - 1, most + 1] {
                let why = KvTerms::read(&json!({key: beyond})).unwrap_err();
                assert!(why.contains(&format!("`{key}`")), "{why}");
            }
        }
    }

    #[test]
    fn what_is_no_table_or_has_a_key_that_nobody_knows_is_refused() {
        for value in [json!(true), json!("16MiB"), json!([]), json!({"bytes": true}), json!({"keys": "many"}), json!({"size": 1})] {
            assert!(KvTerms::read(&value).is_err(), "{value}");
        }
    }
}
