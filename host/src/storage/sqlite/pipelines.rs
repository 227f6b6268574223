//! The pipelines that came in through the API, each as the JSON that it was given as.
//! Each call is one statement, so that a pipeline is there whole, in its old or its new form.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::database::Database;
use crate::pipeline::{PipelineStore, StoreError};

/// The table `pipelines`.
pub(super) struct Pipelines {
    database: Arc<Database>,
}

impl Pipelines {
    pub(super) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

impl PipelineStore for Pipelines {
    fn all(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, StoreError>> {
        Box::pin(self.database.on_blocking_thread(|database| {
            let reader = database.reader();
            let mut rows = reader.prepare_cached("SELECT id, json FROM pipelines ORDER BY id")?;
            let pipelines = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
            Ok(pipelines)
        }))
    }

    fn put<'a>(&'a self, id: &'a str, json: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let (id, json) = (id.to_owned(), json.to_owned());
        Box::pin(self.database.on_blocking_thread(move |database| {
            let sql = "INSERT INTO pipelines (id, json) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET json = ?2";
            database.writer().execute(sql, [id, json])?;
            Ok(())
        }))
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, StoreError>> {
        let id = id.to_owned();
        Box::pin(
            self.database
                .on_blocking_thread(move |database| Ok(database.writer().execute("DELETE FROM pipelines WHERE id = ?1", [id])? > 0)),
        )
    }
}
