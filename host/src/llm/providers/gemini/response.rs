//! `GenerateContentResponse` as far as it is read, and its finish reasons, log probabilities and usage in OpenAI's form; and `google.rpc.Status`, its errors,
//! whose body says how long to wait and whether waiting helps, because there is no Retry-After header.
//! Every field may be missing, because Gemini leaves out what is empty.
//! Source: Gemini API reference, `GenerateContentResponse`, `FinishReason`, `LogprobsResult`, `UsageMetadata`,
//! <https://ai.google.dev/api/generate-content>; <https://google.aip.dev/193>.

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::chat::{Count, Usage};
use crate::llm::adapter::ProviderError;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response<'a> {
    /// Each is a [`Candidate`], and each of its parts a [`Part`]. They are kept as they came and parsed one after the other, so that
    /// many of them take little memory.
    #[serde(borrow)]
    pub(super) candidates: Option<Vec<&'a RawValue>>,
    pub(super) prompt_feedback: Option<Feedback>,
    pub(super) usage_metadata: Option<UsageMetadata>,
    pub(super) model_version: Option<String>,
    pub(super) response_id: Option<String>,
    /// An error inside a reply that began as a success.
    pub(super) error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate<'a> {
    pub(super) index: Option<u32>,
    #[serde(borrow)]
    pub(super) content: Option<Content<'a>>,
    pub(super) finish_reason: Option<String>,
    /// The reason in words.
    pub(super) finish_message: Option<String>,
    pub(super) grounding_metadata: Option<IgnoredAny>,
    pub(super) logprobs_result: Option<LogProbs>,
}

#[derive(Deserialize)]
pub(super) struct Content<'a> {
    #[serde(borrow)]
    pub(super) parts: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    pub(super) text: Option<String>,
    /// The text is a thought.
    pub(super) thought: Option<bool>,
    /// A text's signature need not be sent back, so only a call's is kept.
    pub(super) thought_signature: Option<String>,
    #[serde(borrow)]
    pub(super) function_call: Option<Call<'a>>,
    pub(super) inline_data: Option<Inline>,
}

#[derive(Deserialize)]
pub(super) struct Call<'a> {
    pub(super) id: Option<String>,
    pub(super) name: String,
    #[serde(borrow)]
    pub(super) args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inline {
    pub(super) mime_type: String,
    pub(super) data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Feedback {
    pub(super) block_reason: Option<String>,
}

/// OpenAI's finish reason for an answer that was withheld.
pub(super) const FILTERED: &str = "content_filter";

/// What Gemini's reason for an end amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// No end yet: some versions have such a word in every event.
    Open,
    /// OpenAI's finish reason.
    As(&'static str),
    /// The model spoilt its answer; what it said before is not what it meant to say.
    Spoilt,
    /// It has no counterpart. It is not the good end that `stop` promises.
    Other,
}

/// A call that the model got wrong, or that it was not offered, is no answer: agents that are told `stop` take it for one and end in silence.
pub(super) fn ending(native: &str) -> Ending {
    match native.to_ascii_uppercase().as_str() {
        "" | "NULL" | "NONE" | "FINISH_REASON_UNSPECIFIED" => Ending::Open,
        "STOP" => Ending::As("stop"),
        "MAX_TOKENS" => Ending::As("length"),
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "MODEL_ARMOR" => Ending::As(FILTERED),
        image if image.starts_with("IMAGE_") => Ending::As(FILTERED),
        "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS" | "MISSING_THOUGHT_SIGNATURE" | "MALFORMED_RESPONSE" => {
            Ending::Spoilt
        }
        _ => Ending::Other,
    }
}

/// The finish reason of an answer with `calls`, because Gemini says `STOP` after calls too. An answer that was cut or withheld keeps its reason.
pub(super) fn with_calls(reason: &'static str, calls: u32) -> &'static str {
    if reason == "stop" && calls > 0 { "tool_calls" } else { reason }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct LogProbs {
    chosen_candidates: Vec<Token>,
    /// For each chosen token, the most likely ones.
    top_candidates: Vec<Top>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Top {
    candidates: Vec<Token>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Token {
    token: String,
    log_probability: f64,
}

impl Token {
    fn json(&self) -> Value {
        json!({"token": self.token, "logprob": self.log_probability, "bytes": self.token.as_bytes()})
    }
}

/// Entries of OpenAI's `logprobs.content`.
pub(super) fn logprobs(result: LogProbs) -> impl Iterator<Item = Value> {
    let mut top = result.top_candidates.into_iter();
    result.chosen_candidates.into_iter().map(move |chosen| {
        let likely = top.next().unwrap_or_default().candidates;
        let mut entry = chosen.json();
        entry["top_logprobs"] = likely.iter().map(Token::json).collect();
        entry
    })
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct UsageMetadata {
    /// Includes what came out of a cache.
    prompt_token_count: Count,
    candidates_token_count: Count,
    thoughts_token_count: Count,
    /// Results of tools that Gemini ran itself.
    tool_use_prompt_token_count: Count,
    cached_content_token_count: Count,
    total_token_count: Count,
}

impl UsageMetadata {
    /// `grounded`: a search was made, whose results are not billed as part of the prompt. Gemini counts thoughts beside the tokens of the
    /// candidates, relays and some versions count them inside; the total tells which it is.
    pub(super) fn canonical(self, grounded: bool) -> Usage {
        let prompt = self.prompt_token_count.0.unwrap_or(0);
        let candidates = self.candidates_token_count.0.unwrap_or(0);
        let thought = self.thoughts_token_count.0.unwrap_or(0);
        let tools = self.tool_use_prompt_token_count.0.unwrap_or(0);
        let included = self.total_token_count.0 == Some(prompt.saturating_add(candidates).saturating_add(tools));
        Usage {
            prompt: if grounded { prompt } else { prompt.saturating_add(tools) },
            completion: if included { candidates } else { candidates.saturating_add(thought) },
            cached: self.cached_content_token_count.0.unwrap_or(0),
            reasoning: thought,
            // Gemini's caches are written by requests of their own.
            written: 0,
        }
    }
}

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
    use super::*;

    #[test]
    fn every_reason_has_a_word_of_openais() {
        assert_eq!((ending("STOP"), ending("MAX_TOKENS")), (Ending::As("stop"), Ending::As("length")));
        for withheld in ["SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_OTHER"] {
            assert_eq!(ending(withheld), Ending::As(FILTERED), "{withheld}");
        }
        for spoilt in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"] {
            assert_eq!(ending(spoilt), Ending::Spoilt, "{spoilt}");
        }
        assert_eq!(["OTHER", "NO_IMAGE", "NEW"].map(ending), [Ending::Other; 3]);
        assert_eq!(["", "null", "FINISH_REASON_UNSPECIFIED"].map(ending), [Ending::Open; 3]);
        assert_eq!(ending("stop"), Ending::As("stop"), "a relay's spelling");
    }

    #[test]
    fn calls_change_a_stop_and_nothing_else() {
        assert_eq!(["stop", "length", FILTERED].map(|reason| with_calls(reason, 1)), ["tool_calls", "length", FILTERED]);
        assert_eq!(with_calls("stop", 0), "stop");
    }

    fn usage(metadata: Value, grounded: bool) -> Usage {
        serde_json::from_value::<UsageMetadata>(metadata).expect("metadata").canonical(grounded)
    }

    #[test]
    fn c39_thoughts_count_once_whether_they_are_included_or_not() {
        let expected = Usage { prompt: 10, completion: 12, cached: 4, reasoning: 7, ..Usage::default() };
        let beside = json!({"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 7, "totalTokenCount": 22, "cachedContentTokenCount": 4});
        assert_eq!(usage(beside, false), expected);
        let inside = json!({"promptTokenCount": 10, "candidatesTokenCount": 12, "thoughtsTokenCount": 7, "totalTokenCount": 22, "cachedContentTokenCount": 4});
        assert_eq!(usage(inside, false), expected);
        // Without a total it is as the API's page says.
        assert_eq!(usage(json!({"promptTokenCount": 1, "candidatesTokenCount": 2, "thoughtsTokenCount": 3}), false).completion, 5);
    }

    #[test]
    fn results_of_tools_count_as_prompt_but_not_those_of_a_search() {
        let metadata = json!({"promptTokenCount": 10, "candidatesTokenCount": 5, "toolUsePromptTokenCount": 100, "thoughtsTokenCount": 2, "totalTokenCount": 117});
        let expected = Usage { prompt: 110, completion: 7, reasoning: 2, ..Usage::default() };
        assert_eq!(usage(metadata.clone(), false), expected);
        assert_eq!(usage(metadata, true), Usage { prompt: 10, ..expected });
    }

    #[test]
    fn what_is_missing_or_absurd_counts_without_a_panic() {
        assert_eq!(usage(json!({"promptTokenCount": "8", "candidatesTokenCount": 2.0, "thoughtsTokenCount": null}), false).total(), 10);
        assert_eq!(usage(json!({}), false), Usage::default());
        let most = json!({"promptTokenCount": u64::MAX, "toolUsePromptTokenCount": 1, "candidatesTokenCount": u64::MAX, "thoughtsTokenCount": 1, "totalTokenCount": 0});
        assert_eq!(usage(most, false).completion, u64::MAX);
    }
}

#[cfg(test)]
mod error_tests {
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
