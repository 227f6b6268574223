//! One loaded plugin and its hooks: each hands the guest the exchange in the contract's shapes and applies what the guest decided.
//! After a fault the exchange is as it was before.

use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower};

use super::call::Callee;
use super::outcome::{PostOutcome, PreOutcome, settle_post, settle_pre};
use super::shapes::{Reply, Request};
use super::store::State;
use super::{Fault, FaultKind, Hook};
use crate::chat::{Completion, Exchange};

/// A component that passed admission, with what the operator decided about it.
pub struct Plugin {
    pub(super) callee: Callee,
    pub(super) summary: Option<String>,
    pub(super) config_schema: Option<String>,
    /// SHA-256 of the component in hex.
    pub(super) hash: String,
    pub(super) pre: Option<Export>,
    pub(super) post: Option<Export>,
}

/// A hook that a component exports.
#[derive(Clone)]
pub(super) struct Export {
    component: InstancePre<State>,
    function: ComponentExportIndex,
}

impl Plugin {
    pub fn name(&self) -> &str {
        &self.callee.name
    }

    /// The hooks it exports, in words of the pipeline.
    pub fn hooks(&self) -> Vec<&'static str> {
        let hooks = [(Hook::Pre, self.pre.is_some()), (Hook::Post, self.post.is_some())];
        hooks.into_iter().filter_map(|(hook, has)| has.then_some(hook.word())).collect()
    }

    /// Runs the pre-hook on the exchange and applies what it decided. `model` is the pipeline's, for an exchange without one of its own.
    ///
    /// # Errors
    /// A fault; the exchange is then unchanged.
    pub async fn pre_hook(&self, exchange: &mut Exchange, model: &str) -> Result<PreOutcome, Fault> {
        let call = self.callee.call(Hook::Pre, &exchange.id);
        let hook = self.pre.as_ref().ok_or_else(|| call.failed(FaultKind::NoHook))?;
        let _permits = call.permits().await?;
        let ran = {
            let request = Request::of(exchange, model);
            call.run(async |store: &mut Store<State>| hook.call(store, (&request,)).await).await
        };
        call.settle(ran, |outcome| settle_pre(outcome, exchange))
    }

    /// Runs the post-hook on the completion and applies what it decided.
    ///
    /// # Errors
    /// A fault; exchange and completion are then unchanged.
    pub async fn post_hook(&self, exchange: &mut Exchange, completion: &mut Completion) -> Result<PostOutcome, Fault> {
        let call = self.callee.call(Hook::Post, &exchange.id);
        let hook = self.post.as_ref().ok_or_else(|| call.failed(FaultKind::NoHook))?;
        let _permits = call.permits().await?;
        let ran = {
            let reply = Reply::of(exchange, completion);
            call.run(async |store: &mut Store<State>| hook.call(store, (&reply,)).await).await
        };
        call.settle(ran, |outcome| settle_post(outcome, exchange, completion))
    }
}

impl Export {
    /// The function of the interface, if the component exports both.
    pub(super) fn find(component: &InstancePre<State>, interface: &str, function: &str) -> Option<Self> {
        let exports = component.component();
        let interface = exports.get_export_index(None, interface)?;
        let function = exports.get_export_index(Some(&interface), function)?;
        Some(Self { component: component.clone(), function })
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
