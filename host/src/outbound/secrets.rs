//! `{{secret:NAME}}` in a header or in a body of text stands for a secret of the operator's. It is put in only on the way to a host that may
//! have it, and taken out of what that host sends back, also in the forms in which servers quote what they got.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL, Encoding, HEXLOWER, HEXUPPER};
use memchr::memmem;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

use super::error::Error;
use super::rules::{Rules, Server};

const OPEN: &str = "{{secret:";
const CLOSE: &str = "}}";
/// What stands in the place of a secret that came back.
const HIDDEN: &[u8] = b"[hidden]";
/// A shorter value may be part of any word, so it cannot be taken out of a reply, and is not sent.
const BYTES_MIN: usize = 8;
/// Characters of a secret's name.
const NAME_MAX: usize = 128;

/// A secret. It prints as `[hidden]`.
#[derive(Clone)]
pub struct SecretValue(Arc<str>);

/// Looks a secret up by its name; the error is a sentence that follows the name.
pub type LookUp = Arc<dyn Fn(&str) -> Result<SecretValue, String> + Send + Sync>;

impl SecretValue {
    pub fn new(value: &str) -> Self {
        Self(value.into())
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
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

/// The secrets that were put into one request and its redirects.
#[derive(Default)]
pub(super) struct Sent(Vec<SecretValue>);

/// Whether a text refers to a secret.
pub(super) fn refers(text: &[u8]) -> bool {
    memmem::find(text, OPEN.as_bytes()).is_some()
}

/// The text with its secrets.
///
/// # Errors
/// `Denied` for a secret that is not for this server, cannot be had, or is too short.
pub(super) fn fill<'t>(
    text: &'t str,
    place: Place,
    rules: &Rules,
    server: &Server,
    look_up: &LookUp,
    sent: &mut Sent,
) -> Result<Cow<'t, str>, Error> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let name = after.split_once(CLOSE).filter(|(name, _)| is_name(name));
        let Some((name, after)) = name.filter(|(name, _)| place == Place::Header || rules.secrets.contains_key(*name)) else {
            if place == Place::Header {
                return Err(Error::Invalid("a secret is written as `{{secret:NAME}}`".into()));
            }
            filled.push_str(before);
            filled.push_str(OPEN);
            rest = after;
            continue;
        };
        rules.secret(name, server)?;
        let secret = look_up(name).map_err(|why| Error::Denied(format!("the secret `{name}` {why}")))?;
        if secret.0.len() < BYTES_MIN {
            return Err(Error::Denied(format!(
                "the secret `{name}` is shorter than {BYTES_MIN} bytes and could not be taken out of a reply"
            )));
        }
        filled.push_str(before);
        filled.push_str(&secret.0);
        if !sent.0.iter().any(|known| known.0 == secret.0) {
            sent.0.push(secret);
        }
        rest = after;
    }
    if rest.len() == text.len() {
        return Ok(text.into());
    }
    filled.push_str(rest);
    Ok(filled.into())
}

fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

impl Sent {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes without any of the secrets, plain, as JSON or a URL would write them, in hex, or in base64 with whatever stands beside them.
    pub(super) fn redact(&self, bytes: Vec<u8>) -> Vec<u8> {
        self.0.iter().flat_map(|secret| forms(secret.0.as_bytes())).fold(bytes, |bytes, form| without(bytes, &form))
    }
}

fn without(bytes: Vec<u8>, form: &[u8]) -> Vec<u8> {
    let finder = memmem::Finder::new(form);
    let Some(first) = finder.find(&bytes) else { return bytes };
    let mut rest = &bytes[first..];
    let mut redacted = bytes[..first].to_vec();
    while let Some(at) = finder.find(rest) {
        redacted.extend_from_slice(&rest[..at]);
        redacted.extend_from_slice(HIDDEN);
        rest = &rest[at + form.len()..];
    }
    redacted.extend_from_slice(rest);
    redacted
}

/// The plain form first: another one may be the same.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(secret);
    let json = serde_json::Value::from(text).to_string();
    let percent = percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let form = form_urlencoded::byte_serialize(secret).collect::<String>();
    let mut forms = vec![secret.to_vec(), json.trim_matches('"').into(), percent.to_ascii_lowercase().into(), percent.into(), form.into()];
    // PHP writes a slash in JSON as an escape.
    forms.push(json.trim_matches('"').replace('/', "\\/").into());
    forms.extend([HEXLOWER.encode(secret).into_bytes(), HEXUPPER.encode(secret).into_bytes()]);
    for encoding in [BASE64, BASE64URL] {
        forms.extend((0..3).map(|before| base64(secret, before, &encoding)));
    }
    forms.retain(|form| form.len() >= BYTES_MIN);
    forms
}

/// The characters of a base64 text that depend on nothing but the secret, if so many bytes (modulo 3) stand before it.
fn base64(secret: &[u8], before: usize, encoding: &Encoding) -> Vec<u8> {
    let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(secret.iter().copied()).collect();
    let encoded = encoding.encode(&padded);
    // Each character is six bits.
    let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    encoded.as_bytes()[first..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(secret: &str) -> Sent {
        Sent(vec![SecretValue::new(secret)])
    }

    #[test]
    fn a_secret_is_taken_out_in_every_form_in_which_servers_quote_it() {
        let secret = "s3cr\"t/key+value=9";
        let encoded = |before: &str, encoding: Encoding| encoding.encode(format!("{before}{secret}:more").as_bytes());
        let mut quoted = vec![
            secret.to_owned(),
            serde_json::Value::from(secret).to_string(),
            "s3cr%22t%2Fkey%2Bvalue%3D9".into(),
            "s3cr%22t%2fkey%2bvalue%3d9".into(),
            HEXLOWER.encode(secret.as_bytes()),
            HEXUPPER.encode(secret.as_bytes()),
        ];
        for before in ["", "u", "us", "user:", "user1:", "Bearer "] {
            quoted.extend([encoded(before, BASE64), encoded(before, BASE64URL)]);
        }
        for quoted in quoted {
            let redacted = sent(secret).redact(format!("before {quoted} after {quoted}").into_bytes());
            let text = String::from_utf8(redacted).unwrap();
            assert!(text.starts_with("before ") && text.matches("[hidden]").count() == 2, "{quoted}: {text}");
            assert!(!text.contains("s3cr"), "{text}");
        }
    }

    #[test]
    fn bytes_without_a_secret_stay_as_they_are_even_if_they_are_no_text() {
        let bytes = vec![0xff, 0, 0xfe, b's', b'3', b'c'];
        assert_eq!(sent("s3cr-et-value").redact(bytes.clone()), bytes);
        assert_eq!(Sent::default().redact(bytes.clone()), bytes);
    }

    #[test]
    fn a_value_never_prints() {
        assert_eq!(format!("{:?}", SecretValue::new("s3cret-value")), "[hidden]");
    }
}
