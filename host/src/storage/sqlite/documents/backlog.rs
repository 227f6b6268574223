//! Words for chunks of an earlier release, which had no keyword index: in bounded steps, beside everything else, from start to start until all are done.
//! A search finds what is not yet indexed by similarity alone. All calls block.

use rusqlite::{OptionalExtension, TransactionBehavior, params};

use super::super::error::Error;
use super::keywords;
use super::rows::Rows;

/// Chunks that are indexed in one transaction: some 20 milliseconds.
const STEP_CHUNKS: usize = 200;
/// Chunks between two lines in the log.
const LOGGED_CHUNKS: usize = 10_000;

impl Rows {
    /// Whether chunks of an earlier release have no words yet.
    pub(super) fn has_backlog(&self) -> Result<bool, Error> {
        Ok(self.reader().query_row("SELECT EXISTS (SELECT 1 FROM keyword_backlog)", [], |row| row.get(0))?)
    }

    /// Indexes the chunks of an earlier release, a few in each transaction; a process that is killed has done what it did.
    pub(super) fn work_off_backlog(&self) -> Result<(), Error> {
        tracing::info!(
            "the keyword index of an earlier release's documents is being made; until then searches find them by similarity alone"
        );
        let (mut done, mut logged) = (0, 0);
        while let Some(indexed) = self.index_some()? {
            done += indexed;
            if done >= logged + LOGGED_CHUNKS {
                logged = done;
                tracing::info!(chunks = done, "the keyword index is being made");
            }
        }
        tracing::info!(chunks = done, "the keyword index is complete");
        Ok(())
    }

    /// Gives how many chunks were indexed; none if there is nothing to do any more.
    fn index_some(&self) -> Result<Option<usize>, Error> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // In the transaction, because a server that hands over may do the same.
        let done: Option<i64> = transaction.query_row("SELECT done FROM keyword_backlog", [], |row| row.get(0)).optional()?;
        let Some(done) = done else { return Ok(None) };
        let sql = "SELECT c.id, n.id, d.title, c.heading, c.text, EXISTS (SELECT 1 FROM keywords_docsize k WHERE k.id = c.id)
                   FROM chunks c JOIN documents d ON d.id = c.document_id JOIN namespaces n ON n.api = d.api AND n.name = d.namespace
                   WHERE c.id > ?1 ORDER BY c.id LIMIT ?2";
        let mut last = None;
        let mut indexed = 0;
        let mut statement = transaction.prepare(sql)?;
        let mut rows = statement.query(params![done, STEP_CHUNKS as i64])?;
        while let Some(row) = rows.next()? {
            let chunk = row.get(0)?;
            last = Some(chunk);
            indexed += 1;
            if !row.get::<_, bool>(5)? {
                let (title, heading, text): (Option<String>, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
                keywords::insert(&transaction, row.get(1)?, chunk, &[&title.unwrap_or_default(), &heading, &text])?;
            }
        }
        drop(rows);
        drop(statement);
        match last {
            Some(last) => transaction.execute("UPDATE keyword_backlog SET done = ?1", [last])?,
            None => transaction.execute("DELETE FROM keyword_backlog", [])?,
        };
        transaction.commit()?;
        Ok(last.map(|_| indexed))
    }
}
