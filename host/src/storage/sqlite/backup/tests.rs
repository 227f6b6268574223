//! A backup as it is made: of one moment, whole or not at all, and never in the place of anything.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::storage::{Stores, sqlite};

const PARTS: Parts = Parts::with_folders(&["kept"]);

/// A folder with a `data_dir` in it, and a place for backups beside that.
struct House {
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn open(&self) -> Stores {
        sqlite::open(&self.path("data").join(DATABASE)).unwrap()
    }

    fn back_up(&self, name: &str) -> Result<Manifest, Error> {
        write(&self.path("data"), &PARTS, &self.path(name))
    }

    /// What lies beside the data, hidden names included.
    fn beside(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "data").collect();
        names.sort();
        names
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn pipelines(database: &Path) -> Vec<(String, String)> {
    let connection = rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut rows = connection.prepare("SELECT id, json FROM pipelines ORDER BY id").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn a_backup_is_one_file_with_all_that_was_written_and_for_its_owner_alone() {
    let house = House::new();
    let stores = house.open();
    stores.pipelines.put("a", "{}").await.unwrap();
    let manifest = house.back_up("b").unwrap();
    stores.pipelines.put("b", "{}").await.unwrap();
    assert_eq!(names(&house.path("b")), [DATABASE, "manifest.json"]);
    assert_eq!(pipelines(&house.path("b").join(DATABASE)), [("a".into(), "{}".into())]);
    assert_eq!(names(&house.path("b")), [DATABASE, "manifest.json"], "to read it makes no file beside it");
    for (name, mode) in [("b", 0o700), ("b/cofferdam.db", 0o600), ("b/manifest.json", 0o600)] {
        assert_eq!(std::fs::metadata(house.path(name)).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
    let bytes = std::fs::metadata(house.path("b").join(DATABASE)).unwrap().len();
    assert_eq!(manifest.files.iter().map(|file| (file.path.as_str(), file.bytes)).collect::<Vec<_>>(), [(DATABASE, bytes)]);
    assert_eq!(Manifest::read(&house.path("b"), &PARTS).unwrap(), manifest);
    assert_eq!(house.beside(), ["b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_of_one_moment_while_a_server_writes() {
    let house = House::new();
    let pipelines_store = house.open().pipelines;
    let text = |n: usize| format!("{n} {}", "x".repeat(100_000));
    pipelines_store.put("a", &text(0)).await.unwrap();
    pipelines_store.put("b", &text(0)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writing = tokio::spawn(async move {
        let mut n = 0;
        while !stopped.load(Ordering::SeqCst) {
            n += 1;
            pipelines_store.put("a", &text(n)).await.unwrap();
            pipelines_store.put("b", &text(n)).await.unwrap();
        }
        n
    });
    let mut moments = Vec::new();
    for name in ["1", "2", "3", "4", "5"] {
        tokio::task::block_in_place(|| house.back_up(name)).unwrap();
        let numbers: Vec<usize> =
            pipelines(&house.path(name).join(DATABASE)).iter().map(|(_, json)| json.split(' ').next().unwrap().parse().unwrap()).collect();
        assert!(numbers[0] == numbers[1] || numbers[0] == numbers[1] + 1, "{numbers:?}");
        moments.push(numbers[0]);
    }
    stop.store(true, Ordering::SeqCst);
    let written = writing.await.unwrap();
    assert!(moments.is_sorted() && moments.iter().all(|moment| *moment <= written), "{moments:?} of {written}");
}

#[test]
fn where_no_server_ran_there_is_nothing_to_back_up_and_nothing_is_made() {
    let house = House::new();
    assert!(matches!(house.back_up("b"), Err(Error::Nothing(_))));
    assert!(house.beside().is_empty() && !house.path("data").exists());
}

#[test]
fn what_is_there_is_never_written_over() {
    let house = House::new();
    drop(house.open());
    std::fs::write(house.path("file"), "kept").unwrap();
    std::fs::create_dir(house.path("folder")).unwrap();
    symlink("nowhere", house.path("link")).unwrap();
    for name in ["file", "folder", "link", "folder/..", "data"] {
        assert!(matches!(house.back_up(name), Err(Error::Exists(_))), "{name}");
    }
    assert!(matches!(house.back_up("missing/b"), Err(Error::NoParent(_))));
    assert!(matches!(house.back_up("file/b"), Err(Error::NoParent(_))));
    assert_eq!(std::fs::read(house.path("file")).unwrap(), b"kept");
    assert_eq!(house.beside(), ["file", "folder", "link"]);
    house.back_up("b").unwrap();
    assert!(matches!(house.back_up("b"), Err(Error::Exists(_))));
    Manifest::read(&house.path("b"), &PARTS).unwrap();
}

#[test]
fn what_a_killed_backup_left_is_taken_over_and_what_a_running_one_has_is_not() {
    let house = House::new();
    drop(house.open());
    let left = house.path(".b.cofferdam-partial");
    std::fs::create_dir_all(left.join("kept/old")).unwrap();
    std::fs::write(left.join(DATABASE), "half").unwrap();
    let running = File::open(&left).unwrap();
    running.lock().unwrap();
    assert!(matches!(house.back_up("b"), Err(Error::Busy(_))));
    assert_eq!(std::fs::read(left.join(DATABASE)).unwrap(), b"half");
    house.back_up("c").unwrap();
    drop(running);
    house.back_up("b").unwrap();
    assert_eq!(names(&house.path("b")), [DATABASE, "manifest.json"]);
    assert_eq!(house.beside(), ["b", "c"]);
}

#[test]
fn a_backup_that_fails_leaves_nothing() {
    let house = House::new();
    drop(house.open());
    let database = house.path("data").join(DATABASE);
    rusqlite::Connection::open(&database).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = house.back_up("b").unwrap_err();
    assert!(matches!(error, Error::Database(sqlite::Error::Newer { found: 99, .. })), "{error:?}");
    assert!(house.beside().is_empty());
    // A page in its middle that is no page.
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 4096].fill(0x5a);
    bytes[60..64].copy_from_slice(&1_u32.to_be_bytes());
    std::fs::write(&database, bytes).unwrap();
    assert!(matches!(house.back_up("b"), Err(Error::Database(_))));
    std::fs::write(&database, "this is a text of more than sixteen bytes").unwrap();
    assert!(matches!(house.back_up("b"), Err(Error::Database(sqlite::Error::Open { .. }))));
    assert!(house.beside().is_empty());
}

/// The database and its journal as SIGKILL leaves them: nobody has put the journal into the file.
#[tokio::test]
async fn what_a_killed_server_wrote_is_in_the_backup() {
    let (alive, killed) = (House::new(), House::new());
    let stores = alive.open();
    stores.pipelines.put("a", "{}").await.unwrap();
    std::fs::create_dir(killed.path("data")).unwrap();
    for name in [DATABASE, "cofferdam.db-wal"] {
        std::fs::copy(alive.path("data").join(name), killed.path("data").join(name)).unwrap();
    }
    killed.back_up("b").unwrap();
    assert_eq!(pipelines(&killed.path("b").join(DATABASE)), [("a".into(), "{}".into())]);
    assert_eq!(killed.open().pipelines.all().await.unwrap(), [("a".into(), "{}".into())], "and it is where it was");
}

#[test]
fn folders_are_copied_with_their_regular_files_alone() {
    let house = House::new();
    drop(house.open());
    let kept = house.path("data").join("kept");
    std::fs::create_dir_all(kept.join("deeper")).unwrap();
    std::fs::write(kept.join("deeper/one.wasm"), "one").unwrap();
    std::fs::write(kept.join("two.wasm"), "two").unwrap();
    std::fs::write(kept.join(".copying-three"), "th").unwrap();
    symlink("/etc/hostname", kept.join("link")).unwrap();
    let mut files: Vec<_> = house.back_up("b").unwrap().files.into_iter().map(|file| (file.path, file.bytes)).collect();
    files.sort();
    assert_eq!(files[1..], [("kept/deeper/one.wasm".into(), 3), ("kept/two.wasm".into(), 3)]);
    assert_eq!(std::fs::read(house.path("b/kept/deeper/one.wasm")).unwrap(), b"one");
    assert_eq!(names(&house.path("b/kept")), ["deeper", "two.wasm"]);
}
