//! Documents with the same content: how they are found, what they lend, and what changes of one whose content stays. All calls block.

use rusqlite::{OptionalExtension, TransactionBehavior, params};

use super::super::error::Error;
use super::listed::{COLUMNS, stored};
use super::rows::{Rows, vector};
use crate::rag::{Metadata, Namespace, StoredDocument};

impl Rows {
    /// See `DocumentStore::alike`.
    pub(super) fn alike(&self, namespace: &Namespace, name: &str, content: &str, model: &str) -> Result<Option<StoredDocument>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM live_documents d WHERE api = ?1 AND namespace = ?2 AND content = ?3 AND content <> '' AND model = ?4
             ORDER BY name = ?5 DESC, id DESC LIMIT 1"
        );
        let reader = self.reader();
        let mut row = reader.prepare_cached(&sql)?;
        Ok(row.query_row([&namespace.api, &namespace.name, content, model, name], stored).optional()?)
    }

    /// See `DocumentStore::vectors`.
    pub(super) fn vectors(&self, document_id: &str, model: &str) -> Result<Vec<Vec<f32>>, Error> {
        let sql = "SELECT c.vector FROM live_documents d JOIN live_chunks c ON c.document_id = d.id WHERE d.id = ?1 AND d.model = ?2 ORDER BY c.ordinal";
        let reader = self.reader();
        let mut rows = reader.prepare_cached(sql)?;
        Ok(rows.query_map([document_id, model], |row| Ok(vector(row.get_ref(0)?.as_blob()?)))?.collect::<Result<_, _>>()?)
    }

    /// See `DocumentStore::describe`.
    pub(super) fn describe(&self, namespace: &Namespace, document_id: &str, metadata: &Metadata) -> Result<bool, Error> {
        let sql = "UPDATE documents SET metadata = ?1
                   WHERE id = (SELECT id FROM live_documents WHERE id = ?2 AND api = ?3 AND namespace = ?4)";
        let mut writer = self.writer();
        let transaction = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = transaction.execute(sql, params![metadata.json(), document_id, namespace.api, namespace.name])?;
        transaction.commit()?;
        Ok(changed > 0)
    }
}
