//! Changes that the API asks for, made between two scans: what is to be written is looked at first, and the directory is read again at once.
//! Invariant: the version that is kept to go back to is the one that served before, and none that was refused.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::Scanner;
use super::words::{told, unreadable};
use crate::files::Refused;
use crate::sandbox::registry::change::{Change, DeployError};
use crate::sandbox::registry::desk;
use crate::sandbox::registry::known::stem;

impl Scanner {
    /// Makes a change in the directory and reads it again. What can be no plugin of that file is not written.
    pub(in crate::sandbox::registry) fn make(&mut self, change: &Change) -> Result<(), DeployError> {
        if let Change::Rollback { file } = change {
            let bytes = self.before(file)?;
            return self.make(&Change::Put { file: file.clone(), bytes });
        }
        if let Change::Put { file, bytes } = change {
            let size = bytes.len() as u64;
            if size > self.limits.file_bytes {
                return Err(DeployError::Refused(told(unreadable(Refused::TooLarge(self.limits.file_bytes))).0));
            }
            self.admission.look(stem(file), bytes).map_err(|refusal| DeployError::Refused(told(refusal).0))?;
        }
        let full = (self.files.len() >= self.limits.files).then_some(self.limits.files);
        desk::make(&self.directory, change, full)?;
        self.scan();
        Ok(())
    }

    /// The version of a file to go back to.
    fn before(&mut self, file: &str) -> Result<Bytes, DeployError> {
        let none = || DeployError::NoPrevious(file.to_owned());
        let known = self.files.get(file).ok_or_else(|| DeployError::NotFound(file.to_owned()))?;
        let live = known.live.as_ref().map(|live| live.hash.clone()).ok_or_else(none)?;
        let kept = if live == known.hash {
            self.last_good.read_another(file, &live, self.limits.file_bytes)
        } else {
            // The file is bad, and another version serves in its place.
            let bytes = self.last_good.read(file, self.limits.file_bytes);
            bytes.map(|bytes| bytes.filter(|bytes| HEXLOWER.encode(&Sha256::digest(bytes)) == live))
        };
        let bytes = kept.map_err(|refused| DeployError::Io(told(unreadable(refused)).0))?;
        bytes.map(Bytes::from).ok_or_else(none)
    }
}
