//! The embedded backend: every port over one SQLite file, with the vector indexes in a folder beside it.
//! The file is the truth. The indexes are derived from it: they may be missing, torn or old without loss.

mod database;
mod documents;
mod error;
mod migrations;
mod pipelines;
mod usage;

use std::path::Path;
use std::sync::Arc;

use self::database::Database;
use self::documents::Documents;
use self::pipelines::Pipelines;
use self::usage::Usage;
use super::Stores;

pub use error::Error;

/// Opens the file, makes it if it is missing, and brings its tables up to date. One process has the file to itself. Blocks.
///
/// # Errors
/// As `Error` says; a migration that fails leaves the file as it was before that step.
pub fn open(path: &Path) -> Result<Stores, Error> {
    let database = Arc::new(Database::open(path)?);
    let documents = Documents::open(Arc::clone(&database), path.with_file_name("index"))?;
    Ok(Stores {
        pipelines: Arc::new(Pipelines::new(Arc::clone(&database))),
        usage: Arc::new(Usage::new(database)),
        documents: Arc::new(documents),
    })
}
