//! What a provider says went wrong: its error body in any of the shapes seen in the wild, cut, and freed of keys.
//! Must not know when a fallback runs.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::llm::Error;

/// Characters of a provider's message that are passed on.
const MESSAGE_CHARS: usize = 500;

/// The error for a reply of `status` with this body.
pub(super) fn refusal(provider: &str, key: Option<&str>, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Error {
    let words = serde_json::from_slice(body).map_or_else(|_| plain(body), |json| words(&json));
    error(provider, key, status, words, retry_after(headers, SystemTime::now()))
}

/// The error for an error object inside a reply that began as a success. A status in it counts, otherwise it is a bad gateway.
pub(super) fn in_band(provider: &str, key: Option<&str>, json: &Value) -> Error {
    let words = words(json);
    let named = words.code.as_deref().and_then(|code| code.parse().ok());
    let status = named.and_then(|code| StatusCode::from_u16(code).ok()).filter(|s| s.is_client_error() || s.is_server_error());
    error(provider, key, status.unwrap_or(StatusCode::BAD_GATEWAY), words, None)
}

#[derive(Debug, Default, PartialEq)]
struct Words {
    message: Option<String>,
    kind: Option<String>,
    code: Option<String>,
    param: Option<String>,
}

fn error(provider: &str, key: Option<&str>, status: StatusCode, words: Words, retry_after: Option<Duration>) -> Error {
    let exhausted = exhausted(status, words.code.as_deref());
    let tidy = |text: String| tidy(&text, key);
    let message = words.message.map(tidy).filter(|text| !text.is_empty());
    Error::Status {
        provider: provider.to_owned(),
        status: status.as_u16(),
        message: message.unwrap_or_else(|| status.canonical_reason().unwrap_or("no explanation").to_owned()),
        kind: words.kind.map(tidy),
        code: words.code.map(tidy),
        param: words.param.map(tidy),
        retry_after,
        exhausted,
    }
}

/// Whether money or a daily limit is at its end, and not a rate that comes back within the minute.
fn exhausted(status: StatusCode, code: Option<&str>) -> bool {
    // OpenAI's quota; a spend limit that the account's owner set; Workers AI's daily allowance.
    status == StatusCode::PAYMENT_REQUIRED || matches!(code, Some("insufficient_quota" | "enforced_spend_limit_reached" | "3036"))
}

/// OpenAI's `{"error": {…}}`, also as the first of a list, `{"error": "…"}`, `{"message": "…"}` and `{"detail": …}`.
fn words(json: &Value) -> Words {
    let json = json.get(0).unwrap_or(json);
    let error = json.get("error").filter(|error| !error.is_null()).unwrap_or(json);
    let field = |name: &str| error.get(name).and_then(text);
    let said = || json.get("message").and_then(text);
    Words {
        message: text(error).or_else(|| field("message")).or_else(said).or_else(|| detail(json)),
        kind: field("type"),
        code: field("code"),
        param: field("param"),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// FastAPI's field: a string, or a validator's list of complaints.
fn detail(json: &Value) -> Option<String> {
    match json.get("detail")? {
        list @ Value::Array(_) => Some(list.to_string()),
        detail => text(detail),
    }
}

/// A body that is no JSON is passed on if a human can read it; a page of HTML is not for this channel.
fn plain(body: &[u8]) -> Words {
    let text = std::str::from_utf8(body).ok().map(str::trim).filter(|text| !text.starts_with('<'));
    Words { message: text.map(str::to_owned), ..Words::default() }
}

/// On one line, without the key or what looks like a masked one (vendors echo its ends), cut to a sane length.
fn tidy(text: &str, key: Option<&str>) -> String {
    let hidden = |word: &str| word.contains("***") || key.is_some_and(|key| word.contains(key));
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.map(|word| if hidden(word) { "[hidden]" } else { word }).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// `retry-after-ms`, then `Retry-After` in seconds or as a date; a date that has passed says nothing.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let seconds = |text: &str, unit: f64| Duration::try_from_secs_f64(text.parse::<f64>().ok()? * unit).ok();
    if let Some(time) = value("retry-after-ms").and_then(|text| seconds(text, 0.001)) {
        return Some(time);
    }
    let text = value("retry-after")?;
    seconds(text, 1.0).or_else(|| httpdate::parse_http_date(text).ok()?.duration_since(now).ok())
}

#[cfg(test)]
mod tests;
