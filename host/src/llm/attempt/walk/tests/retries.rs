//! Retries of the same target: after which pauses, how often, and when the next target comes first.

use super::*;

#[tokio::test(start_paused = true)]
async fn transient_failures_are_retried_at_the_same_target() {
    let in_band = |act: Act| match act {
        Act::Fail(failure) => Act::Fail(Failure { in_band: true, ..failure }),
        act => act,
    };
    let invalid = Act::Fail(Error::InvalidReply { provider: "a".into(), cause: "no JSON".into() }.into());
    for act in [status(408), status(409), status(425), status(429), status(500), status(529), unreachable(), invalid, in_band(status(502))]
    {
        let world = World::new().acts("a", [act]);
        is_from(&world.answers(&[target("a"), target("b")]).await, "a", 2);
    }
    for act in [status(400), status(401), status(404), status(413), status(422), refusal(429, None, true), status(402)] {
        let world = World::new().acts("a", [act, Act::Hang]);
        assert!(world.answers(&[target("a")]).await.is_err());
        assert_eq!(world.asked(), ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn each_target_has_as_many_retries_as_the_limit_says() {
    for retries in [0, 1, 5] {
        let world = World::with(Limits { retries, circuit_failures: 0, retry_budget: 60 * SECOND, ..Limits::default() });
        let tries = retries as usize + 1;
        world.then("a", vec![status(503); tries]);
        world.then("b", vec![status(500); tries]);
        is_status(world.answers(&[target("a"), target("b")]).await, 500);
        assert_eq!(world.asked(), [vec!["a"; tries], vec!["b"; tries]].concat());
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_are_random_and_the_longest_doubles() {
    let limits = Limits { retries: 5, circuit_failures: 0, retry_budget: 60 * SECOND, ..Limits::default() };
    let mut longest = [Duration::ZERO; 5];
    for seed in 0..200 {
        let mut world = World::with(limits.clone()).acts("a", vec![unreachable(); 6]);
        world.attempts = world.attempts.seeded(seed);
        assert!(world.answers(&[target("a")]).await.is_err());
        for (most, times) in longest.iter_mut().zip(world.times().windows(2)) {
            *most = (*most).max(times[1] - times[0]);
        }
    }
    for (number, most) in longest.into_iter().enumerate() {
        let limit = limits.retry_backoff * (1 << number);
        assert!((limit * 9 / 10..=limit + Duration::from_millis(1)).contains(&most), "pause {number}: {most:?} of {limit:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_wait_is_waited_at_least() {
    for number in [429, 503] {
        let world = World::new().acts("a", [wait(number, 2 * SECOND)]);
        is_from(&world.answers(&[target("a"), target("b")]).await, "a", 2);
        let waited = world.times()[1];
        assert!((2 * SECOND..=2 * SECOND + Duration::from_millis(201)).contains(&waited), "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_the_whole_budget_is_waited_and_a_longer_one_falls_back_at_once() {
    let budget = Limits::default().retry_budget;
    let world = World::new().acts("a", [wait(429, budget), status(503)]);
    is_from(&world.answers(&[target("a"), target("b")]).await, "b", 3);
    assert_eq!(world.times(), [Duration::ZERO, budget, budget], "then nothing is left of it");
    let world = World::new().acts("a", [wait(429, budget + Duration::from_millis(1)), Act::Hang]);
    is_from(&world.answers(&[target("a"), target("b")]).await, "b", 2);
    assert_eq!(world.times(), [Duration::ZERO; 2]);
    let world = World::new().acts("a", [wait(429, 7 * SECOND)]);
    let error = world.answers(&[target("a")]).await.err().expect("must fail");
    assert!(matches!(error, Error::Status { status: 429, retry_after: Some(after), .. } if after == 7 * SECOND), "{error}");
}

#[tokio::test(start_paused = true)]
async fn all_targets_of_an_exchange_share_one_budget() {
    let world = World::new().acts("a", [wait(429, 3 * SECOND), status(404)]).acts("b", [wait(429, 3 * SECOND)]);
    is_from(&world.answers(&[target("a"), target("b"), target("c")]).await, "c", 4);
    let world = World::with(Limits { retry_budget: Duration::ZERO, ..Limits::default() }).acts("a", [unreachable()]);
    is_from(&world.answers(&[target("a"), target("b")]).await, "b", 2);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_retried_only_after_all_other_targets() {
    for phase in [Phase::Connect, Phase::FirstByte] {
        let world = World::new().acts("a", [timeout(phase)]);
        is_from(&world.answers(&[target("a"), target("b")]).await, "b", 2);
        let world = World::new().acts("a", [timeout(phase), timeout(phase)]);
        is_from(&world.answers(&[target("a")]).await, "a", 3);
        let world = World::with(Limits { circuit_failures: 0, ..Limits::default() }).acts("a", vec![timeout(phase); 4]);
        assert!(world.answers(&[target("a")]).await.is_err());
        assert_eq!(world.asked(), ["a"; 3]);
    }
    for phase in [Phase::Total, Phase::Deadline] {
        let world = World::new().acts("a", [timeout(phase), Act::Hang]);
        assert!(world.answers(&[target("a")]).await.is_err());
        assert_eq!(world.asked(), ["a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn no_pause_reaches_the_deadline() {
    for (left, expected) in [(2 * SECOND, vec!["a", "b"]), (2 * SECOND + Duration::from_millis(300), vec!["a", "a"])] {
        let world = World::new().acts("a", [wait(429, 2 * SECOND)]);
        assert!(world.answers_within(left, &[target("a"), target("b")]).await.is_ok());
        assert_eq!(world.asked(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn once_the_time_is_over_nobody_else_is_asked() {
    let world = World::new().acts("a", [Act::Slow(SECOND, Box::new(status(404)))]);
    is_status(world.answers_within(SECOND, &[target("a"), target("b")]).await, 404);
    assert_eq!(world.asked(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn every_try_is_observed() {
    let world = World::new().acts("a", [unreachable(), status(503), status(404)]);
    is_from(&world.answers(&[target("a"), target("b")]).await, "b", 4);
    assert_eq!(world.outcomes(), ["a unreachable", "a status", "a status", "b ok"]);
}

#[tokio::test(start_paused = true)]
async fn a_walk_that_is_dropped_in_a_pause_asks_nobody_more() {
    let world = World::new().acts("a", [wait(503, 2 * SECOND)]);
    let dropped = tokio::time::timeout(SECOND, world.answers(&[target("a")])).await.is_err();
    assert!(dropped);
    tokio::time::advance(60 * SECOND).await;
    assert_eq!((world.asked(), world.outcomes()), (vec!["a".to_owned()], vec!["a status".to_owned()]));
}
