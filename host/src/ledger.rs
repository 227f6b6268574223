//! What was used, by whom, at what price, and what each caller may still use. Told of every reply when it is over; adds up in memory and
//! writes the sums down every few seconds. Must not know HTTP, providers or how a reply's tokens were learnt.

mod allowance;
mod book;
mod bucket;
pub mod clock;
mod flusher;
mod meter;
mod price;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::chat::Usage;
use crate::store::UseByDay;
use crate::telemetry::{Metrics, chain};
use book::{Book, short};
use clock::{Clock, Day};
use meter::Meter;

pub use crate::store::{Sums, UseColumn as Group, UseRow};
pub use allowance::{Allowance, Left, Limit, Refused, Standing};
pub use flusher::Flusher;
pub use price::{Price, Prices};

/// Tokens of one count of one reply that are believed. The largest contexts hold a few million; what a provider tells beyond this is a
/// mistake, and must not fill the sums.
const TOKENS_MAX: u64 = 1_000_000_000;

/// The books and the budgets.
pub struct Ledger {
    book: Mutex<Book>,
    /// Of the callers that have limits.
    meters: HashMap<Arc<str>, Meter>,
    prices: Prices,
    limits: Limits,
    store: UseByDay,
    /// The day for which old rows were deleted last; held while the book is written, so that a reader finds every reply once.
    writing: Mutex<Option<Day>>,
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

/// Limits of the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lines of one day: combinations of pipeline, caller, provider and model. What comes after them is counted under `other`.
    pub rows: usize,
    /// From one writing to the next; a killed process loses no more.
    pub flush: Duration,
    /// Days that are kept, today included.
    pub days: u32,
    /// Rows of one report.
    pub report_rows: usize,
}

/// One reply that is over.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub pipeline: &'a str,
    pub caller: Option<&'a str>,
    pub provider: &'a str,
    pub model: &'a str,
    pub usage: Usage,
    /// The tokens are a guess.
    pub estimated: bool,
}

/// Why there is no report, or the book was not written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there are more than {limit} rows (`limits.ledger.report_rows`); ask for fewer days, or for sums with `group`")]
    TooMany { limit: usize },
    /// With its causes.
    #[error("{0}")]
    Store(String),
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
    /// Opens the table, and reads what each caller used today, so that a restart gives nobody a second budget. Blocks.
    ///
    /// # Errors
    /// `Store`.
    pub fn open(database: &Path, config: Config, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let store = UseByDay::open(database).map_err(failed)?;
        let now = clock();
        let today = now.day().to_string();
        // As many as a day can have: `rows`, and `other` of every caller that there ever was.
        let written = store.read(&today, &today, None, usize::MAX).map_err(failed)?;
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
        let (meters, book) = (meters.collect(), Mutex::new(Book::open(config.limits.rows, now.day(), &written)));
        Ok(Self { book, meters, prices: config.prices, limits: config.limits, store, writing: Mutex::new(None), clock, metrics })
    }

    /// A reply is over: it goes into the book, and its caller is charged for it. Blocks for no more than the addition.
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
        lock(&self.book).add(now.day(), &entry, cost);
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

    /// What this caller has left; none where it has no limits.
    pub fn standing(&self, caller: &str) -> Option<Standing> {
        Some(self.meters.get(caller)?.standing((self.clock)()))
    }

    /// The day that it is in UTC.
    pub fn today(&self) -> Day {
        (self.clock)().day()
    }

    /// Writes down what is not on the disk yet. Blocks.
    ///
    /// # Errors
    /// `Store`; what could not be written is kept for the next time.
    pub fn flush(&self) -> Result<(), Error> {
        let mut forgotten = lock(&self.writing);
        let rows = lock(&self.book).take();
        if !rows.is_empty()
            && let Err(error) = self.store.add(&rows)
        {
            lock(&self.book).give_back(&rows);
            return Err(failed(error));
        }
        let today = self.today();
        if *forgotten != Some(today) {
            self.store.forget_before(&today.back(self.limits.days - 1).to_string()).map_err(failed)?;
            *forgotten = Some(today);
        }
        Ok(())
    }

    /// What was used from one day to another, both included, to the last reply: it is written down before it is read. With `group` the rows of
    /// a day are summed by that name, and the other names are empty. Blocks.
    ///
    /// # Errors
    /// `TooMany`, `Store`.
    pub fn report(&self, from: Day, to: Day, group: Option<Group>) -> Result<Vec<UseRow>, Error> {
        self.flush()?;
        let limit = self.limits.report_rows;
        let rows = self.store.read(&from.to_string(), &to.to_string(), group, limit.saturating_add(1)).map_err(failed)?;
        if rows.len() > limit { Err(Error::TooMany { limit }) } else { Ok(rows) }
    }
}

fn failed(error: crate::store::Error) -> Error {
    Error::Store(chain(&error))
}

/// A panic elsewhere leaves sums that are right as far as they go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
