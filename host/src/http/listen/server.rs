//! The listening socket: accepting connections, and draining them at the end. An error of one connection never ends the loop; only a broken
//! listening socket does. On the signal to stop no new connection is taken, what runs is finished within `drain_time`, the rest is cut.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::{self, Protocols};
use super::error::Error;
use super::handler::Handler;
use crate::http::limits::Limits;

/// Pause after an accept that failed because files or memory were short; trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A server that listens and does not yet serve.
pub(in crate::http) struct Server<H> {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared<H>>,
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Connections that were still busy when the drain time was over.
    pub cut: usize,
}

/// What every connection needs.
struct Shared<H> {
    limits: Limits,
    protocols: Protocols,
    handler: Arc<H>,
}

impl<H: Handler> Server<H> {
    /// Listens; connections wait in the backlog until `serve`.
    ///
    /// # Errors
    /// `Bind` if the system refuses the address.
    pub(in crate::http) async fn bind(listen: SocketAddr, limits: Limits, handler: Arc<H>) -> Result<Self, Error> {
        let refused = |source| Error::Bind { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let protocols = Protocols::new(&limits);
        Ok(Self { listener, address, shared: Arc::new(Shared { limits, protocols, handler }) })
    }

    /// Where it listens, the port it got included.
    pub(in crate::http) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready, then drains. Dropping the future cuts everything.
    ///
    /// # Errors
    /// `Accept` if the listening socket breaks; connections are cut then.
    pub(in crate::http) async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<Drain, Error> {
        let Self { listener, shared, .. } = self;
        let mut shutdown = pin!(shutdown);
        let permits = Arc::new(Semaphore::new(shared.limits.connections));
        let (stop, stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        loop {
            let next = async {
                let permit = Arc::clone(&permits).acquire_owned().await.expect("nobody closes the semaphore");
                (listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                biased;
                () = shutdown.as_mut() => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, _)) => {
                    // Events of a stream must not wait for more bytes; a socket that refuses is one that is gone already.
                    let _ = stream.set_nodelay(true);
                    let counted = CountedConnection::new(Arc::clone(&shared.handler));
                    let (shared, stopping) = (Arc::clone(&shared), stopping.clone());
                    connections.spawn(async move {
                        connection::run(stream, &shared.handler, &shared.protocols, &shared.limits, stopping).await;
                        drop((counted, permit));
                    });
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
        shared.handler.drain_begins();
        drop(listener);
        stop.send_replace(true);
        Ok(drain(connections, shared.limits.drain_time).await)
    }
}

/// Waits for the connections to finish, then cuts those that have not.
async fn drain(mut connections: JoinSet<()>, time: Duration) -> Drain {
    let finishing = async { while connections.join_next().await.is_some() {} };
    // Out of time or not, what is left is counted and cut.
    let _ = tokio::time::timeout(time, finishing).await;
    let cut = connections.len();
    connections.shutdown().await;
    Drain { cut }
}

/// Whether an error concerns only the connection that was to be accepted, not the next one.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused | io::ErrorKind::Interrupted
    )
}

/// Keeps a connection counted for as long as it lives, however it ends.
struct CountedConnection<H: Handler>(Arc<H>);

impl<H: Handler> CountedConnection<H> {
    fn new(handler: Arc<H>) -> Self {
        handler.connections_changed(1);
        Self(handler)
    }
}

impl<H: Handler> Drop for CountedConnection<H> {
    fn drop(&mut self) {
        self.0.connections_changed(-1);
    }
}
