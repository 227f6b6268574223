//! What every request needs of the server: the operator's decisions, the rooms behind, and what requests share.
//! A leaf: it knows no route and no answer, so that everything else of this room may use it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use tokio::sync::Semaphore;

use super::bodies::Bodies;
use super::cors::Origins;
use super::keys::Keys;
use super::limits::Limits;
use crate::ledger::Ledger;
use crate::pipeline::{Catalog, Runner};
use crate::rag::Knowledge;
use crate::sandbox::Registry;
use crate::telemetry::Metrics;

/// What the operator decides about the server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Port 0 takes a free one; `Server::local_addr` says which.
    pub listen: SocketAddr,
    pub limits: Limits,
    /// None at all: loopback only.
    pub keys: Keys,
    /// Whose pages may call `/v1` from a browser.
    pub cors_origins: Origins,
}

/// The rooms that requests are answered with.
#[derive(Clone)]
pub struct State {
    pub catalog: Arc<Catalog>,
    pub runner: Arc<Runner>,
    pub registry: Arc<Registry>,
    pub knowledge: Arc<Knowledge>,
    pub ledger: Arc<Ledger>,
    pub metrics: Arc<Metrics>,
}

/// What every request needs.
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) keys: Keys,
    pub(super) cors_origins: Origins,
    pub(super) state: State,
    /// What `/openapi.json` says; written when somebody asks.
    pub(super) openapi: LazyLock<Bytes>,
    /// Requests under way on `/v1` and `/api`.
    pub(super) in_flight: AtomicUsize,
    pub(super) draining: AtomicBool,
    /// What requests' bodies hold.
    pub(super) bodies: Arc<Bodies>,
    /// Turns to parse a large body.
    pub(super) parses: Arc<Semaphore>,
}
