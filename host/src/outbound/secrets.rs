//! `{{secret:NAME}}` in a header or in a body of text stands for a secret of the operator's. It is put in only on the way to a host that may
//! have it, and what that makes of the text is bounded before it is made.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use memchr::memmem;

use super::error::Error;
use super::rules::{Rules, Server};

const OPEN: &str = "{{secret:";
const CLOSE: &str = "}}";
/// A shorter value may be part of any word, so it cannot be taken out of a reply, and is not sent.
pub(super) const BYTES_MIN: usize = 8;
/// Characters of a secret's name.
const NAME_MAX: usize = 128;

/// A secret. It prints as `[hidden]`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Arc<str>);

/// Looks a secret up by its name; the error is a sentence that follows the name.
pub type LookUp = Arc<dyn Fn(&str) -> Result<SecretValue, String> + Send + Sync>;

impl SecretValue {
    pub fn new(value: &str) -> Self {
        Self(value.into())
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// The secrets that one plugin was granted, as they are when a request begins.
pub(super) struct Secrets(BTreeMap<String, Result<SecretValue, String>>);

impl Secrets {
    pub(super) fn of(rules: &Rules, look_up: &LookUp) -> Self {
        Self(rules.secrets.keys().map(|name| (name.clone(), look_up(name))).collect())
    }

    /// Those that can be sent.
    pub(super) fn values(&self) -> Vec<SecretValue> {
        self.0.values().flatten().filter(|value| value.text().len() >= BYTES_MIN).cloned().collect()
    }

    /// # Errors
    /// `Denied` for one that is not for this server, cannot be had, or is too short.
    fn get(&self, name: &str, rules: &Rules, server: &Server) -> Result<&str, Error> {
        rules.secret(name, server)?;
        let found = self.0.get(name).ok_or("is not granted").and_then(|found| found.as_ref().map_err(String::as_str));
        let text = found.map_err(|why| Error::Denied(format!("the secret `{name}` {why}")))?.text();
        if text.len() < BYTES_MIN {
            return Err(Error::Denied(format!(
                "the secret `{name}` is shorter than {BYTES_MIN} bytes and could not be taken out of a reply"
            )));
        }
        Ok(text)
    }
}

/// Where a reference stands, which decides what one of an unknown name means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The plugin wrote it.
    Header,
    /// It may be a user's text that the plugin hands on.
    Body,
}

/// Why a text is not filled in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfilled {
    /// It would be longer than it may.
    TooLong,
    Refused(Error),
}

/// Whether a text refers to a secret.
pub(super) fn refers(text: &[u8]) -> bool {
    memmem::find(text, OPEN.as_bytes()).is_some()
}

/// The text with its secrets, if it has no more than `most` bytes then.
///
/// # Errors
/// `Denied` for a secret that is not for this server, cannot be had, or is too short.
pub(super) fn fill(text: &str, place: Place, rules: &Rules, server: &Server, secrets: &Secrets, most: usize) -> Result<String, Unfilled> {
    let mut filled = Filled { text: String::new(), most };
    // What a name stands for is decided once: a body may refer to it some ten thousand times.
    let mut known: HashMap<&str, &str> = HashMap::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        filled.push(before)?;
        let named = named(after).filter(|(name, _)| place == Place::Header || rules.secrets.contains_key(*name));
        let Some((name, after)) = named else {
            if place == Place::Header {
                return Err(Unfilled::Refused(Error::Invalid("a secret is written as `{{secret:NAME}}`".into())));
            }
            filled.push(OPEN)?;
            rest = after;
            continue;
        };
        let secret = match known.get(name) {
            Some(secret) => *secret,
            None => {
                let secret = secrets.get(name, rules, server).map_err(Unfilled::Refused)?;
                known.insert(name, secret);
                secret
            }
        };
        filled.push(secret)?;
        rest = after;
    }
    filled.push(rest)?;
    Ok(filled.text)
}

/// A text that is never longer than it may be.
struct Filled {
    text: String,
    most: usize,
}

impl Filled {
    fn push(&mut self, more: &str) -> Result<(), Unfilled> {
        if more.len() > self.most - self.text.len() {
            return Err(Unfilled::TooLong);
        }
        self.text.push_str(more);
        Ok(())
    }
}

/// The name at the beginning of a text, and what follows its end. No more is looked at than a name may have.
fn named(text: &str) -> Option<(&str, &str)> {
    let length = text.bytes().take(NAME_MAX + 1).take_while(|byte| is_of_name(*byte)).count();
    let (name, rest) = text.split_at(length);
    let after = rest.strip_prefix(CLOSE)?;
    is_name(name).then_some((name, after))
}

/// Whether a secret can have that name.
pub fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_of_name)
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use url::{Host, Url};

    use super::super::rules::HostPattern;
    use super::*;

    fn rules() -> Rules {
        let hosts = vec![HostPattern::Exact(Host::Domain("a.b".into()))];
        Rules { secrets: [("KEY".to_owned(), hosts.clone()), ("BIG".to_owned(), hosts.clone())].into(), hosts, ..Rules::default() }
    }

    fn filled(text: &str, most: usize) -> (Result<String, Unfilled>, usize) {
        let looked_up = Arc::new(AtomicUsize::new(0));
        let count = looked_up.clone();
        let look_up: LookUp = Arc::new(move |name| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(SecretValue::new(&if name == "KEY" { "s3cr3t-value".to_owned() } else { "x".repeat(3_000) }))
        });
        let rules = rules();
        let server = rules.server(&Url::parse("https://a.b").unwrap()).unwrap();
        let secrets = Secrets::of(&rules, &look_up);
        (fill(text, Place::Body, &rules, &server, &secrets, most), looked_up.load(Ordering::Relaxed))
    }

    #[test]
    fn a_text_of_a_hundred_thousand_references_that_do_not_end_is_read_once() {
        // Looking for the end of each through the whole rest would be ten thousand million steps for each of these.
        let open = OPEN.repeat(110_000);
        for text in [open.clone(), format!("{open}}}}}"), format!("{{{{secret:{}", "x".repeat(1 << 20)), "{{secret:K".repeat(110_000)] {
            assert_eq!(filled(&text, text.len()).0.as_deref(), Ok(&*text));
        }
    }

    #[test]
    fn a_name_is_read_no_further_than_a_name_goes() {
        let longest = "x".repeat(NAME_MAX);
        assert_eq!(named(&format!("{longest}}}}}rest")), Some((&*longest, "rest")));
        for text in [format!("{longest}x}}}}"), "}}".into(), "KEY}".into(), "KEY".into(), "K\u{e9}Y}}".into(), "a b}}".into()] {
            assert_eq!(named(&text), None, "{text}");
        }
    }

    #[test]
    fn a_text_is_bounded_while_it_is_filled_and_each_name_is_looked_up_once() {
        let text = "{{secret:BIG}}".repeat(70_000);
        assert_eq!(filled(&text, 1 << 20), (Err(Unfilled::TooLong), 2));
        let (fits, looked_up) = filled("<{{secret:KEY}}{{secret:KEY}}>", 26);
        assert_eq!((fits.as_deref(), looked_up), (Ok("<s3cr3t-values3cr3t-value>"), 2));
        assert_eq!(filled("<{{secret:KEY}}{{secret:KEY}}>", 25).0, Err(Unfilled::TooLong));
    }

    #[test]
    fn a_value_never_prints() {
        assert_eq!(format!("{:?}", SecretValue::new("s3cret-value")), "[hidden]");
    }
}
