//! What an OpenAI-shaped error says, in any of the spellings seen in the wild, and the status that an error inside a success stands for.
//! Source: OpenAI's guide "Error codes".

use http::StatusCode;
use serde_json::{Value, json};

use crate::llm::provider_error::{CONTENT_FILTER, DecodeError, ProviderError};

/// Codes and types that say that money or a daily limit is used up, unlike a rate limit, which ends within the minute. The number is Workers
/// AI's daily allowance, in both of its APIs.
const EXHAUSTED: [&str; 5] =
    ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "enforced_spend_limit_reached", "3036"];

/// Fields in which servers say in words, and as a code, what went wrong.
const MESSAGES: [&str; 5] = ["message", "msg", "error_msg", "error_message", "status_msg"];
const CODES: [&str; 3] = ["code", "error_code", "status_code"];

/// Reads the error in a body that came with a status of success: what it says, and the status that it stands for.
pub(in crate::llm) type InBand = fn(&Value) -> (StatusCode, ProviderError);

/// OpenAI's `{"error": {…}}`, also as the first of a list, `{"error": "…"}`, `{"message": "…"}`, FastAPI's `{"detail": …}`, and
/// `{"errors": [{…}]}`.
pub(in crate::llm) fn provider_error(json: &Value) -> ProviderError {
    let json = json.get(0).unwrap_or(json);
    let listed = json.get("errors").and_then(|errors| errors.get(0));
    let error = json.get("error").filter(|error| !error.is_null()).or(listed).unwrap_or(json);
    let field = |name: &str| error.get(name).and_then(text);
    let beside = || MESSAGES.iter().find_map(|name| json.get(*name).and_then(text));
    let (kind, mut code) = (field("type"), CODES.iter().find_map(|name| field(name)));
    // OpenRouter's, for a prompt that its moderation refused: nobody else should answer it, and no key is to blame.
    let flagged = error.get("metadata").is_some_and(|metadata| metadata.get("flagged_input").is_some());
    if flagged {
        code = Some(CONTENT_FILTER.to_owned());
    }
    // Whatever the status: no key and no server is to blame.
    let is_filtered = matches!(code.as_deref(), Some(CONTENT_FILTER | "content_policy_violation"));
    let exhausted = [&kind, &code].into_iter().flatten().any(|code| EXHAUSTED.contains(&code.as_str()));
    ProviderError {
        message: text(error).or_else(|| MESSAGES.iter().find_map(|name| field(name))).or_else(beside).or_else(|| detail(json)),
        kind,
        code,
        param: field("param"),
        exhausted,
        amounts_to: is_filtered.then_some(StatusCode::BAD_REQUEST),
        ..ProviderError::default()
    }
}

/// Whether an object that is no reply is an error, though it does not call itself one: it says something in words, and nothing that a reply has.
pub(super) fn is_bare(json: &Value) -> bool {
    let Some(object) = json.as_object() else { return false };
    let is_reply = ["choices", "usage", "id"].iter().any(|name| object.get(*name).is_some_and(|value| !value.is_null()));
    !is_reply && provider_error(json).message.is_some()
}

/// The body with an error of a choice, or of a server's own envelope, where errors stand.
pub(super) fn hoisted(json: Value) -> Value {
    let is_said = |error: &&Value| !matches!(error, Value::Null | Value::Bool(false)) && **error != *"" && !is_empty(error);
    if json.get("error").filter(is_said).is_some() {
        return json;
    }
    let choices = json.get("choices").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if let Some(error) = choices.iter().find_map(|choice| choice.get("error").filter(is_said)) {
        return json!({"error": error});
    }
    if let Some(status) = json.get("base_resp").filter(|status| status["status_code"] != 0) {
        return json!({"error": status});
    }
    if choices.iter().any(|choice| choice["finish_reason"] == "error") {
        return json!({"error": {"message": "the answer ended in an error of which nothing is said"}});
    }
    json
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// The error that an event names as one, whatever its form: JSON or words.
pub(in crate::llm) fn reported(data: &[u8], in_band: InBand) -> DecodeError {
    let text = String::from_utf8_lossy(data);
    let json = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into_owned()));
    let (status, error) = in_band(&hoisted(if json.is_object() { json } else { json!({"error": json}) }));
    DecodeError::Error(status, error)
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
    fn an_error_of_a_choice_or_of_an_envelope_stands_where_errors_do() {
        for (json, message, status) in [
            (json!({"choices": [{"error": {"message": "m", "code": 429}}]}), "m", 429),
            (json!({"error": null, "choices": [{"finish_reason": "error", "error": {"message": "m"}}]}), "m", 502),
            (json!({"choices": [{"finish_reason": "error"}]}), "the answer ended in an error of which nothing is said", 502),
            (json!({"choices": null, "base_resp": {"status_code": 1008, "status_msg": "m"}}), "m", 502),
            (json!({"error": {"message": "m", "code": 503}, "choices": [{"error": {"message": "n"}}]}), "m", 503),
        ] {
            let (found, error) = in_band(&hoisted(json.clone()));
            assert_eq!((error.message.as_deref(), found.as_u16()), (Some(message), status), "{json}");
        }
        let DecodeError::Error(_, error) = reported(b"Internal Server Error", in_band) else { panic!("an error") };
        assert_eq!(error.message.as_deref(), Some("Internal Server Error"));
    }

    #[test]
    fn a_moderated_prompt_is_the_clients_matter() {
        let flagged = json!({"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["x"], "flagged_input": "y"}}});
        let error = provider_error(&flagged);
        assert_eq!((error.code.as_deref(), error.amounts_to), (Some("content_filter"), Some(StatusCode::BAD_REQUEST)));
    }

    #[test]
    fn a_filter_s_verdict_is_a_refused_request_whatever_the_status() {
        for code in ["content_filter", "content_policy_violation"] {
            assert_eq!(in_band(&json!({"error": {"message": "m", "code": code}})).0, StatusCode::BAD_REQUEST, "{code}");
        }
    }

    #[test]
    fn an_object_that_is_no_reply_and_says_something_is_an_error() {
        for (json, is_error) in [
            (json!({"detail": "m"}), true),
            (json!({"code": 400, "msg": "m", "data": null}), true),
            (json!({"error_code": 17, "error_msg": "m"}), true),
            (json!({"errors": [{"message": "m"}]}), true),
            (json!({"type": "ping"}), false),
            (json!({"id": "c", "message": "m"}), false),
            (json!({"choices": [], "message": "m"}), false),
            (json!({}), false),
        ] {
            assert_eq!(is_bare(&json), is_error, "{json}");
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
