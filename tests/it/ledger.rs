//! Limits per key and the report of what was used, through the real server: status, headers, who is refused and who is not.
//! What a reply adds to the ledger is in `replies`, what is reserved before it in `budgets`, end users in `end_users`; the edges of token limits are tested by the room itself, with a clock that can be moved.

mod budgets;
mod end_users;
mod replies;

use cofferdam::ledger::clock::{Day, system};
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::server::{Builder, Server};
use crate::upstream::{Script, Upstream};

/// A server whose model `p` asks one provider, with the client keys `slow` and `free` and the admin key `boss`; each key is its name.
fn house(upstream: &Upstream, slow: &str, extra: &str) -> Builder {
    let key = |name: &str, limits: &str| {
        use sha2::Digest;
        let hash: String = sha2::Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{{ name = \"{name}\", sha256 = \"{hash}\"{limits} }}")
    };
    Server::with(&format!(
        r#"
        [keys]
        client = [{}, {}]
        admin = [{}]
        [providers.a]
        kind = "openai"
        base_url = "{}"
        [[pipelines]]
        id = "p"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "a", model = "model-a" }} }} }} ]
        {extra}
        "#,
        key("slow", &format!(", limits = {{ {slow} }}")),
        key("free", ""),
        key("boss", ""),
        upstream.url()
    ))
}

fn with_key(server: &Server, key: &str) -> Client {
    Client::of(server.address).header("authorization", &format!("Bearer {key}"))
}

/// The headers that say what is allowed, what is left, and when it is renewed.
fn limits_in(answer: &Answer, of: &str) -> [Option<String>; 3] {
    ["limit", "remaining", "reset"].map(|what| answer.header(&format!("x-ratelimit-{what}-{of}")).map(str::to_owned))
}

fn number(header: Option<&str>) -> u64 {
    header.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no whole number in {header:?}"))
}

#[tokio::test]
async fn a_key_over_its_requests_of_the_minute_gets_429_and_others_do_not() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("yes"));
    let server = house(&upstream, "requests_per_minute = 2", "").start();
    let slow = with_key(&server, "slow");
    for remaining in ["1", "0"] {
        let answer = slow.chat("p", "hi", json!({})).await.ok();
        let [limit, left, reset] = limits_in(&answer, "requests");
        assert_eq!((limit.as_deref(), left.as_deref()), (Some("2"), Some(remaining)));
        assert!(reset.is_some_and(|reset| reset.ends_with('s')), "{answer:?}");
        assert_eq!(limits_in(&answer, "tokens"), [None, None, None], "there is no such limit");
        assert_eq!(slow.get("/v1/models").await.ok().header("x-ratelimit-limit-requests"), None, "what costs nothing is not counted");
    }
    for answer in [slow.chat("p", "hi", json!({})).await, slow.chat_stream("p", "hi", json!({})).await.answer().await] {
        assert_eq!(answer.refused(429), "rate_limit_exceeded");
        assert_eq!(answer.json()["error"]["type"], "rate_limit_error");
        assert!(answer.text().contains("`requests_per_minute`"), "{answer:?}");
        assert!((1..=30).contains(&number(answer.header("retry-after"))), "{answer:?}");
        assert_eq!((limits_in(&answer, "requests")[1].as_deref(), answer.header("x-should-retry")), (Some("0"), None));
    }
    assert_eq!(upstream.requests().len(), 2, "no provider is asked for what is refused");
    for key in ["free", "boss"] {
        let answer = with_key(&server, key).chat("p", "hi", json!({})).await.ok();
        assert_eq!(limits_in(&answer, "requests"), [None, None, None], "{key} has no limits");
    }
    let metrics = slow.get("/metrics").await.ok().text();
    let line = r#"cofferdam_rate_limited_total{caller="slow",limit="requests_per_minute"} 2"#;
    assert!(metrics.lines().any(|l| l == line), "{metrics}");
}

#[tokio::test]
async fn every_answer_to_a_limited_key_says_what_is_left() {
    let upstream = Upstream::start().await;
    upstream.next(Script::streams(&["a", "b"])).next(Script::reply(500, &[], "oops"));
    let server = house(&upstream, "requests_per_minute = 4, tokens_per_minute = 1_000, tokens_per_day = 900", "").start();
    let slow = with_key(&server, "slow");
    let stream = slow.chat_stream("p", "hi", json!({})).await;
    assert_eq!((stream.status.as_u16(), &stream.headers["x-ratelimit-remaining-requests"]), (200, &"3".parse().expect("a value")));
    stream.all().await.expect("a whole stream");
    let failed = slow.chat("p", "hi", json!({})).await;
    assert_eq!((failed.refused(502).as_str(), limits_in(&failed, "requests")[1].as_deref()), ("provider_failed", Some("2")));
    let unknown = slow.chat("nobody", "hi", json!({})).await;
    assert_eq!((unknown.refused(404).as_str(), limits_in(&unknown, "requests")[1].as_deref()), ("model_not_found", Some("1")));
    assert_eq!(limits_in(&unknown, "tokens")[0].as_deref(), Some("900"), "the limit with fewer tokens left");
}

#[tokio::test]
async fn keys_without_limits_of_their_own_get_the_default_and_admin_keys_none() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("yes"));
    let server = house(&upstream, "requests_per_minute = 7", "[keys.default_limits]\nrequests_per_minute = 1").start();
    for (key, limit) in [("slow", Some("7")), ("free", Some("1")), ("boss", None)] {
        let answer = with_key(&server, key).chat("p", "hi", json!({})).await.ok();
        assert_eq!(answer.header("x-ratelimit-limit-requests"), limit, "{key}");
    }
    assert_eq!(with_key(&server, "free").chat("p", "hi", json!({})).await.refused(429), "rate_limit_exceeded");
}

/// A row for today, and one for tomorrow, which it may be before the test is over.
fn used_before(server: &Server, tokens: i64) -> [Day; 2] {
    let now = system()();
    let next = cofferdam::ledger::clock::Moment { unix: now.unix + now.to_midnight(), ..now };
    let database = rusqlite::Connection::open(server.folder.path().join("data/cofferdam.db")).expect("the database");
    let days = [now.day(), next.day()];
    for day in days {
        let sql = "INSERT OR REPLACE INTO use_by_day VALUES (?1, 'p', 'slow', 'a', 'model-a', 2, ?2, 1, 0, 0, 1, 2, 1500000)";
        database.execute(sql, rusqlite::params![day.to_string(), tokens - 1]).expect("a row");
    }
    days
}

#[tokio::test]
async fn a_restart_does_not_renew_the_budget_of_the_day() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("yes"));
    let limits = "requests_per_minute = 100, tokens_per_day = 50";
    let mut server = house(&upstream, limits, "").start();
    with_key(&server, "slow").chat("p", "hi", json!({})).await.ok();
    server.terminate();
    assert!(server.wait().success());
    used_before(&server, 50);
    let folder = server.folder.clone();
    let server = house(&upstream, limits, "").folder(folder).start();
    let asked = upstream.requests().len();
    let answer = with_key(&server, "slow").chat("p", "hi", json!({})).await;
    assert_eq!((answer.refused(429).as_str(), answer.header("x-should-retry")), ("insufficient_quota", Some("false")));
    assert!((1..=86_400).contains(&number(answer.header("retry-after"))), "{answer:?}");
    let [limit, remaining, _] = limits_in(&answer, "tokens");
    assert_eq!((limit.as_deref(), remaining.as_deref()), (Some("50"), Some("0")));
    assert_eq!(limits_in(&answer, "requests")[1].as_deref(), Some("100"), "a refusal costs no request");
    assert_eq!(upstream.requests().len(), asked);
    with_key(&server, "free").chat("p", "hi", json!({})).await.ok();
}

#[tokio::test]
async fn what_was_used_is_reported_to_admins() {
    let upstream = Upstream::start().await;
    let server = house(&upstream, "tokens_per_day = 50", "").start();
    let boss = with_key(&server, "boss");
    let empty = boss.get("/api/v1/usage").await.ok().json();
    assert_eq!((&empty["object"], &empty["data"]), (&json!("list"), &json!([])));
    let [day, _] = used_before(&server, 50);
    let range = format!("from={day}&to={day}");
    let expected = json!({
        "day": day.to_string(), "pipeline": "p", "caller": "slow", "provider": "a", "model": "model-a", "replies": 2, "prompt_tokens": 49,
        "completion_tokens": 1, "cached_tokens": 0, "reasoning_tokens": 0, "estimated_replies": 1, "priced_replies": 2, "cost_usd": 1.5,
    });
    let report = boss.get(&format!("/api/v1/usage?{range}")).await.ok().json();
    assert_eq!(report, json!({"object": "list", "data": [expected], "from": day.to_string(), "to": day.to_string()}));
    for (group, name) in [("caller", "slow"), ("pipeline", "p"), ("provider", "a"), ("model", "model-a")] {
        let report = boss.get(&format!("/api/v1/usage?{range}&group={group}")).await.ok().json();
        let row = report["data"][0].as_object().expect("a row");
        let names: Vec<(&str, &Value)> =
            ["pipeline", "caller", "provider", "model"].iter().filter_map(|n| Some((*n, row.get(*n)?))).collect();
        assert_eq!(names, [(group, &json!(name))]);
    }
    assert_eq!(with_key(&server, "free").get("/api/v1/usage").await.refused(403), "admin_key_required");
}

#[tokio::test]
async fn a_wrong_parameter_of_the_report_is_named() {
    let upstream = Upstream::start().await;
    let server = house(&upstream, "tokens_per_day = 50", "[limits.ledger]\nreport_rows = 1").start();
    let boss = with_key(&server, "boss");
    for (query, param) in [
        ("from=yesterday", "from"),
        ("to=2026-02-30", "to"),
        ("from=2026-01-02&to=2026-01-01", "from"),
        ("from=2024-01-01&to=2025-01-01", "from"),
        ("group=day", "group"),
        ("limit=5", "limit"),
    ] {
        let answer = boss.get(&format!("/api/v1/usage?{query}")).await;
        assert_eq!((answer.refused(400).as_str(), &answer.json()["error"]["param"]), ("invalid_value", &json!(param)), "{query}");
    }
    let [day, next] = used_before(&server, 50);
    boss.get(&format!("/api/v1/usage?from={day}&to={day}")).await.ok();
    let many = boss.get(&format!("/api/v1/usage?from={day}&to={next}")).await;
    assert_eq!(many.refused(400), "report_too_large");
    assert!(many.text().contains("`limits.ledger.report_rows`"), "{many:?}");
}
