//! Counts what one reply uses and tells it once, when the reply is over: read to its end, broken, or left by the client in its middle.
//! A provider that tells no count is billed by a guess. Must not know what the tokens are for.

use std::sync::Arc;

use tracing::Span;

use super::attempt::Observer;
use super::used::Used;
use crate::chat::{Exchange, Usage};
use crate::telemetry::{llm_answered, llm_used};

/// Bytes of English text or JSON in a token, by the vendors' own rule of thumb.
const BYTES_PER_TOKEN: u64 = 4;

/// Reasons kept for the trace: more choices than anybody asks for.
const FINISHES_MAX: usize = 16;

/// What is known of a reply's use so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    told: Option<Usage>,
    /// Text of the reply, or what it was guessed from.
    said_bytes: u64,
    /// For the trace: who the provider says wrote the reply, and why each choice ended.
    pub(super) model: Option<String>,
    pub(super) finishes: Vec<String>,
}

impl Tally {
    /// The provider's own count; the last one holds.
    pub(super) fn told(&mut self, usage: Usage) {
        self.told = Some(usage);
    }

    /// Text that the reply said.
    pub(super) fn said(&mut self, bytes: usize) {
        self.said_bytes += bytes as u64;
    }

    /// The provider's name for the model; the first one holds.
    pub(super) fn named(&mut self, model: &str) {
        if self.model.is_none() && !model.is_empty() {
            self.model = Some(model.to_owned());
        }
    }

    /// A choice ended.
    pub(super) fn finished(&mut self, why: &str) {
        if self.finishes.len() < FINISHES_MAX {
            self.finishes.push(why.to_owned());
        }
    }
}

/// The use of one reply; dropping it tells the observer.
pub(super) struct Meter {
    pub(super) tally: Tally,
    observer: Arc<dyn Observer>,
    pipeline: Arc<str>,
    caller: Option<Arc<str>>,
    provider: Arc<str>,
    system: &'static str,
    model: String,
    /// That of the try, which ends with the reply.
    span: Span,
    sent_bytes: u64,
}

impl Meter {
    /// Made within the try's span. `system`: the convention's word for the provider's kind. `sent_bytes`: the size of the request's body.
    pub(super) fn new(
        tally: Tally,
        observer: Arc<dyn Observer>,
        exchange: &Exchange,
        (provider, system): (&Arc<str>, &'static str),
        model: &str,
        sent_bytes: usize,
    ) -> Self {
        Self {
            tally,
            observer,
            pipeline: Arc::clone(&exchange.pipeline),
            caller: exchange.caller.clone(),
            provider: Arc::clone(provider),
            system,
            model: model.to_owned(),
            span: Span::current(),
            sent_bytes: sent_bytes as u64,
        }
    }

    fn guess(&self) -> Usage {
        let tokens = |bytes: u64| bytes.div_ceil(BYTES_PER_TOKEN);
        Usage { prompt: tokens(self.sent_bytes), completion: tokens(self.tally.said_bytes), ..Usage::default() }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let (usage, estimated) = self.tally.told.map_or_else(|| (self.guess(), true), |usage| (usage, false));
        let Self { pipeline, caller, provider, system, model, span, tally, .. } = self;
        let finishes: Vec<&str> = tally.finishes.iter().map(String::as_str).collect();
        llm_answered(span, tally.model.as_deref(), &finishes);
        if !estimated {
            llm_used(span, usage.prompt, usage.completion);
        }
        let (caller, operation) = (caller.as_deref(), "chat");
        self.observer.used(&Used { pipeline, caller, provider, operation, system, model, usage, estimated });
    }
}
