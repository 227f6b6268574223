//! Who has `data_dir`. `lock` is for the one process that changes it. `in-use` is shared by all servers that have its files open, each until its
//! process ends: one that has freed `lock` for the next still adds to the database while it finishes its streams, so whatever puts other files
//! in the place of those needs `in-use` for itself. Only whoever has `lock` takes `in-use`.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use crate::files;
use crate::storage::sqlite::backup::Parts;
use crate::storage::sqlite::restore;

/// What of `data_dir` a backup has beside the databases: the folders whose files cannot be made again. Machine code and vector indexes can.
pub(super) const KEPT: Parts = Parts::with_folders(&["last-good"]);

/// How often a start looks whether another server has stopped.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Who may have it.
const ANOTHER: &str = "another server";
const DRAINING: &str = "a server that finishes its last requests";

/// Nobody else has the directory while this lives.
pub struct Alone {
    // Freed first, so that whoever has `lock` next finds it free.
    _in_use: File,
    _lock: File,
}

/// Takes the data directory for a server, and waits so long for others to stop. A restore that was cut off is carried on. Gives the lock, and says
/// whether it had to wait.
pub(super) async fn handed_over(data_dir: &Path, time: Duration) -> anyhow::Result<(File, bool)> {
    let (lock, in_use, end) = (lock_file(data_dir)?, in_use_file(data_dir)?, Instant::now() + time);
    let wait = async |try_lock: &dyn Fn() -> Result<(), TryLockError>, by: &str| {
        let mut waited = false;
        loop {
            match try_lock() {
                Err(TryLockError::WouldBlock) if Instant::now() < end => {
                    if !std::mem::replace(&mut waited, true) {
                        tracing::warn!("{}; waiting up to {time:?} until that stops", used_by(by, data_dir));
                    }
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                tried => return tried.map(|()| waited),
            }
        }
    };
    let mut waited = wait(&|| lock.try_lock(), ANOTHER).await.with_context(|| not_shared(data_dir))?;
    if restore::is_cut_off(data_dir) {
        let refused = || format!("a restore cannot be finished: {}", still_open(data_dir));
        waited |= wait(&|| in_use.try_lock(), DRAINING).await.with_context(refused)?;
    }
    if let Some(before) = restore::finish(data_dir, &KEPT).context("a restore cannot be finished")? {
        tracing::warn!(before = %before.display(), "a restore that was cut off is finished now");
    }
    // A command that ends just now may still have it.
    waited |= wait(&|| in_use.try_lock_shared(), "a command").await.with_context(|| used_by("a command", data_dir))?;
    // Never closed: threads that nobody waits for may write until the process ends.
    std::mem::forget(in_use);
    Ok((lock, waited))
}

/// Takes the data directory for this process alone.
///
/// # Errors
/// A server has it, also one that only finishes what runs; or it cannot be used.
pub fn locked(data_dir: &Path) -> anyhow::Result<Alone> {
    let (lock, in_use) = (lock_file(data_dir)?, in_use_file(data_dir)?);
    lock.try_lock().with_context(|| not_shared(data_dir))?;
    in_use.try_lock().with_context(|| still_open(data_dir))?;
    Ok(Alone { _in_use: in_use, _lock: lock })
}

fn used_by(by: &str, data_dir: &Path) -> String {
    format!("data_dir {} is in use by {by}", data_dir.display())
}

fn not_shared(data_dir: &Path) -> String {
    format!("{}; give each its own", used_by(ANOTHER, data_dir))
}

fn still_open(data_dir: &Path) -> String {
    format!("{}; try again when it has ended", used_by(DRAINING, data_dir))
}

/// Makes the data directory if it is missing, and closes it to other users: it holds what clients uploaded and machine code that is trusted,
/// and whoever can open the lock can keep every server from starting.
fn lock_file(data_dir: &Path) -> anyhow::Result<File> {
    let exposed = files::private_directory(data_dir).with_context(|| format!("data_dir {} cannot be made", data_dir.display()))?;
    if let Some(exposed) = exposed {
        tracing::warn!(data_dir = %data_dir.display(), "other users can reach data_dir: {exposed}");
    }
    private_file(data_dir, "lock")
}

/// In a directory that has its lock file.
fn in_use_file(data_dir: &Path) -> anyhow::Result<File> {
    private_file(data_dir, "in-use")
}

fn private_file(data_dir: &Path, name: &str) -> anyhow::Result<File> {
    files::private_file(&data_dir.join(name)).with_context(|| format!("data_dir {} cannot be written", data_dir.display()))
}
