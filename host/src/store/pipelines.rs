//! The pipelines that came in through the API, each as the JSON it was given as.
//! Must not know what is in the JSON: it is checked before it comes here.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::Error;

/// The table of pipelines. Its calls block; an async caller wraps them in `spawn_blocking`.
pub struct Pipelines {
    connection: Mutex<Connection>,
}

impl Pipelines {
    /// # Errors
    /// Those of `store::open`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self { connection: Mutex::new(super::open(path)?) })
    }

    /// Every pipeline as (id, JSON), by id.
    ///
    /// # Errors
    /// `Sql`.
    pub fn all(&self) -> Result<Vec<(String, String)>, Error> {
        let connection = self.connection();
        let mut rows = connection.prepare_cached("SELECT id, json FROM pipelines ORDER BY id")?;
        let pipelines = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        Ok(pipelines)
    }

    /// Keeps a pipeline in place of the one with this id; it is on the disk when the call returns.
    ///
    /// # Errors
    /// `Sql`; then the one before is still there.
    pub fn put(&self, id: &str, json: &str) -> Result<(), Error> {
        self.connection()
            .execute("INSERT INTO pipelines (id, json) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET json = ?2", [id, json])?;
        Ok(())
    }

    /// A panic elsewhere cannot leave a connection half-changed: each call is one statement.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipeline_is_kept_replaced_and_found_again_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cofferdam.db");
        let pipelines = Pipelines::open(&path).unwrap();
        assert_eq!(pipelines.all().unwrap(), []);
        pipelines.put("support", r#"{"pipeline":[]}"#).unwrap();
        pipelines.put("docs", "{}").unwrap();
        pipelines.put("support", r#"{"pipeline":[1]}"#).unwrap();
        drop(pipelines);
        let found = Pipelines::open(&path).unwrap().all().unwrap();
        assert_eq!(found, [("docs".into(), "{}".into()), ("support".into(), r#"{"pipeline":[1]}"#.into())]);
    }
}
