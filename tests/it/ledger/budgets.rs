//! Budgets of tokens and dollars against clients that hang up, that come at the same moment, and against a server that is killed.

use cofferdam::ledger::clock::system;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};

use super::replies::{PRICE, SUMS, settled, used, whole};
use super::{house, limits_in, with_key};
use crate::client::{Answer, Client};
use crate::server::Server;
use crate::upstream::{Script, Upstream, delta};

/// Asks for up to 2,000 tokens, and hangs up once the provider has the request. The answer, if the server refused instead.
async fn hang_up_early(client: &Client, upstream: &Upstream) -> Option<Answer> {
    tokio::select! {
        answer = client.chat("p", "hi", json!({"max_tokens": 2_000})) => return Some(answer),
        () = upstream.received() => {}
    }
    // The client's connection was closed when its future was dropped.
    upstream.hung_up().await;
    settled(client).await;
    None
}

#[tokio::test]
async fn clients_that_hang_up_before_their_reply_are_charged_what_it_could_have_been() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    upstream.always(Script::default().hang());
    let server = house(&upstream, "tokens_per_day = 5_000", "").start();
    let slow = with_key(&server, "slow");
    let mut refused = 0;
    for _ in 0..40 {
        if let Some(answer) = hang_up_early(&slow, &upstream).await {
            assert_eq!((answer.refused(429).as_str(), answer.header("x-should-retry")), ("insufficient_quota", Some("false")));
            refused += 1;
        }
    }
    if system()().day() == day {
        assert_eq!((upstream.requests().len(), refused), (3, 37));
        let [replies, prompt, completion, estimated] = used(&server, SUMS).await;
        assert_eq!((replies, prompt + completion, estimated), (3, 5_000, 3), "the third one is granted what is left");
    }
}

#[tokio::test]
async fn one_request_that_is_left_uses_up_no_more_than_the_ceiling_and_a_limit_of_nothing_is_none() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    upstream.always(Script::default().hang());
    let server = house(&upstream, "tokens_per_day = 1_000_000", "[limits.ledger]\nreservation_tokens = 3_000").start();
    let slow = with_key(&server, "slow");
    for (number, fields) in
        [json!({"max_tokens": 10_000_000}), json!({"max_tokens": 2, "n": 4_000}), json!({"max_tokens": 0})].iter().enumerate()
    {
        tokio::select! {
            answer = slow.chat("p", "hi", fields.clone()) => panic!("{answer:?}"),
            () = upstream.received() => {}
        }
        upstream.hung_up().await;
        settled(&slow).await;
        let [_, _, completion, _] = used(&server, SUMS).await;
        if system()().day() == day {
            assert_eq!(completion, [3_000, 6_000, 7_000][number], "{fields}");
        }
    }
}

#[tokio::test]
async fn clients_that_hang_up_after_the_first_event_are_charged_the_same() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    upstream.always(Script::stream().event(&delta("one")).hang());
    let server = house(&upstream, "tokens_per_day = 5_000", "").start();
    let slow = with_key(&server, "slow");
    for _ in 0..3 {
        let mut stream = slow.chat_stream("p", "hi", json!({"max_completion_tokens": 1_000, "n": 2})).await;
        assert_eq!(stream.next().await, Ok(Some(delta("one"))));
        drop(stream);
        upstream.hung_up().await;
        settled(&slow).await;
    }
    if system()().day() == day {
        assert_eq!(slow.chat("p", "hi", json!({})).await.refused(429), "insufficient_quota");
        assert_eq!(upstream.requests().len(), 3);
    }
}

#[tokio::test]
async fn requests_at_the_same_moment_share_what_is_left() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    upstream.always(Script::default().hang());
    let server = house(&upstream, "tokens_per_day = 5_000", "").start();
    let slow = with_key(&server, "slow");
    let mut asking: FuturesUnordered<_> = (0..20).map(|_| slow.chat("p", "hi", json!({"max_tokens": 2_000}))).collect();
    for _ in 0..17 {
        let answer = asking.next().await.expect("an answer");
        assert_eq!(answer.refused(429), "rate_limit_exceeded", "something will be left if the others use less");
        assert!(answer.text().contains("under way") && answer.header("retry-after") == Some("1"), "{answer:?}");
    }
    for _ in 0..3 {
        upstream.received().await;
    }
    if system()().day() == day {
        assert_eq!(upstream.requests().len(), 3);
    }
}

#[tokio::test]
async fn what_was_under_way_when_the_server_was_killed_is_used_after_it() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    upstream.next(Script::default().hang()).next(whole());
    let limits = "tokens_per_day = 5_000";
    let mut server = house(&upstream, limits, "").start();
    let slow = with_key(&server, "slow");
    tokio::select! {
        answer = slow.chat("p", "hi", json!({"max_tokens": 5_000})) => panic!("{answer:?}"),
        () = upstream.received() => server.kill(),
    }
    let server = house(&upstream, limits, "").folder(server.folder.clone()).start();
    let answer = with_key(&server, "slow").chat("p", "hi", json!({})).await;
    if system()().day() == day {
        assert_eq!(answer.refused(429), "insufficient_quota");
    }
}

#[tokio::test]
async fn a_killed_server_costs_a_key_one_part_of_its_budget_and_a_stopped_one_nothing() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    upstream.always(whole());
    let house = || house(&upstream, "tokens_per_day = 16_000", "[limits.ledger]\nflush = \"1h\"");
    let left = async |server: &Server| {
        let answer = with_key(server, "slow").chat("p", "hi", json!({"max_tokens": 100})).await.ok();
        limits_in(&answer, "tokens")[1].as_deref().expect("a header").parse::<u64>().expect("a number")
    };
    let mut server = house().start();
    assert_eq!(left(&server).await, 15_850);
    server.terminate();
    assert!(server.wait().success());
    let mut server = house().folder(server.folder.clone()).start();
    let before = left(&server).await;
    server.kill();
    let server = house().folder(server.folder.clone()).start();
    let after = left(&server).await;
    if system()().day() == day {
        assert_eq!(before, 15_700);
        assert!((15_550 - 1_000..=15_550).contains(&after), "{after}");
    }
}

#[tokio::test]
async fn what_the_provider_did_not_work_for_costs_nothing() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    upstream.next(Script::reply(400, &[], "no")).next(Script::reply(500, &[], "oops")).next(Script::reply(401, &[], "who?"));
    let nobody = r#"
        [limits.providers]
        retries = 0
        [providers.nobody]
        kind = "openai"
        base_url = "http://127.0.0.1:1/v1"
        [[pipelines]]
        id = "q"
        pipeline = [ { stage = "llm", config = { primary = { provider = "nobody", model = "m" } } } ]
        "#;
    let server = house(&upstream, "tokens_per_day = 5_000, tokens_per_minute = 6_000", nobody).start();
    let slow = with_key(&server, "slow");
    for model in ["p", "p", "p", "q"] {
        let answer = slow.chat(model, "hi", json!({"max_tokens": 2_000})).await;
        assert!(!answer.status.is_success());
        if system()().day() == day {
            assert_eq!(limits_in(&answer, "tokens")[1].as_deref(), Some("5000"), "{answer:?}");
        }
    }
    assert_eq!(used(&server, SUMS).await, [0; 4]);
}

#[tokio::test]
async fn a_try_that_broke_is_charged_beside_the_fallback_that_answered() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.always(Script::stream().cut());
    b.always(whole());
    let extra = format!(
        r#"
        [limits.providers]
        retries = 0
        [providers.b]
        kind = "openai"
        base_url = "{}"
        [[pipelines]]
        id = "q"
        pipeline = [ {{ stage = "llm", config = {{ primary = {{ provider = "a", model = "m" }}, fallbacks = [ {{ provider = "b", model = "m" }} ] }} }} ]
        "#,
        b.url()
    );
    let server = house(&a, "tokens_per_day = 50_000", &extra).start();
    with_key(&server, "slow").chat_stream("q", "hi", json!({"max_tokens": 300})).await.all().await.expect("a whole stream");
    let [replies, _, completion, estimated] = used(&server, SUMS).await;
    assert_eq!((replies, completion, estimated), (2, 350, 1));
    with_key(&server, "free").chat_stream("q", "hi", json!({"max_tokens": 300})).await.all().await.expect("a whole stream");
    assert_eq!(used(&server, SUMS).await[0], 3, "without limits the report shows replies only");
}

#[tokio::test]
async fn a_stream_without_a_limit_ends_when_the_budget_does() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    // About half a token each, by the estimate.
    let words = (0..1_400).fold(Script::stream(), |script, _| script.event(&delta("word")));
    upstream.always(words.hang());
    let server = house(&upstream, "tokens_per_day = 300", "[limits.ledger]\ncompletion_tokens = 10").start();
    let mut stream = with_key(&server, "slow").chat_stream("p", "hi", json!({})).await;
    let mut last = String::new();
    while let Ok(Some(event)) = stream.next().await {
        last = event;
    }
    if system()().day() == day {
        let error: Value = serde_json::from_str(&last).expect("JSON");
        assert_eq!(error["error"]["code"], "insufficient_quota");
        upstream.hung_up().await;
        // What had come by then, which may be all of it.
        let [_, prompt, completion, _] = used(&server, SUMS).await;
        assert!((300..900).contains(&(prompt + completion)), "{completion}");
    }
}

#[tokio::test]
async fn dollars_run_out_by_the_prices_and_only_models_with_a_price_are_asked() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    upstream.always(whole());
    let more = r#"
        [[pipelines]]
        id = "q"
        pipeline = [ { stage = "llm", config = { primary = { provider = "a", model = "other" } } } ]
        [[pipelines]]
        id = "own"
        pipeline = [ { stage = "llm", config = { primary = { provider = "builtin", model = "m" } } } ]
        "#;
    let server = house(&upstream, "usd_per_day = 0.01, usd_per_month = 1", &format!("{PRICE}\n{more}")).start();
    let slow = with_key(&server, "slow");
    let answer = slow.chat("q", "hi", json!({})).await;
    assert_eq!((answer.refused(403).as_str(), answer.header("x-should-retry")), ("model_not_priced", Some("false")));
    assert!(answer.text().contains("`a/other`"), "{answer:?}");
    slow.chat("own", "hi", json!({})).await.ok();
    assert_eq!(upstream.requests().len(), 0);
    // Two thirds of a cent each.
    for _ in 0..2 {
        slow.chat("p", "hi", json!({"max_tokens": 10})).await.ok();
    }
    let answer = slow.chat("p", "hi", json!({})).await;
    if system()().day() == day {
        assert_eq!((answer.refused(429).as_str(), answer.header("x-should-retry")), ("insufficient_quota", Some("false")));
        assert!(answer.text().contains("0.01 dollars of the day (`usd_per_day`)"), "{answer:?}");
    }
    with_key(&server, "free").chat("q", "hi", json!({})).await.ok();
}

#[tokio::test]
async fn a_restart_does_not_renew_the_dollars_of_the_month() {
    let upstream = Upstream::start().await;
    upstream.always(whole());
    let mut server = house(&upstream, "usd_per_month = 0.01", PRICE).start();
    for _ in 0..2 {
        with_key(&server, "slow").chat("p", "hi", json!({"max_tokens": 10})).await.ok();
    }
    let month = system()().day().month();
    server.terminate();
    assert!(server.wait().success());
    let server = house(&upstream, "usd_per_month = 0.01", PRICE).folder(server.folder.clone()).start();
    let answer = with_key(&server, "slow").chat("p", "hi", json!({})).await;
    if system()().day().month() == month {
        assert_eq!(answer.refused(429), "insufficient_quota");
        assert!(answer.text().contains("`usd_per_month`"), "{answer:?}");
    }
}
