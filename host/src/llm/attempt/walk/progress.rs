//! Who is tried next: what has failed so far, who was passed over for an open circuit, how much waiting is left.
//! Must not know how a try is made.

use std::time::Duration;

use tokio::time::Instant;

use super::{Ask, Entry, Failed, Start, Walk};
use crate::llm::attempt::circuit::{Cause, Open};
use crate::llm::attempt::circuits::Permit;
use crate::llm::attempt::policy::{Retry, falls_back};
use crate::llm::attempt::{Attempts, Failure};
use crate::llm::{Error, Target};

/// What a benched target's client is told to wait at least.
const WAIT_LEAST: Duration = Duration::from_secs(1);

pub(super) struct Progress<'w, 'a, A> {
    walk: &'w Walk<'a, A>,
    /// The place in the order of the next target that was not looked at.
    next: usize,
    /// What `on_status` of the next target is held against.
    before: Option<Before<'a>>,
    /// The last try that failed.
    last: Option<Failed<'a>>,
    /// Passed over: place and why.
    shut: Vec<(usize, Open)>,
    /// A hook's choice of model went to one of the equals.
    chosen: bool,
    /// A target was tried although its circuit is open.
    forced: bool,
    /// Pauses so far.
    waited: Duration,
}

/// A failure, or that of the tries which opened a circuit.
struct Before<'a> {
    target: &'a Target,
    model: &'a str,
    failure: Failure,
}

impl<'w, 'a, A: Ask> Progress<'w, 'a, A> {
    pub(super) fn new(walk: &'w Walk<'a, A>) -> Self {
        Self { walk, next: 0, before: None, last: None, shut: Vec::new(), chosen: false, forced: false, waited: Duration::ZERO }
    }

    /// The next try when none is under way.
    pub(super) fn next(&mut self) -> Option<Start<'a>> {
        if self.last.is_some() && self.walk.deadline.remaining().is_zero() {
            return None;
        }
        let next = self.next_target(false).or_else(|| self.alone()).or_else(|| self.anyway())?;
        if let Some(Failed { target, failure, .. }) = &self.last
            && *target != next.target
        {
            tracing::warn!(llm.provider = next.target.provider, "falling back to provider `{}`: {}", next.target.provider, failure.error);
        }
        Some(next)
    }

    /// The next try while another one is late.
    pub(super) fn hedge(&mut self) -> Option<Start<'a>> {
        let start = self.next_target(true)?;
        tracing::info!(llm.provider = start.target.provider, "no reply has begun: provider `{}` is asked too", start.target.provider);
        Some(start)
    }

    /// Takes note of a failure; the next try at the same target, if there is one.
    pub(super) fn failed(&mut self, failed: Failed<'a>) -> Option<Start<'a>> {
        let again = match failed.retry {
            Retry::After(floor) => self.again(&failed, floor),
            Retry::AfterOthers | Retry::Never => None,
        };
        if again.is_none() {
            self.before = Some(Before { target: failed.target, model: failed.model, failure: failed.failure.clone() });
            self.last = Some(failed);
        }
        again
    }

    /// The error of the whole walk.
    pub(super) fn error(self) -> Error {
        if let Some(failed) = self.last {
            return failed.failure.error;
        }
        let soonest = self.shut.into_iter().min_by_key(|(_, shut)| shut.until);
        let Some((place, shut)) = soonest else { return Error::UnknownProvider { provider: String::new() } };
        let retry_after = shut.until.saturating_duration_since(Instant::now()).max(WAIT_LEAST);
        let provider = self.walk.target(place).provider.clone();
        Error::CircuitOpen { provider, limited: shut.cause == Cause::Limited, retry_after }
    }

    /// The next target in order that the last failure lets run and whose circuit lets it in. A hedge runs as after a timeout: whatever
    /// `on_status` lists.
    fn next_target(&mut self, hedge: bool) -> Option<Start<'a>> {
        let walk = self.walk;
        while self.next < walk.order.len() {
            let place = self.next;
            self.next += 1;
            let target = walk.target(place);
            if !hedge && self.before.as_ref().is_some_and(|b| !walk.lets_run(target, b.target, b.model, &b.failure)) {
                continue;
            }
            match walk.attempts.circuits.admit(walk.account(target)) {
                Ok(pass) => return Some(self.first(place, pass)),
                Err(shut) => {
                    tracing::debug!(llm.provider = target.provider, "passed over: its circuit is open");
                    // It counts as failed in the way that it failed last.
                    self.before = Some(Before { target, model: &target.model, failure: shut.why.clone() });
                    self.shut.push((place, shut));
                }
            }
        }
        None
    }

    /// The last target again, where its failure took too long to try again before others.
    fn alone(&mut self) -> Option<Start<'a>> {
        let last = self.last.take()?;
        let again = if last.retry == Retry::AfterOthers { self.again(&last, Duration::ZERO) } else { None };
        self.last = Some(last);
        again
    }

    /// The first target that was passed over only because we counted its failures, or whose rest is over while another request probes it:
    /// an outage must not last longer for being noticed.
    fn anyway(&mut self) -> Option<Start<'a>> {
        let now = Instant::now();
        let tried = self.last.as_ref();
        let may = |(place, shut): &(usize, Open)| {
            let allowed = |failed: &Failed<'_>| self.walk.lets_run(self.walk.target(*place), failed.target, failed.model, &failed.failure);
            (shut.cause == Cause::Failures || shut.until <= now) && tried.is_none_or(allowed)
        };
        let place = self.shut.iter().filter(|_| !self.forced).find(|shut| may(shut))?.0;
        self.forced = true;
        let pass = self.walk.attempts.circuits.force(self.walk.account(self.walk.target(place)));
        Some(self.first(place, pass))
    }

    /// The same target once more, after a pause of at least `floor` that fits into the budget and the exchange's time.
    fn again(&mut self, failed: &Failed<'a>, floor: Duration) -> Option<Start<'a>> {
        let Attempts { limits, circuits, chance, .. } = self.walk.attempts;
        let left = limits.retry_budget.saturating_sub(self.waited);
        if failed.before >= limits.retries || left.is_zero() || floor > left || circuits.are_shut_for(self.walk.account(failed.target)) {
            return None;
        }
        let jitter = chance.up_to(limits.retry_backoff.saturating_mul(1 << failed.before));
        let pause = (floor + jitter).min(left);
        if pause >= self.walk.deadline.remaining() {
            return None;
        }
        self.waited += pause;
        let (provider, ms) = (&*failed.target.provider, pause.as_millis());
        tracing::info!(llm.provider = provider, "provider `{provider}` is asked again in {ms} ms: {}", failed.failure.error);
        let entry = Entry::Later(pause, Box::new(failed.failure.clone()));
        Some(Start { place: failed.place, target: failed.target, model: failed.model, before: failed.before + 1, entry })
    }

    /// The first try at a target. What a hook chose is asked of the equal that is tried first, and of nobody else.
    fn first(&mut self, place: usize, pass: Permit<'a>) -> Start<'a> {
        let walk = self.walk;
        let target = walk.target(place);
        let equal = walk.order[place] < walk.chain.weights.len().max(1);
        let chosen = walk.chosen.filter(|_| equal && !self.chosen);
        self.chosen |= equal;
        Start { place, target, model: chosen.unwrap_or(&target.model), before: 0, entry: Entry::Now(pass) }
    }
}

impl<'a, A: Ask> Walk<'a, A> {
    /// Whether `fallback` runs after this failure of a try at `before`.
    fn lets_run(&self, fallback: &'a Target, before: &'a Target, model: &str, failure: &Failure) -> bool {
        falls_back(fallback, self.account(fallback) != self.account(before), model, failure)
    }

    fn target(&self, place: usize) -> &'a Target {
        &self.chain.targets[self.order[place]]
    }
}
