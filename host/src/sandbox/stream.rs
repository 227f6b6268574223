//! A stream hook along one reply: one instance from `open` to `close`, which rests between its calls. Each call has the limits of a hook's call,
//! and all of them together `reply_time`. It runs on the guests' threads as every call does and has a place of its own, so that a slow stream
//! takes no place of a quick hook. After a fault there is no instance any more.

mod checks;
mod whole;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tracing::{Instrument, Span};
use wasmtime::Store;

use super::bindings::stream_hook::{self, Opening};
use super::bindings::types as wit;
use super::call::{Callee, judged};
use super::clocks::Spent;
use super::convert::Changes;
use super::env::CallEnv;
use super::limiter::Budget;
use super::outcome::{metadata_back, reported};
use super::pace::{Pace, StreamPaces};
use super::plugin::Plugin;
use super::portion::Portion;
use super::scope::Data;
use super::store::{State, refill, store};
use super::{Exhausted, Fault, FaultKind, Hook};
use crate::chat::{Delta, Exchange, Metadata, Said};
use crate::fair::{Share, Shares};
use crate::telemetry::{HookCall, plugin_done, plugin_span};
use checks::Checks;

pub use checks::Step;

/// What a hook wants of a reply that concerns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The client does not wait for it.
    Observe,
    /// Only what it gives back goes on.
    Transform,
}

/// Why the reply is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The model was done.
    Finished,
    /// The provider broke off.
    Broken,
}

/// What was pushed, as far as a client may get it, and what the hook says to it.
pub struct Pushed {
    pub deltas: Vec<Delta>,
    pub step: Result<Step, Fault>,
    /// What the hook was handed and has answered to.
    pub shown: Said,
}

/// One plugin along one reply.
pub struct StreamHook {
    plugin: Arc<Plugin>,
    env: Arc<CallEnv>,
    mode: Mode,
    span: Span,
    /// None once the guest has ended.
    alive: Option<Box<Alive>>,
    /// What all calls so far ran.
    ran: Duration,
    /// Of the exchange, as it was when the hook was opened.
    metadata: Metadata,
}

/// The instance between two calls.
struct Alive {
    store: Store<State>,
    guest: stream_hook::Guest,
    checks: Checks,
    _shares: [Share; 2],
}

/// A place for the hook along one reply. It is taken before the model is asked, so that a reply which nobody could go along with is not paid for.
pub struct Place {
    env: Arc<CallEnv>,
    shares: [Share; 2],
    memory: Arc<Budget>,
}

/// A call that is over.
struct Turned<T> {
    alive: Option<Box<Alive>>,
    said: Result<T, FaultKind>,
    spent: Spent,
    fuel: u64,
    peak_memory: usize,
    check: Duration,
}

/// Counts one call that runs, for the clock that guests look at.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn begin(callee: &Callee) -> Self {
        callee.shared.pushes.fetch_add(1, Ordering::Relaxed);
        callee.shared.ticker.wake();
        Self(callee.shared.pushes.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Plugin {
    /// Waits for a place of stream hooks, not for long; clients take turns.
    ///
    /// # Errors
    /// That there is none, or no such hook.
    pub async fn stream_place(&self, exchange: &Exchange) -> Result<Place, Fault> {
        let Callee { streams: own, shared, .. } = &self.callee;
        self.place(exchange, [own, &shared.streams], &shared.streams_memory).await
    }

    async fn place(&self, exchange: &Exchange, [own, all]: [&Shares; 2], memory: &Arc<Budget>) -> Result<Place, Fault> {
        let call = self.callee.call(Hook::Stream, exchange);
        if self.exports.stream_hook.is_none() {
            return Err(call.failed(FaultKind::NoHook));
        }
        let shares = call.permits(own, all).await?;
        Ok(Place { env: call.env.clone(), shares, memory: memory.clone() })
    }

    /// Opens the stream hook for the exchange's reply, which `model` gives; none if the reply does not concern it.
    ///
    /// # Errors
    /// The fault of the guest.
    pub async fn open_stream(self: &Arc<Self>, place: Place, exchange: &Exchange, model: &str) -> Result<Option<StreamHook>, Fault> {
        let Place { env, shares, memory } = place;
        let Some(indices) = self.exports.stream_hook.clone() else { return Err(env.fault(FaultKind::NoHook)) };
        let span = plugin_span(&env.plugin, &env.version, env.hook.word());
        let opening = opening(exchange, model, &self.scope.reads);
        let bytes = opening.metadata.iter().map(|field| field.name.len() + field.value.len()).sum();
        let (exports, shared, of, inside) = (self.exports.clone(), self.callee.shared.clone(), env.clone(), span.clone());
        let scope = self.scope.clone();
        let work = async move {
            let mut store = match store(&shared.engine, &memory, of.clone()) {
                Ok(store) => store,
                Err(error) => return Turned::failed(FaultKind::Host(format!("{error:#}"))),
            };
            let open = async {
                let instance = exports.instantiate(&mut store).await?;
                let guest = indices.load(&mut store, &instance)?;
                let mode = guest.call_open(&mut store, &opening).await?;
                Ok((guest, mode))
            };
            let opened = of.bound(open.instrument(inside)).await;
            let (opened, fuel) = judged(opened, &store, &of.limits);
            let (guest, said) = match opened {
                Ok((guest, mode)) => (Some(guest), mode.map_err(reported)),
                Err(kind) => (None, Err(kind)),
            };
            let said = said.map(|mode| match mode {
                stream_hook::Mode::Skip => None,
                stream_hook::Mode::Observe => Some(Mode::Observe),
                stream_hook::Mode::Transform => Some(Mode::Transform),
            });
            let checks = Checks::new(scope, matches!(said, Ok(Some(Mode::Transform))));
            let alive = guest.map(|guest| Box::new(Alive { store, guest, checks, _shares: shares }));
            Turned::of(&of, alive, said, fuel, Duration::ZERO)
        };
        let (plugin, metadata) = (self.clone(), exchange.metadata.clone());
        let mut hook = StreamHook { plugin, env, mode: Mode::Transform, span, alive: None, ran: Duration::ZERO, metadata };
        let Some(mode) = hook.turn(|paces| &paces.once, bytes, |_| "ok", work).await? else { return Ok(None) };
        hook.mode = mode;
        Ok(Some(hook))
    }
}

impl StreamHook {
    pub fn plugin(&self) -> &Arc<str> {
        &self.env.plugin
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Bytes of a reply that may wait for one hook.
    pub fn buffer(&self) -> usize {
        self.plugin.callee.shared.stream_buffer
    }

    /// What the hook is shown of a reply.
    pub fn portion(&self) -> Portion {
        Portion(self.plugin.scope.reads.reply)
    }

    /// What has come passes by the hook, which is shown nothing of it. What stands beside a delta may spell out a text that the hook reads, and
    /// does not pass without it.
    pub fn pass(&mut self, deltas: &mut Vec<Delta>) {
        if let Some(alive) = &mut self.alive {
            alive.checks.pass(deltas);
        }
    }

    /// Hands over what has come since the last call.
    pub async fn push(&mut self, mut deltas: Vec<Delta>) -> Pushed {
        let Some(mut alive) = self.alive.take() else { return Pushed { deltas, step: Err(self.gone()), shown: Said::default() } };
        alive.checks.take_in(&mut deltas);
        // Nobody waits for a hook that observes, so it may not hold up the thread of a connection either.
        let bytes = if self.mode == Mode::Observe { usize::MAX } else { deltas.iter().map(Delta::bytes).sum() };
        let (env, inside, count) = (self.env.clone(), self.span.clone(), deltas.len());
        let deltas = Arc::new(deltas);
        let given = deltas.clone();
        let work = async move {
            let (shown, amount) = alive.checks.shown(&given);
            let pushed = match refill(&mut alive.store, &env.limits) {
                Ok(()) => env.bound(alive.guest.call_push(&mut alive.store, &shown).instrument(inside)).await,
                Err(error) => Ok(Err(error)),
            };
            drop(shown);
            let (pushed, fuel) = judged(pushed, &alive.store, &env.limits);
            let begun = Instant::now();
            let most = alive.store.data().limiter.memory();
            let said = pushed.and_then(|step| alive.checks.settle(step.map_err(reported)?, &given, &env, most)).map(|step| (step, amount));
            Turned::of(&env, Some(alive), said, fuel, begun.elapsed())
        };
        let (step, shown) = match self.turn(|paces| paces.push(count), bytes, |(step, _)| step.word(), work).await {
            Ok((step, shown)) => (Ok(step), shown),
            Err(fault) => (Err(fault), Said::default()),
        };
        Pushed { deltas: Arc::unwrap_or_clone(deltas), step, shown }
    }

    /// Ends the hook's work: what it held back, with the ends of choices that it has not let out, and what it leaves to those who come after it.
    ///
    /// # Errors
    /// The fault of the guest.
    pub async fn close(mut self, ending: Ending) -> Result<(Step, Metadata), Fault> {
        let Some(mut alive) = self.alive.take() else { return Err(self.gone()) };
        let (env, inside, now) = (self.env.clone(), self.span.clone(), self.metadata.clone());
        let bytes = if self.mode == Mode::Observe { usize::MAX } else { 0 };
        let work = async move {
            let why = match ending {
                Ending::Finished => stream_hook::Ending::Finished,
                Ending::Broken => stream_hook::Ending::Broken,
            };
            let closed = match refill(&mut alive.store, &env.limits) {
                Ok(()) => env.bound(alive.guest.call_close(&mut alive.store, why).instrument(inside)).await,
                Err(error) => Ok(Err(error)),
            };
            let (closed, fuel) = judged(closed, &alive.store, &env.limits);
            let begun = Instant::now();
            let said = closed.and_then(|farewell| {
                let stream_hook::Farewell { step, metadata } = farewell.map_err(reported)?;
                alive.checks.scope().check_metadata(&metadata)?;
                let metadata: Changes = metadata_back(metadata, &now)?;
                Ok((alive.checks.last(step, &env, ending == Ending::Finished)?, metadata))
            });
            Turned::of(&env, Some(alive), said, fuel, begun.elapsed())
        };
        let (step, changes) = self.turn(|paces| &paces.once, bytes, |(step, _)| step.word(), work).await?;
        let mut metadata = std::mem::take(&mut self.metadata);
        super::convert::apply_metadata(changes, &mut metadata);
        Ok((step, metadata))
    }

    /// Runs one call of the guest, counts it, and has the instance back if it has not ended.
    async fn turn<T: Send + 'static>(
        &mut self,
        pace: impl FnOnce(&StreamPaces) -> &Pace,
        bytes: usize,
        word: fn(&T) -> &'static str,
        work: impl Future<Output = Turned<T>> + Send + 'static,
    ) -> Result<T, Fault> {
        let plugin = self.plugin.clone();
        let Callee { name, limits, stream_paces, shared, figures, .. } = &plugin.callee;
        let pace = pace(stream_paces);
        let _running = Running::begin(&plugin.callee);
        self.env.clocks.again();
        let (turned, place) = shared.guests.run(name, &self.env.clocks, Some((pace, bytes)), work).await;
        let Turned { alive, said, spent, fuel, peak_memory, check } = turned;
        pace.ran(place, spent.running + check, bytes);
        self.ran += spent.running + check;
        let over = self.ran > limits.reply_time;
        let said = said.and_then(|said| if over { Err(FaultKind::Exhausted(Exhausted::ReplyTime(limits.reply_time))) } else { Ok(said) });
        self.alive = alive;
        if said.is_err() {
            self.end();
        }
        let call = HookCall {
            hook: self.env.hook.word(),
            outcome: said.as_ref().map_or_else(FaultKind::word, word),
            seconds: spent.whole().as_secs_f64(),
            waited: spent.waiting.as_secs_f64(),
            starved: spent.starved.as_secs_f64(),
            place: place.word(),
            fuel,
            peak_memory,
        };
        plugin_done(&self.span, &call);
        figures.call(&call);
        said.map_err(|kind| self.env.fault(kind))
    }

    fn gone(&self) -> Fault {
        self.env.fault(FaultKind::Host("the instance of a stream hook was asked again after its end".into()))
    }

    fn end(&mut self) {
        if let Some(alive) = self.alive.take() {
            self.plugin.callee.shared.guests.let_go(&self.env.plugin, &self.env.clocks, alive);
        }
    }
}

/// A client that leaves drops the hook with its reply.
impl Drop for StreamHook {
    fn drop(&mut self) {
        self.end();
        self.env.report_dropped_lines(&self.plugin.callee.figures);
    }
}

impl<T> Turned<T> {
    fn of(env: &CallEnv, alive: Option<Box<Alive>>, said: Result<T, FaultKind>, fuel: u64, check: Duration) -> Self {
        let peak_memory = alive.as_ref().map_or(0, |alive| alive.store.data().limiter.memory());
        // A guest that failed is dropped here, on its thread.
        let alive = alive.filter(|_| said.is_ok());
        Self { alive, said, spent: env.clocks.spent(), fuel, peak_memory, check }
    }

    fn failed(kind: FaultKind) -> Self {
        Self { alive: None, said: Err(kind), spent: Spent::default(), fuel: 0, peak_memory: 0, check: Duration::ZERO }
    }
}

fn opening(exchange: &Exchange, model: &str, reads: &Data) -> Opening {
    let context = wit::Context {
        request_id: exchange.id.to_string(),
        pipeline: exchange.pipeline.to_string(),
        caller: exchange.caller.as_deref().map(str::to_owned),
        streamed: exchange.stream,
        attempt: exchange.tries.begun(),
        deadline_ms: u32::try_from(exchange.deadline.remaining().as_millis()).unwrap_or(u32::MAX),
    };
    let field = |(name, value): (&String, &crate::chat::Json)| wit::Field { name: name.clone(), value: value.get().to_owned() };
    Opening {
        context,
        model: model.to_owned(),
        metadata: exchange.metadata.iter().filter(|(name, _)| reads.metadata.has(name)).map(field).collect(),
    }
}
