//! Tries at providers: what a try is told apart by when it fails, who watches it, and what all exchanges share about them (circuits,
//! chance). Must not know how a provider is asked.

mod chance;
mod circuit;
mod circuits;
mod order;
mod policy;
mod walk;

use std::sync::Arc;

use tokio::time::Instant;

use super::{Error, Limits, Used};
use crate::telemetry::{Operation, llm_done, llm_span};
use chance::Chance;
use circuits::Circuits;
pub use circuits::{CircuitPhase, CircuitState};
pub(super) use walk::{Ask, Walk, Won};

/// Told about each try when it ends, for a stream that is its first event, and about each reply when it is over.
pub trait Observer: Send + Sync {
    /// `outcome` is `ok`, `cancelled` or an [`Error::outcome`]; the time is in seconds.
    fn attempt(&self, provider: &str, model: &str, outcome: &'static str, seconds: f64);

    /// A reply is over: what it used. Told once for each answered exchange, also when the client left in its middle.
    fn used(&self, _: &Used<'_>) {}
    /// How many circuits of a provider, one for each of its keys, are open now; told whenever that changes.
    fn circuits(&self, provider: &str, open: usize) {
        let _ = (provider, open);
    }
    /// The same try in the convention's words; `error` is none where it went well.
    fn operation(&self, _of: Operation<'_>, _error: Option<&'static str>, _seconds: f64) {}

    /// A stream's first event came; the time is in seconds.
    fn first_chunk(&self, _of: Operation<'_>, _seconds: f64) {}
}

/// Nobody watches.
impl Observer for () {
    fn attempt(&self, _: &str, _: &str, _: &'static str, _: f64) {}
}

/// What all exchanges share about tries.
pub(super) struct Attempts {
    limits: Limits,
    observer: Arc<dyn Observer>,
    circuits: Circuits,
    chance: Chance,
}

impl Attempts {
    pub(super) fn new(limits: Limits, observer: Arc<dyn Observer>) -> Self {
        let circuits = Circuits::new(&limits, Arc::clone(&observer));
        Self { limits, observer, circuits, chance: Chance::new() }
    }

    pub(super) fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    /// The same pauses and draws in every run.
    pub(super) fn seeded(self, seed: u64) -> Self {
        Self { chance: Chance::seeded(seed), ..self }
    }

    /// Every circuit that is not at rest.
    pub(super) fn circuits(&self) -> Vec<CircuitState> {
        self.circuits.states()
    }
}

/// Why a try gave no reply.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// The error came inside a reply that began as a success.
    pub(super) in_band: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, in_band: false }
    }
}

/// A try under way; one that is dropped without an end was cancelled.
pub(super) struct Watch<'a> {
    pub(super) span: tracing::Span,
    observer: &'a dyn Observer,
    of: Operation<'a>,
    provider: &'a str,
    begun: Instant,
    outcome: &'static str,
    /// Of a provider that refused.
    status: Option<u16>,
}

impl<'a> Watch<'a> {
    pub(super) fn new(observer: &'a dyn Observer, of: Operation<'a>, provider: &'a str, attempt: u32) -> Self {
        let span = llm_span(of, provider, attempt);
        Self { span, observer, of, provider, begun: Instant::now(), outcome: "cancelled", status: None }
    }

    /// `streamed`: it was asked for a stream.
    pub(super) fn ends<T>(mut self, result: &Result<T, Failure>, streamed: bool) {
        match result {
            Ok(_) => {
                self.outcome = "ok";
                if streamed {
                    self.observer.first_chunk(self.of, self.begun.elapsed().as_secs_f64());
                }
            }
            Err(failure) => {
                self.outcome = failure.error.outcome();
                if let Error::Status { status, .. } = &failure.error {
                    self.status = Some(*status);
                }
            }
        }
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        llm_done(&self.span, self.outcome, self.status, seconds);
        self.observer.attempt(self.provider, self.of.model, self.outcome, seconds);
        self.observer.operation(self.of, (self.outcome != "ok").then_some(self.outcome), seconds);
    }
}
