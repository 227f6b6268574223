//! A failure as a client sees it, and OpenAI's envelope around it.
//! Made by `table` alone; it holds nothing that a client must not read.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::ext::ReasonPhrase;
use hyper::http::Extensions;
use schemars::JsonSchema;
use serde::Serialize;

use crate::chat::codec::to_json;

pub(super) type Text = Cow<'static, str>;

/// A failure as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct ErrorResponse {
    pub(super) status: u16,
    /// `type` in the envelope.
    pub(super) kind: Text,
    pub(super) code: Text,
    pub(super) param: Option<Text>,
    pub(super) message: Text,
    /// Seconds.
    pub(super) retry_after: Option<u64>,
    /// The same request would fail the same way; a client library that tries again on 5xx is told not to.
    pub(super) hopeless: bool,
}

impl ErrorResponse {
    pub(super) fn new(status: u16, kind: &'static str, code: impl Into<Text>, message: impl Into<Text>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { status, kind: kind.into(), code, param: None, message, retry_after: None, hopeless: false }
    }

    pub(super) fn param(self, param: impl Into<Text>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    pub(super) fn after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub(super) fn hopeless(self) -> Self {
        Self { hopeless: true, ..self }
    }
}

/// OpenAI's error envelope; all four keys are always there.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(in crate::http) struct Envelope<'a> {
    error: ErrorDetail<'a>,
}

/// What an error says.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ErrorDetail<'a> {
    /// What went wrong and, if the client can mend it, how.
    message: &'a str,
    /// The kind of failure, such as `invalid_request_error`.
    r#type: &'a str,
    /// The field that is wrong, if it is one.
    param: Option<&'a str>,
    /// The failure itself, such as `invalid_api_key`.
    code: &'a str,
}

/// An error's body as OpenAI writes it.
pub(in crate::http) fn openai_envelope(error: &ErrorResponse, _: &mut Extensions) -> Bytes {
    let ErrorResponse { kind, code, param, message, .. } = error;
    to_json(&Envelope { error: ErrorDetail { message, r#type: kind, param: param.as_deref(), code } })
}

/// Characters of a reason phrase: a line of the head is no place for a page of text.
const REASON_CHARS: usize = 400;

/// FastAPI's form of an error, which Open WebUI reads.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Detail")]
pub(in crate::http) struct Detail<'a> {
    /// What went wrong and, if the client can mend it, how.
    detail: &'a str,
}

/// An error's body as FastAPI writes it. The text is the status line's reason phrase too: Open WebUI shows that of a filter, and no body.
pub(in crate::http) fn detail(error: &ErrorResponse, extensions: &mut Extensions) -> Bytes {
    if let Ok(reason) = ReasonPhrase::try_from(reason(&error.message)) {
        extensions.insert(reason);
    }
    to_json(&Detail { detail: &error.message })
}

/// A text as a reason phrase can hold it: one line, without what ends a line or cannot be seen. Beyond ASCII it is UTF-8, which RFC 9112 lets
/// pass as `obs-text`, but clients read it as Latin-1; so such characters become `?`.
fn reason(text: &str) -> Vec<u8> {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    line.chars().take(REASON_CHARS).map(|c| if c.is_ascii_graphic() || c == ' ' { c as u8 } else { b'?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_phrase_is_one_line_of_plain_characters() {
        assert_eq!(reason("no\r\nset-cookie: a=b\tplease"), b"no set-cookie: a=b please");
        assert_eq!(reason("caf\u{e9} \u{0} \u{202e}x"), b"caf? ?x");
        assert_eq!(reason(&"x".repeat(5_000)).len(), REASON_CHARS);
        assert!(ReasonPhrase::try_from(reason("any \u{7f}\u{1f600} text")).is_ok());
    }

    #[test]
    fn an_error_is_a_detail_and_its_text_the_reason() {
        let mut extensions = Extensions::new();
        let body = detail(&ErrorResponse::new(429, "rate_limit_error", "slow", "Slow down."), &mut extensions);
        assert_eq!(&body[..], br#"{"detail":"Slow down."}"#);
        assert_eq!(extensions.get::<ReasonPhrase>().map(ReasonPhrase::as_bytes), Some(&b"Slow down."[..]));
    }
}
