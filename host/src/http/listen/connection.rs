//! One connection: HTTP/1.1 or HTTP/2, which is known beforehand or by ALPN, until it ends, idles too long, is stuck, or the server stops.
//! Times are watched here and not by hyper: one timer a connection is cheaper than one a request, and hyper knows none before the protocol is
//! known and none for an HTTP/2 client that stays silent.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::Acceptor;

use super::activity::{Action, ActiveRequest, Activity, FAREWELL_TIME, UNREAD};
use super::handler::Handler;
use super::handshakes::Handshakes;
use super::listener::Transport;
use super::peer::Peer;
use super::socket::{Socket, Stream};
use super::streams::{ActiveBody, Streams};
use super::tls::{self, Tls};
use super::woken::Woken;
use crate::http::limits::Limits;

/// hyper's least buffer.
const HEADER_BYTES_MIN: usize = 8 << 10;
/// Header lines of one head. It is hyper's default, which a new version might change.
const HEADERS_MAX: usize = 100;
/// How a client begins that has prior knowledge of HTTP/2. Source: RFC 9113, section 3.4.
const HTTP2: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Pings of an HTTP/2 connection, to notice a client that vanished without closing it.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a connection is cut whose client does not end its handshake.
const SLOW_HANDSHAKE: &str = "its handshake did not end in time";

/// Bytes of an answer that an HTTP/2 stream holds ready for its client.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// How connections are spoken to, made once for all of them.
pub(super) struct Protocols<H> {
    /// For connections whose first bytes leave open what they speak, and for those that speak HTTP/2.
    either: Builder<Streams<H>>,
    http1: Builder<Streams<H>>,
}

impl<H: Handler> Protocols<H> {
    pub(super) fn new(limits: &Limits, handler: &Arc<H>) -> Self {
        Self { either: protocol(limits, handler), http1: protocol(limits, handler).http1_only() }
    }
}

fn protocol<H: Handler>(limits: &Limits, handler: &Arc<H>) -> Builder<Streams<H>> {
    let header_bytes = limits.header_bytes.max(HEADER_BYTES_MIN);
    let mut builder = Builder::new(Streams::new(Arc::clone(handler), limits));
    // Without half-close a client that stops sending has left, and its work is dropped.
    builder.http1().half_close(false).header_read_timeout(None).max_buf_size(header_bytes).max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(limits.streams)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX));
    builder
}

/// What is spoken on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spoken {
    Http1,
    /// HTTP/2, or what the protocol's own first bytes will tell.
    Either,
}

/// A connection that nobody has read from yet.
pub(super) struct Accepted<'a> {
    pub(super) transport: Transport,
    pub(super) network: IpAddr,
    /// It begins with a handshake, which is one of those.
    pub(super) tls: Option<(&'a Tls, &'a Handshakes)>,
}

/// From the socket to what HTTP is spoken on. An error says why there is none.
async fn open(socket: Socket, network: IpAddr, tls: Option<(&Tls, &Handshakes)>, limits: &Limits) -> Result<(Stream, Spoken), String> {
    let Some((tls, handshakes)) = tls else {
        let spoken = if speaks_http1(&socket).await { Spoken::Http1 } else { Spoken::Either };
        return Ok((Stream::Left(socket), spoken));
    };
    // Boxed, because every connection would have room for it for as long as it lives.
    let shaking = Box::pin(async {
        // Whoever sends nothing takes no turn.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        let _turn = handshakes.turn(network).await;
        hello.into_stream(Arc::clone(&tls.config)).await
    });
    let shaken = tokio::time::timeout(limits.handshake_time, shaking).await.map_err(|_| SLOW_HANDSHAKE.to_owned())?;
    let stream = shaken.map_err(|error| format!("TLS: {error}"))?;
    let spoken = if stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2) { Spoken::Either } else { Spoken::Http1 };
    Ok((Stream::Right(Box::new(stream)), spoken))
}

/// As `open`, unless the connection has to go before that; why is noted.
async fn opened<H: Handler>(
    accepted: Accepted<'_>,
    activity: &Arc<Activity>,
    handler: &Arc<H>,
    limits: &Limits,
    mut stopping: watch::Receiver<bool>,
) -> Option<(Stream, Spoken)> {
    let Accepted { transport, network, tls } = accepted;
    // Whoever has just connected may have a request on its way.
    let farewell = async {
        let _ = stopping.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(FAREWELL_TIME).await;
    };
    let opened = tokio::select! {
        biased;
        opened = open(Socket::new(transport, Arc::clone(activity)), network, tls, limits) => opened,
        () = farewell => Err("the server stops and nothing came".into()),
        () = activity.given_way() => {
            crowded(&**handler);
            return None;
        }
        () = tokio::time::sleep_until(activity.first_head_due(limits)) => Err("no request came in time".into()),
    };
    if opened.as_ref().is_err_and(|why| why == SLOW_HANDSHAKE) {
        handler.connection_cut("handshake");
    }
    opened.inspect_err(|why| tracing::debug!("a connection was cut: {why}")).ok()
}

fn crowded(handler: &impl Handler) {
    handler.connection_cut("crowded");
    tracing::debug!("a connection was cut: it was idle and its room was needed");
}

/// Whether the connection does not begin as HTTP/2 does. The bytes stay unread. hyper could look itself, but with a second buffer for every
/// connection; it does where the system cannot look.
async fn speaks_http1(socket: &Socket) -> bool {
    let mut first = [0; HTTP2.len()];
    // If the socket cannot be read, the next read says why.
    matches!(socket.peek(&mut first).await, Some(Ok(read)) if !HTTP2.starts_with(&first[..read]))
}

/// What a connection is told beside what its client sends.
enum Told {
    GiveWay,
    Stop,
    Check,
}

/// Serves one connection to its end; dropping the future cuts it and drops what it was doing.
pub(super) async fn run<H: Handler>(
    accepted: Accepted<'_>,
    activity: Arc<Activity>,
    handler: &Arc<H>,
    protocols: &Protocols<H>,
    limits: &Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let (network, stops) = (accepted.network, stopping.clone());
    let service = service_fn(|request: Request<Incoming>| {
        let began = Instant::now();
        let active = ActiveRequest::begin(Arc::clone(&activity), began);
        let peer = Peer { network, activity: Arc::clone(&activity), request: active.request };
        let (handler, stops, version) = (Arc::clone(handler), stops.clone(), request.version());
        // Boxed, because hyper keeps room for the future as long as the connection lives, and a stream needs only its body.
        Box::pin(async move {
            let mut response = handler.answer(request, began, peer).await;
            if *stops.borrow() && version < Version::HTTP_2 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response.map(|body| ActiveBody::new(body, active)))
        })
    });
    let opened = opened(accepted, &activity, handler, limits, stopping.clone()).await;
    let Some((stream, spoken)) = opened else { return };
    let protocol = if spoken == Spoken::Http1 { &protocols.http1 } else { &protocols.either };
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), service));
    let (mut way, mut stop) = (pin!(activity.given_way()), pin!(stopping.wait_for(|stopping| *stopping)));
    let mut check = pin!(tokio::time::sleep_until(activity.first_check(limits)));
    let (mut draining, woken) = (false, Woken::new());
    loop {
        // Each piece that comes or goes asks here again, and nearly always nothing else has happened.
        let told = poll_fn(|cx| {
            woken.poll(cx, |cx| {
                if way.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Told::GiveWay);
                }
                if !draining && stop.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Told::Stop);
                }
                check.as_mut().poll(cx).map(|()| Told::Check)
            })
        });
        let told = tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            told = told => told,
        };
        match told {
            Told::GiveWay => return crowded(&**handler),
            Told::Stop => {
                draining = true;
                // An idle connection of HTTP/1.1 would be closed at once, maybe while a request is on its way. It is left open for a moment:
                // what comes on it is answered, and the answer says that it is the last.
                if spoken == Spoken::Either || activity.is_busy() {
                    connection.as_mut().graceful_shutdown();
                }
                check.as_mut().reset(activity.server_stops(Instant::now()));
            }
            Told::Check => match activity.next_action(Instant::now(), limits) {
                Action::Keep(next) => check.as_mut().reset(next),
                Action::Close(next) => {
                    connection.as_mut().graceful_shutdown();
                    check.as_mut().reset(next);
                }
                Action::Cut(why) => {
                    if why == UNREAD {
                        handler.connection_cut("unread");
                    }
                    tracing::debug!("a connection was cut: {why}");
                    return;
                }
            },
        }
    }
}
