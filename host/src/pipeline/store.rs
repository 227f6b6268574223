//! The port for the pipelines that came in through the API. `storage` implements it, and `tests/contract/pipelines.rs` holds every backend to
//! what is said here. A definition is kept as the text that it was given as, and is not read before it leaves the store again.

use futures_util::future::BoxFuture;

/// Keeps pipelines by their ids.
pub trait PipelineStore: Send + Sync + 'static {
    /// Every pipeline as (id, JSON), in the order of the ids' bytes.
    ///
    /// # Errors
    /// The backend cannot read.
    fn all(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, StoreError>>;

    /// Keeps a pipeline in place of the one with this id. When this returns, a killed process does not lose it. A future that is dropped has
    /// either done that, or nothing, or does it in the background.
    ///
    /// # Errors
    /// The backend cannot write; the pipeline that was there before stays.
    fn put<'a>(&'a self, id: &'a str, json: &'a str) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Deletes the pipeline with this id. Gives false if there is none. When this returns, a killed process does not bring it back; a future
    /// that is dropped is as with `put`.
    ///
    /// # Errors
    /// The backend cannot write; the pipeline stays.
    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, StoreError>>;
}

/// Why a backend failed, with all causes spelled out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);
