//! Which tries share a circuit, what is kept, and what the observer learns, on a paused clock.

use std::time::Duration;

use super::*;
use crate::llm::Error;

#[derive(Default)]
struct Gauge(Mutex<Vec<String>>);

impl Observer for Gauge {
    fn attempt(&self, _: &str, _: &str, _: &'static str, _: f64) {}

    fn circuits(&self, provider: &str, open: usize) {
        self.0.lock().unwrap().push(format!("{provider} {open}"));
    }
}

fn account<'a>(provider: &'a str, key_name: Option<&'a str>) -> Account<'a> {
    Account { provider, key_name, caller: None }
}

fn failure() -> Failure {
    Error::UnknownProvider { provider: "a".into() }.into()
}

fn circuits(circuit_failures: u32) -> (Circuits, Arc<Gauge>) {
    let gauge = Arc::new(Gauge::default());
    let limits = Limits { circuit_failures, ..Limits::default() };
    (Circuits::new(&limits, Arc::clone(&gauge) as Arc<dyn Observer>, ["a".to_owned(), "c".to_owned()].iter()), gauge)
}

fn fails(circuits: &Circuits, account: Account<'_>) {
    circuits.admit(account).map_err(|_| "open").expect("a permit").record(&Verdict::Failure, Some(&failure()));
}

#[tokio::test(start_paused = true)]
async fn a_circuit_belongs_to_one_provider_and_one_key() {
    let (circuits, gauge) = circuits(1);
    fails(&circuits, account("a", Some("A")));
    assert!(circuits.admit(account("a", Some("A"))).is_err());
    for other in [account("a", Some("B")), account("a", None), account("b", Some("A"))] {
        assert!(circuits.admit(other).is_ok(), "{other:?}");
    }
    fails(&circuits, account("a", None));
    fails(&circuits, account("b", None));
    assert_eq!(*gauge.0.lock().unwrap(), ["a 1", "a 2", "b 1"]);
}

#[tokio::test(start_paused = true)]
async fn a_circuit_with_nothing_to_remember_is_not_kept() {
    let (circuits, gauge) = circuits(2);
    let a = account("a", Some("A"));
    let states = || circuits.states().into_iter().map(|state| (state.provider, state.key_name, state.state)).collect::<Vec<_>>();
    let is = |state| vec![("a".to_owned(), Some("A".to_owned()), state)];
    drop(circuits.admit(a));
    assert!(states().is_empty());
    fails(&circuits, a);
    assert_eq!(states(), is(CircuitPhase::Closed));
    fails(&circuits, a);
    assert_eq!(states(), is(CircuitPhase::Open));
    assert_eq!(circuits.states()[0].until, Some(Instant::now() + Duration::from_secs(10)));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(states(), is(CircuitPhase::HalfOpen));
    circuits.admit(a).map_err(|_| "open").expect("the probe").record(&Verdict::Success, None);
    assert!(states().is_empty());
    assert_eq!(*gauge.0.lock().unwrap(), ["a 1", "a 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_dropped_lets_the_next_probe_in() {
    let (circuits, _) = circuits(1);
    let a = account("a", None);
    fails(&circuits, a);
    tokio::time::advance(Duration::from_secs(10)).await;
    let probe = circuits.admit(a);
    assert!(probe.is_ok() && circuits.admit(a).is_err());
    drop(probe);
    assert!(circuits.admit(a).is_ok());
}

#[tokio::test(start_paused = true)]
async fn with_0_failures_no_circuit_opens() {
    let (circuits, gauge) = circuits(0);
    let a = account("a", None);
    for verdict in [Verdict::Failure, Verdict::Unavailable { limited: true, retry_after: None }] {
        circuits.admit(a).map_err(|_| "open").expect("a permit").record(&verdict, Some(&failure()));
    }
    assert!(circuits.admit(a).is_ok() && circuits.states().is_empty() && gauge.0.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_failure_less_than_the_limit_leaves_it_closed() {
    let (circuits, _) = circuits(3);
    let a = account("a", None);
    fails(&circuits, a);
    fails(&circuits, a);
    fails(&circuits, a);
    assert!(circuits.admit(a).is_err());
}

#[tokio::test(start_paused = true)]
async fn circuits_of_a_provider_that_stays_go_on_and_those_of_one_that_changed_begin_anew() {
    let (before, gauge) = circuits(1);
    let (kept, changed) = (account("a", Some("A")), account("c", Some("A")));
    fails(&before, kept);
    fails(&before, changed);
    let under_way = before.force(changed);
    let names = ["a".to_owned(), "c".to_owned()];
    let limits = Limits { circuit_failures: 1, ..Limits::default() };
    let after = before.renewed(&limits, Arc::clone(&gauge) as Arc<dyn Observer>, names.iter().map(|name| (name, name == "a")));
    assert!(before.admit(changed).is_err(), "until it is in force");
    after.take_effect();
    assert!(after.admit(kept).is_err() && after.admit(changed).is_ok());
    // What a request that began before comes to says nothing about the new provider of that name, and the gauge is not the old one's.
    under_way.record(&Verdict::Failure, Some(&failure()));
    fails(&after, changed);
    assert!(after.admit(changed).is_err());
    after.force(kept).record(&Verdict::Success, None);
    assert!(before.admit(kept).is_ok(), "one that stays is the same for both");
    assert_eq!(*gauge.0.lock().unwrap(), ["a 1", "c 1", "c 0", "c 1", "a 0"]);
}
