//! A backup of a `data_dir`, of which a server may run: what cannot be made again, with a manifest of checksums. It is written beside its
//! place and renamed, so that a backup is there whole or not at all; nothing that was there is ever written over.

mod copy;
mod error;
mod manifest;
mod parts;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::DATABASE;
use crate::files::{self, Exposed};

pub(super) use copy::version_of;
pub use error::Error;
pub use manifest::{Entry, Manifest};
pub(super) use manifest::{copy_file, now};
pub use parts::Parts;

/// Backs up the parts of `data_dir` that are there. Blocks.
///
/// # Errors
/// As `Error` says; nothing is left where the backup should be.
pub fn write(data_dir: &Path, parts: &Parts, to: &Path) -> Result<Manifest, Error> {
    let is_there = |path: &Path| path.try_exists().map_err(Error::io("cannot look at", path));
    let main = data_dir.join(DATABASE);
    if !is_there(&main)? {
        return Err(Error::Nothing(main));
    }
    let partial = Partial::claim(to)?;
    let mut files = Vec::new();
    for (name, steps) in parts.databases {
        let (from, copied) = (data_dir.join(name), partial.path.join(name));
        if is_there(&from)? {
            let version = Some(copy::copy(&from, &copied, steps.len())?);
            let entry = manifest::entry_of(&copied, name).map_err(Error::io("cannot read", &copied))?;
            files.push(Entry { version, ..entry });
        }
    }
    for folder in parts.folders {
        copy_folder(data_dir, Path::new(folder), &partial.path, &mut files)?;
    }
    let manifest = Manifest::new(files);
    manifest.write(&partial.path)?;
    partial.publish(to)?;
    Ok(manifest)
}

/// Copies the regular files of a folder and of those in it. One that goes away meanwhile was not needed any more, and a hidden one is still
/// being written.
fn copy_folder(data_dir: &Path, folder: &Path, to: &Path, files: &mut Vec<Entry>) -> Result<(), Error> {
    let from = data_dir.join(folder);
    let entries = match std::fs::read_dir(&from) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(Error::io("cannot read", &from))?,
    };
    let target = to.join(folder);
    files::private_directory(&target).map_err(Error::io("cannot make", &target))?;
    for entry in entries {
        let entry = entry.map_err(Error::io("cannot read", &from))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = folder.join(entry.file_name());
        let kind = entry.file_type().map_err(Error::io("cannot look at", &data_dir.join(&path)))?;
        if kind.is_dir() {
            copy_folder(data_dir, &path, to, files)?;
        } else if kind.is_file() {
            let open = match files::open(&data_dir.join(&path)) {
                Err(files::Refused::Io(error)) if error.kind() == io::ErrorKind::NotFound => continue,
                open => open.map_err(|error| Error::io("cannot read", &data_dir.join(&path))(io::Error::other(error)))?,
            };
            let name = path.to_str().ok_or_else(|| Error::io("cannot name", &path)(io::ErrorKind::InvalidFilename.into()))?;
            files.push(copy_file(open, &to.join(&path), name).map_err(Error::io("cannot copy", &data_dir.join(&path)))?);
        }
    }
    files::sync_directory(&target).map_err(Error::io("cannot write", &target))
}

/// A backup on its way: a directory beside its place, locked while this process lives. What a killed one left is taken over.
struct Partial {
    path: PathBuf,
    published: bool,
    _lock: File,
}

impl Partial {
    fn claim(to: &Path) -> Result<Self, Error> {
        let name = to.file_name().ok_or_else(|| Error::Exists(to.into()))?;
        if std::fs::symlink_metadata(to).is_ok() {
            return Err(Error::Exists(to.into()));
        }
        // Not made: what lies above is often a disk that must be mounted first.
        if !parent(to).is_dir() {
            return Err(Error::NoParent(to.into()));
        }
        let path = parent(to).join(format!(".{}.cofferdam-partial", name.to_string_lossy()));
        if let Some(Exposed::Owner(owner)) = files::private_directory(&path).map_err(Error::io("cannot make", &path))? {
            return Err(Error::NotOurs { path, owner });
        }
        let lock = File::open(&path).map_err(Error::io("cannot open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy(to.into())),
            Err(TryLockError::Error(error)) => return Err(Error::io("cannot lock", &path)(error)),
        }
        let partial = Self { path, published: false, _lock: lock };
        clear(&partial.path).map_err(Error::io("cannot empty", &partial.path))?;
        Ok(partial)
    }

    fn publish(mut self, to: &Path) -> Result<(), Error> {
        files::sync_directory(&self.path).map_err(Error::io("cannot write", &self.path))?;
        files::rename_new(&self.path, to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists(to.into()),
            _ => Error::io("cannot make", to)(error),
        })?;
        self.published = true;
        files::sync_directory(parent(to)).map_err(Error::io("cannot write", parent(to)))
    }
}

impl Drop for Partial {
    /// What cannot be removed is taken over by the next one.
    fn drop(&mut self) {
        if !self.published {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn clear(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
