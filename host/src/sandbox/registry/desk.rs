//! Changes to the plugin directory through the API. The loader makes them, between two scans, so that no two changes meet and every one is read
//! at once. Invariant: a file is there whole or not at all, as the one before or as the one after, also after a power cut; the directory stays
//! the one source of truth.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::change::{Asked, Change, ChangeError, Desk};
use super::live::{PluginStatus, Registry};
use crate::chat::is_name;
use crate::files;
use crate::sandbox::admit::own_name;

/// How the name of a file begins that is not whole yet. Hidden names are no plugins.
pub(super) const UNFINISHED: &str = ".uploading-";
/// How long the loader may take for what it was asked for before.
const LOADER_TIME: Duration = Duration::from_secs(10);
/// How the name of the version begins that an upload took the place of. The hash of what did so follows, and the file's name.
const PREVIOUS: &str = ".previous-";
impl Registry {
    /// Bytes that a file may have.
    pub fn file_bytes(&self) -> usize {
        self.desk().and_then(|desk| usize::try_from(desk.file_bytes).ok()).unwrap_or(usize::MAX)
    }

    /// What became of the file of that name, or of one whose name stands for the same plugin.
    pub fn file(&self, name: &str) -> Option<PluginStatus> {
        let status = self.status();
        let exact = status.iter().find(|status| status.file.strip_suffix(".wasm") == Some(name));
        let same = || status.iter().find(|status| own_name(status.file.trim_end_matches(".wasm")) == own_name(name));
        exact.or_else(same).cloned()
    }

    /// Puts a component into the directory under that name and waits until it was tried, at most until then: it may still be `compiling`. It
    /// takes the place of the file that has the plugin's name, however that is spelled. The flag says that there was none.
    ///
    /// # Errors
    /// Why nothing was written, or why what was written is refused; what was live stays live.
    pub async fn put(&self, name: &str, bytes: Bytes, until: Instant) -> Result<(PluginStatus, bool), ChangeError> {
        if !is_name(name) || name.starts_with('.') {
            return Err(ChangeError::Name);
        }
        let before = self.file(name);
        let file = before.as_ref().map_or_else(|| format!("{name}.wasm"), |status| status.file.clone());
        self.ask(Change::Put { file: file.clone(), bytes }, until).await?;
        self.tried(name, &file, until).await.map(|status| (status, before.is_none()))
    }

    /// Goes one version back: to the one that the last upload took the place of, or to the one that serves in place of a bad file.
    ///
    /// # Errors
    /// There is none, or it is refused.
    pub async fn rollback(&self, name: &str, until: Instant) -> Result<PluginStatus, ChangeError> {
        let status = self.file(name).ok_or_else(|| ChangeError::NotFound(name.to_owned()))?;
        self.ask(Change::Rollback { file: status.file.clone() }, until).await?;
        self.tried(name, &status.file, until).await
    }

    /// Takes the file of that name out of the directory. Gives what it was.
    ///
    /// # Errors
    /// There is none, or it cannot be removed.
    pub async fn remove(&self, name: &str, until: Instant) -> Result<PluginStatus, ChangeError> {
        let status = self.file(name).ok_or_else(|| ChangeError::NotFound(name.to_owned()))?;
        self.ask(Change::Remove { file: status.file.clone() }, until).await?;
        Ok(status)
    }

    /// Reads the directory now, and waits until every file was tried, at most until then.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn reload(&self, until: Instant) -> Result<(), ChangeError> {
        self.ask(Change::Read, until).await?;
        let mut changed = self.changed();
        let tried = changed.wait_for(|()| self.status().iter().all(|status| status.state != "compiling"));
        // Out of time: the list tells what is still on its way.
        let _ = timeout_at(until, tried).await;
        Ok(())
    }

    async fn ask(&self, change: Change, until: Instant) -> Result<(), ChangeError> {
        let (made, outcome) = oneshot::channel();
        let Some(Desk { changes, .. }) = self.desk() else { return Err(ChangeError::Busy) };
        changes.try_send(Asked { change, made }).map_err(|_| ChangeError::Busy)?;
        // A change takes no longer than to look at a file and to write it, and who asked is to know whether it was made.
        let until = until.max(Instant::now() + LOADER_TIME);
        timeout_at(until, outcome).await.map_err(|_| ChangeError::Busy)?.map_err(|_| ChangeError::Busy)?
    }

    /// What became of a file, once that is known or the time is over.
    async fn tried(&self, name: &str, file: &str, until: Instant) -> Result<PluginStatus, ChangeError> {
        let mut changed = self.changed();
        let status = || self.status().iter().find(|status| status.file == file).cloned();
        let tried = changed.wait_for(|()| status().is_none_or(|status| status.state != "compiling"));
        let _ = timeout_at(until, tried).await;
        let status = status().ok_or_else(|| ChangeError::NotFound(name.to_owned()))?;
        match (status.state, status.reason) {
            ("refused" | "stale", Some(reason)) => Err(ChangeError::Refused(reason)),
            (_, reason) => Ok(PluginStatus { reason, ..status }),
        }
    }
}

/// Makes a change in the directory; the scan after it says what it came to. `full` is the most files, if there are as many. `successor` is the
/// hash of what takes the place of a file that is worth keeping.
pub(super) fn make(directory: &Path, change: &Change, full: Option<usize>, successor: Option<&str>) -> Result<(), ChangeError> {
    match change {
        // Which version that is, only the loader knows, which puts it.
        Change::Read | Change::Rollback { .. } => Ok(()),
        Change::Put { file, bytes } => {
            let there = regular(directory, file)?;
            if let (false, Some(limit)) = (there, full) {
                return Err(ChangeError::Full(limit));
            }
            let mut copy = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(directory).map_err(failed)?;
            copy.write_all(bytes).and_then(|()| copy.as_file().sync_all()).map_err(failed)?;
            if let (true, Some(successor)) = (there, successor) {
                keep(directory, file, successor).map_err(failed)?;
            }
            copy.persist(directory.join(file)).map_err(|error| failed(error.error))?;
            files::sync_directory(directory).map_err(failed)
        }
        Change::Remove { file } => {
            if !regular(directory, file)? {
                return Err(ChangeError::NotFound(file.clone()));
            }
            std::fs::remove_file(directory.join(file)).map_err(failed)?;
            forget(directory, file, None);
            files::sync_directory(directory).map_err(failed)
        }
    }
}

/// The bytes of the version that this one took the place of.
pub(super) fn previous(directory: &Path, file: &str, successor: &str, limit: u64) -> Result<Bytes, ChangeError> {
    match files::open_within(directory, &directory.join(kept_as(file, successor))).and_then(|open| files::read(&open, limit)) {
        Ok(bytes) => Ok(bytes.into()),
        Err(files::Refused::Io(error)) if error.kind() != ErrorKind::NotFound => Err(failed(error)),
        Err(_) => Err(ChangeError::NoPrevious(file.to_owned())),
    }
}

/// Keeps a file beside what will take its place, under a name that tells what that is: after another change by other means, the version that
/// is kept would not be the one before.
fn keep(directory: &Path, file: &str, successor: &str) -> std::io::Result<()> {
    let copy = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(directory)?;
    std::fs::copy(directory.join(file), copy.path())?;
    copy.as_file().sync_all()?;
    copy.persist(directory.join(kept_as(file, successor))).map_err(|error| error.error)?;
    forget(directory, file, Some(successor));
    Ok(())
}

/// Removes the kept versions of a file but that one.
fn forget(directory: &Path, file: &str, but: Option<&str>) {
    let but = but.map(|successor| kept_as(file, successor));
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_of_file = name.strip_prefix(PREVIOUS).and_then(|rest| rest.split_once('-')).is_some_and(|(_, of)| of == file);
        if is_of_file
            && Some(&name) != but.as_ref()
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::warn!(file = name, %error, "an older version that was kept cannot be removed");
        }
    }
}

fn kept_as(file: &str, successor: &str) -> String {
    format!("{PREVIOUS}{successor}-{file}")
}

/// Removes what an earlier process left half written.
pub(super) fn clear(directory: &Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let unfinished: Vec<PathBuf> =
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED)).map(|entry| entry.path()).collect();
    for path in unfinished {
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(file = %path.display(), %error, "a file that was not whole cannot be removed");
        }
    }
}

/// Whether the file is there, as one that may be replaced.
fn regular(directory: &Path, file: &str) -> Result<bool, ChangeError> {
    match std::fs::symlink_metadata(directory.join(file)) {
        Ok(data) if data.is_file() => Ok(true),
        Ok(_) => Err(ChangeError::Link(file.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: std::io::Error) -> ChangeError {
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => ChangeError::ReadOnly,
        _ => ChangeError::Io(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(directory: &Path, file: &str, bytes: &'static [u8], full: Option<usize>) -> Result<(), ChangeError> {
        make(directory, &Change::Put { file: file.into(), bytes: Bytes::from_static(bytes) }, full, None)
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a.wasm", b"one", None).unwrap();
        std::fs::write(folder.path().join(".uploading-x"), "half").unwrap();
        put(folder.path(), "a.wasm", b"two", Some(1)).unwrap();
        assert!(matches!(put(folder.path(), "b.wasm", b"three", Some(1)), Err(ChangeError::Full(1))), "only what is new needs room");
        assert_eq!(std::fs::read(folder.path().join("a.wasm")).unwrap(), b"two");
        clear(folder.path());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        make(folder.path(), &Change::Remove { file: "a.wasm".into() }, None, None).unwrap();
        assert!(matches!(make(folder.path(), &Change::Remove { file: "a.wasm".into() }, None, None), Err(ChangeError::NotFound(_))));
    }

    #[test]
    fn one_version_is_kept_and_only_as_long_as_what_took_its_place_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let replace = |bytes: &'static [u8], hash: &str| {
            let change = Change::Put { file: "a-b.wasm".into(), bytes: Bytes::from_static(bytes) };
            make(root, &change, None, Some(hash)).unwrap();
        };
        replace(b"one", "1");
        replace(b"two", "2");
        replace(b"three", "3");
        put(root, "b.wasm", b"other", None).unwrap();
        assert_eq!(previous(root, "a-b.wasm", "3", 100).unwrap(), "two");
        for (file, successor) in [("a-b.wasm", "2"), ("b.wasm", "3"), ("a-b.wasm", "4")] {
            assert!(matches!(previous(root, file, successor, 100), Err(ChangeError::NoPrevious(_))), "{file} {successor}");
        }
        make(root, &Change::Remove { file: "b.wasm".into() }, None, None).unwrap();
        assert!(previous(root, "a-b.wasm", "3", 100).is_ok(), "of another file");
        make(root, &Change::Remove { file: "a-b.wasm".into() }, None, None).unwrap();
        assert_eq!(std::fs::read_dir(root).unwrap().count(), 0);
    }

    #[test]
    fn what_a_mounted_volume_put_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("..2026")).unwrap();
        std::fs::write(root.join("..2026/a.wasm"), "mounted").unwrap();
        std::os::unix::fs::symlink("..2026", root.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.wasm", root.join("a.wasm")).unwrap();
        assert!(matches!(put(root, "a.wasm", b"other", None), Err(ChangeError::Link(file)) if file == "a.wasm"));
        assert!(matches!(make(root, &Change::Remove { file: "a.wasm".into() }, None, None), Err(ChangeError::Link(_))));
        assert_eq!(std::fs::read(root.join("a.wasm")).unwrap(), b"mounted");
    }
}
