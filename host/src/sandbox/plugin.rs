//! One loaded plugin and its hooks: each hands the guest the exchange in the contract's shapes and applies what the guest decided.
//! A call takes the exchange along, because it may go to another thread, and gives it back; after a fault it is as it was before.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower};

use super::call::Callee;
use super::capability::Capability;
use super::outcome::{PostOutcome, PreOutcome, settle_post, settle_pre};
use super::shapes::{Reply, Request};
use super::store::State;
use super::{Fault, FaultKind, Hook, PluginConfig};
use crate::chat::{Completion, Exchange};

/// A component that passed admission, with what the operator decided about it.
pub struct Plugin {
    pub(super) callee: Callee,
    pub(super) summary: Option<String>,
    pub(super) config_schema: Option<String>,
    /// SHA-256 of the component in hex.
    pub(super) hash: String,
    pub(super) pre: Option<Arc<Export>>,
    pub(super) post: Option<Arc<Export>>,
    /// What it imports of what a plugin may call.
    pub(super) wanted: Vec<Capability>,
    /// What the operator decided when it was linked.
    pub(super) own: PluginConfig,
}

/// A hook that a component exports.
pub(super) struct Export {
    component: InstancePre<State>,
    function: ComponentExportIndex,
}

impl Plugin {
    pub fn name(&self) -> &str {
        &self.callee.name
    }

    /// The compiled component; none if it has no hook, which admission refuses.
    pub(super) fn component(&self) -> Option<&Component> {
        self.pre.as_ref().or(self.post.as_ref()).map(|export| export.component.component())
    }

    /// The hooks it exports, in words of the pipeline.
    pub fn hooks(&self) -> Vec<&'static str> {
        let hooks = [(Hook::Pre, self.pre.is_some()), (Hook::Post, self.post.is_some())];
        hooks.into_iter().filter_map(|(hook, has)| has.then_some(hook.word())).collect()
    }

    /// Runs the pre-hook on the exchange and applies what it decided. `model` is the pipeline's, for an exchange without one of its own.
    /// The exchange comes back; after a fault it is unchanged.
    pub async fn pre_hook(&self, mut exchange: Exchange, model: &str) -> (Exchange, Result<PreOutcome, Fault>) {
        let call = self.callee.call(Hook::Pre, &exchange.id);
        let Some(hook) = self.pre.clone() else { return (exchange, Err(call.failed(FaultKind::NoHook))) };
        let guest = match call.guest(&exchange.client).await {
            Ok(guest) => guest,
            Err(fault) => return (exchange, Err(fault)),
        };
        let (bytes, model) = (Request::bytes(&exchange), Box::<str>::from(model));
        let work = async move {
            let ran = {
                let request = Request::of(&exchange, &model);
                guest.run(async |store: &mut Store<State>| hook.call(store, (&request,)).await).await
            };
            let checked = ran.check(|outcome| settle_pre(outcome, &mut exchange));
            (exchange, checked)
        };
        call.settle(bytes, work).await
    }

    /// Runs the post-hook on the completion and applies what it decided. Both come back; after a fault they are unchanged.
    pub async fn post_hook(
        &self,
        mut exchange: Exchange,
        mut completion: Completion,
    ) -> ((Exchange, Completion), Result<PostOutcome, Fault>) {
        let call = self.callee.call(Hook::Post, &exchange.id);
        let Some(hook) = self.post.clone() else { return ((exchange, completion), Err(call.failed(FaultKind::NoHook))) };
        let guest = match call.guest(&exchange.client).await {
            Ok(guest) => guest,
            Err(fault) => return ((exchange, completion), Err(fault)),
        };
        let bytes = Reply::bytes(&exchange, &completion);
        let work = async move {
            let ran = {
                let reply = Reply::of(&exchange, &completion);
                guest.run(async |store: &mut Store<State>| hook.call(store, (&reply,)).await).await
            };
            let checked = ran.check(|outcome| settle_post(outcome, &mut exchange, &mut completion));
            ((exchange, completion), checked)
        };
        call.settle(bytes, work).await
    }
}

impl Export {
    /// The function of the interface, if the component exports both.
    pub(super) fn find(component: &InstancePre<State>, interface: &str, function: &str) -> Option<Arc<Self>> {
        let exports = component.component();
        let interface = exports.get_export_index(None, interface)?;
        let function = exports.get_export_index(Some(&interface), function)?;
        Some(Arc::new(Self { component: component.clone(), function }))
    }

    /// Calls it in a new instance.
    async fn call<P, R>(&self, store: &mut Store<State>, parameters: P) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower,
        R: 'static,
        (R,): ComponentNamedList + Lift,
    {
        let instance = self.component.instantiate_async(&mut *store).await?;
        let function = instance.get_typed_func::<P, (R,)>(&mut *store, self.function)?;
        let (returned,) = function.call_async(store, parameters).await?;
        Ok(returned)
    }
}
