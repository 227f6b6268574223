//! Redaction: vendors and proxies quote the key that they got, whole, in part or masked, in errors and in replies.
//! Everything that a provider sends passes here before anybody sees it.

use std::collections::HashSet;

use bytes::{Bytes, BytesMut};
use data_encoding::BASE64_NOPAD;
use memchr::memmem;

use super::secret::Secret;
use crate::llm::attempt::Failure;
use crate::llm::error::Error;

const HIDDEN: &str = "[hidden]";
/// This many characters of a key in a row reveal it; fewer may be part of any word.
const PART: usize = 8;
/// What vendors put in place of the middle of a key.
const MASKS: [&str; 4] = ["*", "…", "..", "•"];
/// Characters beside a mask that must match the end of the key.
const END: usize = 2;

impl Secret {
    /// The result of a try with this key; a failure is redacted. The reply was read through a [`Redactor`].
    pub(in crate::llm) fn redact_result<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|failure| Failure { error: self.redact_error(failure.error), ..failure })
    }

    /// The error without any word that reveals the key.
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
            // A plugin is given no key.
            Error::Timeout { .. }
            | Error::Plugin { .. }
            | Error::Refused { .. }
            | Error::SecretMissing { .. }
            | Error::UnknownProvider { .. }
            | Error::UnsupportedField { .. }
            | Error::NoEmbeddings { .. }
            | Error::OverBudget { .. }
            | Error::Overloaded { .. }
            | Error::CircuitOpen { .. } => {}
        }
        error
    }

    /// The text without any word that reveals the key.
    pub(in crate::llm) fn redact_text(&self, text: &str) -> String {
        KeyMatcher::new(self.expose()).redact(text)
    }
}

/// What a reply is read through: what comes out of it never holds the whole key. A key that is as short as a word (`token` or `none`, as
/// operators give to servers without keys) is left alone, because the reply's own field names may contain it.
pub(in crate::llm) struct Redactor {
    key: Option<Secret>,
    finder: Option<memmem::Finder<'static>>,
}

impl Redactor {
    /// Without a key nothing is redacted.
    pub(in crate::llm) fn new(key: Option<&Secret>) -> Self {
        let needle = key.map(Secret::expose).filter(|key| key.len() >= PART);
        Self { key: key.cloned(), finder: needle.map(|needle| memmem::Finder::new(needle).into_owned()) }
    }

    /// The same bytes with one star for each byte of the key, so that JSON and lengths stay as they were. Only the whole key is looked for,
    /// because a part of it in a model's text may be part of any word.
    pub(in crate::llm) fn redact(&self, bytes: Bytes) -> Bytes {
        let Some(finder) = self.finder.as_ref().filter(|finder| finder.find(&bytes).is_some()) else { return bytes };
        let mut redacted = BytesMut::from(&bytes[..]);
        for start in finder.find_iter(&bytes) {
            redacted[start..start + finder.needle().len()].fill(b'*');
        }
        redacted.freeze()
    }

    /// A message of ours about the reply, without any word that reveals the key.
    pub(in crate::llm) fn redact_text(&self, text: String) -> String {
        match &self.key {
            Some(key) => key.redact_text(&text),
            None => text,
        }
    }
}

/// Recognises the words that reveal a key.
struct KeyMatcher<'a> {
    key: &'a str,
    /// Each `PART` bytes in a row of the key and of its base64, in lower case.
    parts: HashSet<[u8; PART]>,
}

impl<'a> KeyMatcher<'a> {
    fn new(key: &'a str) -> Self {
        let parts = parts(key.as_bytes()).chain(parts(BASE64_NOPAD.encode(key.as_bytes()).as_bytes())).collect();
        Self { key, parts }
    }

    fn redact(&self, text: &str) -> String {
        let pieces = text.split_inclusive(|c: char| c.is_whitespace() || c.is_control());
        pieces.map(|piece| if self.reveals(piece) { format!("{HIDDEN}{}", blank_end(piece)) } else { piece.to_owned() }).collect()
    }

    fn reveals(&self, word: &str) -> bool {
        parts(word.as_bytes()).any(|part| self.parts.contains(&part)) || word.contains(self.key) || self.masked(word)
    }

    /// Whether an end of the key stands beside a mask, as in `sk-ab…yz`.
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

#[cfg(test)]
mod tests;
