//! One try at a provider, as everything else here sees it: what it needs, what comes of it, who makes it, and who observes it.
//! Every try that begins is reported to the observer once, also if it is dropped.

mod circuit;
pub(super) mod circuits;
mod policy;
mod running;
mod shared;
pub(super) mod walk;

use std::future::Future;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::budget::{Ask, Hold};
use super::error::Error;
use super::target::Target;
use super::used::Used;
use crate::chat::{Deadline, Tries};
use crate::telemetry::{Operation, llm_done, llm_span};

/// One try at one target.
pub(super) struct Attempt<'a, R> {
    pub(super) target: &'a Target,
    /// The target's, or a hook's choice in its place.
    pub(super) model: &'a str,
    pub(super) request: &'a R,
    /// That of the exchange.
    pub(super) deadline: Deadline,
    /// How many targets of the chain come after this one.
    pub(super) others: u32,
}

/// What a provider is asked for: a chat reply, vectors or a ranking.
pub(super) trait Request: Sync {
    type Reply: Send;

    /// OpenTelemetry's name of the operation.
    const OPERATION: &'static str;

    /// Whether a try ends with the first event of a stream.
    fn streams(&self) -> bool {
        false
    }
}

/// Who makes the tries: the providers of the configuration, or a script in tests.
pub(super) trait Backend<R: Request>: Sync {
    fn attempt(&self, attempt: Attempt<'_, R>) -> impl Future<Output = Result<R::Reply, Failure>> + Send;

    /// OpenTelemetry's name of the provider's kind.
    fn system(&self, provider: &str) -> &'static str;

    /// The name of the secret that holds the key for this target; none if the provider needs no key. Of a plugin it is the one that is asked for
    /// `model`, which may be a hook's choice.
    fn key_name<'t>(&'t self, target: &'t Target, model: &'t str) -> Option<&'t str>;
}

/// A reply and who gave it.
pub struct Answered<T> {
    pub reply: T,
    pub provider: String,
    pub model: String,
    /// How many tries were begun, retries and hedges included; 1 if the first one answered.
    pub attempts: u32,
}

/// Why a try gave no reply.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// The error came inside a reply whose status was a success.
    pub(super) in_band: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, in_band: false }
    }
}

/// Learns of each try when it ends, which for a stream is its first event, and of each reply when it is over.
pub trait Observer: Send + Sync {
    /// `outcome` is `ok`, `cancelled` or an [`Error::outcome`]; the time is in seconds.
    fn attempt(&self, provider: &str, model: &str, outcome: &'static str, seconds: f64);

    /// Reserves for a try what it may use; none if nothing limits its caller.
    ///
    /// # Errors
    /// `OverBudget`.
    fn reserve<'a>(&'a self, _: &'a Ask<'a>) -> BoxFuture<'a, Result<Option<Box<dyn Hold>>, Error>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// A reply for which nothing was reserved is over, and this is what it used. Called once for each answered exchange, also if the client
    /// left before the end.
    fn used(&self, _: &Used<'_>) {}

    /// How many circuits of a provider, those of its callers and those of its keys, are open now. Called whenever that number changes.
    fn circuits(&self, provider: &str, open: usize) {
        let _ = (provider, open);
    }

    /// The same try as in `attempt`, in OpenTelemetry's terms; `error` is none if the try succeeded.
    fn operation(&self, _of: Operation<'_>, _error: Option<&'static str>, _seconds: f64) {}

    /// The first event of a stream came; the time is in seconds.
    fn first_chunk(&self, _of: Operation<'_>, _seconds: f64) {}
}

/// Observes nothing.
impl Observer for () {
    fn attempt(&self, _: &str, _: &str, _: &'static str, _: f64) {}
}

/// Measures a try and reports it when dropped; a try that did not end was cancelled.
struct Measured<'a> {
    span: tracing::Span,
    observer: &'a dyn Observer,
    of: Operation<'a>,
    provider: &'a str,
    /// Those of the exchange.
    tries: &'a Tries,
    begun: Instant,
    outcome: &'static str,
    /// The error status that the provider answered with.
    status: Option<u16>,
}

impl<'a> Measured<'a> {
    fn begin(observer: &'a dyn Observer, of: Operation<'a>, provider: &'a str, tries: &'a Tries) -> Self {
        let span = llm_span(of, provider, tries.begin());
        Self { span, observer, of, provider, tries, begun: Instant::now(), outcome: "cancelled", status: None }
    }

    /// `streams`: whether a stream was asked for.
    fn end<T>(mut self, result: &Result<T, Failure>, streams: bool) {
        match result {
            Ok(_) => {
                self.outcome = "ok";
                if streams {
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

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        llm_done(&self.span, self.outcome, self.status, seconds);
        self.tries.ended(self.provider, self.of.model, self.outcome == "ok");
        self.observer.attempt(self.provider, self.of.model, self.outcome, seconds);
        self.observer.operation(self.of, (self.outcome != "ok").then_some(self.outcome), seconds);
    }
}
