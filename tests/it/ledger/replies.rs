//! What replies add to the ledger, to the metrics and to their callers' limits, at once and whichever way they end. A test may run over
//! midnight, so days are summed.

use cofferdam::ledger::clock::system;
use serde_json::{Value, json};

use super::{house, limits_in, number, with_key};
use crate::client::{Answer, Client, Streaming};
use crate::server::Server;
use crate::upstream::{Script, Signal, Upstream, delta, finish};

/// Two thirds of a cent, and a known number of each kind of token: 150 together.
pub(super) const PRICE: &str = "[prices.\"a/model-a\"]\ninput = 20\ncached_input = 10\noutput = 100";

fn usage() -> Value {
    json!({
        "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40}, "completion_tokens_details": {"reasoning_tokens": 30},
    })
}

/// A whole reply that used 150 tokens.
pub(super) fn whole() -> Script {
    let message = json!({"role": "assistant", "content": "yes", "refusal": null});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop", "logprobs": null});
    let reply = json!({"id": "c", "object": "chat.completion", "created": 7, "model": "fake", "choices": [choice], "usage": usage()});
    Script::json(200, &reply)
}

/// The same as a stream, without the end of its body.
fn stream() -> Script {
    let counted =
        json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 7, "model": "fake", "choices": [], "usage": usage()});
    Script::stream().event(&delta("yes")).event(&finish()).event(&counted.to_string()).event("[DONE]")
}

/// Sums over the days and rows of the report.
pub(super) async fn used(server: &Server, names: [&str; 4]) -> [u64; 4] {
    let report = with_key(server, "boss").get("/api/v1/usage").await.ok().json();
    let rows = report["data"].as_array().expect("rows");
    names.map(|name| rows.iter().map(|row| row[name].as_u64().expect("a number")).sum())
}

/// Replies, prompts' and completions' tokens, and how many replies were estimated.
pub(super) const SUMS: [&str; 4] = ["replies", "prompt_tokens", "completion_tokens", "estimated_replies"];

/// Waits until no request is under way.
pub(super) async fn settled(client: &Client) {
    while !client.get("/metrics").await.ok().text().contains("cofferdam_http_requests_in_flight 0") {
        tokio::task::yield_now().await;
    }
}

/// All events up to the end mark. Clients read no further, and some keep the connection.
async fn to_the_mark(client: &Client) -> Streaming {
    let mut stream = client.chat_stream("p", "hi", json!({})).await;
    while stream.next().await.expect("no break").expect("a mark") != "[DONE]" {}
    stream
}

#[tokio::test]
async fn whole_and_streamed_replies_are_in_the_ledger_at_once_with_what_they_cost() {
    let upstream = Upstream::start().await;
    upstream.next(whole()).next(stream().end());
    let server = house(&upstream, "requests_per_minute = 100", PRICE).start();
    let client = with_key(&server, "slow");
    for replies in 1..=2 {
        match replies {
            1 => drop(client.chat("p", "hi", json!({})).await.ok()),
            _ => drop(to_the_mark(&client).await),
        }
        assert_eq!(used(&server, SUMS).await, [replies, replies * 100, replies * 50, 0]);
        let kinds = ["cached_tokens", "reasoning_tokens", "priced_replies", "replies"];
        assert_eq!(used(&server, kinds).await, [replies * 40, replies * 30, replies, replies]);
        let report = with_key(&server, "boss").get("/api/v1/usage").await.ok().json();
        let rows = report["data"].as_array().expect("rows");
        let names = |row: &Value| ["pipeline", "caller", "provider", "model"].map(|name| row[name].as_str().map(str::to_owned));
        assert!(rows.iter().all(|row| names(row) == ["p", "slow", "a", "model-a"].map(|name| Some(name.to_owned()))), "{report}");
        // 60 at 20 dollars a million, 40 cached at 10, 50 at 100.
        let dollars: f64 = rows.iter().map(|row| row["cost_usd"].as_f64().expect("a price")).sum();
        assert!((dollars - 0.0066 * replies as f64).abs() < 1e-9, "{report}");
        let metrics = client.get("/metrics").await.ok().text();
        for (kind, count) in [("prompt", 100), ("completion", 50), ("cached", 40), ("reasoning", 30)] {
            let labels = format!(r#"pipeline="p",caller="slow",provider="a",model="model-a",type="{kind}""#);
            let line = format!("cofferdam_tokens_total{{{labels}}} {}", replies * count);
            assert!(metrics.lines().any(|found| found == line), "{line} is missing in {metrics}");
        }
    }
}

#[tokio::test]
async fn a_stream_is_in_the_ledger_before_its_client_gets_the_end() {
    let (upstream, never) = (Upstream::start().await, Signal::default());
    // If a provider sends its end mark and keeps the body open, the relay waits a little so as to keep the connection; the ledger does not wait.
    upstream.always(stream().wait(&never).end());
    let server = house(&upstream, "tokens_per_minute = 10", "").start();
    let slow = with_key(&server, "slow");
    let _open = to_the_mark(&slow).await;
    assert_eq!(slow.chat("p", "hi", json!({})).await.refused(429), "rate_limit_exceeded");
    assert_eq!(used(&server, SUMS).await, [1, 100, 50, 0]);
}

/// The reply that used up a limit came; this is what the next one gets.
fn refused(answer: &Answer, code: &str, seconds: std::ops::RangeInclusive<u64>) {
    assert_eq!((answer.refused(429).as_str(), &answer.json()["error"]["type"]), (code, &json!("rate_limit_error")));
    assert!(seconds.contains(&number(answer.header("retry-after"))), "{answer:?}");
    assert_eq!(limits_in(answer, "tokens")[1].as_deref(), Some("0"));
}

#[tokio::test]
async fn the_reply_that_empties_the_minute_comes_through_and_the_next_waits() {
    let upstream = Upstream::start().await;
    upstream.always(whole());
    let server = house(&upstream, "tokens_per_minute = 10", "").start();
    let slow = with_key(&server, "slow");
    assert_eq!(slow.chat("p", "hi", json!({})).await.ok().content(), "yes");
    // 140 tokens of debt and the one that is needed, at six seconds each.
    for answer in [slow.chat("p", "hi", json!({})).await, slow.chat_stream("p", "hi", json!({})).await.answer().await] {
        refused(&answer, "rate_limit_exceeded", 1..=846);
        assert_eq!(answer.header("x-should-retry"), None);
    }
    assert_eq!(upstream.requests().len(), 1);
    with_key(&server, "free").chat("p", "hi", json!({})).await.ok();
}

#[tokio::test]
async fn the_reply_that_empties_the_day_comes_through_and_the_next_is_refused_until_midnight() {
    let upstream = Upstream::start().await;
    upstream.always(whole());
    let server = house(&upstream, "tokens_per_day = 100", "").start();
    let (slow, day) = (with_key(&server, "slow"), system()().day());
    let answer = slow.chat("p", "hi", json!({})).await.ok();
    assert_eq!((answer.content().as_str(), limits_in(&answer, "tokens")[1].as_deref()), ("yes", Some("0")));
    for answer in [slow.chat("p", "hi", json!({})).await, slow.chat_stream("p", "hi", json!({})).await.answer().await] {
        if system()().day() == day {
            refused(&answer, "insufficient_quota", 1..=86_400);
            assert_eq!(answer.header("x-should-retry"), Some("false"));
        }
    }
}

#[tokio::test]
async fn a_whole_reply_tells_what_is_left_after_itself() {
    let upstream = Upstream::start().await;
    upstream.always(whole());
    let server = house(&upstream, "tokens_per_day = 1_000", "").start();
    let (slow, day) = (with_key(&server, "slow"), system()().day());
    for left in ["850", "700"] {
        let answer = slow.chat("p", "hi", json!({})).await.ok();
        if system()().day() == day {
            let [limit, remaining, _] = limits_in(&answer, "tokens");
            assert_eq!((limit.as_deref(), remaining.as_deref()), (Some("1000"), Some(left)));
        }
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_in_the_middle_is_charged_what_was_reserved_or_by_a_guess() {
    let upstream = Upstream::start().await;
    upstream.always(Script::stream().event(&delta("one")).hang());
    let server = house(&upstream, "tokens_per_minute = 1", "").start();
    let (slow, free) = (with_key(&server, "slow"), with_key(&server, "free"));
    let mut before = [0; 4];
    for client in [&slow, &free] {
        let mut stream = client.chat_stream("p", "hi", json!({})).await;
        assert_eq!(stream.next().await, Ok(Some(delta("one"))));
        drop(stream);
        upstream.hung_up().await;
        settled(client).await;
        let sums = used(&server, SUMS).await;
        let [replies, prompt, completion, estimated] = [0, 1, 2, 3].map(|at| sums[at] - before[at]);
        before = sums;
        let sent = upstream.requests()[0].body.len() as u64;
        assert_eq!((replies, estimated, prompt), (1, 1, sent.div_ceil(4)), "four bytes are about a token");
        // The provider of a key with limits may have generated what was reserved: a minute's worth is gone with the prompt, so that is the one
        // token that came and the step after it. Without limits nothing was.
        let expected = if std::ptr::eq(client, &slow) { 257..258 } else { 1..10 };
        assert!(expected.contains(&completion), "{completion}");
    }
    assert_eq!(slow.chat("p", "hi", json!({})).await.refused(429), "rate_limit_exceeded");
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn after_a_fallback_only_the_provider_that_answered_is_in_the_ledger() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.always(Script::reply(503, &[], "busy"));
    b.next(whole()).next(stream().end());
    let target = |provider: &str| format!("{{ provider = \"{provider}\", model = \"model-{provider}\" }}");
    let extra = format!(
        r#"
        [limits.providers]
        retries = 0
        [providers.b]
        kind = "openai"
        base_url = "{}"
        [[pipelines]]
        id = "q"
        pipeline = [ {{ stage = "llm", config = {{ primary = {}, fallbacks = [ {} ] }} }} ]
        "#,
        b.url(),
        target("a"),
        target("b")
    );
    let server = house(&a, "requests_per_minute = 100", &extra).start();
    let free = with_key(&server, "free");
    assert_eq!(free.chat("q", "hi", json!({})).await.ok().header("x-cofferdam-attempts"), Some("2"));
    free.chat_stream("q", "hi", json!({})).await.all().await.expect("a whole stream");
    assert_eq!(used(&server, SUMS).await, [2, 200, 100, 0]);
    let report = with_key(&server, "boss").get("/api/v1/usage").await.ok().json();
    let rows = report["data"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["provider"] == "b" && row["model"] == "model-b" && row["pipeline"] == "q"), "{report}");
    assert_eq!(a.requests().len(), 2);
}

#[tokio::test]
async fn vectors_are_in_the_ledger_and_charged() {
    let upstream = Upstream::start().await;
    let row = json!({"object": "embedding", "index": 0, "embedding": [0.5]});
    let vectors = json!({"object": "list", "data": [row], "model": "m", "usage": {"prompt_tokens": 5, "total_tokens": 5}});
    upstream.always(Script::json(200, &vectors));
    let embedding = "[[embeddings]]\nid = \"small\"\nprovider = \"a\"\nmodel = \"text-embedding-3-small\"";
    let server = house(&upstream, "tokens_per_minute = 4", embedding).start();
    let slow = with_key(&server, "slow");
    let body = json!({"model": "small", "input": "hi"});
    slow.post("/v1/embeddings", &body).await.ok();
    assert_eq!(used(&server, SUMS).await, [1, 5, 0, 0]);
    let report = with_key(&server, "boss").get("/api/v1/usage").await.ok().json();
    let row = &report["data"][0];
    assert_eq!((&row["pipeline"], &row["caller"], &row["model"]), (&json!("small"), &json!("slow"), &json!("text-embedding-3-small")));
    assert_eq!(slow.post("/v1/embeddings", &body).await.refused(429), "rate_limit_exceeded");
    assert_eq!(upstream.requests().len(), 1);
}

#[tokio::test]
async fn what_was_used_right_before_a_sigterm_is_in_the_database() {
    let upstream = Upstream::start().await;
    upstream.next(whole()).next(stream().end());
    let mut server = house(&upstream, "tokens_per_day = 1_000", "[limits.ledger]\nflush = \"1h\"").start();
    let slow = with_key(&server, "slow");
    slow.chat("p", "hi", json!({})).await.ok();
    let _open = to_the_mark(&slow).await;
    server.terminate();
    assert!(server.wait().success());
    let database = rusqlite::Connection::open(server.folder.path().join("data/cofferdam.db")).expect("the database");
    let sql = "SELECT sum(replies), sum(prompt), sum(completion) FROM use_by_day WHERE caller = 'slow' AND pipeline = 'p'";
    let sums = database.query_row(sql, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
    assert_eq!(sums.expect("a row"), (2, 200, 100));
}
