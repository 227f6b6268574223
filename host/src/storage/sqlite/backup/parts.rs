//! What of a `data_dir` a backup consists of: databases, each with the steps to its tables, and folders of files.

use super::super::{DATABASE, KV, migrations};

/// The parts. Everything else in a `data_dir` can be made again.
#[derive(Clone, Copy, Debug)]
pub struct Parts {
    /// Name and steps; the first one is always there. To keep another database, add it here.
    pub(in super::super) databases: &'static [(&'static str, &'static [&'static str])],
    /// Names, each of which another room gave.
    pub(in super::super) folders: &'static [&'static str],
}

impl Parts {
    /// This backend's databases, and folders of others.
    pub const fn with_folders(folders: &'static [&'static str]) -> Self {
        Self { databases: &[(DATABASE, migrations::STEPS), (KV, migrations::KV_STEPS)], folders }
    }

    /// The steps of the database of that name; none if there is no such part.
    pub(in super::super) fn steps(&self, name: &str) -> Option<&'static [&'static str]> {
        self.databases.iter().find(|(database, _)| *database == name).map(|(_, steps)| *steps)
    }

    /// Whether a file of that path belongs to one of the parts.
    pub(super) fn has(&self, path: &str) -> bool {
        let within = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.steps(path).is_some() || self.folders.iter().any(|folder| within(folder))
    }
}
