//! Directories and files for this program's user alone: 0700 and 0600, made so or changed to it.
//! A directory that cannot be closed to others is used, and whoever asked is told how others may reach it.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags, fchmod};
use rustix::process::geteuid;

/// What the group and all others may do.
const OTHERS: u32 = 0o077;
/// What of it lets them change something.
const OTHERS_WRITE: u32 = 0o022;

/// What keeps the users of a directory that all of them share from removing each other's files.
const STICKY: u32 = 0o1000;

/// How others may reach a directory.
#[derive(Debug, PartialEq, Eq)]
pub enum Exposed {
    /// It belongs to this user, who is not us, and who may change anything in it.
    Owner(u32),
    /// Its mode, which could not be changed.
    Mode(u32),
}

/// Makes the directory, and those above it that are missing, or closes one that is there to others.
///
/// # Errors
/// It cannot be made, it is no directory, or it is one that users share, as `/tmp` is: to close that would take it away from all others.
pub fn directory(path: &Path) -> std::io::Result<Option<Exposed>> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // The path may be a link to a volume. From here on the open directory counts, whatever becomes of the path.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let data = open.metadata()?;
    if data.uid() != geteuid().as_raw() {
        return Ok(Some(Exposed::Owner(data.uid())));
    }
    if data.mode() & OTHERS == 0 {
        return Ok(None);
    }
    if data.mode() & STICKY != 0 {
        return Err(std::io::Error::new(ErrorKind::InvalidInput, "users share this directory (its sticky bit is set); name one inside it"));
    }
    let closed = fchmod(&open, Mode::from_raw_mode(data.mode() & 0o700));
    let mode = open.metadata()?.mode() & 0o7777;
    Ok((closed.is_err() || mode & OTHERS != 0).then_some(Exposed::Mode(mode)))
}

/// Opens a file to read and write, and makes it if it is missing. A link is an error, for whoever made it decides what is written to.
///
/// # Errors
/// It cannot be opened, or is no regular file.
pub fn file(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    close(&file)?;
    Ok(file)
}

/// Closes a file to others that an earlier version may have left open to them; one that is missing, or is not ours, stays as it is.
///
/// # Errors
/// It is there and cannot be looked at.
pub fn tighten(path: &Path) -> std::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => close(&File::from(file)),
        Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether nobody but this user, or root, can have written the open file.
///
/// # Errors
/// The system does not say.
pub fn is_ours(file: &File) -> std::io::Result<bool> {
    let data = file.metadata()?;
    Ok(data.is_file() && data.uid() == geteuid().as_raw() && data.mode() & OTHERS_WRITE == 0)
}

/// File systems without modes refuse this; the directory's own state is what the operator is told then.
fn close(file: &File) -> std::io::Result<()> {
    let mode = file.metadata()?.permissions().mode();
    if mode & OTHERS != 0 {
        let _ = fchmod(file, Mode::from_raw_mode(mode & 0o700));
    }
    Ok(())
}

impl fmt::Display for Exposed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(uid) => {
                write!(f, "it belongs to the user {uid}, who may change everything in it; give it to the server's own user")
            }
            Self::Mode(mode) => write!(f, "its mode is {mode:04o}, which lets others in and cannot be changed; make it 0700"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn in_folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/data");
        (folder, path)
    }

    #[test]
    fn a_directory_is_made_for_its_owner_alone_and_an_open_one_is_closed() {
        let (_folder, path) = in_folder();
        assert_eq!((directory(&path).unwrap(), mode(&path)), (None, 0o700));
        for open in [0o755, 0o777, 0o2770, 0o710] {
            set_mode(&path, open);
            assert_eq!((directory(&path).unwrap(), mode(&path)), (None, 0o700), "{open:o}");
        }
        let link = path.with_file_name("link");
        symlink(&path, &link).unwrap();
        set_mode(&path, 0o755);
        assert_eq!((directory(&link).unwrap(), mode(&path)), (None, 0o700), "a link to a volume");
        std::fs::write(path.with_file_name("file"), "").unwrap();
        assert!(directory(&path.with_file_name("file")).is_err());
    }

    #[test]
    fn a_file_is_made_for_its_owner_alone_and_an_open_one_is_closed() {
        let (_folder, path) = in_folder();
        directory(&path).unwrap();
        let lock = path.join("lock");
        assert!(is_ours(&file(&lock).unwrap()).unwrap());
        assert_eq!(mode(&lock), 0o600);
        std::fs::write(&lock, "kept").unwrap();
        set_mode(&lock, 0o666);
        assert!(!is_ours(&File::open(&lock).unwrap()).unwrap(), "anybody may have written it");
        file(&lock).unwrap();
        assert_eq!((mode(&lock), std::fs::read(&lock).unwrap()), (0o600, b"kept".to_vec()));
        set_mode(&lock, 0o644);
        tighten(&lock).unwrap();
        tighten(&path.join("missing")).unwrap();
        assert_eq!(mode(&lock), 0o600);
    }

    #[test]
    fn a_directory_that_users_share_is_refused_and_stays_open() {
        let (_folder, path) = in_folder();
        std::fs::create_dir_all(&path).unwrap();
        for shared in [0o1777, 0o1755] {
            set_mode(&path, shared);
            assert!(directory(&path).is_err_and(|error| error.to_string().contains("users share")));
            assert_eq!(mode(&path), shared);
            assert_eq!(directory(&path.join(format!("own-{shared:o}"))).unwrap(), None);
        }
        set_mode(&path, 0o1700);
        assert_eq!(directory(&path).unwrap(), None, "it is closed already");
    }

    #[test]
    fn a_link_or_a_pipe_in_place_of_a_file_is_an_error_and_waits_for_nobody() {
        let (_folder, path) = in_folder();
        directory(&path).unwrap();
        std::fs::write(path.join("victim"), "whole").unwrap();
        symlink("victim", path.join("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, path.join("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(file(&path.join("link")).is_err() && tighten(&path.join("link")).is_err());
        assert!(file(&path.join("pipe")).is_err());
        assert_eq!(std::fs::read(path.join("victim")).unwrap(), b"whole");
    }
}
