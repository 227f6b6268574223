//! The port for the sums of what was used. `storage` implements it, and `tests/contract/usage.rs` holds every backend to what is said here.
//! Sums only grow, so that writers on several machines add to the same rows without asking each other.

use futures_util::future::BoxFuture;

use super::clock::Day;

/// No sum grows past it: many readers of JSON keep no larger whole number, and a database's own would overflow at a thousand times as much.
pub const SUM_MAX: u64 = (1 << 53) - 1;

/// Keeps what was used, by day and names. A future that is dropped has done the whole of its work, or none, or does it in the background.
///
/// All methods fail if the backend cannot read or write.
pub trait UsageStore: Send + Sync + 'static {
    /// Adds each row to the one of the same day and names; two rows of one call may be of the same names. When this returns, a killed process
    /// loses none of them. If it fails, none was added. A sum that would grow past `SUM_MAX` stays there.
    fn add<'a>(&'a self, rows: &'a [UseRow]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The rows from one day to another, both included, at most `most` of them, by day, pipeline, caller, provider and model in the order of
    /// their bytes. With `group` the rows of a day are summed by that name, and the other names are empty.
    fn read(&self, from: Day, to: Day, group: Option<Group>, most: usize) -> BoxFuture<'_, Result<Vec<UseRow>, StoreError>>;

    /// Deletes the rows of the days before `day`.
    fn forget_before(&self, day: Day) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Puts each row in place of the one of the same account and limit, and deletes all rows of the accounts that are `gone`. When this
    /// returns, a killed process loses nothing of it. If it fails, nothing was changed.
    fn put_budgets<'a>(&'a self, rows: &'a [BudgetRow], gone: &'a [String]) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Every row of `put_budgets`, by account and limit in the order of their bytes.
    fn budgets(&self) -> BoxFuture<'_, Result<Vec<BudgetRow>, StoreError>>;

    /// Deletes the rows of `put_budgets` that begin before `day`.
    fn forget_budgets_before(&self, day: Day) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// How much of one budget is used at the most: what was used, what was under way, and what was written down in advance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetRow {
    pub account: String,
    /// Its key in the operator's file.
    pub limit: String,
    /// The first day of the day or month that the budget is for.
    pub begun: Day,
    /// Tokens, or millionths of a dollar; stays at `SUM_MAX` if it is more.
    pub used: u64,
}

/// One row: the names under which was counted, and the sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UseRow {
    pub day: Day,
    pub pipeline: String,
    /// Empty if no key was used.
    pub caller: String,
    pub provider: String,
    pub model: String,
    pub sums: Sums,
}

/// What is summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub replies: u64,
    /// Tokens.
    pub prompt: u64,
    /// Tokens.
    pub completion: u64,
    /// Tokens of the prompt.
    pub cached: u64,
    /// Tokens of the completion.
    pub reasoning: u64,
    /// Replies whose tokens are a guess.
    pub estimated: u64,
    /// Replies that had a price.
    pub priced: u64,
    /// What those cost, in millionths of a dollar.
    pub cost: u64,
}

impl Sums {
    /// Adds each sum to its like; none grows past `SUM_MAX`.
    pub fn add(&mut self, more: &Self) {
        let Self { replies, prompt, completion, cached, reasoning, estimated, priced, cost } = self;
        for (sum, more) in [
            (replies, more.replies),
            (prompt, more.prompt),
            (completion, more.completion),
            (cached, more.cached),
            (reasoning, more.reasoning),
            (estimated, more.estimated),
            (priced, more.priced),
            (cost, more.cost),
        ] {
            *sum = sum.saturating_add(more).min(SUM_MAX);
        }
    }
}

/// What rows may be summed by, within each day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Pipeline,
    Caller,
    Provider,
    Model,
}

/// Why a backend failed, with all causes spelled out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);
