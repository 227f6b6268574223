//! Three providers that fail in every way, and thousands of exchanges: every one ends, every try has one outcome, and afterwards all circuits
//! close.

use futures_util::future::join_all;

use super::*;

const EXCHANGES: usize = 3_000;
const AT_ONCE: usize = 6;

fn some_act(rng: &mut Rng) -> Act {
    let acts = [
        Act::Reply,
        Act::Reply,
        Act::Slow(SECOND, Box::new(Act::Reply)),
        Act::Slow(SECOND, Box::new(status(503))),
        status(400),
        status(401),
        status(404),
        status(409),
        status(500),
        status(529),
        wait(429, SECOND),
        wait(429, 60 * SECOND),
        refusal(429, None, true),
        unreachable(),
        timeout(Phase::FirstByte),
        timeout(Phase::Total),
    ];
    acts[rng.usize(..acts.len())].clone()
}

#[tokio::test(start_paused = true)]
async fn under_random_failures_every_exchange_ends_and_every_try_has_one_outcome() {
    for seed in 0..4 {
        let (world, mut rng) = (World::new(), Rng::with_seed(seed));
        for provider in ["a", "b", "c"] {
            world.then(provider, (0..EXCHANGES).map(|_| some_act(&mut rng)));
        }
        let targets = [keyed("a", "A"), keyed("a", "B"), target("b"), Target { on_status: Some(vec![400, 503]), ..target("c") }];
        let chain = Chain { targets: &targets, weights: &[2, 1], hedge_after: Some(HEDGE) };
        let (mut replies, mut errors, mut tries) = (0, 0, 0);
        for _ in 0..EXCHANGES / AT_ONCE {
            for answer in join_all((0..AT_ONCE).map(|_| world.answers_within(30 * SECOND, chain))).await {
                match answer {
                    Ok(answer) => {
                        // Three tries at each target, and one more for a target that was skipped.
                        assert!((1..=13).contains(&answer.attempts), "{}", answer.attempts);
                        replies += 1;
                        tries += answer.attempts as usize;
                    }
                    Err(Error::CircuitOpen { retry_after, .. }) => {
                        assert!((SECOND..=600 * SECOND).contains(&retry_after), "{retry_after:?}");
                        errors += 1;
                    }
                    Err(Error::UnknownProvider { .. } | Error::SecretMissing { .. }) => panic!("no provider did this"),
                    Err(_) => errors += 1,
                }
            }
            // Open times end, so that circuits close and open often.
            tokio::time::advance(60 * SECOND).await;
        }
        assert_eq!(replies + errors, EXCHANGES);
        assert!(replies > EXCHANGES / 3 && errors > EXCHANGES / 4, "{replies} {errors}");
        let (asked, outcomes) = (world.asked(), world.outcomes());
        assert_eq!(asked.len(), outcomes.len(), "each try has one outcome");
        assert_eq!(outcomes.iter().filter(|outcome| outcome.ends_with(" ok")).count(), replies);
        assert!(asked.len() >= tries, "{} {tries}", asked.len());
        all_circuits_close(&world, &targets).await;
    }
}

/// Once providers answer and the longest open time is over, every circuit closes.
async fn all_circuits_close(world: &World, targets: &[Target]) {
    world.acts.lock().unwrap().clear();
    tokio::time::advance(Limits::default().circuit_time_max).await;
    for target in targets {
        is_from(&world.answers(std::slice::from_ref(target)).await, &target.provider, 1);
    }
    assert!(world.attempts.circuits().is_empty(), "{:?}", world.attempts.circuits());
}
