//! What Azure's errors say. Its types are often null, its codes often repeat the status, and the filter's verdict has two spellings.
//! Messages are Azure's own, but for addresses, which name the operator's resource.
//! Source: "Azure OpenAI in Foundry Models REST API reference", "Content filtering", "Troubleshooting".

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::llm::adapter::ProviderError;
use crate::llm::providers::openai;

/// The code of a prompt or an answer that the filter refused, which only the client can mend.
const CONTENT_FILTER: &str = "content_filter";

/// The same code in the filter's own object.
const POLICY: &str = "ResponsibleAIPolicyViolation";

/// Texts by which a word is recognised as the name of a resource.
const RESOURCE: [&str; 4] = [".azure.com", ".azure-api.net", "/deployments/", "/subscriptions/"];

/// The error in a body of this status.
pub(super) fn provider_error(status: StatusCode, json: &Value) -> ProviderError {
    let mut error = openai::provider_error(json);
    let object = json.get("error").unwrap_or(json);
    let inner = object.get("innererror").or_else(|| object.get("inner_error"));
    let inner_code = inner.and_then(|inner| inner.get("code")).and_then(Value::as_str);
    if inner_code == Some(POLICY) || matches!(error.code.as_deref(), Some(CONTENT_FILTER | POLICY)) {
        error.code = Some(CONTENT_FILTER.into());
        error.message = error.message.map(|message| format!("{message}{}", filtered(inner)));
        // A status of success tells nothing of the error, and one of the key's is wrong.
        error.amounts_to = (status != StatusCode::BAD_REQUEST).then_some(StatusCode::BAD_REQUEST);
    }
    error.retry_after = error.message.as_deref().and_then(wait);
    error.message = error.message.as_deref().map(discreet);
    let status = error.amounts_to.unwrap_or(status);
    error.kind.get_or_insert_with(|| openai::kind(status).to_owned());
    // A code that only repeats the status is replaced by one that says more.
    if error.code.as_deref().is_none_or(|code| code.parse::<u16>().is_ok()) {
        error.code = Some(code(status).to_owned());
    }
    error
}

/// The error in a body that came with a status of success.
pub(super) fn in_band(json: &Value) -> (StatusCode, ProviderError) {
    let plain = openai::provider_error(json);
    let status = openai::status(json, &plain);
    let error = provider_error(status, json);
    (error.amounts_to.unwrap_or(status), error)
}

/// OpenAI's `error.code` for a status.
fn code(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "invalid_api_key",
        403 => "permission_denied",
        404 => "model_not_found",
        429 => "rate_limit_exceeded",
        500..=599 => "server_error",
        _ => "invalid_request",
    }
}

/// The categories that the filter found, in brackets.
fn filtered(inner: Option<&Value>) -> String {
    let results = inner.and_then(|inner| inner.get("content_filter_result").or_else(|| inner.get("content_filter_results")));
    let is_filtered = |(name, result): (&String, &Value)| (result.get("filtered") == Some(&Value::Bool(true))).then(|| name.clone());
    let names: Vec<String> = results.and_then(Value::as_object).into_iter().flatten().filter_map(is_filtered).collect();
    if names.is_empty() { String::new() } else { format!(" [filtered: {}]", names.join(", ")) }
}

/// The message without words that name a resource.
fn discreet(message: &str) -> String {
    let hidden = |word: &str| RESOURCE.iter().any(|sign| word.contains(sign));
    message.split(' ').map(|word| if hidden(word) { "[hidden]" } else { word }).collect::<Vec<_>>().join(" ")
}

/// "Please retry after 17 seconds."
fn wait(message: &str) -> Option<Duration> {
    let (_, behind) = message.split_once("retry after ")?;
    let (seconds, unit) = behind.split_once(' ')?;
    unit.starts_with("second").then_some(())?;
    Some(Duration::from_secs(seconds.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;
    use crate::chat::Name;
    use crate::llm::adapter::DecodeError;

    fn read(status: u16, json: &Value) -> ProviderError {
        provider_error(StatusCode::from_u16(status).expect("a status"), json)
    }

    #[test]
    fn c47_both_spellings_of_the_inner_error_are_read() {
        for spelling in ["innererror", "inner_error"] {
            let verdict = json!({"hate": {"filtered": true, "severity": "high"}, "violence": {"filtered": false}});
            let json = json!({"error": {
                "message": "The response was filtered.", "type": null, "param": "prompt", "code": "BadRequest", "status": 400,
                spelling: {"code": "ResponsibleAIPolicyViolation", "content_filter_result": verdict},
            }});
            let error = read(400, &json);
            assert_eq!(error.message.as_deref(), Some("The response was filtered. [filtered: hate]"), "{spelling}");
            assert_eq!(
                (error.kind.as_deref(), error.code.as_deref(), error.param.as_deref(), error.amounts_to),
                (Some("invalid_request_error"), Some("content_filter"), Some("prompt"), None)
            );
            // Inside a success it stays the client's error.
            let (status, error) = in_band(&json!({"error": {"message": "m", "code": "content_filter"}}));
            assert_eq!((status, error.kind.as_deref()), (StatusCode::BAD_REQUEST, Some("invalid_request_error")));
        }
    }

    #[test]
    fn type_and_code_are_filled_where_they_say_nothing() {
        for (status, code, kind, filled) in [
            (401, json!("401"), "authentication_error", "invalid_api_key"),
            (403, json!(null), "permission_error", "permission_denied"),
            (429, json!("429"), "rate_limit_error", "rate_limit_exceeded"),
            (503, json!(""), "server_error", "server_error"),
            (400, json!(null), "invalid_request_error", "invalid_request"),
            (429, json!("too_many"), "rate_limit_error", "too_many"),
        ] {
            let error = read(status, &json!({"error": {"message": "m", "type": null, "code": code}}));
            assert_eq!((error.kind.as_deref(), error.code.as_deref()), (Some(kind), Some(filled)), "{status}");
        }
    }

    #[test]
    fn c48_a_page_of_html_has_no_words_of_its_own() {
        // Such a body is no JSON and never comes here; one that is wrapped as JSON says nothing either.
        let error = read(502, &json!({"error": null}));
        assert_eq!((error.message, error.kind.as_deref()), (None, Some("server_error")));
        let page = Bytes::from_static(b"<!DOCTYPE html><html><body>Our services aren't available right now</body></html>");
        let name = Name { id: "i".into(), model: "m".into(), created: 1 };
        assert!(matches!(openai::OpenAiNormalizer::new(name, false).whole(&page), Err(DecodeError::Malformed(_))));
    }

    #[test]
    fn messages_are_azure_s_own_but_for_addresses() {
        let words =
            "The API deployment for this resource does not exist. If you created it within the last 5 minutes, please wait a moment.";
        let missing = json!({"error": {"code": "DeploymentNotFound", "message": words}});
        let error = read(404, &missing);
        assert_eq!(error.message.as_deref(), Some(words));
        assert_eq!((error.kind.as_deref(), error.code.as_deref()), (Some("not_found_error"), Some("DeploymentNotFound")));
        let host = json!({"error": {"code": "403", "message": "Access to https://my-res.openai.azure.com/x is denied"}});
        assert_eq!(read(403, &host).message.as_deref(), Some("Access to [hidden] is denied"));
    }

    #[test]
    fn a_wait_that_only_the_message_names_is_read() {
        let wait = |message: &str| read(429, &json!({"error": {"code": "429", "message": message}})).retry_after;
        assert_eq!(wait("Rate limit exceeded. Please retry after 17 seconds. Go here."), Some(Duration::from_secs(17)));
        assert_eq!(wait("Please retry after 1 second."), Some(Duration::from_secs(1)));
        assert_eq!(wait("Please retry after 2 days."), None);
        assert_eq!(wait("Please retry after"), None);
    }
}
