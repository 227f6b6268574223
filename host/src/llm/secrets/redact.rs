//! Keeping a key out of what a provider says: vendors and proxies quote the key they got, whole, in part or masked, in errors and in replies.
//! Every answer of a provider passes here. Must not know the vendors' shapes.

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use super::Secret;
use crate::llm::Error;
use crate::llm::attempt::Failure;

const HIDDEN: &str = "[hidden]";
/// As many characters of a key in a row give it away; fewer are any word's.
const PART: usize = 8;
/// What vendors put in place of a key's middle.
const MASKS: [&str; 4] = ["*", "…", "..", "•"];
/// Characters of an end beside a mask that show whose end it is.
const END: usize = 2;

impl Secret {
    /// What came of a try with this key: a failure without the key. A reply was read through a `Redactor`.
    pub(in crate::llm) fn redact_result<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|failure| Failure { error: self.redact_error(failure.error), ..failure })
    }

    /// The error without any word that gives the key away.
    pub(in crate::llm) fn redact_error(&self, mut error: Error) -> Error {
        let matcher = KeyMatcher::new(self.expose());
        match &mut error {
            Error::Status { message, kind, code, param, .. } => {
                *message = matcher.redact(message);
                for text in [kind, code, param].into_iter().flatten() {
                    *text = matcher.redact(text);
                }
            }
            Error::Unreachable { cause, .. } | Error::InvalidReply { cause, .. } => *cause = matcher.redact(cause),
            Error::Timeout { .. }
            | Error::SecretMissing { .. }
            | Error::UnknownProvider { .. }
            | Error::UnsupportedField { .. }
            | Error::NoEmbeddings { .. }
            | Error::CircuitOpen { .. } => {}
        }
        error
    }

    /// The text without any word that gives the key away.
    pub(in crate::llm) fn redact_text(&self, text: &str) -> String {
        KeyMatcher::new(self.expose()).redact(text)
    }
}

/// What a reply is read through: nothing behind it can repeat the whole key. A key that is as short as a word (`token`, `none`, as servers
/// without keys are given) is left: the reply's own field names may hold it.
pub(in crate::llm) struct Redactor {
    key: Option<Secret>,
    finder: Option<memmem::Finder<'static>>,
}

impl Redactor {
    /// Without a key nothing is hidden.
    pub(in crate::llm) fn new(key: Option<&Secret>) -> Self {
        let needle = key.map(Secret::expose).filter(|key| key.len() >= PART);
        Self { key: key.cloned(), finder: needle.map(|needle| memmem::Finder::new(needle).into_owned()) }
    }

    /// The same bytes with stars where the key stood, as many, so that JSON and lengths stay as they were. Only the whole key is looked for:
    /// parts of it in a model's words may be any words.
    pub(in crate::llm) fn redact(&self, bytes: Bytes) -> Bytes {
        let Some(finder) = self.finder.as_ref().filter(|finder| finder.find(&bytes).is_some()) else { return bytes };
        let mut redacted = BytesMut::from(&bytes[..]);
        for start in finder.find_iter(&bytes) {
            redacted[start..start + finder.needle().len()].fill(b'*');
        }
        redacted.freeze()
    }

    /// Our own words about the reply, without any that give the key away.
    pub(in crate::llm) fn redact_text(&self, text: String) -> String {
        match &self.key {
            Some(key) => key.redact_text(&text),
            None => text,
        }
    }
}

/// Recognises the words that give a key away.
struct KeyMatcher<'a> {
    key: &'a str,
    /// Each `PART` bytes in a row of the key and of its base64, in lower case.
    parts: HashSet<[u8; PART]>,
}

impl<'a> KeyMatcher<'a> {
    fn new(key: &'a str) -> Self {
        let parts = parts(key.as_bytes()).chain(parts(base64(key.as_bytes()).as_bytes())).collect();
        Self { key, parts }
    }

    fn redact(&self, text: &str) -> String {
        let pieces = text.split_inclusive(|c: char| c.is_whitespace() || c.is_control());
        pieces.map(|piece| if self.reveals(piece) { format!("{HIDDEN}{}", blank_end(piece)) } else { piece.to_owned() }).collect()
    }

    fn reveals(&self, word: &str) -> bool {
        parts(word.as_bytes()).any(|part| self.parts.contains(&part)) || word.contains(self.key) || self.masked(word)
    }

    /// `sk-ab…yz`: an end of the key beside a mask.
    fn masked(&self, word: &str) -> bool {
        if word.contains("***") {
            return true;
        }
        let (first, last) = (self.key.get(..END), self.key.len().checked_sub(END).and_then(|from| self.key.get(from..)));
        let (Some(first), Some(last)) = (first, last) else { return false };
        let beside = |mask: &str| {
            let (Some(from), Some(to)) = (word.find(mask), word.rfind(mask)) else { return false };
            let plain = |c: char| !c.is_alphanumeric();
            let (before, after) = (word[..from].trim_start_matches(plain), word[to + mask.len()..].trim_end_matches(plain));
            before.starts_with(first) || after.ends_with(last)
        };
        MASKS.iter().any(|mask| beside(mask))
    }
}

fn blank_end(piece: &str) -> &str {
    &piece[piece.trim_end_matches(|c: char| c.is_whitespace() || c.is_control()).len()..]
}

fn parts(bytes: &[u8]) -> impl Iterator<Item = [u8; PART]> {
    bytes.windows(PART).map(|window| {
        let mut part = [0; PART];
        part.copy_from_slice(window);
        part.make_ascii_lowercase();
        part
    })
}

/// RFC 4648, section 4, without the padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 3);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        text.extend((0..=three.len()).map(|digit| char::from(DIGITS[bits >> (18 - 6 * digit) & 63])));
    }
    text
}

#[cfg(test)]
mod tests;
