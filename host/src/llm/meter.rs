//! Counts what one try uses and reports it once, when it is over: read to its end, failed, or left by the client. If the provider reports no
//! count, the tokens are estimated from the bytes. A try that was sent and whose provider nobody listened to until its end is charged at least
//! what was reserved for it, because the provider may have gone on; one for which the provider did no work costs nothing.

use std::sync::Arc;

use tracing::Span;

use super::attempt::Observer;
use super::budget::Hold;
use super::provider_error::DecodeError;
use super::used::Used;
use crate::chat::{Tries, Usage};
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
    /// The provider's own count, as far as it can be; the last one holds. The same count again changes nothing.
    pub(super) fn reported(&mut self, usage: Usage) {
        let usage = usage.believable();
        if self.usage.replace(usage) != Some(usage) {
            self.counted_bytes = self.generated_bytes;
        }
    }

    /// The reply is whole.
    pub(super) fn complete(&mut self) {
        self.complete = true;
    }

    /// What was used by a reply to a prompt of about so many tokens, and whether that is estimated. If a reply was left or cut, the text after the last
    /// count is estimated: some providers count one token at the beginning and the rest at the end.
    fn used(&self, prompt: u64) -> (Usage, bool) {
        let generated = |after: u64| tokens(self.generated_bytes - after);
        match self.usage {
            None => (Usage { prompt, completion: generated(0), ..Usage::default() }, true),
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

/// Who asks whom for what.
pub(super) struct Who<'a> {
    pub(super) pipeline: &'a str,
    pub(super) caller: Option<&'a str>,
    pub(super) provider: &'a Arc<str>,
    pub(super) operation: &'static str,
    /// OpenTelemetry's word for the provider's kind.
    pub(super) system: &'static str,
    /// Of the exchange, which learn of the use too.
    pub(super) tries: &'a Tries,
}

/// The use of one try; dropping it reports it to the observer.
pub(super) struct Meter {
    pub(super) tally: Tally,
    /// The provider may have seen something of the request.
    pub(super) sent: bool,
    /// The reply has begun, as far as its client is concerned.
    pub(super) begun: bool,
    /// The provider itself said that the reply failed.
    failed: bool,
    observer: Arc<dyn Observer>,
    hold: Option<Box<dyn Hold>>,
    pipeline: Box<str>,
    caller: Option<Box<str>>,
    provider: Arc<str>,
    operation: &'static str,
    system: &'static str,
    model: Box<str>,
    tries: Tries,
    /// That of the attempt, which ends with the reply.
    span: Span,
    /// Tokens, estimated.
    prompt: u64,
}

impl Meter {
    /// Made within the attempt's span, which it keeps, and before anything is sent. `prompt`: its tokens, estimated.
    pub(super) fn new(observer: Arc<dyn Observer>, who: &Who<'_>, model: &str, prompt: u64, hold: Option<Box<dyn Hold>>) -> Self {
        let Who { pipeline, caller, provider, operation, system, tries } = *who;
        Self {
            tally: Tally::default(),
            sent: false,
            begun: false,
            failed: false,
            observer,
            hold,
            pipeline: pipeline.into(),
            caller: caller.map(Box::from),
            provider: Arc::clone(provider),
            operation,
            system,
            model: model.into(),
            tries: tries.clone(),
            span: Span::current(),
            prompt,
        }
    }

    /// Notes whether an error in a reply is the provider's own, after which it does no more work. An answer that the model spoilt is charged as
    /// one that is whole.
    pub(super) fn judge(&mut self, error: &DecodeError) {
        if error.is_of_the_model() {
            self.tally.complete();
            self.begun = true;
        }
        self.failed |= matches!(error, DecodeError::Error(..));
    }

    /// Whoever answers does no more work once nobody listens, so that only what came is charged.
    pub(super) fn fail(&mut self) {
        self.failed = true;
    }

    /// Reserves more if the reply is longer than was expected; false if nothing is left.
    pub(super) fn extend(&mut self) -> bool {
        let Some(hold) = &mut self.hold else { return true };
        let (usage, _) = self.tally.used(self.prompt);
        hold.extend(usage.completion)
    }

    /// What is charged and reported, and whether that is estimated; none if the try costs nothing.
    fn used(&self) -> Option<(Usage, bool)> {
        let (usage, estimated) = self.tally.used(self.prompt);
        let works = self.sent && (self.begun || !self.failed);
        match &self.hold {
            _ if self.begun && (self.tally.complete || self.failed) => Some((usage, estimated)),
            Some(hold) if works => {
                let completion = hold.expected().completion;
                Some((Usage { completion: usage.completion.max(completion), ..usage }, true))
            }
            // The report shows replies: a try without one is in it only if somebody's limit pays for it.
            None if self.begun => Some((usage, estimated)),
            Some(_) | None => None,
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let (used, hold) = (self.used(), self.hold.take());
        let Some((usage, estimated)) = used else {
            if let Some(hold) = hold {
                hold.release();
            }
            return;
        };
        self.tries.used(&usage, estimated);
        let Self { pipeline, caller, provider, operation, system, model, span, tally, .. } = self;
        let finishes: Vec<&str> = tally.finishes.iter().map(String::as_str).collect();
        llm_answered(span, tally.model.as_deref(), &finishes);
        if !estimated {
            llm_used(span, usage.prompt, usage.completion);
        }
        let used = Used { pipeline, caller: caller.as_deref(), provider, operation, system, model, usage, estimated };
        match hold {
            Some(hold) => hold.settle(&used),
            None => self.observer.used(&used),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::chat::usage::TOKENS_MAX;
    use crate::llm::adapter::ProviderError;

    type Booked = Arc<Mutex<Vec<(Usage, bool)>>>;

    #[derive(Default)]
    struct Ledger(Booked);

    /// A hundred tokens of completion are reserved; what is not charged is a default with `false`.
    struct Reserved(Booked);

    impl Hold for Reserved {
        fn expected(&self) -> Usage {
            usage(100, 100)
        }

        fn extend(&mut self, completion: u64) -> bool {
            completion <= 200
        }

        fn settle(self: Box<Self>, used: &Used<'_>) {
            self.0.lock().unwrap().push((used.usage, used.estimated));
        }

        fn release(self: Box<Self>) {
            self.0.lock().unwrap().push((Usage::default(), false));
        }
    }

    impl Observer for Ledger {
        fn attempt(&self, _: &str, _: &str, _: &'static str, _: f64) {}

        fn used(&self, used: &Used<'_>) {
            self.0.lock().unwrap().push((used.usage, used.estimated));
        }
    }

    fn meter(booked: &Booked, hold: Option<Box<dyn Hold>>) -> Meter {
        let who = Who { pipeline: "p", caller: None, provider: &"a".into(), operation: "chat", system: "openai", tries: &Tries::default() };
        Meter::new(Arc::new(Ledger(Arc::clone(booked))), &who, "m", tokens(400), hold)
    }

    /// What the ledger is told of a reply to a request of 400 bytes.
    fn booked(reply: impl FnOnce(&mut Tally)) -> Vec<(Usage, bool)> {
        let booked = Booked::default();
        let mut meter = meter(&booked, None);
        (meter.sent, meter.begun) = (true, true);
        reply(&mut meter.tally);
        drop(meter);
        booked.lock().unwrap().clone()
    }

    /// The same of a try for which something was reserved.
    fn held(run: impl FnOnce(&mut Meter)) -> (Usage, bool) {
        let booked = Booked::default();
        let mut meter = meter(&booked, Some(Box::new(Reserved(Arc::clone(&booked)))));
        run(&mut meter);
        drop(meter);
        let [one] = booked.lock().unwrap()[..] else { panic!("it is settled or released once") };
        one
    }

    #[test]
    fn a_try_that_the_provider_never_saw_or_refused_costs_nothing() {
        let nothing = (Usage::default(), false);
        let refused = DecodeError::Error(http::StatusCode::BAD_GATEWAY, ProviderError::default());
        assert_eq!(held(|_| ()), nothing);
        assert_eq!(
            held(|meter| {
                meter.sent = true;
                meter.judge(&refused);
            }),
            nothing
        );
        let unlimited = Booked::default();
        meter(&unlimited, None).sent = true;
        assert_eq!(*unlimited.lock().unwrap(), [], "without a limit the report shows replies only");
    }

    #[test]
    fn a_try_that_is_dropped_after_it_was_sent_is_charged_what_was_reserved_or_counted() {
        assert_eq!(held(|meter| meter.sent = true), (usage(100, 100), true), "nothing of a reply came");
        let left = |generated: usize, counted: Option<Usage>| {
            held(|meter| {
                (meter.sent, meter.begun) = (true, true);
                counted.into_iter().for_each(|usage| meter.tally.reported(usage));
                meter.tally.generated(generated);
            })
        };
        assert_eq!(left(4, None), (usage(100, 100), true), "its client left after the first word, and the provider may not have noticed");
        assert_eq!(left(4, Some(usage(70, 1))), (usage(70, 100), true));
        assert_eq!(left(800, None), (usage(100, 200), true));
    }

    #[test]
    fn a_reply_that_ended_is_charged_what_was_counted() {
        let whole = held(|meter| {
            (meter.sent, meter.begun) = (true, true);
            meter.tally.reported(usage(70, 9));
            meter.tally.complete();
        });
        assert_eq!(whole, (usage(70, 9), false));
        let failed = held(|meter| {
            (meter.sent, meter.begun) = (true, true);
            meter.tally.generated(40);
            meter.judge(&DecodeError::Error(http::StatusCode::BAD_GATEWAY, ProviderError::default()));
        });
        assert_eq!(failed, (usage(100, 10), true), "the provider said itself that it stopped");
        let spoilt = held(|meter| {
            meter.sent = true;
            meter.tally.reported(usage(70, 3));
            meter.judge(&DecodeError::model_failed("no call".into()));
        });
        assert_eq!(spoilt, (usage(70, 3), false), "the model did its work, and did it badly");
    }

    fn usage(prompt: u64, completion: u64) -> Usage {
        Usage { prompt, completion, ..Usage::default() }
    }

    #[test]
    fn a_reply_without_a_count_is_guessed_from_its_bytes() {
        assert_eq!(booked(|tally| tally.generated(41)), [(usage(100, 11), true)]);
    }

    #[test]
    fn a_count_that_nobody_can_have_used_is_cut_before_anybody_is_told() {
        let told = booked(|tally| {
            tally.reported(usage(u64::MAX, TOKENS_MAX + 1));
            tally.complete();
        });
        assert_eq!(told, [(usage(TOKENS_MAX, TOKENS_MAX), false)]);
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
