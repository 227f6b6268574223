//! What can go wrong with the file and the indexes, and how each port's own error says it.
//! The ports' errors are texts, so every cause is spelled out in them.

use std::path::PathBuf;

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

use crate::telemetry::chain;
use crate::{ledger, pipeline, rag, sandbox};

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or its folder is not there and cannot be made, or is something else.
    #[error("cannot make {}", .path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    /// The file is not there and cannot be made, or is no SQLite file.
    #[error("cannot open {}", .path.display())]
    Open { path: PathBuf, source: rusqlite::Error },
    /// A later release wrote the file; this one would lose what it does not know.
    #[error("the database has version {found}, this program knows {known}; use the release that wrote it, or another `data_dir`")]
    Newer { found: i64, known: i64 },
    /// A copy of the database cannot be written, as when the disk is full.
    #[error("cannot copy the database to {}", .path.display())]
    Copy { path: PathBuf, source: rusqlite::Error },
    #[error("another program has {} locked", .0.display())]
    Locked(PathBuf),
    #[error("{} is damaged: {why}", .path.display())]
    Damaged { path: PathBuf, why: String },
    /// Reading or writing failed.
    #[error("the database failed")]
    Sql(#[from] rusqlite::Error),
    /// usearch failed, as when it is out of memory.
    #[error("{0}")]
    Index(String),
    /// The caller's vectors cannot be kept.
    #[error("{0}")]
    Vectors(String),
    /// The thread that did the work panicked, or the runtime ended.
    #[error("a task ended early: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

impl From<Error> for rag::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Index(why) => Self::Index(why),
            Error::Sql(error) if is_of_a_full_disk(&error) => Self::DiskFull,
            other => Self::Store(chain(&other)),
        }
    }
}

/// SQLite says it in two ways: of its files, and of the index of its journal, whose room it takes before it maps it.
fn is_of_a_full_disk(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return false };
    failure.code == ErrorCode::DiskFull || failure.extended_code == SQLITE_IOERR_SHMSIZE
}

impl From<Error> for ledger::StoreError {
    fn from(error: Error) -> Self {
        Self(chain(&error))
    }
}

impl From<Error> for pipeline::StoreError {
    fn from(error: Error) -> Self {
        Self(chain(&error))
    }
}

impl From<Error> for sandbox::settings::StoreError {
    fn from(error: Error) -> Self {
        Self(chain(&error))
    }
}
