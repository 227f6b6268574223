//! The front door: listen, who may come in, routes, wire forms, server-sent events, errors as status codes.
//! The only room that knows hyper's server side. Must not know providers, components or SQL; it hands an exchange to `pipeline` and
//! writes what comes back.
//!
//! A request walks `server` → `connection` → `answer` → `routes` → `door` → one endpoint → `respond`, and all of it inside the connection's
//! own future: a client that hangs up drops the work behind it.

mod access;
mod answer;
mod body;
mod chat;
mod connection;
mod embeddings;
mod error;
mod health;
pub mod keys;
mod knowledge;
mod limits;
mod models;
mod pipelines;
mod plugins;
mod quota;
mod request_body;
mod request_log;
mod respond;
mod responses;
mod routes;
mod run_chat;
mod server;
mod sse;
mod toggles;
mod upload;
mod usage;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::ledger::Ledger;
use crate::pipeline::{Catalog, Runner};
use crate::rag::Knowledge;
use crate::sandbox::Registry;
use crate::telemetry::Metrics;

pub use access::may_listen;
pub use error::Error;
pub use keys::{Key, Keys};
pub use limits::Limits;
pub use server::{Drained, Server};

/// What the operator decides about the door.
#[derive(Clone, Debug)]
pub struct Config {
    /// Port 0 takes a free one; `Server::local_addr` says which.
    pub listen: SocketAddr,
    pub limits: Limits,
    /// None at all: loopback only.
    pub keys: Keys,
}

/// The rooms behind the door.
#[derive(Clone)]
pub struct State {
    pub catalog: Arc<Catalog>,
    pub runner: Arc<Runner>,
    pub registry: Arc<Registry>,
    pub knowledge: Arc<Knowledge>,
    pub ledger: Arc<Ledger>,
    pub metrics: Arc<Metrics>,
}
