//! Plugs the sandbox's plugins that are models into the llm room's port: a target's model is a plugin's name and the id of one of its models,
//! and a fault of the plugin is an error of the provider.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use crate::chat::Exchange;
use crate::llm::{self, PluginSaid, PluginTrouble};
use crate::sandbox::{Exhausted, Fault, FaultKind, Hook, ModelInfo, Plugins, Registry, Rejection, Said, Unanswered};

/// The name in errors, which do not know under which entry of the configuration the plugin was asked.
const PROVIDER: &str = "plugin";

/// The plugins of one directory.
pub(super) struct PluginModels(Arc<Registry>);

impl PluginModels {
    /// Those of one configuration.
    pub(super) fn of(registry: &Arc<Registry>) -> Arc<dyn llm::Plugins> {
        Arc::new(Self(registry.clone()))
    }

    /// Those that the exchange began with: it meets one version of a plugin, whatever is deployed meanwhile.
    fn plugins(&self, exchange: &Exchange) -> Arc<Plugins> {
        exchange.kept.find::<Arc<Plugins>>().unwrap_or_else(|| self.0.snapshot())
    }
}

impl llm::Plugins for PluginModels {
    fn answer(&self, model: &str, exchange: Exchange) -> llm::PluginAnswer {
        let (name, id) = model.split_once('/').unwrap_or((model, ""));
        match self.plugins(&exchange).get(name, Hook::Answer) {
            Ok(plugin) => Box::pin(plugin.answer(id, exchange).map(|said| said.map(piece).map_err(error))),
            Err(fault) => Box::pin(stream::iter([Err(error(Unanswered::Fault(fault)))])),
        }
    }

    fn embed(&self, model: &str, texts: Vec<String>, exchange: Exchange) -> llm::PluginVectors {
        let (name, id) = model.split_once('/').unwrap_or((model, ""));
        if exchange.kept.asked_by() == Some(name) {
            return Box::pin(stream::iter([Err(of_itself(name))]));
        }
        match self.plugins(&exchange).get(name, Hook::Embed) {
            Ok(plugin) => Box::pin(plugin.embed(id, texts, exchange).map_err(|fault| error(Unanswered::Fault(fault)))),
            Err(fault) => Box::pin(stream::iter([Err(error(Unanswered::Fault(fault)))])),
        }
    }

    fn embeds(&self, model: &str) -> bool {
        let name = model.split_once('/').map_or(model, |(name, _)| name);
        self.0.snapshot().get(name, Hook::Embed).is_ok()
    }

    fn models(&self) -> Vec<llm::OfferedModel> {
        let models = self.0.snapshot().models().into_iter();
        models.map(|(name, ModelInfo { title, extra, .. })| llm::OfferedModel { name, title, extra }).collect()
    }
}

/// A plugin has no need to go through the host for what it can do itself, and each of its calls would hold a place while the next one waits for one.
fn of_itself(name: &str) -> llm::Error {
    let message = format!("plugin `{name}` may not ask itself for vectors: it can call what computes them");
    llm::Error::Refused { provider: PROVIDER.to_owned(), status: 400, code: "asks_itself".to_owned(), message, retry_after: None }
}

fn piece(said: Said) -> PluginSaid {
    match said {
        Said::Deltas(deltas) => PluginSaid::Deltas(deltas),
        Said::Status { text, done } => PluginSaid::Status { text, done },
    }
}

fn error(unanswered: Unanswered) -> llm::Error {
    let provider = PROVIDER.to_owned();
    match unanswered {
        Unanswered::Rejected(Rejection { status, code, message, retry_after }) => {
            llm::Error::Refused { provider, status, code, message, retry_after }
        }
        Unanswered::Fault(fault) => {
            let trouble = trouble(&fault);
            if trouble == PluginTrouble::Host {
                tracing::error!(plugin = &*fault.plugin, %fault, "the host failed while it ran a plugin");
            }
            llm::Error::Plugin { provider, trouble, cause: Arc::new(fault) }
        }
    }
}

fn trouble(fault: &Fault) -> PluginTrouble {
    match fault.kind {
        FaultKind::NotLoaded | FaultKind::Loading | FaultKind::NoHook | FaultKind::NoModel(_) => PluginTrouble::Missing,
        FaultKind::Busy => PluginTrouble::Busy,
        FaultKind::Exhausted(Exhausted::Time(_) | Exhausted::Wait(_)) | FaultKind::Deadline => PluginTrouble::Slow,
        FaultKind::Reported(_) | FaultKind::Exhausted(_) | FaultKind::Trapped(_) | FaultKind::Invalid(_) => PluginTrouble::Failed,
        FaultKind::Host(_) => PluginTrouble::Host,
    }
}
