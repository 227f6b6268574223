//! What was used, by whom, at what price, and what each caller may still use. It reserves what an attempt may use before that is sent, learns
//! of every reply when it is over, adds up in memory, and writes the sums to its store every few seconds. Of a budget a part is written down
//! before it is used, so that a request hardly ever waits for the store; what cannot be written is kept for the next time.

mod account;
mod accounts;
mod allowance;
mod bucket;
mod budget;
pub mod clock;
mod end_users;
mod error;
pub mod flusher;
mod open;
mod pending;
mod price;
pub mod renew;
pub mod reservation;
mod store;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::telemetry::Metrics;
use account::Denied;
use accounts::{Accounts, Scope};
use budget::{Amount, Cover};
use clock::{Clock, Day};
use pending::{Pending, short};

pub use accounts::EndUserLimits;
pub use allowance::{Allowance, Left, Limit, Refused, Remedy, Standing, Why};
pub use error::Error;
pub use pending::Entry;
pub use price::{Price, Prices};
pub use store::{BudgetRow, Group, SUM_MAX, StoreError, Sums, UsageStore, UseRow};

/// Reports that are made at once; others wait for them. Each reads for seconds at worst, and holds what searches and writers need too.
const REPORTS_MAX: usize = 2;

/// What was used, and what each caller may still use, under one configuration. Those of a later one share its books: see `renewed`.
pub struct Ledger {
    books: Arc<Books>,
    prices: Prices,
    limits: Limits,
}

/// What goes on when the operator changes prices and limits.
struct Books {
    pending: Mutex<Pending>,
    /// Of the callers that have limits.
    accounts: Mutex<Accounts>,
    store: Arc<dyn UsageStore>,
    /// The day for which old rows were deleted last; held while the store is written, so that a reader finds every reply once.
    writing: tokio::sync::Mutex<Option<Day>>,
    /// Held while budgets are written, so that they are written in their order.
    covering: tokio::sync::Mutex<()>,
    /// A write of budgets is on its way that no request waits for.
    covers_ahead: AtomicBool,
    /// The last write of budgets failed: requests do not wait for another one until one has succeeded.
    uncovered: AtomicBool,
    /// Another process writes the budgets.
    handed_over: AtomicBool,
    reports: Arc<Semaphore>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// What the operator decides.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// By the key's name. A caller that is not here has no limits, nor have its end users.
    pub allowances: BTreeMap<Arc<str>, Allowance>,
    /// None if end users are not told apart.
    pub end_users: Option<EndUserLimits>,
    pub prices: Prices,
    pub limits: Limits,
}

/// Limits of the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Rows of one day: combinations of pipeline, caller, provider and model. What comes after them is counted under `other`.
    pub rows: usize,
    /// From one writing to the next; a killed process loses no more of the report.
    pub flush: Duration,
    /// Days that are kept, today included.
    pub days: u32,
    /// Rows of one report.
    pub report_rows: usize,
    /// Tokens that are reserved at least for the completion of a request that names no `max_tokens`.
    pub completion_tokens: u64,
    /// Tokens that are reserved at most for all choices of one request, whatever its client names. A longer reply counts as one without a limit.
    pub reservation_tokens: u64,
    /// A budget of a day or a month is written down in so many parts, each before it is used; a killed process costs a caller one of them.
    pub budget_parts: u64,
    /// How long a request waits at most until its budget is written down; then it goes on without.
    pub budget_wait: Duration,
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
            // A long answer of a chat. The mean of what a caller gets takes its place when that is more.
            completion_tokens: 1_000,
            // The longest completions that large models give.
            reservation_tokens: 128_000,
            // Six percent of a budget, and at most some thirty writes of a budget that is used up in small requests.
            budget_parts: 16,
            // Some hundred times what a healthy disk takes.
            budget_wait: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// Takes from the limits that are `running` those of what is made when a ledger is opened.
    pub fn keep_what_needs_a_restart(&mut self, running: &Self) {
        let Self { rows, flush, days, budget_parts, .. } = running.clone();
        *self = Self { rows, flush, days, budget_parts, ..self.clone() };
    }
}

impl Ledger {
    /// A reply for which nothing was reserved is over: it is counted, and its caller is charged for it. Blocks for no more than the addition.
    pub fn used(&self, entry: &Entry<'_>) {
        let usage = entry.usage.believable();
        if let Some(scope) = entry.caller.and_then(|caller| self.scope(caller, None)) {
            let amount = Amount::new(price::price(&self.prices, entry.provider, entry.model), &usage);
            lock(&self.books.accounts).settle(&scope, &accounts::BothHeld::default(), &amount, None, (self.books.clock)());
        }
        self.count(&Entry { usage, ..*entry });
    }

    /// Adds one reply to the sums.
    fn count(&self, entry: &Entry<'_>) {
        let (now, usage) = ((self.books.clock)(), &entry.usage);
        let cost = price::price(&self.prices, entry.provider, entry.model).map(|price| price.of(usage));
        lock(&self.books.pending).add(now.day(), entry, cost);
        let names = [entry.pipeline, entry.caller.unwrap_or_default(), entry.provider, short(entry.model)];
        self.books.metrics.tokens(names, [usage.prompt, usage.completion, usage.cached, usage.reasoning]);
    }

    /// Lets one request of this caller in, and counts it against its limits.
    ///
    /// # Errors
    /// The limit that is used up, and for how long.
    pub fn admit(&self, caller: &str) -> Result<(), Refused> {
        let admitted = lock(&self.books.accounts).admit(caller, (self.books.clock)());
        admitted.map_err(|denied| self.refused(caller, denied, false))
    }

    /// Lets one request of this caller's end user in, and counts it against that one's limits.
    ///
    /// # Errors
    /// The limit that is used up, and for how long.
    pub fn admit_end_user(&self, caller: &str, end_user: &Arc<str>) -> Result<(), Refused> {
        let Some(scope) = self.scope(caller, Some(end_user)) else { return Ok(()) };
        let admitted = lock(&self.books.accounts).admit_end_user(&scope, (self.books.clock)());
        admitted.map_err(|denied| self.refused(caller, denied, true))
    }

    /// What this caller, and its end user if it has one, has left; none if there are no limits.
    pub fn standing(&self, caller: &str, end_user: Option<&str>) -> Option<Standing> {
        lock(&self.books.accounts).standing(caller, end_user, (self.books.clock)())
    }

    fn scope(&self, caller: &str, end_user: Option<&Arc<str>>) -> Option<Scope> {
        let key = Arc::clone(lock(&self.books.accounts).key(caller)?);
        Some(Scope { key, end_user: end_user.cloned() })
    }

    fn refused(&self, caller: &str, denied: Denied, end_user: bool) -> Refused {
        let Denied { limit, allowed, why, retry_after } = denied;
        self.books.metrics.rate_limited(caller, limit.key());
        Refused { caller: caller.to_owned(), end_user, limit, allowed, why, retry_after }
    }

    /// The day that it is in UTC.
    pub fn today(&self) -> Day {
        (self.books.clock)().day()
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

    /// As `flush`, at the end: of the budgets no more than what is used is left written down.
    ///
    /// # Errors
    /// `Store`.
    pub async fn close(self: &Arc<Self>) -> Result<(), Error> {
        self.flush().await?;
        let (ledger, runtime) = (Arc::clone(self), tokio::runtime::Handle::current());
        let written = tokio::task::spawn_blocking(move || runtime.block_on(ledger.write_covers(true)));
        written.await.unwrap_or_else(|e| Err(Error::Store(format!("a task ended early: {e}"))))
    }

    /// As `close`, when another process takes over while requests still run here. What is used up to now is written down, and what those
    /// requests have reserved with it, so that both processes together allow no more than the budgets. From here on budgets are the other
    /// one's to write; what is used still is added to the report, where sums only grow, whoever adds.
    ///
    /// # Errors
    /// `Store`.
    pub async fn hand_over(self: &Arc<Self>) -> Result<(), Error> {
        let closed = self.close().await;
        // Whoever is writing now ends before this returns.
        let _alone = self.books.covering.lock().await;
        self.books.handed_over.store(true, Ordering::Relaxed);
        // As if the store had failed: requests go on without it.
        self.books.uncovered.store(true, Ordering::Relaxed);
        closed
    }

    async fn write(&self) -> Result<(), Error> {
        let rows = self.write_rows().await;
        self.write_covers(false).await.and(rows)
    }

    async fn write_rows(&self) -> Result<(), Error> {
        let mut forgotten = self.books.writing.lock().await;
        let rows = lock(&self.books.pending).take();
        if !rows.is_empty()
            && let Err(error) = self.books.store.add(&rows).await
        {
            lock(&self.books.pending).give_back(&rows);
            return Err(error.into());
        }
        let today = self.today();
        if *forgotten != Some(today) {
            self.books.store.forget_before(today.back(self.limits.days - 1)).await?;
            self.books.store.forget_budgets_before(today.month()).await?;
            *forgotten = Some(today);
        }
        Ok(())
    }

    async fn write_covers(&self, exact: bool) -> Result<(), Error> {
        let _alone = self.books.covering.lock().await;
        if self.books.handed_over.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (covers, gone) = lock(&self.books.accounts).begin_covers(exact, (self.books.clock)());
        if covers.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let row = |(scope, cover): &(Scope, Cover)| accounts::row(scope, cover);
        let (rows, names) = (covers.iter().map(row).collect::<Vec<_>>(), gone.iter().map(Scope::name).collect::<Vec<_>>());
        let written = self.books.store.put_budgets(&rows, &names).await;
        let mut accounts = lock(&self.books.accounts);
        self.books.uncovered.store(written.is_err(), Ordering::Relaxed);
        match written {
            Ok(()) => accounts.end_covers(&covers),
            Err(_) => accounts.retry_covers(&covers, gone),
        }
        Ok(written?)
    }

    /// What was used from one day to another, both included, to the last reply: everything is written before it is read. With `group` the rows
    /// of a day are summed by that name, and the other names are empty.
    ///
    /// # Errors
    /// `TooMany`, `Store`.
    pub async fn report(self: &Arc<Self>, from: Day, to: Day, group: Option<Group>) -> Result<Vec<UseRow>, Error> {
        let permit = Arc::clone(&self.books.reports).acquire_owned().await.map_err(|e| Error::Store(e.to_string()))?;
        let ledger = Arc::clone(self);
        // A task of its own, so that the permit is held for as long as the store works, even if the caller goes away.
        let report = tokio::spawn(async move {
            let _permit = permit;
            ledger.flush().await?;
            let limit = ledger.limits.report_rows;
            let rows = ledger.books.store.read(from, to, group, limit.saturating_add(1)).await?;
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
