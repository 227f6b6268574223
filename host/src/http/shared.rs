//! What every request needs of the server: the operator's decisions, the rooms behind, and what requests share.
//! A leaf: it knows no route and no answer, so that everything else of this room may use it.
//! Invariant: a request takes one `Shared` when it begins and uses no other, so it never sees half of two configurations.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::cors::Origins;
use super::fetch::FetchComponent;
use super::jobs::Jobs;
use super::keys::Keys;
use super::limits::Limits;
use super::listen::{ListenAddress, TlsFiles};
use super::open_webui::OpenWebUi;
use super::reload::Reloads;
use crate::fair::Shares;
use crate::ledger::Ledger;
use crate::pipeline::{Catalog, Runner};
use crate::rag::{Extractor, Knowledge};
use crate::sandbox::Registry;
use crate::telemetry::Metrics;

/// What the operator decides about the server.
#[derive(Clone, Debug)]
pub struct Config {
    /// At least one.
    pub listen: Vec<ListenAddress>,
    /// Where the operator's routes are, if not with the others.
    pub admin_listen: Vec<ListenAddress>,
    /// The mode of socket files.
    pub socket_mode: u32,
    /// None: connections are not encrypted.
    pub tls: Option<TlsFiles>,
    pub limits: Limits,
    /// None at all: only this machine may reach the addresses.
    pub keys: Keys,
    /// Whose pages may call `/v1` from a browser.
    pub cors_origins: Origins,
    /// The server is not ready while a pipeline of the operator's file cannot run for want of a plugin.
    pub ready_requires_plugins: bool,
    pub open_webui: OpenWebUi,
}

/// The rooms that requests are answered with.
#[derive(Clone)]
pub struct State {
    pub catalog: Arc<Catalog>,
    pub runner: Arc<Runner>,
    pub registry: Arc<Registry>,
    pub knowledge: Arc<Knowledge>,
    pub extractor: Arc<Extractor>,
    pub ledger: Arc<Ledger>,
    pub metrics: Arc<Metrics>,
    pub reloads: Reloads,
    /// Fetches components of which somebody gives the URL.
    pub fetch: Arc<dyn FetchComponent>,
}

/// What every request needs, under one configuration.
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) keys: Keys,
    pub(super) cors_origins: Origins,
    pub(super) ready_requires_plugins: bool,
    pub(super) open_webui: OpenWebUi,
    pub(super) state: State,
    /// What `/openapi.json` says; written when somebody asks.
    pub(super) openapi: Arc<LazyLock<Bytes>>,
    pub(super) shares: Arc<RequestShares>,
    /// Uploads that go on after their answer.
    pub(super) jobs: Arc<Jobs>,
    pub(super) draining: Arc<AtomicBool>,
    /// Every plugin that a pipeline names was tried once.
    pub(super) plugins_tried: Arc<AtomicBool>,
}

impl Shared {
    /// Under the first configuration. `openapi` writes what `/openapi.json` says.
    pub(super) fn new(config: Config, state: State, openapi: fn() -> Bytes) -> Self {
        let Config { limits, keys, cors_origins, ready_requires_plugins, open_webui, .. } = config;
        let (shares, jobs) = (Arc::new(RequestShares::new(&limits)), Arc::new(Jobs::new(&limits)));
        let openapi = Arc::new(LazyLock::new(openapi));
        let (draining, plugins_tried) = Default::default();
        Self { limits, keys, cors_origins, ready_requires_plugins, open_webui, state, openapi, shares, jobs, draining, plugins_tried }
    }

    /// Under the next configuration. What requests of both share is theirs together, and as large as the next one says.
    pub(super) fn renewed(&self, config: Config, state: State) -> Self {
        let Config { limits, keys, cors_origins, ready_requires_plugins, open_webui, .. } = config;
        self.shares.resize(&limits);
        self.jobs.resize(&limits);
        let Self { openapi, shares, jobs, draining, plugins_tried, .. } = self;
        let (openapi, shares, jobs) = (openapi.clone(), shares.clone(), jobs.clone());
        let (draining, plugins_tried) = (draining.clone(), plugins_tried.clone());
        Self { limits, keys, cors_origins, ready_requires_plugins, open_webui, state, openapi, shares, jobs, draining, plugins_tried }
    }

    /// Whether every plugin that a pipeline names has been tried since the start. One that comes later makes no server unready.
    pub(super) fn loaded(&self) -> bool {
        let tried = || {
            let (plugins, catalog) = (self.state.registry.snapshot(), &self.state.catalog);
            !catalog.list().iter().any(|pipeline| catalog.plugins(&pipeline.definition).any(|name| plugins.is_loading(name)))
                && !catalog.embedding_plugins().any(|(_, name)| plugins.is_loading(name))
        };
        let loaded = self.plugins_tried.load(Ordering::Relaxed) || tried();
        self.plugins_tried.store(loaded, Ordering::Relaxed);
        loaded
    }
}

/// What clients share while they are answered.
pub(super) struct RequestShares {
    /// `limits.bodies`
    pub(super) bodies: Shares,
    /// `limits.bodies_bytes`
    pub(super) bodies_bytes: Shares,
    /// `limits.requests`
    pub(super) places: Shares,
    /// `limits.admin_requests`
    pub(super) admin_places: Shares,
    /// `limits.parses`
    pub(super) parses: Shares,
    /// `limits.answer_bytes`
    pub(super) answers: Shares,
    /// A part of as many bytes again, for answers to whoever showed no key where keys are needed. They must not take room from the others:
    /// anybody can be as many addresses as they have.
    pub(super) open_answers: Shares,
}

/// How many times less than `limits.answer_bytes` the answers may hold together that need no key. It is a thousand of `/metrics`.
const OPEN_PART: usize = 16;

impl RequestShares {
    pub(super) fn new(limits: &Limits) -> Self {
        let [bodies, bodies_bytes, places, admin_places, parses, answers, open_answers] = sizes(limits).map(Shares::new);
        Self { bodies, bodies_bytes, places, admin_places, parses, answers, open_answers }
    }

    fn resize(&self, limits: &Limits) {
        let Self { bodies, bodies_bytes, places, admin_places, parses, answers, open_answers } = self;
        let all = [bodies, bodies_bytes, places, admin_places, parses, answers, open_answers];
        for (shares, size) in all.into_iter().zip(sizes(limits)) {
            shares.resize(size);
        }
    }
}

/// In the order of the fields of `RequestShares`.
fn sizes(limits: &Limits) -> [usize; 7] {
    let Limits { bodies, bodies_bytes, requests, admin_requests, parses, answer_bytes, .. } = *limits;
    [bodies, bodies_bytes, requests, admin_requests, parses, answer_bytes, answer_bytes / OPEN_PART]
}
