//! What was used, by whom, at what price, and what each caller may still use. It learns of every reply when that is over, adds up in memory,
//! and writes the sums to its store every few seconds. No request waits for the store, and what cannot be written is kept for the next time.

mod allowance;
mod bucket;
pub mod clock;
mod error;
pub mod flusher;
mod meter;
mod pending;
mod price;
mod store;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::chat::Usage;
use crate::telemetry::Metrics;
use clock::{Clock, Day};
use meter::Meter;
use pending::{Pending, short};

pub use allowance::{Allowance, Left, Limit, Refused, Standing};
pub use error::Error;
pub use pending::Entry;
pub use price::{Price, Prices};
pub use store::{Group, SUM_MAX, StoreError, Sums, UsageStore, UseRow};

/// Tokens of one count of one reply that are believed. The largest contexts hold a few million; what a provider reports beyond this is a
/// mistake, and must not fill the sums.
const TOKENS_MAX: u64 = 1_000_000_000;

/// Reports that are made at once; others wait for them. Each reads for seconds at worst, and holds what searches and writers need too.
const REPORTS_MAX: usize = 2;

/// What was used, and what each caller may still use.
pub struct Ledger {
    pending: Mutex<Pending>,
    /// Of the callers that have limits.
    meters: HashMap<Arc<str>, Meter>,
    prices: Prices,
    limits: Limits,
    store: Arc<dyn UsageStore>,
    /// The day for which old rows were deleted last; held while the store is written, so that a reader finds every reply once.
    writing: tokio::sync::Mutex<Option<Day>>,
    reports: Arc<Semaphore>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// What the operator decides.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// By the key's name. A caller that is not here has no limits.
    pub allowances: BTreeMap<Arc<str>, Allowance>,
    pub prices: Prices,
    pub limits: Limits,
}

/// Limits of the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows of one day: combinations of pipeline, caller, provider and model. What comes after them is counted under `other`.
    pub rows: usize,
    /// From one writing to the next; a killed process loses no more.
    pub flush: Duration,
    /// Days that are kept, today included.
    pub days: u32,
    /// Rows of one report.
    pub report_rows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A hundred callers with a hundred pairs of pipeline and model; some 2 MB of memory.
            rows: 10_000,
            // One fsync every five seconds wears no disk out, and five seconds of use are no loss to speak of.
            flush: Duration::from_secs(5),
            // A year and a month: the month before this one can be compared with that of last year.
            days: 400,
            // About 15 MB of JSON.
            report_rows: 50_000,
        }
    }
}

impl Ledger {
    /// Reads what each caller used today, so that a restart gives nobody a second budget.
    ///
    /// # Errors
    /// `Store`.
    pub async fn open(store: Arc<dyn UsageStore>, config: Config, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let now = clock();
        // As many as a day can have: `rows`, and `other` of every caller that there ever was.
        let written = store.read(now.day(), now.day(), None, usize::MAX).await?;
        let mut used: HashMap<&str, u64> = HashMap::new();
        for row in &written {
            let used = used.entry(&row.caller).or_default();
            *used = used.saturating_add(row.sums.prompt).saturating_add(row.sums.completion);
        }
        let limited = config.allowances.into_iter().filter(|(_, allowance)| !allowance.is_unlimited());
        let meters = limited.map(|(caller, allowance)| {
            let used = used.get(&*caller).copied().unwrap_or(0);
            (caller, Meter::new(allowance, used, now))
        });
        let (meters, pending) = (meters.collect(), Mutex::new(Pending::open(config.limits.rows, now.day(), &written)));
        let writing = tokio::sync::Mutex::default();
        let reports = Arc::new(Semaphore::new(REPORTS_MAX));
        Ok(Self { pending, meters, prices: config.prices, limits: config.limits, store, writing, reports, clock, metrics })
    }

    /// A reply is over: it is counted, and its caller is charged for it. Blocks for no more than the addition.
    pub fn used(&self, entry: &Entry<'_>) {
        let now = (self.clock)();
        let Usage { prompt, completion, cached, reasoning } = entry.usage;
        let [prompt, completion, cached, reasoning] = [prompt, completion, cached, reasoning].map(|tokens| tokens.min(TOKENS_MAX));
        let usage = Usage { prompt, completion, cached, reasoning };
        let entry = Entry { usage, ..*entry };
        if let Some(meter) = entry.caller.and_then(|caller| self.meters.get(caller)) {
            meter.charge(usage.total(), now);
        }
        let cost = price::cost(&self.prices, entry.provider, entry.model, &usage);
        lock(&self.pending).add(now.day(), &entry, cost);
        let names = [entry.pipeline, entry.caller.unwrap_or_default(), entry.provider, short(entry.model)];
        self.metrics.tokens(names, [prompt, completion, cached, reasoning]);
    }

    /// Lets one request of this caller in, and counts it against its limits.
    ///
    /// # Errors
    /// The limit that is used up, and for how long.
    pub fn admit(&self, caller: &str) -> Result<(), Refused> {
        let Some(meter) = self.meters.get(caller) else { return Ok(()) };
        meter.admit((self.clock)()).map_err(|(limit, allowed, retry_after)| {
            self.metrics.rate_limited(caller, limit.key());
            Refused { caller: caller.to_owned(), limit, allowed, retry_after }
        })
    }

    /// What this caller has left; none if it has no limits.
    pub fn standing(&self, caller: &str) -> Option<Standing> {
        Some(self.meters.get(caller)?.standing((self.clock)()))
    }

    /// The day that it is in UTC.
    pub fn today(&self) -> Day {
        (self.clock)().day()
    }

    /// Writes what the store does not have yet. Once begun this goes on to its end even if the caller goes away, for a row that is taken and
    /// not written would be lost. Needs a runtime.
    ///
    /// # Errors
    /// `Store`; what could not be written is kept for the next time.
    pub async fn flush(self: &Arc<Self>) -> Result<(), Error> {
        let (ledger, runtime) = (Arc::clone(self), tokio::runtime::Handle::current());
        // On a thread that may block, so that it also goes on while one of the runtime's own threads waits for it, as `Flusher` does.
        let written = tokio::task::spawn_blocking(move || runtime.block_on(ledger.write()));
        written.await.unwrap_or_else(|e| Err(Error::Store(format!("a task ended early: {e}"))))
    }

    async fn write(&self) -> Result<(), Error> {
        let mut forgotten = self.writing.lock().await;
        let rows = lock(&self.pending).take();
        if !rows.is_empty()
            && let Err(error) = self.store.add(&rows).await
        {
            lock(&self.pending).give_back(&rows);
            return Err(error.into());
        }
        let today = self.today();
        if *forgotten != Some(today) {
            self.store.forget_before(today.back(self.limits.days - 1)).await?;
            *forgotten = Some(today);
        }
        Ok(())
    }

    /// What was used from one day to another, both included, to the last reply: everything is written before it is read. With `group` the rows
    /// of a day are summed by that name, and the other names are empty.
    ///
    /// # Errors
    /// `TooMany`, `Store`.
    pub async fn report(self: &Arc<Self>, from: Day, to: Day, group: Option<Group>) -> Result<Vec<UseRow>, Error> {
        let permit = Arc::clone(&self.reports).acquire_owned().await.map_err(|e| Error::Store(e.to_string()))?;
        let ledger = Arc::clone(self);
        // A task of its own, so that the permit is held for as long as the store works, even if the caller goes away.
        let report = tokio::spawn(async move {
            let _permit = permit;
            ledger.flush().await?;
            let limit = ledger.limits.report_rows;
            let rows = ledger.store.read(from, to, group, limit.saturating_add(1)).await?;
            if rows.len() > limit { Err(Error::TooMany { limit }) } else { Ok(rows) }
        });
        report.await.unwrap_or_else(|e| Err(Error::Store(format!("a task ended early: {e}"))))
    }
}

/// A panic elsewhere leaves sums that are right as far as they go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
