//! A restore as it goes, and as it goes wrong: at each of its moves, with each kind of damage.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::{migrations, open};
use super::*;

/// With a second database and a third one, which are not always there.
const PARTS: Parts = Parts {
    databases: &[
        (DATABASE, migrations::STEPS),
        ("second.db", &["CREATE TABLE second (id TEXT)"]),
        ("third.db", &["CREATE TABLE third (id TEXT)"]),
    ],
    folders: &["kept", "more"],
};

/// A backup of a server with the pipeline `saved`, and a `data_dir` of a server with the pipeline `later`.
struct House {
    folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let house = Self { folder: tempfile::tempdir().unwrap() };
        house.put("source", "saved").await;
        house.second("source", "saved");
        house.write("source/kept/saved.wasm", "saved");
        backup::write(&house.path("source"), &PARTS, &house.path("backup")).unwrap();
        house
    }

    /// Also with all that a server leaves beside its database, whole or not.
    async fn with_data() -> Self {
        let house = Self::new().await;
        house.put("data", "later").await;
        house.second("data", "later");
        house.write("data/third.db", "later");
        house.write("data/third.db-wal", "later");
        for name in ["kept/later.wasm", "more/later.wasm", "index/later", "lock", "compiled/code", "cofferdam.db-wal"] {
            house.write(&format!("data/{name}"), "later");
        }
        house
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    async fn put(&self, data_dir: &str, pipeline: &str) {
        open(&self.path(data_dir).join(DATABASE)).unwrap().pipelines.put(pipeline, "{}").await.unwrap();
    }

    fn second(&self, data_dir: &str, id: &str) {
        let mut connection = rusqlite::Connection::open(self.path(data_dir).join("second.db")).unwrap();
        migrations::run(&mut connection, PARTS.steps("second.db").unwrap()).unwrap();
        connection.execute("INSERT INTO second VALUES (?1)", [id]).unwrap();
    }

    fn seconds(&self, data_dir: &Path) -> String {
        let connection = rusqlite::Connection::open(data_dir.join("second.db")).unwrap();
        connection.query_row("SELECT id FROM second", [], |row| row.get(0)).unwrap()
    }

    async fn pipelines(&self, data_dir: &Path) -> Vec<String> {
        let stores = open(&data_dir.join(DATABASE)).unwrap();
        stores.pipelines.all().await.unwrap().into_iter().map(|(id, _)| id).collect()
    }

    fn restore(&self) -> Result<Option<PathBuf>, Error> {
        std::fs::create_dir_all(self.path("data")).unwrap();
        Backup::open(&self.path("backup"), &PARTS)?.restore(&self.path("data"))
    }

    /// Every file of the `data_dir` with its content.
    fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn read(folder: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { read(&path, into) } else { drop(into.insert(path.clone(), std::fs::read(path).unwrap())) }
            }
        }
        let mut content = BTreeMap::new();
        read(&self.path("data"), &mut content);
        content
    }

    async fn is_restored(&self, replaced: Option<PathBuf>) {
        let replaced = replaced.expect("there was something before");
        assert!(replaced.starts_with(self.path("data")));
        let names: Vec<_> = std::fs::read_dir(&replaced).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        for name in [DATABASE, "cofferdam.db-wal", "second.db", "third.db", "third.db-wal", "index", "kept", "more"] {
            assert!(names.iter().any(|found| found == name), "{name} is not among {names:?}");
        }
        std::fs::remove_file(replaced.join("cofferdam.db-wal")).unwrap();
        assert_eq!(self.pipelines(&replaced).await, ["later"]);
        assert_eq!(self.pipelines(&self.path("data")).await, ["saved"]);
        assert_eq!((self.seconds(&replaced), self.seconds(&self.path("data"))), ("later".into(), "saved".into()));
        assert_eq!(std::fs::read(self.path("data/third.db")).unwrap(), b"", "as if it had never been there");
        let is_there = |name: &str| self.path("data").join(name).exists();
        assert!(is_there("kept/saved.wasm") && !is_there("kept/later.wasm") && !is_there("more/later.wasm") && !is_there("index/later"));
        assert!(is_there("lock") && is_there("compiled/code") && !is_there(STAGED) && !is_there(PARTIAL));
        assert_eq!(finish(&self.path("data"), &PARTS).unwrap(), None, "there is nothing left to do");
    }
}

#[tokio::test]
async fn what_was_there_is_moved_aside_and_the_backup_is_in_its_place() {
    let house = House::with_data().await;
    let replaced = house.restore().unwrap();
    house.is_restored(replaced).await;
}

#[tokio::test]
async fn where_nothing_was_nothing_is_moved_aside() {
    let house = House::new().await;
    assert_eq!(house.restore().unwrap(), None);
    assert_eq!(house.pipelines(&house.path("data")).await, ["saved"]);
    let again = house.restore().unwrap().expect("now there is something");
    let third = house.restore().unwrap().expect("and again");
    assert_ne!(again, third);
}

#[tokio::test]
async fn a_restore_that_is_cut_off_between_any_two_moves_is_carried_on_at_the_next_start() {
    let mut cut_after = 0;
    loop {
        let house = House::with_data().await;
        let (data, partial) = (house.path("data"), house.path("data").join(PARTIAL));
        Backup::open(&house.path("backup"), &PARTS).unwrap().stage(&partial).unwrap();
        files::rename_new(&partial, &data.join(STAGED)).unwrap();
        let moved = (0..cut_after).map_while(|_| next_move(&data, &PARTS)).map(|(from, to)| std::fs::rename(from, to).unwrap()).count();
        let all = moved < cut_after;
        let replaced = finish(&data, &PARTS).unwrap();
        house.is_restored(replaced).await;
        if all {
            assert!(moved >= 12, "only {moved} moves");
            break;
        }
        cut_after += 1;
    }
}

#[tokio::test]
async fn a_restore_that_is_cut_off_before_its_last_check_has_not_happened() {
    let house = House::with_data().await;
    let before = house.content();
    let backup = Backup::open(&house.path("backup"), &PARTS).unwrap();
    backup.stage(&house.path("data").join(PARTIAL)).unwrap();
    assert_eq!(finish(&house.path("data"), &PARTS).unwrap(), None);
    assert_eq!(house.content(), before);
}

#[tokio::test]
async fn what_is_damaged_is_refused_and_changes_nothing() {
    let house = House::with_data().await;
    let before = house.content();
    let database = house.path("backup").join(DATABASE);
    let whole = std::fs::read(&database).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let longer = [&whole[..], b"x"].concat();
    let refused = |why: &str| {
        let error = house.restore().unwrap_err();
        assert!(matches!(error, Error::NotWhole { .. }), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
        assert_eq!(house.content(), before);
    };
    for torn in [&flipped[..], &longer, &whole[..whole.len() / 2], b""] {
        std::fs::write(&database, torn).unwrap();
        refused("checksum");
    }
    std::fs::remove_file(&database).unwrap();
    refused("cannot be read");
    std::fs::create_dir(&database).unwrap();
    refused("cannot be read");
    std::fs::remove_dir(&database).unwrap();
    std::fs::write(&database, &whole).unwrap();
    std::fs::remove_file(house.path("backup/kept/saved.wasm")).unwrap();
    refused("kept/saved.wasm");
}

#[tokio::test]
async fn a_manifest_that_is_missing_torn_or_names_other_places_is_refused() {
    let house = House::with_data().await;
    let before = house.content();
    let path = house.path("backup/manifest.json");
    let whole: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let text = whole.to_string();
    let with = |place: &str, value: Value| {
        let mut changed = whole.clone();
        *changed.pointer_mut(place).unwrap() = value;
        changed.to_string()
    };
    let mut twice = whole.clone();
    twice["files"].as_array_mut().unwrap().push(whole["files"][0].clone());
    let cases = [
        (String::new(), "torn"),
        (text[..text.len() / 2].into(), "torn"),
        ("[]".into(), "torn"),
        ("{}".into(), "torn"),
        (with("/files", json!([])), "database"),
        (twice.to_string(), "database"),
        (with("/files/2/path", json!("../escaped")), "names a file"),
        (with("/files/2/path", json!("kept/../../escaped")), "names a file"),
        (with("/files/2/path", json!("/etc/escaped")), "names a file"),
        (with("/files/2/path", json!("")), "names a file"),
        (with("/files/0/version", json!(1)), "version"),
        (with("/files/0/version", Value::Null), "rightly"),
        (with("/files/2/path", json!("second.db")), "rightly"),
        (with("/format", json!(2)), "later release"),
        (with("/files/0/version", json!(99)), "later release"),
        (with("/files/2/path", json!("future/file")), "later release"),
    ];
    for (text, why) in cases {
        std::fs::write(&path, &text).unwrap();
        let error = house.restore().unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
        assert_eq!(house.content(), before, "{text}");
    }
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(house.restore(), Err(Error::NotWhole { .. })));
    assert!(matches!(Backup::open(&house.path("nowhere"), &PARTS), Err(Error::NotWhole { .. })));
    assert_eq!(house.content(), before);
    assert!(!house.path("escaped").exists() && !house.path("data/escaped").exists());
}

#[tokio::test]
async fn a_backup_of_an_earlier_release_is_brought_up_to_date_when_it_is_opened() {
    let house = House { folder: tempfile::tempdir().unwrap() };
    std::fs::create_dir(house.path("source")).unwrap();
    let mut connection = rusqlite::Connection::open(house.path("source").join(DATABASE)).unwrap();
    migrations::run(&mut connection, &migrations::STEPS[..1]).unwrap();
    connection.execute("INSERT INTO pipelines VALUES ('old', '{}')", []).unwrap();
    drop(connection);
    let manifest = backup::write(&house.path("source"), &PARTS, &house.path("backup")).unwrap();
    assert_eq!(manifest.files[0].version, Some(1));
    house.restore().unwrap();
    assert_eq!(house.pipelines(&house.path("data")).await, ["old"]);
}
