//! Retries, circuits, hedges and weights over real connections. Times are tested beside the code, on a paused clock: here pauses are a
//! millisecond long, and what must not be waited for is an hour away.

use serde_json::json;

use super::*;
use crate::upstream::{Script, Signal, delta, finish};

const HOUR: Duration = Duration::from_secs(3_600);
const MS: Duration = Duration::from_millis(1);

fn limits() -> Limits {
    Limits { retry_backoff: MS, circuit_time: HOUR, circuit_time_max: HOUR, ..Limits::default() }
}

fn hedged(targets: &[Target], hedge_after: Duration) -> Chain<'_> {
    Chain { hedge_after: Some(hedge_after), ..Chain::from(targets) }
}

/// The whole text of a stream that nothing broke.
async fn whole(answer: Answered<Reply>) -> String {
    let (text, broken) = drain(answer).await;
    assert!(broken.is_none(), "{broken:?}");
    text
}

fn events_of(texts: &[&str]) -> String {
    let events: String = texts.iter().map(|text| format!("data: {}\n\n", delta(text))).collect();
    events + &format!("data: {}\n\ndata: [DONE]\n\n", finish())
}

fn quota() -> Script {
    let error = json!({"message": "You exceeded your current quota", "type": "insufficient_quota", "code": "insufficient_quota"});
    Script::json(429, &json!({"error": error}))
}

#[tokio::test]
async fn what_fails_before_the_first_event_is_retried_at_the_same_provider() {
    let error = r#"{"error":{"message":"overloaded"}}"#;
    for (case, script) in [
        ("a 503", Script::reply(503, &[], "")),
        ("a 529", Script::reply(529, &[], "")),
        ("a 429 without a wait", Script::reply(429, &[], "")),
        ("a short wait", Script::reply(429, &[("retry-after-ms", "2")], "")),
        ("a cut before the head", Script::default().cut()),
        ("a cut before the first event", Script::stream().piece(": ping\n\n").cut()),
        ("an end before the first event", Script::stream().end()),
        ("an error as the first event", Script::stream().event(error).hang()),
    ] {
        let (a, b) = (Upstream::start().await, Upstream::start().await);
        a.next(script).next(Script::streams(&["hi"]));
        let answer = with_limits(&[&a, &b], limits()).answer(&[target("a"), target("b")], &exchange(), Mode::Stream).await;
        let answer = answer.unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!((&*answer.provider, answer.attempts), ("a", 2), "{case}");
        assert_eq!(whole(answer).await, events_of(&["hi"]), "{case}");
        assert_eq!(a.requests()[0].body, a.requests()[1].body, "{case}");
    }
}

#[tokio::test]
async fn nobody_is_asked_again_after_the_first_event() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.next(Script::stream().event(&delta("one")).cut());
    let chain = [target("a"), target("b")];
    let answer = with_limits(&[&a, &b], limits()).answer(&chain, &exchange(), Mode::Stream).await.expect("a stream");
    assert_eq!(drain(answer).await.1.expect("must break").code, "upstream_cut");
    assert_eq!((a.requests().len(), b.requests().len()), (1, 0));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_retried() {
    // Bound, so that no other test gets the port.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let base_url = format!("http://{}/v1", socket.local_addr().expect("bound"));
    let mut config = Config { limits: limits(), ..Config::default() };
    config.providers.insert("a".into(), ProviderConfig::new(Kind::OpenAi, base_url));
    let seen = Arc::new(Seen::default());
    let llm =
        Llm::new(config, Arc::new(|_| Err(cofferdam::llm::MissingSecret::NotSet)), Arc::clone(&seen) as Arc<dyn Observer>).expect("a URL");
    assert!(matches!(failure(&llm, Mode::Whole).await, Error::Unreachable { .. }));
    assert_eq!(*seen.0.lock().expect("no panic"), ["a/model-a unreachable"; 3]);
}

#[tokio::test]
async fn a_long_wait_falls_back_at_once() {
    for (name, value) in [("retry-after", "3600"), ("retry-after-ms", "3600000")] {
        let (a, b) = (Upstream::start().await, Upstream::start().await);
        a.next(Script::reply(429, &[(name, value)], ""));
        b.next(Script::says("hi"));
        let llm = with_limits(&[&a, &b], limits());
        let answer = llm.answer(&[target("a"), target("b")], &exchange(), Mode::Whole).await.expect("an answer");
        assert_eq!((text_of(&answer), answer.attempts), ("hi".into(), 2));
        let error = failure(&llm, Mode::Whole).await;
        assert!(matches!(error, Error::CircuitOpen { limited: true, retry_after, .. } if retry_after > HOUR / 2), "{error}");
        assert_eq!(a.requests().len(), 1, "it is not asked before the time it named");
    }
}

#[tokio::test]
async fn c28_a_529_runs_a_fallback_that_lists_503() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.always(Script::json(529, &json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})));
    b.always(Script::streams(&["hi"]));
    let chain = [target("a"), Target { on_status: Some(vec![503]), ..target("b") }];
    let answer = with_limits(&[&a, &b], limits()).answer(&chain, &exchange(), Mode::Stream).await.expect("an answer");
    assert_eq!((&*answer.provider, answer.attempts), ("b", 4));
    assert_eq!(a.requests().len(), 3);
}

#[tokio::test]
async fn c29_a_spend_cap_429_is_not_retried() {
    for script in [quota(), Script::json(429, &json!({"error": {"message": "m", "code": "enforced_spend_limit_reached"}}))] {
        let (a, b) = (Upstream::start().await, Upstream::start().await);
        a.always(script);
        b.always(Script::says("hi"));
        let llm = with_limits(&[&a, &b], limits());
        let a_with = |key: &str| Target { secret_key_name: Some(key.into()), ..target("a") };
        let answer = llm.answer(&[a_with("KEY_A"), target("b")], &exchange(), Mode::Whole).await.expect("an answer");
        assert_eq!((&*answer.provider, answer.attempts, a.requests().len()), ("b", 2, 1));
        let answer = llm.answer(&[a_with("KEY_A"), target("b")], &exchange(), Mode::Whole).await.expect("an answer");
        assert_eq!((&*answer.provider, answer.attempts, a.requests().len()), ("b", 1, 1));
        let error = llm.answer(&[a_with("KEY_B")], &exchange(), Mode::Whole).await.err().expect("must fail");
        assert!(matches!(error, Error::Status { exhausted: true, .. }), "the other key is asked: {error}");
        let states: Vec<_> = llm.circuits().into_iter().map(|circuit| (circuit.key_name, circuit.state)).collect();
        assert_eq!(states, ["KEY_A", "KEY_B"].map(|key| (Some(key.to_owned()), CircuitPhase::Open)));
    }
}

#[tokio::test]
async fn after_so_many_failures_in_a_row_others_are_asked_first() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    b.always(Script::says("hi"));
    let llm = with_limits(&[&a, &b], Limits { retries: 0, circuit_failures: 3, ..limits() });
    let chain = [target("a"), target("b")];
    let failure = || Script::reply(500, &[], "");
    // The success between them counts the failures from 0 again.
    a.next(failure()).next(failure()).next(Script::says("fine")).next(failure()).next(failure()).next(failure());
    for asked in [1, 2, 3, 4, 5, 6, 6, 6] {
        let answer = llm.answer(&chain, &exchange(), Mode::Whole).await.expect("an answer");
        assert_eq!(a.requests().len(), asked);
        assert_eq!(text_of(&answer), if asked == 3 { "fine" } else { "hi" });
    }
    a.next(Script::says("well again"));
    let alone = llm.answer(&[target("a")], &exchange(), Mode::Whole).await.expect("asked all the same if there is no other target");
    assert_eq!(text_of(&alone), "well again");
    assert!(llm.circuits().is_empty());
}

#[tokio::test]
async fn the_loser_of_a_race_is_hung_up_on_and_the_winners_reply_is_whole() {
    for (slow, mode) in [
        (Script::default().hang(), Mode::Stream),
        (Script::stream().piece(": ping\n\n").hang(), Mode::Stream),
        (Script::default().hang(), Mode::Whole),
    ] {
        let (a, b) = (Upstream::start().await, Upstream::start().await);
        a.next(slow);
        b.next(if mode == Mode::Stream { Script::streams(&["hi", " you"]) } else { Script::says("hi you") });
        let (llm, chain) = (with_limits(&[&a, &b], limits()), [target("a"), target("b")]);
        let answer = llm.answer(hedged(&chain, MS), &exchange(), mode).await.expect("an answer");
        assert_eq!((&*answer.provider, &*answer.model, answer.attempts), ("b", "model-b", 2));
        a.hung_up().await;
        match mode {
            Mode::Whole => assert_eq!(text_of(&answer), "hi you"),
            Mode::Stream => assert_eq!(whole(answer).await, events_of(&["hi", " you"])),
        }
        assert!(llm.circuits().is_empty());
    }
}

#[tokio::test]
async fn the_slow_one_may_win_and_then_the_hedge_is_hung_up_on() {
    let (a, b, signal) = (Upstream::start().await, Upstream::start().await, Signal::default());
    a.next(Script::stream().wait(&signal).event(&delta("slow")).event(&finish()).event("[DONE]").end());
    b.next(Script::stream().hang());
    let (llm, chain, exchange) = (with_limits(&[&a, &b], limits()), [target("a"), target("b")], exchange());
    let (answer, ()) = tokio::join!(llm.answer(hedged(&chain, MS), &exchange, Mode::Stream), async {
        b.received().await;
        signal.fire();
    });
    let answer = answer.expect("an answer");
    assert_eq!((&*answer.provider, answer.attempts), ("a", 2));
    b.hung_up().await;
    assert_eq!(whole(answer).await, events_of(&["slow"]));
}

#[tokio::test]
async fn whoever_drops_the_future_hangs_up_on_both() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.next(Script::default().hang());
    b.next(Script::stream().hang());
    let (llm, chain, exchange) = (with_limits(&[&a, &b], limits()), [target("a"), target("b")], exchange());
    tokio::select! {
        _ = llm.answer(hedged(&chain, MS), &exchange, Mode::Stream) => panic!("must wait"),
        () = async { tokio::join!(a.received(), b.received()); } => {}
    }
    tokio::join!(a.hung_up(), b.hung_up());
}

#[tokio::test]
async fn equals_are_chosen_by_weight() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.always(Script::says("a"));
    b.always(Script::says("b"));
    let choose = async |weights: [u32; 2]| {
        let (llm, targets) = (with_limits(&[&a, &b], limits()).seeded(11), [target("a"), target("b")]);
        let chain = Chain { targets: &targets, weights: &weights, hedge_after: None };
        let mut from_a = 0;
        for _ in 0..40 {
            from_a += u32::from(llm.answer(chain, &exchange(), Mode::Whole).await.expect("an answer").provider == "a");
        }
        from_a
    };
    assert_eq!((choose([1, 0]).await, choose([0, 1]).await), (40, 0));
    let (few, many) = (choose([1, 3]).await, choose([3, 1]).await);
    assert!((4..17).contains(&few) && (23..37).contains(&many), "{few} {many}");
    assert_eq!(few, choose([1, 3]).await, "the same seed makes the same choices");
}
