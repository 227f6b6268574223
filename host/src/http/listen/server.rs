//! The listening socket: accepting connections, closing idle ones for new ones, and draining all at the end. An error of one connection never ends the loop; only a broken
//! listening socket does. On the signal to stop no new connection is taken, what runs is finished within `drain_time`, the rest is cut.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::activity::Activity;
use super::connection::{self, Protocols};
use super::error::Error;
use super::handler::Handler;
use super::peer::network;
use super::roster::Roster;
use crate::http::limits::Limits;

/// Pause after an accept that failed because files or memory were short; trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections over the limit, for the moment until an idle one has closed. If all are busy, somebody who asks for the server's health is let
/// in here.
const SPARE_CONNECTIONS: usize = 16;

/// What the system holds of a connection that it cannot send yet. A client that takes half as much in `write_time` is not cut.
#[cfg(target_os = "linux")]
const UNSENT_BYTES: u32 = 128 << 10;

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
    protocols: Protocols<H>,
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
        bound_unsent(&listener).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let protocols = Protocols::new(&limits, &handler);
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
        let roster = Arc::new(Roster::default());
        let permits = Arc::new(Semaphore::new(shared.limits.connections + SPARE_CONNECTIONS));
        let (stop, stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        loop {
            let next = async {
                let permit = permit(&permits, &roster).await;
                (listener.accept().await, permit)
            };
            let (accepted, permit) = tokio::select! {
                biased;
                () = shutdown.as_mut() => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, peer)) => {
                    if roster.len() >= shared.limits.connections {
                        // If nobody can go, the new one takes one of the spare ones.
                        roster.make_room();
                    }
                    // Events of a stream must not wait for more bytes; a socket that refuses is one that is gone already.
                    let _ = stream.set_nodelay(true);
                    let counted = CountedConnection::new(Arc::clone(&shared.handler));
                    let (shared, stopping) = (Arc::clone(&shared), stopping.clone());
                    let (network, activity) = (network(peer.ip()), Arc::new(Activity::new(Instant::now())));
                    let member = roster.enter(network, Arc::clone(&activity));
                    connections.spawn(async move {
                        let Shared { handler, protocols, limits } = &*shared;
                        connection::run((stream, network), activity, handler, protocols, limits, stopping).await;
                        drop((member, counted, permit));
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

/// Lets the system take few bytes of a connection that its client does not read, megabytes otherwise. This holds for all connections of the
/// listener. It also makes the system tell of each step of a slow client, so that it is not taken for one that stands still.
#[cfg(target_os = "linux")]
fn bound_unsent(listener: &TcpListener) -> io::Result<()> {
    socket2::SockRef::from(listener).set_tcp_notsent_lowat(UNSENT_BYTES)
}

/// The option is Linux's; elsewhere the system's own bounds hold.
#[cfg(not(target_os = "linux"))]
fn bound_unsent(_: &TcpListener) -> io::Result<()> {
    Ok(())
}

/// Room for one connection more. While all are busy nobody can be told to go, so this is tried again: one may become idle and stay open.
async fn permit(permits: &Arc<Semaphore>, roster: &Roster) -> OwnedSemaphorePermit {
    let mut acquire = pin!(Arc::clone(permits).acquire_owned());
    loop {
        if let Ok(permit) = tokio::time::timeout(ACCEPT_PAUSE, acquire.as_mut()).await {
            return permit.expect("nobody closes the semaphore");
        }
        roster.make_room();
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
