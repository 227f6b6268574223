//! Every limit of a grant at its edge.

use std::future::ready;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::*;

async fn exhausted(guard: &Guard, request: Request, key: &str) {
    match send(guard, request).await {
        Err(Error::Exhausted(why)) => assert!(why.contains(key), "{why}"),
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn a_body_of_a_request_and_of_a_reply_has_its_limit_and_not_one_byte_more() {
    let world = World::default().name("a.b", &[&[PUBLIC]]).ok("12345").ok("123456").reply("HTTP/1.1 200 OK\r\n\r\n123456");
    let guard = world.guard(Rules { request_bytes: 3, response_bytes: 5, ..rules(&["a.b"]) });
    assert_eq!(send(&guard, post("https://a.b", &[], "abc")).await.unwrap().body, b"12345");
    exhausted(&guard, post("https://a.b", &[], "abcd"), "grants.http.request_bytes").await;
    assert_eq!(world.connections().len(), 1);
    // With its length in the head, and without.
    exhausted(&guard, get("https://a.b"), "grants.http.response_bytes").await;
    exhausted(&guard, get("https://a.b"), "grants.http.response_bytes").await;
}

#[tokio::test]
async fn a_secret_counts_with_its_value() {
    let world = World::default().name("a.b", &[&[PUBLIC]]);
    let secrets = [("KEY".to_owned(), hosts(&["a.b"]))].into();
    let guard = world.guard(Rules { request_bytes: 16, secrets, ..rules(&["a.b"]) });
    exhausted(&guard, post("https://a.b", &[], "{{secret:KEY}}"), "grants.http.request_bytes").await;
    assert_eq!(world.connections(), []);
}

#[tokio::test]
async fn an_exchange_has_so_many_requests_with_those_of_redirects() {
    let world = World::default().name("a.b", &[&[PUBLIC]]).ok("").redirect(302, "/").ok("").ok("");
    let guard = world.guard(Rules { calls: 2, ..rules(&["a.b"]) });
    let calls = super::calls();
    guard.send(&calls, ready(()), get("https://a.b")).await.unwrap();
    let second = guard.send(&calls, ready(()), get("https://a.b")).await;
    assert!(matches!(&second, Err(Error::Exhausted(why)) if why.contains("grants.http.calls")), "{second:?}");
    assert_eq!(world.connections().len(), 2);
    send(&guard, get("https://a.b")).await.unwrap();
}

#[tokio::test]
async fn so_many_redirects_are_followed_and_none_if_the_plugin_gets_them_itself() {
    let world = World::default().name("a.b", &[&[PUBLIC]]).redirect(302, "/1").redirect(302, "/2").ok("there");
    let guard = world.guard(Rules { redirects: 2, ..rules(&["a.b"]) });
    assert_eq!(send(&guard, get("https://a.b")).await.unwrap().body, b"there");
    let world = World::default().name("a.b", &[&[PUBLIC]]).redirect(302, "/1").redirect(302, "/2").redirect(302, "/3").ok("");
    exhausted(&world.guard(Rules { redirects: 2, ..rules(&["a.b"]) }), get("https://a.b"), "grants.http.redirects").await;
    assert_eq!(world.connections().len(), 3);
    let world = World::default().name("a.b", &[&[PUBLIC]]).redirect(302, "https://127.0.0.1/");
    let response = send(&world.guard(Rules { redirects: 0, ..rules(&["a.b"]) }), get("https://a.b")).await.unwrap();
    assert_eq!((response.status, response.headers), (302, vec![("location".into(), "https://127.0.0.1/".into())]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_costs_the_time_of_the_grant_or_the_shorter_one_of_the_request() {
    let guard = |world: &World| world.guard(Rules { time: Duration::from_secs(5), ..rules(&["a.b"]) });
    for (time, text, seconds) in [(None, "grants.http.time", 5), (Some(9), "grants.http.time", 5), (Some(2), "of the request", 2)] {
        let world = World::default().name("a.b", &[&[PUBLIC]]).reply("");
        let began = tokio::time::Instant::now();
        let request = Request { time: time.map(Duration::from_secs), ..get("https://a.b") };
        match send(&guard(&world), request).await {
            Err(Error::Timeout(why)) => assert!(why.contains(text), "{why}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(began.elapsed(), Duration::from_secs(seconds));
    }
}

#[tokio::test(start_paused = true)]
async fn requests_at_once_wait_for_one_another_within_their_time() {
    let world = World::default().name("a.b", &[&[PUBLIC]]).reply("").ok("");
    let guard = world.guard(Rules { time: Duration::from_secs(5), ..rules(&["a.b"]) });
    let places = Semaphore::new(1);
    let calls = super::calls();
    let send = |request| guard.send(&calls, places.acquire(), request);
    let second = Request { time: Some(Duration::from_secs(1)), ..get("https://a.b") };
    let (first, second) = tokio::join!(send(get("https://a.b")), send(second));
    assert!(matches!((&first, &second), (Err(Error::Timeout(_)), Err(Error::Timeout(_)))), "{first:?} {second:?}");
    assert_eq!(world.connections().len(), 1);
    send(get("https://a.b")).await.unwrap();
}

#[tokio::test]
async fn an_exchange_has_so_many_bytes_of_bodies_of_requests_and_replies_together() {
    let world = World::default().name("a.b", &[&[PUBLIC]]).ok("12345").ok("123").ok("1234").ok("");
    let guard = world.guard(Rules { exchange_bytes: 10, ..rules(&["a.b"]) });
    let calls = super::calls();
    let send = async |request| guard.send(&calls, ready(()), request).await;
    assert_eq!(send(post("https://a.b", &[], "ab")).await.unwrap().body, b"12345");
    assert_eq!(send(get("https://a.b")).await.unwrap().body, b"123", "ten bytes are carried");
    for request in [get("https://a.b"), post("https://a.b", &[], "a")] {
        let sent = send(request).await;
        assert!(matches!(&sent, Err(Error::Exhausted(why)) if why.contains("grants.http.exchange_bytes")), "{sent:?}");
    }
    assert_eq!(world.connections().len(), 3, "a body that is over the budget is not sent");
    assert!(send(get("https://a.b")).await.is_ok(), "what carries nothing is still allowed");
}

#[tokio::test]
async fn what_is_over_its_budget_or_not_granted_waits_for_no_place() {
    let guard = World::default().guard(Rules { calls: 1, ..rules(&["a.b"]) });
    let calls = super::calls();
    drop(guard.send(&calls, ready(()), get("https://a.b")).await);
    for url in ["https://a.b", "https://c.d"] {
        guard.send(&calls, std::future::pending::<()>(), get(url)).await.unwrap_err();
    }
}

#[tokio::test]
async fn headers_have_128_kib_with_their_secrets_and_no_more() {
    let world = World::default().name("a.b", &[&[PUBLIC]]).ok("");
    let secrets = [("BIG".to_owned(), hosts(&["a.b"]))].into();
    let guard = world.guard(Rules { secrets, ..rules(&["a.b"]) });
    let headers = |count: usize, more: &str| {
        let mut headers = vec![("x", "{{secret:BIG}}"); count];
        headers.push(("y", more));
        post("https://a.b", &headers, "")
    };
    let rest = "z".repeat((128 << 10) - 43 * 3_000);
    send(&guard, headers(43, &rest)).await.unwrap();
    for request in [headers(43, &format!("{rest}z")), post("https://a.b", &[("x", &"{{secret:BIG}}".repeat(2_000))], "")] {
        let why = send(&guard, request).await.unwrap_err();
        assert!(matches!(&why, Error::Invalid(why) if why.contains("131072 bytes")), "{why}");
    }
    assert_eq!(world.connections().len(), 1);
}

#[tokio::test]
async fn replies_share_one_memory_until_whoever_has_them_drops_them() {
    let body = "x".repeat(100 << 10);
    let world = World::default().name("a.b", &[&[PUBLIC]]).ok(&body).ok(&body).ok(&body).ok(&body);
    let common = Common::new(256 << 10, 0);
    let guard = || world.guard(rules(&["a.b"])).sharing(common.clone(), Arc::new(Own::new("p", 8)));
    let (first, second) = (guard(), guard());
    let kept = send(&first, get("https://a.b")).await.unwrap();
    exhausted(&second, get("https://a.b"), "limits.plugins.replies_bytes").await;
    assert_eq!(kept.body.len(), body.len());
    drop(kept);
    send(&second, get("https://a.b")).await.unwrap();
    common.resize(64 << 10, 0);
    // Larger than all there is, and received because nothing else is held.
    send(&second, get("https://a.b")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_address_that_never_answers_does_not_keep_the_next_one_waiting() {
    let world = World::default().name("a.b", &[&["93.184.216.33", "93.184.216.32", PUBLIC]]).dead("93.184.216.33").dead("93.184.216.32");
    let world = world.ok("hello");
    let began = tokio::time::Instant::now();
    assert_eq!(send(&world.guard(rules(&["a.b"])), get("https://a.b")).await.unwrap().body, b"hello");
    assert_eq!(began.elapsed(), Duration::from_millis(500));
    assert_eq!(world.addresses(), ["93.184.216.33:443", "93.184.216.32:443", "93.184.216.34:443"]);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_refuses_is_followed_by_the_next_one_at_once_and_a_slow_one_may_still_win() {
    let world = World::default().name("a.b", &[&["93.184.216.33", "93.184.216.32", PUBLIC]]).dead("93.184.216.32");
    let began = tokio::time::Instant::now();
    let guard = world.guard(Rules { time: Duration::from_secs(1), ..rules(&["a.b"]) });
    let sent = send(&guard, get("https://a.b")).await;
    assert!(matches!(sent, Err(Error::Timeout(_))), "the second may still answer: {sent:?}");
    assert_eq!((began.elapsed(), world.addresses().len()), (Duration::from_secs(1), 3));
}

#[tokio::test(start_paused = true)]
async fn names_that_are_never_answered_keep_places_of_one_plugin_and_no_other_ones() {
    let world = World::default().name("a.b", &[&[PUBLIC]]).ok("").ok("");
    let common = Common::new(1 << 20, 0);
    let guard = |patterns: &[&str]| {
        let rules = Rules { time: Duration::from_secs(1), ..rules(patterns) };
        world.guard(rules).sharing(common.clone(), Arc::new(Own::new("p", 1_000)))
    };
    let (evil, other) = (guard(&["silent.b", "a.b"]), guard(&["a.b"]));
    let (first, second) = (Calls::of(Client::Key("first".into())), Calls::of(Client::Key("second".into())));
    let ask = |calls, url| evil.send(calls, ready(()), get(url));
    for _ in 0..8 {
        let late = ask(&first, "https://silent.b").await;
        assert!(matches!(late, Err(Error::Timeout(_))), "{late:?}");
    }
    // Nobody waits for these any more, and they still take threads.
    assert_eq!((world.lookups().len(), common.lookups.held()), (3, 3), "one client has its share of four");
    let late = ask(&second, "https://silent.b").await;
    assert!(matches!(late, Err(Error::Timeout(_))), "{late:?}");
    assert_eq!((world.lookups().len(), common.lookups.held()), (4, 4));
    let late = ask(&Calls::of(Client::Host), "https://a.b").await;
    assert!(matches!(late, Err(Error::Timeout(_))), "no more than four for a plugin: {late:?}");
    send(&other, get("https://a.b")).await.unwrap();
    assert_eq!(common.lookups.held(), 4, "what was answered is given back");
}
