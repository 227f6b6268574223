//! What all callers together have seen of one provider and key. It opens only on what no caller can bring about alone: failures of at least two
//! of them with no answer for anyone in between, of which no caller counts for more than half. Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::Failure;
use super::circuit::{BreakerConfig, Cause, Change, Open};
use super::policy::Verdict;

/// The name of a client key; none if no keys are configured.
pub(super) type Caller = Option<Box<str>>;

/// The circuit of all callers of one provider and key. Starts closed.
pub(super) struct Shared {
    open: Option<OpenState>,
    /// What each caller has seen since somebody was answered, or since it opened.
    seen: Vec<Seen>,
    /// Whose probes are under way: one of each caller, so that nobody's slow probe keeps the others waiting.
    probing: Vec<Caller>,
    /// Counts how often it opened, so that the outcome of an earlier try is recognised.
    generation: u64,
}

struct OpenState {
    until: Instant,
    /// How long it stays open if callers were told no time; doubles each time that probes of two callers fail.
    open_time: Duration,
    cause: Cause,
    failure: Failure,
}

struct Seen {
    caller: Caller,
    failures: u32,
    cause: Cause,
    /// Until when this caller's own circuit is open.
    until: Option<Instant>,
}

/// Allows one try; needed again to record its outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ticket {
    generation: u64,
    probe: bool,
}

/// The outcome of one caller's try.
pub(super) struct Outcome<'a> {
    pub(super) caller: Option<&'a str>,
    pub(super) verdict: &'a Verdict,
    pub(super) failure: Option<&'a Failure>,
    /// Until when the caller's own circuit is open after it.
    pub(super) until: Option<Instant>,
}

impl Ticket {
    /// For a provider and key of which nothing is remembered.
    pub(super) fn new(generation: u64) -> Self {
        Self { generation, probe: false }
    }
}

impl Shared {
    /// `generation`: at least that of every earlier circuit of the same provider and key.
    pub(super) fn new(generation: u64) -> Self {
        Self { open: None, seen: Vec::new(), probing: Vec::new(), generation }
    }

    /// Why no try of this caller is allowed now.
    pub(super) fn closed_to(&self, now: Instant, caller: Option<&str>) -> Option<Open> {
        let open = self.open.as_ref()?;
        let shut = now < open.until || self.probing.iter().any(|probing| probing.as_deref() == caller);
        shut.then(|| Open { cause: open.cause, until: open.until, failure: open.failure.clone() })
    }

    /// Allows a try that `closed_to` does not forbid.
    pub(super) fn admit(&mut self, caller: Option<&str>) -> Ticket {
        let probe = self.open.is_some();
        if probe {
            self.probing.push(caller.map(Into::into));
        }
        Ticket { generation: self.generation, probe }
    }

    /// Allows a try although it is open.
    pub(super) fn force(&self) -> Ticket {
        Ticket::new(self.generation)
    }

    pub(super) fn record(&mut self, now: Instant, ticket: Ticket, outcome: &Outcome<'_>, config: &BreakerConfig) -> Change {
        let current = ticket.generation == self.generation;
        if ticket.probe && current {
            self.probing.retain(|probing| probing.as_deref() != outcome.caller);
        }
        // The most that one caller counts for.
        let half = config.failures_max.div_ceil(2);
        let (failures, cause) = match outcome.verdict {
            Verdict::Success if current || self.open.is_none() => return self.answered(),
            Verdict::Success | Verdict::Neutral => return Change::None,
            Verdict::Failure | Verdict::Refused => (1, Cause::Failures),
            Verdict::Unavailable { limited, .. } => (half, Cause::stated(*limited)),
        };
        let Some(failure) = outcome.failure else { return Change::None };
        // While it is open or half-open, only probes say whether it should be open for longer.
        if self.open.is_some() && !(ticket.probe && current) {
            return Change::None;
        }
        self.note(outcome, failures, half, cause);
        let enough = match self.open {
            None => self.seen.iter().map(|seen| seen.failures).sum::<u32>() >= config.failures_max,
            Some(_) => true,
        };
        if self.seen.len() < 2 || !enough { Change::None } else { self.open(now, failure, config) }
    }

    fn answered(&mut self) -> Change {
        self.seen.clear();
        self.probing.clear();
        if self.open.take().is_some() { Change::Closed } else { Change::None }
    }

    fn note(&mut self, outcome: &Outcome<'_>, failures: u32, most: u32, cause: Cause) {
        let at = self.seen.iter().position(|seen| seen.caller.as_deref() == outcome.caller).unwrap_or_else(|| {
            self.seen.push(Seen { caller: outcome.caller.map(Into::into), failures: 0, cause, until: None });
            self.seen.len() - 1
        });
        let seen = &mut self.seen[at];
        seen.failures = (seen.failures + failures).min(most);
        (seen.cause, seen.until) = (cause, outcome.until);
    }

    /// Opens it for as long as two callers were told to wait, if there are two; otherwise for a time of its own.
    fn open(&mut self, now: Instant, failure: &Failure, config: &BreakerConfig) -> Change {
        let open_time = self.open.as_ref().map_or(config.open_time, |open| (open.open_time * 2).min(config.open_time_max));
        let mut told: Vec<Instant> = self.seen.iter().filter_map(|seen| seen.until).filter(|until| *until > now).collect();
        told.sort_unstable_by(|a, b| b.cmp(a));
        let until = told.get(1).copied().unwrap_or(now + open_time);
        let first = self.seen[0].cause;
        let cause = if self.seen.iter().all(|seen| seen.cause == first) { first } else { Cause::Failures };
        self.seen.clear();
        self.probing.clear();
        self.generation += 1;
        self.open = Some(OpenState { until, open_time, cause, failure: failure.clone() });
        Change::Opened { open_for: until - now }
    }

    /// Whether it remembers neither a failure nor an opening.
    pub(super) fn is_clean(&self) -> bool {
        self.open.is_none() && self.seen.is_empty()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Until when it is open; it is half-open from then on.
    pub(super) fn open_until(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.until)
    }
}

#[cfg(test)]
mod tests;
