//! Which components the compiler refused, kept for the next start: what took two minutes to refuse once is refused at once then.
//! It holds for one version of the compiler and its limits, is bounded, and may be missing or damaged without harm.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::files;

/// The file in the directory of compiled code.
const FILE: &str = "refused.json";
/// Components; the oldest go first.
const COMPONENTS_MAX: usize = 1_000;
/// Bytes of the file: as many reasons as there may be, each of its greatest length, with escapes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Reasons by the components' hashes, the newest last.
#[derive(Debug, Default)]
pub(super) struct Refused {
    version: String,
    reasons: Map<String, Value>,
}

impl Refused {
    /// What an earlier process left in the directory, if that can be read.
    pub(super) fn read(directory: &Path) -> Self {
        let Ok(file) = files::open(&directory.join(FILE)) else { return Self::default() };
        let bytes = files::read(&file, FILE_BYTES_MAX).unwrap_or_default();
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(mut object)) => match (object.remove("version"), object.remove("refused")) {
                (Some(Value::String(version)), Some(Value::Object(reasons))) => Self { version, reasons },
                _ => Self::default(),
            },
            _ => Self::default(),
        }
    }

    pub(super) fn reason(&self, version: &str, hash: &str) -> Option<String> {
        let known = self.reasons.get(hash).filter(|_| self.version == version);
        known.and_then(Value::as_str).map(str::to_owned)
    }

    /// Notes a refusal and writes the file anew, in one step.
    pub(super) fn remember(&mut self, directory: &Path, version: &str, hash: &str, reason: &str) -> std::io::Result<()> {
        if self.version != version {
            *self = Self { version: version.to_owned(), reasons: Map::new() };
        }
        self.reasons.insert(hash.to_owned(), reason.into());
        while self.reasons.len() > COMPONENTS_MAX
            && let Some(oldest) = self.reasons.keys().next().cloned()
        {
            self.reasons.shift_remove(&oldest);
        }
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(json!({"version": self.version, "refused": self.reasons}).to_string().as_bytes())?;
        file.persist(directory.join(FILE)).map_err(|e| e.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_known_to_the_next_process_of_the_same_version() {
        let folder = tempfile::tempdir().unwrap();
        let mut refused = Refused::read(folder.path());
        assert_eq!(refused.reason("1", "a"), None);
        refused.remember(folder.path(), "1", "a", "too slow").unwrap();
        let mut again = Refused::read(folder.path());
        assert_eq!(again.reason("1", "a").as_deref(), Some("too slow"));
        assert_eq!((again.reason("1", "b"), again.reason("2", "a")), (None, None));
        again.remember(folder.path(), "2", "b", "too large").unwrap();
        assert_eq!(Refused::read(folder.path()).reasons.len(), 1, "what another version refused is forgotten");
    }

    #[test]
    fn the_newest_refusals_are_kept_up_to_their_number() {
        let folder = tempfile::tempdir().unwrap();
        let mut refused = Refused { version: "1".into(), ..Refused::default() };
        refused.reasons = (0..COMPONENTS_MAX).map(|i| (i.to_string(), Value::from("r"))).collect();
        refused.remember(folder.path(), "1", "new", "r").unwrap();
        let kept = Refused::read(folder.path());
        assert_eq!((kept.reasons.len(), kept.reason("1", "0"), kept.reason("1", "1").is_some()), (COMPONENTS_MAX, None, true));
        assert!(kept.reason("1", "new").is_some());
    }

    #[test]
    fn a_damaged_file_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "{", "[]", r#"{"version": 1, "refused": {}}"#, r#"{"version": "1", "refused": {"a": 5}}"#] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert_eq!(Refused::read(folder.path()).reason("1", "a"), None, "{text}");
        }
    }
}
