//! One hook call: its permits, a fresh store, the guest under its limits, the check of what it returned, the figures.
//! Whatever a guest does, a call ends within its limits, and its store is dropped before the caller sees the outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{Instrument, Span};
use wasmtime::Store;

use super::behalf::{Behalf, Of};
use super::capability::http::budgets;
use super::capability::llm::replies::Replies;
use super::capability::log::Log;
use super::capability::reply::Reply;
use super::clocks::{Clocks, Over, Spent};
use super::env::CallEnv;
use super::errands::Errands;
use super::limiter::Budget;
use super::meaning::why;
use super::pace::{Pace, StreamPaces};
use super::settings::Live;
use super::shared::{Background, Shared};
use super::store::{State, next_turn, store};
use super::{Exhausted, Fault, FaultKind, Hook, Limits};
use crate::chat::{Client, Exchange, RequestId};
use crate::fair::{Share, Shares};
use crate::outbound::Calls;
use crate::telemetry::{HookCall, PluginFigures, Seldom, plugin_done, plugin_span};

/// Who is called: what all calls of one plugin have in common.
pub(super) struct Callee {
    pub(super) name: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) limits: Limits,
    pub(super) settings: Arc<Live>,
    /// This plugin's own permits, so that it leaves some to the others; divided between clients, as those of all plugins are.
    pub(super) permits: Shares,
    /// Those of all plugins for calls of this kind, and their memory.
    all: Shares,
    memory: Arc<Budget>,
    pace: Arc<Pace>,
    /// The same of its stream hooks.
    pub(super) streams: Shares,
    pub(super) stream_paces: Arc<StreamPaces>,
    pub(super) figures: PluginFigures,
    /// What the log was told of it.
    told: Arc<Seldom>,
    pub(super) shared: Arc<Shared>,
}

/// What a call that ended well came to.
pub(super) trait Verdict {
    /// One word for metrics and logs.
    fn word(&self) -> &'static str;
}

/// One call on its way, as its caller holds it.
pub(super) struct Call<'a> {
    callee: &'a Callee,
    pub(super) env: Arc<CallEnv>,
}

/// The same call's guest, which may go to another thread. Its permits are given back when nothing of it is left.
pub(super) struct Guest {
    env: Arc<CallEnv>,
    shared: Arc<Shared>,
    memory: Arc<Budget>,
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

impl Callee {
    /// `calls` is how many may run at once, `streams` how many replies its stream hook may go along with, and `pace` where they run.
    pub(super) fn new(
        name: Arc<str>,
        version: Arc<str>,
        limits: Limits,
        settings: Live,
        (calls, streams): (usize, usize),
        pace: Pace,
        shared: Arc<Shared>,
    ) -> Self {
        let (figures, settings) = (shared.metrics.plugin(&name), Arc::new(settings));
        let (permits, streams) = (Shares::new(calls), Shares::new(streams));
        let (all, memory) = (shared.permits.clone(), shared.memory.clone());
        let (stream_paces, pace) = (Arc::new(pace.of_streams()), Arc::new(pace));
        Self { name, version, limits, settings, permits, all, memory, pace, streams, stream_paces, figures, told: Arc::default(), shared }
    }

    /// The same plugin as a model: its calls last as long as their replies, so that they have places and memory of their own.
    pub(super) fn of_model(&self, calls: usize, pace: Pace) -> Self {
        Self {
            name: self.name.clone(),
            version: self.version.clone(),
            limits: self.limits,
            settings: self.settings.clone(),
            permits: Shares::new(calls),
            all: self.shared.models.clone(),
            memory: self.shared.models_memory.clone(),
            pace: Arc::new(pace),
            streams: self.streams.clone(),
            stream_paces: self.stream_paces.clone(),
            figures: self.figures.clone(),
            told: self.told.clone(),
            shared: self.shared.clone(),
        }
    }

    /// The same plugin under other limits: its calls under way and its pace count for both. None of `streams` leaves them as they are.
    pub(super) fn renewed(
        &self,
        limits: Limits,
        settings: Arc<Live>,
        (calls, streams): (usize, Option<usize>),
        shared: &Arc<Shared>,
    ) -> Self {
        self.permits.resize(calls);
        streams.into_iter().for_each(|streams| self.streams.resize(streams));
        Self {
            name: self.name.clone(),
            version: self.version.clone(),
            limits,
            settings,
            permits: self.permits.clone(),
            all: self.all.clone(),
            memory: self.memory.clone(),
            pace: self.pace.clone(),
            streams: self.streams.clone(),
            stream_paces: self.stream_paces.clone(),
            figures: self.figures.clone(),
            told: self.told.clone(),
            shared: shared.clone(),
        }
    }

    /// Whether its calls have these in common with those of the other plugins.
    pub(super) fn is_among(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }

    /// What calls that nobody waits for have of their own.
    pub(super) fn background(&self) -> &Background {
        &self.shared.done
    }

    /// A call of its done-hook, for an exchange that is over.
    pub(super) fn call_afterwards(&self, request: &RequestId, client: &Client, http_calls: Arc<Calls>) -> Call<'_> {
        self.call_of(Hook::Done, request, client.clone(), (None, Some(http_calls)), None)
    }

    /// A call for an exchange, whose clocks start when it runs.
    pub(super) fn call(&self, hook: Hook, exchange: &Exchange) -> Call<'_> {
        self.answering(hook, exchange, None)
    }

    /// The same of a call that writes an answer to `reply`.
    pub(super) fn answering(&self, hook: Hook, exchange: &Exchange, reply: Option<Reply>) -> Call<'_> {
        let http_calls = budgets::of(&self.name, &exchange.client, &exchange.kept);
        self.call_of(hook, &exchange.id, exchange.client.clone(), (Some(Behalf::of(exchange)), Some(http_calls)), reply)
    }

    /// A call of the host's own, for no exchange.
    pub(super) fn call_of_host(&self, hook: Hook, why: &str) -> Call<'_> {
        self.call_of(hook, &why.into(), Client::Host, (None, None), None)
    }

    fn call_of(&self, hook: Hook, request: &RequestId, client: Client, (behalf, http_calls): Of, reply: Option<Reply>) -> Call<'_> {
        let env = CallEnv {
            plugin: self.name.clone(),
            version: self.version.clone(),
            hook,
            request: request.clone(),
            behalf,
            client,
            http_calls,
            settings: self.settings.texts(),
            figures: self.figures.clone(),
            told: self.told.clone(),
            limits: self.limits,
            log: Log::new(self.name.clone(), request.clone(), &self.limits),
            clocks: Arc::new(Clocks::new(&self.limits, self.shared.starve_time(hook))),
            errands: Errands::default(),
            reply,
            replies: Replies::default(),
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
        self.guest_among(self.callee).await
    }

    /// The same with the permits and the memory of the calls of `callee`, which is the same plugin.
    ///
    /// # Errors
    /// As `guest`.
    pub(super) async fn guest_among(&self, callee: &Callee) -> Result<Guest, Fault> {
        let Callee { permits: own, all, memory, shared, .. } = callee;
        let permits = self.permits(own, all).await?;
        shared.ticker.wake();
        Ok(Guest { env: self.env.clone(), shared: shared.clone(), memory: memory.clone(), permits })
    }

    /// One unit of the plugin's own and one of all plugins'.
    pub(super) async fn permits(&self, own: &Shares, all: &Shares) -> Result<[Share; 2], Fault> {
        let client = &self.env.client;
        if let Some(permits) = own.take(client, 1).and_then(|own| Some([own, all.take(client, 1)?])) {
            return Ok(permits);
        }
        // The plugin's own permit first: a call that waits for it must not hold one that others could use.
        let both = async { [own.wait(client, 1).await, all.wait(client, 1).await] };
        tokio::time::timeout(self.callee.shared.queue_time, both).await.map_err(|_| self.failed(FaultKind::Busy))
    }

    /// The guest of a call that nobody waits for, which has its permits: one of the plugin's and one of all calls of its kind.
    pub(super) fn background(&self, permits: [Share; 2]) -> Guest {
        let shared = &self.callee.shared;
        shared.ticker.wake();
        Guest { env: self.env.clone(), shared: shared.clone(), memory: shared.done.memory.clone(), permits }
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
        // A call that nobody waits for says nothing of how long requests wait for the plugin.
        let pace = (self.env.hook != Hook::Done).then_some(pace);
        let ((input, checked), place) = shared.guests.run(name, &self.env.clocks, pace.map(|pace| (&**pace, bytes)), work).await;
        let Checked { verdict, span, spent, fuel, peak_memory, check } = checked;
        if let Some(pace) = pace {
            pace.ran(place, spent.running + check, bytes);
        }
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
        self.env.report_dropped_lines(figures);
        (input, verdict.map_err(|kind| self.env.fault(kind)))
    }

    /// A fault found before the guest ran, which counts all the same.
    pub(super) fn failed(&self, kind: FaultKind) -> Fault {
        self.callee.figures.call(&HookCall { hook: self.env.hook.word(), outcome: kind.word(), ..HookCall::default() });
        self.env.fault(kind)
    }
}

impl Guest {
    /// Runs `hook` in a fresh store under all limits; the store is gone when this returns. Dropping the future ends the guest.
    pub(super) async fn run<T>(self, hook: impl AsyncFnOnce(&mut Store<State>) -> wasmtime::Result<T>) -> Ran<T> {
        let Self { env, shared, memory, permits } = self;
        let span = plugin_span(&env.plugin, &env.version, env.hook.word());
        let mut store = match store(&shared.engine, &memory, env.clone()) {
            Ok(store) => store,
            Err(error) => {
                let result = Err(FaultKind::Host(format!("{error:#}")));
                return Ran { env, result, span, spent: Spent::default(), fuel: 0, peak_memory: 0, permits: Some(permits) };
            }
        };
        let result = env.bound(hook(&mut store).instrument(span.clone())).await;
        let spent = env.clocks.spent();
        let (result, fuel) = judged(result, &store, &env.limits);
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

/// What a guest that has ended came to, and the fuel that it took.
pub(super) fn judged<T>(result: Result<wasmtime::Result<T>, Over>, store: &Store<State>, limits: &Limits) -> (Result<T, FaultKind>, u64) {
    let result = match result {
        Err(Over::Limit(limit)) => Err(FaultKind::Exhausted(limit)),
        Err(Over::Starved) => Err(FaultKind::Busy),
        Ok(Err(error)) => Err(why(&error, store.data().limiter.denied, limits)),
        Ok(Ok(value)) => Ok(value),
    };
    let fuel = match &result {
        // After running out, the store's own count is known to be too low.
        Err(FaultKind::Exhausted(Exhausted::Fuel(all))) => *all,
        _ => limits.fuel - store.get_fuel().unwrap_or(0),
    };
    (result, fuel)
}
