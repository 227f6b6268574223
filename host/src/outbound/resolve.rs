//! From a name to addresses. The port is here so that tests bring names of their own; each request asks once and keeps to the answer.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};

use futures_util::future::BoxFuture;

/// Looks names up. A lookup is polled to its end, however long that takes and whoever waits for it.
pub trait Resolve: Send + Sync + 'static {
    /// # Errors
    /// There is no such name, or nobody answers.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver. Each lookup takes a thread; the guard bounds how many there are.
#[derive(Default)]
pub struct Names;

impl Resolve for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let name = name.to_owned();
            let looked_up = tokio::task::spawn_blocking(move || {
                (name.as_str(), 0).to_socket_addrs().map(|found| found.map(|address| address.ip()).collect())
            });
            looked_up.await.map_err(io::Error::other)?
        })
    }
}
