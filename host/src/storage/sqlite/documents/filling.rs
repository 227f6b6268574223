//! A reindex in the tables: vectors of a new space beside those of the old one, the one row by which it comes into force, and the small steps after
//! it. A killed process finds the old space whole or the new one, and goes on with what it had. All calls block.

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use super::super::error::Error;
use super::rows::{Rows, blob, vector};
use super::spaces;
use crate::rag::{Chunk, Filling, Namespace, Recorded, Spaces, Swap, Unembedded, VectorSpace};

/// Chunks whose vectors take their places in one transaction, and rows deleted in one; more only of a document that has more.
const STEP_CHUNKS: usize = 500;

/// Documents that are looked through at a time.
const DOCUMENTS: i64 = 256;

/// A space that is being filled.
pub(super) struct Next {
    pub(super) id: i64,
    pub(super) space: VectorSpace,
}

impl Rows {
    /// See `SpaceStore::spaces`.
    pub(super) fn spaces(&self, namespace: &Namespace) -> Result<Option<Spaces>, Error> {
        Ok(spaces::of(&self.reader(), namespace)?)
    }

    /// See `SpaceStore::all_spaces`.
    pub(super) fn all_spaces(&self) -> Result<Vec<(Namespace, Spaces)>, Error> {
        Ok(spaces::all(&self.reader())?)
    }

    /// See `SpaceStore::record`.
    pub(super) fn record(&self, namespace: &Namespace, maker: &Recorded) -> Result<(), Error> {
        // Nearly always nothing is new.
        if self.spaces(namespace)?.is_some_and(|spaces| spaces.serves == *maker) {
            return Ok(());
        }
        self.in_transaction(|transaction| spaces::record(transaction, namespace, maker))
    }

    /// See `SpaceStore::begin_filling`.
    pub(super) fn begin_filling(&self, namespace: &Namespace, maker: &Recorded) -> Result<Option<Filling>, Error> {
        // One after the other: of two swaps the first must have left nothing.
        while self.settle(namespace)? {}
        let begun = self.in_transaction(|transaction| {
            let Some(spaces) = spaces::of(transaction, namespace)? else { return Ok(None) };
            if let (Some(next), Some(found)) = (next(transaction, namespace)?, &spaces.next)
                && found.space == maker.space
            {
                return Ok(Some(next.id));
            }
            give_up(transaction, namespace)?;
            spaces::add(transaction, namespace, maker).map(Some)
        })?;
        let Some(id) = begun else { return Ok(None) };
        let done = self.next_ids(namespace, &Next { id, space: maker.space.clone() })?.len();
        Ok(Some(Filling { id, done, of: self.chunk_count(namespace, "")? }))
    }

    /// See `SpaceStore::unembedded`.
    pub(super) fn unembedded(
        &self,
        namespace: &Namespace,
        filling: i64,
        after: Option<&Unembedded>,
        count: usize,
    ) -> Result<Vec<Unembedded>, Error> {
        let reader = self.reader();
        let some = "SELECT id, title FROM live_documents WHERE api = ?1 AND namespace = ?2 AND id >= ?3
                    AND model <> (SELECT model FROM spaces WHERE id = ?4) ORDER BY id LIMIT ?5";
        // Of one document after the other, so that nothing has to be sorted.
        let missing = "SELECT c.ordinal, c.id, c.text, c.heading FROM chunks c WHERE c.document_id = ?1 AND c.ordinal > ?2
                       AND NOT EXISTS (SELECT 1 FROM next_vectors n WHERE n.chunk_id = c.id AND n.space = ?3) ORDER BY c.ordinal LIMIT ?4";
        let (mut documents, mut chunks) = (reader.prepare_cached(some)?, reader.prepare_cached(missing)?);
        let (mut id, mut ordinal) = after.map_or((String::new(), -1), |after| (after.document.clone(), i64::from(after.ordinal)));
        let mut found = Vec::new();
        loop {
            let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let page = documents.query_map(params![namespace.api, namespace.name, id, filling, DOCUMENTS], row)?;
            let page: Vec<(String, Option<String>)> = page.collect::<Result<_, _>>()?;
            for (document, title) in &page {
                let from = if *document == id { ordinal } else { -1 };
                let room = count - found.len();
                let row = |row: &rusqlite::Row<'_>| {
                    let chunk = Chunk { text: row.get(2)?, heading: row.get(3)?, page: None };
                    let (document, text) = (document.clone(), chunk.embedded(title.as_deref()));
                    Ok(Unembedded { document, ordinal: row.get(0)?, chunk: row.get(1)?, text })
                };
                for chunk in chunks.query_map(params![document, from, filling, room as i64], row)? {
                    found.push(chunk?);
                }
            }
            match page.last() {
                Some((last, _)) if found.len() < count && page.len() == DOCUMENTS as usize => (id, ordinal) = (last.clone(), i64::MAX),
                _ => return Ok(found),
            }
        }
    }

    /// See `SpaceStore::fill`.
    pub(super) fn fill(&self, namespace: &Namespace, filling: i64, vectors: &[(i64, Vec<f32>)]) -> Result<bool, Error> {
        let Some(found) = self.next(namespace)?.filter(|next| next.id == filling) else { return Ok(false) };
        let dimensions = found.space.dimensions;
        if let Some((_, wrong)) = vectors.iter().find(|(_, vector)| vector.len() != dimensions) {
            return Err(Error::Vectors(format!("a vector of {} numbers in a space of {dimensions}", wrong.len())));
        }
        self.in_transaction(|transaction| {
            // Once more: it may have been given up meanwhile.
            if next(transaction, namespace)?.is_none_or(|next| next.id != filling) {
                return Ok(false);
            }
            let sql = "INSERT OR REPLACE INTO next_vectors (chunk_id, space, vector) SELECT id, ?2, ?3 FROM chunks WHERE id = ?1";
            let mut row = transaction.prepare_cached(sql)?;
            for (id, vector) in vectors {
                row.execute(params![id, filling, blob(vector)])?;
            }
            Ok(true)
        })
    }

    /// The space that is being filled.
    pub(super) fn next(&self, namespace: &Namespace) -> Result<Option<Next>, Error> {
        Ok(next(&self.reader(), namespace)?)
    }

    /// The chunks that have a vector of that space, in the order in which they were added.
    pub(super) fn next_ids(&self, namespace: &Namespace, next: &Next) -> Result<Vec<i64>, Error> {
        let reader = self.reader();
        let sql = "SELECT c.id FROM live_documents d JOIN chunks c ON c.document_id = d.id
                   WHERE d.api = ?1 AND d.namespace = ?2
                   AND (d.model = ?3 OR EXISTS (SELECT 1 FROM next_vectors n WHERE n.chunk_id = c.id AND n.space = ?4)) ORDER BY c.id";
        let mut rows = reader.prepare_cached(sql)?;
        let ids = rows.query_map(params![namespace.api, namespace.name, &*next.space.model, next.id], |row| row.get(0))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// The vectors of chunks in that space; chunks that are gone are passed over.
    pub(super) fn next_vectors(&self, ids: &[i64], next: &Next) -> Result<Vec<(i64, Vec<f32>)>, Error> {
        let mut reader = self.reader();
        let moment = reader.transaction()?;
        let sql = "SELECT coalesce(n.vector, c.vector) FROM chunks c LEFT JOIN next_vectors n ON n.chunk_id = c.id AND n.space = ?2 WHERE c.id = ?1";
        let mut row = moment.prepare_cached(sql)?;
        let mut vectors = Vec::with_capacity(ids.len());
        for id in ids {
            let found = row.query_row([*id, next.id], |row| Ok(vector(row.get_ref(0)?.as_blob()?))).optional()?;
            vectors.extend(found.map(|vector| (*id, vector)));
        }
        Ok(vectors)
    }

    /// Puts the space in force if every chunk has a vector there; gives what `lock_commit` gave, as in `put`.
    pub(super) fn swap<L>(&self, namespace: &Namespace, filling: i64, lock_commit: impl FnOnce() -> L) -> Result<(Swap, Option<L>), Error> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let place = [&namespace.api, &namespace.name];
        let Some(next) = next(&transaction, namespace)?.filter(|next| next.id == filling) else {
            return Ok((Swap::Gone, None));
        };
        let missing = "SELECT EXISTS (SELECT 1 FROM live_documents d JOIN chunks c ON c.document_id = d.id
                       WHERE d.api = ?1 AND d.namespace = ?2 AND d.model <> ?3
                       AND NOT EXISTS (SELECT 1 FROM next_vectors n WHERE n.chunk_id = c.id AND n.space = ?4))";
        if transaction.query_row(missing, params![place[0], place[1], &*next.space.model, filling], |row| row.get(0))? {
            return Ok((Swap::Missing, None));
        }
        transaction.execute("DELETE FROM spaces WHERE api = ?1 AND namespace = ?2 AND serves = 1", place)?;
        transaction.execute("UPDATE spaces SET serves = 1, settled = 0 WHERE id = ?1", [filling])?;
        let held = lock_commit();
        transaction.commit()?;
        Ok((Swap::Done, Some(held)))
    }

    /// See `SpaceStore::settle`.
    pub(super) fn settle(&self, namespace: &Namespace) -> Result<bool, Error> {
        let place = [&namespace.api, &namespace.name];
        let unsettled = "SELECT id, model FROM spaces WHERE api = ?1 AND namespace = ?2 AND serves = 1 AND settled = 0";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let found: Option<(i64, String)> = self.reader().prepare_cached(unsettled)?.query_row(place, row).optional()?;
        let Some((space, model)) = found else { return self.sweep_given_up() };
        self.in_transaction(|transaction| {
            let mut moved = 0;
            while moved < STEP_CHUNKS {
                let sql = "SELECT c.document_id FROM next_vectors n JOIN chunks c ON c.id = n.chunk_id WHERE n.space = ?1 LIMIT 1";
                let document: Option<String> = transaction.prepare_cached(sql)?.query_row([space], |row| row.get(0)).optional()?;
                let Some(document) = document else {
                    // What has no chunk, as far as there is such a thing.
                    let rest = "UPDATE documents SET model = ?3 WHERE api = ?1 AND namespace = ?2 AND model <> ?3";
                    transaction.execute(rest, [place[0], place[1], &model])?;
                    transaction.execute("UPDATE spaces SET settled = 1 WHERE id = ?1", [space])?;
                    return Ok(true);
                };
                moved += move_vectors(transaction, &document, space, &model)?;
            }
            Ok(true)
        })
    }

    /// Deletes some vectors of a space that was given up.
    fn sweep_given_up(&self) -> Result<bool, Error> {
        // From space to space by leaps: the vectors of one that is being filled are not read.
        let found = "WITH RECURSIVE seen (space) AS (
                         SELECT min(space) FROM next_vectors
                         UNION ALL
                         SELECT (SELECT min(space) FROM next_vectors WHERE space > seen.space) FROM seen WHERE seen.space IS NOT NULL)
                     SELECT space FROM seen WHERE space IS NOT NULL AND space NOT IN (SELECT id FROM spaces) LIMIT 1";
        let space: Option<i64> = self.reader().prepare_cached(found)?.query_row([], |row| row.get(0)).optional()?;
        let Some(space) = space else { return Ok(false) };
        self.in_transaction(|transaction| {
            let sql = "DELETE FROM next_vectors WHERE chunk_id IN (SELECT chunk_id FROM next_vectors WHERE space = ?1 LIMIT ?2)";
            transaction.prepare_cached(sql)?.execute([space, STEP_CHUNKS as i64])?;
            Ok(true)
        })
    }

    /// See `SpaceStore::give_up`.
    pub(super) fn give_up(&self, namespace: &Namespace) -> Result<(), Error> {
        self.in_transaction(|transaction| give_up(transaction, namespace))
    }

    fn in_transaction<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T, Error> {
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }
}

fn next(connection: &rusqlite::Connection, namespace: &Namespace) -> rusqlite::Result<Option<Next>> {
    let sql = "SELECT id, model, dimensions FROM spaces WHERE api = ?1 AND namespace = ?2 AND serves = 0";
    let mut statement = connection.prepare_cached(sql)?;
    let next = statement.query_row([&namespace.api, &namespace.name], |row| {
        let model: String = row.get(1)?;
        Ok(Next { id: row.get(0)?, space: VectorSpace { model: model.into(), dimensions: row.get::<_, u32>(2)? as usize } })
    });
    next.optional()
}

fn give_up(transaction: &Transaction<'_>, namespace: &Namespace) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM spaces WHERE api = ?1 AND namespace = ?2 AND serves = 0", [&namespace.api, &namespace.name])?;
    Ok(())
}

/// Puts the new vectors of a document in the places of the old ones. Gives how many chunks it has.
fn move_vectors(transaction: &Transaction<'_>, document: &str, space: i64, model: &str) -> rusqlite::Result<usize> {
    let sql = "UPDATE chunks SET vector = (SELECT n.vector FROM next_vectors n WHERE n.chunk_id = chunks.id)
               WHERE document_id = ?1 AND EXISTS (SELECT 1 FROM next_vectors n WHERE n.chunk_id = chunks.id AND n.space = ?2)";
    let moved = transaction.prepare_cached(sql)?.execute(params![document, space])?;
    transaction.prepare_cached("UPDATE documents SET model = ?2 WHERE id = ?1")?.execute([document, model])?;
    let sql = "DELETE FROM next_vectors WHERE chunk_id IN (SELECT id FROM chunks WHERE document_id = ?1)";
    transaction.prepare_cached(sql)?.execute([document])?;
    Ok(moved.max(1))
}
