//! What ends a streamed reply early, in words for the client.

/// Why a stream ended early.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StreamError {
    /// For the client: says what happened, names no secret.
    pub message: String,
    /// For programs, e.g. `upstream_cut`, `upstream_idle`, `deadline`.
    pub code: &'static str,
}
