//! One hook call: its permits, a fresh store, the guest under its limits, the check of what it returned, the figures.
//! Whatever a guest does, a call ends within its limits, and its store is dropped before the caller sees the outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{Instrument, Span};
use wasmtime::{Engine, PoolConcurrencyLimitError, Store, Trap};

use super::capability::http::budgets;
use super::capability::log::{Log, harmless};
use super::clocks::{Clocks, Over, Spent};
use super::env::CallEnv;
use super::errands::Errands;
use super::guests::Guests;
use super::limiter::{Budget, Denied};
use super::pace::Pace;
use super::settings::Live;
use super::store::{State, next_turn, store};
use super::ticker::Ticker;
use super::{Exhausted, Fault, FaultKind, Hook, Limits, ServerLimits, machine};
use crate::chat::{Client, Exchange, RequestId};
use crate::fair::{Share, Shares};
use crate::outbound::Calls;
use crate::telemetry::{HookCall, Metrics, PluginFigures, plugin_done, plugin_span};

/// Bytes of a guest's own text that a fault keeps.
const TEXT_BYTES: usize = 500;

/// What all plugins share.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) permits: Shares,
    pub(super) memory: Arc<Budget>,
    pub(super) queue_time: Duration,
    pub(super) starve_time: Duration,
    pub(super) guests: Arc<Guests>,
    pub(super) ticker: Arc<Ticker>,
    pub(super) metrics: Arc<Metrics>,
}

/// Who is called: what all calls of one plugin have in common.
pub(super) struct Callee {
    pub(super) name: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) limits: Limits,
    pub(super) settings: Arc<Live>,
    /// This plugin's own permits, so that it leaves some to the others; divided between clients, as those of all plugins are.
    permits: Shares,
    pace: Arc<Pace>,
    figures: PluginFigures,
    shared: Arc<Shared>,
}

/// What a call that ended well came to.
pub(super) trait Verdict {
    /// One word for metrics and logs.
    fn word(&self) -> &'static str;
}

/// One call on its way, as its caller holds it.
pub(super) struct Call<'a> {
    callee: &'a Callee,
    env: Arc<CallEnv>,
}

/// The same call's guest, which may go to another thread. Its permits are given back when nothing of it is left.
pub(super) struct Guest {
    env: Arc<CallEnv>,
    shared: Arc<Shared>,
    permits: [Share; 2],
}

/// A guest that has ended: what it returned, or why it did not, and what that took.
pub(super) struct Ran<T> {
    env: Arc<CallEnv>,
    result: Result<T, FaultKind>,
    span: Span,
    spent: Spent,
    fuel: u64,
    peak_memory: usize,
    permits: Option<[Share; 2]>,
}

/// A guest whose outcome was checked.
pub(super) struct Checked<U> {
    verdict: Result<U, FaultKind>,
    span: Span,
    spent: Spent,
    fuel: u64,
    peak_memory: usize,
    /// The time of the check.
    check: Duration,
}

impl Shared {
    /// The same engine, threads and permits under other limits.
    pub(super) fn renewed(&self, limits: &ServerLimits) -> Self {
        let Self { engine, permits, memory, guests, ticker, metrics, .. } = self;
        memory.resize(limits.memory);
        let (engine, permits, memory) = (engine.clone(), permits.clone(), memory.clone());
        let (guests, ticker, metrics) = (guests.clone(), ticker.clone(), metrics.clone());
        Self { engine, permits, memory, queue_time: limits.queue_time, starve_time: limits.starve_time, guests, ticker, metrics }
    }
}

impl Callee {
    /// `calls` is how many may run at once, and `pace` where they run.
    pub(super) fn new(
        name: Arc<str>,
        version: Arc<str>,
        limits: Limits,
        settings: Live,
        calls: usize,
        pace: Pace,
        shared: Arc<Shared>,
    ) -> Self {
        let figures = shared.metrics.plugin(&name);
        let (settings, pace) = (Arc::new(settings), Arc::new(pace));
        Self { name, version, limits, settings, permits: Shares::new(calls), pace, figures, shared }
    }

    /// The same plugin under other limits: its calls under way and its pace count for both.
    pub(super) fn renewed(&self, limits: Limits, settings: Arc<Live>, calls: usize, shared: &Arc<Shared>) -> Self {
        let Self { name, version, permits, pace, figures, .. } = self;
        permits.resize(calls);
        let (permits, pace, figures) = (permits.clone(), Arc::clone(pace), figures.clone());
        Self { name: name.clone(), version: version.clone(), limits, settings, permits, pace, figures, shared: shared.clone() }
    }

    /// Whether its calls have these in common with those of the other plugins.
    pub(super) fn is_among(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }

    /// A call for an exchange, whose clocks start when it runs.
    pub(super) fn call(&self, hook: Hook, exchange: &Exchange) -> Call<'_> {
        let http_calls = budgets::of(&self.name, &exchange.kept);
        self.call_of(hook, &exchange.id, exchange.client.clone(), Some(http_calls))
    }

    /// A call of the host's own, while the plugin is admitted.
    pub(super) fn call_at_load(&self, hook: Hook) -> Call<'_> {
        self.call_of(hook, &"load".into(), Client::Host, None)
    }

    fn call_of(&self, hook: Hook, request: &RequestId, client: Client, http_calls: Option<Arc<Calls>>) -> Call<'_> {
        let env = CallEnv {
            plugin: self.name.clone(),
            version: self.version.clone(),
            hook,
            request: request.clone(),
            client,
            http_calls,
            settings: self.settings.texts(),
            figures: self.figures.clone(),
            limits: self.limits,
            log: Log::new(self.name.clone(), request.clone(), &self.limits),
            clocks: Arc::new(Clocks::new(&self.limits, self.shared.starve_time)),
            errands: Errands::default(),
        };
        Call { callee: self, env: Arc::new(env) }
    }
}

impl Call<'_> {
    /// Waits for a permit of the plugin's own and one of the pool's, not for long; clients take turns. They are taken before the store is made, so that the pool
    /// of instances is never short.
    ///
    /// # Errors
    /// `Busy` after `queue_time`.
    pub(super) async fn guest(&self) -> Result<Guest, Fault> {
        let (Callee { permits: own, shared, .. }, client) = (self.callee, &self.env.client);
        let at_once = own.take(client, 1).and_then(|own| Some([own, shared.permits.take(client, 1)?]));
        let permits = match at_once {
            Some(permits) => permits,
            None => {
                // The plugin's own permit first: a call that waits for it must not hold one that others could use.
                let both = async { [own.wait(client, 1).await, shared.permits.wait(client, 1).await] };
                tokio::time::timeout(shared.queue_time, both).await.map_err(|_| self.failed(FaultKind::Busy))?
            }
        };
        shared.ticker.wake();
        Ok(Guest { env: self.env.clone(), shared: shared.clone(), permits })
    }

    /// Lets `work`, which runs the guest and checks what it returned, have its turns, and records the call. `bytes` is what the guest is handed.
    /// Dropping the future ends the guest.
    ///
    /// # Errors
    /// The fault of the guest, or of the check.
    pub(super) async fn settle<I, U>(
        &self,
        bytes: usize,
        work: impl Future<Output = (I, Checked<U>)> + Send + 'static,
    ) -> (I, Result<U, Fault>)
    where
        I: Send + 'static,
        U: Verdict + Send + 'static,
    {
        let Callee { name, pace, shared, figures, .. } = self.callee;
        self.env.clocks.start();
        let ((input, checked), place) = shared.guests.run(name, &self.env.clocks, (&**pace, bytes), work).await;
        let Checked { verdict, span, spent, fuel, peak_memory, check } = checked;
        pace.ran(place, spent.running + check, bytes);
        let call = HookCall {
            hook: self.env.hook.word(),
            outcome: verdict.as_ref().map_or_else(FaultKind::word, U::word),
            seconds: spent.whole().as_secs_f64(),
            waited: spent.waiting.as_secs_f64(),
            starved: spent.starved.as_secs_f64(),
            place: place.word(),
            fuel,
            peak_memory,
        };
        plugin_done(&span, &call);
        figures.call(&call);
        self.report_dropped_lines();
        (input, verdict.map_err(|kind| self.fault(kind)))
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

impl Guest {
    /// Runs `hook` in a fresh store under all limits; the store is gone when this returns. Dropping the future ends the guest.
    pub(super) async fn run<T>(self, hook: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<T>) -> Ran<T> {
        let Self { env, shared, permits } = self;
        let span = plugin_span(&env.plugin, &env.version, env.hook.word());
        let mut store = match store(&shared.engine, &shared.memory, env.clone()) {
            Ok(store) => store,
            Err(error) => {
                let result = Err(FaultKind::Host(format!("{error:#}")));
                return Ran { env, result, span, spent: Spent::default(), fuel: 0, peak_memory: 0, permits: Some(permits) };
            }
        };
        let result = env.clocks.bound(env.errands.beside(hook(&mut store)).instrument(span.clone())).await;
        let spent = env.clocks.spent();
        let result = match result {
            Err(Over::Limit(limit)) => Err(FaultKind::Exhausted(limit)),
            Err(Over::Starved) => Err(FaultKind::Busy),
            Ok(Err(error)) => Err(why(&error, store.data().limiter.denied, &env.limits)),
            Ok(Ok(value)) => Ok(value),
        };
        let fuel = match &result {
            // After running out, the store's own count is known to be too low.
            Err(FaultKind::Exhausted(Exhausted::Fuel(all))) => *all,
            _ => env.limits.fuel - store.get_fuel().unwrap_or(0),
        };
        let peak_memory = store.data().limiter.memory();
        drop(store);
        // What a guest returned is checked at the guest's expense too: much of it on its own thread.
        if env.clocks.turn_is_long() {
            next_turn().await;
        }
        Ran { env, result, span, spent, fuel, peak_memory, permits: Some(permits) }
    }
}

impl<T> Ran<T> {
    /// Has what the guest returned checked by `check`, which may say something in the plugin's log.
    pub(super) fn check<U>(self, check: impl FnOnce(T, &Log) -> Result<U, FaultKind>) -> Checked<U> {
        let Self { env, result, span, spent, fuel, peak_memory, permits } = self;
        let begun = Instant::now();
        let verdict = result.and_then(|returned| check(returned, &env.log));
        drop(permits);
        Checked { verdict, span, spent, fuel, peak_memory, check: begun.elapsed() }
    }
}

/// What an error of wasmtime's means: whose failure it is.
fn why(error: &wasmtime::Error, denied: Option<Denied>, limits: &Limits) -> FaultKind {
    match denied {
        Some(Denied::Own(limit)) => return FaultKind::Exhausted(limit),
        Some(Denied::Shared) => return FaultKind::Busy,
        None if error.is::<PoolConcurrencyLimitError>() => return FaultKind::Busy,
        None => {}
    }
    let text = error.root_cause().to_string();
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => FaultKind::Exhausted(Exhausted::Fuel(limits.fuel)),
        Some(Trap::StackOverflow) => FaultKind::Exhausted(Exhausted::Stack),
        Some(trap) => FaultKind::Trapped(trap.to_string()),
        // wasmtime keeps this error's type to itself; a test watches its text.
        None if text.contains("fuel allocated for hostcalls has been exhausted") => FaultKind::Exhausted(Exhausted::Output(limits.output)),
        None if error.is::<wasmtime_wasi::I32Exit>() => FaultKind::Trapped("it called exit".into()),
        // The system refused memory or address space to the instance: the guest has no files that could fail.
        None if machine::is_the_machines(error) => FaultKind::Host(format!("{error:#}")),
        None => FaultKind::Trapped(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_not_the_plugins_failure() {
        let limits = Limits::default();
        let no_memory = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        for error in [wasmtime::Error::from(no_memory()), wasmtime::Error::from(rustix::io::Errno::NOMEM).context("a memory")] {
            let kind = why(&error, None, &limits);
            assert!(matches!(kind, FaultKind::Host(_)) && !kind.is_the_plugins_own(), "{kind}");
        }
        assert_eq!(why(&wasmtime::Error::from(Trap::OutOfFuel), Some(Denied::Shared), &limits), FaultKind::Busy);
        assert!(!FaultKind::Busy.is_the_plugins_own());
        for error in
            [wasmtime::Error::from(Trap::OutOfFuel), wasmtime::Error::from(Trap::UnreachableCodeReached), wasmtime::Error::msg("x")]
        {
            assert!(why(&error, None, &limits).is_the_plugins_own(), "{error}");
        }
    }
}
