//! What was used on each day, in sums that only grow. Must not know what a token costs or who may use how many.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Row, TransactionBehavior, params};

use super::Error;

/// No sum grows past it: many readers of JSON keep no larger whole number, and SQLite's would overflow at a thousand times as much.
const SUM_MAX: u64 = (1 << 53) - 1;

/// The table. Its calls block; an async caller wraps them in `spawn_blocking`.
pub struct UseByDay {
    connection: Mutex<Connection>,
}

/// One row: the names under which was counted, and the sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UseRow {
    /// `2026-11-22`.
    pub day: String,
    pub pipeline: String,
    /// Empty where no key was used.
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

/// What rows may be summed by, within each day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseColumn {
    Pipeline,
    Caller,
    Provider,
    Model,
}

impl Sums {
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

    fn read(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let sum = |at: usize| row.get::<_, i64>(first + at).map(|sum| u64::try_from(sum).unwrap_or(0));
        Ok(Self {
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
}

impl UseByDay {
    /// # Errors
    /// Those of `store::open`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { connection: Mutex::new(super::open(path)?) })
    }

    /// Adds each row to the one of the same names: all of them on the disk when the call returns, or none.
    ///
    /// # Errors
    /// `Sql`.
    pub fn add(&self, rows: &[UseRow]) -> Result<(), Error> {
        const SQL: &str = "INSERT INTO use_by_day VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (day, pipeline, caller, provider, model) DO UPDATE SET
                 replies = min(replies + excluded.replies, ?14), prompt = min(prompt + excluded.prompt, ?14),
                 completion = min(completion + excluded.completion, ?14), cached = min(cached + excluded.cached, ?14),
                 reasoning = min(reasoning + excluded.reasoning, ?14), estimated = min(estimated + excluded.estimated, ?14),
                 priced = min(priced + excluded.priced, ?14), cost = min(cost + excluded.cost, ?14)";
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let most = SUM_MAX as i64;
        for UseRow { day, pipeline, caller, provider, model, sums } in rows {
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

    /// The rows from one day to another, both included, at most `most` of them, by day and names. With `by` the rows of a day are summed by that
    /// column, and the other names are empty.
    ///
    /// # Errors
    /// `Sql`.
    pub fn read(&self, from: &str, to: &str, by: Option<UseColumn>, most: usize) -> Result<Vec<UseRow>, Error> {
        let shown = |column: UseColumn, name: &'static str| if by.is_none_or(|by| by == column) { name } else { "''" };
        let sum = |name: &str| format!("CAST(min(total({name}), {SUM_MAX}) AS INTEGER)");
        let sums = ["replies", "prompt", "completion", "cached", "reasoning", "estimated", "priced", "cost"].map(sum).join(", ");
        let sql = format!(
            "SELECT day, {}, {}, {}, {}, {sums} FROM use_by_day WHERE day BETWEEN ?1 AND ?2
             GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 LIMIT ?3",
            shown(UseColumn::Pipeline, "pipeline"),
            shown(UseColumn::Caller, "caller"),
            shown(UseColumn::Provider, "provider"),
            shown(UseColumn::Model, "model"),
        );
        let connection = self.connection();
        let mut statement = connection.prepare_cached(&sql)?;
        let row = |row: &Row<'_>| {
            let name = |at: usize| row.get(at);
            let [day, pipeline, caller, provider, model] = [name(0)?, name(1)?, name(2)?, name(3)?, name(4)?];
            Ok(UseRow { day, pipeline, caller, provider, model, sums: Sums::read(row, 5)? })
        };
        let rows = statement.query_map(params![from, to, i64::try_from(most).unwrap_or(i64::MAX)], row)?.collect::<Result<_, _>>()?;
        Ok(rows)
    }

    /// Deletes the rows of the days before `day`.
    ///
    /// # Errors
    /// `Sql`.
    pub fn forget_before(&self, day: &str) -> Result<(), Error> {
        self.connection().execute("DELETE FROM use_by_day WHERE day < ?1", [day])?;
        Ok(())
    }

    /// A panic elsewhere cannot leave a connection half-changed: each call is one transaction.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> (tempfile::TempDir, UseByDay) {
        let folder = tempfile::tempdir().unwrap();
        let table = UseByDay::open(&folder.path().join("cofferdam.db")).unwrap();
        (folder, table)
    }

    fn row(names: &str, n: u64) -> UseRow {
        let mut names = names.split(' ').map(str::to_owned);
        let mut name = || names.next().unwrap();
        let (day, pipeline, caller, provider, model) = (name(), name(), name(), name(), name());
        let sums = Sums {
            replies: n,
            prompt: n + 1,
            completion: n + 2,
            cached: n + 3,
            reasoning: n + 4,
            estimated: n + 5,
            priced: n + 6,
            cost: n + 7,
        };
        UseRow { day, pipeline, caller, provider, model, sums }
    }

    fn sum(rows: &[UseRow]) -> Sums {
        rows.iter().fold(Sums::default(), |mut sums, row| {
            sums.add(&row.sums);
            sums
        })
    }

    #[test]
    fn rows_are_added_up_and_found_by_day_after_reopening() {
        let (folder, table) = table();
        let rows = [row("2026-01-01 p a openai m", 1), row("2026-01-02 p a openai m", 20), row("2026-01-02 p  openai m", 300)];
        table.add(&rows).unwrap();
        table.add(&rows[..2]).unwrap();
        drop(table);
        let table = UseByDay::open(&folder.path().join("cofferdam.db")).unwrap();
        let found = table.read("2026-01-01", "2026-01-01", None, 10).unwrap();
        assert_eq!(found, [UseRow { sums: sum(&[rows[0].clone(), rows[0].clone()]), ..rows[0].clone() }]);
        let found = table.read("2026-01-02", "2026-12-31", None, 10).unwrap();
        assert_eq!(found, [rows[2].clone(), UseRow { sums: sum(&[rows[1].clone(), rows[1].clone()]), ..rows[1].clone() }]);
        assert_eq!(table.read("2026-01-01", "2026-01-02", None, 2).unwrap().len(), 2);
    }

    #[test]
    fn rows_are_summed_by_each_column_within_a_day() {
        let (_folder, table) = table();
        let rows = [row("2026-01-01 p a openai m", 1), row("2026-01-01 p b openai n", 20), row("2026-01-02 q a azure m", 300)];
        table.add(&rows).unwrap();
        let by = |column| table.read("2026-01-01", "2026-01-02", Some(column), 10).unwrap();
        let first = sum(&rows[..2]);
        let name = |day: &str| UseRow { day: day.into(), ..UseRow::default() };
        let second = |row: UseRow| UseRow { sums: rows[2].sums, ..row };
        assert_eq!(
            by(UseColumn::Pipeline),
            [
                UseRow { pipeline: "p".into(), sums: first, ..name("2026-01-01") },
                second(UseRow { pipeline: "q".into(), ..name("2026-01-02") })
            ]
        );
        assert_eq!(
            by(UseColumn::Provider),
            [
                UseRow { provider: "openai".into(), sums: first, ..name("2026-01-01") },
                second(UseRow { provider: "azure".into(), ..name("2026-01-02") })
            ]
        );
        assert_eq!(by(UseColumn::Caller).iter().map(|row| &*row.caller).collect::<Vec<_>>(), ["a", "b", "a"]);
        assert_eq!(by(UseColumn::Model).iter().map(|row| &*row.model).collect::<Vec<_>>(), ["m", "n", "m"]);
    }

    #[test]
    fn a_sum_that_cannot_grow_stays_at_its_most() {
        let (_folder, table) = table();
        let huge = UseRow { sums: Sums { prompt: u64::MAX, ..Sums::default() }, ..row("2026-01-01 p a openai m", 0) };
        let other = UseRow { model: "n".into(), ..huge.clone() };
        table.add(&[huge.clone(), huge, other]).unwrap();
        for by in [None, Some(UseColumn::Caller)] {
            assert_eq!(table.read("2026-01-01", "2026-01-01", by, 9).unwrap()[0].sums.prompt, SUM_MAX);
        }
    }

    #[test]
    fn days_before_one_are_forgotten() {
        let (_folder, table) = table();
        table.add(&["2025-12-31", "2026-01-01", "2026-01-02"].map(|day| row(&format!("{day} p a openai m"), 1))).unwrap();
        table.forget_before("2026-01-01").unwrap();
        let days: Vec<_> = table.read("0000", "9999", None, 9).unwrap().into_iter().map(|row| row.day).collect();
        assert_eq!(days, ["2026-01-01", "2026-01-02"]);
    }
}
