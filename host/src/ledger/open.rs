//! From what the store remembers to a ledger: what each key and each end user used of the days and months that are not over, so that a restart
//! gives nobody a second budget.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::account::Account;
use super::accounts::{Accounts, Scope, unit};
use super::allowance::Limit;
use super::budget::first_day;
use super::clock::{Clock, Day};
use super::pending::Pending;
use super::price::PICO;
use super::store::{BudgetRow, Group, UsageStore, UseRow};
use super::{Books, Config, Error, Ledger, REPORTS_MAX};
use crate::telemetry::Metrics;

impl Ledger {
    /// Reads what was used of the budgets, and writes down the first part of those of the keys.
    ///
    /// # Errors
    /// `Store`.
    pub async fn open(store: Arc<dyn UsageStore>, config: Config, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let now = clock();
        let today = now.day();
        // As many as a day can have: `rows`, and `other` of every caller that there ever was.
        let written = store.read(today, today, None, usize::MAX).await?;
        let used = Used::read(&*store, today).await?;
        let Config { allowances, end_users, prices, limits } = config;
        // With limits for end users every key has an account, so that it is known whose end users are counted.
        let limited = allowances.into_iter().filter(|(_, allowance)| end_users.is_some() || !allowance.is_unlimited());
        let parts = limits.budget_parts;
        let keys = limited.map(|(key, allowance)| {
            let scope = Scope { key: Arc::clone(&key), end_user: None };
            let account = Account::new(allowance, parts, now, |limit| used.of(&scope, limit));
            (key, account)
        });
        let mut accounts = Accounts::new(keys.collect(), end_users.as_ref(), parts);
        accounts.remember(used.end_users(), |scope, limit| used.of(scope, limit), now);
        accounts.list_keys();
        let books = Books {
            pending: Mutex::new(Pending::open(limits.rows, today, &written)),
            accounts: Mutex::new(accounts),
            store,
            writing: tokio::sync::Mutex::default(),
            covering: tokio::sync::Mutex::default(),
            covers_ahead: AtomicBool::new(false),
            uncovered: AtomicBool::new(false),
            handed_over: AtomicBool::new(false),
            reports: Arc::new(Semaphore::new(REPORTS_MAX)),
            clock,
            metrics,
        };
        let ledger = Self { books: Arc::new(books), prices, limits };
        ledger.write_covers(false).await?;
        Ok(ledger)
    }
}

/// What the store says is used of the days and months that are not over.
pub(super) struct Used {
    today: Day,
    month: Vec<UseRow>,
    budgets: HashMap<Scope, HashMap<String, u128>>,
}

impl Used {
    pub(super) async fn read(store: &dyn UsageStore, today: Day) -> Result<Self, Error> {
        let month = store.read(today.month(), today, Some(Group::Caller), usize::MAX).await?;
        Ok(Self { today, month, budgets: remembered(store.budgets().await?, today) })
    }

    /// Units of a limit that are used: of those of a key the report tells too.
    pub(super) fn of(&self, scope: &Scope, limit: Limit) -> u128 {
        let written = self.budgets.get(scope).and_then(|of_scope| of_scope.get(limit.key())).copied().unwrap_or(0);
        if scope.end_user.is_some() { written } else { written.max(reported(&self.month, &scope.key, limit, self.today)) }
    }

    /// The end users of whom something was written down.
    pub(super) fn end_users(&self) -> impl Iterator<Item = &Scope> {
        self.budgets.keys().filter(|scope| scope.end_user.is_some())
    }
}

/// Units of each limit that the store says are used, of the periods that are not over. A clock that is set back gives no second budget.
fn remembered(rows: Vec<BudgetRow>, today: Day) -> HashMap<Scope, HashMap<String, u128>> {
    let mut remembered: HashMap<Scope, HashMap<String, u128>> = HashMap::new();
    for BudgetRow { account, limit, begun, used } in rows {
        let kind = [Limit::TokensPerDay, Limit::UsdPerDay, Limit::UsdPerMonth].into_iter().find(|kind| kind.key() == limit);
        if let (Some(scope), Some(kind)) = (Scope::parse(&account), kind)
            && begun >= first_day(kind, today)
        {
            remembered.entry(scope).or_default().insert(limit, u128::from(used) * unit(kind));
        }
    }
    remembered
}

/// What the report of the month says that a key used: of a file from before budgets were written down, or by a key that had none.
fn reported(month: &[UseRow], key: &str, limit: Limit, today: Day) -> u128 {
    let rows = month.iter().filter(|row| row.caller == key && row.day >= first_day(limit, today));
    rows.map(|row| match limit {
        Limit::UsdPerDay | Limit::UsdPerMonth => u128::from(row.sums.cost) * PICO,
        _ => u128::from(row.sums.prompt) + u128::from(row.sums.completion),
    })
    .sum()
}
