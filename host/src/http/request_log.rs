//! What is written of one request: its span, its place among those under way, one log line and the metrics when it is over.
//! Over is when the answer's last piece was handed to the connection. Dropping the log writes it, so nothing is lost when a client leaves and
//! the work is dropped. Nothing that the request asked for is kept: no body, no query, no key. The names of the line's fields are a promise to
//! whoever reads it: `docs/observability.md` has them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use tokio::time::Instant;
use tracing::Span;

use super::bodies::Reserved;
use super::error::Refusal;
use super::keys::{self, EndUserFrom, EndUsers};
use super::listen::Peer;
use super::place::{CountedAnswer, Place};
use super::shared::Shared;
use crate::chat::account::Closing;
use crate::chat::{Account, Client, Coverage, RequestId, Skipped, Tries};
use crate::fair::Share;
use crate::ledger::Standing;
use crate::telemetry::{Ended, request_done, request_span};

/// The status that logs and metrics show if a client left before it got one; nginx's number for it.
const CLIENT_GONE: u16 = 499;

/// W3C Trace Context; goes no further than our own traces.
const TRACEPARENT: &str = "traceparent";

/// Bytes of an answer that are not worth counting: its head and what the connection keeps of it are as much.
const UNCOUNTED_BYTES: usize = 1 << 10;

/// Bytes of a model's name that the line tells, as many as the ledger keeps: a hook may have made it up.
const MODEL_BYTES: usize = 200;

/// The log of one request; it writes itself when it is dropped.
pub(super) struct RequestLog {
    pub(super) shared: Arc<Shared>,
    pub(super) id: RequestId,
    pub(super) span: Span,
    pub(super) caller: Option<Arc<str>>,
    /// Whose share of the server it uses.
    pub(super) client: Client,
    /// For whom the caller asks, if end users are told apart.
    pub(super) end_user: Option<Arc<str>>,
    /// The one that the request names, if that is a valid name.
    pub(super) pipeline: Option<Arc<str>>,
    pub(super) began: Instant,
    pub(super) route: &'static str,
    /// Tries at providers, for an answer that says why none of them came to anything.
    pub(super) tries: Tries,
    /// Plugins that were passed over.
    pub(super) skipped: Skipped,
    /// What hooks were shown of its reply.
    pub(super) coverage: Coverage,
    /// The operator asks, who is told what hooks were shown.
    pub(super) operator: bool,
    /// For those who are told of it when it is over.
    pub(super) account: Account,
    /// What its body holds, and what was made of it.
    pub(super) body: Option<Arc<Reserved>>,
    method: Method,
    status: u16,
    outcome: &'static str,
    /// The code of what failed it before its answer began.
    code: Option<Cow<'static, str>>,
    /// The plugin that rejected or failed it.
    plugin: Option<Arc<str>>,
    /// From its head to the first byte of its answer.
    first_byte: Option<Duration>,
    peer: Peer,
    /// First among the bodies that come in, then among the requests that are answered.
    place: Option<Place>,
    /// Whether it must take a place among the answered when its body is in.
    awaits_body: bool,
    /// Whether it costs its caller tokens.
    metered: bool,
    /// Whether it may be where it is by more than that everybody may.
    authorized: bool,
    /// Whether its answer holds memory that would not be held without it.
    own_answer: bool,
}

impl RequestLog {
    pub(super) fn open(shared: Arc<Shared>, id: RequestId, head: &Parts, began: Instant, peer: Peer) -> Self {
        let traceparent = head.headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        Self {
            span: request_span(&id, traceparent),
            shared,
            id,
            caller: None,
            client: Client::Address(peer.network),
            end_user: None,
            pipeline: None,
            began,
            route: "none",
            tries: Tries::default(),
            skipped: Skipped::default(),
            coverage: Coverage::default(),
            operator: false,
            account: Account::default(),
            body: None,
            method: head.method.clone(),
            status: CLIENT_GONE,
            outcome: "client_gone",
            code: None,
            plugin: None,
            first_byte: None,
            peer,
            place: None,
            awaits_body: false,
            metered: false,
            authorized: false,
            own_answer: true,
        }
    }

    /// Says who sends the request, now that it is known, on a route that is not open to everybody. Without keys it is nobody by name.
    pub(super) fn is_of(&mut self, caller: Option<Arc<str>>) {
        self.authorized = true;
        if let Some(name) = &caller {
            self.client = Client::Key(Arc::clone(name));
        }
        self.caller = caller;
    }

    /// Lets a request in that has a body: it takes a place among those whose bodies come in, and none of those that are answered until its
    /// body is there. If there is none of those now, it is refused before the client has sent it all.
    pub(super) fn awaits_body(&mut self) -> Result<(), Refusal> {
        let shares = &self.shared.shares;
        if !shares.places.has_room(&self.client, 1) {
            return Err(Refusal::Overloaded { key: "limits.http.requests" });
        }
        let share = shares.bodies.take(&self.client, 1).ok_or(Refusal::Overloaded { key: "limits.http.bodies" })?;
        self.hold(share);
        self.awaits_body = true;
        Ok(())
    }

    /// Takes a place among the requests that are answered, which is held until the answer's last byte is written.
    pub(super) fn take_place(&mut self) -> Result<(), Refusal> {
        let share = self.shared.shares.places.take(&self.client, 1).ok_or(Refusal::Overloaded { key: "limits.http.requests" })?;
        self.hold(share);
        Ok(())
    }

    /// The body is there whose request was let in by `awaits_body`: it takes a place among those that are answered.
    pub(super) fn body_is_in(&mut self) -> Result<(), Refusal> {
        if std::mem::take(&mut self.awaits_body) { self.take_place() } else { Ok(()) }
    }

    /// As `take_place`, on `/api`.
    pub(super) fn take_admin_place(&mut self) -> Result<(), Refusal> {
        let share =
            self.shared.shares.admin_places.take(&self.client, 1).ok_or(Refusal::Overloaded { key: "limits.http.admin_requests" })?;
        self.hold(share);
        Ok(())
    }

    fn hold(&mut self, share: Share) {
        self.peer.let_in();
        // The one before it is given back only now.
        self.place = Some(Place::new(share, &self.shared.state.metrics));
    }

    /// An answer's bytes, which count among those that wait to be sent, and which hold the request's place, until nobody has them any more.
    pub(super) fn hold_answer(&mut self, bytes: Bytes) -> Result<Bytes, Refusal> {
        if bytes.len() <= UNCOUNTED_BYTES || !self.own_answer {
            return Ok(bytes);
        }
        let shares = &self.shared.shares;
        let answers = if self.authorized { &shares.answers } else { &shares.open_answers };
        // One that is larger than a client's share is sent alone.
        let amount = bytes.len().min(answers.most());
        let share = answers.take(&self.client, amount).ok_or(Refusal::Overloaded { key: "limits.http.answer_bytes" })?;
        Ok(Bytes::from_owner(CountedAnswer { bytes, _share: share, _place: self.place.take() }))
    }

    /// The answer is one that the server keeps whoever asks for it, so that its bytes are not counted.
    pub(super) fn answers_with_what_is_kept(&mut self) {
        self.own_answer = false;
    }

    /// Counts the request against its caller's limits, if there are any.
    pub(super) fn meter(&mut self) -> Result<(), Refusal> {
        self.metered = true;
        let Some(caller) = &self.caller else { return Ok(()) };
        self.shared.state.ledger.admit(caller).map_err(Refusal::RateLimited)
    }

    /// Counts the request against the limits of its caller's end user, if end users are told apart. `user` is the body's field of that name.
    pub(super) fn meter_end_user(&mut self, headers: &HeaderMap, user: Option<&str>) -> Result<(), Refusal> {
        let Some((EndUsers { from, .. }, caller)) = self.shared.keys.end_users.as_ref().zip(self.caller.as_ref()) else { return Ok(()) };
        let name = match from {
            EndUserFrom::Header(name) => headers.get(name).map(HeaderValue::as_bytes),
            EndUserFrom::UserField => user.map(str::as_bytes),
        };
        let end_user = keys::end_user(caller, name.unwrap_or_default());
        self.shared.state.ledger.admit_end_user(caller, &end_user).map_err(Refusal::RateLimited)?;
        self.end_user = Some(end_user);
        Ok(())
    }

    /// What its caller has left; none if it has no limits or nothing is counted.
    pub(super) fn standing(&self) -> Option<Standing> {
        let caller = self.caller.as_ref().filter(|_| self.metered)?;
        self.shared.state.ledger.standing(caller, self.end_user.as_deref())
    }

    /// It failed before its answer began: with this code, and by this plugin if it was one.
    pub(super) fn failed(&mut self, code: Cow<'static, str>, plugin: Option<&Arc<str>>) {
        self.code = Some(code);
        self.plugin = plugin.cloned();
    }

    /// Bytes of its answer are about to be handed to the connection.
    pub(super) fn gives_bytes(&mut self) {
        if self.first_byte.is_none() {
            self.first_byte = Some(self.began.elapsed());
        }
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

/// Microseconds, as durations stand in log lines.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        let metrics = &self.shared.state.metrics;
        let time = self.began.elapsed();
        metrics.request(self.route, self.status, time.as_secs_f64());
        let Self { span, method, route, status, outcome, caller, pipeline, .. } = &*self;
        let (pipeline_name, caller_name) = (pipeline.as_deref(), caller.as_deref());
        let (sent, unseen) = self.coverage.told().unzip();
        let (method_name, unseen_name) = (method.as_str(), unseen.as_deref());
        let ended = Ended {
            method: method_name,
            route,
            status: *status,
            outcome,
            pipeline: pipeline_name,
            caller: caller_name,
            unseen: unseen_name,
        };
        request_done(span, &ended);
        let (known, attempts) = (self.tries.known(), self.tries.begun());
        let (asked, usage) = (known.asked.as_ref(), known.usage.as_ref());
        let skipped = self.skipped.all();
        // A stream that broke has its code as its outcome.
        let broke = Some(*outcome).filter(|outcome| !matches!(*outcome, "done" | "client_gone"));
        // The formatter of JSON lines knows the spans that are entered, and not an event's own parent.
        let _inside = span.enter();
        // What is not known, or not so, has no field.
        tracing::info!(
            %method,
            route,
            status,
            duration_us = micros(time),
            first_byte_us = self.first_byte.map(micros),
            pipeline = pipeline_name,
            caller = caller_name,
            provider = asked.map(|asked| &*asked.provider),
            model = asked.map(|asked| &asked.model[..asked.model.floor_char_boundary(MODEL_BYTES)]),
            attempts = Some(attempts).filter(|attempts| *attempts > 0),
            prompt_tokens = usage.map(|usage| usage.prompt),
            completion_tokens = usage.map(|usage| usage.completion),
            cached_tokens = usage.map(|usage| usage.cached).filter(|cached| *cached > 0),
            estimated = Some(true).filter(|_| known.estimated),
            skipped = Some(skipped.join(", ")).filter(|skipped| !skipped.is_empty()),
            sent = sent.as_deref(),
            unseen = unseen_name,
            plugin = self.plugin.as_deref(),
            error = self.code.as_deref().or(broke),
            outcome,
            "{method} {route} answered {status}"
        );
        self.account.close(|| {
            let error = self.code.clone().or(Some(*outcome).filter(|outcome| *outcome != "done").map(Cow::Borrowed));
            // What failed before its answer began has an error for an answer, whatever had been made for it.
            let replied = self.code.is_none() && self.first_byte.is_some();
            Closing { replied, status: *status, error, first_byte: self.first_byte, total: time }
        });
    }
}
