//! The last version of each plugin file that was admitted, kept for the next start: a bad file that took its place must not take it away. If
//! there is room, the version before it is kept to go back to.
//! A copy is named by its file and its content's hash, and takes the place of the one before it by a rename, so that whenever the server is
//! killed, one of the two is there and whole. It is bytes like any others: it passes admission again before it serves.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::files;

/// How the name of a copy begins that is not whole yet.
const UNFINISHED: &str = ".copying-";
/// How the name of a copy ends, as that of its file does.
const WASM: &str = ".wasm";
/// Characters of a hash.
const HASH_CHARS: usize = 64;

/// The copies, in a directory that only the host writes.
#[derive(Debug)]
pub(super) struct LastGood {
    directory: PathBuf,
    /// Bytes of all copies together.
    limit: u64,
    copies: BTreeMap<String, Versions>,
}

/// What is kept of one file.
#[derive(Debug)]
struct Versions {
    last: LastGoodCopy,
    /// The one before it, if that is another.
    before: Option<LastGoodCopy>,
}

#[derive(Debug)]
struct LastGoodCopy {
    hash: String,
    bytes: u64,
    kept: SystemTime,
}

/// Why a version is not kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotKept {
    #[error("it does not fit beside those of the other plugins into {0} bytes (raise `limits.plugins.last_good_bytes`)")]
    Full(u64),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl LastGood {
    /// Reads what an earlier process kept, and clears away what it left half written, a copy that was about to be removed, and what is over the
    /// limit, the oldest first.
    pub(super) fn open(directory: PathBuf, limit: u64) -> std::io::Result<Self> {
        if let Some(exposed) = files::private_directory(&directory)? {
            tracing::warn!(directory = %directory.display(), "other users can reach the last good plugins: {exposed}");
        }
        let mut last_good = Self { directory, limit, copies: BTreeMap::new() };
        let mut found: BTreeMap<String, Vec<LastGoodCopy>> = BTreeMap::new();
        for entry in std::fs::read_dir(&last_good.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(UNFINISHED) {
                std::fs::remove_file(entry.path())?;
                continue;
            }
            let Some((file, hash)) = parse(&name) else { continue };
            let data = entry.metadata()?;
            found.entry(file).or_default().push(LastGoodCopy { hash, bytes: data.len(), kept: data.modified()? });
        }
        for (file, mut copies) in found {
            copies.sort_by_key(|copy| Reverse(copy.kept));
            let mut copies = copies.into_iter();
            let Some(last) = copies.next() else { continue };
            let before = copies.next();
            // More are there if the server was killed between making the one and removing the other.
            copies.try_for_each(|older| last_good.delete(&file, &older.hash))?;
            last_good.copies.insert(file, Versions { last, before });
        }
        last_good.make_room();
        while last_good.bytes() > limit
            && let Some((oldest, _)) = last_good.copies.iter().min_by_key(|(_, versions)| versions.last.kept)
        {
            let oldest = oldest.clone();
            tracing::warn!(file = oldest, "its last good version is over `limits.plugins.last_good_bytes` and is removed");
            last_good.remove(&oldest);
        }
        Ok(last_good)
    }

    /// The hash of the last version of a file.
    pub(super) fn hash(&self, file: &str) -> Option<&str> {
        self.copies.get(file).map(|versions| versions.last.hash.as_str())
    }

    /// The hashes of the last version of each file.
    pub(super) fn hashes(&self) -> impl Iterator<Item = &str> {
        self.copies.values().map(|versions| versions.last.hash.as_str())
    }

    /// Keeps this version of a file as its last one, and if there is room the last one as the one before it. When this returns, the machine may
    /// stop.
    ///
    /// # Errors
    /// `Full` or `Io`; the version before it is still kept then.
    pub(super) fn keep(&mut self, file: &str, hash: &str, bytes: &[u8]) -> Result<(), NotKept> {
        if self.hash(file) == Some(hash) {
            return Ok(());
        }
        if bytes.is_empty() {
            // Whoever held no bytes knew of a copy; no component is empty.
            return Err(NotKept::Io(ErrorKind::NotFound.into()));
        }
        let size = bytes.len() as u64;
        // What is kept to go back to makes room.
        let others: u64 = self.copies.iter().filter(|(other, _)| *other != file).map(|(_, versions)| versions.last.bytes).sum();
        if others.saturating_add(size) > self.limit {
            return Err(NotKept::Full(self.limit));
        }
        // Which of two versions is the last one must be told by their times, however quickly they came.
        let before = self.copies.get(file).map(|versions| versions.last.kept + Duration::from_millis(1));
        let kept = before.map_or_else(SystemTime::now, |least| least.max(SystemTime::now()));
        let mut copy = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(&self.directory)?;
        copy.write_all(bytes)?;
        copy.as_file().set_modified(kept)?;
        copy.as_file().sync_all()?;
        copy.persist(self.path(file, hash)).map_err(|error| error.error)?;
        File::open(&self.directory)?.sync_all()?;
        let last = LastGoodCopy { hash: hash.to_owned(), bytes: size, kept };
        let (before, older) = self.copies.remove(file).map_or((None, None), |versions| (Some(versions.last), versions.before));
        self.copies.insert(file.to_owned(), Versions { last, before });
        // To go back makes the version before the last one again.
        if let Some(older) = older.filter(|older| older.hash != hash) {
            self.discard(file, &older.hash);
        }
        self.make_room();
        Ok(())
    }

    /// The bytes of the newest version of a file that is kept and is not that one. A damaged copy is removed.
    ///
    /// # Errors
    /// As `read`.
    pub(super) fn read_another(&mut self, file: &str, than: &str, limit: u64) -> Result<Option<Vec<u8>>, files::Refused> {
        let Some(Versions { last, before }) = self.copies.get(file) else { return Ok(None) };
        if last.hash != than {
            return self.read(file, limit);
        }
        let Some(hash) = before.as_ref().map(|before| before.hash.clone()) else { return Ok(None) };
        let bytes = self.read_copy(file, &hash, limit)?;
        if bytes.is_none() {
            tracing::warn!(file, "the copy of the version before its last good one is damaged and is removed");
            self.copies.entry(file.to_owned()).and_modify(|versions| versions.before = None);
            self.discard(file, &hash);
        }
        Ok(bytes)
    }

    /// The bytes that are kept of a file's last version, if they are what was written. A damaged copy is removed.
    ///
    /// # Errors
    /// They cannot be read now, or are more than a file may have.
    pub(super) fn read(&mut self, file: &str, limit: u64) -> Result<Option<Vec<u8>>, files::Refused> {
        let Some(hash) = self.hash(file).map(str::to_owned) else { return Ok(None) };
        let bytes = self.read_copy(file, &hash, limit)?;
        if bytes.is_none() {
            tracing::warn!(file, "the copy of its last good version is damaged and is removed");
            self.remove(file);
        }
        Ok(bytes)
    }

    /// What is in one copy, if it is what was written.
    fn read_copy(&self, file: &str, hash: &str, limit: u64) -> Result<Option<Vec<u8>>, files::Refused> {
        let bytes = match files::open(&self.path(file, hash)) {
            Ok(open) if files::is_ours(&open)? => files::read(&open, limit)?,
            Ok(_) | Err(files::Refused::NotAFile) => Vec::new(),
            Err(files::Refused::Io(error)) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(refused) => return Err(refused),
        };
        Ok(Some(bytes).filter(|bytes| HEXLOWER.encode(&Sha256::digest(bytes)) == hash))
    }

    /// Forgets a file.
    pub(super) fn remove(&mut self, file: &str) {
        if let Some(Versions { last, before }) = self.copies.remove(file) {
            std::iter::once(last).chain(before).for_each(|copy| self.discard(file, &copy.hash));
        }
    }

    /// Forgets every file but these.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        let gone: Vec<String> = self.copies.keys().filter(|file| !is_there(file)).cloned().collect();
        for file in gone {
            tracing::info!(file, "the file was removed while no server ran, and its last good version goes with it");
            self.remove(&file);
        }
    }

    /// Another limit for what is kept from now on; what is there stays.
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    fn bytes(&self) -> u64 {
        self.copies.values().map(|versions| versions.last.bytes + versions.before.as_ref().map_or(0, |before| before.bytes)).sum()
    }

    /// Takes versions before the last ones away, the oldest first, until the rest is within the limit.
    fn make_room(&mut self) {
        while self.bytes() > self.limit {
            let oldest = self.copies.iter_mut().filter(|(_, versions)| versions.before.is_some());
            let Some((file, versions)) = oldest.min_by_key(|(_, versions)| versions.before.as_ref().map(|before| before.kept)) else {
                return;
            };
            let (file, before) = (file.clone(), versions.before.take());
            if let Some(before) = before {
                self.discard(&file, &before.hash);
            }
        }
    }

    fn discard(&self, file: &str, hash: &str) {
        if let Err(error) = self.delete(file, hash) {
            tracing::warn!(file, %error, "the copy of a version that was good cannot be removed before the next start");
        }
    }

    fn delete(&self, file: &str, hash: &str) -> std::io::Result<()> {
        match std::fs::remove_file(self.path(file, hash)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, file: &str, hash: &str) -> PathBuf {
        let stem = file.strip_suffix(WASM).unwrap_or(file);
        self.directory.join(Path::new(&format!("{stem}.{hash}{WASM}")))
    }
}

/// The file and the hash that the name of a copy tells.
fn parse(name: &str) -> Option<(String, String)> {
    let (stem, hash) = name.strip_suffix(WASM)?.rsplit_once('.')?;
    let is_hash = hash.len() == HASH_CHARS && hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    is_hash.then(|| (format!("{stem}{WASM}"), hash.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const OLD: &[u8] = b"the old version";
    const NEW: &[u8] = b"the new one";

    fn hash(bytes: &[u8]) -> String {
        HEXLOWER.encode(&Sha256::digest(bytes))
    }

    fn open(folder: &Path, limit: u64) -> LastGood {
        LastGood::open(folder.join("last-good"), limit).unwrap()
    }

    fn keep(last_good: &mut LastGood, file: &str, bytes: &[u8]) -> Result<(), NotKept> {
        last_good.keep(file, &hash(bytes), bytes)
    }

    fn kept(last_good: &mut LastGood, file: &str) -> Option<Vec<u8>> {
        last_good.read(file, 100).unwrap()
    }

    fn aged(path: &Path, seconds: u64) {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder.join("last-good")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_next_process_finds_the_newest_version_of_each_file_and_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = open(folder.path(), 1_000);
        for (file, bytes) in [("a.b.wasm", OLD), ("c.wasm", OLD), ("a.b.wasm", NEW), ("a.b.wasm", NEW)] {
            keep(&mut first, file, bytes).unwrap();
        }
        let mut next = open(folder.path(), 1_000);
        assert_eq!((kept(&mut next, "a.b.wasm").as_deref(), kept(&mut next, "c.wasm").as_deref()), (Some(NEW), Some(OLD)));
        assert_eq!((next.hash("a.b.wasm"), next.hash("b.wasm")), (Some(&*hash(NEW)), None));
        assert_eq!(names(folder.path()).len(), 3);
        assert_eq!(next.read_another("a.b.wasm", &hash(NEW), 100).unwrap().as_deref(), Some(OLD));
        assert_eq!(next.read_another("c.wasm", &hash(OLD), 100).unwrap(), None);
        next.retain(|file| file == "c.wasm");
        next.remove("c.wasm");
        assert!(names(folder.path()).is_empty() && kept(&mut next, "c.wasm").is_none());
    }

    #[test]
    fn whenever_the_server_is_killed_the_old_version_or_the_new_one_is_there() {
        let half = format!("{UNFINISHED}x");
        let (old, new) = (format!("p.{}.wasm", hash(OLD)), format!("p.{}.wasm", hash(NEW)));
        let old = (old.as_str(), OLD);
        let new = (new.as_str(), NEW);
        // Before, while the new one is written, when it has its name, and when the old one is removed.
        let moments = [(vec![old], OLD), (vec![old, (&half, &NEW[..4])], OLD), (vec![old, new], NEW), (vec![new], NEW)];
        for (there, expected) in moments {
            let folder = tempfile::tempdir().unwrap();
            std::fs::create_dir(folder.path().join("last-good")).unwrap();
            for ((name, bytes), age) in there.iter().zip([20, 10]) {
                let path = folder.path().join("last-good").join(name);
                std::fs::write(&path, bytes).unwrap();
                aged(&path, age);
            }
            let whole = there.iter().filter(|(name, _)| *name != half).count();
            let mut last_good = open(folder.path(), 1_000);
            assert_eq!(kept(&mut last_good, "p.wasm").as_deref(), Some(expected), "{there:?}");
            assert_eq!(names(folder.path()).len(), whole, "{there:?}");
        }
    }

    #[test]
    fn a_copy_that_is_damaged_or_that_another_user_may_have_written_is_removed_and_never_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = |bytes| folder.path().join("last-good").join(format!("p.{}.wasm", hash(bytes)));
        let damages: [&dyn Fn(); 4] = [
            &|| std::fs::write(path(OLD), &OLD[1..]).unwrap(),
            &|| std::fs::write(path(OLD), "").unwrap(),
            &|| std::fs::remove_file(path(OLD)).unwrap(),
            &|| std::fs::set_permissions(path(OLD), std::fs::Permissions::from_mode(0o666)).unwrap(),
        ];
        for damage in damages {
            keep(&mut open(folder.path(), 1_000), "p.wasm", OLD).unwrap();
            let mut last_good = open(folder.path(), 1_000);
            damage();
            assert_eq!((kept(&mut last_good, "p.wasm"), last_good.hash("p.wasm")), (None, None));
            assert!(names(folder.path()).is_empty());
        }
        keep(&mut open(folder.path(), 1_000), "p.wasm", OLD).unwrap();
        let large = open(folder.path(), 1_000).read("p.wasm", OLD.len() as u64 - 1);
        assert!(matches!(large, Err(files::Refused::TooLarge(_))), "the operator allows no such file any more");
    }

    #[test]
    fn all_copies_together_are_limited_to_the_byte() {
        let folder = tempfile::tempdir().unwrap();
        let limit = (OLD.len() + NEW.len()) as u64;
        let mut last_good = open(folder.path(), limit);
        keep(&mut last_good, "a.wasm", OLD).unwrap();
        keep(&mut last_good, "b.wasm", NEW).unwrap();
        assert!(matches!(keep(&mut last_good, "c.wasm", b"x"), Err(NotKept::Full(_))));
        assert!(matches!(keep(&mut last_good, "b.wasm", &[NEW, b"x"].concat()), Err(NotKept::Full(_))));
        assert_eq!(kept(&mut last_good, "b.wasm").as_deref(), Some(NEW), "what was kept stays");
        keep(&mut last_good, "a.wasm", &OLD[1..]).unwrap();
        keep(&mut last_good, "c.wasm", b"x").unwrap();
        for (age, (file, bytes)) in [("b.wasm", NEW), ("a.wasm", &OLD[1..]), ("c.wasm", b"x")].into_iter().enumerate() {
            aged(&last_good.path(file, &hash(bytes)), 10 - age as u64);
        }
        let mut lowered = open(folder.path(), limit - 1);
        assert_eq!((kept(&mut lowered, "b.wasm"), kept(&mut lowered, "c.wasm").is_some()), (None, true), "the oldest goes");
        let none = open(folder.path(), 0);
        assert!(none.copies.is_empty() && names(folder.path()).is_empty());
    }

    #[test]
    fn one_goes_back_and_forth_between_two_versions_however_quickly_and_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let versions: [&[u8]; 3] = [b"1", b"2", b"3"];
        let mut last_good = open(folder.path(), 1_000);
        versions.iter().for_each(|bytes| keep(&mut last_good, "p.wasm", bytes).unwrap());
        for (last, before) in [(2, 1), (1, 2), (2, 1)] {
            keep(&mut last_good, "p.wasm", versions[last]).unwrap();
            last_good = open(folder.path(), 1_000);
            assert_eq!(kept(&mut last_good, "p.wasm").as_deref(), Some(versions[last]));
            let another = last_good.read_another("p.wasm", &hash(versions[last]), 100).unwrap();
            assert_eq!((another.as_deref(), names(folder.path()).len()), (Some(versions[before]), 2));
        }
        let unkept = last_good.read_another("p.wasm", &hash(b"too large to be kept"), 100).unwrap();
        assert_eq!(unkept.as_deref(), Some(versions[2]), "before what was not kept is what was kept last");
        std::fs::write(last_good.path("p.wasm", &hash(versions[1])), "damaged").unwrap();
        assert_eq!(last_good.read_another("p.wasm", &hash(versions[2]), 100).unwrap(), None);
        assert_eq!((last_good.hash("p.wasm"), names(folder.path()).len()), (Some(&*hash(versions[2])), 1));
    }

    #[test]
    fn what_is_kept_to_go_back_to_takes_no_room_from_a_last_version() {
        let folder = tempfile::tempdir().unwrap();
        let mut last_good = open(folder.path(), 10);
        for (file, bytes) in [("a.wasm", b"a1"), ("b.wasm", b"b1"), ("b.wasm", b"b2"), ("a.wasm", b"a2")] {
            keep(&mut last_good, file, bytes).unwrap();
        }
        assert_eq!(names(folder.path()).len(), 4);
        keep(&mut last_good, "c.wasm", b"1234").unwrap();
        assert_eq!((last_good.bytes(), last_good.copies["b.wasm"].before.is_some()), (10, true), "the oldest goes first");
        keep(&mut last_good, "d.wasm", b"12").unwrap();
        assert_eq!((last_good.bytes(), names(folder.path()).len()), (10, 4));
        assert!(matches!(keep(&mut last_good, "e.wasm", b"1"), Err(NotKept::Full(10))));
    }

    #[test]
    fn a_directory_that_is_gone_is_an_error_and_what_was_kept_counts_until_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut last_good = open(folder.path(), 1_000);
        std::fs::remove_dir_all(folder.path().join("last-good")).unwrap();
        assert!(matches!(keep(&mut last_good, "p.wasm", OLD), Err(NotKept::Io(_))));
        assert_eq!(last_good.hash("p.wasm"), None);
    }

    #[test]
    fn only_a_file_and_a_hash_are_the_name_of_a_copy() {
        let hash = hash(OLD);
        assert_eq!(parse(&format!("a.b.{hash}.wasm")), Some(("a.b.wasm".into(), hash.clone())));
        for name in ["a.wasm", "a.0.wasm", &format!("{hash}.wasm"), &format!("a.{hash}"), &format!("a.{}.wasm", hash.to_uppercase())] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
