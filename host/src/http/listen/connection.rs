//! One connection: HTTP/1.1 or HTTP/2 with prior knowledge, until it ends, idles too long, is stuck, or the server stops.
//! Times are watched here and not by hyper: one timer a connection is cheaper than one a request, and hyper knows none before the protocol is
//! known and none for an HTTP/2 client that stays silent.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::activity::{Action, ActiveRequest, Activity, UNREAD};
use super::handler::Handler;
use super::peer::Peer;
use super::socket::Socket;
use super::streams::{ActiveBody, Streams};
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

/// Whether the connection does not begin as HTTP/2 does. The bytes stay unread. hyper could look itself, but with a second buffer for every
/// connection.
async fn speaks_http1(stream: &TcpStream) -> bool {
    let mut first = [0; HTTP2.len()];
    // If the socket cannot be read, the next read says why.
    stream.peek(&mut first).await.is_ok_and(|read| !HTTP2.starts_with(&first[..read]))
}

/// Serves one connection to its end; dropping the future cuts it and drops what it was doing.
pub(super) async fn run<H: Handler>(
    (stream, network): (TcpStream, IpAddr),
    activity: Arc<Activity>,
    handler: &Arc<H>,
    protocols: &Protocols<H>,
    limits: &Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        let began = Instant::now();
        let active = ActiveRequest::begin(Arc::clone(&activity), began);
        let peer = Peer { network, activity: Arc::clone(&activity), request: active.request };
        let handler = Arc::clone(handler);
        // Boxed, because hyper keeps room for the future as long as the connection lives, and a stream needs only its body.
        Box::pin(async move { Ok::<_, Infallible>(handler.answer(request, began, peer).await.map(|body| ActiveBody::new(body, active))) })
    });
    let crowded = || {
        handler.connection_cut("crowded");
        tracing::debug!("a connection was cut: it was idle and its room was needed");
    };
    let mut early = stopping.clone();
    let http1 = tokio::select! {
        biased;
        http1 = speaks_http1(&stream) => http1,
        _ = early.wait_for(|stopping| *stopping) => false,
        () = activity.given_way() => return crowded(),
        () = tokio::time::sleep_until(activity.first_head_due(limits)) => {
            return tracing::debug!("a connection was cut: no request came in time");
        }
    };
    let protocol = if http1 { &protocols.http1 } else { &protocols.either };
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(Socket::new(stream, Arc::clone(&activity))), service));
    let mut stop = pin!(stopping.wait_for(|stopping| *stopping));
    let mut check = pin!(tokio::time::sleep_until(activity.first_check(limits)));
    let mut draining = false;
    loop {
        tokio::select! {
            biased;
            result = connection.as_mut() => {
                if let Err(error) = result {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = activity.given_way() => return crowded(),
            _ = stop.as_mut(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
                check.as_mut().reset(activity.server_stops(Instant::now()));
            }
            () = check.as_mut() => match activity.next_action(Instant::now(), limits) {
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
