//! Documents and chunks in SQLite: every statement of the port. All calls block.
//! Chunk ids are never used twice, so that an index tells by ids alone whether it agrees with the tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::super::database::{Database, Reader};
use super::super::error::Error;
use super::{keywords, spaces};
use crate::chat::Hit;
use crate::rag::{Chunk, DocumentInfo, Namespace, NewDocument};

/// The tables `documents` and `chunks`.
pub(super) struct Rows {
    database: Arc<Database>,
    next_chunk: AtomicI64,
}

/// What a `put` did.
pub(super) enum Written<L> {
    Stored {
        replaced: bool,
        /// The chunks of the document that was replaced.
        gone: Vec<i64>,
        /// What `lock_commit` gave.
        held: L,
    },
    Full,
    OtherSpace,
}

/// A chunk as it is found; the hit's score is left to the caller.
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) hit: Hit,
    /// The embedder's that made the vector.
    pub(super) model: String,
    pub(super) vector: Vec<f32>,
}

impl Rows {
    pub(super) fn open(database: Arc<Database>) -> Result<Self, Error> {
        let used = "SELECT seq FROM sqlite_sequence WHERE name = 'chunks'";
        let used: Option<i64> = database.reader().query_row(used, [], |row| row.get(0)).optional()?;
        Ok(Self { database, next_chunk: AtomicI64::new(used.unwrap_or(0) + 1) })
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        self.database.reader()
    }

    pub(super) fn writer(&self) -> tokio::sync::MutexGuard<'_, Connection> {
        self.database.writer()
    }

    /// Ids for `count` chunks, the first of them; the index may hold them before the table does.
    pub(super) fn allocate(&self, count: usize) -> i64 {
        self.next_chunk.fetch_add(count as i64, Ordering::Relaxed)
    }

    /// Writes a document, in place of one of its name, in one transaction: on the disk when the call returns, or not at all.
    /// `lock_commit` is called when all but the commit is done; what it gives is held over the commit and handed on.
    pub(super) fn put<L>(
        &self,
        namespace: &Namespace,
        document: &NewDocument,
        first_chunk: i64,
        chunks_max: usize,
        lock_commit: impl FnOnce() -> L,
    ) -> Result<Written<L>, Error> {
        let name = &document.info.name;
        let mut writer = self.database.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !spaces::admits(&transaction, namespace, &document.space)? {
            return Ok(Written::OtherSpace);
        }
        let before = document_id(&transaction, namespace, name)?;
        let gone = before.as_deref().map_or(Ok(Vec::new()), |id| delete(&transaction, id))?;
        if chunk_count(&transaction, namespace, name)? + document.chunks.len() > chunks_max {
            return Ok(Written::Full);
        }
        insert(&transaction, namespace, document, first_chunk)?;
        let held = lock_commit();
        transaction.commit()?;
        Ok(Written::Stored { replaced: before.is_some(), gone, held })
    }

    /// Deletes a document of the namespace; gives its chunks, and what `lock_commit` gave as in `put`. None if there is no such document.
    pub(super) fn delete<L>(
        &self,
        namespace: &Namespace,
        id: &str,
        lock_commit: impl FnOnce() -> L,
    ) -> Result<Option<(Vec<i64>, L)>, Error> {
        let mut writer = self.database.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "SELECT EXISTS (SELECT 1 FROM live_documents WHERE id = ?1 AND api = ?2 AND namespace = ?3)";
        if !transaction.query_row(sql, [id, &namespace.api, &namespace.name], |row| row.get(0))? {
            return Ok(None);
        }
        let gone = delete(&transaction, id)?;
        let held = lock_commit();
        transaction.commit()?;
        Ok(Some((gone, held)))
    }

    pub(super) fn is_empty(&self, namespace: &Namespace) -> Result<bool, Error> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM live_documents WHERE api = ?1 AND namespace = ?2)";
        let reader = self.database.reader();
        let mut statement = reader.prepare_cached(sql)?;
        Ok(statement.query_row([&namespace.api, &namespace.name], |row| row.get(0))?)
    }

    pub(super) fn chunk_count(&self, namespace: &Namespace, except: &str) -> Result<usize, Error> {
        Ok(chunk_count(&self.database.reader(), namespace, except)?)
    }

    /// The ids of the namespace's chunks whose vectors are of this model, in the order in which they were added: an index that is built again
    /// is then the same as it was.
    pub(super) fn ids(&self, namespace: &Namespace, model: &str) -> Result<Vec<i64>, Error> {
        let reader = self.database.reader();
        let sql = "SELECT c.id FROM live_documents d JOIN chunks c ON c.document_id = d.id
                   WHERE d.api = ?1 AND d.namespace = ?2 AND d.model = ?3 ORDER BY c.id";
        let mut rows = reader.prepare_cached(sql)?;
        Ok(rows.query_map([&namespace.api, &namespace.name, model], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// The chunks of these ids, as `rows` gives them.
    pub(super) fn rows(&self, ids: &[i64], model: &str) -> Result<Vec<Row>, Error> {
        let mut reader = self.database.reader();
        let moment = reader.transaction()?;
        let mut rows = rows(&moment, ids)?;
        rows.retain(|row| row.model == model);
        Ok(rows)
    }

    /// See `DocumentStore::chunks`.
    pub(super) fn chunks(&self, document_id: &str, first: u32, last: u32) -> Result<Vec<Chunk>, Error> {
        let reader = self.database.reader();
        let sql = "SELECT c.text, c.heading, c.page FROM chunks c JOIN live_documents d ON d.id = c.document_id
                   WHERE c.document_id = ?1 AND c.ordinal BETWEEN ?2 AND ?3 ORDER BY c.ordinal";
        let mut rows = reader.prepare_cached(sql)?;
        Ok(rows.query_map(params![document_id, first, last], chunk)?.collect::<Result<_, _>>()?)
    }
}

/// The chunks of these ids, in their order. Ids that are gone are passed over: another document may just have come in their place.
pub(super) fn rows(moment: &Connection, ids: &[i64]) -> Result<Vec<Row>, Error> {
    let sql = "SELECT d.id, d.name, c.ordinal, c.heading, c.page, c.text, d.model, c.vector, d.metadata ->> 'url'
               FROM live_chunks c JOIN live_documents d ON d.id = c.document_id WHERE c.id = ?1";
    let mut statement = moment.prepare_cached(sql)?;
    let mut row = |id: &i64| {
        let found = statement.query_row([id], |row| {
            let hit = Hit {
                document: row.get(0)?,
                source: row.get(1)?,
                // Metadata may be a number.
                url: row.get(8).unwrap_or_default(),
                ordinal: row.get(2)?,
                heading: row.get(3)?,
                page: row.get(4)?,
                text: row.get(5)?,
                score: 0.0,
                cosine: None,
            };
            Ok(Row { id: *id, hit, model: row.get(6)?, vector: vector(row.get_ref(7)?.as_blob()?) })
        });
        found.optional().map_err(Error::from).transpose()
    };
    ids.iter().filter_map(&mut row).collect()
}

fn document_id(connection: &Connection, namespace: &Namespace, name: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT id FROM documents WHERE api = ?1 AND namespace = ?2 AND name = ?3";
    connection.query_row(sql, [&namespace.api, &namespace.name, name], |row| row.get(0)).optional()
}

/// Deletes a document with its chunks, whose ids it gives.
fn delete(transaction: &Transaction<'_>, id: &str) -> rusqlite::Result<Vec<i64>> {
    let gone = chunk_ids(transaction, id)?;
    transaction.execute("DELETE FROM documents WHERE id = ?1", [id])?;
    Ok(gone)
}

fn insert(transaction: &Transaction<'_>, namespace: &Namespace, document: &NewDocument, first_chunk: i64) -> rusqlite::Result<()> {
    let NewDocument { info, space, chunks, vectors } = document;
    let DocumentInfo { id, name, sha256, bytes, content, created, title, metadata } = info;
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    transaction.execute(
        "INSERT INTO documents (id, api, namespace, name, sha256, bytes, model, created, title, metadata, content)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            id,
            namespace.api,
            namespace.name,
            name,
            sha256,
            whole(*bytes),
            &*space.model,
            whole(*created),
            title,
            metadata.json(),
            content
        ],
    )?;
    let number = keywords::number(transaction, namespace)?;
    let sql = "INSERT INTO chunks (id, document_id, ordinal, text, vector, heading, page) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut row = transaction.prepare_cached(sql)?;
    for (ordinal, (Chunk { text, heading, page }, vector)) in (0_i64..).zip(chunks.iter().zip(vectors)) {
        row.execute(params![first_chunk + ordinal, id, ordinal, text, blob(vector), heading, page])?;
        keywords::insert(transaction, number, first_chunk + ordinal, &[title.as_deref().unwrap_or_default(), heading, text])?;
    }
    Ok(())
}

/// Of a row's first columns: text, heading, page.
fn chunk(row: &rusqlite::Row<'_>) -> rusqlite::Result<Chunk> {
    Ok(Chunk { text: row.get(0)?, heading: row.get(1)?, page: row.get(2)? })
}

/// The chunks of the namespace's documents, except those of the document of that name.
pub(super) fn chunk_count(connection: &Connection, namespace: &Namespace, except: &str) -> rusqlite::Result<usize> {
    let sql =
        "SELECT count(*) FROM chunks JOIN live_documents d ON d.id = document_id WHERE d.api = ?1 AND d.namespace = ?2 AND d.name <> ?3";
    let chunks: u32 = connection.query_row(sql, [&namespace.api, &namespace.name, except], |row| row.get(0))?;
    Ok(chunks as usize)
}

fn chunk_ids(connection: &Connection, document_id: &str) -> rusqlite::Result<Vec<i64>> {
    let mut rows = connection.prepare_cached("SELECT id FROM chunks WHERE document_id = ?1 ORDER BY ordinal")?;
    rows.query_map([document_id], |row| row.get(0))?.collect()
}

/// The ids of the chunks from `reach` before one to as many behind it, itself included.
pub(super) fn around(moment: &Connection, document_id: &str, ordinal: u32, reach: u32) -> rusqlite::Result<Vec<i64>> {
    let sql = "SELECT id FROM chunks WHERE document_id = ?1 AND ordinal BETWEEN ?2 AND ?3";
    let mut rows = moment.prepare_cached(sql)?;
    let (first, last) = (ordinal.saturating_sub(reach), ordinal.saturating_add(reach));
    rows.query_map(params![document_id, first, last], |row| row.get(0))?.collect()
}

pub(super) fn blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

pub(super) fn vector(blob: &[u8]) -> Vec<f32> {
    blob.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
}
