//! The port by which a component is fetched whose URL somebody gives. Whoever implements it checks every address before it connects.

use std::time::Duration;

use futures_util::future::BoxFuture;

/// What is to be fetched, and within what.
#[derive(Clone, Debug)]
pub struct Fetched {
    pub url: String,
    /// Whether addresses of this machine and of private networks are allowed.
    pub private: bool,
    pub bytes_max: usize,
    pub time: Duration,
}

/// Fetches what other servers have.
pub trait FetchComponent: Send + Sync {
    /// What is there; an answer other than 200 is an error.
    fn fetch(&self, what: Fetched) -> BoxFuture<'static, Result<Vec<u8>, FetchError>>;
}

/// Why there is nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// A sentence for whoever gave the URL.
    #[error("{0}")]
    Refused(String),
    #[error("it took too long")]
    Slow,
}
