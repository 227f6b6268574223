//! Why there is no server: what keeps it from starting, and what ends it.
//! Each message names the address and, if there is one, the remedy.

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Without keys anybody who reaches the address could use it.
    #[error(
        "listening on {0} needs keys: without any, only a loopback address such as 127.0.0.1:8080 is allowed; add `[keys]` to the configuration"
    )]
    NeedsKeys(String),
    #[error("cannot listen on {listen}")]
    Bind { listen: String, source: io::Error },
    #[error("cannot listen on unix:{}: another server listens there", .0.display())]
    Taken(PathBuf),
    #[error("cannot listen on unix:{}: there is a file that is no socket; remove it, or name another path", .0.display())]
    NoSocket(PathBuf),
    #[error(
        "there is no socket fd:{fd}: {count} were handed over, the first of which is fd:3; a service manager does that (LISTEN_FDS, LISTEN_PID)"
    )]
    NotHandedOver { fd: u32, count: usize },
    #[error("the socket fd:{fd} cannot be listened on: {why}")]
    Unusable { fd: u32, why: String },
    #[error("the certificate cannot be used")]
    Tls(#[from] super::tls::Error),
    /// The listening socket itself is broken.
    #[error("the listening socket failed")]
    Accept(#[source] io::Error),
}
