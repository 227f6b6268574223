//! A pre-hook that lets each caller make so many requests in a window of time and answers 429 to the others, with `retry-after`.
//! A window begins with its first request and is a key that goes away by itself, so nothing has to be cleaned up, and a window outlives a
//! restart. Changes nothing of the conversation.

use cofferdam_guest::kv::{self, Write};
use cofferdam_guest::{HookError, Plugin, PreOutcome, Rejection, Request, config, export, metrics};
use serde::Deserialize;

struct RateLimit;

impl Plugin for RateLimit {
    const CONFIG_SCHEMA: Option<&'static str> = Some(include_str!("settings.schema.json"));
    const READS: Option<&'static [&'static str]> = Some(&[]);
    const WRITES: Option<&'static [&'static str]> = Some(&["reject"]);

    fn on_request(_request: Request) -> Result<PreOutcome, HookError> {
        let settings = config::read::<Settings>()?;
        let bucket = if settings.shared { kv::plugin() } else { kv::caller() };
        // A window that a power cut loses lets a few more requests pass, and durable counters would make every request wait for the disk.
        let asked = bucket.increment(&key(settings.window_seconds), 1, Write::new().ttl(settings.window_seconds).relaxed())?;
        if asked <= settings.requests {
            return Ok(PreOutcome::unchanged());
        }
        metrics::count("refused", 1.0, &[]);
        Ok(refusal(&settings).into())
    }
}

export!(RateLimit: pre_hook);

/// The name of the counter. It lives as long as the window that it was made for, so a window of another length has another one.
fn key(window_seconds: u32) -> String {
    format!("requests-{window_seconds}")
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    requests: i64,
    window_seconds: u32,
    shared: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { requests: 60, window_seconds: 60, shared: false }
    }
}

/// A key does not tell how much of its time is left, so the whole window is named: whoever waits for that long is let in.
fn refusal(settings: &Settings) -> Rejection {
    let Settings { requests, window_seconds, shared } = settings;
    let whose = if *shared { "All callers together" } else { "A caller" };
    let message = format!("{whose} may make {requests} requests in {window_seconds} seconds; try again later.");
    Rejection::new(429, "rate_limited", message).retry_after(*window_seconds)
}

#[cfg(test)]
mod tests {
    use cofferdam_guest::{Message, testing};

    use super::*;

    /// Whether one more request passes; what a refusal says is checked.
    #[track_caller]
    fn passes(settings: &str) -> bool {
        testing::set_config(settings);
        match RateLimit::on_request(testing::request(vec![Message::user("Hello")])).unwrap() {
            PreOutcome::Proceed(changes) => {
                assert_eq!(PreOutcome::Proceed(changes), PreOutcome::unchanged());
                true
            }
            PreOutcome::Reject(rejection) => {
                assert_eq!((rejection.status, rejection.code.as_str()), (429, "rate_limited"));
                false
            }
            PreOutcome::Respond(message) => panic!("{message:?}"),
        }
    }

    #[test]
    fn the_last_request_of_a_window_passes_and_the_next_one_does_not_until_it_is_over() {
        let settings = r#"{"requests": 2, "window_seconds": 10}"#;
        assert_eq!([passes(settings), passes(settings), passes(settings)], [true, true, false]);
        testing::pass_seconds(9);
        assert!(!passes(settings), "a request that was refused begins no new window");
        testing::pass_seconds(1);
        assert_eq!([passes(settings), passes(settings), passes(settings)], [true, true, false]);
    }

    #[test]
    fn a_window_of_another_length_begins_anew() {
        assert_eq!(
            [passes(r#"{"requests": 1, "window_seconds": 2592000}"#), passes(r#"{"requests": 1, "window_seconds": 2592000}"#)],
            [true, false]
        );
        assert_eq!([passes(r#"{"requests": 1, "window_seconds": 1}"#), passes(r#"{"requests": 1, "window_seconds": 1}"#)], [true, false]);
    }

    #[test]
    fn callers_have_windows_of_their_own_unless_they_share_one() {
        let (own, shared) = (r#"{"requests": 1}"#, r#"{"requests": 1, "shared": true}"#);
        testing::as_caller("anna");
        assert_eq!([passes(own), passes(own), passes(shared)], [true, false, true]);
        testing::as_caller("ben");
        assert_eq!([passes(own), passes(shared)], [true, false]);
    }

    #[test]
    fn a_refusal_says_how_many_and_when_to_come_back() {
        let rejection = refusal(&Settings { requests: 5, window_seconds: 30, shared: false });
        assert_eq!(rejection.message, "A caller may make 5 requests in 30 seconds; try again later.");
        assert_eq!(rejection.retry_after, Some(30));
    }

    #[test]
    fn the_defaults_of_the_schema_are_those_of_the_code() {
        let schema: serde_json::Value = serde_json::from_str(RateLimit::CONFIG_SCHEMA.unwrap()).unwrap();
        let default = |name: &str| &schema["properties"][name]["default"];
        let Settings { requests, window_seconds, shared } = Settings::default();
        assert_eq!((default("requests"), default("window_seconds")), (&requests.into(), &window_seconds.into()));
        assert_eq!(default("shared"), shared);
    }
}
