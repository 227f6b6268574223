//! One exchange's way along its chain: a try, tries again after a pause, the next target, a hedge beside a slow one, until one replies.
//! Nothing is spawned: dropping the walk drops every try, and the first reply drops the others. Must not know providers or dialects.

mod progress;

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::Instrument;

use super::circuits::Pass;
use super::policy::{self, Again};
use super::{Attempts, Failure, Watch, order};
use crate::chat::{Exchange, Reply};
use crate::llm::{Answer, Chain, Error, Mode, Target};
use crate::telemetry::Operation;
use progress::Progress;

/// One try at one provider.
pub(in crate::llm) trait Ask: Sync {
    /// `others`: targets of the chain after this one.
    fn ask(
        &self,
        target: &Target,
        model: &str,
        exchange: &Exchange,
        mode: Mode,
        others: u32,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send;

    /// What OpenTelemetry's conventions call the kind of this provider.
    fn system(&self, provider: &str) -> &'static str;
}

/// What is the same for all tries of one exchange.
pub(in crate::llm) struct Walk<'a, A> {
    ask: &'a A,
    attempts: &'a Attempts,
    chain: Chain<'a>,
    exchange: &'a Exchange,
    mode: Mode,
    /// Indices of the chain's targets, as they are tried.
    order: Vec<usize>,
    tries: AtomicU32,
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
    Now(Pass<'a>),
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
    again: Again,
}

impl<'a, A: Ask> Walk<'a, A> {
    pub(in crate::llm) fn new(ask: &'a A, attempts: &'a Attempts, chain: Chain<'a>, exchange: &'a Exchange, mode: Mode) -> Self {
        let order = order::drawn(chain.weights, chain.targets.len(), &attempts.chance);
        Self { ask, attempts, chain, exchange, mode, order, tries: AtomicU32::new(0) }
    }

    /// # Errors
    /// The last failure; `Benched` where nobody was asked; `UnknownProvider` where the chain is empty.
    pub(in crate::llm) async fn run(&self) -> Result<Answer, Error> {
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
                    Ok(answer) => return Ok(answer),
                    Err(failed) => running.extend(progress.failed(failed).map(|start| self.attempt(start))),
                },
                () = until(late) => {
                    hedge_after = None;
                    running.extend(progress.hedge().map(|start| self.attempt(start)));
                }
            }
        }
    }

    async fn attempt(&self, start: Start<'a>) -> Result<Answer, Failed<'a>> {
        let Start { place, target, model, before, entry } = start;
        let failed = |failure, again| Failed { place, target, model, before, failure, again };
        let pass = match entry {
            Entry::Now(pass) => pass,
            Entry::Later(pause, failure) => {
                sleep(pause).await;
                self.attempts.circuits.admit(target).map_err(|_| failed(*failure, Again::No))?
            }
        };
        let number = self.tries.fetch_add(1, Ordering::Relaxed) + 1;
        let others = u32::try_from(self.order.len() - place - 1).unwrap_or(u32::MAX);
        let of = Operation { name: "chat", system: self.ask.system(&target.provider), model };
        let watch = Watch::new(&*self.attempts.observer, of, &target.provider, number);
        let asked = self.ask.ask(target, model, self.exchange, self.mode, others).instrument(watch.span.clone()).await;
        watch.ends(&asked, self.mode == Mode::Stream);
        match asked {
            Ok(reply) => {
                pass.settle(&policy::Verdict::Alive, None);
                let attempts = self.tries.load(Ordering::Relaxed);
                Ok(Answer { reply, provider: target.provider.clone(), model: model.to_owned(), attempts })
            }
            Err(failure) => {
                let ruling = policy::rule(&failure, self.attempts.limits.retry_budget);
                pass.settle(&ruling.verdict, Some(&failure));
                Err(failed(failure, ruling.again))
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
