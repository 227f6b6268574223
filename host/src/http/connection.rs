//! One connection: HTTP/1.1 or HTTP/2 with prior knowledge, until it ends, idles too long, is stuck, or the server stops.
//! Times are watched here and not by hyper: one timer a connection is cheaper than one a request, and hyper knows none before the protocol is
//! told and none for an HTTP/2 client that stays silent. Must not know what is asked.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::server::Shared;
use super::{Limits, answer};

/// hyper's least buffer.
const HEADER_BYTES_MIN: usize = 8 << 10;
/// Header lines of one head; hyper's own default, said aloud.
const HEADERS_MAX: usize = 100;
/// How a client begins that has prior knowledge of HTTP/2. Source: RFC 9113, section 3.4.
const HTTP2: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What the last event may take after the exchange's own deadline has ended it; after that the client does not read.
const STUCK_TIME: Duration = Duration::from_secs(10);
/// What a connection without a request may take to close once the server stops: a round trip, for HTTP/2. hyper by itself waits for the rest
/// of a first head that has begun.
const FAREWELL_TIME: Duration = Duration::from_secs(1);
/// Pings of an HTTP/2 connection, to notice a client that vanished without a word.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How connections are spoken to. HTTP/2 streams run as tasks that end with their connection.
pub(super) fn protocol(limits: &Limits) -> Builder<TokioExecutor> {
    let header_bytes = limits.header_bytes.max(HEADER_BYTES_MIN);
    let mut builder = Builder::new(TokioExecutor::new());
    // Without half-close a client's end of sending is its end, which drops the work behind it.
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

/// Whether the first bytes, which stay unread, are no beginning of HTTP/2's. hyper's own look at them costs every connection a second buffer.
async fn speaks_http1(stream: &TcpStream) -> bool {
    let mut first = [0; HTTP2.len()];
    // What cannot be read now is told by who reads next.
    stream.peek(&mut first).await.is_ok_and(|read| !HTTP2.starts_with(&first[..read]))
}

/// Serves one connection to its end; dropping the future cuts it and drops what it was doing.
pub(super) async fn run(stream: TcpStream, shared: Arc<Shared>, mut stopping: watch::Receiver<bool>, _place: OwnedSemaphorePermit) {
    let activity = Arc::new(Activity::new(Instant::now()));
    let service = service_fn(|request| {
        let busy = Busy::begin(Arc::clone(&activity), Instant::now());
        // Boxed, because hyper keeps room for the future as long as the connection lives, and a stream needs only its body.
        Box::pin(answer::answer(Arc::clone(&shared), busy, request))
    });
    let (mut early, opened) = (stopping.clone(), activity.lock().opened);
    let http1 = tokio::select! {
        biased;
        http1 = speaks_http1(&stream) => http1,
        _ = early.wait_for(|stopping| *stopping) => false,
        () = tokio::time::sleep_until(opened + shared.limits.header_time) => {
            return tracing::debug!("a connection was cut: no request came in time");
        }
    };
    let protocol = if http1 { &shared.http1 } else { &shared.protocol };
    let mut connection = pin!(protocol.serve_connection(TokioIo::new(stream), service));
    let mut stop = pin!(stopping.wait_for(|stopping| *stopping));
    let mut check = pin!(tokio::time::sleep_until(activity.first_check(&shared.limits)));
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
                check.as_mut().reset(activity.stops(Instant::now()));
            }
            () = check.as_mut() => match activity.verdict(Instant::now(), &shared.limits) {
                Verdict::Keep(next) => check.as_mut().reset(next),
                Verdict::Close(next) => {
                    connection.as_mut().graceful_shutdown();
                    check.as_mut().reset(next);
                }
                Verdict::Cut(why) => {
                    tracing::debug!("a connection was cut: {why}");
                    return;
                }
            },
        }
    }
}

/// What a connection is doing, for its clock.
pub(super) struct Activity(Mutex<State>);

struct State {
    opened: Instant,
    /// When the requests under way began; one at most on HTTP/1.1.
    running: Vec<Instant>,
    /// When the last answer ended; none before the first.
    idle_since: Option<Instant>,
    /// It was told to close.
    closing: bool,
    /// When the server began to stop.
    stopping_since: Option<Instant>,
}

/// What to do with a connection at a check.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Look again then.
    Keep(Instant),
    /// Tell it to close, look again then.
    Close(Instant),
    Cut(&'static str),
}

impl Activity {
    pub(super) fn new(opened: Instant) -> Self {
        Self(Mutex::new(State { opened, running: Vec::with_capacity(1), idle_since: None, closing: false, stopping_since: None }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole after any of its few statements.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first_check(&self, limits: &Limits) -> Instant {
        self.lock().opened + limits.header_time.min(limits.idle_time)
    }

    fn began(&self, at: Instant) {
        self.lock().running.push(at);
    }

    fn ended(&self, began: Instant, now: Instant) {
        let mut state = self.lock();
        if let Some(at) = state.running.iter().position(|other| *other == began) {
            state.running.swap_remove(at);
        }
        if state.running.is_empty() {
            state.idle_since = Some(now);
        }
    }

    /// The server stops; when to look next.
    fn stops(&self, now: Instant) -> Instant {
        self.lock().stopping_since = Some(now);
        now + FAREWELL_TIME
    }

    fn verdict(&self, now: Instant, limits: &Limits) -> Verdict {
        let mut state = self.lock();
        if let Some(oldest) = state.running.iter().min() {
            let stuck = *oldest + limits.request_time + STUCK_TIME;
            state.closing = false;
            return if now >= stuck {
                Verdict::Cut("a client does not read its answer")
            } else {
                Verdict::Keep(stuck.min(now + state.stopping_since.map_or(limits.idle_time, |_| FAREWELL_TIME)))
            };
        }
        if let Some(since) = state.stopping_since {
            let due = state.idle_since.map_or(since, |idle| idle.max(since)) + FAREWELL_TIME;
            return if now >= due { Verdict::Cut("the server stops and nothing runs on it") } else { Verdict::Keep(due) };
        }
        let Some(idle_since) = state.idle_since else {
            let due = state.opened + limits.header_time;
            return if now >= due { Verdict::Cut("no request came in time") } else { Verdict::Keep(due) };
        };
        let due = idle_since + limits.idle_time;
        if now < due {
            Verdict::Keep(due)
        } else if state.closing {
            Verdict::Cut("it did not close in time")
        } else {
            state.closing = true;
            Verdict::Close(now + limits.header_time)
        }
    }
}

/// Marks the connection as busy with one request until dropped, which is when the answer's body is.
pub(super) struct Busy {
    activity: Arc<Activity>,
    pub(super) began: Instant,
}

impl Busy {
    pub(super) fn begin(activity: Arc<Activity>, began: Instant) -> Self {
        activity.began(began);
        Self { activity, began }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.activity.ended(self.began, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        Limits { header_time: SECOND, idle_time: 5 * SECOND, request_time: 20 * SECOND, ..Limits::default() }
    }

    #[test]
    fn a_silent_connection_is_cut_at_the_header_time() {
        let start = Instant::now();
        let activity = Activity::new(start);
        assert_eq!(activity.first_check(&limits()), start + SECOND);
        assert_eq!(activity.verdict(start + SECOND / 2, &limits()), Verdict::Keep(start + SECOND));
        assert!(matches!(activity.verdict(start + SECOND, &limits()), Verdict::Cut(_)));
    }

    #[test]
    fn an_idle_connection_is_told_to_close_and_cut_if_it_does_not() {
        let start = Instant::now();
        let activity = Activity::new(start);
        activity.began(start);
        activity.ended(start, start + SECOND);
        assert_eq!(activity.verdict(start + SECOND, &limits()), Verdict::Keep(start + 6 * SECOND));
        assert_eq!(activity.verdict(start + 6 * SECOND, &limits()), Verdict::Close(start + 7 * SECOND));
        assert!(matches!(activity.verdict(start + 7 * SECOND, &limits()), Verdict::Cut(_)));
    }

    #[test]
    fn a_connection_without_a_request_takes_its_leave_when_the_server_stops() {
        let start = Instant::now();
        let limits = Limits { header_time: 60 * SECOND, ..limits() };
        let silent = Activity::new(start);
        assert_eq!(silent.stops(start + SECOND), start + SECOND + FAREWELL_TIME);
        assert_eq!(silent.verdict(start + SECOND, &limits), Verdict::Keep(start + SECOND + FAREWELL_TIME));
        assert!(matches!(silent.verdict(start + SECOND + FAREWELL_TIME, &limits), Verdict::Cut(_)));
        let busy = Activity::new(start);
        busy.began(start);
        busy.stops(start + SECOND);
        assert_eq!(busy.verdict(start + 9 * SECOND, &limits), Verdict::Keep(start + 9 * SECOND + FAREWELL_TIME));
        busy.ended(start, start + 10 * SECOND);
        assert_eq!(busy.verdict(start + 10 * SECOND, &limits), Verdict::Keep(start + 10 * SECOND + FAREWELL_TIME));
        assert!(matches!(busy.verdict(start + 10 * SECOND + FAREWELL_TIME, &limits), Verdict::Cut(_)));
    }

    #[test]
    fn a_busy_connection_lives_until_its_oldest_request_is_long_over() {
        let start = Instant::now();
        let activity = Activity::new(start);
        activity.began(start);
        activity.began(start + 10 * SECOND);
        assert_eq!(activity.verdict(start + SECOND, &limits()), Verdict::Keep(start + 6 * SECOND));
        assert_eq!(activity.verdict(start + 29 * SECOND, &limits()), Verdict::Keep(start + 30 * SECOND));
        assert!(matches!(activity.verdict(start + 30 * SECOND, &limits()), Verdict::Cut(_)));
        activity.ended(start, start + 30 * SECOND);
        assert_eq!(activity.verdict(start + 30 * SECOND, &limits()), Verdict::Keep(start + 35 * SECOND));
    }
}
