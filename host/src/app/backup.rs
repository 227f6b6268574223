//! Backup and restore of a `data_dir`, as the commands of these names do them. A backup needs no lock, because it reads one moment of the
//! database beside the server; a restore takes the lock, because two that write would each undo the other.

use std::path::Path;

use anyhow::{Context, bail};

use super::{KEPT, locked};
use crate::config::Config;
use crate::files::{self, Exposed};
use crate::storage::sqlite::{backup, restore};

/// Backs up what the configuration's `data_dir` holds and cannot be made again. Gives what to tell the operator.
///
/// # Errors
/// What is in the way; no part of a backup is left then.
pub fn back_up(config: &Config, to: &Path) -> anyhow::Result<String> {
    let manifest = backup::write(&config.data_dir, &KEPT, to).context("there is no backup")?;
    let files = manifest.files.iter().map(|file| format!("\n  {} ({} bytes)", file.path, file.bytes)).collect::<String>();
    Ok(format!("{} is a backup of {}:{files}\n", to.display(), config.data_dir.display()))
}

/// Puts a backup in the place of what the configuration's `data_dir` holds. Gives what to tell the operator.
///
/// # Errors
/// What is in the way; `data_dir` is as it was then.
pub fn restore(config: &Config, from: &Path) -> anyhow::Result<String> {
    let (data_dir, nothing) = (&config.data_dir, "nothing was restored");
    let backup = restore::Backup::open(from, &KEPT).context(nothing)?;
    let exposed = files::private_directory(data_dir).with_context(|| format!("data_dir {} cannot be used", data_dir.display()))?;
    if let Some(Exposed::Owner(owner)) = exposed {
        bail!(
            "{nothing}: data_dir {} belongs to the user {owner}, who could not read what another user restores; run this as that user",
            data_dir.display()
        );
    }
    let _lock = locked(data_dir).context("nothing was restored; a server must be stopped before its data is exchanged")?;
    let replaced = backup.restore(data_dir).context(nothing)?;
    let before = replaced.map(|path| format!("\nWhat was there before is in {}.", path.display())).unwrap_or_default();
    let manifest = &backup.manifest;
    Ok(format!("{} holds the backup of {}, made by release {}.{before}\n", data_dir.display(), manifest.created, manifest.release))
}
