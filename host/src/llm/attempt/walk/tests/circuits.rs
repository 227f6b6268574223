//! Open circuits on the way: which target is skipped, which is tried anyway, and which error comes of it if nobody is asked.

use super::*;

/// No retries, and a circuit that opens at the second failure.
fn limits() -> Limits {
    Limits { retries: 0, circuit_failures: 2, ..Limits::default() }
}

/// A world in which the circuit of `a` was just opened by failures.
async fn opened() -> World {
    let world = World::with(limits()).acts("a", [unreachable(), unreachable()]);
    for _ in 0..2 {
        is_from(&world.answers(&[target("a"), target("b")]).await, "b", 2);
    }
    world.asked();
    world
}

#[tokio::test(start_paused = true)]
async fn a_target_with_an_open_circuit_is_skipped_if_another_one_runs() {
    let world = opened().await;
    for _ in 0..3 {
        is_from(&world.answers(&[target("a"), target("b")]).await, "b", 1);
    }
    assert_eq!(world.asked(), ["b"; 3]);
    is_from(&world.answers(&[keyed("a", "other"), target("b")]).await, "a", 1);
}

#[tokio::test(start_paused = true)]
async fn retries_end_when_the_circuit_opens() {
    let world = World::with(Limits { retries: 5, ..limits() }).acts("a", vec![unreachable(); 9]);
    is_from(&world.answers(&[target("a"), target("b")]).await, "b", 3);
    assert_eq!(world.asked(), ["a", "a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_only_target_lasts_no_longer_for_being_noticed() {
    let world = opened().await;
    world.then("a", [unreachable()]);
    assert!(world.answers(&[target("a")]).await.is_err());
    assert_eq!(world.asked(), ["a"], "asked anyway, and once");
    is_from(&world.answers(&[target("a")]).await, "a", 1);
    assert!(world.attempts.circuits().is_empty(), "a success closes it");
}

#[tokio::test(start_paused = true)]
async fn when_the_others_fail_too_the_one_that_was_skipped_is_tried_anyway() {
    let world = opened().await;
    world.then("b", [status(503)]);
    is_from(&world.answers(&[target("a"), target("b")]).await, "a", 2);
    assert_eq!(world.asked(), ["b", "a"]);
    let world = opened().await;
    world.then("b", [status(400)]);
    is_status(world.answers(&[target("a"), target("b")]).await, 400);
    assert_eq!(world.asked(), ["b"], "a request that was refused is refused everywhere");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_skipped_counts_as_failed_in_the_way_it_failed_last() {
    let world = World::with(limits()).acts("a", [status(503), status(503)]);
    let only_429 = Target { on_status: Some(vec![429]), ..target("b") };
    for _ in 0..2 {
        is_status(world.answers(&[target("a"), only_429.clone()]).await, 503);
    }
    is_from(&world.answers(&[target("a"), only_429]).await, "a", 1);
    assert_eq!(world.asked(), ["a"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_half_open_circuit_is_probed_by_exactly_one_exchange_and_the_others_skip_it() {
    let world = opened().await;
    tokio::time::advance(limits().circuit_time).await;
    world.then("a", [Act::Slow(SECOND, Box::new(Act::Reply))]);
    let chain = [target("a"), target("b")];
    let (probe, one, two) = tokio::join!(world.answers(&chain), world.answers(&chain), world.answers(&chain));
    is_from(&probe, "a", 1);
    is_from(&one, "b", 1);
    is_from(&two, "b", 1);
    assert_eq!(world.asked(), ["a", "b", "b"]);
    is_from(&world.answers(&chain).await, "a", 1);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_keeps_it_open_for_twice_as_long() {
    let world = opened().await;
    let (chain, open_time) = ([target("a"), target("b")], limits().circuit_time);
    tokio::time::advance(open_time).await;
    world.then("a", [unreachable()]);
    is_from(&world.answers(&chain).await, "b", 2);
    tokio::time::advance(open_time * 2 - Duration::from_millis(1)).await;
    is_from(&world.answers(&chain).await, "b", 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    is_from(&world.answers(&chain).await, "a", 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_probe_whose_client_hangs_up_comes_the_next_probe() {
    let world = opened().await;
    tokio::time::advance(limits().circuit_time).await;
    world.then("a", [Act::Hang]);
    let chain = [target("a"), target("b")];
    assert!(tokio::time::timeout(SECOND, world.answers(&chain)).await.is_err());
    is_from(&world.answers(&chain).await, "a", 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_only_target_is_probed_others_do_not_wait_for_the_probe() {
    let world = World::with(limits()).acts("a", [wait(429, 7 * SECOND)]);
    is_status(world.answers(&[target("a")]).await, 429);
    tokio::time::advance(7 * SECOND).await;
    world.then("a", [Act::Slow(SECOND, Box::new(Act::Reply))]);
    let chain = [target("a")];
    let (probe, other) = tokio::join!(world.answers(&chain), world.answers(&chain));
    is_from(&probe, "a", 1);
    is_from(&other, "a", 1);
}

#[tokio::test(start_paused = true)]
async fn c29_a_spend_cap_is_not_retried_and_opens_the_circuit_of_the_key() {
    let world = World::new().acts("a", [refusal(429, None, true)]).acts("b", [Act::Reply, Act::Reply]);
    is_from(&world.answers(&[keyed("a", "A"), target("b")]).await, "b", 2);
    is_from(&world.answers(&[keyed("a", "A"), target("b")]).await, "b", 1);
    assert_eq!(world.asked(), ["a", "b", "b"]);
    let error = world.answers(&[keyed("a", "A")]).await.err().expect("must fail");
    let Error::CircuitOpen { provider, limited: true, retry_after } = error else { panic!("{error}") };
    assert_eq!((provider.as_str(), retry_after), ("a", 10 * SECOND));
    is_from(&world.answers(&[keyed("a", "B")]).await, "a", 1);
}

#[tokio::test(start_paused = true)]
async fn refusals_in_a_row_send_requests_elsewhere_and_leave_the_only_target_in_use() {
    for number in [401, 402, 403] {
        let world = World::with(limits()).acts("a", [status(number), status(number)]);
        for _ in 0..2 {
            is_status(world.answers(&[target("a")]).await, number);
        }
        is_from(&world.answers(&[target("a"), target("b")]).await, "b", 1);
        world.then("a", [status(number)]);
        is_status(world.answers(&[target("a")]).await, number);
        world.asked();
        is_from(&world.answers(&[target("a")]).await, "a", 1);
        assert!(world.attempts.circuits().is_empty(), "somebody may have mended the key, or asked for less");
    }
}

#[tokio::test(start_paused = true)]
async fn if_all_circuits_are_open_the_shortest_wait_is_reported() {
    let world = World::new().acts("a", [wait(503, 60 * SECOND)]).acts("b", [wait(429, 20 * SECOND)]);
    let chain = [target("a"), target("b")];
    is_status(world.answers(&chain).await, 429);
    let error = world.answers(&chain).await.err().expect("must fail");
    assert!(
        matches!(&error, Error::CircuitOpen { provider, limited: true, retry_after } if provider == "b" && *retry_after == 20 * SECOND)
    );
    tokio::time::advance(Duration::from_millis(19_900)).await;
    let error = world.answers(&chain).await.err().expect("must fail");
    assert!(matches!(error, Error::CircuitOpen { retry_after, .. } if retry_after == SECOND), "no less than a second: {error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_used_up_quota_is_not_tried_anyway_and_a_provider_that_only_failed_is() {
    let world = opened().await;
    world.then("c", [refusal(429, None, true)]);
    is_status(world.answers(&[target("c")]).await, 429);
    world.asked();
    is_from(&world.answers(&[target("c"), target("a")]).await, "a", 1);
    assert_eq!(world.asked(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_request_or_of_the_operator_open_no_circuit() {
    let missing =
        Act::Fail(Error::SecretMissing { provider: "a".into(), name: "A".into(), cause: crate::llm::MissingSecret::NotSet }.into());
    let unknown = Act::Fail(Error::UnknownProvider { provider: "a".into() }.into());
    for act in [status(400), status(404), status(413), status(422), missing, unknown, timeout(Phase::Deadline)] {
        let world = World::with(limits()).acts("a", vec![act; 3]);
        for _ in 0..3 {
            assert!(world.answers(&[target("a")]).await.is_err());
        }
        assert!(world.attempts.circuits().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_by_its_name_and_as_the_providers_own_has_one_circuit() {
    let world = World::with(Limits { circuit_failures: 1, ..limits() }).acts("own", [status(401)]);
    is_status(world.answers(&[target("own"), keyed("own", "OWN")]).await, 401);
    assert_eq!(world.asked(), ["own"], "the same key is as wrong by its name");
    let states: Vec<_> = world.attempts.circuits().into_iter().map(|state| (state.provider, state.key_name)).collect();
    assert_eq!(states, [("own".to_owned(), Some("OWN".to_owned()))]);
    is_from(&world.answers(&[keyed("own", "OWN"), keyed("own", "OTHER")]).await, "own", 1);
    assert_eq!(world.asked(), ["own"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_hook_chose_counts_for_the_plugin_that_is_asked() {
    let failed = || {
        let cause = Arc::new(std::io::Error::other("it trapped"));
        Act::Fail(Error::Plugin { provider: "plugin".into(), trouble: crate::llm::PluginTrouble::Failed, cause }.into())
    };
    let world = World::with(Limits { circuit_failures: 1, ..Limits::default() }).acts("plugin", [failed()]);
    let chain = [target("plugin"), target("b")];
    let ask = async |chosen| {
        let tries = Tries::default();
        let of = Of { caller: None, deadline: Deadline::after(60 * SECOND), tries: &tries, target: None, chosen };
        Walk::new(&world, &world.attempts, &Ping, (&chain).into(), of).run().await
    };
    is_from(&ask(Some("chosen")).await, "b", 2);
    let states = world.attempts.circuits();
    assert!(!states.is_empty() && states.iter().all(|state| state.key_name.as_deref() == Some("chosen")), "{states:?}");
    is_from(&ask(None).await, "plugin", 1);
    is_from(&ask(Some("chosen")).await, "b", 1);
}
