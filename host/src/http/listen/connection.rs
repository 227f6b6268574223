//! One connection: HTTP/1.1 or HTTP/2 with prior knowledge, until it ends, idles too long, is stuck, or the server stops.
//! Times are watched here and not by hyper: one timer a connection is cheaper than one a request, and hyper knows none before the protocol is
//! known and none for an HTTP/2 client that stays silent.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::activity::{Action, ActiveRequest, Activity};
use super::handler::Handler;
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

/// How connections are spoken to, made once for all of them. HTTP/2 streams run as tasks that end with their connection.
pub(super) struct Protocols {
    /// For connections whose first bytes leave open what they speak, and for those that speak HTTP/2.
    either: Builder<TokioExecutor>,
    http1: Builder<TokioExecutor>,
}

impl Protocols {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { either: protocol(limits), http1: protocol(limits).http1_only() }
    }
}

fn protocol(limits: &Limits) -> Builder<TokioExecutor> {
    let header_bytes = limits.header_bytes.max(HEADER_BYTES_MIN);
    let mut builder = Builder::new(TokioExecutor::new());
    // Without half-close a client that stops sending has left, and its work is dropped.
    builder.http1().half_close(false).header_read_timeout(None).max_buf_size(header_bytes).max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(limits.streams)
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
    stream: TcpStream,
    handler: &Arc<H>,
    protocols: &Protocols,
    limits: &Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let activity = Arc::new(Activity::new(Instant::now()));
    let service = service_fn(|request| {
        let began = Instant::now();
        let active = ActiveRequest::begin(Arc::clone(&activity), began);
        let handler = Arc::clone(handler);
        // Boxed, because hyper keeps room for the future as long as the connection lives, and a stream needs only its body.
        Box::pin(async move { Ok::<_, Infallible>(handler.answer(request, began).await.map(|body| ActiveBody { body, _active: active })) })
    });
    let mut early = stopping.clone();
    let http1 = tokio::select! {
        biased;
        http1 = speaks_http1(&stream) => http1,
        _ = early.wait_for(|stopping| *stopping) => false,
        () = tokio::time::sleep_until(activity.first_head_due(limits)) => {
            return tracing::debug!("a connection was cut: no request came in time");
        }
    };
    let protocol = if http1 { &protocols.http1 } else { &protocols.either };
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), service));
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
                    tracing::debug!("a connection was cut: {why}");
                    return;
                }
            },
        }
    }
}

/// An answer's body, which keeps its connection marked as busy until it is dropped.
struct ActiveBody<B> {
    body: B,
    _active: ActiveRequest,
}

impl<B: Body + Unpin> Body for ActiveBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
