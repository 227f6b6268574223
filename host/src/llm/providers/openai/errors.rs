//! What an OpenAI-shaped error says, in any of the spellings seen in the wild, and the status that an error inside a success stands for.
//! Source: OpenAI's guide "Error codes".

use http::StatusCode;
use serde_json::Value;

use crate::llm::provider_error::ProviderError;

/// Codes and types that say that money or a daily limit is used up, unlike a rate limit, which ends within the minute. The number is Workers
/// AI's daily allowance, in both of its APIs.
const EXHAUSTED: [&str; 5] =
    ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "enforced_spend_limit_reached", "3036"];

/// Reads the error in a body that came with a status of success: what it says, and the status that it stands for.
pub(in crate::llm) type InBand = fn(&Value) -> (StatusCode, ProviderError);

/// OpenAI's `{"error": {…}}`, also as the first of a list, `{"error": "…"}`, `{"message": "…"}`, FastAPI's `{"detail": …}`, and
/// `{"errors": [{…}]}`.
pub(in crate::llm) fn provider_error(json: &Value) -> ProviderError {
    let json = json.get(0).unwrap_or(json);
    let listed = json.get("errors").and_then(|errors| errors.get(0));
    let error = json.get("error").filter(|error| !error.is_null()).or(listed).unwrap_or(json);
    let field = |name: &str| error.get(name).and_then(text);
    let beside = || json.get("message").and_then(text);
    let (kind, code) = (field("type"), field("code"));
    let exhausted = [&kind, &code].into_iter().flatten().any(|code| EXHAUSTED.contains(&code.as_str()));
    ProviderError {
        message: text(error).or_else(|| field("message")).or_else(beside).or_else(|| detail(json)),
        kind,
        code,
        param: field("param"),
        exhausted,
        ..ProviderError::default()
    }
}

/// For servers without a way of their own to report such errors.
pub(in crate::llm) fn in_band(json: &Value) -> (StatusCode, ProviderError) {
    let error = provider_error(json);
    (status(json, &error), error)
}

/// The status that an error names, as its code or beside it; 502 if it names none.
pub(in crate::llm) fn status(json: &Value, error: &ProviderError) -> StatusCode {
    let named = |object: &Value| ["status", "status_code"].iter().find_map(|name| error_status(&text(object.get(name)?)?));
    let code = error.code.as_deref().and_then(error_status);
    let beside = || json.get("error").and_then(named).or_else(|| named(json));
    error.amounts_to.or(code).or_else(beside).unwrap_or(StatusCode::BAD_GATEWAY)
}

/// OpenAI's `error.type` for a status.
pub(in crate::llm) fn kind(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        500..=599 => "server_error",
        _ => "invalid_request_error",
    }
}

/// A value as text; none if it is empty, or neither text nor number.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn error_status(code: &str) -> Option<StatusCode> {
    let status = StatusCode::from_u16(code.parse().ok()?).ok()?;
    (status.is_client_error() || status.is_server_error()).then_some(status)
}

/// FastAPI's field: a string, or a validator's list of problems.
fn detail(json: &Value) -> Option<String> {
    match json.get("detail")? {
        list @ Value::Array(_) => Some(list.to_string()),
        detail => text(detail),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn error_objects_of_every_known_shape_are_read() {
        let openai = provider_error(
            &json!({"error": {"message": "No", "type": "invalid_request_error", "code": "model_not_found", "param": "model"}}),
        );
        assert_eq!(openai.message.as_deref(), Some("No"));
        assert_eq!(
            (openai.kind.as_deref(), openai.code.as_deref(), openai.param.as_deref()),
            (Some("invalid_request_error"), Some("model_not_found"), Some("model"))
        );
        for (json, message, code) in [
            (json!({"error": {"message": "m", "code": 429}}), Some("m"), Some("429")),
            (json!([{"error": {"message": "m", "code": 429}}]), Some("m"), Some("429")),
            (json!({"error": "m"}), Some("m"), None),
            (json!({"error": true, "message": "m"}), Some("m"), None),
            (json!({"object": "error", "message": "m", "code": 400}), Some("m"), Some("400")),
            (json!({"detail": "m"}), Some("m"), None),
            (json!({"detail": [{"msg": "m"}]}), Some(r#"[{"msg":"m"}]"#), None),
            (json!({"success": false, "errors": [{"code": 7003, "message": "m"}]}), Some("m"), Some("7003")),
            (json!({"error": {"message": ""}}), None, None),
            (json!({}), None, None),
            (json!([]), None, None),
            (json!(null), None, None),
        ] {
            let error = provider_error(&json);
            assert_eq!((error.message.as_deref(), error.code.as_deref()), (message, code), "{json}");
        }
    }

    #[test]
    fn a_quota_that_is_used_up_is_told_from_a_rate_limit() {
        assert!(provider_error(&json!({"error": {"type": "insufficient_quota", "code": null}})).exhausted);
        assert!(provider_error(&json!({"error": {"code": "billing_hard_limit_reached"}})).exhausted);
        assert!(!provider_error(&json!({"error": {"code": "rate_limit_exceeded"}})).exhausted);
    }

    #[test]
    fn an_error_in_a_success_has_the_status_it_names_or_502() {
        for (json, expected) in [
            (json!({"error": {"code": 429}}), 429),
            (json!({"error": {"code": "503"}}), 503),
            (json!({"error": {"code": "overloaded", "status": 529}}), 529),
            (json!({"error": {"code": "x"}, "status": 400}), 400),
            (json!({"error": {"code": "rate_limit_exceeded"}}), 502),
            (json!({"error": {"code": 200}}), 502),
            (json!({"error": "m"}), 502),
        ] {
            assert_eq!(in_band(&json).0.as_u16(), expected, "{json}");
        }
    }
}
