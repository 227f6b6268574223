//! What a Gemini error says. There is no Retry-After header: the body says how long to wait, and whether waiting is of any use.
//! Source: `google.rpc.Status` and its details, <https://google.aip.dev/193>.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::llm::adapter::ProviderError;

/// `{"error": {"code", "message", "status", "details"}}`, also as the only one of a list.
pub(super) fn provider_error(status: StatusCode, json: &Value) -> ProviderError {
    let json = json.get(0).unwrap_or(json);
    let error = json.get("error").unwrap_or(json);
    let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
    let message = error.as_str().map(str::to_owned).or_else(|| text("message"));
    let details = error.get("details").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    // A key that is refused comes as a plain bad request.
    let refused = details.iter().find_map(|detail| detail.get("reason")?.as_str()).filter(|reason| *reason == "API_KEY_INVALID");
    let unauthorized = refused.is_some() && status == StatusCode::BAD_REQUEST;
    let code = refused.map(str::to_owned).or_else(|| text("status"));
    ProviderError {
        kind: code.as_deref().map(|code| kind(code).to_owned()),
        retry_after: details.iter().find_map(retry_delay).or_else(|| message.as_deref().and_then(retry_in)),
        exhausted: details.iter().any(is_daily),
        amounts_to: unauthorized.then_some(StatusCode::UNAUTHORIZED),
        message,
        code,
        param: None,
    }
}

/// The status that an error inside a reply stands for.
pub(super) fn status(json: &Value) -> StatusCode {
    let code = json["error"]["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    let status = code.and_then(|code| StatusCode::from_u16(code).ok());
    status.filter(|status| status.is_client_error() || status.is_server_error()).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// OpenAI's `error.type` for a code of Google's.
fn kind(code: &str) -> &'static str {
    match code {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => "invalid_request_error",
        "UNAUTHENTICATED" | "API_KEY_INVALID" => "authentication_error",
        "PERMISSION_DENIED" => "permission_error",
        "NOT_FOUND" => "not_found_error",
        "RESOURCE_EXHAUSTED" => "rate_limit_error",
        _ => "server_error",
    }
}

fn is(detail: &Value, kind: &str) -> bool {
    detail["@type"].as_str().is_some_and(|name| name.rsplit('.').next() == Some(kind))
}

/// `RetryInfo.retryDelay`, e.g. `46s` or `0.5s`.
fn retry_delay(detail: &Value) -> Option<Duration> {
    let seconds = detail["retryDelay"].as_str().filter(|_| is(detail, "RetryInfo"))?.strip_suffix('s')?;
    Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
}

/// Whether a daily limit was met, so that waiting for a minute is no use.
fn is_daily(detail: &Value) -> bool {
    let violations = detail["violations"].as_array().filter(|_| is(detail, "QuotaFailure"));
    let daily = |violation: &Value| violation["quotaId"].as_str().is_some_and(|id| id.contains("PerDay"));
    violations.is_some_and(|violations| violations.iter().any(daily))
}

/// `… Please retry in 10h17m5.7s.`, in hours, minutes, seconds and milliseconds.
fn retry_in(message: &str) -> Option<Duration> {
    let (_, after) = message.split_once("Please retry in ")?;
    let mut text = after.split_whitespace().next()?.trim_end_matches(['.', ',']);
    let mut seconds = 0.0;
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, rest) = text.split_at(digits);
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let scale = match &rest[..unit] {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        text = &rest[unit..];
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn too_many(message: &str, details: Value) -> ProviderError {
        let body = json!({"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}});
        provider_error(StatusCode::TOO_MANY_REQUESTS, &body)
    }

    fn quota(id: &str) -> Value {
        json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaMetric": "m", "quotaId": id}]})
    }

    #[test]
    fn c42_how_long_to_wait_is_read_from_the_details() {
        let info = |delay: &str| json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay});
        let found = too_many("Quota exceeded.", json!([quota("GenerateRequestsPerMinutePerProjectPerModel"), info("46s")]));
        assert_eq!((found.retry_after, found.exhausted), (Some(Duration::from_secs(46)), false));
        assert_eq!((found.kind.as_deref(), found.code.as_deref()), (Some("rate_limit_error"), Some("RESOURCE_EXHAUSTED")));
        assert_eq!(too_many("x", json!([info("0.5s")])).retry_after, Some(Duration::from_millis(500)));
        for odd in ["", "s", "-1s", "46", "NaNs", "1e99s"] {
            assert_eq!(too_many("x", json!([info(odd)])).retry_after, None, "{odd}");
        }
    }

    #[test]
    fn c42_how_long_to_wait_is_read_from_the_message() {
        let waits = |text: &str| too_many(text, json!([])).retry_after;
        let long = Duration::from_secs(10 * 3_600 + 17 * 60 + 5) + Duration::from_millis(700);
        assert_eq!(waits("Quota exceeded. Please retry in 10h17m5.7s."), Some(long));
        assert_eq!(waits("Please retry in 46.5s, or upgrade."), Some(Duration::from_millis(46_500)));
        assert_eq!(waits("Please retry in 250ms."), Some(Duration::from_millis(250)));
        for odd in ["Please retry in a while.", "Please retry in 5", "Please retry in 5y", "Please retry in .s", "Please retry later."] {
            assert_eq!(waits(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_daily_quota_is_exhausted_and_a_minutes_is_not() {
        assert!(too_many("x", json!([quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier")])).exhausted);
        assert!(!too_many("x", json!([quota("GenerateRequestsPerMinutePerProjectPerModel")])).exhausted);
    }

    #[test]
    fn a_refused_key_amounts_to_401() {
        let body = |reason: &str| {
            json!({"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}]}})
        };
        let found = provider_error(StatusCode::BAD_REQUEST, &body("API_KEY_INVALID"));
        assert_eq!((found.amounts_to, found.kind.as_deref()), (Some(StatusCode::UNAUTHORIZED), Some("authentication_error")));
        assert_eq!(found.code.as_deref(), Some("API_KEY_INVALID"));
        let other = provider_error(StatusCode::BAD_REQUEST, &body("OTHER"));
        assert_eq!((other.amounts_to, other.code.as_deref()), (None, Some("INVALID_ARGUMENT")));
    }

    #[test]
    fn an_error_is_read_from_a_list_a_text_and_an_odd_shape() {
        let found = provider_error(StatusCode::NOT_FOUND, &json!([{"error": {"code": 404, "message": "no", "status": "NOT_FOUND"}}]));
        assert_eq!((found.message.as_deref(), found.kind.as_deref()), (Some("no"), Some("not_found_error")));
        assert_eq!(provider_error(StatusCode::BAD_GATEWAY, &json!({"error": "down"})).message.as_deref(), Some("down"));
        assert_eq!(provider_error(StatusCode::BAD_GATEWAY, &json!({"message": "down"})).message.as_deref(), Some("down"));
        assert_eq!(provider_error(StatusCode::BAD_GATEWAY, &json!(7)), ProviderError::default());
    }
}
