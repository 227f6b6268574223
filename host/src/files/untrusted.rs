//! Opens and reads a file of a directory that others may write, and of which nothing is certain until it is open.
//! What was checked is what is read: every check is made on the open file, and opening follows no link and waits for nobody.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

/// How often a path is resolved anew because a link in it was exchanged: a mounted volume exchanges one with each of its versions.
const TRIES: usize = 3;

/// To open a pipe, a terminal or a file that somebody holds a lease on must not wait for anybody.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);
/// On Linux a directory on the way needs no more than the right to pass through it.
#[cfg(target_os = "linux")]
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is a link out of the directory.
    #[error("it is a link to a place outside its directory")]
    Outside,
    /// It is a directory, a pipe, a socket or a device.
    #[error("it is not a regular file")]
    NotAFile,
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Opens a regular file; links on the way are followed, wherever they lead.
///
/// # Errors
/// `Io` or `NotAFile`.
pub fn open(path: &Path) -> Result<File, Refused> {
    opened(path, None)
}

/// Opens a regular file that lies in `root`, which is canonical. Links are followed within it, as mounted volumes have them.
///
/// # Errors
/// All but `TooLarge`.
pub fn open_within(root: &Path, path: &Path) -> Result<File, Refused> {
    opened(path, Some(root))
}

/// Reads at most `limit` bytes, also of a file that grows meanwhile or that says nothing of its size.
///
/// # Errors
/// `TooLarge` or `Io`.
pub fn read(file: &File, limit: u64) -> Result<Vec<u8>, Refused> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(Refused::TooLarge(limit)) } else { Ok(bytes) }
}

fn opened(path: &Path, root: Option<&Path>) -> Result<File, Refused> {
    let mut tries = 0;
    loop {
        tries += 1;
        let target = path.canonicalize()?;
        if root.is_some_and(|root| !target.starts_with(root)) {
            return Err(Refused::Outside);
        }
        match open_resolved(&target) {
            Err(Refused::Io(error)) if tries < TRIES && exchanged(&error) => {}
            done => return done,
        }
    }
}

/// What opening a canonical path says if a part of it was exchanged or removed since.
fn exchanged(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) || Errno::from_io_error(error) == Some(Errno::LOOP)
}

/// Opens a canonical path part by part, so that a link at any place in it is an error.
fn open_resolved(target: &Path) -> Result<File, Refused> {
    let io = |errno: Errno| Refused::Io(errno.into());
    let name = target.file_name().ok_or(Refused::NotAFile)?;
    let parts = target.parent().into_iter().flat_map(Path::components);
    let root = PathBuf::from("/");
    let mut directory: OwnedFd = rustix::fs::open(&root, DIRECTORY, Mode::empty()).map_err(io)?;
    for part in parts {
        if let Component::Normal(part) = part {
            directory = openat(&directory, part, DIRECTORY, Mode::empty()).map_err(io)?;
        }
    }
    let file = openat(&directory, name, FILE, Mode::empty()).map_err(|errno| match errno {
        // A socket, or a device without a driver.
        Errno::NXIO | Errno::NODEV | Errno::OPNOTSUPP => Refused::NotAFile,
        errno => io(errno),
    })?;
    let kind = FileType::from_raw_mode(fstat(&file).map_err(io)?.st_mode);
    if kind == FileType::RegularFile { Ok(File::from(file)) } else { Err(Refused::NotAFile) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        (folder, root)
    }

    fn pipe(path: &Path) {
        rustix::fs::mknodat(rustix::fs::CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let (_folder, root) = folder();
        pipe(&root.join("pipe"));
        std::fs::create_dir(root.join("folder")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        symlink("pipe", root.join("link")).unwrap();
        for name in ["pipe", "folder", "socket", "link"] {
            assert!(matches!(open_within(&root, &root.join(name)), Err(Refused::NotAFile)), "{name}");
            assert!(matches!(open(&root.join(name)), Err(Refused::NotAFile)), "{name}");
        }
        assert!(matches!(open(Path::new("/dev/zero")), Err(Refused::NotAFile)));
        assert!(matches!(open(Path::new("/")), Err(Refused::NotAFile)));
    }

    /// The moment between resolving and opening is the caller's path; here it has passed already.
    #[test]
    fn a_path_that_is_exchanged_after_it_was_resolved_is_refused_and_holds_nothing_up() {
        let (_folder, root) = folder();
        std::fs::create_dir(root.join("folder")).unwrap();
        let target = root.join("folder/file");
        std::fs::write(&target, "x").unwrap();
        assert!(open_resolved(&target).is_ok());
        std::fs::remove_file(&target).unwrap();
        pipe(&target);
        assert!(matches!(open_resolved(&target), Err(Refused::NotAFile)), "a pipe without a writer");
        std::fs::remove_file(&target).unwrap();
        symlink("/etc/hostname", &target).unwrap();
        assert!(matches!(open_resolved(&target), Err(Refused::Io(error)) if exchanged(&error)), "a link");
        std::fs::remove_file(&target).unwrap();
        std::fs::remove_dir(root.join("folder")).unwrap();
        symlink("/etc", root.join("folder")).unwrap();
        assert!(matches!(open_resolved(&root.join("folder/hostname")), Err(Refused::Io(error)) if exchanged(&error)), "a link on the way");
    }

    #[test]
    fn links_are_followed_within_the_directory_as_mounted_volumes_have_them() {
        let (_folder, root) = folder();
        let (_elsewhere, other) = folder_with("secret", "s");
        std::fs::create_dir(root.join("..2026")).unwrap();
        std::fs::write(root.join("..2026/a"), "mounted").unwrap();
        symlink("..2026", root.join("..data")).unwrap();
        symlink("..data/a", root.join("relative")).unwrap();
        symlink(root.join("..data/a"), root.join("absolute")).unwrap();
        symlink(other.join("secret"), root.join("out")).unwrap();
        symlink(format!("../{}/secret", other.file_name().unwrap().to_str().unwrap()), root.join("up")).unwrap();
        symlink("/proc/self/environ", root.join("proc")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        for name in ["relative", "absolute"] {
            assert_eq!(read(&open_within(&root, &root.join(name)).unwrap(), 7).unwrap(), b"mounted", "{name}");
        }
        for name in ["out", "up", "proc"] {
            assert!(matches!(open_within(&root, &root.join(name)), Err(Refused::Outside)), "{name}");
        }
        assert!(matches!(open_within(&root, &root.join("loop")), Err(Refused::Io(_))));
        assert_eq!(read(&open(&root.join("out")).unwrap(), 10).unwrap(), b"s", "where links may lead anywhere");
    }

    fn folder_with(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
        let (folder, root) = folder();
        std::fs::write(root.join(name), text).unwrap();
        (folder, root)
    }

    #[test]
    fn a_file_is_read_up_to_its_limit_whatever_it_says_of_its_size() {
        let (_folder, root) = folder_with("file", "12345");
        let file = || open(&root.join("file")).unwrap();
        assert_eq!(read(&file(), 5).unwrap(), b"12345");
        assert!(matches!(read(&file(), 4), Err(Refused::TooLarge(4))));
        assert!(matches!(read(&open(Path::new("/proc/self/status")).unwrap(), 10), Err(Refused::TooLarge(10))), "it says 0 bytes");
    }
}
