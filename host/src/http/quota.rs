//! What a caller has left of its limits, in OpenAI's headers. A limit that a caller does not have has no header.
//! Source: OpenAI API documentation, "Rate limits in headers".

use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::ledger::{Left, Standing};

const REQUESTS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const TOKENS: [HeaderName; 3] = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

/// Adds the headers of the limits that the caller has.
pub(super) fn add_headers(headers: &mut HeaderMap, standing: &Standing) {
    for (left, [limit, remaining, reset]) in [(&standing.requests, REQUESTS), (&standing.tokens, TOKENS)] {
        let Some(left) = left else { continue };
        let Left { limit: most, remaining: rest, reset: time } = left;
        headers.insert(limit, (*most).into());
        headers.insert(remaining, (*rest).into());
        headers.insert(reset, HeaderValue::from_str(&spelled(*time)).expect("digits and letters"));
    }
}

/// As OpenAI spells a time: `20ms`, `1s`, `6m0s`, `2h0m30s`; rounded up, so that a client that waits so long does not come too early.
fn spelled(time: Duration) -> String {
    let millis = time.as_nanos().div_ceil(1_000_000);
    if (1..1_000).contains(&millis) {
        return format!("{millis}ms");
    }
    let seconds = millis.div_ceil(1_000);
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_spelled_as_openai_does_and_rounded_up() {
        for (millis, text) in [
            (0, "0s"),
            (1, "1ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_001, "2s"),
            (59_001, "1m0s"),
            (360_000, "6m0s"),
            (3_600_000, "1h0m0s"),
            (86_399_999, "24h0m0s"),
        ] {
            assert_eq!(spelled(Duration::from_millis(millis)), text);
        }
        assert_eq!((spelled(Duration::from_nanos(1)), spelled(Duration::from_nanos(999_000_001))), ("1ms".into(), "1s".into()));
    }

    #[test]
    fn only_the_limits_that_there_are_have_headers() {
        let mut headers = HeaderMap::new();
        let left = |limit, remaining| Some(Left { limit, remaining, reset: Duration::from_secs(90) });
        add_headers(&mut headers, &Standing { requests: left(60, 59), tokens: None });
        let shown = |headers: &HeaderMap, name: &str| headers.get(name).map(|value| value.to_str().expect("ASCII").to_owned());
        let requests =
            ["limit", "remaining", "reset"].map(|what| shown(&headers, &format!("x-ratelimit-{what}-requests")).expect("a header"));
        assert_eq!(requests, ["60", "59", "1m30s"]);
        assert_eq!(headers.len(), 3);
        add_headers(&mut headers, &Standing { requests: None, tokens: left(7, 0) });
        assert_eq!((shown(&headers, "x-ratelimit-remaining-tokens").as_deref(), headers.len()), (Some("0"), 6));
    }
}
