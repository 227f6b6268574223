//! What a plugin may call. A capability is one file here, with all that belongs to it, and one line in `ALL`: what a component imports is
//! what it wants, and `admit` gives it that and nothing else. One that needs a grant takes a `Granted` in its `link`, or what was made of
//! one, so that it cannot be linked for a plugin whose operator did not allow it.

pub(super) mod config;
pub(super) mod http;
pub mod knowledge;
pub mod kv;
pub mod llm;
pub(super) mod log;
pub(super) mod metrics;
mod outcome;
pub(super) mod reply;
mod uses;

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value;
use wasmtime::component::Linker;

use self::http::Outside;
use self::knowledge::SearchDocuments;
use self::kv::KvStore;
use self::llm::AskModels;
use super::grant::{Denied, GrantRule, Granted, Grants};
use super::settings::Book;
use super::store::State;
use crate::outbound::{Guard, Rules};

/// A group of host calls that a component imports as one interface.
#[derive(Clone, Copy)]
pub(super) struct Capability {
    /// Its name in messages, and its key in `grants`.
    pub(super) name: &'static str,
    /// The import, with its exact version.
    pub(super) interface: &'static str,
    /// None if every plugin may have it.
    pub(super) grant: Option<GrantRule>,
    /// Adds its functions to one plugin's linker.
    pub(super) link: fn(&mut Linker<State>, &Given<'_>) -> Result<(), LinkError>,
}

/// What capabilities reach of the rest of the host.
#[derive(Clone)]
pub struct Ports {
    /// What plugins keep.
    pub kv: Arc<dyn KvStore>,
    /// What operators set through the API.
    pub settings: Arc<Book>,
    /// What they reach beyond this machine.
    pub outside: Outside,
    /// The operator's documents.
    pub knowledge: Arc<dyn SearchDocuments>,
    /// The operator's models.
    pub models: Arc<dyn AskModels>,
}

/// What the operator gives one plugin.
pub(super) struct Given<'a> {
    /// The plugin's name.
    pub(super) plugin: &'a str,
    pub(super) grants: &'a Grants,
    pub(super) ports: &'a Ports,
    /// Made for the first of the interfaces by which it may ask other servers.
    guard: OnceCell<Arc<Guard>>,
}

impl<'a> Given<'a> {
    pub(super) fn new(plugin: &'a str, grants: &'a Grants, ports: &'a Ports) -> Self {
        Self { plugin, grants, ports, guard: OnceCell::new() }
    }

    /// The one way to other servers of a plugin that was granted it, by whichever interface it asks.
    fn guard(&self) -> Result<Arc<Guard>, Denied> {
        let rules: Granted<Rules> = self.grants.of()?;
        Ok(self.guard.get_or_init(|| Arc::new(self.ports.outside.guard(self.plugin, rules.clone()))).clone())
    }
}

/// Why a capability was not linked.
pub(super) enum LinkError {
    Denied(Denied),
    /// A mistake of the host's: a function is defined twice.
    Host(wasmtime::Error),
}

/// Every capability of this host.
pub(super) const ALL: &[Capability] = &[
    Capability { name: "log", interface: log::INTERFACE, grant: None, link: |to, _| Ok(log::link(to, |state| &state.env.log)?) },
    Capability {
        name: "config",
        interface: config::INTERFACE,
        grant: None,
        link: |to, _| Ok(config::link(to, |state| &state.env.settings)?),
    },
    Capability { name: "metrics", interface: metrics::INTERFACE, grant: None, link: |to, _| Ok(metrics::link(to, |state| &state.env)?) },
    Capability {
        name: "reply",
        interface: reply::INTERFACE,
        grant: None,
        link: |to, _| Ok(reply::link(to, |state| reply::View { reply: state.env.reply.as_ref(), clocks: &state.env.clocks })?),
    },
    Capability {
        name: "kv",
        interface: kv::INTERFACE,
        grant: Some(GrantRule::of::<kv::KvTerms>()),
        link: |to, given| Ok(kv::link(to, given.grants.of()?, given.ports.kv.clone(), given.plugin.into(), |state| &state.env)?),
    },
    Capability {
        name: http::NAME,
        interface: http::INTERFACE,
        grant: Some(GrantRule::of::<Rules>()),
        link: |to, given| Ok(http::link(to, given.guard()?, |state| &state.env)?),
    },
    Capability {
        name: http::NAME,
        interface: http::fetch::INTERFACE,
        grant: Some(GrantRule::of::<Rules>()),
        link: |to, given| Ok(http::fetch::link(to, given.guard()?, |state| &state.env)?),
    },
    Capability {
        name: "knowledge",
        interface: knowledge::INTERFACE,
        grant: Some(GrantRule::of::<knowledge::KnowledgeTerms>()),
        link: |to, given| Ok(knowledge::link(to, given.grants.of()?, given.ports.knowledge.clone(), |state| &state.env)?),
    },
    Capability {
        name: "llm",
        interface: llm::INTERFACE,
        grant: Some(GrantRule::of::<llm::LlmTerms>()),
        link: |to, given| Ok(llm::link(to, given.grants.of()?, given.ports.models.clone(), |state| &state.env)?),
    },
];

/// What grants name of the rest of the operator's configuration, and of what is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Models; `*` stands for all of a provider's.
    pub targets: Vec<llm::ModelTarget>,
    /// Ids of `[[embeddings]]`.
    pub embeddings: Vec<String>,
    /// Each `NAME` or `PIPELINE/NAME`.
    pub namespaces: Vec<String>,
    pub secrets: Vec<String>,
}

pub fn named(grants: &Grants) -> Named {
    let models: Option<Granted<llm::LlmTerms>> = grants.of().ok();
    let (targets, embeddings) = models.map(|terms| (terms.targets.clone(), terms.embeddings.clone())).unwrap_or_default();
    let documents: Option<Granted<knowledge::KnowledgeTerms>> = grants.of().ok();
    let namespaces = documents.map(|terms| terms.namespaces.clone()).unwrap_or_default();
    let servers: Option<Granted<Rules>> = grants.of().ok();
    let secrets = servers.map(|rules| rules.secrets.keys().cloned().collect()).unwrap_or_default();
    Named { targets, embeddings, namespaces, secrets }
}

/// Checks one entry of `grants` in the operator's file.
///
/// # Errors
/// A sentence that says what can be granted.
pub fn check_grant(name: &str, value: &Value) -> Result<(), String> {
    check_grant_of(ALL, name, value)
}

pub(super) fn check_grant_of(capabilities: &[Capability], name: &str, value: &Value) -> Result<(), String> {
    let can = names(capabilities.iter().filter(|of| of.grant.is_some()));
    let can = if can.is_empty() { "nothing yet".to_owned() } else { can.join(", ") };
    match capabilities.iter().find(|of| of.name == name) {
        None => Err(format!("is no capability of this host; what can be granted: {can}")),
        Some(Capability { grant: None, .. }) => Err(format!("needs no grant, every plugin has it; what can be granted: {can}")),
        Some(Capability { grant: Some(rule), .. }) => (rule.check)(value),
    }
}

/// Their names; one that has two interfaces is one.
pub(super) fn names<'a>(capabilities: impl Iterator<Item = &'a Capability>) -> Vec<&'static str> {
    let mut names: Vec<&str> = capabilities.map(|capability| capability.name).collect();
    names.dedup();
    names
}

impl From<wasmtime::Error> for LinkError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Host(error)
    }
}

impl From<Denied> for LinkError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}
