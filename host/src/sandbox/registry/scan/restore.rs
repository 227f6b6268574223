//! The last good versions of files, as the scanner uses them: one serves while its file is tried after a restart, and on if the file is refused.
//! Invariant: what serves is kept before it is published, and what is kept passes admission again before it serves.

use std::path::Path;
use std::time::Instant;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::Scanner;
use super::words::{told, unreadable};
use crate::sandbox::refusal::Refusal;
use crate::sandbox::registry::known::{Backoff, Restore};
use crate::sandbox::registry::work::{Done, Job};

impl Scanner {
    /// Queues the last good version of a file of which nothing is live, as after a restart: it serves while the file is tried, and on if the
    /// file is refused.
    pub(super) fn restore(&mut self, file: &str) -> Result<(), Refusal> {
        let Some(hash) = self.last_good.hash(file).map(str::to_owned) else {
            self.known(file).restore = Restore::Over(None);
            return Ok(());
        };
        if self.known(file).hash == hash {
            // What the file holds is tried as the file. Another one may take its place while that lasts.
            return Ok(());
        }
        self.known(file).restore = Restore::Over(None);
        let Some(bytes) = self.last_good.read(file, self.limits.file_bytes).map_err(unreadable)? else { return Ok(()) };
        let job = self.job(file, hash, &bytes, true)?;
        self.work.add(job);
        self.known(file).restore = Restore::Loading;
        Ok(())
    }

    pub(super) fn last_good_settled(&mut self, job: Job, done: Done) {
        let Some(known) = self.files.get_mut(&job.file).filter(|known| matches!(known.restore, Restore::Loading)) else { return };
        match done {
            // Its file was admitted or went away.
            Done::Aborted => {}
            Done::Again(lane) => self.work.add(Job { lane, ..job }),
            Done::Refused(refusal) => self.not_restored(&job.file, refusal),
            Done::Admitted(plugin, _) => {
                let (file, hash, version) = (job.file, job.hash, &*plugin.callee.version);
                tracing::warn!(file, plugin = plugin.name(), version, hash, "the last good version serves; the file was replaced since");
                known.restored(*plugin);
                self.metrics.plugin_load("restored");
            }
        }
    }

    /// Keeps the live version of a file as its last good one. A failure takes nothing from the plugin that is live.
    pub(super) fn keep(&mut self, file: &str, hash: &str, bytes: &[u8]) {
        let (poll, now) = (self.limits.poll, Instant::now());
        match self.last_good.keep(file, hash, bytes) {
            Ok(()) => self.known(file).keeping = Backoff::default(),
            Err(error) => {
                tracing::warn!(file, %error, "this version would not survive a restart beside a bad file; keeping it is tried again");
                self.known(file).keeping.failed(poll, now);
            }
        }
    }

    pub(super) fn keep_again(&mut self, file: &str, path: &Path) {
        let (poll, now) = (self.limits.poll, Instant::now());
        let hash = self.known(file).live.as_ref().map(|live| live.hash.clone()).unwrap_or_default();
        match self.read(path) {
            Ok(bytes) if HEXLOWER.encode(&Sha256::digest(&bytes)) == hash => self.keep(file, &hash, &bytes),
            Err(Refusal::Transient(_)) => self.known(file).keeping.failed(poll, now),
            // Its file was replaced meanwhile: there is nothing left to keep.
            _ => self.known(file).keeping = Backoff::default(),
        }
    }

    /// The last good version of a file does not serve.
    pub(super) fn not_restored(&mut self, file: &str, refusal: Refusal) {
        let (poll, now) = (self.limits.poll, Instant::now());
        let (reason, again) = told(refusal);
        tracing::error!(file, reason, again, "the last good version of the file cannot serve");
        let known = self.known(file);
        if again {
            known.restoring.failed(poll, now);
        }
        known.restore = if again { Restore::Later } else { Restore::Over(Some(reason)) };
    }
}
