//! From a name to addresses. The port is here so that tests bring names of their own; each request asks once and keeps to the answer.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

/// Lookups at once. One waits on a thread for as long as the system's resolver does, also when nobody waits for it any more.
const LOOKUPS_MAX: usize = 16;

/// Looks names up.
pub trait Resolve: Send + Sync + 'static {
    /// # Errors
    /// There is no such name, or nobody answers.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
pub struct Names {
    lookups: Arc<Semaphore>,
}

impl Default for Names {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let permit = self.lookups.clone().acquire_owned().await.map_err(io::Error::other)?;
            let name = name.to_owned();
            let looked_up = tokio::task::spawn_blocking(move || {
                let found = (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect());
                drop(permit);
                found
            });
            looked_up.await.map_err(io::Error::other)?
        })
    }
}
