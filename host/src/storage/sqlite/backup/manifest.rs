//! What a backup says of itself: the release and the version of the tables that it was made from, and each file with its checksum.
//! It is written last, so a directory without it is no backup; what it names is checked before anything is restored.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::DATABASE;
use super::error::Error;
use super::parts::Parts;
use crate::files;

const NAME: &str = "manifest.json";
/// Of this file itself. What a later one may mean is not known here.
const FORMAT: u32 = 1;
/// Far more than the files that there may be.
const BYTES_MAX: u64 = 4 << 20;
/// Read at once while a file is copied.
const BLOCK: usize = 256 << 10;

/// The content of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// The release that made it.
    pub release: String,
    /// When, in UTC, such as 20261126T214500Z.
    pub created: String,
    pub files: Vec<Entry>,
}

/// One file of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Below the backup's directory, with `/`.
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
    /// Of a database's tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

impl Manifest {
    pub(super) fn new(files: Vec<Entry>) -> Self {
        Self { format: FORMAT, release: env!("CARGO_PKG_VERSION").into(), created: now(), files }
    }

    pub(super) fn write(&self, folder: &Path) -> Result<(), Error> {
        let path = folder.join(NAME);
        let text = serde_json::to_vec_pretty(self).expect("texts and numbers");
        let written = || {
            let mut file = files::private_file(&path)?;
            file.write_all(&text)?;
            file.sync_all()
        };
        written().map_err(Error::io("cannot write", &path))
    }

    /// Reads what a backup of those parts says of itself.
    ///
    /// # Errors
    /// It is no whole backup, or a later release made it.
    pub(in super::super) fn read(folder: &Path, parts: &Parts) -> Result<Self, Error> {
        let not_whole = |why: String| Error::NotWhole { path: folder.into(), why };
        let bytes = files::open(&folder.join(NAME)).and_then(|file| files::read(&file, BYTES_MAX));
        let bytes = bytes.map_err(|error| not_whole(format!("its {NAME} cannot be read: {error}")))?;
        let head: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| not_whole(format!("its {NAME} is torn: {error}")))?;
        if head["format"].as_u64().is_some_and(|format| format > u64::from(FORMAT)) {
            let release = head["release"].as_str().unwrap_or("unknown").into();
            return Err(Error::Later { path: folder.into(), release });
        }
        let manifest: Self = serde_json::from_value(head).map_err(|error| not_whole(format!("its {NAME} is torn: {error}")))?;
        for Entry { path, version, .. } in &manifest.files {
            if !is_plain(Path::new(path)) {
                return Err(not_whole(format!("it names a file `{path}`")));
            }
            let known = parts.steps(path).map(|steps| steps.len() as i64);
            if known.is_some() != version.is_some() && parts.has(path) {
                return Err(not_whole(format!("it does not say rightly whether `{path}` is a database")));
            }
            if !parts.has(path) || version > &known {
                return Err(Error::Later { path: folder.into(), release: manifest.release });
            }
        }
        let mut paths: Vec<&str> = manifest.files.iter().map(|entry| entry.path.as_str()).collect();
        paths.sort_unstable();
        if paths.windows(2).any(|pair| pair[0] == pair[1]) || !paths.contains(&DATABASE) {
            return Err(not_whole("it does not name just one database".into()));
        }
        Ok(manifest)
    }
}

/// The present moment as a part of a name.
pub(in super::super) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Whether a path leads nowhere but downwards.
fn is_plain(path: &Path) -> bool {
    let mut parts = path.components();
    path.components().next().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Copies a file and gives its checksum: what was written is what was summed. The copy is on the disk when this returns.
pub(in super::super) fn copy_file(mut from: File, to: &Path, path: &str) -> io::Result<Entry> {
    let mut copy = files::private_file(to)?;
    let (mut sum, mut bytes, mut block) = (Sha256::new(), 0, vec![0; BLOCK]);
    loop {
        let read = from.read(&mut block)?;
        if read == 0 {
            break;
        }
        sum.update(&block[..read]);
        copy.write_all(&block[..read])?;
        bytes += read as u64;
    }
    copy.sync_all()?;
    Ok(entry(path, bytes, sum))
}

/// The entry of a file that is there already, which is then on the disk.
pub(super) fn entry_of(file: &Path, path: &str) -> io::Result<Entry> {
    let mut open = File::open(file)?;
    open.sync_all()?;
    let (mut sum, mut bytes, mut block) = (Sha256::new(), 0, vec![0; BLOCK]);
    loop {
        let read = open.read(&mut block)?;
        if read == 0 {
            return Ok(entry(path, bytes, sum));
        }
        sum.update(&block[..read]);
        bytes += read as u64;
    }
}

fn entry(path: &str, bytes: u64, sum: Sha256) -> Entry {
    Entry { path: path.into(), bytes, sha256: HEXLOWER.encode(&sum.finalize()), version: None }
}
