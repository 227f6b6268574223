//! What was used on each day, in sums that only grow. They stop at `SUM_MAX`, so that SQLite's own numbers never overflow.
//! All rows of one call are written in one transaction.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rusqlite::types::Type;
use rusqlite::{Row, TransactionBehavior, params};

use super::database::Database;
use super::error::Error;
use crate::ledger::clock::Day;
use crate::ledger::{BudgetRow, Group, SUM_MAX, StoreError, Sums, UsageStore, UseRow};

/// The tables `use_by_day` and `budgets`.
pub(super) struct Usage {
    database: Arc<Database>,
}

impl Usage {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

impl UsageStore for Usage {
    fn add<'a>(&'a self, rows: &'a [UseRow]) -> BoxFuture<'a, Result<(), StoreError>> {
        let rows = rows.to_vec();
        Box::pin(self.database.on_blocking_thread(move |database| add(database, &rows)))
    }

    fn read(&self, from: Day, to: Day, group: Option<Group>, most: usize) -> BoxFuture<'_, Result<Vec<UseRow>, StoreError>> {
        Box::pin(self.database.on_blocking_thread(move |database| read(database, from, to, group, most)))
    }

    fn forget_before(&self, day: Day) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.database.on_blocking_thread(move |database| {
            database.writer().execute("DELETE FROM use_by_day WHERE day < ?1", [day.to_string()])?;
            Ok(())
        }))
    }

    fn put_budgets<'a>(&'a self, rows: &'a [BudgetRow], gone: &'a [String]) -> BoxFuture<'a, Result<(), StoreError>> {
        let (rows, gone) = (rows.to_vec(), gone.to_vec());
        Box::pin(self.database.on_blocking_thread(move |database| put_budgets(database, &rows, &gone)))
    }

    fn budgets(&self) -> BoxFuture<'_, Result<Vec<BudgetRow>, StoreError>> {
        Box::pin(self.database.on_blocking_thread(budgets))
    }

    fn forget_budgets_before(&self, day: Day) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.database.on_blocking_thread(move |database| {
            database.writer().execute("DELETE FROM budgets WHERE begun < ?1", [day.to_string()])?;
            Ok(())
        }))
    }
}

fn put_budgets(database: &Database, rows: &[BudgetRow], gone: &[String]) -> Result<(), Error> {
    let mut writer = database.writer();
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for account in gone {
        transaction.prepare_cached("DELETE FROM budgets WHERE account = ?1")?.execute([account])?;
    }
    for BudgetRow { account, limit, begun, used } in rows {
        let values = params![account, limit, begun.to_string(), (*used).min(SUM_MAX) as i64];
        transaction.prepare_cached("INSERT OR REPLACE INTO budgets VALUES (?1, ?2, ?3, ?4)")?.execute(values)?;
    }
    transaction.commit()?;
    Ok(())
}

fn budgets(database: &Database) -> Result<Vec<BudgetRow>, Error> {
    let reader = database.reader();
    let mut statement = reader.prepare_cached("SELECT account, budget, begun, used FROM budgets ORDER BY account, budget")?;
    let row = |row: &Row<'_>| {
        let used = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
        Ok(BudgetRow { account: row.get(0)?, limit: row.get(1)?, begun: day_of(&row.get::<_, String>(2)?, "budgets")?, used })
    };
    let rows = statement.query_map([], row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

fn day_of(text: &str, table: &str) -> rusqlite::Result<Day> {
    Day::parse(text).ok_or_else(|| {
        let why = format!("`{text}` in `{table}` is no day").into();
        rusqlite::Error::FromSqlConversionFailure(0, Type::Text, why)
    })
}

fn add(database: &Database, rows: &[UseRow]) -> Result<(), Error> {
    // The columns are named, because a later version may have added one while a server that it takes over from still counts.
    const SQL: &str = "INSERT INTO use_by_day
             (day, pipeline, caller, provider, model, replies, prompt, completion, cached, reasoning, estimated, priced, cost)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (day, pipeline, caller, provider, model) DO UPDATE SET
             replies = min(replies + excluded.replies, ?14), prompt = min(prompt + excluded.prompt, ?14),
             completion = min(completion + excluded.completion, ?14), cached = min(cached + excluded.cached, ?14),
             reasoning = min(reasoning + excluded.reasoning, ?14), estimated = min(estimated + excluded.estimated, ?14),
             priced = min(priced + excluded.priced, ?14), cost = min(cost + excluded.cost, ?14)";
    let mut writer = database.writer();
    let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let most = SUM_MAX as i64;
    for UseRow { day, pipeline, caller, provider, model, sums } in rows {
        let day = day.to_string();
        let Sums { replies, prompt, completion, cached, reasoning, estimated, priced, cost } = *sums;
        let [replies, prompt, completion, cached, reasoning, estimated, priced, cost] =
            [replies, prompt, completion, cached, reasoning, estimated, priced, cost].map(|sum| sum.min(SUM_MAX) as i64);
        transaction.prepare_cached(SQL)?.execute(params![
            day, pipeline, caller, provider, model, replies, prompt, completion, cached, reasoning, estimated, priced, cost, most
        ])?;
    }
    transaction.commit()?;
    Ok(())
}

fn read(database: &Database, from: Day, to: Day, group: Option<Group>, most: usize) -> Result<Vec<UseRow>, Error> {
    let shown = |column: Group, name: &'static str| if group.is_none_or(|group| group == column) { name } else { "''" };
    let sum = |name: &str| format!("CAST(min(total({name}), {SUM_MAX}) AS INTEGER)");
    let sums = ["replies", "prompt", "completion", "cached", "reasoning", "estimated", "priced", "cost"].map(sum).join(", ");
    let sql = format!(
        "SELECT day, {}, {}, {}, {}, {sums} FROM use_by_day WHERE day BETWEEN ?1 AND ?2
         GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 LIMIT ?3",
        shown(Group::Pipeline, "pipeline"),
        shown(Group::Caller, "caller"),
        shown(Group::Provider, "provider"),
        shown(Group::Model, "model"),
    );
    let reader = database.reader();
    let mut statement = reader.prepare_cached(&sql)?;
    let row = |row: &Row<'_>| {
        let name = |at: usize| row.get(at);
        let [day, pipeline, caller, provider, model]: [String; 5] = [name(0)?, name(1)?, name(2)?, name(3)?, name(4)?];
        let day = day_of(&day, "use_by_day")?;
        Ok(UseRow { day, pipeline, caller, provider, model, sums: sums_of(row, 5)? })
    };
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![from.to_string(), to.to_string(), most], row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

fn sums_of(row: &Row<'_>, first: usize) -> rusqlite::Result<Sums> {
    let sum = |at: usize| row.get::<_, i64>(first + at).map(|sum| u64::try_from(sum).unwrap_or(0));
    Ok(Sums {
        replies: sum(0)?,
        prompt: sum(1)?,
        completion: sum(2)?,
        cached: sum(3)?,
        reasoning: sum(4)?,
        estimated: sum(5)?,
        priced: sum(6)?,
        cost: sum(7)?,
    })
}
