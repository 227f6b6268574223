//! Listening: sockets, connections, their times, draining. Generic over who answers.
//! Invariant: nothing here knows a route, a key or another room; `tests/it/tidy.rs` holds it to its own files and `limits.rs`.

mod activity;
mod address;
mod connection;
mod error;
mod handler;
mod handshakes;
mod inherited;
mod listener;
mod offer;
mod peer;
mod roster;
mod server;
mod socket;
mod streams;
mod tls;
mod woken;

pub use address::{ADDRESSES_MAX, Bound, ListenAddress};
pub use error::Error;
pub(super) use handler::Handler;
pub use inherited::Inherited;
pub(super) use peer::Peer;
pub use server::Drain;
pub(super) use server::{Door, Draining, Server};
pub(super) use tls::Tls;
pub use tls::TlsFiles;
pub(super) use woken::Woken;
