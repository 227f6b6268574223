//! A second target beside a slow first one: when it begins, who wins, and that it happens once.

use super::*;

fn hedged(targets: &[Target]) -> Chain<'_> {
    Chain { hedge_after: Some(HEDGE), ..Chain::from(targets) }
}

fn slow(time: Duration, act: Act) -> Act {
    Act::Slow(time, Box::new(act))
}

const TICK: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn a_reply_in_time_has_no_hedge() {
    let world = World::new().acts("a", [slow(HEDGE - TICK, Act::Reply)]);
    is_from(&world.answers(hedged(&[target("a"), target("b")])).await, "a", 1);
    assert_eq!((world.asked(), world.outcomes()), (vec!["a".to_owned()], vec!["a ok".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn the_hedge_wins_and_the_slow_one_is_cancelled() {
    let world = World::new().acts("a", [Act::Hang]).acts("b", [slow(SECOND, Act::Reply)]);
    is_from(&world.answers(hedged(&[target("a"), target("b")])).await, "b", 2);
    assert_eq!(world.times(), [Duration::ZERO, HEDGE]);
    assert_eq!(world.outcomes(), ["b ok", "a cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn the_slow_one_may_still_win() {
    let world = World::new().acts("a", [slow(HEDGE * 2, Act::Reply)]).acts("b", [Act::Hang]);
    is_from(&world.answers(hedged(&[target("a"), target("b")])).await, "a", 2);
    assert_eq!(world.outcomes(), ["a ok", "b cancelled"]);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_leaves_the_race_to_the_other() {
    let world = World::new().acts("a", [slow(SECOND, status(404))]).acts("b", [slow(SECOND, Act::Reply)]);
    is_from(&world.answers(hedged(&[target("a"), target("b"), target("c")])).await, "b", 2);
    let world = World::new().acts("a", [slow(2 * SECOND, Act::Reply)]).acts("b", [status(404)]);
    is_from(&world.answers(hedged(&[target("a"), target("b"), target("c")])).await, "a", 2);
    assert_eq!(world.asked(), ["a", "b"], "there is one hedge and no more");
}

#[tokio::test(start_paused = true)]
async fn when_both_fail_the_next_runs_without_a_hedge() {
    let world = World::new().acts("a", [slow(SECOND, status(404))]).acts("b", [slow(SECOND, status(404))]);
    world.then("c", [slow(10 * SECOND, Act::Reply)]);
    is_from(&world.answers(hedged(&[target("a"), target("b"), target("c"), target("d")])).await, "c", 3);
    assert_eq!(world.asked(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn the_time_counts_for_each_target_and_includes_its_retries() {
    let world = World::new().acts("a", [slow(HEDGE - TICK, status(404))]).acts("b", [Act::Hang]);
    is_from(&world.answers(hedged(&[target("a"), target("b"), target("c")])).await, "c", 3);
    assert_eq!(world.times(), [Duration::ZERO, HEDGE - TICK, 2 * HEDGE - TICK]);
    let world = World::new().acts("a", [wait(429, 3 * SECOND)]);
    is_from(&world.answers(hedged(&[target("a"), target("b")])).await, "b", 2);
    assert_eq!(world.times(), [Duration::ZERO, HEDGE], "beside the pause");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_runs_whatever_its_statuses_and_only_if_its_circuit_is_closed() {
    let picky = Target { on_status: Some(vec![]), ..target("b") };
    let world = World::new().acts("a", [Act::Hang]);
    is_from(&world.answers(hedged(&[target("a"), picky])).await, "b", 2);
    let world = World::with(Limits { circuit_failures: 1, ..Limits::default() }).acts("b", [status(401)]);
    is_status(world.answers(&[target("b")]).await, 401);
    world.then("a", [Act::Hang]);
    is_from(&world.answers(hedged(&[target("a"), target("b"), target("c")])).await, "c", 2);
    assert_eq!(world.asked(), ["b", "a", "c"]);
    world.then("a", [slow(5 * SECOND, Act::Reply)]);
    is_from(&world.answers(hedged(&[target("a"), target("b")])).await, "a", 1);
}

#[tokio::test(start_paused = true)]
async fn the_loser_of_a_race_says_nothing_about_its_provider() {
    let world = World::with(Limits { circuit_failures: 1, ..Limits::default() }).acts("a", [Act::Hang]);
    is_from(&world.answers(hedged(&[target("a"), target("b")])).await, "b", 2);
    assert!(world.attempts.circuits().is_empty());
}

/// A plugin decided that nobody answers the request.
fn rejected() -> Act {
    let (provider, code, message) = ("a".into(), "not_here".into(), "no".into());
    Act::Fail(Error::Refused { provider, status: 451, code, message, retry_after: None }.into())
}

#[track_caller]
fn is_rejected(answer: &Result<Answered<()>, Error>) {
    assert!(matches!(answer, Err(Error::Refused { status: 451, .. })), "{:?}", answer.as_ref().err());
}

#[tokio::test(start_paused = true)]
async fn a_rejection_ends_the_race_whoever_says_it() {
    let world = World::new().acts("a", [slow(SECOND, rejected())]).acts("b", [slow(2 * SECOND, Act::Reply)]);
    is_rejected(&world.answers(hedged(&[target("a"), target("b"), target("c")])).await);
    assert_eq!((world.begun.elapsed(), world.outcomes()), (SECOND, vec!["a refused".to_owned(), "b cancelled".to_owned()]));
    // The hedge says it, beside one that is slow and beside one that pauses before it is asked again.
    for first in [Act::Hang, wait(429, 3 * SECOND)] {
        let world = World::new().acts("a", [first]).acts("b", [rejected()]);
        is_rejected(&world.answers(hedged(&[target("a"), target("b"), target("c")])).await);
        assert_eq!((world.begun.elapsed(), world.asked()), (HEDGE, vec!["a".to_owned(), "b".to_owned()]));
    }
}
