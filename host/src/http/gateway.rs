//! One request from its head to its answer: its id, its log, its route, who may come in, a place, the handler, the answer.
//! All of it is one future, polled by the connection: nothing is spawned, so a client that hangs up drops everything.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

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
use super::listen::{self, Bound, Door, Drain, Error, Handler, Inherited, Peer, Tls};
use super::request_log::RequestLog;
use super::route::{self, Call, Route, Segments, Side, Surface};
use super::shared::{Config, Shared, State};
use super::surface::{OPEN_WEBUI, SURFACES, WITHOUT_OPEN_WEBUI};
use super::{head as heads, openapi, quota, request_body, respond, run_chat};
use crate::chat::{RequestId, is_name};
use crate::llm::sortable_id;
use crate::telemetry::Metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Whole seconds, as the server sends that Open WebUI's surface stands for.
const PROCESS_TIME: HeaderName = HeaderName::from_static("x-process-time");

/// What logs and metrics call a browser's question whether a page may send a request.
const PREFLIGHT: &str = "preflight";

/// How long a request that changes something may go on until it is looked again whether it is over.
const CHANGES_PAUSE: Duration = Duration::from_millis(10);

/// A server that listens and does not yet serve.
pub struct Server {
    gateway: Arc<Gateway>,
    main: listen::Server<Entrance>,
    /// None if the operator's routes are with the others.
    admin: Option<listen::Server<Entrance>>,
    /// None if Open WebUI's surface has no address of its own.
    open_webui: Option<listen::Server<Entrance>>,
    tls: Option<Arc<Tls>>,
}

/// A server that accepts no more, and still answers what came before.
pub struct Draining {
    gateway: Arc<Gateway>,
    connections: Vec<listen::Draining>,
}

/// What the connections of a server have in common; which configuration a request is answered under is decided when it begins.
struct Gateway {
    current: ArcSwap<Shared>,
    metrics: Arc<Metrics>,
}

/// Where connections come in, which decides what is there.
struct Entrance {
    gateway: Arc<Gateway>,
    side: Side,
}

/// By which a running server is told of the next configuration.
#[derive(Clone)]
pub struct Switch(Arc<Gateway>);

impl Switch {
    /// Requests that begin from now on are answered under this configuration. What concerns the listening sockets and their connections stays as
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
    /// `NeedsKeys` for an address that others can reach without keys; those of the sockets and of the certificate.
    pub async fn bind(config: Config, mut sockets: Inherited, state: State) -> Result<Self, Error> {
        let Config { listen, admin_listen, socket_mode, tls, limits, open_webui, .. } = config.clone();
        let tls = tls.map(|files| Tls::open(&files, &limits).map(Arc::new)).transpose()?;
        let public = !config.keys.is_empty();
        let shared = Shared::new(config, state, openapi_document);
        let gateway = Arc::new(Gateway { metrics: shared.state.metrics.clone(), current: ArcSwap::from_pointee(shared) });
        let door = |addresses, connections| Door { addresses, mode: socket_mode, tls: tls.clone(), public, connections };
        let entrance = |side| Arc::new(Entrance { gateway: Arc::clone(&gateway), side });
        let apart = !admin_listen.is_empty();
        let side = if apart { Side::Clients } else { Side::Both };
        let main = listen::Server::bind(door(&listen, limits.connections), &mut sockets, limits.clone(), entrance(side)).await?;
        let admin = if apart {
            let door = door(&admin_listen, limits.admin_connections);
            let mut admin = listen::Server::bind(door, &mut sockets, limits.clone(), entrance(Side::Admin)).await?;
            admin.goes_before(&main);
            Some(admin)
        } else {
            None
        };
        let open_webui = if open_webui.enabled && !open_webui.listen.is_empty() {
            let door = door(&open_webui.listen, limits.connections);
            Some(listen::Server::bind(door, &mut sockets, limits, entrance(Side::OpenWebUi)).await?)
        } else {
            None
        };
        for fd in sockets.unused() {
            tracing::warn!("the socket fd:{fd} was handed over, and neither `listen` nor `admin.listen` names it");
        }
        Ok(Self { gateway, main, admin, open_webui, tls })
    }

    /// By which the next configuration takes effect.
    pub fn switch(&self) -> Switch {
        Switch(Arc::clone(&self.gateway))
    }

    /// Where it listens.
    pub fn bound(&self) -> Vec<Bound> {
        self.main.bound()
    }

    /// Where the operator's routes are, if not with the others.
    pub fn admin_bound(&self) -> Vec<Bound> {
        self.admin.as_ref().map(listen::Server::bound).unwrap_or_default()
    }

    /// Where Open WebUI's surface is alone.
    pub fn open_webui_bound(&self) -> Vec<Bound> {
        self.open_webui.as_ref().map(listen::Server::bound).unwrap_or_default()
    }

    /// Waits until every plugin that a pipeline names was tried.
    pub async fn plugins_tried(&self) {
        while !self.gateway.current.load().loaded() {
            tokio::time::sleep(CHANGES_PAUSE).await;
        }
    }

    /// Serves until `shutdown` is ready, and then accepts no more. Dropping the future cuts everything.
    ///
    /// # Errors
    /// `Accept` if a listening socket breaks; connections are cut then.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<Draining, Error> {
        let Self { gateway, main, admin, open_webui, tls } = self;
        let shutdown = shutdown.shared();
        let serving = async {
            let beside = async |server: Option<listen::Server<Entrance>>| match server {
                Some(server) => server.serve(shutdown.clone()).await.map(Some),
                None => Ok(None),
            };
            let (main, admin, open_webui) = tokio::try_join!(main.serve(shutdown.clone()), beside(admin), beside(open_webui))?;
            Ok::<_, Error>(std::iter::once(main).chain(admin).chain(open_webui).collect())
        };
        let watching = async {
            match &tls {
                Some(tls) => tls.watch().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            connections = serving => Ok(Draining { gateway, connections: connections? }),
            never = watching => match never {},
        }
    }
}

impl Draining {
    /// Waits until nothing runs any more that may change what the server keeps: no request, and no upload in the background. None begins after that: those are refused while the server
    /// stops. What is used is not meant.
    pub fn changes_end(&self) -> impl Future<Output = ()> + use<> {
        // A request takes its place before it looks whether the server stops, so none is missed here.
        let current = self.gateway.current.load();
        let (places, jobs, time) = (current.shares.admin_places.clone(), current.jobs.clone(), current.limits.drain_time);
        async move {
            // Uploads in the background have no connection that would be cut.
            jobs.end(time).await;
            while places.held() > 0 {
                tokio::time::sleep(CHANGES_PAUSE).await;
            }
        }
    }

    /// Waits for the connections to finish, and cuts those that have not when the time is over.
    pub async fn finish(self) -> Drain {
        let drains = futures_util::future::join_all(self.connections.into_iter().map(listen::Draining::finish)).await;
        Drain { cut: drains.iter().map(|drain| drain.cut).sum() }
    }
}

/// What `GET /openapi.json` answers: an OpenAPI 3.1 document of every route, as JSON.
pub fn openapi_document() -> bytes::Bytes {
    openapi::document(SURFACES)
}

impl Handler for Entrance {
    type Body = Body;

    async fn answer(self: Arc<Self>, request: Request<Incoming>, began: Instant, peer: Peer) -> Response<Body> {
        self.gateway.current.load_full().answer(self.side, request, began, peer).await
    }

    fn connections_changed(&self, change: i64) {
        self.gateway.metrics.connections(change);
    }

    fn connection_cut(&self, reason: &'static str) {
        self.gateway.metrics.cut(reason);
    }

    /// From here on `/readyz` says so.
    fn drain_begins(&self) {
        self.gateway.current.load().draining.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn place<'a>(&self, side: Side, path: &'a str) -> Place<'a> {
        if !self.open_webui.enabled {
            return Place { surfaces: WITHOUT_OPEN_WEBUI, side, path };
        }
        match (side, self.open_webui.below(path)) {
            (Side::Both | Side::Clients, Some(path)) => Place { surfaces: OPEN_WEBUI, side: Side::OpenWebUi, path },
            (Side::OpenWebUi, below) => Place { surfaces: OPEN_WEBUI, side, path: below.unwrap_or(path) },
            _ => Place { surfaces: SURFACES, side, path },
        }
    }

    async fn answer(self: Arc<Self>, side: Side, request: Request<Incoming>, began: Instant, peer: Peer) -> Response<Body> {
        let (head, mut body) = request.into_parts();
        let id = request_id(&head.headers);
        let header = HeaderValue::from_str(&id).expect("letters, digits and `.`, `_`, `-`");
        let place = self.place(side, head.uri.path());
        let (surface, found) = route::find(place.surfaces, place.side, &head.method, place.path);
        let origins = surface.cors.then_some(&self.cors_origins);
        let mut log = RequestLog::open(Arc::clone(&self), id, &head, began, peer);
        let (span, version) = (log.span.clone(), head.version);
        let answering = async {
            // Before anything is answered, so that no other rule holds for a question of a browser.
            let checked = heads::check(&head, self.limits.header_bytes);
            let asked = origins.filter(|_| checked.is_ok()).and_then(|origins| preflight(origins, &place, &head));
            if let Some(response) = asked {
                log.route = PREFLIGHT;
                return response;
            }
            let dispatched = AssertUnwindSafe(dispatch(surface, checked.and(found), &head, &mut body, &mut log)).catch_unwind().await;
            let mut response = match dispatched.unwrap_or(Err(Failure::Panicked)) {
                Ok(mut response) => {
                    if log.operator {
                        run_chat::add_coverage(&mut response, &log.coverage);
                    }
                    response
                }
                Err(failure) => {
                    if !matches!(failure, Failure::Refused(Refusal::BodySlow)) {
                        // Boxed, because it is rare and large.
                        Box::pin(request_body::discard(&mut body, &head.headers)).await;
                    }
                    let (mut response, code) = respond::failure(&failure, surface.errors);
                    log.failed(code, failure.plugin());
                    run_chat::add_attempts(response.headers_mut(), log.tries.begun());
                    response
                }
            };
            if let Err(refusal) = finish(&mut response, &head.method, &mut log) {
                let (refused, code) = respond::failure(&refusal.into(), surface.errors);
                log.failed(code, None);
                response = refused;
            }
            if surface.open_webui {
                response.headers_mut().insert(PROCESS_TIME, log.began.elapsed().as_secs().into());
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

/// Where a request's path is looked for.
struct Place<'a> {
    surfaces: &'static [&'static Surface],
    side: Side,
    path: &'a str,
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
    found: Result<(&Route, Segments<'_>), Refusal>,
    head: &Parts,
    body: &mut Incoming,
    log: &mut RequestLog,
) -> Result<Response<Content>, Failure> {
    let shared = Arc::clone(&log.shared);
    let (route, segments) = found?;
    log.route = route.name;
    let nobody = Origins::default();
    let origins = if surface.cors { &shared.cors_origins } else { &nobody };
    let access = match route.access {
        Access::Shown if shared.open_webui.open_reads => Access::Open,
        access => access,
    };
    let caller = access::authorize(access, &shared.keys, origins, head)?;
    if access != Access::Open {
        log.is_of(caller);
    }
    if access == Access::Client {
        log.operator = access::operator(&shared.keys, &head.headers)?;
    }
    if route.metered {
        log.meter()?;
    }
    match access {
        Access::Open => {}
        Access::Admin | Access::Manage | Access::Shown => {
            log.take_admin_place()?;
            // Not before, so that whoever waits for these requests to end misses none.
            if !matches!(head.method, Method::GET | Method::HEAD) && shared.draining.load(Ordering::Relaxed) {
                return Err(Refusal::Stopping.into());
            }
        }
        Access::Client if route.operation.body.is_some() => log.awaits_body()?,
        Access::Client => log.take_place()?,
    }
    let [id, document] = [segments.id, segments.document].map(|segment| route::percent_decoded(segment).unwrap_or_default());
    log.pipeline = is_name(&id).then(|| (&*id).into());
    (route.handler)(Call { shared: &shared, head, body, log, id, document }).await
}

/// The answer to a browser that asks whether a page of a listed origin may send a request to a path that is there.
fn preflight(origins: &Origins, place: &Place<'_>, head: &Parts) -> Option<Response<Content>> {
    if head.method != Method::OPTIONS {
        return None;
    }
    let allowed = route::allow(place.surfaces, place.side, place.path);
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
        None => RequestId::from(&*sortable_id().as_hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())),
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
