//! Listening, accepting, draining. Accept errors never end the loop unless the listening socket itself is broken.
//! On the signal to stop: no new connections, `/readyz` says so, what runs is finished within `drain_time`, the rest is cut.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioExecutor;
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::{Config, Error, Keys, Limits, State, access, connection};

/// Pause after an accept that failed for want of files or memory; trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A server that listens and does not yet serve.
pub struct Server {
    listener: TcpListener,
    listen: SocketAddr,
    shared: Arc<Shared>,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still busy when the drain time was over.
    pub cut: usize,
}

/// What every request needs of the server.
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) keys: Keys,
    pub(super) state: State,
    /// For connections whose first bytes leave open what they speak, and for those that speak HTTP/2.
    pub(super) protocol: Builder<TokioExecutor>,
    pub(super) http1: Builder<TokioExecutor>,
    /// Requests under way on `/v1` and `/api`.
    pub(super) in_flight: AtomicUsize,
    pub(super) draining: AtomicBool,
}

impl Server {
    /// Listens; connections wait in the backlog until `serve`.
    ///
    /// # Errors
    /// `NeedsKeys` for an address that is not loopback without keys; `Bind` where the system refuses the address.
    pub async fn bind(config: Config, state: State) -> Result<Self, Error> {
        let Config { listen, limits, keys } = config;
        if !access::may_listen(listen, &keys) {
            return Err(Error::NeedsKeys(listen));
        }
        let refused = |source| Error::Bind { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let listen = listener.local_addr().map_err(refused)?;
        let protocol = connection::protocol(&limits);
        let http1 = connection::protocol(&limits).http1_only();
        let (in_flight, draining) = (AtomicUsize::new(0), AtomicBool::new(false));
        Ok(Self { listener, listen, shared: Arc::new(Shared { limits, keys, state, protocol, http1, in_flight, draining }) })
    }

    /// Where it listens, the port it got included.
    pub fn local_addr(&self) -> SocketAddr {
        self.listen
    }

    /// Serves until `shutdown` is ready, then drains. Dropping the future cuts everything.
    ///
    /// # Errors
    /// `Accept` where the listening socket broke; connections are cut then.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<Drained, Error> {
        let Self { listener, shared, .. } = self;
        let mut shutdown = pin!(shutdown);
        let places = Arc::new(Semaphore::new(shared.limits.connections));
        let (stop, stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes the semaphore");
                (listener.accept().await, place)
            };
            let (accepted, place) = tokio::select! {
                biased;
                () = shutdown.as_mut() => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, _)) => {
                    // Events of a stream must not wait for more bytes; a socket that refuses is one that is gone already.
                    let _ = stream.set_nodelay(true);
                    let counted = Counted::new(Arc::clone(&shared));
                    let stopping = stopping.clone();
                    connections.spawn(async move { connection::run(stream, Arc::clone(&counted.0), stopping, place).await });
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(Error::Accept(error)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    if !is_of_one_connection(&error) {
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
            while connections.try_join_next().is_some() {}
        }
        // Before the door closes: who is turned away may ask `/readyz` why, on a connection that is open.
        shared.draining.store(true, Ordering::Relaxed);
        drop(listener);
        stop.send_replace(true);
        Ok(drain(connections, shared.limits.drain_time).await)
    }
}

/// Waits for the connections to finish, then cuts those that have not.
async fn drain(mut connections: JoinSet<()>, time: Duration) -> Drained {
    let finishing = async { while connections.join_next().await.is_some() {} };
    // Out of time or not, what is left is counted and cut.
    let _ = tokio::time::timeout(time, finishing).await;
    let cut = connections.len();
    connections.shutdown().await;
    Drained { cut }
}

/// Errors that concern the connection that was to be accepted and not the next one.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted
    )
}

/// Counts a connection in the metrics for as long as it lives, however it ends.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: Arc<Shared>) -> Self {
        shared.state.metrics.connections(1);
        Self(shared)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.state.metrics.connections(-1);
    }
}
