//! One circuit: closed while a provider answers, open after it failed too often or said to stay away, half-open for one probe at a time.
//! Pure: the time is handed in. Must not know whose circuit it is, locks or logs.

use std::time::Duration;

use tokio::time::Instant;

use super::Failure;
use super::policy::Verdict;
use crate::llm::Limits;

/// When a circuit opens and for how long.
#[derive(Clone, Copy)]
pub(super) struct BreakerConfig {
    /// Failures in a row; 0 for circuits that never open.
    failures: u32,
    first: Duration,
    most: Duration,
}

/// Starts closed.
pub(super) struct Circuit {
    /// In a row, while it is closed.
    failures: u32,
    open: Option<OpenState>,
    /// Counts up with each opening: a verdict on a try from before that is old news.
    openings: u64,
}

struct OpenState {
    until: Instant,
    /// How long without a word of the provider's; twice as much after each probe that fails.
    rest: Duration,
    cause: Cause,
    probing: bool,
    why: Failure,
}

/// Why a circuit is open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cause {
    /// We counted failures.
    Failures,
    /// The provider said so: a rate or a quota.
    Limited,
    /// The provider said so: the key, or a time to wait.
    Reported,
}

/// The right to try, and what is needed to judge the outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ticket {
    openings: u64,
    probe: bool,
}

/// Why there is no right to try.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) cause: Cause,
    pub(super) until: Instant,
    pub(super) why: Failure,
}

/// What a verdict changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    None,
    Opened { rest: Duration },
    Closed,
}

impl BreakerConfig {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { failures: limits.circuit_failures, first: limits.circuit_time.min(limits.circuit_time_max), most: limits.circuit_time_max }
    }

    /// Whether circuits open at all.
    pub(super) fn are_taken(&self) -> bool {
        self.failures > 0
    }
}

impl Circuit {
    /// `openings`: no less than that of any circuit that stood in this one's place.
    pub(super) fn new(openings: u64) -> Self {
        Self { failures: 0, open: None, openings }
    }

    /// The right to try now. A circuit whose rest is over lets one in, and nobody else until that one is done.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Ticket, Open> {
        let openings = self.openings;
        match &mut self.open {
            None => Ok(Ticket { openings, probe: false }),
            Some(open) if open.probing || now < open.until => Err(Open { cause: open.cause, until: open.until, why: open.why.clone() }),
            Some(open) => {
                open.probing = true;
                Ok(Ticket { openings, probe: true })
            }
        }
    }

    /// Whether nobody may try now.
    pub(super) fn is_shut(&self, now: Instant) -> bool {
        self.open.as_ref().is_some_and(|open| open.probing || now < open.until)
    }

    /// The right to try whatever the circuit says.
    pub(super) fn force(&self) -> Ticket {
        Ticket { openings: self.openings, probe: false }
    }

    pub(super) fn settle(
        &mut self,
        now: Instant,
        ticket: Ticket,
        verdict: &Verdict,
        why: Option<&Failure>,
        rests: &BreakerConfig,
    ) -> Change {
        let fresh = ticket.openings == self.openings;
        let probe = ticket.probe && fresh;
        if probe && let Some(open) = &mut self.open {
            open.probing = false;
        }
        let rest = match &self.open {
            None => rests.first,
            Some(open) if probe => (open.rest * 2).min(rests.most),
            Some(open) => open.rest,
        };
        match (verdict, why) {
            (Verdict::Success, _) if fresh || self.open.is_none() => {
                self.failures = 0;
                if self.open.take().is_some() { Change::Closed } else { Change::None }
            }
            (Verdict::Failure, Some(why)) if self.open.is_none() => {
                self.failures += 1;
                if self.failures < rests.failures { Change::None } else { self.open(now, rest, rest, Cause::Failures, why) }
            }
            (Verdict::Failure, Some(why)) if probe => self.open(now, rest, rest, Cause::Failures, why),
            (Verdict::Unavailable { limited, retry_after: after }, Some(why)) => {
                let cause = if *limited { Cause::Limited } else { Cause::Reported };
                self.open(now, after.map_or(rest, |after| after.min(rests.most)), rest, cause, why)
            }
            _ => Change::None,
        }
    }

    fn open(&mut self, now: Instant, time: Duration, rest: Duration, cause: Cause, why: &Failure) -> Change {
        let longer = self.open.as_ref().map_or(now, |open| open.until);
        let until = longer.max(now + time);
        self.openings += 1;
        self.failures = 0;
        self.open = Some(OpenState { until, rest, cause, probing: false, why: why.clone() });
        Change::Opened { rest: until - now }
    }

    /// No failure and no opening is remembered.
    pub(super) fn at_rest(&self) -> bool {
        self.open.is_none() && self.failures == 0
    }

    pub(super) fn openings(&self) -> u64 {
        self.openings
    }

    /// Until when it is open; half-open from then on.
    pub(super) fn open_until(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.until)
    }
}

#[cfg(test)]
mod tests;
