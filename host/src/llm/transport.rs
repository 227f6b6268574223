//! HTTP/1.1 to one provider: connect, keep connections, send, read. A thin pool over hyper's connections, because every request passes here.
//! HTTP/1.1 only: one reply a connection, so that no stream waits for another and dropping a reply closes its connection.
//! Must not know what is sent; dropping any future or body of this file drops the connection under it.

mod dial;
mod pool;
mod post;

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

use super::{Error, Limits, Phase};
use crate::telemetry::llm_server;
use dial::Dialer;
pub(super) use dial::Tls;
use pool::{Pool, Reusable};
pub use post::Post;

/// A kept connection is not used again after this time: below the 60 s of common load balancers, so that we seldom send into a closing one.
const KEPT: Duration = Duration::from_secs(30);

/// What a connection that was just given back may take until it is ready; a longer wait means that its peer does not read.
const SETTLE: Duration = Duration::from_millis(20);

type Sender = SendRequest<Full<Bytes>>;

impl Reusable for Sender {
    fn is_open(&self) -> bool {
        !self.is_closed()
    }
}

/// The way to one provider.
pub(super) struct Transport {
    provider: Arc<str>,
    dialer: Dialer,
    pool: Arc<Pool<Sender>>,
    connect: Duration,
}

impl Transport {
    /// # Errors
    /// `Unreachable` where `base` is no http or https URL.
    pub(super) fn new(provider: Arc<str>, base: &http::Uri, limits: &Limits, tls: Arc<Tls>) -> Result<Self, Error> {
        let dialer = Dialer::new(base, tls).map_err(|cause| Error::Unreachable { provider: provider.to_string(), cause })?;
        Ok(Self { provider, dialer, pool: Arc::new(Pool::new(limits.idle_connections, KEPT)), connect: limits.connect })
    }

    /// A kept connection, or a new one.
    ///
    /// # Errors
    /// `Unreachable`, or `Timeout` while connecting.
    pub(super) async fn connection(&self) -> Result<Connection, Error> {
        let (address, port) = self.dialer.server();
        llm_server(address, port);
        match self.kept().await {
            Some(sender) => Ok(Connection { sender, fresh: false }),
            None => Box::pin(self.dial()).await.map(|sender| Connection { sender, fresh: true }),
        }
    }

    /// Sends `request` and waits for the head of its reply. Repeats only what was certainly not sent, on the next connection.
    ///
    /// # Errors
    /// `Unreachable` when the connection breaks, and those of [`Transport::connection`].
    pub(super) async fn send(&self, mut connection: Connection, mut request: Request<Full<Bytes>>) -> Result<Response<Body>, Error> {
        loop {
            match connection.sender.try_send_request(request).await {
                Ok(response) => {
                    let lease = Some(Lease { sender: connection.sender, pool: Arc::clone(&self.pool) });
                    return Ok(response.map(|incoming| Body { incoming, lease }));
                }
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if !connection.fresh => request = unsent,
                    _ => return Err(self.unreachable(&failed.into_error())),
                },
            }
            connection = self.connection().await?;
        }
    }

    /// The error for a connection that broke.
    pub(super) fn unreachable(&self, error: &dyn std::error::Error) -> Error {
        Error::Unreachable { provider: self.provider.to_string(), cause: causes(error) }
    }

    async fn kept(&self) -> Option<Sender> {
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

/// An error and what is behind it, on one line; a cause that repeats the error above it is left out.
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

/// A reply's body. Read to its end it gives its connection back; dropped before, it closes it.
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
                // Trailers are no news for anybody here.
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

    /// How long the body says it is, in bytes.
    pub(super) fn announced(&self) -> Option<u64> {
        self.incoming.size_hint().exact()
    }
}
