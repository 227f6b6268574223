//! A copy of a database as it is at one moment, while another process may write it. A writer never waits for it: it reads one snapshot, in
//! small steps, and the journal grows meanwhile by what is written.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::super::database::LOCKED_TIME;
use super::super::error::Error;
use crate::files;

/// Pages read at once, 1 MiB.
const PAGES: i32 = 256;

/// Copies a database of at most that version into a new file, which then needs no other file beside it. Gives the version of its tables.
///
/// # Errors
/// It cannot be read, or is of a later release or damaged; the copy cannot be written.
pub(super) fn copy(from: &Path, to: &Path, known: usize) -> Result<i64, Error> {
    let reading = |source| Error::Open { path: from.into(), source };
    let mut source = to_read(from)?;
    // Held to the end: without it the copying would begin anew with everything that is written meanwhile.
    let moment = source.transaction().map_err(reading)?;
    let version = version(&moment).map_err(reading)?;
    let known = known as i64;
    if version > known {
        return Err(Error::Newer { found: version, known });
    }
    let writing = |source| Error::Copy { path: to.into(), source };
    files::private_file(to).map_err(|source| Error::Folder { path: to.into(), source })?;
    let mut target = Connection::open(to).map_err(writing)?;
    {
        let copying = Backup::new(&moment, &mut target).map_err(writing)?;
        loop {
            match copying.step(PAGES).map_err(writing)? {
                StepResult::More => {}
                StepResult::Done => break,
                // Whoever locks a whole database holds it for long, and the copy has a file of its own.
                _ => return Err(Error::Locked(from.into())),
            }
        }
    }
    // The copy says of itself, as its original does, that it has a journal in another file.
    target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(())).map_err(writing)?;
    let sound: String = target.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(writing)?;
    if sound != "ok" {
        return Err(Error::Damaged { path: from.into(), why: sound });
    }
    target.close().map_err(|(_, error)| writing(error))?;
    Ok(version)
}

/// The version of a database's tables.
pub(in super::super) fn version_of(path: &Path) -> Result<i64, Error> {
    version(&to_read(path)?).map_err(|source| Error::Open { path: path.into(), source })
}

fn to_read(path: &Path) -> Result<Connection, Error> {
    let open = || {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(LOCKED_TIME)?;
        Ok(connection)
    };
    open().map_err(|source| Error::Open { path: path.into(), source })
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}
