//! One caller's circuit breaker: closed while a provider answers, open after it failed too often or asked for a pause, half-open for one
//! probe at a time. Pure: the time is an argument, and the outcome of a try from before the circuit opened never closes it.

use std::time::Duration;

use tokio::time::Instant;

use super::Failure;
use super::policy::Verdict;
use crate::llm::limits::Limits;

/// When a circuit opens and for how long.
#[derive(Clone, Copy)]
pub(super) struct BreakerConfig {
    /// Failures in a row that open it; with 0 it never opens.
    pub(super) failures_max: u32,
    /// How long it stays open at first.
    pub(super) open_time: Duration,
    pub(super) open_time_max: Duration,
}

/// Starts closed.
pub(super) struct Circuit {
    /// In a row; while it is half-open, only probes that were refused.
    failures: u32,
    open: Option<OpenState>,
    /// Counts how often it opened, so that the outcome of an earlier try is recognised.
    generation: u64,
}

struct OpenState {
    until: Instant,
    /// How long it stays open if the provider names no time; doubles with each probe that fails.
    open_time: Duration,
    cause: Cause,
    /// A probe is under way.
    probing: bool,
    /// The failure that opened it.
    failure: Failure,
}

/// Why a circuit is open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cause {
    /// Failures in a row.
    Failures,
    /// The provider reported a rate limit or a quota.
    Limited,
    /// The provider named a time to wait.
    Reported,
}

impl Cause {
    /// Of what the provider said itself.
    pub(super) fn stated(limited: bool) -> Self {
        if limited { Self::Limited } else { Self::Reported }
    }
}

/// Allows one try; needed again to record its outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ticket {
    generation: u64,
    probe: bool,
}

/// The circuit is open: no try is allowed.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) cause: Cause,
    pub(super) until: Instant,
    pub(super) failure: Failure,
}

/// What the outcome of a try changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    None,
    Opened { open_for: Duration },
    Closed,
}

impl BreakerConfig {
    pub(super) fn new(limits: &Limits) -> Self {
        let (open_time, open_time_max) = (limits.circuit_time.min(limits.circuit_time_max), limits.circuit_time_max);
        Self { failures_max: limits.circuit_failures, open_time, open_time_max }
    }

    /// Whether circuits ever open.
    pub(super) fn is_enabled(&self) -> bool {
        self.failures_max > 0
    }
}

impl Circuit {
    /// `generation`: at least that of every earlier circuit of the same provider and key.
    pub(super) fn new(generation: u64) -> Self {
        Self { failures: 0, open: None, generation }
    }

    /// Allows a try now. A half-open circuit allows one probe, and nothing else until that one has ended.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Ticket, Open> {
        let generation = self.generation;
        match &mut self.open {
            None => Ok(Ticket { generation, probe: false }),
            Some(open) if open.probing || now < open.until => {
                Err(Open { cause: open.cause, until: open.until, failure: open.failure.clone() })
            }
            Some(open) => {
                open.probing = true;
                Ok(Ticket { generation, probe: true })
            }
        }
    }

    /// Whether no try is allowed now.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.open.as_ref().is_some_and(|open| open.probing || now < open.until)
    }

    /// Allows a try although the circuit is open.
    pub(super) fn force(&self) -> Ticket {
        Ticket { generation: self.generation, probe: false }
    }

    /// Records the outcome of a try; `failure` is its failure, if it failed.
    pub(super) fn record(
        &mut self,
        now: Instant,
        ticket: Ticket,
        verdict: &Verdict,
        failure: Option<&Failure>,
        config: &BreakerConfig,
    ) -> Change {
        let current = ticket.generation == self.generation;
        let probe = ticket.probe && current;
        if probe && let Some(open) = &mut self.open {
            open.probing = false;
        }
        let time = match &self.open {
            None => config.open_time,
            Some(open) if probe => (open.open_time * 2).min(config.open_time_max),
            Some(open) => open.open_time,
        };
        match (verdict, failure) {
            (Verdict::Success, _) if current || self.open.is_none() => {
                self.failures = 0;
                if self.open.take().is_some() { Change::Closed } else { Change::None }
            }
            (Verdict::Failure, Some(failure)) if probe => self.open(now, time, time, Cause::Failures, failure),
            (Verdict::Failure, Some(failure)) if self.open.is_none() => self.failed(now, time, failure, config),
            // A refusal may be of what this request asked for, so one of them says as little of a half-open circuit as of a closed one.
            (Verdict::Refused, Some(failure)) if probe || self.open.is_none() => self.failed(now, time, failure, config),
            (Verdict::Unavailable { limited, retry_after }, Some(failure)) => {
                let open_for = retry_after.map_or(time, |after| after.min(config.open_time_max));
                self.open(now, open_for, time, Cause::stated(*limited), failure)
            }
            _ => Change::None,
        }
    }

    /// Counts a failure, and opens it if that was one too many.
    fn failed(&mut self, now: Instant, time: Duration, failure: &Failure, config: &BreakerConfig) -> Change {
        self.failures += 1;
        if self.failures < config.failures_max { Change::None } else { self.open(now, time, time, Cause::Failures, failure) }
    }

    /// Another caller was answered, so if failures were counted here, the next try may see whether they are over.
    pub(super) fn others_were_answered(&mut self, now: Instant) {
        if let Some(open) = self.open.as_mut().filter(|open| open.cause == Cause::Failures) {
            open.until = open.until.min(now);
        }
    }

    /// Opens it for at least `open_for`; never for less than before.
    fn open(&mut self, now: Instant, open_for: Duration, open_time: Duration, cause: Cause, failure: &Failure) -> Change {
        let before = self.open.as_ref().map_or(now, |open| open.until);
        let until = before.max(now + open_for);
        self.generation += 1;
        self.failures = 0;
        self.open = Some(OpenState { until, open_time, cause, probing: false, failure: failure.clone() });
        Change::Opened { open_for: until - now }
    }

    /// Whether it remembers neither a failure nor an opening.
    pub(super) fn is_clean(&self) -> bool {
        self.open.is_none() && self.failures == 0
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
