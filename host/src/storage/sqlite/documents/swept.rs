//! How a whole namespace goes: one row hides all of it at once, and then its rows are deleted in transactions of bounded size, so that nobody
//! who writes waits for long. What is hidden is in no list, no count and no search, whenever the process dies. All calls block.

use rusqlite::{Transaction, TransactionBehavior, params};

use super::super::error::Error;
use super::rows::Rows;
use super::{keywords, spaces};
use crate::rag::Namespace;

/// Rows deleted in one transaction: some milliseconds, of which most are the disk's.
const SWEEP_ROWS: usize = 500;

impl Rows {
    /// Hides every document of the namespace, and gives their number and what `lock_commit` gave as in `put`. None if there is none.
    pub(super) fn hide<L>(&self, namespace: &Namespace, lock_commit: impl FnOnce() -> L) -> Result<Option<(usize, L)>, Error> {
        let place = [&namespace.api, &namespace.name];
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "SELECT count(*) FROM live_documents WHERE api = ?1 AND namespace = ?2";
        let documents: u32 = transaction.query_row(sql, place, |row| row.get(0))?;
        if documents == 0 {
            return Ok(None);
        }
        transaction.execute("INSERT INTO deleted_namespaces (api, namespace) VALUES (?1, ?2)", place)?;
        spaces::forget(&transaction, namespace)?;
        let held = lock_commit();
        transaction.commit()?;
        Ok(Some((documents as usize, held)))
    }

    /// The namespaces that are hidden and not yet swept.
    pub(super) fn hidden(&self) -> Result<Vec<Namespace>, Error> {
        let reader = self.reader();
        let mut rows = reader.prepare_cached("SELECT api, namespace FROM deleted_namespaces")?;
        let hidden = rows.query_map([], |row| Ok(Namespace { api: row.get(0)?, name: row.get(1)? }))?;
        Ok(hidden.collect::<Result<_, _>>()?)
    }

    /// Deletes some of what a hidden namespace holds, and the row that hides it once nothing is left. Gives whether there is more to do.
    pub(super) fn sweep(&self, namespace: &Namespace) -> Result<bool, Error> {
        let place = [&namespace.api, &namespace.name];
        let hidden = "SELECT EXISTS (SELECT 1 FROM deleted_namespaces WHERE api = ?1 AND namespace = ?2)";
        if !self.reader().prepare_cached(hidden)?.query_row(place, |row| row.get(0))? {
            return Ok(false);
        }
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Once more, because a server that hands over may have swept the same namespace meanwhile, and what is there now is new.
        if !transaction.prepare_cached(hidden)?.query_row(place, |row| row.get(0))? {
            return Ok(false);
        }
        let more = sweep_rows(&transaction, namespace)?;
        if !more {
            transaction.execute("DELETE FROM deleted_namespaces WHERE api = ?1 AND namespace = ?2", place)?;
            keywords::forget_number(&transaction, namespace)?;
        }
        transaction.commit()?;
        Ok(more)
    }
}

/// Deletes at most `SWEEP_ROWS` rows; gives whether that was all that it might.
fn sweep_rows(transaction: &Transaction<'_>, namespace: &Namespace) -> rusqlite::Result<bool> {
    let sql = "SELECT id FROM documents WHERE api = ?1 AND namespace = ?2 LIMIT ?3";
    let ids: Vec<String> = transaction
        .prepare_cached(sql)?
        .query_map(params![namespace.api, namespace.name, SWEEP_ROWS as i64], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let chunks = "DELETE FROM chunks WHERE id IN (SELECT id FROM chunks WHERE document_id = ?1 LIMIT ?2)";
    let mut room = SWEEP_ROWS;
    for id in ids {
        room -= transaction.prepare_cached(chunks)?.execute(params![id, room as i64])?;
        // A document goes after the last of its chunks.
        if room == 0 {
            return Ok(true);
        }
        room -= transaction.prepare_cached("DELETE FROM documents WHERE id = ?1")?.execute([id])?;
        if room == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::rag::{Chunk, DocumentInfo, DocumentStore, NewDocument, Page, VectorSpace};
    use crate::storage::sqlite;
    use crate::storage::sqlite::database::Database;

    fn namespace() -> Namespace {
        Namespace { api: "support".into(), name: "n".into() }
    }

    fn space() -> VectorSpace {
        VectorSpace { model: "m".into(), dimensions: 2 }
    }

    async fn put(documents: &Arc<dyn DocumentStore>, id: &str, chunks: usize) {
        let info = DocumentInfo { id: id.into(), name: id.into(), ..DocumentInfo::default() };
        let (texts, vectors) = (vec![Chunk::of("text"); chunks], vec![vec![1.0, 0.0]; chunks]);
        let document = NewDocument { info, space: space(), chunks: Arc::new(texts), vectors };
        documents.put(&namespace(), document, usize::MAX).await.unwrap();
    }

    fn rows(path: &Path) -> Rows {
        Rows::open(Arc::new(Database::open(path).unwrap())).unwrap()
    }

    fn count(path: &Path) -> usize {
        let sql = "SELECT (SELECT count(*) FROM documents) + (SELECT count(*) FROM chunks) + (SELECT count(*) FROM deleted_namespaces)
                       WHERE (SELECT count(*) FROM chunks) = (SELECT count(*) FROM keywords_docsize)";
        rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap() as usize
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_hidden_namespace_is_swept_in_bounded_steps_and_only_then_no_more_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cofferdam.db");
        let documents = sqlite::open(&path).unwrap().documents;
        for (id, chunks) in [("1", 499), ("2", 1201), ("3", 1), ("4", 500)] {
            put(&documents, id, chunks).await;
        }
        drop(documents);
        let rows = rows(&path);
        tokio::task::block_in_place(|| {
            assert!(!rows.sweep(&namespace()).unwrap(), "what is not hidden stays");
            assert_eq!(rows.hide(&namespace(), || ()).unwrap(), Some((4, ())));
            assert_eq!(rows.hide(&namespace(), || ()).unwrap(), None);
            let mut left = count(&path);
            assert_eq!(left, 4 + 499 + 1201 + 1 + 500 + 1);
            let mut steps = 0;
            while rows.sweep(&namespace()).unwrap() {
                let now = count(&path);
                assert_eq!(left - now, SWEEP_ROWS);
                assert_eq!(rows.hidden().unwrap(), [namespace()]);
                (left, steps) = (now, steps + 1);
            }
            assert_eq!((steps, count(&path)), (4, 0));
        });
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_a_killed_process_had_hidden_stays_hidden_and_is_swept_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cofferdam.db");
        let documents = sqlite::open(&path).unwrap().documents;
        // Enough for an index to be saved, which then holds what is hidden.
        put(&documents, "1", 1100).await;
        drop(documents);
        assert_eq!(std::fs::read_dir(folder.path().join("index")).unwrap().count(), 1);
        let killed = rows(&path);
        tokio::task::block_in_place(|| {
            killed.hide(&namespace(), || ()).unwrap();
            killed.sweep(&namespace()).unwrap();
        });
        drop(killed);
        let documents = sqlite::open(&path).unwrap().documents;
        assert!(documents.is_empty(&namespace()).await.unwrap());
        assert_eq!(documents.nearest(&namespace(), &space(), vec![1.0, 0.0], 9).await.unwrap(), []);
        let page = Page { after: "", count: 9 };
        assert_eq!(documents.documents("support", None, page).await.unwrap(), []);
        assert_eq!((documents.apis(page).await.unwrap(), documents.namespaces("support", page).await.unwrap()), (vec![], vec![]));
        while count(&path) > 0 {
            tokio::task::yield_now().await;
        }
        put(&documents, "2", 1).await;
        assert_eq!(documents.nearest(&namespace(), &space(), vec![1.0, 0.0], 9).await.unwrap().len(), 1);
    }
}
