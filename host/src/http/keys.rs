//! API keys: made at random, kept as SHA-256, compared in constant time.
//! A fast hash is enough because a key is 32 random bytes and no password. No error and no log line repeats a key.

use std::sync::Arc;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hyper::header::HeaderName;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ledger::{Allowance, EndUserLimits};

/// Shows whoever finds a leaked key what it is.
const PREFIX: &str = "cfd_";

/// Bytes of the hash of an end user's name; two of them are the same by chance in no system that there is.
const END_USER_BYTES: usize = 16;

/// One key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// For logs and plugins; it is no secret.
    pub name: Arc<str>,
    pub sha256: [u8; 32],
    /// What it may use; nothing limits an admin key.
    pub allowance: Allowance,
}

/// All keys by what they open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Open `/v1`.
    pub client: Vec<Key>,
    /// Open `/api` and `/v1`.
    pub admin: Vec<Key>,
    /// Opens `/v1` and Open WebUI's routes.
    pub open_webui: Option<Key>,
    /// What client keys without limits of their own may use; it stands in each of them already.
    pub default_allowance: Allowance,
    /// How requests say for whom they are, if end users are told apart.
    pub end_users: Option<EndUsers>,
}

/// How the end users of client keys are told apart, and what each of them may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndUsers {
    pub from: EndUserFrom,
    pub limits: EndUserLimits,
}

/// Where a request names its end user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndUserFrom {
    Header(HeaderName),
    /// The body's field `user`.
    UserField,
}

/// What a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Admin,
    OpenWebUi,
}

impl Keys {
    pub fn is_empty(&self) -> bool {
        self.client.is_empty() && self.admin.is_empty() && self.open_webui.is_none()
    }

    /// Whose key that is. Every kept key is compared, whichever matches, so that the time tells nothing.
    pub fn find(&self, presented: &[u8]) -> Option<(&Key, Role)> {
        let hash = hash(presented);
        let clients = self.client.iter().map(|key| (key, Role::Client));
        let open_webui = self.open_webui.iter().map(|key| (key, Role::OpenWebUi));
        let admins = self.admin.iter().map(|key| (key, Role::Admin));
        let mut found = None;
        for (key, role) in clients.chain(open_webui).chain(admins) {
            if bool::from(key.sha256.ct_eq(&hash)) {
                found = Some((key, role));
            }
        }
        found
    }
}

/// A new key, to be shown once, and what is kept of it.
pub fn generate() -> (String, [u8; 32]) {
    let mut random = [0; 32];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    let key = format!("{PREFIX}{}", HEXLOWER.encode(&random));
    let kept = hash(key.as_bytes());
    (key, kept)
}

/// What is kept of a key.
pub fn hash(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// What the ledger knows an end user of a key by: no name and as long as any other, whatever the request says. Requests that name nobody
/// are those of one end user.
pub(super) fn end_user(caller: &str, name: &[u8]) -> Arc<str> {
    let hash = Sha256::new().chain_update(caller).chain_update([0]).chain_update(name).finalize();
    HEXLOWER.encode(&hash[..END_USER_BYTES]).into()
}

/// What is kept of a key, from the text in the operator's file: 64 hex digits, as `sha256sum` prints them, with or without `sha256:` before
/// them. None if it is another text, which may be a key that somebody forgot to hash: an error must not repeat it.
pub fn parse(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
    HEXLOWER_PERMISSIVE.decode(digits).ok()?.try_into().ok()
}

/// `sha256:` and 64 hex digits.
pub fn format(sha256: &[u8; 32]) -> String {
    format!("sha256:{}", HEXLOWER.encode(sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, secret: &str) -> Key {
        Key { name: name.into(), sha256: hash(secret.as_bytes()), allowance: Allowance::default() }
    }

    #[test]
    fn a_made_key_is_found_by_its_hash_and_no_other_is() {
        let (text, sha256) = generate();
        assert!(text.starts_with("cfd_") && text.len() == 68, "{text}");
        let mine = Key { sha256, ..key("mine", "") };
        let keys = Keys { client: vec![key("other", "x"), mine], admin: vec![key("root", "y")], ..Keys::default() };
        let (found, role) = keys.find(text.as_bytes()).expect("the key is there");
        assert_eq!((&*found.name, role), ("mine", Role::Client));
        assert_eq!(keys.find(b"y").map(|(_, role)| role), Some(Role::Admin));
        for wrong in [&text.as_bytes()[..67], b"", b"cfd_"] {
            assert_eq!(keys.find(wrong), None);
        }
    }

    #[test]
    fn a_key_on_both_lists_is_an_admin_key() {
        let keys = Keys { client: vec![key("a", "k")], admin: vec![key("b", "k")], ..Keys::default() };
        assert_eq!(keys.find(b"k").map(|(_, role)| role), Some(Role::Admin));
    }

    #[test]
    fn a_hash_survives_being_written_down() {
        let (_, sha256) = generate();
        let text = format(&sha256);
        assert_eq!(parse(&text), Some(sha256));
        assert_eq!(parse(&text[7..]), Some(sha256));
        assert_eq!(parse(&text[7..].to_uppercase()), Some(sha256));
    }

    #[test]
    fn end_users_of_two_keys_are_two_and_no_name_is_kept() {
        let long = end_user("a", &[b'x'; 100_000]);
        assert_eq!((long.len(), end_user("a", b"x").len()), (32, 32));
        assert_ne!(end_user("a", b"x"), end_user("b", b"x"));
        assert_ne!(end_user("a", b"bx"), end_user("ab", b"x"));
        assert_eq!(end_user("a", b""), end_user("a", b""));
    }

    #[test]
    fn other_texts_are_no_hash() {
        let long = format!("sha256:{}", "a".repeat(65));
        let foreign = format!("sha256:{}", "g".repeat(64));
        let wide = format!("sha256:{}", "é".repeat(32));
        for text in ["", "sha256:", "cfd_abc", &"a".repeat(63), &long, &foreign, &wide] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
