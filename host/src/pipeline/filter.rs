//! A single hook, called by a client that runs filters itself: what it makes of a request before the model, and of a reply after it. Nothing is
//! asked of a model. A fault counts as in a pipeline, and under `on_failure = "skip"` nothing is changed.

use super::{Error, Runner};
use crate::chat::{Completion, Exchange};
use crate::llm::Target;
use crate::stages::{Flow, HookStage, LlmStage, after, before};

/// Who is asked in the end, as far as the hook can choose: whoever the client names.
const CLIENT: &str = "client";

impl Runner {
    /// Runs the plugin's pre-hook. `model` is the one that the client will ask.
    ///
    /// # Errors
    /// The plugin's rejection or its fault.
    pub async fn inlet(&self, plugin: &str, model: &str, exchange: Exchange) -> Result<Flow, Error> {
        let plugins = self.registry.snapshot();
        exchange.kept.add(plugins.clone());
        let target = Target { provider: CLIENT.to_owned(), model: model.to_owned(), secret_key_name: None, on_status: None };
        let llm = LlmStage { targets: vec![target], weights: Vec::new(), hedge_after: None };
        let deadline = exchange.deadline.instant();
        let stage = only(plugin);
        let ran = Box::pin(before::run(&stage, &plugins, &llm, exchange, &self.metrics));
        tokio::time::timeout_at(deadline, ran).await.unwrap_or(Err(Error::Deadline))
    }

    /// Runs the plugin's hook on a reply; says whether it changed anything.
    ///
    /// # Errors
    /// The plugin's rejection or its fault.
    pub async fn outlet(&self, plugin: &str, exchange: Exchange, completion: Completion) -> Result<(Exchange, Completion, bool), Error> {
        let plugins = self.registry.snapshot();
        exchange.kept.add(plugins.clone());
        let deadline = exchange.deadline.instant();
        let stage = only(plugin);
        let ran = Box::pin(after::run(&stage, &plugins, exchange, completion, &self.metrics));
        tokio::time::timeout_at(deadline, ran).await.unwrap_or(Err(Error::Deadline))
    }
}

fn only(plugin: &str) -> HookStage {
    HookStage { enabled: true, locked: true, plugins: vec![plugin.to_owned()] }
}
