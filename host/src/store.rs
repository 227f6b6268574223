//! Opening and migrating the SQLite file that holds what must outlive the process; the pipelines and the daily sums kept in it.
//! Must not know what a document, a pipeline or a token means: it keeps rows and their tables' shape.

mod migrations;
mod pipelines;
mod use_by_day;

use std::path::{Path, PathBuf};

use rusqlite::Connection;

pub use pipelines::Pipelines;
pub use use_by_day::{Sums, UseByDay, UseColumn, UseRow};

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder of the file is not there and cannot be made.
    #[error("cannot make the folder {}", .path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    /// The file is not there and cannot be made, or is no SQLite file.
    #[error("cannot open {}", .path.display())]
    Open { path: PathBuf, source: rusqlite::Error },
    /// A later release wrote the file; this one would lose what it does not know.
    #[error("the database has version {found}, this program knows {known}; use the release that wrote it, or another `data_dir`")]
    Newer { found: i64, known: i64 },
    /// Reading or writing failed.
    #[error("the database failed")]
    Sql(#[from] rusqlite::Error),
}

/// Opens the file, makes it where it is missing, and brings its tables up to date.
///
/// An acknowledged write survives a killed process and a power cut: hence `synchronous = FULL`, which costs one fsync for each commit.
///
/// # Errors
/// As `Error` says; a step that fails leaves the file as it was before the step.
pub fn open(path: &Path) -> Result<Connection, Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| Error::Folder { path: folder.into(), source })?;
    }
    let connect = || {
        let connection = Connection::open(path)?;
        // Five seconds: other connections write documents of megabytes, never longer.
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
        Ok(connection)
    };
    let mut connection = connect().map_err(|source| Error::Open { path: path.into(), source })?;
    migrations::run(&mut connection, migrations::STEPS)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_file_is_made_with_its_folder_and_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open(&folder.path().join("data/cofferdam.db")).unwrap();
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
        assert_eq!(pragma("synchronous"), 2.into());
        assert_eq!(pragma("foreign_keys"), 1.into());
        assert_eq!(pragma("user_version"), i64::try_from(migrations::STEPS.len()).unwrap().into());
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cofferdam.db");
        std::fs::write(&path, "this is a text of more than sixteen bytes").unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, Error::Open { .. }) && error.to_string().contains("cofferdam.db"), "{error:?}");
    }

    #[test]
    fn a_newer_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cofferdam.db");
        open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(open(&path), Err(Error::Newer { found: 99, .. })));
        let version: i64 = Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 99);
    }
}
