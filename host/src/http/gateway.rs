//! One request from its head to its answer: its id, its log, its route, who may come in, a place, the handler, the answer.
//! All of it is one future, polled by the connection: nothing is spawned, so a client that hangs up drops everything.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::Instant;
use tracing::Instrument;

use super::access::{self, Access};
use super::body::{Body, Content};
use super::cors::Origins;
use super::error::{Failure, Refusal};
use super::listen::{self, Drain, Error, Handler, Peer};
use super::request_log::RequestLog;
use super::route::{self, Call, Route, Surface};
use super::shared::{Config, Shared, State};
use super::surface::SURFACES;
use super::{head as heads, openapi, quota, request_body, respond, run_chat};
use crate::chat::RequestId;
use crate::chat::is_name;
use crate::telemetry::Metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What logs and metrics call a browser's question whether a page may send a request.
const PREFLIGHT: &str = "preflight";

/// A server that listens and does not yet serve.
pub struct Server {
    listening: listen::Server<Gateway>,
    switch: Switch,
}

/// What the connections of a server have in common; which configuration a request is answered under is decided when it begins.
struct Gateway {
    current: ArcSwap<Shared>,
    metrics: Arc<Metrics>,
}

/// By which a running server is told of the next configuration.
#[derive(Clone)]
pub struct Switch(Arc<Gateway>);

impl Switch {
    /// Requests that begin from now on are answered under this configuration. What concerns the listening socket and its connections stays as
    /// it is.
    pub fn to(&self, config: Config, state: State) {
        let next = self.0.current.load().renewed(config, state);
        self.0.current.store(Arc::new(next));
    }
}

impl Server {
    /// Listens; connections wait in the backlog until `serve`.
    ///
    /// # Errors
    /// `NeedsKeys` for an address that is not loopback without keys; `Bind` if the system refuses the address.
    pub async fn bind(config: Config, state: State) -> Result<Self, Error> {
        let (listen, limits) = (config.listen, config.limits.clone());
        if !access::may_listen(listen, &config.keys) {
            return Err(Error::NeedsKeys(listen));
        }
        let shared = Shared::new(config, state, openapi_document);
        let gateway = Gateway { metrics: shared.state.metrics.clone(), current: ArcSwap::from_pointee(shared) };
        let gateway = Arc::new(gateway);
        let listening = listen::Server::bind(listen, limits, Arc::clone(&gateway)).await?;
        Ok(Self { listening, switch: Switch(gateway) })
    }

    /// By which the next configuration takes effect.
    pub fn switch(&self) -> Switch {
        self.switch.clone()
    }

    /// Where it listens, the port it got included.
    pub fn local_addr(&self) -> SocketAddr {
        self.listening.local_addr()
    }

    /// Serves until `shutdown` is ready, then drains. Dropping the future cuts everything.
    ///
    /// # Errors
    /// `Accept` if the listening socket breaks; connections are cut then.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<Drain, Error> {
        self.listening.serve(shutdown).await
    }
}

/// What `GET /openapi.json` answers: an OpenAPI 3.1 document of every route, as JSON.
pub fn openapi_document() -> bytes::Bytes {
    openapi::document(SURFACES)
}

impl Handler for Gateway {
    type Body = Body;

    async fn answer(self: Arc<Self>, request: Request<Incoming>, began: Instant, peer: Peer) -> Response<Body> {
        self.current.load_full().answer(request, began, peer).await
    }

    fn connections_changed(&self, change: i64) {
        self.metrics.connections(change);
    }

    fn connection_cut(&self, reason: &'static str) {
        self.metrics.cut(reason);
    }

    /// From here on `/readyz` says so.
    fn drain_begins(&self) {
        self.current.load().draining.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>, began: Instant, peer: Peer) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let id = request_id(&head.headers);
        let header = HeaderValue::from_str(&id).expect("letters, digits and `.`, `_`, `-`");
        let (surface, found) = route::find(SURFACES, &head.method, head.uri.path());
        let origins = surface.cors.then_some(&self.cors_origins);
        let mut log = RequestLog::open(Arc::clone(&self), id, &head, began, peer);
        let (span, version) = (log.span.clone(), head.version);
        let answering = async {
            // Before anything is answered, so that no other rule holds for a question of a browser.
            let checked = heads::check(&head, self.limits.header_bytes);
            let asked = origins.filter(|_| checked.is_ok()).and_then(|origins| preflight(origins, &head));
            if let Some(response) = asked {
                log.route = PREFLIGHT;
                return response;
            }
            let dispatched = AssertUnwindSafe(dispatch(surface, checked.and(found), &head, &mut body, &mut log)).catch_unwind().await;
            let mut response = match dispatched.unwrap_or(Err(Failure::Panicked)) {
                Ok(response) => response,
                Err(failure) => {
                    if !matches!(failure, Failure::Refused(Refusal::BodySlow)) {
                        // Boxed, because it is rare and large.
                        Box::pin(request_body::discard(&mut body, &head.headers)).await;
                    }
                    let mut response = respond::failure(&failure, surface.errors);
                    run_chat::add_attempts(response.headers_mut(), log.tries.begun());
                    response
                }
            };
            if let Err(refusal) = finish(&mut response, &head.method, &mut log) {
                response = respond::failure(&refusal.into(), surface.errors);
            }
            if let Some(origins) = origins {
                origins.open(&head.headers, response.headers_mut());
            }
            response
        };
        let mut response = answering.instrument(span).await;
        response.headers_mut().insert(REQUEST_ID, header);
        if let Some(standing) = log.standing() {
            quota::add_headers(response.headers_mut(), &standing);
        }
        log.answered(response.status().as_u16());
        let (parts, content) = response.into_parts();
        Response::from_parts(parts, Body::new(content, log, version))
    }
}

/// Makes an answer ready to be sent: of one to HEAD only the head is, and the bytes of another are counted.
fn finish(response: &mut Response<Content>, method: &Method, log: &mut RequestLog) -> Result<(), Refusal> {
    let Content::Whole(bytes) = response.body_mut() else { return Ok(()) };
    let bytes = std::mem::take(bytes);
    if method == Method::HEAD {
        response.headers_mut().insert(CONTENT_LENGTH, bytes.len().into());
        *response.body_mut() = Content::Over;
    } else {
        *response.body_mut() = Content::Whole(log.hold_answer(bytes)?);
    }
    Ok(())
}

/// The way to the handler. What costs least to refuse is refused first.
async fn dispatch(
    surface: &Surface,
    found: Result<(&Route, &str), Refusal>,
    head: &Parts,
    body: &mut Incoming,
    log: &mut RequestLog,
) -> Result<Response<Content>, Failure> {
    let shared = Arc::clone(&log.shared);
    let (route, segment) = found?;
    log.route = route.name;
    let nobody = Origins::default();
    let origins = if surface.cors { &shared.cors_origins } else { &nobody };
    let caller = access::authorize(route.access, &shared.keys, origins, head)?;
    if route.access != Access::Open {
        log.is_of(caller);
    }
    if route.metered {
        log.meter()?;
    }
    match route.access {
        Access::Open => {}
        Access::Admin => log.take_admin_place()?,
        Access::Client if route.operation.body.is_some() => log.awaits_body()?,
        Access::Client => log.take_place()?,
    }
    let id = route::percent_decoded(segment).unwrap_or_default();
    log.pipeline = is_name(&id).then(|| (&*id).into());
    (route.handler)(Call { shared: &shared, head, body, log, id }).await
}

/// The answer to a browser that asks whether a page of a listed origin may send a request to a path that is there.
fn preflight(origins: &Origins, head: &Parts) -> Option<Response<Content>> {
    if head.method != Method::OPTIONS {
        return None;
    }
    let allowed = route::allow(SURFACES, head.uri.path());
    let headers = origins.preflight(&head.headers, &allowed).filter(|_| !allowed.is_empty())?;
    let mut response = Response::new(Content::Over);
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = headers;
    Some(response)
}

/// The client's own id if it may stand in a log line, else a new one that sorts by time.
fn request_id(headers: &HeaderMap) -> RequestId {
    let safe = |id: &&[u8]| (1..=64).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    match headers.get(REQUEST_ID).map(HeaderValue::as_bytes).filter(safe) {
        Some(id) => String::from_utf8_lossy(id).into(),
        None => RequestId::from(&*uuid::Uuid::now_v7().as_hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safe_request_id_is_kept_and_another_is_replaced() {
        let id = |value: &str| request_id(&HeaderMap::from_iter([(REQUEST_ID, value.parse().expect("a value"))]));
        assert_eq!(&*id("Trace_1.a-b"), "Trace_1.a-b");
        assert_eq!(&*id(&"x".repeat(64)), "x".repeat(64));
        for unsafe_id in ["", "a b", "a/b", &"x".repeat(65)] {
            assert_eq!(id(unsafe_id).len(), 36, "{unsafe_id}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
