//! What is written of one request: its span, its permit among those under way, one log line and the metrics when it is over.
//! Over is when the answer was handed to the connection; for a stream, when its last event was. Dropping the log writes it, so nothing is lost
//! when a client leaves and the work is dropped. Nothing that the request asked for is kept: no body, no query, no key.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::Method;
use hyper::http::request::Parts;
use tokio::time::Instant;
use tracing::Span;

use super::bodies::Reserved;
use super::error::Refusal;
use super::shared::Shared;
use crate::chat::{RequestId, Tries};
use crate::ledger::Standing;
use crate::telemetry::{Ended, request_done, request_span};

/// The status that logs and metrics show if a client left before it got one; nginx's number for it.
const CLIENT_GONE: u16 = 499;

/// W3C Trace Context; goes no further than our own traces.
const TRACEPARENT: &str = "traceparent";

/// The log of one request; it writes itself when it is dropped.
pub(super) struct RequestLog {
    pub(super) shared: Arc<Shared>,
    pub(super) id: RequestId,
    pub(super) span: Span,
    pub(super) caller: Option<Arc<str>>,
    /// The one that the request names, if that is a valid name.
    pub(super) pipeline: Option<Arc<str>>,
    pub(super) began: Instant,
    pub(super) route: &'static str,
    /// Tries at providers, for an answer that says why none of them came to anything.
    pub(super) tries: Tries,
    /// What its body holds, and what was made of it.
    pub(super) body: Option<Arc<Reserved>>,
    method: Method,
    status: u16,
    outcome: &'static str,
    /// Whether it holds one of `limits.requests`.
    permitted: bool,
    /// Whether it costs its caller tokens.
    metered: bool,
}

impl RequestLog {
    pub(super) fn open(shared: Arc<Shared>, id: RequestId, head: &Parts, began: Instant) -> Self {
        let traceparent = head.headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        Self {
            span: request_span(&id, traceparent),
            shared,
            id,
            caller: None,
            pipeline: None,
            began,
            route: "none",
            tries: Tries::default(),
            body: None,
            method: head.method.clone(),
            status: CLIENT_GONE,
            outcome: "client_gone",
            permitted: false,
            metered: false,
        }
    }

    /// Takes a permit, of which there are `limits.requests`; it is held until the log is written.
    pub(super) fn take_permit(&mut self) -> Result<(), Refusal> {
        if self.shared.in_flight.fetch_add(1, Ordering::Relaxed) >= self.shared.limits.requests {
            self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
            return Err(Refusal::Overloaded);
        }
        self.permitted = true;
        self.shared.state.metrics.in_flight(1);
        Ok(())
    }

    /// Counts the request against its caller's limits, if there are any.
    pub(super) fn meter(&mut self) -> Result<(), Refusal> {
        self.metered = true;
        let Some(caller) = &self.caller else { return Ok(()) };
        self.shared.state.ledger.admit(caller).map_err(Refusal::RateLimited)
    }

    /// What its caller has left; none if it has no limits or nothing is counted.
    pub(super) fn standing(&self) -> Option<Standing> {
        let caller = self.caller.as_ref().filter(|_| self.metered)?;
        self.shared.state.ledger.standing(caller)
    }

    /// The answer's status is known; a stream may still end in other ways than well.
    pub(super) fn answered(&mut self, status: u16) {
        self.status = status;
    }

    /// How it ended: `done`, or the code of the error that broke the stream.
    pub(super) fn ended(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        let metrics = &self.shared.state.metrics;
        if self.permitted {
            self.shared.in_flight.fetch_sub(1, Ordering::Relaxed);
            metrics.in_flight(-1);
        }
        let time = self.began.elapsed();
        metrics.request(self.route, self.status, time.as_secs_f64());
        let Self { span, method, route, status, outcome, caller, pipeline, .. } = &*self;
        let (pipeline_name, caller_name) = (pipeline.as_deref(), caller.as_deref());
        let ended = Ended { method: method.as_str(), route, status: *status, outcome, pipeline: pipeline_name, caller: caller_name };
        request_done(span, &ended);
        tracing::info!(
            parent: span,
            %method,
            route,
            status,
            duration_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX),
            pipeline = pipeline_name,
            caller = caller_name,
            outcome,
            "{method} {route} answered {status}"
        );
    }
}
