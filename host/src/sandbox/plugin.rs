//! One loaded plugin and its calls: a place, a fresh store and instance, the hook, the verdict, the figures.
//! Every call is bounded by fuel, memory, bytes and the wall clock. Must not know where the component came from.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tracing::Instrument;
use wasmtime::{Engine, PoolConcurrencyLimitError, Store, Trap};

use super::bindings::{post, pre};
use super::hostcalls::config::ConfigText;
use super::hostcalls::log::{Log, harmless};
use super::limiter::{Budget, Denied};
use super::outcome::{PostOutcome, PreOutcome, settle_post, settle_pre};
use super::state::{State, store};
use super::{Exhausted, Fault, FaultKind, Limits, convert};
use crate::chat::{Completion, Exchange, RequestId};
use crate::telemetry::{Metrics, plugin_done, plugin_span};

/// Bytes of a guest's own words in a fault.
const WORDS_BYTES: usize = 500;

/// A component that passed admission, with what the operator decided about it.
pub struct Plugin {
    pub(super) name: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) summary: Option<String>,
    pub(super) config_schema: Option<String>,
    /// SHA-256 of the component in hex.
    pub(super) hash: String,
    pub(super) limits: Limits,
    pub(super) config: Arc<ConfigText>,
    pub(super) pre: Option<pre::BarePrePre<State>>,
    pub(super) post: Option<post::BarePostPre<State>>,
    /// Places of this plugin's own, so that it leaves some to the others.
    pub(super) permits: Arc<Semaphore>,
    pub(super) shared: Arc<Shared>,
}

/// What all plugins share.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) permits: Arc<Semaphore>,
    pub(super) memory: Arc<Budget>,
    pub(super) queue_time: Duration,
    pub(super) metrics: Arc<Metrics>,
}

impl Plugin {
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The hooks it exports, in words of the pipeline.
    pub fn hooks(&self) -> Vec<&'static str> {
        let hooks = [("pre_hook", self.pre.is_some()), ("post_hook", self.post.is_some())];
        hooks.into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
    }

    /// Runs the pre-hook on the exchange and applies what it decided.
    ///
    /// # Errors
    /// A fault; the exchange is then unchanged.
    pub async fn pre_hook(&self, exchange: &mut Exchange, model: &str) -> Result<PreOutcome, Fault> {
        let call = self.call("pre_hook", &exchange.id);
        let hook = self.pre.as_ref().ok_or_else(|| call.invalid(FaultKind::NoHook))?;
        let _permit = call.permit().await?;
        let request = pre::exports::cofferdam::hooks::pre_hook::Request {
            context: convert::context(exchange),
            model: exchange.model.as_deref().unwrap_or(model).to_owned(),
            messages: exchange.messages.iter().map(convert::message).collect(),
            params: convert::fields(exchange.params.iter().map(|(name, value)| (name, value))),
            metadata: convert::fields(&exchange.metadata),
        };
        let hook = async |store: &mut Store<State>| {
            let instance = hook.instantiate_async(&mut *store).await?;
            instance.cofferdam_hooks_pre_hook().call_on_request(store, &request).await
        };
        call.run(hook, |outcome| settle_pre(outcome, exchange)).await
    }

    /// Runs the post-hook on the completion and applies what it decided.
    ///
    /// # Errors
    /// A fault; exchange and completion are then unchanged.
    pub async fn post_hook(&self, exchange: &mut Exchange, completion: &mut Completion) -> Result<PostOutcome, Fault> {
        use post::exports::cofferdam::hooks::post_hook::{Choice, Reply};
        let call = self.call("post_hook", &exchange.id);
        let hook = self.post.as_ref().ok_or_else(|| call.invalid(FaultKind::NoHook))?;
        let _permit = call.permit().await?;
        let choices = completion.choices.iter().map(|choice| Choice {
            index: choice.index,
            message: convert::message(&choice.message),
            finish_reason: choice.finish_reason.clone(),
        });
        let reply = Reply {
            context: convert::context(exchange),
            model: completion.model.clone(),
            choices: choices.collect(),
            usage: completion.usage.as_ref().map(|usage| usage.get().to_owned()),
            metadata: convert::fields(&exchange.metadata),
        };
        let hook = async |store: &mut Store<State>| {
            let instance = hook.instantiate_async(&mut *store).await?;
            instance.cofferdam_hooks_post_hook().call_on_reply(store, &reply).await
        };
        call.run(hook, |outcome| settle_post(outcome, exchange, completion)).await
    }

    fn call(&self, hook: &'static str, request: &RequestId) -> Call<'_> {
        Call {
            plugin: &self.name,
            version: &self.version,
            hook,
            limits: &self.limits,
            config: &self.config,
            permits: &self.permits,
            request: request.clone(),
            shared: &self.shared,
        }
    }
}

/// What a call that ended well came to, in one word for metrics.
pub(super) trait Verdict {
    fn word(&self) -> &'static str;
}

impl Verdict for PreOutcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Proceed | Self::Respond(_) => "ok",
            Self::Reject(_) => "rejected",
        }
    }
}

impl Verdict for PostOutcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Keep | Self::Replaced => "ok",
            Self::Reject(_) => "rejected",
        }
    }
}

/// One call on its way.
pub(super) struct Call<'a> {
    pub(super) plugin: &'a Arc<str>,
    pub(super) version: &'a Arc<str>,
    pub(super) hook: &'static str,
    pub(super) limits: &'a Limits,
    pub(super) config: &'a Arc<ConfigText>,
    pub(super) permits: &'a Arc<Semaphore>,
    pub(super) request: RequestId,
    pub(super) shared: &'a Shared,
}

impl Call<'_> {
    /// Waits for one of the pool's permits, not for long. Taken before the store is made, so the pool is never short.
    pub(super) async fn permit(&self) -> Result<[SemaphorePermit<'_>; 2], Fault> {
        if let (Ok(own), Ok(shared)) = (self.permits.try_acquire(), self.shared.permits.try_acquire()) {
            return Ok([own, shared]);
        }
        // The plugin's own place first: who waits for it must not hold one of the others'.
        let both = async { Ok([self.permits.acquire().await?, self.shared.permits.acquire().await?]) };
        match tokio::time::timeout(self.shared.queue_time, both).await {
            Ok(permits) => permits.map_err(|_: tokio::sync::AcquireError| self.invalid(FaultKind::Busy)),
            Err(_) => Err(self.invalid(FaultKind::Busy)),
        }
    }

    /// Runs `hook` in a fresh store under all limits, then has its result checked by `settle`. Dropping the future ends the guest.
    pub(super) async fn run<T, U: Verdict>(
        &self,
        hook: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<T>,
        settle: impl FnOnce(T) -> Result<U, FaultKind>,
    ) -> Result<U, Fault> {
        let span = plugin_span(self.plugin, self.version, self.hook);
        let recorded = span.clone();
        let started = Instant::now();
        let log = Log::new(self.plugin.clone(), self.request.clone(), self.limits.log_lines, self.limits.log_line_bytes);
        let made = store(&self.shared.engine, &self.shared.memory, self.limits, log.clone(), self.config.clone());
        let mut store = made.map_err(|error| self.host_bug(&error))?;
        let result = tokio::time::timeout(self.limits.time, hook(&mut store).instrument(span)).await;
        let took = started.elapsed();
        let verdict = match result {
            Err(_) => Err(FaultKind::Exhausted(Exhausted::Time(self.limits.time))),
            Ok(Err(error)) => Err(self.why(&error, store.data().limiter.denied)),
            Ok(Ok(value)) => settle(value),
        };
        // After running out, the store's own count is known to be too low.
        let fuel = match &verdict {
            Err(FaultKind::Exhausted(Exhausted::Fuel(all))) => *all,
            _ => self.limits.fuel - store.get_fuel().unwrap_or(0),
        };
        let memory = store.data().limiter.memory();
        drop(store);
        let outcome = verdict.as_ref().map_or_else(FaultKind::word, U::word);
        plugin_done(&recorded, outcome, took.as_secs_f64(), fuel, memory);
        self.shared.metrics.plugin_call(self.plugin, self.hook, outcome, took.as_secs_f64(), fuel, memory);
        self.report_dropped(&log);
        verdict.map_err(|kind| self.fault(kind))
    }

    fn report_dropped(&self, log: &Log) {
        let dropped = log.dropped();
        if dropped > 0 {
            let (plugin, request) = (&**self.plugin, &*self.request);
            tracing::warn!(plugin, request, dropped, "log lines over the limit were dropped");
            self.shared.metrics.plugin_log_dropped(self.plugin, dropped);
        }
    }

    fn why(&self, error: &wasmtime::Error, denied: Option<Denied>) -> FaultKind {
        match (denied, error.downcast_ref::<Exhausted>()) {
            (Some(Denied::Own(limit)), _) | (None, Some(&limit)) => return FaultKind::Exhausted(limit),
            (Some(Denied::Shared), _) => return FaultKind::Busy,
            (None, None) if error.is::<PoolConcurrencyLimitError>() => return FaultKind::Busy,
            (None, None) => {}
        }
        let text = error.root_cause().to_string();
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => FaultKind::Exhausted(Exhausted::Fuel(self.limits.fuel)),
            Some(Trap::StackOverflow) => FaultKind::Exhausted(Exhausted::Stack),
            Some(trap) => FaultKind::Trapped(trap.to_string()),
            // wasmtime keeps this error's type to itself; a test watches its text.
            None if text.contains("fuel allocated for hostcalls has been exhausted") => {
                FaultKind::Exhausted(Exhausted::Output(self.limits.output))
            }
            None if error.is::<wasmtime_wasi::I32Exit>() => FaultKind::Trapped("it called exit".into()),
            None => FaultKind::Trapped(text),
        }
    }

    fn host_bug(&self, error: &wasmtime::Error) -> Fault {
        self.invalid(FaultKind::Host(format!("{error:#}")))
    }

    /// A fault found outside the guest's run, which counts all the same.
    fn invalid(&self, kind: FaultKind) -> Fault {
        self.shared.metrics.plugin_call(self.plugin, self.hook, kind.word(), 0.0, 0, 0);
        self.fault(kind)
    }

    /// A guest's words in it are cut and made harmless, for they go to the log and to the client.
    fn fault(&self, kind: FaultKind) -> Fault {
        let kind = match kind {
            FaultKind::Reported(words) => FaultKind::Reported(harmless(&words, WORDS_BYTES)),
            FaultKind::Trapped(words) => FaultKind::Trapped(harmless(&words, WORDS_BYTES)),
            FaultKind::Invalid(words) => FaultKind::Invalid(harmless(&words, WORDS_BYTES)),
            other => other,
        };
        Fault { plugin: self.plugin.clone(), version: self.version.clone(), hook: self.hook, kind }
    }
}
