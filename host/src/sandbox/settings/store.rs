//! The port for the settings that came in through the API. `storage` implements it, and `tests/contract/plugins.rs` holds every backend to
//! what is said here. Settings are kept as the JSON that they were given as; their versions never go back, so no one overwrites unseen changes.

use futures_util::future::BoxFuture;

/// Keeps settings by the plugins' names. A future that is dropped has done the whole of its work, or none, or does it in the background.
///
/// All methods fail if the backend cannot read or write.
pub trait PluginStore: Send + Sync + 'static {
    /// All of them, by the names in the order of their bytes.
    fn all(&self) -> BoxFuture<'_, Result<Vec<(String, Kept)>, StoreError>>;

    /// None if nothing is kept for that plugin.
    fn get<'a>(&'a self, plugin: &'a str) -> BoxFuture<'a, Result<Option<Kept>, StoreError>>;

    /// Keeps settings in the place of those that are there, if those are the expected ones. When this returns, a killed process loses nothing
    /// of it.
    fn put<'a>(&'a self, plugin: &'a str, json: &'a str, expected: Expected) -> BoxFuture<'a, Result<Put, StoreError>>;

    /// Whether there were any. Their version is not used again.
    fn delete<'a>(&'a self, plugin: &'a str) -> BoxFuture<'a, Result<bool, StoreError>>;
}

/// The settings of one plugin, as they were put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub json: String,
    /// Grows with every change.
    pub version: u64,
}

/// What a change takes for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Anything,
    /// Nothing is kept.
    Nothing,
    Version(u64),
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    Kept {
        version: u64,
    },
    /// Something else is there than was expected: this version, or nothing.
    Other {
        found: Option<u64>,
    },
}

impl Expected {
    /// Whether this version, or none, is what was expected.
    pub fn is(self, found: Option<u64>) -> bool {
        match self {
            Self::Anything => true,
            Self::Nothing => found.is_none(),
            Self::Version(version) => found == Some(version),
        }
    }
}

/// Why a backend failed, with all causes spelled out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);
