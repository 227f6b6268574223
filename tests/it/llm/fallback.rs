//! Who takes over after which failure, and what the caller gets when nobody can.

use serde_json::json;

use super::*;
use crate::upstream::{Script, delta, finish};

#[track_caller]
fn is_from_b(answer: Result<Answered<Reply>, Error>, case: &str) {
    let answer = answer.unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!((&*answer.provider, answer.attempts), ("b", 2), "{case}");
}

#[tokio::test]
async fn a_refused_try_is_answered_by_the_fallback_in_one_clean_reply() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.always(Script::reply(429, &[], ""));
    b.next(Script::says("hi")).next(Script::streams(&["hi"]));
    let llm = llm(&[&a, &b]);
    let chain = [target("a"), Target { on_status: Some(vec![429, 503]), ..target("b") }];
    let answer = llm.answer(&chain, &exchange(), Mode::Whole).await;
    assert_eq!(text_of(answer.as_ref().expect("an answer")), "hi");
    is_from_b(answer, "429");
    let answer = llm.answer(&chain, &exchange(), Mode::Stream).await.expect("an answer");
    let (text, broken) = drain(answer).await;
    assert_eq!(text, format!("data: {}\n\ndata: {}\n\ndata: [DONE]\n\n", delta("hi"), finish()));
    assert!(broken.is_none());
}

#[tokio::test]
async fn a_bad_request_is_asked_nowhere_else() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    let llm = llm(&[&a, &b]);
    for status in [400, 413, 422] {
        a.next(Script::json(status, &json!({"error": {"message": "no", "type": "t", "code": "c", "param": "p"}})));
        let error = llm.answer(&[target("a"), target("b")], &exchange(), Mode::Stream).await.err().expect("must fail");
        let Error::Status { provider, status: got, message, kind, code, param, .. } = error else { panic!("{error}") };
        assert_eq!((&*provider, got, &*message), ("a", status, "no"));
        assert_eq!((kind.as_deref(), code.as_deref(), param.as_deref()), (Some("t"), Some("c"), Some("p")));
    }
    assert!(b.requests().is_empty());
}

#[tokio::test]
async fn a_fallback_that_does_not_list_the_status_is_passed_over_for_the_next() {
    let (a, b, c) = (Upstream::start().await, Upstream::start().await, Upstream::start().await);
    a.always(Script::reply(529, &[], ""));
    c.always(Script::says("c"));
    let chain = [target("a"), Target { on_status: Some(vec![429]), ..target("b") }, Target { on_status: Some(vec![503]), ..target("c") }];
    let answer = llm(&[&a, &b, &c]).answer(&chain, &exchange(), Mode::Whole).await.expect("an answer");
    assert_eq!((text_of(&answer), answer.attempts), ("c".into(), 2));
    assert!(b.requests().is_empty());
}

#[tokio::test]
async fn whatever_fails_before_the_first_event_lets_the_fallback_run() {
    let error = r#"{"error":{"message":"overloaded","code":400}}"#;
    let cases = [
        ("cut before the head", Script::default().cut()),
        ("cut inside the head", Script::default().raw("HTTP/1.1 200 O").cut()),
        ("cut before the first event", Script::stream().cut()),
        ("cut inside the first event", Script::stream().piece("data: {\"cho").cut()),
        ("end before the first event", Script::stream().piece(": ping\n\n").end()),
        ("only [DONE]", Script::stream().event("[DONE]").end()),
        ("error as the first event", Script::stream().piece(": ping\n\n").event(error).hang()),
        ("error as a JSON reply", Script::reply(200, &[("content-type", "application/json")], error)),
        ("no JSON in the first event", Script::stream().event("oops").hang()),
        ("a list in the first event", Script::stream().event("[]").hang()),
        ("HTML", Script::reply(200, &[("content-type", "text/html")], "<html>")),
        ("no content type", Script::reply(200, &[], "data: {}\n\n")),
        ("a redirect", Script::reply(302, &[("location", "/elsewhere")], "")),
        ("no HTTP", Script::default().raw("hello\r\n\r\n").cut()),
    ];
    for (case, script) in cases {
        let (a, b) = (Upstream::start().await, Upstream::start().await);
        a.next(script);
        b.next(Script::streams(&["hi"]));
        let chain = [target("a"), Target { on_status: Some(vec![]), ..target("b") }];
        is_from_b(llm(&[&a, &b]).answer(&chain, &exchange(), Mode::Stream).await, case);
    }
}

#[tokio::test]
async fn a_whole_reply_that_cannot_be_used_lets_the_fallback_run() {
    let cases = [
        ("no JSON", Script::reply(200, &[], "oops")),
        ("half a JSON", Script::reply(200, &[], r#"{"choices":["#)),
        ("no object", Script::reply(200, &[], "[1]")),
        ("no choices", Script::json(200, &json!({"id": "x"}))),
        ("an error", Script::json(200, &json!({"error": "overloaded", "choices": []}))),
        ("a stream", Script::streams(&["hi"])),
        ("cut inside the body", Script::default().raw("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{").cut()),
        ("empty", Script::reply(204, &[], "")),
    ];
    for (case, script) in cases {
        let (a, b) = (Upstream::start().await, Upstream::start().await);
        a.next(script);
        b.next(Script::says("hi"));
        let chain = [target("a"), Target { on_status: Some(vec![]), ..target("b") }];
        is_from_b(llm(&[&a, &b]).answer(&chain, &exchange(), Mode::Whole).await, case);
    }
}

#[tokio::test]
async fn a_missing_secret_or_provider_lets_the_fallback_run() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    b.always(Script::says("hi"));
    let llm = llm(&[&a, &b]);
    for secret in ["NONE", "BLANK"] {
        let primary = Target { secret_key_name: Some(secret.into()), ..target("a") };
        is_from_b(llm.answer(&[primary.clone(), target("b")], &exchange(), Mode::Whole).await, secret);
        let error = llm.answer(&[primary], &exchange(), Mode::Whole).await.err().expect("must fail");
        assert!(
            matches!(&error, Error::SecretMissing { provider, name, cause: MissingSecret::NotSet } if provider == "a" && name == secret),
            "{error}"
        );
    }
    is_from_b(llm.answer(&[target("nobody"), target("b")], &exchange(), Mode::Whole).await, "unknown");
    let error = llm.answer(&[target("nobody")], &exchange(), Mode::Whole).await.err().expect("must fail");
    assert!(matches!(&error, Error::UnknownProvider { provider } if provider == "nobody"), "{error}");
    assert!(a.requests().is_empty());
}

#[tokio::test]
async fn the_last_failure_is_what_the_caller_gets() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.next(Script::reply(503, &[], ""));
    b.next(Script::reply(429, &[("retry-after", "7")], r#"{"error":"slow down"}"#));
    let error = llm(&[&a, &b]).answer(&[target("a"), target("b")], &exchange(), Mode::Whole).await.err().expect("must fail");
    let Error::Status { provider, status: 429, message, retry_after, .. } = &error else { panic!("{error}") };
    assert_eq!((&**provider, &**message, *retry_after), ("b", "slow down", Some(Duration::from_secs(7))));
    assert_eq!(error.to_string(), "provider `b` answered 429: slow down");
}

#[tokio::test]
async fn the_key_is_in_no_error() {
    let upstream = Upstream::start().await;
    let echo = json!({"error": {"message": format!("wrong key {KEY}"), "code": KEY}});
    upstream.next(Script::json(401, &echo)).next(Script::json(200, &echo)).next(Script::stream().event(&echo.to_string()).end());
    let llm = llm(&[&upstream]);
    let a = Target { secret_key_name: Some("KEY_A".into()), ..target("a") };
    for mode in [Mode::Whole, Mode::Whole, Mode::Stream] {
        let error = llm.answer(std::slice::from_ref(&a), &exchange(), mode).await.err().expect("must fail");
        assert!(matches!(&error, Error::Status { message, .. } if message == "wrong key [hidden]"), "{error}");
        assert!(!format!("{error:?}").contains(KEY), "{error:?}");
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_cannot_be_reached() {
    // Bound, so that no other test gets the port.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let mut config = Config { limits: once(), ..Config::default() };
    let base_url = format!("http://{}/v1", socket.local_addr().expect("bound"));
    config.providers.insert("a".into(), ProviderConfig::new(Kind::OpenAi, base_url));
    let llm = Llm::new(config, Arc::new(|_| Err(MissingSecret::NotSet)), Arc::new(())).expect("a URL");
    let error = failure(&llm, Mode::Stream).await;
    assert!(matches!(&error, Error::Unreachable { cause, .. } if cause.contains("refused")), "{error}");
}

#[tokio::test]
async fn every_try_is_observed_with_its_outcome() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.next(Script::reply(503, &[], "")).next(Script::default().cut()).next(Script::reply(200, &[], "")).next(Script::default().hang());
    b.always(Script::says("hi"));
    let seen = Arc::new(Seen::default());
    let llm = watched(&[&a, &b], once(), Arc::clone(&seen) as Arc<dyn Observer>);
    for primary in [target("a"), target("a"), target("a"), target("nobody"), Target { secret_key_name: Some("NO".into()), ..target("a") }] {
        llm.answer(&[primary, target("b")], &exchange(), Mode::Whole).await.expect("an answer");
    }
    for _ in 0..3 {
        a.received().await;
    }
    tokio::select! {
        _ = failure(&llm, Mode::Whole) => panic!("must wait"),
        () = a.received() => {}
    }
    let seen = seen.0.lock().expect("no panic");
    let expected = [
        "a/model-a status",
        "a/model-a unreachable",
        "a/model-a garbled",
        "nobody/model-nobody unknown_provider",
        "a/model-a secret_missing",
    ];
    for (index, expected) in expected.iter().enumerate() {
        assert_eq!(seen[2 * index..2 * index + 2], [(*expected).to_owned(), "b/model-b ok".to_owned()]);
    }
    assert_eq!(seen[10..], ["a/model-a cancelled".to_owned()]);
}
