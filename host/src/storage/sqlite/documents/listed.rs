//! Documents and namespaces as they are shown: by page, in the order of a key that never changes, so that a page is the same whatever was
//! added or deleted before it. A page costs what it shows, however much there is. All calls block.

use rusqlite::{OptionalExtension, Row, params};

use super::super::error::Error;
use super::rows::Rows;
use super::spaces;
use crate::rag::{DocumentInfo, Metadata, NamespaceInfo, Page, StoredDocument};

/// The columns that `stored` reads. Ordinals have no gaps, so that the last one is the count.
pub(super) const COLUMNS: &str = "id, namespace, name, sha256, bytes, created, model, \
                       (SELECT max(ordinal) + 1 FROM chunks WHERE document_id = d.id), title, metadata, content";

impl Rows {
    /// See `DocumentStore::documents`.
    pub(super) fn documents(&self, api: &str, namespace: Option<&str>, page: Page<'_>) -> Result<Vec<StoredDocument>, Error> {
        // Two statements, for each has an index of its own.
        let of_namespace = if namespace.is_some() { "AND namespace = ?4" } else { "AND ?4 IS NULL" };
        let sql = format!("SELECT {COLUMNS} FROM live_documents d WHERE api = ?1 AND id > ?2 {of_namespace} ORDER BY id LIMIT ?3");
        let reader = self.reader();
        let mut rows = reader.prepare_cached(&sql)?;
        Ok(rows.query_map(params![api, page.after, count(page), namespace], stored)?.collect::<Result<_, _>>()?)
    }

    /// See `DocumentStore::document`.
    pub(super) fn document(&self, api: &str, id: &str) -> Result<Option<StoredDocument>, Error> {
        let sql = format!("SELECT {COLUMNS} FROM live_documents d WHERE id = ?1 AND api = ?2");
        let reader = self.reader();
        let mut row = reader.prepare_cached(&sql)?;
        Ok(row.query_row([id, api], stored).optional()?)
    }

    /// See `DocumentStore::namespaces`. Names are found by leaps, and only those of the page are counted.
    pub(super) fn namespaces(&self, api: &str, page: Page<'_>) -> Result<Vec<NamespaceInfo>, Error> {
        let sql = "WITH RECURSIVE names (name) AS (
                       SELECT min(namespace) FROM live_documents WHERE api = ?1 AND namespace > ?2
                       UNION ALL
                       SELECT (SELECT min(namespace) FROM live_documents WHERE api = ?1 AND namespace > names.name)
                       FROM names WHERE names.name IS NOT NULL)
                   SELECT names.name, (SELECT count(*) FROM documents WHERE api = ?1 AND namespace = names.name),
                          coalesce(s.embedder, ''), coalesce(s.model, ''), coalesce(s.dimensions, 0), n.embedder, n.model, n.dimensions
                   FROM names LEFT JOIN spaces s ON s.api = ?1 AND s.namespace = names.name AND s.serves = 1
                              LEFT JOIN spaces n ON n.api = ?1 AND n.namespace = names.name AND n.serves = 0
                   WHERE names.name IS NOT NULL LIMIT ?3";
        let reader = self.reader();
        let mut rows = reader.prepare_cached(sql)?;
        let shown = rows.query_map(params![api, page.after, count(page)], |row| {
            Ok(NamespaceInfo { name: row.get(0)?, documents: row.get::<_, u32>(1)? as usize, spaces: spaces::spaces(row, 2)? })
        })?;
        Ok(shown.collect::<Result<_, _>>()?)
    }

    /// See `DocumentStore::apis`.
    pub(super) fn apis(&self, page: Page<'_>) -> Result<Vec<String>, Error> {
        let sql = "WITH RECURSIVE apis (api) AS (
                       SELECT min(api) FROM live_documents WHERE api > ?1
                       UNION ALL
                       SELECT (SELECT min(d.api) FROM live_documents d WHERE d.api > apis.api) FROM apis WHERE apis.api IS NOT NULL)
                   SELECT api FROM apis WHERE api IS NOT NULL LIMIT ?2";
        let reader = self.reader();
        let mut rows = reader.prepare_cached(sql)?;
        Ok(rows.query_map(params![page.after, count(page)], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }
}

fn count(page: Page<'_>) -> i64 {
    i64::try_from(page.count).unwrap_or(i64::MAX)
}

pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<StoredDocument> {
    let number = |at: usize| row.get::<_, i64>(at).map(|number| u64::try_from(number).unwrap_or(0));
    let info = DocumentInfo {
        id: row.get(0)?,
        name: row.get(2)?,
        sha256: row.get(3)?,
        bytes: number(4)?,
        created: number(5)?,
        title: row.get(8)?,
        metadata: Metadata::kept(row.get_ref(9)?.as_str()?),
        content: row.get(10)?,
    };
    Ok(StoredDocument { info, namespace: row.get(1)?, model: row.get(6)?, chunks: row.get::<_, Option<u32>>(7)?.unwrap_or(0) as usize })
}
