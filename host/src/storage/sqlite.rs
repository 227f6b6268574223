//! The embedded backend: every port over one SQLite file, with the vector indexes in a folder beside it, and what plugins keep in a file of
//! its own. The files are the truth. The indexes are derived: they may be missing, torn or old without loss.

pub mod backup;
mod database;
mod documents;
mod error;
mod kv;
mod migrations;
mod pipelines;
mod plugins;
pub mod restore;
mod usage;

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use self::database::Database;
use self::documents::Documents;
use self::kv::KvFile;
use self::pipelines::Pipelines;
use self::plugins::Plugins;
use self::usage::Usage;
use super::Stores;
use crate::sandbox::kv::{KvLimits, UnixClock};

pub use error::Error;

/// The name in `data_dir` of the database that plugins fill.
const KV: &str = "kv.db";
/// The database's name in `data_dir`.
pub const DATABASE: &str = "cofferdam.db";
/// The folder of the vector indexes beside it.
const INDEX: &str = "index";

/// Opens the file, makes it if it is missing, and brings its tables up to date. One process has the file to itself. Blocks.
///
/// # Errors
/// As `Error` says; a migration that fails leaves the file as it was before that step.
pub fn open(path: &Path) -> Result<Stores, Error> {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    open_with(path, KvLimits::default(), Arc::new(clock))
}

/// As `open`, with the limits of what plugins may keep, and another clock, which tests replace.
///
/// # Errors
/// As `open`.
pub fn open_with(path: &Path, limits: KvLimits, clock: UnixClock) -> Result<Stores, Error> {
    let database = Arc::new(Database::open(path)?);
    let documents = Documents::open(Arc::clone(&database), path.with_file_name(INDEX))?;
    Ok(Stores {
        pipelines: Arc::new(Pipelines::new(Arc::clone(&database))),
        plugins: Arc::new(Plugins::new(Arc::clone(&database))),
        usage: Arc::new(Usage::new(database)),
        documents: Arc::new(documents),
        kv: Arc::new(KvFile::open(&path.with_file_name(KV), limits, clock)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rag::{Namespace, Recorded, VectorSpace};

    #[tokio::test]
    async fn a_file_of_an_earlier_release_keeps_its_pipelines_and_documents() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cofferdam.db");
        let mut connection = rusqlite::Connection::open(&path).unwrap();
        migrations::run(&mut connection, &migrations::STEPS[..2]).unwrap();
        let vector: Vec<u8> = [0.6_f32, 0.8].iter().flat_map(|x| x.to_le_bytes()).collect();
        connection
            .execute_batch(
                "INSERT INTO pipelines VALUES ('support', '{}');
                 INSERT INTO documents VALUES ('id', 'support', 'default', 'a.txt', 'ff', 4, 'm', 1763800000);
                 INSERT INTO documents VALUES ('old', 'support', 'mixed', 'a.txt', 'ff', 4, 'm', 1763800000);
                 INSERT INTO documents VALUES ('new', 'support', 'mixed', 'b.txt', 'ff', 4, 'n', 1763800000);",
            )
            .unwrap();
        let chunk = "INSERT INTO chunks (document_id, ordinal, text, vector) VALUES ('id', 0, 'text', ?1)";
        connection.execute(chunk, [vector]).unwrap();
        drop(connection);

        let Stores { pipelines, documents, .. } = open(&path).unwrap();
        assert_eq!(pipelines.all().await.unwrap(), [("support".into(), "{}".into())]);
        let namespace = Namespace { api: "support".into(), name: "default".into() };
        let space = VectorSpace { model: "m".into(), dimensions: 2 };
        let hits = documents.nearest(&namespace, &space, vec![0.0, 1.0], 5).await.unwrap();
        assert_eq!(hits.iter().map(|hit| (hit.source.as_str(), hit.text.as_str())).collect::<Vec<_>>(), [("a.txt", "text")]);
        assert!((hits[0].score - 0.8).abs() < 1e-6);
        let all = crate::rag::Page { after: "", count: 9 };
        let listed = documents.documents("support", Some("default"), all).await.unwrap();
        let spaces = documents.spaces(&namespace).await.unwrap().unwrap();
        assert_eq!((spaces.serves, spaces.next), (Recorded { embedder: String::new(), space }, None));
        let mixed = Namespace { api: "support".into(), name: "mixed".into() };
        let spaces = documents.spaces(&mixed).await.unwrap().unwrap();
        assert_eq!(&*spaces.serves.space.model, "", "vectors of two models are of none that serves");
        assert_eq!((listed[0].info.bytes, listed[0].info.created, listed[0].chunks), (4, 1_763_800_000, 1));
    }
}
