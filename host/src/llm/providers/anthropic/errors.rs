//! What Anthropic says went wrong, and for which of its errors waiting is no use.
//! Source: Anthropic API reference, "Errors".

use http::StatusCode;
use serde_json::Value;

use crate::llm::adapter::{DecodeError, ProviderError};

/// The error in a body: Anthropic's envelope, or what a server in front of it sent in its place.
pub(super) fn provider_error(status: StatusCode, json: &Value) -> ProviderError {
    let error = Some(&json["error"]).filter(|error| !error.is_null()).unwrap_or(json);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let message = text(error).or_else(|| text(&error["message"])).or_else(|| text(&json["message"])).or_else(|| text(&json["detail"]));
    // `error` is the type of the envelope, not of what it holds.
    let kind = text(&error["type"]).filter(|kind| kind != "error");
    // Anthropic has no codes; the type is what OpenAI's clients look for in both fields.
    let code = text(&error["code"]).or_else(|| kind.clone());
    let no_credit = message.as_deref().is_some_and(|message| message.contains("credit balance is too low"));
    let spent = error["details"]["error_code"] == "enforced_spend_limit_reached";
    let billing = status == StatusCode::PAYMENT_REQUIRED || kind.as_deref() == Some("billing_error") || no_credit;
    ProviderError {
        message,
        kind,
        code,
        param: text(&error["param"]),
        retry_after: None,
        exhausted: spent || billing,
        // Anthropic reports a balance that is too low as a bad request.
        amounts_to: no_credit.then_some(StatusCode::PAYMENT_REQUIRED),
    }
}

/// An error inside a reply that began as a success.
pub(super) fn in_band(json: &Value) -> DecodeError {
    let status = json["error"]["type"].as_str().map_or(StatusCode::BAD_GATEWAY, status_of);
    DecodeError::Error(status, provider_error(status, json))
}

/// The status with which this type of error comes outside of a reply.
fn status_of(kind: &str) -> StatusCode {
    match kind {
        "invalid_request_error" => StatusCode::BAD_REQUEST,
        "authentication_error" => StatusCode::UNAUTHORIZED,
        "billing_error" => StatusCode::PAYMENT_REQUIRED,
        "permission_error" => StatusCode::FORBIDDEN,
        "not_found_error" => StatusCode::NOT_FOUND,
        "conflict_error" => StatusCode::CONFLICT,
        "request_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "rate_limit_error" => StatusCode::TOO_MANY_REQUESTS,
        "api_error" => StatusCode::INTERNAL_SERVER_ERROR,
        "timeout_error" => StatusCode::GATEWAY_TIMEOUT,
        "overloaded_error" => StatusCode::from_u16(529).expect("three digits"),
        _ => StatusCode::BAD_GATEWAY,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(kind: &str, message: &str) -> Value {
        json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})
    }

    #[test]
    fn the_envelope_is_read_and_its_type_is_the_code_too() {
        let error = provider_error(StatusCode::BAD_REQUEST, &error("invalid_request_error", "max_tokens: too large"));
        let some = |text: &str| Some(text.to_owned());
        let expected = ProviderError {
            message: some("max_tokens: too large"),
            kind: some("invalid_request_error"),
            code: some("invalid_request_error"),
            ..ProviderError::default()
        };
        assert_eq!(error, expected);
    }

    #[test]
    fn c28_overload_is_529_in_band_and_by_status() {
        let json = error("overloaded_error", "Overloaded");
        let DecodeError::Error(status, inside) = in_band(&json) else { panic!("an error") };
        assert_eq!(status.as_u16(), 529);
        let alone = provider_error(status, &json);
        assert_eq!((alone.amounts_to, alone.exhausted, alone.kind.as_deref()), (None, false, Some("overloaded_error")));
        assert_eq!(alone, inside);
    }

    #[test]
    fn c29_a_spending_limit_is_no_matter_of_waiting() {
        let mut json = error("rate_limit_error", "This organisation's limit is reached");
        let limited = |json: &Value| provider_error(StatusCode::TOO_MANY_REQUESTS, json).exhausted;
        assert!(!limited(&json));
        json["error"]["details"] = json!({"error_code": "enforced_spend_limit_reached"});
        assert!(limited(&json));
        assert!(provider_error(StatusCode::PAYMENT_REQUIRED, &error("billing_error", "Pay")).exhausted);
        let no_credit =
            provider_error(StatusCode::BAD_REQUEST, &error("invalid_request_error", "Your credit balance is too low to access the API."));
        assert_eq!((no_credit.exhausted, no_credit.amounts_to), (true, Some(StatusCode::PAYMENT_REQUIRED)));
    }

    #[test]
    fn every_type_in_band_has_its_status() {
        for (kind, status) in [
            ("invalid_request_error", 400),
            ("authentication_error", 401),
            ("billing_error", 402),
            ("permission_error", 403),
            ("not_found_error", 404),
            ("conflict_error", 409),
            ("request_too_large", 413),
            ("rate_limit_error", 429),
            ("api_error", 500),
            ("timeout_error", 504),
            ("overloaded_error", 529),
            ("news_to_us", 502),
        ] {
            let DecodeError::Error(found, error) = in_band(&error(kind, "m")) else { panic!("an error") };
            assert_eq!((found.as_u16(), error.kind.as_deref(), error.exhausted), (status, Some(kind), kind == "billing_error"));
        }
        assert!(
            matches!(in_band(&json!({"error": "odd"})), DecodeError::Error(StatusCode::BAD_GATEWAY, ProviderError { message: Some(text), .. }) if text == "odd")
        );
    }

    #[test]
    fn what_others_say_in_its_place_is_read_too() {
        let text = |json: Value| provider_error(StatusCode::BAD_GATEWAY, &json).message;
        for json in [json!({"error": {"message": "m"}}), json!({"error": "m"}), json!({"message": "m"}), json!({"detail": "m"}), json!("m")]
        {
            assert_eq!(text(json).as_deref(), Some("m"));
        }
        assert_eq!(text(json!([1])), None);
    }
}
