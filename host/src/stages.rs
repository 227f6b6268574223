//! The stages, one file each, in the order a request meets them. A stage takes the exchange by value and gives it back.
//! The list of stages is closed; only the list of plugins is open.

pub mod after;
pub mod along;
pub mod before;
pub mod cite;
pub mod complete;
pub mod done;
pub mod retrieve;
mod seen;

use std::sync::Arc;
use std::time::Duration;

use crate::chat::{Completion, Exchange};
use crate::sandbox::{Fault, FaultKind, Hook, OnFailure, Plugins, Rejection};
use crate::telemetry::{HookCall, Metrics};
use crate::{llm, rag};

/// Retrieval before the model.
#[derive(Clone, Debug, PartialEq)]
pub struct RagStage {
    pub enabled: bool,
    /// A client cannot switch it off.
    pub locked: bool,
    pub mode: rag::Mode,
    pub top_k: usize,
    /// The least score of a hit, 0 to 1.
    pub score_threshold: f32,
    pub namespace: String,
    /// Turns of the user's that are looked at, the newest included.
    pub turns: usize,
    /// The weight of a hit's own rank against its likeness to better ones, 0 to 1.
    pub mmr: f32,
    pub spread: rag::Spread,
    pub filter: rag::Filter,
    /// The model of the configuration that puts the hits in its own order.
    pub rerank: Option<String>,
    pub inject: Inject,
    /// Whether an answer says in its annotations which documents it names.
    pub citations: bool,
}

/// Where what was found stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Inject {
    /// Directly before the newest user message, so that a provider's cache of the conversation before it holds.
    #[default]
    Question,
    /// Behind the system messages at the start, for models that take no others.
    System,
}

impl Inject {
    pub const WORDS: [&str; 2] = ["question", "system"];

    pub fn of(word: &str) -> Option<Self> {
        [Self::Question, Self::System].into_iter().find(|inject| Self::WORDS[*inject as usize] == word)
    }
}

/// Plugins run in order.
#[derive(Clone, Debug, PartialEq)]
pub struct HookStage {
    pub enabled: bool,
    /// A client cannot switch it off.
    pub locked: bool,
    pub plugins: Vec<String>,
}

/// The model and what stands in for it.
#[derive(Clone, Debug, PartialEq)]
pub struct LlmStage {
    /// The primary first, then its equals, then the fallbacks.
    pub targets: Vec<llm::Target>,
    /// The weights of the primary and its equals.
    pub weights: Vec<u32>,
    /// After this time the next target is asked too, if the first has not answered.
    pub hedge_after: Option<Duration>,
}

impl LlmStage {
    /// The whole chain, as `llm` takes it.
    pub fn chain(&self) -> llm::Chain<'_> {
        llm::Chain { targets: &self.targets, weights: &self.weights, hedge_after: self.hedge_after }
    }

    /// Every target with its key in the stage's configuration, e.g. `equals[0]`.
    pub fn keys(&self) -> impl Iterator<Item = (String, &llm::Target)> {
        let equals = self.weights.len().max(1);
        let key = move |i: usize| match i {
            0 => "primary".to_owned(),
            i if i < equals => format!("equals[{}]", i - 1),
            i => format!("fallbacks[{}]", i - equals),
        };
        self.targets.iter().enumerate().map(move |(i, target)| (key(i), target))
    }
}

/// What a stage makes of the exchange.
pub enum Flow {
    Next(Exchange),
    /// A hook answered in place of the model, which is an answer and not an error.
    Done(Exchange, Completion),
}

/// Why an exchange ended without a reply.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client tried to switch off a stage that the operator locked on.
    #[error("stage `{0}` is locked on by the operator and cannot be switched off")]
    Locked(&'static str),
    /// A plugin refused the exchange; its message goes to the client.
    #[error("plugin `{plugin}` refused the request: {}", rejection.message)]
    Rejected { plugin: Arc<str>, rejection: Rejection },
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("retrieval failed")]
    Rag(#[from] rag::Error),
    #[error(transparent)]
    Llm(#[from] llm::Error),
    /// The exchange's own time is over.
    #[error("the request took longer than the operator allows (`limits.http.request_time`)")]
    Deadline,
}

impl HookStage {
    /// Whether every plugin of the stage that is there and sees the reply goes along with a streamed one; one that cannot has to wait for the whole.
    pub fn streams(&self, plugins: &Plugins) -> bool {
        self.plugins.iter().all(|name| plugins.get(name, Hook::Post).map_or(true, |plugin| plugin.streams() || !plugin.sees_reply()))
    }

    /// Every plugin of the stage that would fail a request because it, or its hook, is not there.
    pub fn missing<'a>(&'a self, hook: Hook, plugins: &'a Plugins) -> impl Iterator<Item = Fault> + 'a {
        let faults = self.plugins.iter().filter_map(move |name| plugins.get(name, hook).err());
        faults.filter(|fault| plugins.on_failure(fault) == OnFailure::Reject)
    }

    /// Looks for all plugins of the stage. The pipeline does so for every stage before it asks anything, because what is asked may have to be
    /// paid; the stage then finds the same in the same snapshot.
    ///
    /// # Errors
    /// The fault of the first plugin that is missing.
    pub fn check(&self, hook: Hook, plugins: &Plugins, metrics: &Metrics) -> Result<(), Error> {
        match self.missing(hook, plugins).next() {
            None => Ok(()),
            Some(fault) => {
                count_missing(&fault, metrics);
                Err(Error::Fault(fault))
            }
        }
    }
}

/// Counts a call of a plugin, or of a hook, that is not there and so cannot count it.
fn count_missing(fault: &Fault, metrics: &Metrics) {
    if matches!(fault.kind, FaultKind::NotLoaded | FaultKind::Loading | FaultKind::NoHook) {
        metrics.plugin(&fault.plugin).call(&HookCall { hook: fault.hook.word(), outcome: fault.kind.word(), ..HookCall::default() });
    }
}

/// Applies the operator's `on_failure` after a call: returns the fault, or notes that the plugin was skipped.
fn settle(fault: Fault, plugins: &Plugins, exchange: &Exchange, metrics: &Metrics) -> Result<(), Error> {
    count_missing(&fault, metrics);
    match plugins.on_failure(&fault) {
        OnFailure::Reject => Err(Error::Fault(fault)),
        OnFailure::Skip => {
            tracing::warn!(request = &*exchange.id, plugin = &*fault.plugin, hook = fault.hook.word(), %fault, "plugin skipped");
            metrics.plugin(&fault.plugin).skipped(fault.hook.word());
            exchange.skipped.add(fault.plugin);
            Ok(())
        }
    }
}
