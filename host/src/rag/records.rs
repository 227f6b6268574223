//! Documents and chunks in SQLite: every statement of the room. All calls block.
//! Must not know the index or the embedder: vectors come in and go out as they are.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use super::{Document, Error, Limits, Namespace};
use crate::chat::Hit;
use crate::telemetry::chain;

/// The tables. Two connections, so that a query does not wait for a document that is being written.
pub(super) struct Records {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    next_chunk: AtomicI64,
}

/// A document's chunks and vectors, ready to be written.
pub(super) struct Entry<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) document: &'a Document,
    pub(super) model: &'a str,
    /// The id of the first chunk, from `allocate`; the others count on from it.
    pub(super) first_chunk: i64,
    pub(super) chunks: &'a [String],
    pub(super) vectors: &'a [Vec<f32>],
}

/// What a write did.
pub(super) struct Written {
    pub(super) document_id: String,
    pub(super) replaced: bool,
    /// The chunks of the document that was replaced.
    pub(super) gone: Vec<i64>,
}

/// A chunk as it is found: the hit's score is left to the caller.
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) hit: Hit,
    pub(super) vector: Vec<f32>,
}

impl Records {
    pub(super) fn open(database: &Path) -> Result<Self, Error> {
        // The room's `Store` error is a text: it carries the causes in it.
        let open = || crate::store::open(database).map_err(|e| Error::Store(chain(&e)));
        let (writer, reader) = (open()?, open()?);
        let used = "SELECT seq FROM sqlite_sequence WHERE name = 'chunks'";
        let used: Option<i64> = reader.query_row(used, [], |row| row.get(0)).optional()?;
        let next_chunk = AtomicI64::new(used.unwrap_or(0) + 1);
        Ok(Self { writer: Mutex::new(writer), reader: Mutex::new(reader), next_chunk })
    }

    /// Ids for `count` chunks, the first of them; the index may hold them before the table does.
    pub(super) fn allocate(&self, count: usize) -> i64 {
        self.next_chunk.fetch_add(count as i64, Ordering::Relaxed)
    }

    /// Writes a document, in place of one of its name, in one transaction: on the disk when the call returns, or not at all.
    /// `lock_commit` is called when all but the commit is done; what it gives is held over the commit and handed on.
    pub(super) fn write<L>(&self, entry: &Entry<'_>, limits: &Limits, lock_commit: impl FnOnce() -> L) -> Result<(Written, L), Error> {
        let Entry { namespace: Namespace { api, name }, document, .. } = entry;
        let mut writer = lock(&self.writer);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let same_name = "SELECT id FROM documents WHERE api = ?1 AND namespace = ?2 AND name = ?3";
        let before: Option<String> = transaction.query_row(same_name, [api, name, &document.name], |row| row.get(0)).optional()?;
        let mut gone = Vec::new();
        if let Some(id) = &before {
            gone = chunk_ids(&transaction, "document_id = ?1", &[id])?;
            transaction.execute("DELETE FROM documents WHERE id = ?1", [id])?;
        }
        let others = count(&transaction, entry.namespace, &document.name)?;
        room(entry.namespace, others + entry.chunks.len(), limits)?;
        let document_id = insert(&transaction, entry)?;
        let held = lock_commit();
        transaction.commit()?;
        Ok((Written { document_id, replaced: before.is_some(), gone }, held))
    }

    /// Refuses a document that `write` would refuse, before it is embedded.
    pub(super) fn check_room(&self, namespace: &Namespace, name: &str, chunks: usize, limits: &Limits) -> Result<(), Error> {
        room(namespace, count(&lock(&self.reader), namespace, name)? + chunks, limits)
    }

    pub(super) fn is_empty(&self, namespace: &Namespace) -> Result<bool, Error> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM documents WHERE api = ?1 AND namespace = ?2)";
        Ok(lock(&self.reader).query_row(sql, [&namespace.api, &namespace.name], |row| row.get(0))?)
    }

    /// The ids of every chunk of the namespace.
    pub(super) fn ids(&self, namespace: &Namespace) -> Result<Vec<i64>, Error> {
        let of_namespace = "document_id IN (SELECT id FROM documents WHERE api = ?1 AND namespace = ?2)";
        Ok(chunk_ids(&lock(&self.reader), of_namespace, &[&namespace.api, &namespace.name])?)
    }

    /// The chunks of these ids, in their order. Ids that are gone are passed over: another document may just have come in their place.
    pub(super) fn rows(&self, ids: &[i64]) -> Result<Vec<Row>, Error> {
        let sql = "SELECT d.name, c.ordinal, c.text, c.vector FROM chunks c JOIN documents d ON d.id = c.document_id WHERE c.id = ?1";
        let mut reader = lock(&self.reader);
        // One transaction, so that all rows are of one moment.
        let moment = reader.transaction()?;
        let mut statement = moment.prepare_cached(sql)?;
        let mut row = |id: &i64| {
            let found = statement.query_row([id], |row| {
                let hit = Hit { source: row.get(0)?, ordinal: row.get(1)?, text: row.get(2)?, score: 0.0 };
                Ok(Row { id: *id, hit, vector: vector(row.get_ref(3)?.as_blob()?) })
            });
            found.optional().map_err(Error::from).transpose()
        };
        ids.iter().filter_map(&mut row).collect()
    }

    /// The documents of the namespace whose vectors are of another model.
    pub(super) fn documents_of_other_models(&self, namespace: &Namespace, model: &str) -> Result<Vec<String>, Error> {
        let reader = lock(&self.reader);
        let mut rows = reader.prepare_cached("SELECT id FROM documents WHERE api = ?1 AND namespace = ?2 AND model <> ?3 ORDER BY id")?;
        Ok(rows.query_map([&namespace.api, &namespace.name, model], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// The ids and texts of a document's chunks.
    pub(super) fn texts(&self, document_id: &str) -> Result<(Vec<i64>, Vec<String>), Error> {
        let reader = lock(&self.reader);
        let mut rows = reader.prepare_cached("SELECT id, text FROM chunks WHERE document_id = ?1 ORDER BY ordinal")?;
        let chunks = rows.query_map([document_id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
        Ok(chunks.collect::<Result<_, _>>()?)
    }

    /// Puts a model's vectors in place of the chunks' old ones, all or none.
    pub(super) fn set_vectors(&self, document_id: &str, model: &str, ids: &[i64], vectors: &[Vec<f32>]) -> Result<(), Error> {
        let mut writer = lock(&self.writer);
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (id, vector) in ids.iter().zip(vectors) {
            transaction.prepare_cached("UPDATE chunks SET vector = ?2 WHERE id = ?1")?.execute(params![id, blob(vector)])?;
        }
        transaction.execute("UPDATE documents SET model = ?2 WHERE id = ?1", [document_id, model])?;
        Ok(transaction.commit()?)
    }
}

fn insert(transaction: &Transaction<'_>, entry: &Entry<'_>) -> rusqlite::Result<String> {
    let Entry { namespace, document, model, .. } = entry;
    let id = uuid::Uuid::now_v7().to_string();
    let sha256: String = Sha256::digest(&document.text).iter().map(|byte| format!("{byte:02x}")).collect();
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
    transaction.execute(
        "INSERT INTO documents (id, api, namespace, name, sha256, bytes, model, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![id, namespace.api, namespace.name, document.name, sha256, document.text.len() as i64, model, created],
    )?;
    let mut chunk =
        transaction.prepare_cached("INSERT INTO chunks (id, document_id, ordinal, text, vector) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (ordinal, (text, vector)) in (0_i64..).zip(entry.chunks.iter().zip(entry.vectors)) {
        chunk.execute(params![entry.first_chunk + ordinal, id, ordinal, text, blob(vector)])?;
    }
    Ok(id)
}

/// The chunks of the namespace's documents but the one of that name.
fn count(connection: &Connection, namespace: &Namespace, but: &str) -> rusqlite::Result<usize> {
    let sql = "SELECT count(*) FROM chunks JOIN documents d ON d.id = document_id WHERE d.api = ?1 AND d.namespace = ?2 AND d.name <> ?3";
    let chunks: u32 = connection.query_row(sql, [&namespace.api, &namespace.name, but], |row| row.get(0))?;
    Ok(chunks as usize)
}

fn room(namespace: &Namespace, chunks: usize, limits: &Limits) -> Result<(), Error> {
    if chunks <= limits.chunks_per_namespace {
        return Ok(());
    }
    let what = format!("the number of chunks in the namespace `{}`", namespace.name);
    Err(Error::TooLarge { what, limit: limits.chunks_per_namespace, key: "limits.rag.chunks_per_namespace" })
}

fn chunk_ids(connection: &Connection, condition: &str, params: &[&String]) -> rusqlite::Result<Vec<i64>> {
    let mut rows = connection.prepare_cached(&format!("SELECT id FROM chunks WHERE {condition}"))?;
    rows.query_map(rusqlite::params_from_iter(params), |row| row.get(0))?.collect()
}

fn blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn vector(blob: &[u8]) -> Vec<f32> {
    blob.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
}

/// A panic elsewhere leaves a transaction that rusqlite has rolled back.
fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.to_string())
    }
}
