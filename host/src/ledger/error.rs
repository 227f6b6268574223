//! What can go wrong with a report. It is never a reason to refuse a chat: those do not wait for the store.

use super::store::StoreError;

/// Why there is no report, or nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there are more than {limit} rows (`limits.ledger.report_rows`); ask for fewer days, or for sums with `group`")]
    TooMany { limit: usize },
    /// With its causes.
    #[error("{0}")]
    Store(String),
}

impl From<StoreError> for Error {
    fn from(StoreError(why): StoreError) -> Self {
        Self::Store(why)
    }
}
