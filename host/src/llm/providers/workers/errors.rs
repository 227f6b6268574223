//! What Cloudflare's errors say, in its own envelope or in OpenAI's shape, and the statuses that their numbers stand for.
//! Source: Workers AI documentation, "Errors".

use http::StatusCode;
use serde_json::Value;

use crate::llm::adapter::ProviderError;
use crate::llm::providers::openai;

/// The error in a body of this status.
pub(super) fn provider_error(status: StatusCode, json: &Value) -> ProviderError {
    let mut error = openai::provider_error(json);
    let stands_for = error.code.as_deref().and_then(stands_for);
    error.amounts_to = stands_for.filter(|stands_for| *stands_for != status);
    let status = stands_for.unwrap_or(status);
    error.kind.get_or_insert_with(|| openai::kind(status).to_owned());
    error
}

/// The error in a body that came with a status of success.
pub(super) fn in_band(json: &Value) -> (StatusCode, ProviderError) {
    let plain = openai::provider_error(json);
    let status = plain.code.as_deref().and_then(stands_for).unwrap_or_else(|| openai::status(json, &plain));
    (status, provider_error(status, json))
}

/// The status that one of Cloudflare's numbers stands for.
fn stands_for(code: &str) -> Option<StatusCode> {
    Some(match code {
        "3003" | "5004" | "8001" => StatusCode::BAD_REQUEST,
        "10000" => StatusCode::UNAUTHORIZED,
        "3023" | "3041" | "5016" | "5018" => StatusCode::FORBIDDEN,
        // The first comes with 400, but another provider may well have the model.
        "5007" | "3042" => StatusCode::NOT_FOUND,
        "5005" | "5019" => StatusCode::METHOD_NOT_ALLOWED,
        "3007" | "3008" => StatusCode::REQUEST_TIMEOUT,
        "3006" => StatusCode::PAYLOAD_TOO_LARGE,
        // The day's allowance is used up, or there is no capacity just now.
        "3036" | "3040" => StatusCode::TOO_MANY_REQUESTS,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn both(code: u32) -> [Value; 2] {
        [
            json!({"success": false, "errors": [{"code": code, "message": "m"}], "result": {}, "messages": []}),
            json!({"error": {"message": "m", "code": code}}),
        ]
    }

    #[test]
    fn c54_a_used_up_allowance_is_told_from_a_lack_of_capacity() {
        for (code, exhausted) in [(3036, true), (3040, false)] {
            for json in both(code) {
                let error = provider_error(StatusCode::TOO_MANY_REQUESTS, &json);
                assert_eq!(
                    (error.exhausted, error.amounts_to, error.kind.as_deref()),
                    (exhausted, None, Some("rate_limit_error")),
                    "{json}"
                );
                let (status, error) = in_band(&json);
                assert_eq!((status.as_u16(), error.exhausted, error.amounts_to), (429, exhausted, None));
            }
        }
    }

    #[test]
    fn every_known_number_stands_for_a_status() {
        for (code, status) in [
            (5007, 404),
            (5004, 400),
            (3003, 400),
            (8001, 400),
            (5016, 403),
            (5018, 403),
            (3023, 403),
            (3041, 403),
            (5019, 405),
            (5005, 405),
            (3042, 404),
            (3006, 413),
            (3007, 408),
            (3008, 408),
            (10000, 401),
        ] {
            for json in both(code) {
                let error = provider_error(StatusCode::INTERNAL_SERVER_ERROR, &json);
                assert_eq!(error.amounts_to.map(|status| status.as_u16()), Some(status), "{json}");
                assert_eq!((error.message.as_deref(), error.code), (Some("m"), Some(code.to_string())));
                assert_eq!(in_band(&json).0.as_u16(), status);
            }
        }
        let json = json!({"success": false, "errors": [{"code": 7003, "message": "m"}]});
        assert_eq!(provider_error(StatusCode::BAD_REQUEST, &json).amounts_to, None);
        assert_eq!(in_band(&json).0, StatusCode::BAD_GATEWAY);
    }
}
