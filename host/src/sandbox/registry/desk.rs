//! Changes to the plugin directory through the API. The loader makes them, between two scans, so that no two changes meet and every one is read
//! at once. Invariant: a file is there whole or not at all, as the one before or as the one after, also after a power cut; the directory stays
//! the one source of truth.

use std::fs::Permissions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::change::{Asked, Change, DeployError, Desk};
use super::known::stem;
use super::live::{PluginStatus, Registry};
use crate::chat::is_name;
use crate::files;
use crate::sandbox::admit::own_name;

/// How the name of a file begins that is not whole yet. Hidden names are no plugins.
pub(super) const UNFINISHED: &str = ".uploading-";
/// What the file may be read by beside the server, as if a shell had made it; the server's umask takes from it.
const FILE_MODE: u32 = 0o644;
/// How long the loader may take for what it was asked for before.
const LOADER_TIME: Duration = Duration::from_secs(10);

impl Registry {
    /// What became of the file of that name, or of one whose name stands for the same plugin.
    pub fn file(&self, name: &str) -> Option<PluginStatus> {
        let status = self.status();
        let exact = status.iter().find(|status| stem(&status.file) == name);
        let same = || status.iter().find(|status| own_name(stem(&status.file)) == own_name(name));
        exact.or_else(same).cloned()
    }

    /// Puts a component into the directory under that name and waits until it was tried, at most until then: it may still be `compiling`. It
    /// takes the place of the file that has the plugin's name, however that is spelled. The flag says that there was none.
    ///
    /// # Errors
    /// Why nothing was written, or why what was written is refused; what was live stays live.
    pub async fn put(&self, name: &str, bytes: Bytes, until: Instant) -> Result<(PluginStatus, bool), DeployError> {
        if !is_name(name) || name.starts_with(['.', '-']) {
            return Err(DeployError::Name);
        }
        let before = self.file(name);
        let file = before.as_ref().map_or_else(|| format!("{name}.wasm"), |status| status.file.clone());
        self.ask(Change::Put { file: file.clone(), bytes }, until).await?;
        self.tried(name, &file, until).await.map(|status| (status, before.is_none()))
    }

    /// Goes one version back: to the one that served before it, or to the one that serves in place of a bad file.
    ///
    /// # Errors
    /// There is none, or it is refused.
    pub async fn rollback(&self, name: &str, until: Instant) -> Result<PluginStatus, DeployError> {
        let status = self.file(name).ok_or_else(|| DeployError::NotFound(name.to_owned()))?;
        self.ask(Change::Rollback { file: status.file.clone() }, until).await?;
        self.tried(name, &status.file, until).await
    }

    /// Takes the file of that name out of the directory. Gives what it was.
    ///
    /// # Errors
    /// There is none, or it cannot be removed.
    pub async fn remove(&self, name: &str, until: Instant) -> Result<PluginStatus, DeployError> {
        let status = self.file(name).ok_or_else(|| DeployError::NotFound(name.to_owned()))?;
        self.ask(Change::Remove { file: status.file.clone() }, until).await?;
        Ok(status)
    }

    /// Reads the directory now, and waits until every file was tried, at most until then.
    ///
    /// # Errors
    /// `Busy`.
    pub async fn reload(&self, until: Instant) -> Result<(), DeployError> {
        self.ask(Change::Read, until).await?;
        let mut changed = self.changed();
        let tried = changed.wait_for(|()| self.status().iter().all(|status| status.state != "compiling"));
        // Out of time: the list tells what is still on its way.
        let _ = timeout_at(until, tried).await;
        Ok(())
    }

    async fn ask(&self, change: Change, until: Instant) -> Result<(), DeployError> {
        let (made, outcome) = oneshot::channel();
        let Some(Desk(changes)) = self.desk() else { return Err(DeployError::Busy) };
        changes.try_send(Asked { change, made }).map_err(|_| DeployError::Busy)?;
        // A change takes no longer than to look at a file and to write it, and who asked is to know whether it was made.
        let until = until.max(Instant::now() + LOADER_TIME);
        timeout_at(until, outcome).await.map_err(|_| DeployError::Busy)?.map_err(|_| DeployError::Busy)?
    }

    /// What became of a file, once that is known or the time is over.
    async fn tried(&self, name: &str, file: &str, until: Instant) -> Result<PluginStatus, DeployError> {
        let mut changed = self.changed();
        let status = || self.status().iter().find(|status| status.file == file).cloned();
        let tried = changed.wait_for(|()| status().is_none_or(|status| status.state != "compiling"));
        let _ = timeout_at(until, tried).await;
        let status = status().ok_or_else(|| DeployError::NotFound(name.to_owned()))?;
        match (status.state, status.reason) {
            ("refused" | "stale", Some(reason)) if status.tried_again => Err(DeployError::Later(reason)),
            ("refused" | "stale", Some(reason)) => Err(DeployError::Refused(reason)),
            (_, reason) => Ok(PluginStatus { reason, ..status }),
        }
    }
}

/// Makes a change in the directory; the scan after it says what it came to. `full` is the most files, if there are as many.
pub(super) fn make(directory: &Path, change: &Change, full: Option<usize>) -> Result<(), DeployError> {
    match change {
        // Which version that is, only the loader knows, which puts it.
        Change::Read | Change::Rollback { .. } => Ok(()),
        Change::Put { file, bytes } => {
            let there = regular(directory, file)?;
            if let (false, Some(limit)) = (there, full) {
                return Err(DeployError::Full(limit));
            }
            let mode = Permissions::from_mode(FILE_MODE);
            let mut copy = tempfile::Builder::new().prefix(UNFINISHED).permissions(mode).tempfile_in(directory).map_err(failed)?;
            copy.write_all(bytes).and_then(|()| copy.as_file().sync_all()).map_err(failed)?;
            copy.persist(directory.join(file)).map_err(|error| failed(error.error))?;
            files::sync_directory(directory).map_err(failed)
        }
        Change::Remove { file } => {
            if !regular(directory, file)? {
                return Err(DeployError::NotFound(file.clone()));
            }
            std::fs::remove_file(directory.join(file)).map_err(failed)?;
            files::sync_directory(directory).map_err(failed)
        }
    }
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
fn regular(directory: &Path, file: &str) -> Result<bool, DeployError> {
    match std::fs::symlink_metadata(directory.join(file)) {
        Ok(data) if data.is_file() => Ok(true),
        Ok(_) => Err(DeployError::Link(file.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: std::io::Error) -> DeployError {
    match error.kind() {
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => DeployError::ReadOnly,
        _ => DeployError::Io(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(directory: &Path, file: &str, bytes: &'static [u8], full: Option<usize>) -> Result<(), DeployError> {
        make(directory, &Change::Put { file: file.into(), bytes: Bytes::from_static(bytes) }, full)
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a.wasm", b"one", None).unwrap();
        std::fs::write(folder.path().join(".uploading-x"), "half").unwrap();
        put(folder.path(), "a.wasm", b"two", Some(1)).unwrap();
        assert!(matches!(put(folder.path(), "b.wasm", b"three", Some(1)), Err(DeployError::Full(1))), "only what is new needs room");
        assert_eq!(std::fs::read(folder.path().join("a.wasm")).unwrap(), b"two");
        clear(folder.path());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        make(folder.path(), &Change::Remove { file: "a.wasm".into() }, None).unwrap();
        assert!(matches!(make(folder.path(), &Change::Remove { file: "a.wasm".into() }, None), Err(DeployError::NotFound(_))));
    }

    #[test]
    fn what_a_mounted_volume_put_there_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir(root.join("..2026")).unwrap();
        std::fs::write(root.join("..2026/a.wasm"), "mounted").unwrap();
        std::os::unix::fs::symlink("..2026", root.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/a.wasm", root.join("a.wasm")).unwrap();
        assert!(matches!(put(root, "a.wasm", b"other", None), Err(DeployError::Link(file)) if file == "a.wasm"));
        assert!(matches!(make(root, &Change::Remove { file: "a.wasm".into() }, None), Err(DeployError::Link(_))));
        assert_eq!(std::fs::read(root.join("a.wasm")).unwrap(), b"mounted");
    }
}
