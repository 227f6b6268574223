//! A provider's error body as our error. Whatever the body holds, the message is one line of bounded length without the key.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::adapter::ProviderError;
use super::{Error, Secret};

/// Characters of a provider's message that are passed on.
const MESSAGE_CHARS: usize = 500;

/// Bytes of an error that comes as a success.
const TREE_BYTES: usize = 64 << 10;

/// Who was asked, and the key that must not leave.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) provider: &'a str,
    pub(super) key: Option<&'a Secret>,
}

/// The error for a reply of `status` with this body; `read` reads the body if it is JSON.
pub(super) fn read(
    asked: Asked<'_>,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    read: impl FnOnce(StatusCode, &Value) -> ProviderError,
) -> Error {
    let error = serde_json::from_slice(body).map_or_else(|_| plain(body), |json| read(status, &json));
    let asked_for = retry_after(headers, SystemTime::now()).or(error.retry_after);
    status_error(asked, status, ProviderError { retry_after: asked_for, ..error })
}

/// A reply that says of itself that it is an error, as a tree; nothing if it is too long to be one, for a tree takes many times its bytes.
pub(super) fn tree(body: &[u8]) -> serde_json::Result<Value> {
    if body.len() > TREE_BYTES { Ok(Value::Null) } else { serde_json::from_slice(body) }
}

/// The error for what a provider says.
pub(super) fn status_error(asked: Asked<'_>, status: StatusCode, error: ProviderError) -> Error {
    let sanitize = |text: String| sanitized(&text, asked.key);
    let status = error.amounts_to.unwrap_or(status);
    let message = error.message.map(sanitize).filter(|text| !text.is_empty());
    Error::Status {
        provider: asked.provider.to_owned(),
        status: status.as_u16(),
        message: message.unwrap_or_else(|| status.canonical_reason().unwrap_or("no explanation").to_owned()),
        kind: error.kind.map(sanitize),
        code: error.code.map(sanitize),
        param: error.param.map(sanitize),
        retry_after: error.retry_after,
        exhausted: error.exhausted || status == StatusCode::PAYMENT_REQUIRED,
    }
}

/// A body that is no JSON is passed on if it is text. A page of HTML is not.
fn plain(body: &[u8]) -> ProviderError {
    let text = std::str::from_utf8(body).ok().map(str::trim).filter(|text| !text.starts_with('<'));
    ProviderError { message: text.map(str::to_owned), ..ProviderError::default() }
}

/// A text cut to a sane length, because a parser's message may quote a whole request or reply.
pub(super) fn truncated(text: String) -> String {
    match text.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A text on one line, without the key or what looks like a masked key (vendors repeat its ends), cut to a sane length.
pub(super) fn sanitized(text: &str, key: Option<&Secret>) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.map(|word| if word.contains("***") { "[hidden]" } else { word }).collect::<Vec<_>>().join(" ");
    // This must come before the cut, which could leave a part of the key that is too short to be recognised.
    truncated(key.map_or_else(|| line.clone(), |key| key.redact_text(&line)))
}

/// How long to wait: `retry-after-ms` or Azure's `x-ms-retry-after-ms`, then `Retry-After` in seconds or as a date. A date in the past counts
/// as none.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds = |text: &str, unit: f64| Duration::try_from_secs_f64(text.parse::<f64>().ok()? * unit).ok();
    let millis = ["retry-after-ms", "x-ms-retry-after-ms"].into_iter().find_map(|name| seconds(value(name)?, 0.001));
    if millis.is_some() {
        return millis;
    }
    let text = value("retry-after")?;
    seconds(text, 1.0).or_else(|| httpdate::parse_http_date(text).ok()?.duration_since(now).ok())
}

#[cfg(test)]
mod tests;
