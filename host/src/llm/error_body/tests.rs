//! Error bodies as providers send them, and the waits they ask for.

use super::*;
use crate::llm::providers::openai::{in_band, provider_error};

fn asked<R>(act: impl FnOnce(Asked<'_>) -> R) -> R {
    act(Asked { provider: "p", key: Some(&Secret::new("sk-secret").unwrap()) })
}

#[track_caller]
fn check(body: &str, message: &str, kind: Option<&str>, code: Option<&str>, param: Option<&str>) {
    let error = asked(|asked| read(asked, StatusCode::BAD_GATEWAY, &HeaderMap::new(), body.as_bytes(), |_, json| provider_error(json)));
    let Error::Status { message: m, kind: k, code: c, param: p, status: 502, .. } = error else { panic!("{error:?}") };
    assert_eq!((m.as_str(), k.as_deref(), c.as_deref(), p.as_deref()), (message, kind, code, param), "{body}");
}

#[test]
fn error_bodies_of_every_known_shape_are_read() {
    let openai = r#"{"error":{"message":"No such model","type":"invalid_request_error","code":"model_not_found","param":"model"}}"#;
    check(openai, "No such model", Some("invalid_request_error"), Some("model_not_found"), Some("model"));
    check(r#"{"error":{"message":"Slow down","type":null,"code":429,"param":null}}"#, "Slow down", None, Some("429"), None);
    check(r#"[{"error":{"message":"Quota","code":429}}]"#, "Quota", None, Some("429"), None);
    check(r#"{"error":"model is loading"}"#, "model is loading", None, None, None);
    check(r#"{"error":true,"message":"said beside"}"#, "said beside", None, None, None);
    check(
        r#"{"object":"error","message":"too long","type":"BadRequestError","code":400}"#,
        "too long",
        Some("BadRequestError"),
        Some("400"),
        None,
    );
    check(r#"{"detail":"Not authenticated"}"#, "Not authenticated", None, None, None);
    check(r#"{"detail":[{"msg":"field required"}]}"#, r#"[{"msg":"field required"}]"#, None, None, None);
    check("upstream connect error", "upstream connect error", None, None, None);
    check("<html><h1>502</h1></html>", "Bad Gateway", None, None, None);
    for nothing in ["", "{}", "null", "[]", r#"{"error":{}}"#, r#"{"error":{"message":" \n"}}"#] {
        check(nothing, "Bad Gateway", None, None, None);
    }
}

#[test]
fn a_key_never_leaves_in_a_message() {
    check(
        r#"{"error":{"message":"Incorrect API key: sk-secret. Or \"sk-secret\"?"}}"#,
        "Incorrect API key: [hidden] Or [hidden]",
        None,
        None,
        None,
    );
    check(r#"{"error":{"message":"key sk-se***ret is wrong","code":"sk-secret"}}"#, "key [hidden] is wrong", None, Some("[hidden]"), None);
}

#[test]
fn a_message_is_one_line_of_at_most_500_characters() {
    check(r#"{"error":"two\r\nlines\u0007"}"#, "two lines", None, None, None);
    let at_limit = "é".repeat(500);
    check(&at_limit, &at_limit, None, None, None);
    check(&"é".repeat(501), &format!("{at_limit}…"), None, None, None);
}

#[test]
fn what_a_parser_quotes_is_cut() {
    let quoted = serde_json::from_str::<u8>(&format!("\"{}\"", "é".repeat(1 << 20))).expect_err("no number").to_string();
    assert_eq!(truncated(quoted).chars().count(), MESSAGE_CHARS + 1);
    assert_eq!(truncated("short".into()), "short");
}

#[test]
fn a_key_at_the_cut_is_hidden_before_the_cut() {
    let text = format!("{} sk-secret", "x".repeat(495));
    check(&text, &format!("{} [hid…", "x".repeat(495)), None, None, None);
}

#[test]
fn an_error_in_a_success_has_the_status_it_names_or_502() {
    for (json, expected) in [
        (r#"{"error":{"message":"m","code":429}}"#, 429),
        (r#"{"error":{"message":"m","code":"503"}}"#, 503),
        (r#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#, 502),
        (r#"{"error":{"message":"m","code":200}}"#, 502),
        (r#"{"error":"m"}"#, 502),
    ] {
        let (status, error) = in_band(&serde_json::from_str(json).unwrap());
        assert_eq!((status.as_u16(), error.message.as_deref()), (expected, Some("m")), "{json}");
    }
}

#[test]
fn what_is_used_up_is_told_from_what_comes_back_soon() {
    for (status, code, expected) in [
        (429, r#""insufficient_quota""#, true),
        (429, r#""enforced_spend_limit_reached""#, true),
        (429, "3036", true),
        (429, "3040", false),
        (429, r#""rate_limit_exceeded""#, false),
        (429, "null", false),
        (402, "null", true),
        (403, r#""insufficient_quota""#, true),
    ] {
        let body = format!(r#"{{"error":{{"message":"m","code":{code}}}}}"#);
        let error = asked(|asked| {
            read(asked, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes(), |_, json| provider_error(json))
        });
        assert!(matches!(error, Error::Status { exhausted, .. } if exhausted == expected), "{status} {code}");
    }
}

#[test]
fn waits_are_read_as_milliseconds_seconds_or_date() {
    let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
    for (headers, expected) in [
        (vec![("retry-after", "2")], Some(2000)),
        (vec![("retry-after", "0.5")], Some(500)),
        (vec![("retry-after", "2"), ("retry-after-ms", "150")], Some(150)),
        (vec![("x-ms-retry-after-ms", "75"), ("retry-after", "2")], Some(75)),
        (vec![("retry-after", "Sun, 06 Nov 1994 08:49:40 GMT")], Some(3000)),
        (vec![("retry-after", "Sun, 06 Nov 1994 08:49:30 GMT")], None),
        (vec![("retry-after", "-1")], None),
        (vec![("retry-after", "NaN")], None),
        (vec![("retry-after", "soon")], None),
        (vec![], None),
    ] {
        let map = headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
        assert_eq!(retry_after(&map, now), expected.map(Duration::from_millis), "{headers:?}");
    }
}
