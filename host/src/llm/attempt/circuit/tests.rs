//! A circuit's life, with a clock that the test holds.

use super::*;
use crate::llm::Error;

const FIRST: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(1);
const WORD: Verdict = Verdict::Unavailable { limited: true, retry_after: None };

fn rests() -> BreakerConfig {
    BreakerConfig { failures: 3, first: FIRST, most: FIRST * 5 }
}

fn why() -> Failure {
    Error::Unreachable { provider: "a".into(), cause: "refused".into() }.into()
}

/// A circuit and its clock.
struct Story {
    circuit: Circuit,
    now: Instant,
}

impl Story {
    fn new() -> Self {
        Self { circuit: Circuit::new(7), now: Instant::now() }
    }

    /// Opened by three failures just now.
    fn opened() -> Self {
        let mut story = Self::new();
        assert_eq!([(); 3].map(|()| story.tries(&Verdict::Failure)), [Change::None, Change::None, Change::Opened { rest: FIRST }]);
        story
    }

    fn after(mut self, time: Duration) -> Self {
        self.now += time;
        self
    }

    fn admit(&mut self) -> Result<Ticket, Open> {
        self.circuit.admit(self.now)
    }

    fn settle(&mut self, ticket: Ticket, verdict: &Verdict) -> Change {
        self.circuit.settle(self.now, ticket, verdict, Some(&why()), &rests())
    }

    #[track_caller]
    fn tries(&mut self, verdict: &Verdict) -> Change {
        let ticket = self.admit().expect("it may be tried");
        self.settle(ticket, verdict)
    }

    fn is_shut(&mut self) -> bool {
        self.admit().is_err()
    }
}

#[test]
fn only_failures_in_a_row_open_it() {
    let mut story = Story::new();
    for verdict in [Verdict::Failure, Verdict::Failure, Verdict::Success, Verdict::Failure, Verdict::Failure, Verdict::Neutral] {
        assert_eq!(story.tries(&verdict), Change::None);
    }
    assert_eq!(story.tries(&Verdict::Failure), Change::Opened { rest: FIRST });
    let shut = story.admit().expect_err("it is open");
    assert_eq!((shut.cause, shut.until), (Cause::Failures, story.now + FIRST));
}

#[test]
fn it_lets_one_probe_in_when_its_rest_is_over_and_not_before() {
    assert!(Story::opened().after(FIRST - TICK).is_shut());
    let mut story = Story::opened().after(FIRST);
    let probe = story.admit().expect("its rest is over");
    assert!(story.is_shut(), "one at a time");
    assert_eq!(story.settle(probe, &Verdict::Success), Change::Closed);
    assert!(story.circuit.at_rest() && !story.is_shut());
}

#[test]
fn a_probe_that_is_cancelled_makes_place_for_the_next() {
    let mut story = Story::opened().after(FIRST);
    let probe = story.admit().expect("its rest is over");
    assert_eq!(story.circuit.settle(story.now, probe, &Verdict::Neutral, None, &rests()), Change::None);
    assert!(!story.is_shut());
    assert!(story.is_shut(), "that was the next probe");
}

#[test]
fn each_probe_that_fails_doubles_the_rest_up_to_the_most() {
    let mut story = Story::opened();
    let mut rest = FIRST;
    for expected in [FIRST * 2, FIRST * 4, FIRST * 5, FIRST * 5] {
        story = story.after(rest);
        assert_eq!(story.tries(&Verdict::Failure), Change::Opened { rest: expected });
        rest = expected;
    }
    story = story.after(rest);
    assert_eq!(story.tries(&Verdict::Success), Change::Closed);
    story.tries(&Verdict::Failure);
    story.tries(&Verdict::Failure);
    assert_eq!(story.tries(&Verdict::Failure), Change::Opened { rest: FIRST }, "a success forgets the doubling");
}

#[test]
fn a_word_of_the_providers_opens_it_at_once_for_as_long_as_it_says_up_to_the_most() {
    for (after, rest) in [
        (None, FIRST),
        (Some(TICK), TICK),
        (Some(FIRST * 3), FIRST * 3),
        (Some(FIRST * 5), FIRST * 5),
        (Some(FIRST * 5 + TICK), FIRST * 5),
        (Some(Duration::MAX), FIRST * 5),
    ] {
        let mut story = Story::new();
        assert_eq!(story.tries(&Verdict::Unavailable { limited: true, retry_after: after }), Change::Opened { rest }, "{after:?}");
        assert_eq!(story.admit().expect_err("it is open").cause, Cause::Limited);
    }
    let mut story = Story::new();
    story.tries(&Verdict::Unavailable { limited: false, retry_after: None });
    assert_eq!(story.admit().expect_err("it is open").cause, Cause::Reported);
    story = story.after(FIRST);
    assert_eq!(story.tries(&WORD), Change::Opened { rest: FIRST * 2 }, "without a time of its own, twice as long");
}

#[test]
fn a_try_that_was_forced_closes_it_or_changes_nothing() {
    let mut story = Story::opened();
    let forced = story.circuit.force();
    assert_eq!(story.settle(forced, &Verdict::Failure), Change::None);
    assert_eq!(story.circuit.open_until(), Some(story.now + FIRST));
    let forced = story.circuit.force();
    assert_eq!(story.settle(forced, &Verdict::Success), Change::Closed);
    let mut story = Story::opened();
    let forced = story.circuit.force();
    story.settle(forced, &Verdict::Unavailable { limited: true, retry_after: Some(TICK) });
    let shut = story.admit().expect_err("it is open");
    assert_eq!((shut.cause, shut.until), (Cause::Limited, story.now + FIRST), "a word never shortens the rest");
}

#[test]
fn the_success_of_a_try_from_before_it_opened_does_not_close_it() {
    let mut story = Story::new();
    let old = story.admit().expect("it is closed");
    story.tries(&WORD);
    assert_eq!(story.settle(old, &Verdict::Success), Change::None);
    assert!(story.is_shut());
    assert_eq!(story.settle(old, &Verdict::Failure), Change::None, "nor does its failure count");
}

#[test]
fn a_probe_from_an_earlier_opening_frees_no_later_ones_place() {
    let mut story = Story::opened().after(FIRST);
    let old = story.admit().expect("its rest is over");
    let forced = story.circuit.force();
    story.settle(forced, &WORD);
    story = story.after(FIRST * 2);
    let probe = story.admit().expect("its rest is over");
    assert_eq!(story.settle(old, &Verdict::Neutral), Change::None);
    assert!(story.is_shut(), "the later probe is still under way");
    assert_eq!(story.settle(probe, &Verdict::Success), Change::Closed);
}
