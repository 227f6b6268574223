//! HTTP/1.1 to one provider: connect, keep connections, send, read. A thin pool over hyper's connections, because every request passes here.
//! HTTP/1.1 only: one reply a connection, so that no stream waits for another and dropping a reply closes its connection.
//! Dropping any future or body of this file drops the connection under it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use tower_service::Service;

use super::error::{Error, Phase};
use super::limits::Limits;
use crate::telemetry::llm_server;

/// How long an idle connection is kept: less than the 60 s of common load balancers, so that we seldom send into a closing one.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// How long a connection that was just given back may take to be ready; a longer wait means that its peer does not read.
const SETTLE: Duration = Duration::from_millis(20);

type Sender = SendRequest<Full<Bytes>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Connections to one provider.
pub(super) struct Transport {
    provider: Arc<str>,
    dialer: Dialer,
    pool: Arc<Pool<Sender>>,
    connect: Duration,
}

impl Transport {
    /// # Errors
    /// `Unreachable` if `base` is no http or https URL.
    pub(super) fn new(provider: Arc<str>, base: &Uri, limits: &Limits, tls: Arc<Tls>) -> Result<Self, Error> {
        let dialer = Dialer::new(base, tls).map_err(|cause| Error::Unreachable { provider: provider.to_string(), cause })?;
        Ok(Self { provider, dialer, pool: Arc::new(Pool::new(limits.idle_connections, IDLE_MAX)), connect: limits.connect })
    }

    /// A kept connection, or a new one.
    ///
    /// # Errors
    /// `Unreachable`, or `Timeout` while connecting.
    pub(super) async fn connection(&self) -> Result<Connection, Error> {
        let (address, port) = self.dialer.server();
        llm_server(address, port);
        match self.reused().await {
            Some(sender) => Ok(Connection { sender, fresh: false }),
            None => Box::pin(self.dial()).await.map(|sender| Connection { sender, fresh: true }),
        }
    }

    /// Sends `request` and waits for the head of its reply. If a kept connection turns out to be closed before anything was sent, the next
    /// one is used. `sent` is true as long as the provider may have seen something of the request.
    ///
    /// # Errors
    /// `Unreachable` when the connection breaks, and those of [`Transport::connection`].
    pub(super) async fn send(
        &self,
        mut connection: Connection,
        mut request: Request<Full<Bytes>>,
        sent: &mut bool,
    ) -> Result<Response<Body>, Error> {
        loop {
            *sent = true;
            match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    let lease = Some(Lease { sender: connection.sender, pool: Arc::clone(&self.pool) });
                    return Ok(response.map(|incoming| Body { incoming, lease }));
                }
                Err(mut failed) => {
                    let unsent = failed.take_message();
                    *sent = unsent.is_none();
                    match unsent {
                        Some(unsent) if !connection.fresh => request = unsent,
                        _ => return Err(self.unreachable(&failed.into_error())),
                    }
                }
            }
            connection = self.connection().await?;
        }
    }

    /// The error for a connection that broke.
    pub(super) fn unreachable(&self, error: &dyn std::error::Error) -> Error {
        Error::Unreachable { provider: self.provider.to_string(), cause: causes(error) }
    }

    async fn reused(&self) -> Option<Sender> {
        while let Some(mut sender) = self.pool.take(Instant::now()) {
            if sender.is_ready() || matches!(tokio::time::timeout(SETTLE, sender.ready()).await, Ok(Ok(()))) {
                return Some(sender);
            }
        }
        None
    }

    async fn dial(&self) -> Result<Sender, Error> {
        match tokio::time::timeout(self.connect, self.dialer.dial()).await {
            Ok(Ok(sender)) => Ok(sender),
            Ok(Err(error)) => Err(self.unreachable(&*error)),
            Err(_) => Err(Error::Timeout { provider: self.provider.to_string(), phase: Phase::Connect, limit: self.connect }),
        }
    }
}

/// A connection that is ready for a request.
pub(super) struct Connection {
    sender: Sender,
    fresh: bool,
}

/// An error and its causes on one line; a cause that the error above it repeats is left out.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

/// A reply's body. Read to its end, it gives its connection back to the pool; dropped earlier, it closes the connection.
pub(super) struct Body {
    incoming: Incoming,
    lease: Option<Lease>,
}

struct Lease {
    sender: Sender,
    pool: Arc<Pool<Sender>>,
}

impl Body {
    /// The next bytes; none at the end.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        loop {
            let frame = ready!(std::pin::Pin::new(&mut self.incoming).poll_frame(cx));
            match frame {
                None => {
                    if let Some(Lease { sender, pool }) = self.lease.take() {
                        pool.give_back(sender, Instant::now());
                    }
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                // Trailers say nothing that is used here.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                    _ => {}
                },
            }
        }
    }

    /// Like [`Body::poll_data`].
    pub(super) async fn data(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        std::future::poll_fn(|cx| self.poll_data(cx)).await
    }

    /// The length that the head announces, in bytes.
    pub(super) fn announced(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }
}

/// The TLS connector of all providers, so that the trusted roots are read and kept once: when the first https provider is dialled.
#[derive(Default)]
pub(super) struct Tls(OnceCell<HttpsConnector<HttpConnector>>);

impl Tls {
    async fn connector(&self) -> Result<HttpsConnector<HttpConnector>, BoxError> {
        let load = || async {
            // Reads and parses some hundred certificates.
            tokio::task::spawn_blocking(|| {
                let https = HttpsConnectorBuilder::new().with_native_roots()?.https_only().enable_http1();
                Ok::<_, std::io::Error>(https.wrap_connector(tcp(false)))
            })
            .await?
            .map_err(BoxError::from)
        };
        self.0.get_or_try_init(load).await.cloned()
    }
}

/// Opens connections to one host, with TCP_NODELAY.
struct Dialer {
    uri: Uri,
    scheme: Scheme,
}

enum Scheme {
    Plain(HttpConnector),
    Tls(Arc<Tls>),
}

impl Dialer {
    /// # Errors
    /// A text for the operator if `uri` names no http or https host.
    fn new(uri: &Uri, tls: Arc<Tls>) -> Result<Self, String> {
        let scheme = match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(_)) => Scheme::Plain(tcp(true)),
            (Some("https"), Some(_)) => Scheme::Tls(tls),
            _ => return Err(format!("its base_url `{uri}` is no http or https URL")),
        };
        Ok(Self { uri: uri.clone(), scheme })
    }

    /// The host's name or address, and its port.
    fn server(&self) -> (&str, u16) {
        let default_port = if matches!(self.scheme, Scheme::Plain(_)) { 80 } else { 443 };
        (self.uri.host().unwrap_or_default(), self.uri.port_u16().unwrap_or(default_port))
    }

    /// A connection that is ready for its first request; a task of its own drives it until either side closes it.
    async fn dial(&self) -> Result<Sender, BoxError> {
        match &self.scheme {
            Scheme::Plain(connector) => handshake(connector.clone().call(self.uri.clone()).await?).await,
            Scheme::Tls(tls) => handshake(tls.connector().await?.call(self.uri.clone()).await?).await,
        }
    }
}

async fn handshake<T>(io: T) -> Result<Sender, BoxError>
where
    T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(io).await?;
    // Its errors reach the request that waits for a reply; on an idle connection they concern nobody.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

fn tcp(http_only: bool) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(http_only);
    tcp.set_nodelay(true);
    // So that a dead link is noticed while the provider seems to think.
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp
}

/// What a pool can keep.
trait Reusable {
    /// The peer has not closed it.
    fn is_open(&self) -> bool;
}

impl Reusable for Sender {
    fn is_open(&self) -> bool {
        !self.is_closed()
    }
}

/// Idle connections, the oldest in front. Those that are too old are dropped at the next use of the pool, so no timer is needed.
struct Pool<T> {
    idle: Mutex<VecDeque<(Instant, T)>>,
    size_max: usize,
    age_max: Duration,
}

impl<T: Reusable> Pool<T> {
    fn new(size_max: usize, age_max: Duration) -> Self {
        Self { idle: Mutex::default(), size_max, age_max }
    }

    /// The connection that was used last, of those that are still open.
    fn take(&self, now: Instant) -> Option<T> {
        let mut idle = self.not_expired(now);
        while let Some((_, connection)) = idle.pop_back() {
            if connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps `connection` for the next request if there is room.
    fn give_back(&self, connection: T, now: Instant) {
        let mut idle = self.not_expired(now);
        if connection.is_open() && idle.len() < self.size_max {
            idle.push_back((now, connection));
        }
    }

    fn not_expired(&self, now: Instant) -> MutexGuard<'_, VecDeque<(Instant, T)>> {
        // A panic elsewhere leaves a list of connections, which is as good as before.
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) > self.age_max) {
            idle.pop_front();
        }
        idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Fake(u32, bool);

    impl Reusable for Fake {
        fn is_open(&self) -> bool {
            self.1
        }
    }

    const KEPT: Duration = Duration::from_secs(30);

    #[test]
    fn the_newest_open_connection_is_taken_first() {
        let (pool, now) = (Pool::new(9, KEPT), Instant::now());
        for fake in [Fake(1, true), Fake(2, true), Fake(3, false)] {
            pool.give_back(fake, now);
        }
        assert_eq!(pool.take(now), Some(Fake(2, true)));
        assert_eq!(pool.take(now), Some(Fake(1, true)));
        assert_eq!(pool.take(now), None);
    }

    #[test]
    fn no_more_than_the_limit_are_kept() {
        for most in 0..3 {
            let (pool, now) = (Pool::new(most, KEPT), Instant::now());
            (0..3).for_each(|id| pool.give_back(Fake(id, true), now));
            assert_eq!(std::iter::from_fn(|| pool.take(now)).count(), most);
        }
    }

    #[test]
    fn a_connection_is_dropped_once_it_is_older_than_kept() {
        let (pool, now) = (Pool::new(9, KEPT), Instant::now());
        pool.give_back(Fake(1, true), now);
        assert_eq!(pool.take(now + KEPT), Some(Fake(1, true)));
        pool.give_back(Fake(2, true), now);
        assert_eq!(pool.take(now + KEPT + Duration::from_millis(1)), None);
    }
}
