//! What can go wrong with a backup and with its restoring: one variant for each thing that an operator can do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::super::error;

/// Why there is no backup, or why it is not restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is nothing to back up: {} is not there, so no server has used this data_dir", .0.display())]
    Nothing(PathBuf),
    #[error("{} is there already; name a directory that is not", .0.display())]
    Exists(PathBuf),
    #[error("the directory above {} is not there; make it, or mount what it lies on", .0.display())]
    NoParent(PathBuf),
    #[error("another backup to {} is being made", .0.display())]
    Busy(PathBuf),
    #[error("{} belongs to the user {owner}; run this as that user", .path.display())]
    NotOurs { path: PathBuf, owner: u32 },
    #[error("{} is no whole backup: {why}", .path.display())]
    NotWhole { path: PathBuf, why: String },
    #[error("{} was made by the later release {release} and holds what this one does not know; restore it with that release", .path.display())]
    Later { path: PathBuf, release: String },
    #[error("{what} {}", .path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Database(#[from] error::Error),
}

impl Error {
    pub(in super::super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}
