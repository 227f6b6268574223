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
    let calls = Calls::default();
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
    let calls = Calls::default();
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
    let calls = Calls::default();
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
    let calls = Calls::default();
    drop(guard.send(&calls, ready(()), get("https://a.b")).await);
    for url in ["https://a.b", "https://c.d"] {
        guard.send(&calls, std::future::pending::<()>(), get(url)).await.unwrap_err();
    }
}
