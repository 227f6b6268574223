//! The connections to the file: one that writes and a few that read, shared by everything that is kept in it.
//! A write that was acknowledged survives a killed process and a power cut, and a reader never waits for a writer.

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};

use super::error::Error;
use super::migrations;
use crate::files;

/// Readers at once. A report over a year holds one for a while, and searches must not wait for it.
pub(super) const READERS: usize = 3;

/// How long to wait for another program that has the file locked, such as an operator's `sqlite3`.
pub(super) const LOCKED_TIME: Duration = Duration::from_secs(5);
/// Between two tries where SQLite itself does not wait.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// The open file.
pub(super) struct Database {
    /// tokio's lock because it is fair: whoever deletes much takes it again and again, and others come in between.
    writer: tokio::sync::Mutex<Connection>,
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

/// A reading connection, on loan.
pub(super) struct Reader<'a> {
    database: &'a Database,
    /// None only while it is given back.
    connection: Option<Connection>,
}

impl Database {
    /// Blocks, as everything here does but `on_blocking_thread`.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        for_us_alone(path).map_err(|source| Error::Folder { path: path.into(), source })?;
        let opened = |connection: rusqlite::Result<Connection>| connection.map_err(|source| Error::Open { path: path.into(), source });
        let mut writer = opened(connect(path))?;
        migrations::run(&mut writer, migrations::STEPS)?;
        let readers = (0..READERS).map(|_| opened(connect_to_read(path))).collect::<Result<_, _>>()?;
        Ok(Self { writer: tokio::sync::Mutex::new(writer), idle: Mutex::new(readers), returned: Condvar::new() })
    }

    /// The connection that writes. Whoever has it alone writes in this process, so take it last and for one transaction.
    pub(super) fn writer(&self) -> tokio::sync::MutexGuard<'_, Connection> {
        self.writer.blocking_lock()
    }

    /// A connection that reads.
    pub(super) fn reader(&self) -> Reader<'_> {
        let mut idle = lock(&self.idle);
        loop {
            if let Some(connection) = idle.pop() {
                return Reader { database: self, connection: Some(connection) };
            }
            idle = self.returned.wait(idle).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Does work on a thread that may block. It is done to its end even if nobody waits for it any more.
    pub(super) async fn on_blocking_thread<T, E, F>(self: &Arc<Self>, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error>,
        F: FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    {
        let database = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&database)).await;
        done.unwrap_or_else(|e| Err(Error::Ended(e))).map_err(E::from)
    }
}

/// Makes the file before SQLite does, which gives its journals the modes that the file has.
pub(super) fn for_us_alone(path: &Path) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    files::private_file(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    ["-wal", "-shm", "-journal"].iter().try_for_each(|journal| files::tighten(&path.with_file_name(format!("{name}{journal}"))))
}

pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(LOCKED_TIME)?;
    use_wal(&connection)?;
    // FULL costs one fsync for each commit, and keeps what was acknowledged through a power cut.
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    Ok(connection)
}

/// For this statement alone SQLite may refuse at once where others wait, because two that both want it would wait for each other
/// (<https://sqlite.org/c3ref/busy_handler.html>).
#[expect(clippy::disallowed_methods, reason = "whoever opens a database blocks, and SQLite has no event for it")]
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match connection.execute_batch("PRAGMA journal_mode = WAL;") {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begun.elapsed() < LOCKED_TIME => {
                std::thread::sleep(BUSY_PAUSE);
            }
            done => return done,
        }
    }
}

fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    connection.execute_batch("PRAGMA query_only = ON;")?;
    Ok(connection)
}

/// A panic elsewhere leaves a list of connections that are whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deref for Reader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("it is given back only when it is dropped")
    }
}

impl DerefMut for Reader<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is given back only when it is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        lock(&self.database.idle).extend(self.connection.take());
        self.database.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_file_is_made_with_its_folder_and_is_durable() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("data/cofferdam.db")).unwrap();
        for connection in [&*database.writer(), &*database.reader()] {
            let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
            assert_eq!(pragma("journal_mode"), "wal".to_owned().into());
            assert_eq!(pragma("synchronous"), 2.into());
            assert_eq!(pragma("foreign_keys"), 1.into());
            assert_eq!(pragma("user_version"), i64::try_from(migrations::STEPS.len()).unwrap().into());
        }
    }

    #[test]
    fn the_file_and_its_journals_are_for_their_owner_alone_also_if_they_were_open_to_others() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cofferdam.db");
        for _ in 0..2 {
            let _database = Database::open(&path).unwrap();
            let entries: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(entries.len(), 3, "{entries:?}");
            for entry in &entries {
                assert_eq!(std::fs::metadata(entry).unwrap().permissions().mode() & 0o777, 0o600, "{}", entry.display());
                // As an earlier version left them.
                std::fs::set_permissions(entry, std::fs::Permissions::from_mode(0o644)).unwrap();
            }
        }
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cofferdam.db");
        std::fs::write(&path, "this is a text of more than sixteen bytes").unwrap();
        let error = Database::open(&path).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::Open { .. }) && error.to_string().contains("cofferdam.db"), "{error:?}");
    }

    #[test]
    fn a_newer_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cofferdam.db");
        Database::open(&path).unwrap().writer().pragma_update(None, "user_version", 99).unwrap();
        assert!(matches!(Database::open(&path), Err(Error::Newer { found: 99, .. })));
        let version: i64 = Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 99);
    }

    #[test]
    fn processes_that_open_a_fresh_file_at_once_agree() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cofferdam.db");
        let version = |database: Database| -> i64 { database.reader().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap() };
        std::thread::scope(|scope| {
            let openers: Vec<_> = (0..4).map(|_| scope.spawn(|| Database::open(&path).map(version))).collect();
            assert!(openers.into_iter().all(|opener| opener.join().unwrap().unwrap() == migrations::STEPS.len() as i64));
        });
    }

    #[test]
    fn a_reader_cannot_write_and_goes_on_beside_an_open_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("cofferdam.db")).unwrap();
        assert!(database.reader().execute("INSERT INTO pipelines VALUES ('a', '{}')", []).is_err());
        let mut writer = database.writer();
        let transaction = writer.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        transaction.execute("INSERT INTO pipelines VALUES ('a', '{}')", []).unwrap();
        let count = |reader: &Reader<'_>| reader.query_row("SELECT count(*) FROM pipelines", [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(count(&database.reader()), 0);
        transaction.commit().unwrap();
        assert_eq!(count(&database.reader()), 1);
    }

    #[test]
    fn a_reader_that_is_given_back_serves_whoever_waits() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("cofferdam.db")).unwrap();
        let all: Vec<_> = (0..READERS).map(|_| database.reader()).collect();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(database.reader()));
            drop(all);
            waiting.join().unwrap();
        });
        assert_eq!(lock(&database.idle).len(), READERS);
    }
}
