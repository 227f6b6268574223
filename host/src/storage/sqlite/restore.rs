//! A backup takes the place of what a `data_dir` holds, which is moved aside and never deleted. Everything is copied and checked first; from
//! one rename on the rest is moves, which whoever has the directory next carries on, so that a killed restore has happened or has not.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::backup::{self, Entry, Error, Manifest, Parts};
use super::{DATABASE, INDEX};
use crate::files;

/// Copied in part; it means nothing yet.
const PARTIAL: &str = ".cofferdam-restore.partial";
/// Copied and checked: from here on it is carried on.
const STAGED: &str = ".cofferdam-restore";
/// In it: what is to come in, and what was moved out.
const NEW: &str = "new";
const OLD: &str = "old";

/// What SQLite puts beside a database. It must not meet another one.
const JOURNALS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A backup that can be restored, as far as its manifest tells.
#[derive(Debug)]
pub struct Backup {
    path: PathBuf,
    parts: Parts,
    pub manifest: Manifest,
}

impl Backup {
    /// Looks at a backup of those parts.
    ///
    /// # Errors
    /// It is no whole backup, or one of a later release.
    pub fn open(path: &Path, parts: &Parts) -> Result<Self, Error> {
        Ok(Self { path: path.into(), parts: *parts, manifest: Manifest::read(path, parts)? })
    }

    /// Puts it in the place of what `data_dir` holds, and says where that is now, if there was anything. The caller has the directory to
    /// itself. Blocks.
    ///
    /// # Errors
    /// A file is damaged, or cannot be copied; then `data_dir` is as it was. After the last check: a file cannot be moved; then the next start
    /// goes on.
    pub fn restore(&self, data_dir: &Path) -> Result<Option<PathBuf>, Error> {
        finish(data_dir, &self.parts)?;
        let (partial, staged) = (data_dir.join(PARTIAL), data_dir.join(STAGED));
        let prepared = self.stage(&partial).and_then(|()| {
            files::rename_new(&partial, &staged).map_err(Error::io("cannot make", &staged))?;
            files::sync_directory(data_dir).map_err(Error::io("cannot write", data_dir))
        });
        if prepared.is_err() {
            let _ = std::fs::remove_dir_all(&partial);
        }
        prepared?;
        finish(data_dir, &self.parts)
    }

    /// Copies and checks everything. What is checked is the copy, not what it was copied from.
    fn stage(&self, partial: &Path) -> Result<(), Error> {
        let not_whole = |why: String| Error::NotWhole { path: self.path.clone(), why };
        let (new, old) = (partial.join(NEW), partial.join(OLD));
        // Every part is there, even if the backup has none, because what is there says how far the moves are.
        for folder in [partial.to_owned(), new.clone(), old].into_iter().chain(self.folders(&new)) {
            files::private_directory(&folder).map_err(Error::io("cannot make", &folder))?;
        }
        for (name, _) in self.parts.databases {
            let file = new.join(name);
            files::private_file(&file).map_err(Error::io("cannot make", &file))?;
        }
        for entry in &self.manifest.files {
            let (from, to) = (self.path.join(&entry.path), new.join(&entry.path));
            if let Some(folder) = to.parent() {
                files::private_directory(folder).map_err(Error::io("cannot make", folder))?;
            }
            let open = files::open(&from).map_err(|error| not_whole(format!("`{}` cannot be read: {error}", entry.path)))?;
            let copied = backup::copy_file(open, &to, &entry.path).map_err(Error::io("cannot copy to", &to))?;
            if copied != (Entry { version: None, ..entry.clone() }) {
                return Err(not_whole(format!("`{}` is not what was written: its checksum or its size is another", entry.path)));
            }
            if let Some(said) = entry.version {
                let version = backup::version_of(&to)?;
                if version != said {
                    return Err(not_whole(format!("`{}` has version {version}, and its manifest says {said}", entry.path)));
                }
            }
        }
        for folder in self.folders(&new).chain([new.clone(), partial.to_owned()]) {
            files::sync_directory(&folder).map_err(Error::io("cannot write", &folder))?;
        }
        Ok(())
    }

    fn folders(&self, within: &Path) -> impl Iterator<Item = PathBuf> {
        self.parts.folders.iter().map(|folder| within.join(folder))
    }
}

/// Carries on a restore that was cut off after its last check, and removes one that was cut off before. Says where that put what was there
/// before, if it did. The caller has the directory to itself. Blocks.
///
/// # Errors
/// A file cannot be moved or removed.
pub fn finish(data_dir: &Path, parts: &Parts) -> Result<Option<PathBuf>, Error> {
    remove(&data_dir.join(PARTIAL))?;
    let staged = data_dir.join(STAGED);
    if !is_there(&staged) {
        return Ok(None);
    }
    while let Some((from, to)) = next_move(data_dir, parts) {
        std::fs::rename(&from, &to).map_err(Error::io("cannot move", &from))?;
    }
    let old = staged.join(OLD);
    for folder in [&old, data_dir] {
        if is_there(folder) {
            files::sync_directory(folder).map_err(Error::io("cannot write", folder))?;
        }
    }
    let replaced = keep(data_dir, &old)?;
    remove(&staged)?;
    files::sync_directory(data_dir).map_err(Error::io("cannot write", data_dir))?;
    Ok(replaced)
}

/// The next step of a restore, which what is there tells alone: what goes is moved out before what comes is moved in, the first database last.
fn next_move(data_dir: &Path, parts: &Parts) -> Option<(PathBuf, PathBuf)> {
    let staged = data_dir.join(STAGED);
    let (new, old) = (staged.join(NEW), staged.join(OLD));
    let out = |name: &str| (data_dir.join(name), old.join(name));
    let databases = || parts.databases.iter().rev().map(|(name, _)| *name);
    if is_there(&new.join(DATABASE)) {
        let journals = databases().flat_map(|database| JOURNALS.map(|journal| format!("{database}{journal}")));
        // An index would take chunks of the old database for chunks of the new one, because both count their ids from the same number.
        if let Some(name) = journals.chain([INDEX.to_owned()]).find(|name| is_there(&data_dir.join(name))) {
            return Some(out(&name));
        }
    }
    let name = parts.folders.iter().copied().chain(databases()).find(|name| is_there(&new.join(name)))?;
    let place = data_dir.join(name);
    Some(if is_there(&place) { out(name) } else { (new.join(name), place) })
}

/// Puts what was moved out where an operator finds it; none if there was nothing.
fn keep(data_dir: &Path, old: &Path) -> Result<Option<PathBuf>, Error> {
    let empty = !is_there(old) || std::fs::read_dir(old).map_err(Error::io("cannot read", old))?.next().is_none();
    if empty {
        return Ok(None);
    }
    let name = format!("replaced-{}", backup::now());
    let mut path = data_dir.join(&name);
    let mut number = 1;
    loop {
        match files::rename_new(old, &path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => path = data_dir.join(format!("{name}-{number}")),
            done => return done.map(|()| Some(path)).map_err(Error::io("cannot move", old)),
        }
        number += 1;
    }
}

fn is_there(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("cannot remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
