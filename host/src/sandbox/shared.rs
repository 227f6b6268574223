//! What all plugins share: the engine, the threads, and for each kind of call its own places and memory, so that calls of one kind never take
//! those of another. A reload changes the limits, and calls under way count for both.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use wasmtime::Engine;

use super::guests::Guests;
use super::limiter::Budget;
use super::ticker::Ticker;
use super::{Hook, ServerLimits};
use crate::fair::Shares;
use crate::telemetry::Metrics;

/// How many times longer than a request's a call may wait for a thread that nobody waits for: it comes last when the processors are short.
const DONE_PATIENCE: u32 = 30;

/// What all plugins share.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) permits: Shares,
    pub(super) memory: Arc<Budget>,
    /// Places of stream hooks, which live as long as their replies, and the memory of their instances.
    pub(super) streams: Shares,
    pub(super) streams_memory: Arc<Budget>,
    pub(super) stream_buffer: usize,
    /// Calls of stream hooks that run now: their places do not tell.
    pub(super) pushes: Arc<AtomicUsize>,
    /// Places of models, whose instances live as long as their replies, and the memory of those instances.
    pub(super) models: Shares,
    pub(super) models_memory: Arc<Budget>,
    pub(super) done: Background,
    pub(super) queue_time: Duration,
    pub(super) starve_time: Duration,
    pub(super) guests: Arc<Guests>,
    pub(super) ticker: Arc<Ticker>,
    pub(super) metrics: Arc<Metrics>,
}

/// What calls that nobody waits for have of their own, so that they take none of what requests need.
pub(super) struct Background {
    pub(super) permits: Shares,
    pub(super) memory: Arc<Budget>,
}

impl Shared {
    /// The same engine, threads and permits under other limits.
    pub(super) fn renewed(&self, limits: &ServerLimits) -> Self {
        self.memory.resize(limits.memory);
        self.streams_memory.resize(limits.streams_memory);
        self.models_memory.resize(limits.model_memory);
        self.done.memory.resize(limits.done_memory);
        Self {
            engine: self.engine.clone(),
            permits: self.permits.clone(),
            memory: self.memory.clone(),
            streams: self.streams.clone(),
            streams_memory: self.streams_memory.clone(),
            stream_buffer: limits.stream_buffer,
            pushes: self.pushes.clone(),
            models: self.models.clone(),
            models_memory: self.models_memory.clone(),
            done: Background { permits: self.done.permits.clone(), memory: self.done.memory.clone() },
            queue_time: limits.queue_time,
            starve_time: limits.starve_time,
            guests: self.guests.clone(),
            ticker: self.ticker.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// How long a call of that hook may be without a thread.
    pub(super) fn starve_time(&self, hook: Hook) -> Duration {
        let times = if hook == Hook::Done { DONE_PATIENCE } else { 1 };
        self.starve_time.saturating_mul(times)
    }
}
