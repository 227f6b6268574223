//! Counts what one reply uses and reports it once, when the reply is over: read to its end, failed, or left by the client in its middle.
//! If the provider reports no count, the tokens are estimated from the bytes.

use std::sync::Arc;

use tracing::Span;

use super::attempt::Observer;
use super::used::Used;
use crate::chat::{Exchange, Usage};
use crate::telemetry::{llm_answered, llm_used};

/// Bytes of English text or JSON in a token, by the vendors' own rule of thumb.
pub(super) const BYTES_PER_TOKEN: u64 = 4;

/// Reasons kept for the trace: more choices than anybody asks for.
const FINISHES_MAX: usize = 16;

/// The tokens in so many bytes, estimated.
pub(super) fn tokens(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// What is known of a reply's use so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    usage: Option<Usage>,
    /// Bytes of text in the reply, or an estimate of them.
    generated_bytes: u64,
    /// As many there were when the count was reported.
    counted_bytes: u64,
    /// The reply came to its end, so that the last count is of all of it.
    complete: bool,
    /// For the trace: who the provider says wrote the reply, and why each choice ended.
    pub(super) model: Option<String>,
    pub(super) finishes: Vec<String>,
}

impl Tally {
    /// The provider's own count; the last one holds. The same count again changes nothing.
    pub(super) fn reported(&mut self, usage: Usage) {
        if self.usage.replace(usage) != Some(usage) {
            self.counted_bytes = self.generated_bytes;
        }
    }

    /// The reply is whole.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }

    /// What was used by a reply to a request of `sent_bytes`, and whether that is estimated. If a reply was left or cut, the text after the last
    /// count is estimated: some providers count one token at the beginning and the rest at the end.
    fn used(&self, sent_bytes: u64) -> (Usage, bool) {
        let generated = |after: u64| tokens(self.generated_bytes - after);
        match self.usage {
            None => (Usage { prompt: tokens(sent_bytes), completion: generated(0), ..Usage::default() }, true),
            Some(usage) if self.complete || self.generated_bytes == self.counted_bytes => (usage, false),
            Some(usage) => (Usage { completion: usage.completion.saturating_add(generated(self.counted_bytes)), ..usage }, true),
        }
    }

    /// More text of the reply, in bytes.
    pub(super) fn generated(&mut self, bytes: usize) {
        self.generated_bytes += bytes as u64;
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

/// The use of one reply; dropping it reports it to the observer.
pub(super) struct Meter {
    pub(super) tally: Tally,
    observer: Arc<dyn Observer>,
    pipeline: Arc<str>,
    caller: Option<Arc<str>>,
    provider: Arc<str>,
    system: &'static str,
    model: String,
    /// That of the attempt, which ends with the reply.
    span: Span,
    sent_bytes: u64,
}

impl Meter {
    /// Made within the attempt's span, which it keeps. `system`: OpenTelemetry's word for the provider's kind. `sent_bytes`: the size of the request's body.
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
}

impl Drop for Meter {
    fn drop(&mut self) {
        let (usage, estimated) = self.tally.used(self.sent_bytes);
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::chat::Deadline;

    #[derive(Default)]
    struct Ledger(Mutex<Vec<(Usage, bool)>>);

    impl Observer for Ledger {
        fn attempt(&self, _: &str, _: &str, _: &'static str, _: f64) {}

        fn used(&self, used: &Used<'_>) {
            self.0.lock().unwrap().push((used.usage, used.estimated));
        }
    }

    /// What the ledger is told of a reply to a request of 400 bytes.
    fn booked(reply: impl FnOnce(&mut Tally)) -> Vec<(Usage, bool)> {
        let exchange = Exchange {
            id: "r".into(),
            caller: None,
            pipeline: "p".into(),
            deadline: Deadline::after(Duration::from_secs(9)),
            stream: true,
            model: None,
            messages: Vec::new(),
            params: Vec::new(),
            metadata: Default::default(),
            hits: Vec::new(),
            skipped: Vec::new(),
            tries: Default::default(),
        };
        let ledger = Arc::new(Ledger::default());
        let mut meter = Meter::new(Tally::default(), ledger.clone(), &exchange, (&"a".into(), "openai"), "m", 400);
        reply(&mut meter.tally);
        drop(meter);
        ledger.0.lock().unwrap().clone()
    }

    fn usage(prompt: u64, completion: u64) -> Usage {
        Usage { prompt, completion, ..Usage::default() }
    }

    #[test]
    fn a_reply_without_a_count_is_guessed_from_its_bytes() {
        assert_eq!(booked(|tally| tally.generated(41)), [(usage(100, 11), true)]);
    }

    #[test]
    fn a_reply_that_is_left_is_billed_for_what_it_said_after_the_last_count() {
        // Anthropic counts one token when a message starts, and the rest when it is over.
        let left = booked(|tally| {
            tally.reported(usage(70, 1));
            tally.generated(4_000);
        });
        assert_eq!(left, [(usage(70, 1_001), true)]);
        let counted_as_it_went = booked(|tally| {
            tally.generated(4_000);
            tally.reported(usage(70, 990));
        });
        assert_eq!(counted_as_it_went, [(usage(70, 990), false)]);
    }

    #[test]
    fn the_last_count_holds_for_a_reply_that_came_to_its_end() {
        let whole = booked(|tally| {
            tally.reported(usage(70, 990));
            tally.generated(4);
            tally.complete();
        });
        assert_eq!(whole, [(usage(70, 990), false)]);
    }
}
