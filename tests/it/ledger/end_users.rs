//! Limits of the end users of a key: each has its own, no other key's end users share it, and the key's own limit holds whatever names it sends.

use cofferdam::ledger::clock::system;
use serde_json::json;

use super::replies::{SUMS, settled, used, whole};
use super::{house, limits_in, with_key};
use crate::client::{Answer, Client};
use crate::upstream::{Request, Script, Upstream};

/// A hundred tokens for each end user; a reply takes 150.
fn limits(from: &str) -> String {
    format!("[keys.end_users]\nfrom = \"{from}\"\n[keys.end_users.limits]\ntokens_per_day = 100")
}

async fn ask(client: &Client, user: Option<&str>) -> Answer {
    client.chat("p", "hi", user.map_or_else(|| json!({}), |user| json!({"user": user}))).await
}

#[tokio::test]
async fn each_end_user_of_each_key_has_a_budget_that_outlives_the_server() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    upstream.always(whole());
    let extra = limits("user");
    let mut server = house(&upstream, "tokens_per_day = 100_000", &extra).start();
    let (slow, free) = (with_key(&server, "slow"), with_key(&server, "free"));
    for (client, user) in [(&slow, Some("alice")), (&slow, Some("bob")), (&slow, None), (&free, Some("alice"))] {
        ask(client, user).await.ok();
        let answer = ask(client, user).await;
        if system()().day() == day {
            assert_eq!((answer.refused(429).as_str(), answer.header("x-should-retry")), ("insufficient_quota", Some("false")), "{user:?}");
            assert!(answer.text().contains("an end user of the key"), "{answer:?}");
        }
    }
    let response = slow.post("/v1/responses", &json!({"model": "p", "input": "hi", "user": "alice"})).await;
    let boss = with_key(&server, "boss");
    for _ in 0..2 {
        ask(&boss, Some("alice")).await.ok();
    }
    server.terminate();
    assert!(server.wait().success());
    let server = house(&upstream, "tokens_per_day = 100_000", &extra).folder(server.folder.clone()).start();
    let again = ask(&with_key(&server, "slow"), Some("alice")).await;
    if system()().day() == day {
        assert_eq!((response.refused(429).as_str(), again.refused(429).as_str()), ("insufficient_quota", "insufficient_quota"));
    }
    ask(&with_key(&server, "slow"), Some("carol")).await.ok();
}

#[tokio::test]
async fn what_an_end_user_had_under_way_when_the_server_was_killed_is_used_after_it() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    upstream.next(Script::default().hang()).next(whole());
    let mut server = house(&upstream, "", &limits("user")).start();
    let slow = with_key(&server, "slow");
    tokio::select! {
        answer = ask(&slow, Some("alice")) => panic!("{answer:?}"),
        () = upstream.received() => server.kill(),
    }
    let server = house(&upstream, "", &limits("user")).folder(server.folder.clone()).start();
    let answer = ask(&with_key(&server, "slow"), Some("alice")).await;
    if system()().day() == day {
        assert_eq!(answer.refused(429), "insufficient_quota");
    }
    ask(&with_key(&server, "slow"), Some("bob")).await.ok();
}

#[tokio::test]
async fn an_end_user_that_asks_for_ten_million_tokens_and_hangs_up_leaves_the_key_to_the_others() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    let evil = |request: &Request| request.json().to_string().contains("evil");
    upstream.when(evil, Script::default().hang()).always(whole());
    let each = limits("user").replace("100", "2_000");
    let server = house(&upstream, "tokens_per_day = 1_000_000, tokens_per_minute = 100_000", &each).start();
    let slow = with_key(&server, "slow");
    tokio::select! {
        answer = slow.chat("p", "evil", json!({"user": "evil", "max_tokens": 10_000_000})) => panic!("{answer:?}"),
        () = upstream.received() => {}
    }
    upstream.hung_up().await;
    settled(&slow).await;
    let honest = ask(&slow, Some("honest")).await.ok();
    let [replies, prompt, completion, _] = used(&server, SUMS).await;
    let answer = ask(&slow, Some("evil")).await;
    if system()().day() == day {
        assert_eq!((replies, prompt + completion), (2, 2_000 + 150));
        assert_eq!(limits_in(&honest, "tokens")[0].as_deref(), Some("2000"));
        assert_eq!(answer.refused(429), "insufficient_quota");
    }
}

#[tokio::test]
async fn a_header_names_the_end_user_of_a_chat_and_of_vectors() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    let row = json!({"object": "embedding", "index": 0, "embedding": [0.5]});
    let vectors = json!({"object": "list", "data": [row], "model": "m", "usage": {"prompt_tokens": 150, "total_tokens": 150}});
    upstream.when(|request| request.path.ends_with("/embeddings"), Script::json(200, &vectors)).always(whole());
    let small = "[[embeddings]]\nid = \"small\"\nprovider = \"a\"\nmodel = \"text-embedding-3-small\"";
    let server = house(&upstream, "", &format!("{}\n{small}", limits("header:X-End-User"))).start();
    let body = json!({"model": "small", "input": "hi", "user": "somebody-else"});
    for user in ["alice", &"x".repeat(5_000)] {
        let client = with_key(&server, "slow").header("x-end-user", user);
        client.post("/v1/embeddings", &body).await.ok();
        let refused = [client.post("/v1/embeddings", &body).await, ask(&client, Some("somebody-else")).await];
        if system()().day() == day {
            assert_eq!(refused.map(|answer| answer.refused(429)), ["insufficient_quota", "insufficient_quota"]);
        }
    }
    with_key(&server, "slow").header("x-end-user", "bob").post("/v1/embeddings", &body).await.ok();
    let stranger = with_key(&server, "nobody").header("x-end-user", "alice");
    assert_eq!(ask(&stranger, None).await.refused(401), "invalid_api_key");
}

#[tokio::test]
async fn a_key_that_invents_end_users_is_held_by_its_own_limit() {
    let (upstream, day) = (Upstream::start().await, system()().day());
    upstream.always(whole());
    let extra = limits("user").replace("[keys.end_users.limits]", "tracked = 2\n[keys.end_users.limits]");
    let server = house(&upstream, "tokens_per_day = 700", &extra).start();
    let slow = with_key(&server, "slow");
    for n in 0..5 {
        ask(&slow, Some(&format!("u{n}"))).await.ok();
    }
    let answer = ask(&slow, Some("u5")).await;
    if system()().day() == day {
        assert_eq!(answer.refused(429), "insufficient_quota");
        assert!(answer.text().contains("the key `slow` has used up its 700 tokens"), "{answer:?}");
    }
    let free = with_key(&server, "free");
    for (user, refused) in [("a", false), ("b", false), ("b", true), ("c", false), ("a", false)] {
        let answer = ask(&free, Some(user)).await;
        if system()().day() == day {
            assert_eq!(answer.status.as_u16() == 429, refused, "{user}: only two are told apart");
        }
    }
    settled(&free).await;
}

#[tokio::test]
async fn requests_of_the_minute_are_counted_for_each_end_user() {
    let upstream = Upstream::start().await;
    upstream.always(whole());
    let extra = "[keys.end_users]\nfrom = \"user\"\n[keys.end_users.limits]\nrequests_per_minute = 1";
    let server = house(&upstream, "requests_per_minute = 100", extra).start();
    let slow = with_key(&server, "slow");
    for user in ["alice", "bob"] {
        let answer = ask(&slow, Some(user)).await.ok();
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"), "of the two limits the one with fewer left");
        assert_eq!(ask(&slow, Some(user)).await.refused(429), "rate_limit_exceeded");
    }
    // What is no text names nobody, and all who are nobody are one.
    slow.chat("p", "hi", json!({})).await.ok();
    assert_eq!(slow.chat("p", "hi", json!({"user": ""})).await.refused(429), "rate_limit_exceeded");
}
