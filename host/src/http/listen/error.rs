//! Why there is no server: what keeps it from starting, and what ends it.
//! Each message names the address and, if there is one, the remedy.

use std::io;
use std::net::SocketAddr;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Without keys anybody who reaches the address could use it.
    #[error(
        "listening on {0} needs keys: without any, only a loopback address such as 127.0.0.1:8080 is allowed; add `[keys]` to the configuration"
    )]
    NeedsKeys(SocketAddr),
    #[error("cannot listen on {listen}")]
    Bind { listen: SocketAddr, source: io::Error },
    /// The listening socket itself is broken.
    #[error("the listening socket failed")]
    Accept(#[source] io::Error),
}
