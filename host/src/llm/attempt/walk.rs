//! One exchange's way along its chain: a try, tries again after a pause, the next target, a hedge beside a slow one, until one replies.
//! Nothing is spawned: dropping the walk drops every try, and the first reply drops the others. Must not know providers or dialects.

mod progress;

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::Instrument;

use super::circuits::{Account, Permit};
use super::policy::{self, Retry};
use super::{Attempts, Failure, Watch, order};
use crate::chat::{Deadline, Tries};
use crate::llm::{Chain, Error, Target};
use crate::telemetry::Operation;
use progress::Progress;

/// What is asked of one provider after the other.
pub(in crate::llm) trait Ask: Sync {
    type Reply;

    /// One try. `others`: targets of the chain after this one.
    fn ask(&self, target: &Target, model: &str, others: u32) -> impl Future<Output = Result<Self::Reply, Failure>> + Send;

    /// What is asked of this provider, in the convention's words.
    fn operation<'m>(&self, provider: &str, model: &'m str) -> Operation<'m>;

    /// The name of the secret that a try at `target` takes its key from.
    fn key_name<'t>(&'t self, target: &'t Target) -> Option<&'t str> {
        target.secret_key_name.as_deref()
    }

    /// Whether a try ends with the first event of a stream.
    fn streams(&self) -> bool {
        false
    }
}

/// What is the same for all tries of one exchange.
pub(in crate::llm) struct Walk<'a, A> {
    ask: &'a A,
    attempts: &'a Attempts,
    chain: Chain<'a>,
    deadline: Deadline,
    /// A hook's choice of model.
    chosen: Option<&'a str>,
    /// Indices of the chain's targets, as they are tried.
    order: Vec<usize>,
    tries: Tries,
}

/// A reply and who gave it.
pub(in crate::llm) struct Won<'a, R> {
    pub(in crate::llm) reply: R,
    pub(in crate::llm) target: &'a Target,
    pub(in crate::llm) model: &'a str,
    /// Tries that were begun.
    pub(in crate::llm) attempts: u32,
}

/// A try that is about to begin.
struct Start<'a> {
    /// Its place in the order.
    place: usize,
    target: &'a Target,
    model: &'a str,
    /// Tries at this target before it.
    before: u32,
    entry: Entry<'a>,
}

enum Entry<'a> {
    Now(Permit<'a>),
    /// After a pause, if the circuit lets it in then; otherwise the failure before it stands.
    Later(Duration, Box<Failure>),
}

/// A try that gave no reply.
struct Failed<'a> {
    place: usize,
    target: &'a Target,
    model: &'a str,
    before: u32,
    failure: Failure,
    retry: Retry,
}

impl<'a, A: Ask> Walk<'a, A> {
    pub(in crate::llm) fn new(ask: &'a A, attempts: &'a Attempts, chain: Chain<'a>, deadline: Deadline, tries: Tries) -> Self {
        let order = order::drawn(chain.weights, chain.targets.len(), &attempts.chance);
        Self { ask, attempts, chain, deadline, chosen: None, order, tries }
    }

    /// With a hook's choice of model.
    pub(in crate::llm) fn choosing(self, chosen: Option<&'a str>) -> Self {
        Self { chosen, ..self }
    }

    /// # Errors
    /// The last failure; `CircuitOpen` where nobody was asked; `UnknownProvider` where the chain is empty.
    pub(in crate::llm) async fn run(&self) -> Result<Won<'a, A::Reply>, Error> {
        let mut progress = Progress::new(self);
        let mut running = FuturesUnordered::new();
        // Taken when the hedge runs: an exchange costs two replies at the most.
        let mut hedge_after = self.chain.hedge_after;
        let mut since = Instant::now();
        loop {
            if running.is_empty() {
                let Some(start) = progress.next() else { return Err(progress.error()) };
                since = Instant::now();
                running.push(self.attempt(start));
            }
            let late = hedge_after.filter(|_| running.len() == 1).map(|after| since + after);
            tokio::select! {
                biased;
                Some(done) = running.next() => match done {
                    Ok(won) => return Ok(won),
                    Err(failed) => running.extend(progress.failed(failed).map(|start| self.attempt(start))),
                },
                () = until(late) => {
                    hedge_after = None;
                    running.extend(progress.hedge().map(|start| self.attempt(start)));
                }
            }
        }
    }

    /// Whose circuit a try at `target` is held against.
    fn account(&self, target: &'a Target) -> Account<'a> {
        Account { provider: &target.provider, key_name: self.ask.key_name(target) }
    }

    async fn attempt(&self, start: Start<'a>) -> Result<Won<'a, A::Reply>, Failed<'a>> {
        let Start { place, target, model, before, entry } = start;
        let failed = |failure, retry| Failed { place, target, model, before, failure, retry };
        let pass = match entry {
            Entry::Now(pass) => pass,
            Entry::Later(pause, failure) => {
                sleep(pause).await;
                self.attempts.circuits.admit(self.account(target)).map_err(|_| failed(*failure, Retry::Never))?
            }
        };
        let number = self.tries.begin();
        let others = u32::try_from(self.order.len() - place - 1).unwrap_or(u32::MAX);
        let watch = Watch::new(&*self.attempts.observer, self.ask.operation(&target.provider, model), &target.provider, number);
        let asked = self.ask.ask(target, model, others).instrument(watch.span.clone()).await;
        watch.ends(&asked, self.ask.streams());
        match asked {
            Ok(reply) => {
                pass.settle(&policy::Verdict::Success, None);
                Ok(Won { reply, target, model, attempts: self.tries.begun() })
            }
            Err(failure) => {
                let judgment = policy::judge(&failure, self.attempts.limits.retry_budget);
                pass.settle(&judgment.verdict, Some(&failure));
                Err(failed(failure, judgment.retry))
            }
        }
    }
}

/// Waits for a moment, or for ever.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
