//! A circuit's life, with a clock that the test holds.

use super::*;
use crate::llm::Error;

const OPEN_TIME: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(1);
const LIMITED: Verdict = Verdict::Unavailable { limited: true, retry_after: None };

fn config() -> BreakerConfig {
    BreakerConfig { failures_max: 3, open_time: OPEN_TIME, open_time_max: OPEN_TIME * 5 }
}

fn failure() -> Failure {
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
        assert_eq!([(); 3].map(|()| story.tries(&Verdict::Failure)), [Change::None, Change::None, Change::Opened { open_for: OPEN_TIME }]);
        story
    }

    fn after(mut self, time: Duration) -> Self {
        self.now += time;
        self
    }

    fn admit(&mut self) -> Result<Ticket, Open> {
        self.circuit.admit(self.now)
    }

    fn record(&mut self, ticket: Ticket, verdict: &Verdict) -> Change {
        self.circuit.record(self.now, ticket, verdict, Some(&failure()), &config())
    }

    #[track_caller]
    fn tries(&mut self, verdict: &Verdict) -> Change {
        let ticket = self.admit().expect("it may be tried");
        self.record(ticket, verdict)
    }

    fn is_open(&mut self) -> bool {
        self.admit().is_err()
    }
}

#[test]
fn only_failures_in_a_row_open_it() {
    let mut story = Story::new();
    for verdict in [Verdict::Failure, Verdict::Failure, Verdict::Success, Verdict::Failure, Verdict::Failure, Verdict::Neutral] {
        assert_eq!(story.tries(&verdict), Change::None);
    }
    assert_eq!(story.tries(&Verdict::Failure), Change::Opened { open_for: OPEN_TIME });
    let open = story.admit().expect_err("it is open");
    assert_eq!((open.cause, open.until), (Cause::Failures, story.now + OPEN_TIME));
}

#[test]
fn it_lets_one_probe_in_when_its_time_is_over_and_not_before() {
    assert!(Story::opened().after(OPEN_TIME - TICK).is_open());
    let mut story = Story::opened().after(OPEN_TIME);
    let probe = story.admit().expect("it is half-open");
    assert!(story.is_open(), "one at a time");
    assert_eq!(story.record(probe, &Verdict::Success), Change::Closed);
    assert!(story.circuit.is_clean() && !story.is_open());
}

#[test]
fn a_probe_that_is_cancelled_makes_place_for_the_next() {
    let mut story = Story::opened().after(OPEN_TIME);
    let probe = story.admit().expect("it is half-open");
    assert_eq!(story.circuit.record(story.now, probe, &Verdict::Neutral, None, &config()), Change::None);
    assert!(!story.is_open());
    assert!(story.is_open(), "that was the next probe");
}

#[test]
fn each_probe_that_fails_doubles_the_open_time_up_to_the_most() {
    let mut story = Story::opened();
    let mut open_for = OPEN_TIME;
    for expected in [OPEN_TIME * 2, OPEN_TIME * 4, OPEN_TIME * 5, OPEN_TIME * 5] {
        story = story.after(open_for);
        assert_eq!(story.tries(&Verdict::Failure), Change::Opened { open_for: expected });
        open_for = expected;
    }
    story = story.after(open_for);
    assert_eq!(story.tries(&Verdict::Success), Change::Closed);
    story.tries(&Verdict::Failure);
    story.tries(&Verdict::Failure);
    assert_eq!(story.tries(&Verdict::Failure), Change::Opened { open_for: OPEN_TIME }, "a success forgets the doubling");
}

#[test]
fn what_the_provider_reports_opens_it_at_once_for_as_long_as_it_says_up_to_the_most() {
    for (after, open_for) in [
        (None, OPEN_TIME),
        (Some(TICK), TICK),
        (Some(OPEN_TIME * 3), OPEN_TIME * 3),
        (Some(OPEN_TIME * 5), OPEN_TIME * 5),
        (Some(OPEN_TIME * 5 + TICK), OPEN_TIME * 5),
        (Some(Duration::MAX), OPEN_TIME * 5),
    ] {
        let mut story = Story::new();
        assert_eq!(story.tries(&Verdict::Unavailable { limited: true, retry_after: after }), Change::Opened { open_for }, "{after:?}");
        assert_eq!(story.admit().expect_err("it is open").cause, Cause::Limited);
    }
    let mut story = Story::new();
    story.tries(&Verdict::Unavailable { limited: false, retry_after: None });
    assert_eq!(story.admit().expect_err("it is open").cause, Cause::Reported);
    story = story.after(OPEN_TIME);
    assert_eq!(story.tries(&LIMITED), Change::Opened { open_for: OPEN_TIME * 2 }, "without a time of its own, twice as long");
}

#[test]
fn a_refusal_counts_like_a_failure() {
    let mut story = Story::new();
    let verdicts = [Verdict::Refused, Verdict::Failure, Verdict::Refused];
    assert_eq!(verdicts.map(|verdict| story.tries(&verdict)), [Change::None, Change::None, Change::Opened { open_for: OPEN_TIME }]);
    assert_eq!(story.admit().expect_err("it is open").cause, Cause::Failures);
}

#[test]
fn a_refused_probe_says_nothing_until_as_many_of_them_are_refused_as_open_it() {
    let refused = Verdict::Refused;
    let mut story = Story::opened().after(OPEN_TIME);
    assert_eq!([story.tries(&refused), story.tries(&refused)], [Change::None; 2], "the next one may probe at once");
    assert_eq!(story.tries(&refused), Change::Opened { open_for: OPEN_TIME * 2 });
    let mut story = Story::opened().after(OPEN_TIME);
    story.tries(&refused);
    assert_eq!(story.tries(&Verdict::Success), Change::Closed);
}

#[test]
fn an_answer_for_another_caller_makes_it_half_open_if_failures_opened_it() {
    let mut story = Story::opened();
    story.circuit.others_were_answered(story.now);
    let probe = story.admit().expect("the next try is a probe");
    assert!(story.is_open(), "one at a time");
    assert_eq!(story.record(probe, &Verdict::Failure), Change::Opened { open_for: OPEN_TIME * 2 });
    let mut story = Story::new();
    story.tries(&LIMITED);
    story.circuit.others_were_answered(story.now);
    assert!(story.is_open(), "what the provider said to this caller stands");
}

#[test]
fn a_try_that_was_forced_closes_it_or_changes_nothing() {
    let mut story = Story::opened();
    let forced = story.circuit.force();
    assert_eq!(story.record(forced, &Verdict::Failure), Change::None);
    assert_eq!(story.circuit.open_until(), Some(story.now + OPEN_TIME));
    let forced = story.circuit.force();
    assert_eq!(story.record(forced, &Verdict::Success), Change::Closed);
    let mut story = Story::opened();
    let forced = story.circuit.force();
    story.record(forced, &Verdict::Unavailable { limited: true, retry_after: Some(TICK) });
    let open = story.admit().expect_err("it is open");
    assert_eq!((open.cause, open.until), (Cause::Limited, story.now + OPEN_TIME), "a report never shortens the time");
}

#[test]
fn the_success_of_a_try_from_before_it_opened_does_not_close_it() {
    let mut story = Story::new();
    let old = story.admit().expect("it is closed");
    story.tries(&LIMITED);
    assert_eq!(story.record(old, &Verdict::Success), Change::None);
    assert!(story.is_open());
    assert_eq!(story.record(old, &Verdict::Failure), Change::None, "nor does its failure count");
}

#[test]
fn a_probe_from_an_earlier_opening_frees_no_later_ones_place() {
    let mut story = Story::opened().after(OPEN_TIME);
    let old = story.admit().expect("it is half-open");
    let forced = story.circuit.force();
    story.record(forced, &LIMITED);
    story = story.after(OPEN_TIME * 2);
    let probe = story.admit().expect("it is half-open");
    assert_eq!(story.record(old, &Verdict::Neutral), Change::None);
    assert!(story.is_open(), "the later probe is still under way");
    assert_eq!(story.record(probe, &Verdict::Success), Change::Closed);
}
