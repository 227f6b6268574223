//! Three providers that fail by every means, thousands of exchanges at once: every one ends, the books add up, and all is well afterwards.

use futures_util::future::join_all;

use super::*;
use crate::llm::attempt::chance::Chance;

const EXCHANGES: usize = 3_000;
const AT_ONCE: usize = 6;

fn some_act(chance: &Chance) -> Act {
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
    let place = chance.below(u32::try_from(acts.len()).expect("few"));
    acts[place as usize].clone()
}

#[tokio::test(start_paused = true)]
async fn under_random_failures_every_exchange_ends_and_the_books_add_up() {
    for seed in 0..4 {
        let (world, chance) = (World::new(), Chance::seeded(seed));
        for provider in ["a", "b", "c"] {
            world.then(provider, (0..EXCHANGES).map(|_| some_act(&chance)));
        }
        let targets = [keyed("a", "A"), keyed("a", "B"), target("b"), Target { on_status: Some(vec![400, 503]), ..target("c") }];
        let chain = Chain { targets: &targets, weights: &[2, 1], hedge_after: Some(HEDGE) };
        let (mut replies, mut errors, mut won) = (0, 0, 0);
        for _ in 0..EXCHANGES / AT_ONCE {
            for answer in join_all((0..AT_ONCE).map(|_| world.answers_within(30 * SECOND, chain))).await {
                match answer {
                    Ok(answer) => {
                        // Three tries at each target, and one more for a target that was passed over.
                        assert!((1..=13).contains(&answer.attempts), "{}", answer.attempts);
                        replies += 1;
                        won += answer.attempts as usize;
                    }
                    Err(Error::CircuitOpen { retry_after, .. }) => {
                        assert!((SECOND..=600 * SECOND).contains(&retry_after), "{retry_after:?}");
                        errors += 1;
                    }
                    Err(Error::UnknownProvider { .. } | Error::SecretMissing { .. }) => panic!("nobody said so"),
                    Err(_) => errors += 1,
                }
            }
            // Rests pass, so that circuits close and open often.
            tokio::time::advance(60 * SECOND).await;
        }
        assert_eq!(replies + errors, EXCHANGES);
        assert!(replies > EXCHANGES / 3 && errors > EXCHANGES / 3, "{replies} {errors}");
        let (asked, outcomes) = (world.asked(), world.outcomes());
        assert_eq!(asked.len(), outcomes.len(), "each try has one outcome");
        assert_eq!(outcomes.iter().filter(|outcome| outcome.ends_with(" ok")).count(), replies);
        assert!(asked.len() >= won, "{} {won}", asked.len());
        all_is_well_again(&world, &targets).await;
    }
}

/// Once providers answer and the longest rest is over, nothing is held against anybody.
async fn all_is_well_again(world: &World, targets: &[Target]) {
    world.acts.lock().unwrap().clear();
    tokio::time::advance(Limits::default().circuit_time_max).await;
    for target in targets {
        is_from(&world.answers(std::slice::from_ref(target)).await, &target.provider, 1);
    }
    assert!(world.attempts.circuits().is_empty(), "{:?}", world.attempts.circuits());
}
