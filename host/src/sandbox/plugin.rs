//! One loaded plugin and its hooks: each hands the guest the exchange in the contract's shapes and applies what the guest decided.
//! A call takes the exchange along, because it may go to another thread, and gives it back; after a fault it is as it was before.

use std::sync::Arc;

use wasmtime::Store;

use super::call::Callee;
use super::capability::Capability;
use super::exports::Exports;
use super::limits::EmbedBatch;
use super::models::{ModelInfo, Models};
use super::nested::Copies;
use super::outcome::{PostOutcome, PreOutcome, settle_post, settle_pre};
use super::scope::Scope;
use super::settings::{Book, told};
use super::shapes::{Reply, Request};
use super::store::State;
use super::targets::Targets;
use super::{Fault, FaultKind, Hook, PluginConfig};
use crate::chat::{Completion, Exchange, Said};

/// A component that passed admission, with what the operator decided about it.
pub struct Plugin {
    pub(super) callee: Callee,
    /// The same for its answers, if it is a model, and the models that it has.
    pub(super) model: Option<Models>,
    /// What one call is handed of it, if it computes vectors.
    pub(super) embed_batch: EmbedBatch,
    pub(super) summary: Option<String>,
    pub(super) config_schema: Option<String>,
    /// SHA-256 of the component in hex.
    pub(super) hash: String,
    pub(super) exports: Arc<Exports>,
    /// What it imports of what a plugin may call.
    pub(super) wanted: Vec<Capability>,
    /// What its parts may hand each other, which bounds its limits.
    pub(super) copies: Copies,
    /// What its hooks are handed and may change.
    pub(super) scope: Arc<Scope>,
    /// What the operator decided when it was linked.
    pub(super) own: PluginConfig,
}

impl Plugin {
    pub fn name(&self) -> &str {
        &self.callee.name
    }

    /// The JSON Schema of its settings, as it wrote it.
    pub fn config_schema(&self) -> Option<&str> {
        self.config_schema.as_deref()
    }

    /// Takes over what is kept of its settings now, if that fits; a live plugin is never taken down for its settings.
    pub(super) fn refresh_settings(&self, book: &Book) {
        if let Err(problems) = self.callee.settings.refresh(book.of(self.name()).as_deref()) {
            let problems = told(&problems);
            tracing::error!(
                plugin = self.name(),
                problems,
                "what is kept of the plugin's settings does not fit it; it goes on with those it had"
            );
        }
    }

    /// The hooks it exports, in words of the pipeline.
    pub fn hooks(&self) -> Vec<&'static str> {
        let of_handler = self.exports.handler.iter().flat_map(|_| [Hook::Pre.word(), Hook::Post.word()]);
        self.exports.kinds().filter(|kind| kind.is_served()).map(|kind| kind.hook.word()).chain(of_handler).collect()
    }

    /// Whether it exports that hook.
    pub fn has(&self, hook: Hook) -> bool {
        match hook {
            Hook::Pre => self.exports.pre_hook.is_some() || self.exports.handler.is_some(),
            Hook::Post => self.exports.post_hook.is_some() || self.exports.handler.is_some(),
            Hook::Stream => self.exports.stream_hook.is_some(),
            Hook::Answer | Hook::Models => self.exports.model.is_some(),
            Hook::Embed => self.exports.embedder.is_some(),
            Hook::Done => self.exports.done_hook.is_some(),
            Hook::Describe => false,
        }
    }

    /// Whether it may stand in that hook's stage of a pipeline: stream hooks and done-hooks stand in the stage of post-hooks.
    pub(super) fn serves(&self, stage: Hook) -> bool {
        self.has(stage) || (stage == Hook::Post && (self.has(Hook::Stream) || self.has(Hook::Done)))
    }

    /// Whether it sees the reply before the client does. One with a done-hook alone is told when all is over.
    pub fn sees_reply(&self) -> bool {
        self.has(Hook::Post) || self.has(Hook::Stream)
    }

    /// Whether it goes along with a streamed reply, or has to wait for the whole one.
    pub fn streams(&self) -> bool {
        self.has(Hook::Stream)
    }

    /// Whether it takes a whole reply as such.
    pub fn takes_whole(&self) -> bool {
        self.has(Hook::Post)
    }

    /// The models that it has; none if it is no model, or never said which.
    pub fn models(&self) -> Vec<ModelInfo> {
        self.model.as_ref().map_or_else(Vec::new, Models::list)
    }

    /// Asks for its models again.
    ///
    /// # Errors
    /// Its fault; the list stays as it was.
    pub(super) async fn ask_models(&self) -> Result<(), Fault> {
        match &self.model {
            Some(models) => models.ask(&self.exports, &self.callee).await,
            None => Ok(()),
        }
    }

    /// Runs the pre-hook on the exchange and applies what it decided. `targets` are the pipeline's, among which it may choose.
    /// The exchange comes back; after a fault it is unchanged.
    pub async fn pre_hook(&self, mut exchange: Exchange, targets: impl Into<Targets>) -> (Exchange, Result<PreOutcome, Fault>) {
        if self.exports.handler.is_some() {
            return self.pre_handler(exchange).await;
        }
        let call = self.callee.call(Hook::Pre, &exchange);
        let Some(hook) = self.exports.pre_hook else { return (exchange, Err(call.failed(FaultKind::NoHook))) };
        let guest = match call.guest().await {
            Ok(guest) => guest,
            Err(fault) => return (exchange, Err(fault)),
        };
        let (exports, scope, targets) = (self.exports.clone(), self.scope.clone(), targets.into());
        let bytes = Request::bytes(&exchange, &scope.reads);
        // Boxed where it is made: it is thousands of bytes, which each function that takes it by value would copy.
        let work = Box::pin(async move {
            let ran = {
                let request = Request::of(&exchange, targets.model(&exchange), &scope.reads);
                guest.run(async |store: &mut Store<State>| exports.call(store, hook, (&request,)).await).await
            };
            let checked = ran.check(|outcome, log| settle_pre(outcome, &mut exchange, log, &scope, &targets));
            (exchange, checked)
        });
        call.settle(bytes, work).await
    }

    /// Runs the post-hook on the completion and applies what it decided. Both come back; after a fault they are unchanged. With them comes what
    /// the hook was handed and has answered to.
    pub async fn post_hook(
        &self,
        mut exchange: Exchange,
        mut completion: Completion,
    ) -> ((Exchange, Completion), Result<PostOutcome, Fault>, Said) {
        let none = Said::default();
        if self.exports.handler.is_some() {
            let mut shown = Said::default();
            completion.choices.iter().for_each(|choice| shown.texts(&choice.message));
            let (both, outcome) = self.post_handler(exchange, completion).await;
            let shown = if outcome.is_ok() { shown } else { none };
            return (both, outcome, shown);
        }
        let call = self.callee.call(Hook::Post, &exchange);
        let Some(hook) = self.exports.post_hook else { return ((exchange, completion), Err(call.failed(FaultKind::NoHook)), none) };
        let guest = match call.guest().await {
            Ok(guest) => guest,
            Err(fault) => return ((exchange, completion), Err(fault), none),
        };
        let (exports, scope) = (self.exports.clone(), self.scope.clone());
        let bytes = Reply::bytes(&exchange, &completion, &scope.reads);
        let work = Box::pin(async move {
            let shown;
            let ran = {
                let reply = Reply::of(&exchange, &completion, &scope.reads);
                shown = reply.said(completion.usage.as_deref());
                guest.run(async |store: &mut Store<State>| exports.call(store, hook, (&reply,)).await).await
            };
            let checked = ran.check(|outcome, log| settle_post(outcome, &mut exchange, &mut completion, log, &scope));
            (((exchange, completion), shown), checked)
        });
        let ((both, shown), outcome) = call.settle(bytes, work).await;
        let shown = if outcome.is_ok() { shown } else { none };
        (both, outcome, shown)
    }
}
