//! Several callers of one provider and key: what one of them does, by whatever it asks for, keeps no other one out; what several have seen
//! spares the rest.

use super::*;

impl World {
    async fn of<'a>(&'a self, caller: &'a str, chain: impl Into<Chain<'a>>) -> Result<Answered<()>, Error> {
        let of =
            Of { caller: Some(caller), deadline: Deadline::after(60 * 60 * SECOND), tries: &Tries::default(), target: None, chosen: None };
        Walk::new(self, &self.attempts, &Ping, chain.into(), of).run().await
    }
}

/// Everything that a provider can be made to do by what it is asked.
fn provoked() -> Vec<Act> {
    let invalid = Act::Fail(Error::InvalidReply { provider: "a".into(), cause: "no JSON".into() }.into());
    let phases = [Phase::FirstByte, Phase::Idle, Phase::Total].map(timeout);
    let statuses = [401, 402, 403, 408, 429, 500, 503, 529].map(status);
    let waits = [wait(429, 600 * SECOND), wait(503, 600 * SECOND), refusal(429, None, true), refusal(402, Some(600 * SECOND), true)];
    [invalid, unreachable()].into_iter().chain(phases).chain(statuses).chain(waits).collect()
}

#[tokio::test(start_paused = true)]
async fn whatever_one_caller_provokes_another_is_answered() {
    for act in provoked() {
        let (world, alone) = (World::new(), [target("a")]);
        for _ in 0..40 {
            world.then("a", vec![act.clone(); 3]);
            assert!(world.of("hostile", &alone).await.is_err());
            world.acts.lock().unwrap().clear();
            is_from(&world.of("other", &alone).await, "a", 1);
            tokio::time::advance(SECOND).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_failures_come_before_anybody_else_asks_keeps_nobody_out() {
    for act in provoked() {
        let (world, alone) = (World::new(), [target("a")]);
        for _ in 0..40 {
            world.then("a", vec![act.clone(); 3]);
            assert!(world.of("hostile", &alone).await.is_err());
        }
        world.acts.lock().unwrap().clear();
        is_from(&world.of("other", &[target("a"), target("b")]).await, "a", 1);
    }
}

#[tokio::test(start_paused = true)]
async fn no_schedule_of_one_callers_requests_keeps_another_out() {
    let (acts, chain) = (provoked(), [target("a"), target("b")]);
    for seed in 0..8 {
        let (world, mut rng) = (World::new(), Rng::with_seed(seed));
        for round in 0..250 {
            for _ in 0..rng.usize(..12) {
                world.then("a", (0..3).map(|_| acts[rng.usize(..acts.len())].clone()));
                drop(world.of("hostile", &chain).await);
                tokio::time::advance(Duration::from_millis(rng.u64(..20_000))).await;
            }
            world.acts.lock().unwrap().clear();
            // One of the hostile requests is under way, perhaps as a probe.
            world.then("a", [Act::Hang]);
            let hanging = world.of("hostile", &chain[..1]);
            let other = async {
                tokio::task::yield_now().await;
                world.acts.lock().unwrap().clear();
                world.of("other", &chain).await
            };
            tokio::select! {
                biased;
                _ = async { drop(hanging.await); std::future::pending::<()>().await } => {}
                answer = other => match answer {
                    Ok(answer) => assert_eq!((&*answer.provider, answer.attempts), ("a", 1), "seed {seed}, round {round}"),
                    Err(error) => panic!("seed {seed}, round {round}: {error}"),
                },
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_refusal_keeps_nobody_out_not_even_its_own_caller() {
    for number in [401, 402, 403] {
        let world = World::new().acts("a", [status(number)]);
        is_status(world.answers(&[target("a")]).await, number);
        is_from(&world.answers(&[target("a")]).await, "a", 1);
        assert!(world.attempts.circuits().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_two_callers_have_seen_spares_a_third() {
    let world = World::new().acts("a", vec![status(500); 5]);
    for caller in ["one", "two"] {
        is_from(&world.of(caller, &[target("a"), target("b")]).await, "b", if caller == "one" { 4 } else { 3 });
    }
    world.asked();
    is_from(&world.of("three", &[target("a"), target("b")]).await, "b", 1);
    assert_eq!(world.asked(), ["b"]);
    let whose: Vec<_> =
        world.attempts.circuits().into_iter().filter(|circuit| circuit.until.is_some()).map(|circuit| circuit.whose).collect();
    assert_eq!(whose, [Whose::Everyone]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_noticed_for_all_by_two_of_its_callers() {
    let world = World::new().acts("a", vec![status(401); 5]);
    for caller in ["one", "two", "one", "two", "one"] {
        is_status(world.of(caller, &[target("a")]).await, 401);
    }
    is_from(&world.of("three", &[target("a"), target("b")]).await, "b", 1);
}

#[tokio::test(start_paused = true)]
async fn what_two_callers_were_told_holds_for_a_third_for_the_shorter_time() {
    let world = World::new().acts("a", [wait(429, 600 * SECOND), wait(429, 20 * SECOND)]);
    for caller in ["one", "two"] {
        is_status(world.of(caller, &[target("a")]).await, 429);
    }
    let error = world.of("three", &[target("a")]).await.err().expect("must fail");
    assert!(matches!(error, Error::CircuitOpen { limited: true, retry_after, .. } if retry_after == 20 * SECOND), "{error:?}");
    tokio::time::advance(20 * SECOND).await;
    is_from(&world.of("three", &[target("a")]).await, "a", 1);
    assert!(world.of("one", &[target("a")]).await.is_err(), "it was told to wait for longer");
}

/// The circuit of `a` was opened for everyone, and its time is over.
async fn half_open() -> World {
    let world = World::with(Limits { retries: 0, circuit_failures: 2, ..Limits::default() }).acts("a", [unreachable(), unreachable()]);
    for caller in ["hostile", "other"] {
        is_from(&world.of(caller, &[target("a"), target("b")]).await, "b", 2);
    }
    tokio::time::advance(Limits::default().circuit_time).await;
    world
}

#[tokio::test(start_paused = true)]
async fn the_probes_of_one_caller_keep_no_other_one_out() {
    for act in provoked() {
        let (world, chain) = (half_open().await, [target("a"), target("b")]);
        for _ in 0..3 {
            world.then("a", [act.clone()]);
            drop(world.of("hostile", &chain).await);
        }
        world.acts.lock().unwrap().clear();
        is_from(&world.of("third", &chain).await, "a", 1);
    }
    let (world, chain) = (half_open().await, [target("a"), target("b")]);
    world.then("a", [Act::Hang]);
    let other = async {
        tokio::task::yield_now().await;
        world.of("third", &chain).await
    };
    tokio::select! {
        biased;
        _ = world.of("hostile", &chain) => panic!("it hangs"),
        answer = other => is_from(&answer, "a", 1),
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_may_probe_at_once_when_another_one_is_answered() {
    let world = World::with(Limits { retries: 0, circuit_failures: 2, ..Limits::default() }).acts("a", [status(500), status(500)]);
    let chain = [target("a"), target("b")];
    for attempts in [2, 2, 1] {
        is_from(&world.of("unlucky", &chain).await, "b", attempts);
    }
    is_from(&world.of("other", &chain).await, "a", 1);
    is_from(&world.of("unlucky", &chain).await, "a", 1);
    assert!(world.attempts.circuits().is_empty());
}
