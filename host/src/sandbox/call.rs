//! One hook call: its permits, a fresh store, the guest under its limits, the check of what it returned, the figures.
//! Whatever a guest does, a call ends within its limits, and its store is dropped before the caller sees the outcome.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::{Instrument, Span};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store, Trap};

use super::capability::log::{Log, harmless};
use super::clocks::{Clocks, Spent};
use super::env::CallEnv;
use super::limiter::{Budget, Denied};
use super::store::{State, store};
use super::{Exhausted, Fault, FaultKind, Hook, Limits};
use crate::chat::RequestId;
use crate::telemetry::{HookCall, Metrics, PluginFigures, plugin_done, plugin_span};

/// Bytes of a guest's own text that a fault keeps.
const TEXT_BYTES: usize = 500;

/// What all plugins share.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) permits: Semaphore,
    pub(super) memory: Arc<Budget>,
    pub(super) queue_time: Duration,
    pub(super) metrics: Arc<Metrics>,
}

/// Who is called: what all calls of one plugin have in common.
pub(super) struct Callee {
    pub(super) name: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) limits: Limits,
    /// This plugin's own permits, so that it leaves some to the others.
    permits: Semaphore,
    figures: PluginFigures,
    shared: Arc<Shared>,
}

/// What a call that ended well came to.
pub(super) trait Verdict {
    /// One word for metrics and logs.
    fn word(&self) -> &'static str;
}

/// One call on its way.
pub(super) struct Call<'a> {
    callee: &'a Callee,
    env: Arc<CallEnv>,
}

/// A guest that has ended: what it returned, or why it did not, and what that took.
pub(super) struct Ran<T> {
    result: Result<T, FaultKind>,
    span: Span,
    spent: Spent,
    fuel: u64,
    peak_memory: usize,
}

impl Callee {
    /// `calls` is how many may run at once.
    pub(super) fn new(name: Arc<str>, version: Arc<str>, limits: Limits, calls: usize, shared: Arc<Shared>) -> Self {
        let figures = shared.metrics.plugin(&name);
        Self { name, version, limits, permits: Semaphore::new(calls), figures, shared }
    }

    /// A call for `request`, whose clocks start when it runs.
    pub(super) fn call(&self, hook: Hook, request: &RequestId) -> Call<'_> {
        let env = CallEnv {
            plugin: self.name.clone(),
            version: self.version.clone(),
            hook,
            request: request.clone(),
            limits: self.limits,
            log: Log::new(self.name.clone(), request.clone(), &self.limits),
            clocks: Clocks::new(&self.limits),
        };
        Call { callee: self, env: Arc::new(env) }
    }
}

impl<'a> Call<'a> {
    /// Waits for a permit of the plugin's own and one of the pool's, not for long. They are taken before the store is made, so that the pool
    /// of instances is never short.
    ///
    /// # Errors
    /// `Busy` after `queue_time`.
    pub(super) async fn permits(&self) -> Result<[SemaphorePermit<'a>; 2], Fault> {
        let Callee { permits: own, shared, .. } = self.callee;
        if let (Ok(own), Ok(pool)) = (own.try_acquire(), shared.permits.try_acquire()) {
            return Ok([own, pool]);
        }
        // The plugin's own permit first: a call that waits for it must not hold one that others could use.
        let both = async { Ok([own.acquire().await?, shared.permits.acquire().await?]) };
        match tokio::time::timeout(shared.queue_time, both).await {
            Ok(permits) => permits.map_err(|_: tokio::sync::AcquireError| self.failed(FaultKind::Busy)),
            Err(_) => Err(self.failed(FaultKind::Busy)),
        }
    }

    /// Runs `hook` in a fresh store under all limits; the store is gone when this returns. Dropping the future ends the guest.
    pub(super) async fn run<T>(&self, hook: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<T>) -> Ran<T> {
        let Self { callee, env } = self;
        let span = plugin_span(&env.plugin, &env.version, env.hook.word());
        env.clocks.start();
        let mut store = match store(&callee.shared.engine, &callee.shared.memory, env.clone()) {
            Ok(store) => store,
            Err(error) => {
                let result = Err(FaultKind::Host(format!("{error:#}")));
                return Ran { result, span, spent: Spent::default(), fuel: 0, peak_memory: 0 };
            }
        };
        let result = env.clocks.bound(hook(&mut store).instrument(span.clone())).await;
        let spent = env.clocks.spent();
        let result = match result {
            Err(limit) => Err(FaultKind::Exhausted(limit)),
            Ok(Err(error)) => Err(self.why(&error, store.data().limiter.denied)),
            Ok(Ok(value)) => Ok(value),
        };
        let fuel = match &result {
            // After running out, the store's own count is known to be too low.
            Err(FaultKind::Exhausted(Exhausted::Fuel(all))) => *all,
            _ => env.limits.fuel - store.get_fuel().unwrap_or(0),
        };
        Ran { result, span, spent, fuel, peak_memory: store.data().limiter.memory() }
    }

    /// Has what the guest returned checked by `check`, and records the call.
    ///
    /// # Errors
    /// The fault of the guest, or of `check`.
    pub(super) fn settle<T, U: Verdict>(&self, ran: Ran<T>, check: impl FnOnce(T) -> Result<U, FaultKind>) -> Result<U, Fault> {
        let Ran { result, span, spent, fuel, peak_memory } = ran;
        let verdict = result.and_then(check);
        let figures = HookCall {
            hook: self.env.hook.word(),
            outcome: verdict.as_ref().map_or_else(FaultKind::word, U::word),
            seconds: spent.whole().as_secs_f64(),
            waited: spent.waiting.as_secs_f64(),
            fuel,
            peak_memory,
        };
        plugin_done(&span, &figures);
        self.callee.figures.call(&figures);
        self.report_dropped_lines();
        verdict.map_err(|kind| self.fault(kind))
    }

    /// A fault found before the guest ran, which counts all the same.
    pub(super) fn failed(&self, kind: FaultKind) -> Fault {
        self.callee.figures.call(&HookCall { hook: self.env.hook.word(), outcome: kind.word(), ..HookCall::default() });
        self.fault(kind)
    }

    fn report_dropped_lines(&self) {
        let dropped = self.env.log.dropped();
        if dropped > 0 {
            let (plugin, request) = (&*self.env.plugin, &*self.env.request);
            tracing::warn!(plugin, request, dropped, "log lines over the limit were dropped");
            self.callee.figures.log_dropped(dropped);
        }
    }

    fn why(&self, error: &wasmtime::Error, denied: Option<Denied>) -> FaultKind {
        match denied {
            Some(Denied::Own(limit)) => return FaultKind::Exhausted(limit),
            Some(Denied::Shared) => return FaultKind::Busy,
            None if error.is::<PoolConcurrencyLimitError>() => return FaultKind::Busy,
            None => {}
        }
        let text = error.root_cause().to_string();
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => FaultKind::Exhausted(Exhausted::Fuel(self.env.limits.fuel)),
            Some(Trap::StackOverflow) => FaultKind::Exhausted(Exhausted::Stack),
            Some(trap) => FaultKind::Trapped(trap.to_string()),
            // wasmtime keeps this error's type to itself; a test watches its text.
            None if text.contains("fuel allocated for hostcalls has been exhausted") => {
                FaultKind::Exhausted(Exhausted::Output(self.env.limits.output))
            }
            None if error.is::<wasmtime_wasi::I32Exit>() => FaultKind::Trapped("it called exit".into()),
            None => FaultKind::Trapped(text),
        }
    }

    /// A guest's text in it is cut and made harmless, because it goes to the log and to the client.
    fn fault(&self, kind: FaultKind) -> Fault {
        let kind = match kind {
            FaultKind::Reported(text) => FaultKind::Reported(harmless(&text, TEXT_BYTES)),
            FaultKind::Trapped(text) => FaultKind::Trapped(harmless(&text, TEXT_BYTES)),
            FaultKind::Invalid(text) => FaultKind::Invalid(harmless(&text, TEXT_BYTES)),
            other => other,
        };
        Fault { plugin: self.env.plugin.clone(), version: self.env.version.clone(), hook: self.env.hook, kind }
    }
}
