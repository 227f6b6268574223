//! Counts what one reply uses and tells it once, when the reply is over: read to its end, broken, or left by the client in its middle.
//! A provider that tells no count is billed by a guess. Must not know what the tokens are for.

use std::sync::Arc;

use super::attempt::Observer;
use super::used::Used;
use crate::chat::{Exchange, Usage};

/// Bytes of English text or JSON in a token, by the vendors' own rule of thumb.
const BYTES_PER_TOKEN: u64 = 4;

/// What is known of a reply's use so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    told: Option<Usage>,
    /// Text of the reply, or what it was guessed from.
    said_bytes: u64,
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
}

/// The use of one reply; dropping it tells the observer.
pub(super) struct Meter {
    pub(super) tally: Tally,
    observer: Arc<dyn Observer>,
    pipeline: Arc<str>,
    caller: Option<Arc<str>>,
    provider: Arc<str>,
    model: String,
    sent_bytes: u64,
}

impl Meter {
    /// `sent_bytes`: the size of the request's body.
    pub(super) fn new(
        tally: Tally,
        observer: Arc<dyn Observer>,
        exchange: &Exchange,
        provider: &Arc<str>,
        model: &str,
        sent_bytes: usize,
    ) -> Self {
        Self {
            tally,
            observer,
            pipeline: Arc::clone(&exchange.pipeline),
            caller: exchange.caller.clone(),
            provider: Arc::clone(provider),
            model: model.to_owned(),
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
        let Self { pipeline, caller, provider, model, .. } = self;
        self.observer.used(&Used { pipeline, caller: caller.as_deref(), provider, model, usage, estimated });
    }
}
