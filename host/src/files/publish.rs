//! Puts a finished directory in its place, so that whoever looks there finds all of it or nothing, also after a power cut.
//! Nothing that was there before is ever replaced.

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

/// Renames to a name that nothing has.
///
/// # Errors
/// `AlreadyExists` if something has it, and whatever else the system says.
pub fn rename_new(from: &Path, to: &Path) -> std::io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // A file system that cannot do that in one step.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            done => return Ok(done?),
        }
    }
    match std::fs::symlink_metadata(to) {
        Ok(_) => Err(ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == ErrorKind::NotFound => std::fs::rename(from, to),
        Err(error) => Err(error),
    }
}

/// Writes down which names a directory holds.
///
/// # Errors
/// The system's.
pub fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_something_has_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["from", "empty", "full"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        std::fs::write(path("full/file"), "kept").unwrap();
        std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
        for name in ["empty", "full", "link"] {
            let refused = rename_new(&path("from"), &path(name)).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::AlreadyExists, "{name}");
        }
        assert_eq!(std::fs::read(path("full/file")).unwrap(), b"kept");
        rename_new(&path("from"), &path("to")).unwrap();
        assert!(path("to").is_dir() && !path("from").exists());
        sync_directory(folder.path()).unwrap();
    }
}
