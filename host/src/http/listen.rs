//! Listening: sockets, connections, their times, draining. Generic over who answers.
//! Invariant: nothing here knows a route, a key or another room; `tests/it/tidy.rs` holds it to its own files and `limits.rs`.

mod activity;
mod connection;
mod error;
mod handler;
mod offer;
mod peer;
mod roster;
mod server;
mod socket;
mod streams;

pub use error::Error;
pub(super) use handler::Handler;
pub(super) use peer::Peer;
pub use server::Drain;
pub(super) use server::Server;
