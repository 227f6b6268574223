//! Takes secrets out of what comes back, in the forms in which servers quote what they got: as text in any spelling, in hex, in base64.
//! Invariant: where two of them overlap, or one stands in another, all of it is hidden.

use std::collections::HashMap;
use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL, Encoding, HEXLOWER};
use tokio::task::yield_now;

use super::secrets::{BYTES_MIN, SecretValue};
use super::spelling::{escapes, read, spelt};

/// What stands in the place of a secret that came back.
const HIDDEN: &[u8] = b"[hidden]";
/// Bytes that are looked through before others have their turn: a millisecond, if there are many secrets.
const STEP: usize = 16 << 10;

/// What is to be hidden.
pub(super) struct Hider {
    secrets: Vec<SecretValue>,
    /// The forms of them all, by the first character in lower case and without it.
    forms: HashMap<char, Vec<String>>,
    /// The bytes with which one of them may begin.
    begins: [bool; 256],
}

/// One pass over bytes.
struct Pass<'b> {
    bytes: &'b [u8],
    at: usize,
    /// What was seen so far without the secrets, up to `taken`.
    shown: Vec<u8>,
    taken: usize,
}

impl Hider {
    pub(super) fn new(secrets: Vec<SecretValue>) -> Arc<Self> {
        let mut begins = [false; 256];
        let mut by_first: HashMap<char, Vec<String>> = HashMap::new();
        for form in secrets.iter().flat_map(|secret| forms(secret.text())) {
            let mut rest = form.chars();
            let Some(first) = rest.next() else { continue };
            let byte = form.as_bytes()[0];
            (begins[usize::from(byte.to_ascii_lowercase())], begins[usize::from(byte.to_ascii_uppercase())]) = (true, true);
            by_first.entry(first.to_ascii_lowercase()).or_default().push(rest.as_str().to_owned());
        }
        if !by_first.is_empty() {
            (0..=u8::MAX).filter(|byte| escapes(*byte)).for_each(|byte| begins[usize::from(byte)] = true);
        }
        for forms in by_first.values_mut() {
            forms.sort_unstable();
            forms.dedup();
        }
        Arc::new(Self { secrets, forms: by_first, begins })
    }

    /// Whether it hides these and no others.
    pub(super) fn hides(&self, secrets: &[SecretValue]) -> bool {
        self.secrets == secrets
    }

    pub(super) fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// A short text without the secrets.
    pub(super) fn text(&self, text: &[u8]) -> String {
        let mut pass = Pass::over(text);
        while !self.look(&mut pass) {}
        String::from_utf8_lossy(&pass.end().unwrap_or_else(|| text.to_vec())).into_owned()
    }

    /// A body without the secrets.
    pub(super) async fn body(&self, bytes: Vec<u8>) -> Vec<u8> {
        if self.is_empty() {
            return bytes;
        }
        let mut pass = Pass::over(&bytes);
        while !self.look(&mut pass) {
            yield_now().await;
        }
        pass.end().unwrap_or(bytes)
    }

    /// Looks through one more step; true at the end.
    fn look(&self, pass: &mut Pass<'_>) -> bool {
        let end = pass.bytes.len().min(pass.at.saturating_add(STEP));
        for at in pass.at..end {
            if !self.begins[usize::from(pass.bytes[at])] {
                continue;
            }
            let mut furthest = None;
            read(pass.bytes, at, &mut |first, after| {
                let forms = self.forms.get(&first.to_ascii_lowercase()).map_or(&[][..], Vec::as_slice);
                furthest = furthest.max(forms.iter().filter_map(|rest| spelt(pass.bytes, after, rest)).max());
            });
            if let Some(end) = furthest {
                pass.hide(at, end);
            }
        }
        pass.at = end;
        end == pass.bytes.len()
    }
}

impl<'b> Pass<'b> {
    fn over(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0, shown: Vec::new(), taken: 0 }
    }

    fn hide(&mut self, from: usize, to: usize) {
        if from >= self.taken {
            self.shown.extend_from_slice(&self.bytes[self.taken..from]);
            self.shown.extend_from_slice(HIDDEN);
        }
        self.taken = self.taken.max(to);
    }

    /// None if nothing was hidden.
    fn end(mut self) -> Option<Vec<u8>> {
        if self.shown.is_empty() {
            return None;
        }
        self.shown.extend_from_slice(&self.bytes[self.taken..]);
        Some(self.shown)
    }
}

/// Base64 in all positions relative to its groups, with whatever stands beside it.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let mut forms = vec![secret.to_owned(), HEXLOWER.encode(bytes)];
    for encoding in [BASE64, BASE64URL] {
        forms.extend((0..3).map(|before| base64(bytes, before, &encoding)));
    }
    forms.retain(|form| form.len() >= BYTES_MIN);
    forms
}

/// The characters of a base64 text that depend on nothing but the secret, if so many bytes (modulo 3) stand before it.
fn base64(secret: &[u8], before: usize, encoding: &Encoding) -> String {
    let padded: Vec<u8> = std::iter::repeat_n(0, before).chain(secret.iter().copied()).collect();
    let encoded = encoding.encode(&padded);
    // Each character is six bits.
    let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
    encoded[first..end].to_owned()
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use data_encoding::HEXUPPER;

    use super::*;

    fn hider(secrets: &[&str]) -> Arc<Hider> {
        Hider::new(secrets.iter().map(|secret| SecretValue::new(secret)).collect())
    }

    #[test]
    fn a_secret_is_taken_out_in_every_form_in_which_servers_quote_it() {
        let secret = "s3cr\"t/key+value=9&<x>";
        let encoded = |before: &str, encoding: Encoding| encoding.encode(format!("{before}{secret}:more").as_bytes());
        let json = serde_json::Value::from(secret).to_string();
        let mut quoted = vec![
            secret.to_owned(),
            json.clone(),
            serde_json::Value::from(json).to_string(),
            secret.to_lowercase(),
            secret.to_uppercase(),
            "s3cr%22t%2Fkey%2Bvalue%3D9%26%3Cx%3E".into(),
            "s3cr%22t%2fkey%2bvalue%3d9%26%3cx%3e".into(),
            "s3cr%2522t%252Fkey%252Bvalue%253D9%2526%253Cx%253E".into(),
            // As JSON is written by Go, PHP and ASP.NET.
            r#"s3cr\"t/key+value=9\u0026\u003cx\u003e"#.into(),
            r#"s3cr\"t\/key+value=9&<x>"#.into(),
            r"s3cr\u0022t/key\u002Bvalue=9\u0026\u003Cx\u003E".into(),
            "s3cr&quot;t/key+value=9&amp;&lt;x&gt;".into(),
            "s3cr&#34;t&#x2F;key&#43;value&#61;9&#38;&#60;x&#62;".into(),
            HEXLOWER.encode(secret.as_bytes()),
            HEXUPPER.encode(secret.as_bytes()),
            encoded("", BASE64).to_lowercase(),
        ];
        for before in ["", "u", "us", "user:", "user1:", "Bearer "] {
            quoted.extend([encoded(before, BASE64), encoded(before, BASE64URL)]);
            quoted.push(encoded(before, BASE64).replace('+', "%2B").replace('/', "%2F"));
            quoted.push(encoded(before, BASE64).replace('/', "\\/"));
        }
        for quoted in quoted {
            let text = hider(&[secret]).text(format!("before {quoted} after {quoted}").as_bytes());
            assert!(text.starts_with("before ") && text.matches("[hidden]").count() == 2, "{quoted}: {text}");
            assert!(!text.to_lowercase().contains("s3cr") && !text.contains("key"), "{text}");
        }
    }

    #[test]
    fn secrets_that_stand_in_one_another_or_overlap_are_hidden_whole() {
        for secrets in [["inner-secret", "outer+inner-secret+end"], ["outer+inner-secret+end", "inner-secret"]] {
            assert_eq!(hider(&secrets).text(b"<outer+inner-secret+end> <inner-secret>"), "<[hidden]> <[hidden]>");
            assert_eq!(hider(&secrets).text(b"<OUTER\\u002Binner-secret%2Bend>"), "<[hidden]>");
        }
        assert_eq!(hider(&["abcdefghij", "fghijklmno"]).text(b"<abcdefghijklmno>"), "<[hidden]>");
        assert_eq!(hider(&["abcdefgh"]).text(b"abcdefghabcdefgh"), "[hidden][hidden]");
    }

    #[test]
    fn bytes_without_a_secret_stay_as_they_are_even_if_they_are_no_text() {
        let bytes = vec![0xff, 0, 0xfe, b's', b'3', b'c', b'\\', b'%', b'&'];
        for hider in [hider(&["s3cr-et-value"]), hider(&[])] {
            let mut body = pin!(hider.body(bytes.clone()));
            assert!(body.as_mut().poll(&mut Context::from_waker(Waker::noop())) == std::task::Poll::Ready(bytes.clone()));
        }
    }

    #[tokio::test]
    async fn a_large_body_is_looked_through_in_turns_and_a_secret_across_them_is_found() {
        let hider = hider(&["s3cr-et-value"]);
        let body = format!("{}s3cr-et-value{}", "-".repeat(STEP - 5), "-".repeat(2 * STEP)).into_bytes();
        let mut polls = 0;
        let mut looking = pin!(hider.body(body));
        let hidden = std::future::poll_fn(|context| {
            polls += 1;
            looking.as_mut().poll(context)
        });
        assert_eq!(String::from_utf8(hidden.await).unwrap(), format!("{}[hidden]{}", "-".repeat(STEP - 5), "-".repeat(2 * STEP)));
        assert_eq!(polls, (3 * STEP + 8_usize).div_ceil(STEP));
    }
}
