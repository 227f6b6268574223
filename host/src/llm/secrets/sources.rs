//! Where secrets are looked for: systemd's credentials, `secret_dir`, the environment. A directory has one file for each secret, as
//! Kubernetes, Docker and systemd mount them, and the file's name is the secret's.
//! A file is read again once its value is a second old, so a replaced secret is used without a restart.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::secret::{MissingSecret, Secret, Secrets, is_name};
use crate::files::{self, Refused};

/// How long a value is used before its file is read again. Such directories are in memory, and a read is microseconds.
const FRESH: Duration = Duration::from_secs(1);
/// Bytes of a secret. The largest in use, private keys and certificates, are some KiB.
const BYTES_MAX: u64 = 64 << 10;
/// The permission bit that lets every user of the machine read a file.
const OTHERS_READ: u32 = 0o004;

/// The places that a running server looks in, in this order: systemd's credentials, `secret_dir`, the environment. Files come first because
/// they can be replaced while the server runs.
///
/// # Errors
/// If `secret_dir` is no directory that can be read.
pub fn sources(secret_dir: Option<PathBuf>) -> std::io::Result<Secrets> {
    if let Some(dir) = &secret_dir {
        std::fs::read_dir(dir)?;
    }
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    Ok(chain([credentials, secret_dir].into_iter().flatten().collect(), |name| std::env::var_os(name)))
}

/// The first place that has the name decides, even if its value cannot be used: an older value from elsewhere would hide the mistake.
pub(super) fn chain(dirs: Vec<PathBuf>, environment: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Secrets {
    let dirs: Vec<Files> = dirs.into_iter().map(Files::new).collect();
    Arc::new(move |name| {
        if !is_name(name) {
            return Err(MissingSecret::InvalidName);
        }
        let now = Instant::now();
        let variable = || Some(environment(name)?.into_string().map_err(|_| MissingSecret::NotText).and_then(|text| Secret::new(&text)));
        dirs.iter().find_map(|dir| dir.get(name, now)).or_else(variable).unwrap_or(Err(MissingSecret::NotSet))
    })
}

/// The secrets in one directory.
struct Files {
    dir: PathBuf,
    /// Only names of files that exist, so that it is never longer than the directory.
    kept: Mutex<BTreeMap<String, Kept>>,
}

struct Kept {
    value: Result<Secret, MissingSecret>,
    until: Instant,
    warned: bool,
}

impl Files {
    fn new(dir: PathBuf) -> Self {
        Self { dir, kept: Mutex::default() }
    }

    /// The value in the file `name`, which must satisfy `is_name`; none if there is no such file.
    fn get(&self, name: &str, now: Instant) -> Option<Result<Secret, MissingSecret>> {
        if let Some(kept) = self.kept().get_mut(name) {
            if now < kept.until {
                return Some(kept.value.clone());
            }
            // One caller reads the file; until it has, the others use the old value.
            kept.until = now + FRESH;
        }
        let (value, open) = match read(&self.dir.join(name)) {
            Ok(read) => read,
            Err(ErrorKind::NotFound) => {
                self.kept().remove(name);
                return None;
            }
            Err(kind) => (Err(MissingSecret::Unreadable(kind)), false),
        };
        let mut kept = self.kept();
        let warned = kept.get(name).is_some_and(|kept| kept.warned);
        if open && !warned {
            tracing::warn!(secret = name, "the file of the secret `{name}` can be read by every user of this machine; chmod o-r");
        }
        kept.insert(name.to_owned(), Kept { value: value.clone(), until: now + FRESH, warned: warned || open });
        Some(value)
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        // A panic elsewhere leaves whole entries.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value, and whether every user of the machine can read it. Links are followed: Kubernetes puts each secret's file behind two of them.
fn read(path: &Path) -> Result<(Result<Secret, MissingSecret>, bool), ErrorKind> {
    let file = match files::open(path) {
        Ok(file) => file,
        Err(Refused::Io(error)) => return Err(error.kind()),
        Err(Refused::NotAFile | Refused::Outside | Refused::TooLarge(_)) => return Ok((Err(MissingSecret::NotAFile), false)),
    };
    let open = file.metadata().map_err(|error| error.kind())?.permissions().mode() & OTHERS_READ != 0;
    let value = match files::read(&file, BYTES_MAX) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| MissingSecret::NotText).and_then(|text| Secret::new(&text)),
        Err(Refused::TooLarge(_)) => Err(MissingSecret::TooLarge),
        Err(Refused::Io(error)) => return Err(error.kind()),
        Err(Refused::NotAFile | Refused::Outside) => Err(MissingSecret::NotAFile),
    };
    Ok((value, open))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn value(files: &Files, name: &str, now: Instant) -> Option<Result<String, MissingSecret>> {
        files.get(name, now).map(|value| value.map(|secret| secret.expose().to_owned()))
    }

    #[test]
    fn a_file_is_read_again_after_a_second_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let (files, now) = (Files::new(dir.path().into()), Instant::now());
        assert_eq!(value(&files, "KEY", now), None);
        std::fs::write(dir.path().join("KEY"), "one\n").unwrap();
        assert_eq!(value(&files, "KEY", now), Some(Ok("one".into())), "a file that was not there is looked for each time");
        std::fs::write(dir.path().join("KEY"), "two\n").unwrap();
        assert_eq!(value(&files, "KEY", now + FRESH - Duration::from_nanos(1)), Some(Ok("one".into())));
        assert_eq!(value(&files, "KEY", now + FRESH), Some(Ok("two".into())));
        std::fs::remove_file(dir.path().join("KEY")).unwrap();
        assert_eq!(value(&files, "KEY", now + 2 * FRESH), None, "a secret that was taken away is no longer used");
    }

    #[test]
    fn a_file_of_64_kib_is_a_secret_and_a_larger_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (files, now) = (Files::new(dir.path().into()), Instant::now());
        let most = usize::try_from(BYTES_MAX).unwrap();
        std::fs::write(dir.path().join("MOST"), "x".repeat(most)).unwrap();
        std::fs::write(dir.path().join("MORE"), "x".repeat(most + 1)).unwrap();
        std::fs::write(dir.path().join("BINARY"), [b'x', 0xff]).unwrap();
        std::fs::write(dir.path().join("BLANK"), " \n").unwrap();
        std::fs::create_dir(dir.path().join("DIR")).unwrap();
        assert_eq!(value(&files, "MOST", now).unwrap().unwrap().len(), most);
        assert_eq!(value(&files, "MORE", now), Some(Err(MissingSecret::TooLarge)));
        assert_eq!(value(&files, "BINARY", now), Some(Err(MissingSecret::NotText)));
        assert_eq!(value(&files, "BLANK", now), Some(Err(MissingSecret::NotSet)));
        assert_eq!(value(&files, "DIR", now), Some(Err(MissingSecret::NotAFile)));
    }

    #[test]
    fn a_pipe_a_socket_or_a_device_in_place_of_a_secret_is_none_and_holds_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("PIPE"), fifo, mode, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("SOCKET")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", dir.path().join("DEVICE")).unwrap();
        std::os::unix::fs::symlink("PIPE", dir.path().join("LINK")).unwrap();
        let files = Files::new(dir.path().into());
        for name in ["PIPE", "SOCKET", "DEVICE", "LINK"] {
            assert_eq!(value(&files, name, Instant::now()), Some(Err(MissingSecret::NotAFile)), "{name}");
        }
    }

    #[test]
    fn a_link_is_followed_as_kubernetes_makes_them() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("..2026")).unwrap();
        std::fs::write(dir.path().join("..2026/KEY"), "mounted").unwrap();
        std::os::unix::fs::symlink("..2026", dir.path().join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/KEY", dir.path().join("KEY")).unwrap();
        assert_eq!(value(&Files::new(dir.path().into()), "KEY", Instant::now()), Some(Ok("mounted".into())));
    }

    #[test]
    fn a_file_that_everybody_may_read_is_noted_once() {
        let dir = tempfile::tempdir().unwrap();
        let (files, now) = (Files::new(dir.path().into()), Instant::now());
        for (name, mode) in [("OPEN", 0o644), ("CLOSED", 0o640)] {
            std::fs::write(dir.path().join(name), "x").unwrap();
            std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(mode)).unwrap();
            for round in 0..3 {
                value(&files, name, now + round * FRESH).unwrap().unwrap();
            }
        }
        let warned = |name: &str| files.kept()[name].warned;
        assert_eq!((warned("OPEN"), warned("CLOSED")), (true, false));
    }
}
