//! One exchange's way along its chain: a try, retries after a pause, the next target, a hedge beside a slow one, until one replies.
//! Nothing is spawned: dropping the walk drops every try, and the first reply drops the others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::Instrument;

use super::circuit::{Cause, Open};
use super::circuits::{Account, CircuitState, Circuits, Permit};
use super::policy::{self, Judgment, Retry, Verdict};
use super::running::Running;
use super::{Answered, Attempt, Backend, Failure, Measured, Observer, Request};
use crate::chat::{Deadline, Tries};
use crate::llm::error::Error;
use crate::llm::limits::Limits;
use crate::llm::target::{Chain, Target};
use crate::telemetry::Operation;

/// The shortest `Retry-After` of a client whose targets are not asked.
const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// What all exchanges share about tries.
pub(in crate::llm) struct Attempts {
    limits: Limits,
    observer: Arc<dyn Observer>,
    circuits: Circuits,
    rng: Mutex<Rng>,
}

impl Attempts {
    /// `providers`: those that have circuits of their own.
    pub(in crate::llm) fn new<'p>(limits: Limits, observer: Arc<dyn Observer>, providers: impl Iterator<Item = &'p String>) -> Self {
        let circuits = Circuits::new(&limits, Arc::clone(&observer), providers);
        // Another sequence in each process, so that servers which failed together do not come back together.
        Self { limits, observer, circuits, rng: Mutex::new(Rng::new()) }
    }

    /// Those of the next configuration. The circuits of a provider that is the `same` are the same.
    pub(in crate::llm) fn renewed<'p, P: 'p>(
        &self,
        limits: Limits,
        observer: Arc<dyn Observer>,
        providers: impl Iterator<Item = (&'p String, &'p P)>,
        same: impl Fn(&str, &P) -> bool,
    ) -> Self {
        let circuits = self.circuits.renewed(&limits, Arc::clone(&observer), providers.map(|(name, entry)| (name, same(name, entry))));
        Self { limits, observer, circuits, rng: Mutex::new(Rng::new()) }
    }

    /// See `Circuits::take_effect`.
    pub(in crate::llm) fn take_effect(&self) {
        self.circuits.take_effect();
    }

    /// With the same pauses and choices in every run.
    pub(in crate::llm) fn seeded(self, seed: u64) -> Self {
        Self { rng: Mutex::new(Rng::with_seed(seed)), ..self }
    }

    /// Every circuit that remembers a failure.
    pub(in crate::llm) fn circuits(&self) -> Vec<CircuitState> {
        self.circuits.states()
    }

    fn random<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        // A panic elsewhere leaves a number, which is as random as before.
        draw(&mut self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The indices of the chain's targets in the order in which they are tried. A hook's choice stands in the place of the primary and its
    /// equals; the fallbacks follow it. There are none if the chain has no such provider.
    fn order(&self, chain: Chain<'_>, of: &Of<'_>) -> Vec<usize> {
        if let Some(provider) = of.target {
            return policy::chosen_first(chain, provider, of.chosen);
        }
        match chain.weights.len() {
            // Without equals nothing is random: no request waits for the lock.
            0 | 1 => (0..chain.targets.len()).collect(),
            _ => self.random(|rng| policy::order(chain.weights, chain.targets.len(), rng)),
        }
    }
}

/// What a walk is told of its exchange.
#[derive(Clone, Copy)]
pub(in crate::llm) struct Of<'a> {
    /// The name of the client's key.
    pub(in crate::llm) caller: Option<&'a str>,
    pub(in crate::llm) deadline: Deadline,
    /// Counts the tries that begin.
    pub(in crate::llm) tries: &'a Tries,
    /// A hook's choice of provider, which is asked in the primary's place.
    pub(in crate::llm) target: Option<&'a str>,
    /// A hook's choice of model.
    pub(in crate::llm) chosen: Option<&'a str>,
}

/// What is the same for all tries of one exchange.
pub(in crate::llm) struct Walk<'a, B, R> {
    backend: &'a B,
    attempts: &'a Attempts,
    request: &'a R,
    chain: Chain<'a>,
    of: Of<'a>,
    /// Indices of the chain's targets in the order in which they are tried. What is called a position is an index of this list.
    order: Vec<usize>,
}

/// A try that is about to begin.
struct Start<'a> {
    position: usize,
    target: &'a Target,
    model: &'a str,
    /// Tries at this target before this one.
    before: u32,
    entry: Entry<'a>,
}

enum Entry<'a> {
    Now(Permit<'a>),
    /// After a pause, if the circuit permits it then; otherwise the failure before it stands.
    Later(Duration, Box<Failure>),
}

/// A try that gave no reply.
struct Failed<'a> {
    position: usize,
    target: &'a Target,
    model: &'a str,
    before: u32,
    failure: Failure,
    retry: Retry,
}

impl<'a, R: Request, B: Backend<R>> Walk<'a, B, R> {
    pub(in crate::llm) fn new(backend: &'a B, attempts: &'a Attempts, request: &'a R, chain: Chain<'a>, of: Of<'a>) -> Self {
        Self { backend, attempts, request, chain, of, order: attempts.order(chain, &of) }
    }

    /// # Errors
    /// The last failure; `CircuitOpen` if nobody was asked; `UnknownProvider` if the chain is empty.
    pub(in crate::llm) async fn run(&self) -> Result<Answered<R::Reply>, Error> {
        let mut progress = Progress::new(self);
        let mut running = Running::default();
        // Taken when the hedge begins, so that an exchange costs two replies at the most.
        let mut hedge_after = self.chain.hedge_after;
        let mut since = Instant::now();
        loop {
            if running.is_empty() {
                let Some(start) = progress.next() else { return Err(progress.error()) };
                since = Instant::now();
                running.push(self.attempt(start));
            }
            let hedge_at = hedge_after.filter(|_| running.len() == 1).map(|after| since + after);
            tokio::select! {
                biased;
                Some(ended) = running.next() => match ended {
                    Ok(answered) => return Ok(answered),
                    // The plugin decided that nobody answers this: the other try may not undo it.
                    Err(Failed { failure: Failure { error: refused @ Error::Refused { .. }, .. }, .. }) => return Err(refused),
                    Err(failed) => running.extend(progress.failed(failed).map(|start| self.attempt(start))),
                },
                () = until(hedge_at) => {
                    hedge_after = None;
                    running.extend(progress.hedge().map(|start| self.attempt(start)));
                }
            }
        }
    }

    async fn attempt(&self, start: Start<'a>) -> Result<Answered<R::Reply>, Failed<'a>> {
        let Start { position, target, model, before, entry } = start;
        let failed = |failure, retry| Failed { position, target, model, before, failure, retry };
        let permit = match entry {
            Entry::Now(permit) => permit,
            Entry::Later(pause, failure) => {
                sleep(pause).await;
                self.attempts.circuits.admit(self.account(target, model)).map_err(|_| failed(*failure, Retry::Never))?
            }
        };
        let of = Operation { name: R::OPERATION, system: self.backend.system(&target.provider), model };
        let measured = Measured::begin(&*self.attempts.observer, of, &target.provider, self.of.tries);
        let others = u32::try_from(self.order.len() - position - 1).unwrap_or(u32::MAX);
        let attempt = Attempt { target, model, request: self.request, deadline: self.of.deadline, others };
        let result = self.backend.attempt(attempt).instrument(measured.span.clone()).await;
        measured.end(&result, self.request.streams());
        match result {
            Ok(reply) => {
                permit.record(&Verdict::Success, None);
                let (provider, model) = (target.provider.clone(), model.to_owned());
                Ok(Answered { reply, provider, model, attempts: self.of.tries.begun() })
            }
            Err(failure) => {
                let Judgment { retry, verdict } = policy::judge(&failure, self.attempts.limits.retry_budget);
                permit.record(&verdict, Some(&failure));
                Err(failed(failure, retry))
            }
        }
    }

    /// Whose circuits a try at this model of `target` counts for.
    fn account(&self, target: &'a Target, model: &'a str) -> Account<'a> {
        Account { provider: &target.provider, key_name: self.backend.key_name(target, model), caller: self.of.caller }
    }

    fn target(&self, position: usize) -> &'a Target {
        &self.chain.targets[self.order[position]]
    }

    /// Whether `asked` of `fallback` is tried after this failure of a try at `model` of `before`.
    fn falls_back(&self, (fallback, asked): (&'a Target, &'a str), before: &'a Target, model: &'a str, failure: &Failure) -> bool {
        policy::falls_back(fallback, self.account(fallback, asked) != self.account(before, model), model, failure)
    }
}

/// Waits until then, or for ever.
async fn until(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}

/// Who is tried next: what has failed so far, which targets were skipped for an open circuit, how long the exchange has paused.
struct Progress<'w, 'a, B, R> {
    walk: &'w Walk<'a, B, R>,
    /// The position of the next target that was not considered yet.
    next: usize,
    /// What the next target's `on_status` is compared with.
    before: Option<Before<'a>>,
    /// The last try that failed.
    last: Option<Failed<'a>>,
    /// Positions of the targets that were skipped, and why.
    skipped: Vec<(usize, Open)>,
    /// A hook's choice of model was used for one of the equals.
    chosen: bool,
    /// A target was tried although its circuit is open.
    forced: bool,
    /// The sum of the pauses so far.
    paused: Duration,
}

/// A failure in this exchange, or the one that opened the circuit of a skipped target.
struct Before<'a> {
    target: &'a Target,
    model: &'a str,
    failure: Failure,
}

impl<'w, 'a, R: Request, B: Backend<R>> Progress<'w, 'a, B, R> {
    fn new(walk: &'w Walk<'a, B, R>) -> Self {
        Self { walk, next: 0, before: None, last: None, skipped: Vec::new(), chosen: false, forced: false, paused: Duration::ZERO }
    }

    /// The next try when none is under way.
    fn next(&mut self) -> Option<Start<'a>> {
        if self.last.is_some() && self.walk.of.deadline.remaining().is_zero() {
            return None;
        }
        let next = self.next_target(false).or_else(|| self.retry_last()).or_else(|| self.skipped_after_all())?;
        if let Some(Failed { target, failure, .. }) = &self.last
            && *target != next.target
        {
            tracing::warn!(llm.provider = next.target.provider, "falling back to provider `{}`: {}", next.target.provider, failure.error);
        }
        Some(next)
    }

    /// The next try while another one is late.
    fn hedge(&mut self) -> Option<Start<'a>> {
        let start = self.next_target(true)?;
        tracing::info!(llm.provider = start.target.provider, "no reply has begun: provider `{}` is asked too", start.target.provider);
        Some(start)
    }

    /// Notes a failure, and returns the retry of the same target if there is one.
    fn failed(&mut self, failed: Failed<'a>) -> Option<Start<'a>> {
        let retry = match failed.retry {
            Retry::After(least) => self.retry(&failed, least),
            Retry::AfterOthers | Retry::Never => None,
        };
        if retry.is_none() {
            self.before = Some(Before { target: failed.target, model: failed.model, failure: failed.failure.clone() });
            self.last = Some(failed);
        }
        retry
    }

    /// The error of the whole walk.
    fn error(self) -> Error {
        if let Some(failed) = self.last {
            return failed.failure.error;
        }
        let soonest = self.skipped.into_iter().min_by_key(|(_, open)| open.until);
        let unknown = || Error::UnknownProvider { provider: self.walk.of.target.unwrap_or_default().to_owned() };
        let Some((position, open)) = soonest else { return unknown() };
        let retry_after = open.until.saturating_duration_since(Instant::now()).max(RETRY_AFTER_MIN);
        let provider = self.walk.target(position).provider.clone();
        Error::CircuitOpen { provider, limited: open.cause == Cause::Limited, retry_after }
    }

    /// The next target in order that may run after the last failure and whose circuit is not open. A hedge runs as after a timeout, whatever
    /// `on_status` lists.
    fn next_target(&mut self, hedge: bool) -> Option<Start<'a>> {
        let walk = self.walk;
        while self.next < walk.order.len() {
            let position = self.next;
            self.next += 1;
            let (target, model) = (walk.target(position), self.model(position));
            if !hedge && self.before.as_ref().is_some_and(|b| !walk.falls_back((target, model), b.target, b.model, &b.failure)) {
                continue;
            }
            match walk.attempts.circuits.admit(walk.account(target, model)) {
                Ok(permit) => return Some(self.first(position, permit)),
                Err(open) => {
                    tracing::debug!(llm.provider = target.provider, "passed over: its circuit is open");
                    // It counts as if it had failed now in the same way as then.
                    self.before = Some(Before { target, model, failure: open.failure.clone() });
                    self.skipped.push((position, open));
                }
            }
        }
        None
    }

    /// A retry of the last target, if its failure took so long that the others were tried first.
    fn retry_last(&mut self) -> Option<Start<'a>> {
        let last = self.last.take()?;
        let retry = if last.retry == Retry::AfterOthers { self.retry(&last, Duration::ZERO) } else { None };
        self.last = Some(last);
        retry
    }

    /// The first target that was skipped only because of failures in a row, or while another request probes it: an outage must not last
    /// longer because a circuit opened.
    fn skipped_after_all(&mut self) -> Option<Start<'a>> {
        let now = Instant::now();
        let tried = self.last.as_ref();
        let may = |(position, open): &(usize, Open)| {
            let skipped = (self.walk.target(*position), self.model(*position));
            let allowed = |failed: &Failed<'a>| self.walk.falls_back(skipped, failed.target, failed.model, &failed.failure);
            (open.cause == Cause::Failures || open.until <= now) && tried.is_none_or(allowed)
        };
        let position = self.skipped.iter().filter(|_| !self.forced).find(|skipped| may(skipped))?.0;
        self.forced = true;
        let permit = self.walk.attempts.circuits.force(self.walk.account(self.walk.target(position), self.model(position)));
        Some(self.first(position, permit))
    }

    /// The same target once more after a pause of at least `least`, if that fits into the budget and the exchange's time.
    fn retry(&mut self, failed: &Failed<'a>, least: Duration) -> Option<Start<'a>> {
        let Attempts { limits, circuits, .. } = self.walk.attempts;
        let left = limits.retry_budget.saturating_sub(self.paused);
        if failed.before >= limits.retries
            || left.is_zero()
            || least > left
            || circuits.is_open_for(self.walk.account(failed.target, failed.model))
        {
            return None;
        }
        let backoff = limits.retry_backoff.saturating_mul(1 << failed.before);
        let jitter = self.walk.attempts.random(|rng| policy::jitter(backoff, rng));
        let pause = (least + jitter).min(left);
        if pause >= self.walk.of.deadline.remaining() {
            return None;
        }
        self.paused += pause;
        let (provider, ms) = (&*failed.target.provider, pause.as_millis());
        tracing::info!(llm.provider = provider, "provider `{provider}` is asked again in {ms} ms: {}", failed.failure.error);
        let entry = Entry::Later(pause, Box::new(failed.failure.clone()));
        Some(Start { position: failed.position, target: failed.target, model: failed.model, before: failed.before + 1, entry })
    }

    /// The first try at a target.
    fn first(&mut self, position: usize, permit: Permit<'a>) -> Start<'a> {
        let (target, model) = (self.walk.target(position), self.model(position));
        self.chosen |= self.is_equal(position);
        Start { position, target, model, before: 0, entry: Entry::Now(permit) }
    }

    /// The model that is asked of a target, if it is the next one tried. A hook's choice of model is for the provider that it chose, or for the
    /// equal that is tried first, and for no other target.
    fn model(&self, position: usize) -> &'a str {
        let chosen = self.walk.of.chosen.filter(|_| !self.chosen && self.is_equal(position));
        chosen.unwrap_or(&self.walk.target(position).model)
    }

    fn is_equal(&self, position: usize) -> bool {
        match self.walk.of.target {
            Some(_) => position == 0,
            None => self.walk.order[position] < self.walk.chain.weights.len().max(1),
        }
    }
}

#[cfg(test)]
mod tests;
