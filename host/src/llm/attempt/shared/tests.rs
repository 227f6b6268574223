//! The life of the circuit that all callers share, with a clock that the test holds: what opens it, for how long, and who may probe.

use super::*;
use crate::llm::Error;

const OPEN_TIME: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(1);
const REFUSED: Verdict = Verdict::Refused;
const WAIT: Verdict = Verdict::Unavailable { limited: false, retry_after: None };
const LIMITED: Verdict = Verdict::Unavailable { limited: true, retry_after: None };

fn failure() -> Failure {
    Error::Unreachable { provider: "p".into(), cause: "refused".into() }.into()
}

/// A circuit and its clock.
struct Story {
    shared: Shared,
    now: Instant,
    failures_max: u32,
}

impl Story {
    fn new(failures_max: u32) -> Self {
        Self { shared: Shared::new(7), now: Instant::now(), failures_max }
    }

    /// Opened by two callers just now.
    fn opened() -> Self {
        let mut story = Self::new(2);
        assert_eq!([story.tries("a", &Verdict::Failure), story.tries("b", &Verdict::Failure)], [Change::None, opened_for(OPEN_TIME)]);
        story
    }

    fn after(mut self, time: Duration) -> Self {
        self.now += time;
        self
    }

    fn is_open(&self, caller: &str) -> bool {
        self.shared.closed_to(self.now, Some(caller)).is_some()
    }

    #[track_caller]
    fn admit(&mut self, caller: &str) -> Ticket {
        assert!(!self.is_open(caller), "{caller} may try");
        self.shared.admit(Some(caller))
    }

    fn record(&mut self, ticket: Ticket, caller: &str, verdict: &Verdict, open_for: Option<Duration>) -> Change {
        let config = BreakerConfig { failures_max: self.failures_max, open_time: OPEN_TIME, open_time_max: OPEN_TIME * 5 };
        let (failure, until) = (failure(), open_for.map(|time| self.now + time));
        self.shared.record(self.now, ticket, &Outcome { caller: Some(caller), verdict, failure: Some(&failure), until }, &config)
    }

    #[track_caller]
    fn tries(&mut self, caller: &str, verdict: &Verdict) -> Change {
        let ticket = self.admit(caller);
        self.record(ticket, caller, verdict, None)
    }
}

fn opened_for(open_for: Duration) -> Change {
    Change::Opened { open_for }
}

#[test]
fn nothing_that_one_caller_does_opens_it() {
    for failures_max in [1, 2, 5] {
        for verdict in [Verdict::Failure, REFUSED, LIMITED] {
            let mut story = Story::new(failures_max);
            for _ in 0..100 {
                assert_eq!(story.tries("a", &verdict), Change::None, "{failures_max} {verdict:?}");
            }
            assert!(!story.is_open("a") && !story.is_open("b"));
        }
    }
}

#[test]
fn no_caller_counts_for_more_than_half_of_the_failures() {
    for (failures_max, of_the_other) in [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (1_000, 500)] {
        let mut story = Story::new(failures_max);
        for _ in 0..failures_max * 2 {
            story.tries("a", &Verdict::Failure);
        }
        for _ in 1..of_the_other {
            assert_eq!(story.tries("b", &Verdict::Failure), Change::None, "{failures_max}");
        }
        assert_eq!(story.tries("b", &Verdict::Failure), opened_for(OPEN_TIME), "{failures_max}");
    }
}

#[test]
fn failures_of_many_callers_add_up() {
    let mut story = Story::new(5);
    for caller in ["a", "b", "c", "d"] {
        assert_eq!(story.tries(caller, &Verdict::Failure), Change::None);
    }
    assert_eq!(story.tries("e", &Verdict::Failure), opened_for(OPEN_TIME));
    assert!(story.is_open("f"), "who has not asked yet is spared the failure");
}

#[test]
fn an_answer_for_anyone_counts_from_0_again() {
    let mut story = Story::new(2);
    for verdict in [Verdict::Failure, Verdict::Success, Verdict::Failure, Verdict::Neutral] {
        assert_eq!(story.tries("a", &verdict), Change::None);
    }
    assert_eq!(story.tries("c", &Verdict::Success), Change::None);
    assert!(story.shared.is_clean());
    assert_eq!(story.tries("b", &Verdict::Failure), Change::None);
}

#[test]
fn it_is_open_for_as_long_as_two_callers_were_told_to_wait() {
    for (a, b, open_for) in [(600, 20, 20), (20, 600, 20), (3, 3, 3)] {
        let mut story = Story::new(5);
        let times = [a, b].map(Duration::from_secs);
        let ticket = story.admit("a");
        assert_eq!(story.record(ticket, "a", &LIMITED, Some(times[0])), Change::None);
        let ticket = story.admit("b");
        assert_eq!(story.record(ticket, "b", &LIMITED, Some(times[1])), opened_for(Duration::from_secs(open_for)));
    }
    let mut story = Story::new(2);
    let ticket = story.admit("a");
    story.record(ticket, "a", &LIMITED, Some(OPEN_TIME * 60));
    assert_eq!(story.tries("b", &Verdict::Failure), opened_for(OPEN_TIME), "what one caller was told binds no other");
}

#[test]
fn it_gives_way_unless_all_were_told_the_same() {
    for (a, b, cause) in [
        (&LIMITED, &LIMITED, Cause::Limited),
        (&WAIT, &WAIT, Cause::Reported),
        (&REFUSED, &REFUSED, Cause::Failures),
        (&LIMITED, &Verdict::Failure, Cause::Failures),
        (&WAIT, &LIMITED, Cause::Failures),
    ] {
        let mut story = Story::new(2);
        story.tries("a", a);
        assert_eq!(story.tries("b", b), opened_for(OPEN_TIME));
        assert_eq!(story.shared.closed_to(story.now, Some("c")).map(|open| open.cause), Some(cause));
    }
}

#[test]
fn each_caller_may_probe_once_at_a_time_when_its_time_is_over() {
    assert!(Story::opened().after(OPEN_TIME - TICK).is_open("c"));
    let mut story = Story::opened().after(OPEN_TIME);
    let a = story.admit("a");
    assert!(story.is_open("a") && !story.is_open("b"), "a's probe is slow, and that is a's loss alone");
    let b = story.admit("b");
    assert_eq!(story.record(b, "b", &Verdict::Success, None), Change::Closed);
    assert!(!story.is_open("a") && story.shared.is_clean());
    assert_eq!(story.record(a, "a", &Verdict::Failure, None), Change::None);
}

#[test]
fn a_probe_that_is_cancelled_makes_place_for_the_callers_next_one() {
    let mut story = Story::opened().after(OPEN_TIME);
    let probe = story.admit("a");
    assert_eq!(story.record(probe, "a", &Verdict::Neutral, None), Change::None);
    assert!(!story.is_open("a"));
}

#[test]
fn probes_of_one_caller_never_open_it_again_and_those_of_two_do_for_twice_as_long() {
    let mut story = Story::opened();
    let mut open_for = OPEN_TIME;
    for expected in [2, 4, 5, 5].map(|times| OPEN_TIME * times) {
        story = story.after(open_for);
        for _ in 0..20 {
            assert_eq!(story.tries("a", &REFUSED), Change::None);
        }
        assert!(!story.is_open("b"));
        assert_eq!(story.tries("b", &Verdict::Failure), opened_for(expected));
        open_for = expected;
    }
}

#[test]
fn tries_from_before_it_opened_neither_close_it_nor_keep_it_open() {
    let mut story = Story::new(2);
    let [old, older] = [story.admit("a"), story.admit("b")];
    story.tries("a", &Verdict::Failure);
    story.tries("b", &Verdict::Failure);
    assert_eq!(story.record(old, "a", &Verdict::Success, None), Change::None);
    story = story.after(OPEN_TIME);
    assert_eq!([story.record(old, "a", &Verdict::Failure, None), story.record(older, "b", &LIMITED, None)], [Change::None; 2]);
    let forced = story.shared.force();
    assert_eq!(story.record(forced, "a", &Verdict::Success, None), Change::Closed, "one that was let in all the same does");
}
