//! Which space a namespace is searched in, and which one a reindex fills: the rows of the table `spaces`. A namespace that holds a document has one
//! that serves, and every document of it has its vectors there. All calls block.

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::rag::{Namespace, Recorded, Spaces, VectorSpace};

const HOLDS_A_DOCUMENT: &str = "EXISTS (SELECT 1 FROM live_documents d WHERE d.api = s.api AND d.namespace = s.namespace)";

/// See `SpaceStore::spaces`.
pub(super) fn of(connection: &Connection, namespace: &Namespace) -> rusqlite::Result<Option<Spaces>> {
    let sql = format!(
        "SELECT s.embedder, s.model, s.dimensions, n.embedder, n.model, n.dimensions
         FROM spaces s LEFT JOIN spaces n ON n.api = s.api AND n.namespace = s.namespace AND n.serves = 0
         WHERE s.api = ?1 AND s.namespace = ?2 AND s.serves = 1 AND {HOLDS_A_DOCUMENT}"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row([&namespace.api, &namespace.name], |row| spaces(row, 0)).optional()
}

/// See `SpaceStore::all_spaces`.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<(Namespace, Spaces)>> {
    let sql = format!(
        "SELECT s.api, s.namespace, s.embedder, s.model, s.dimensions, n.embedder, n.model, n.dimensions
         FROM spaces s LEFT JOIN spaces n ON n.api = s.api AND n.namespace = s.namespace AND n.serves = 0
         WHERE s.serves = 1 AND {HOLDS_A_DOCUMENT} ORDER BY s.api, s.namespace"
    );
    let mut rows = connection.prepare(&sql)?;
    rows.query_map([], |row| Ok((Namespace { api: row.get(0)?, name: row.get(1)? }, spaces(row, 2)?)))?.collect()
}

/// Whether a document whose vectors are of this space may be in the namespace. The first one decides in which space it is searched.
pub(super) fn admits(transaction: &Transaction<'_>, namespace: &Namespace, space: &VectorSpace) -> rusqlite::Result<bool> {
    let sql = "SELECT model, dimensions FROM spaces WHERE api = ?1 AND namespace = ?2 AND serves = 1";
    let serves = transaction.prepare_cached(sql)?.query_row([&namespace.api, &namespace.name], |row| space_at(row, 0)).optional()?;
    if serves.as_ref() == Some(space) {
        return Ok(true);
    }
    if serves.is_some() && holds_a_document(transaction, namespace)? {
        return Ok(false);
    }
    serve(transaction, namespace, &Recorded { embedder: String::new(), space: space.clone() })?;
    Ok(true)
}

/// See `SpaceStore::record`.
pub(super) fn record(transaction: &Transaction<'_>, namespace: &Namespace, maker: &Recorded) -> rusqlite::Result<()> {
    if !holds_a_document(transaction, namespace)? {
        return serve(transaction, namespace, maker);
    }
    let sql = "UPDATE spaces SET embedder = ?3 WHERE api = ?1 AND namespace = ?2 AND serves = 1 AND model = ?4 AND dimensions = ?5";
    let Recorded { embedder, space } = maker;
    transaction.execute(sql, params![namespace.api, namespace.name, embedder, &*space.model, space.dimensions as i64])?;
    Ok(())
}

/// Forgets both.
pub(super) fn forget(transaction: &Transaction<'_>, namespace: &Namespace) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM spaces WHERE api = ?1 AND namespace = ?2", [&namespace.api, &namespace.name])?;
    Ok(())
}

/// Adds one that is to be filled and gives its id.
pub(super) fn add(transaction: &Transaction<'_>, namespace: &Namespace, maker: &Recorded) -> rusqlite::Result<i64> {
    insert(transaction, namespace, maker, 0)?;
    Ok(transaction.last_insert_rowid())
}

fn holds_a_document(connection: &Connection, namespace: &Namespace) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM live_documents WHERE api = ?1 AND namespace = ?2)";
    connection.prepare_cached(sql)?.query_row([&namespace.api, &namespace.name], |row| row.get(0))
}

fn serve(transaction: &Transaction<'_>, namespace: &Namespace, maker: &Recorded) -> rusqlite::Result<()> {
    forget(transaction, namespace)?;
    insert(transaction, namespace, maker, 1)
}

fn insert(transaction: &Transaction<'_>, namespace: &Namespace, maker: &Recorded, serves: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO spaces (api, namespace, serves, settled, embedder, model, dimensions) VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6)";
    let Recorded { embedder, space } = maker;
    transaction.execute(sql, params![namespace.api, namespace.name, serves, embedder, &*space.model, space.dimensions as i64])?;
    Ok(())
}

/// Of six columns from `at` on; the last three are null if there is no second one.
pub(super) fn spaces(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Spaces> {
    let next = match row.get::<_, Option<String>>(at + 3)? {
        Some(embedder) => Some(Recorded { embedder, space: space_at(row, at + 4)? }),
        None => None,
    };
    Ok(Spaces { serves: Recorded { embedder: row.get(at)?, space: space_at(row, at + 1)? }, next })
}

fn space_at(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<VectorSpace> {
    let model: String = row.get(at)?;
    Ok(VectorSpace { model: model.into(), dimensions: row.get::<_, u32>(at + 1)? as usize })
}
