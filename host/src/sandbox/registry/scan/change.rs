//! Changes that the API asks for, made between two scans: what is to be written is looked at first, and the directory is read again at once.
//! Invariant: the version that is kept to go back to is the one that served before, and none that was refused.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::{Scanner, told, unreadable};
use crate::files::Refused;
use crate::sandbox::registry::change::{Change, ChangeError};
use crate::sandbox::registry::desk;
use crate::sandbox::registry::known::stem;

impl Scanner {
    /// Makes a change in the directory and reads it again. What can be no plugin of that file is not written.
    pub(in crate::sandbox::registry) fn make(&mut self, change: &Change) -> Result<(), ChangeError> {
        if let Change::Rollback { file } = change {
            let bytes = self.before(file)?;
            return self.make(&Change::Put { file: file.clone(), bytes });
        }
        let mut successor = None;
        if let Change::Put { file, bytes } = change {
            let size = bytes.len() as u64;
            if size > self.limits.file_bytes {
                return Err(ChangeError::Refused(told(unreadable(Refused::TooLarge(self.limits.file_bytes))).0));
            }
            self.admission.look(stem(file), bytes).map_err(|refusal| ChangeError::Refused(told(refusal).0))?;
            // What is refused is not worth keeping, and what stays the same has no version before it.
            let hash = HEXLOWER.encode(&Sha256::digest(bytes));
            let serves = self.files.get(file).filter(|known| known.live.as_ref().is_some_and(|live| live.hash == known.hash));
            successor = serves.filter(|known| known.hash != hash).map(|_| hash);
        }
        let full = (self.files.len() >= self.limits.files).then_some(self.limits.files);
        desk::make(&self.directory, change, full, successor.as_deref())?;
        self.scan();
        Ok(())
    }

    /// The version of a file to go back to.
    fn before(&mut self, file: &str) -> Result<Bytes, ChangeError> {
        let none = || ChangeError::NoPrevious(file.to_owned());
        let known = self.files.get(file).ok_or_else(|| ChangeError::NotFound(file.to_owned()))?;
        let live = known.live.as_ref().map(|live| live.hash.clone()).ok_or_else(none)?;
        if live == known.hash {
            return desk::previous(&self.directory, file, &live, self.limits.file_bytes);
        }
        // The file is bad, and another version serves in its place.
        match self.last_good.read(file, self.limits.file_bytes) {
            Ok(bytes) => bytes.filter(|bytes| HEXLOWER.encode(&Sha256::digest(bytes)) == live).map(Bytes::from).ok_or_else(none),
            Err(refused) => Err(ChangeError::Io(told(unreadable(refused)).0)),
        }
    }
}
