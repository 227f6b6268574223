//! What a component exports of the contract, found and compared with the types that the host calls it with. Nothing of the component runs for
//! that, and nothing is published without it, so no call ever meets a hook of another shape.

use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Lower};

use super::FaultKind;
use super::bindings::types::{Delta, HookError};
use super::bindings::{model, plugin, post_hook, pre_hook, stream_hook};
use super::capability::log::harmless;
use super::contract::{self, Kind};
use super::done;
use super::handler::Handler;
use super::handler::answered::Answer;
use super::handler::asked::Asked;
use super::refusal::Refusal;
use super::shapes::{Context, Question, Reply, Request};
use super::store::State;

/// Bytes of the linker's words in a refusal: they may hold names that the component chose, and the remedy stands behind them.
const CAUSE_BYTES_MAX: usize = 800;

/// A component that is linked to what it may call, and what it exports.
pub(super) struct Exports {
    linked: InstancePre<State>,
    pub(super) plugin: Option<plugin::GuestIndices>,
    pub(super) pre_hook: Option<Function>,
    pub(super) post_hook: Option<Function>,
    pub(super) stream_hook: Option<stream_hook::GuestIndices>,
    pub(super) done_hook: Option<Function>,
    pub(super) model: Option<Model>,
    pub(super) embedder: Option<Function>,
    /// Which stands for both hooks.
    pub(super) handler: Option<Handler>,
}

/// A hook's one function, which is called with borrowed views in place of the generated types.
#[derive(Clone, Copy)]
pub(super) struct Function(ComponentExportIndex);

/// The functions of `model`.
#[derive(Clone, Copy)]
pub(super) struct Model {
    pub(super) models: Function,
    pub(super) answer: Function,
}

impl Exports {
    /// Finds and checks every interface of the contract that the component exports.
    ///
    /// # Errors
    /// Which function differs, how, and what to do.
    pub(super) fn check(linked: InstancePre<State>) -> Result<Self, Refusal> {
        let find = |kind| Interface::find(&linked, kind);
        let (pre_hook, post_hook) = (find(contract::PRE_HOOK), find(contract::POST_HOOK));
        Ok(Self {
            plugin: find(contract::PLUGIN)
                .map(|of| {
                    of.function::<(), plugin::Description>("describe")?;
                    of.indices(plugin::GuestIndices::new)
                })
                .transpose()?,
            pre_hook: pre_hook.map(|of| of.function::<(&Request<'_>,), Result<pre_hook::Outcome, HookError>>("on-request")).transpose()?,
            post_hook: post_hook.map(|of| of.function::<(&Reply<'_>,), Result<post_hook::Outcome, HookError>>("on-reply")).transpose()?,
            stream_hook: find(contract::STREAM_HOOK)
                .map(|of| {
                    of.function::<(&stream_hook::Opening,), Result<stream_hook::Mode, HookError>>("open")?;
                    of.function::<(&[Delta],), Result<stream_hook::Step, HookError>>("push")?;
                    of.function::<(stream_hook::Ending,), Result<stream_hook::Farewell, HookError>>("close")?;
                    of.indices(stream_hook::GuestIndices::new)
                })
                .transpose()?,
            done_hook: find(contract::DONE_HOOK)
                .map(|of| of.function::<(&done::shape::Exchange<'_>,), Result<(), HookError>>("on-done"))
                .transpose()?,
            model: find(contract::MODEL)
                .map(|of| {
                    let models = of.function::<(), Result<Vec<model::Info>, HookError>>("models")?;
                    let answer = of.function::<(&Question<'_>,), Result<(), model::AnswerError>>("answer")?;
                    Ok::<_, Refusal>(Model { models, answer })
                })
                .transpose()?,
            embedder: find(contract::EMBEDDER)
                .map(|of| of.function::<(&Context<'_>, &str, &[String]), Result<Vec<Vec<f32>>, HookError>>("embed"))
                .transpose()?,
            handler: Handler::find(&linked)?,
            linked,
        })
    }

    /// The interfaces that there are.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Kind> {
        let has = [
            self.plugin.is_some(),
            self.pre_hook.is_some(),
            self.post_hook.is_some(),
            self.stream_hook.is_some(),
            self.done_hook.is_some(),
            self.model.is_some(),
            self.embedder.is_some(),
        ];
        contract::KINDS.into_iter().zip(has).filter_map(|(kind, has)| has.then_some(kind))
    }

    /// The compiled component.
    pub(super) fn component(&self) -> &Component {
        self.linked.component()
    }

    /// A new instance, in a store of its own.
    pub(super) async fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<wasmtime::component::Instance> {
        self.linked.instantiate_async(store).await
    }

    /// Has the function in the style of the web answer, in a new instance.
    pub(super) async fn ask(&self, store: &mut Store<State>, asked: &Asked) -> wasmtime::Result<Result<Answer, FaultKind>> {
        let Some(handler) = &self.handler else { return Ok(Err(FaultKind::NoHook)) };
        let instance = self.instantiate(&mut *store).await?;
        handler.ask(store, &instance, asked).await
    }

    /// Calls a hook's function in a new instance.
    pub(super) async fn call<P, R>(&self, store: &mut Store<State>, Function(index): Function, parameters: P) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower,
        R: 'static,
        (R,): ComponentNamedList + Lift,
    {
        let instance = self.instantiate(&mut *store).await?;
        let function = instance.get_typed_func::<P, (R,)>(&mut *store, index)?;
        let (returned,) = function.call_async(store, parameters).await?;
        Ok(returned)
    }
}

/// One exported interface, on its way to be checked.
struct Interface<'a> {
    linked: &'a InstancePre<State>,
    kind: Kind,
    index: ComponentExportIndex,
}

impl<'a> Interface<'a> {
    fn find(linked: &'a InstancePre<State>, kind: Kind) -> Option<Self> {
        let index = linked.component().get_export_index(None, kind.export)?;
        Some(Self { linked, kind, index })
    }

    /// The function of that name, if it takes and returns these types.
    fn function<P, R>(&self, name: &str) -> Result<Function, Refusal>
    where
        P: ComponentNamedList + Lower,
        (R,): ComponentNamedList + Lift,
    {
        let interface = self.kind.interface;
        match self.linked.component().get_export(Some(&self.index), name) {
            Some((ComponentItem::ComponentFunc(function), index)) => {
                let fits = function.typecheck::<P, (R,)>(&self.linked.instance_type());
                fits.map_err(|error| {
                    let cause = harmless(&format!("{error:#}"), CAUSE_BYTES_MAX);
                    contract::other_shape(&format!("its `{interface}` has another `{name}`"), &cause)
                })?;
                Ok(Function(index))
            }
            _ => Err(contract::other_shape(&format!("its `{interface}` is another"), &format!("it has no function `{name}`")).into()),
        }
    }

    /// The generated way to call its functions, all of which were checked.
    fn indices<T>(&self, new: impl FnOnce(&InstancePre<State>) -> wasmtime::Result<T>) -> Result<T, Refusal> {
        let broken = |error: wasmtime::Error| {
            let cause = harmless(&format!("{error:#}"), CAUSE_BYTES_MAX);
            Refusal::from(contract::other_shape(&format!("its `{}` is another", self.kind.interface), &cause))
        };
        new(self.linked).map_err(broken)
    }
}

/// Why a component's imports cannot be linked, although each of their names is known.
pub(super) fn imports_differ(error: &wasmtime::Error) -> String {
    let cause = harmless(&format!("{error:#}"), CAUSE_BYTES_MAX);
    if cause.contains("cofferdam:hooks/") {
        return contract::other_shape("it imports something else", &cause);
    }
    format!("its imports do not fit this host: {cause}; rebuild it with current tools")
}
