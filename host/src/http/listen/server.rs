//! The listening sockets of one kind: accepting connections, closing idle ones for new ones, and draining all at the end. An error of one connection never ends the
//! loop; only a broken listening socket does. On the signal to stop no new connection is taken, what runs is finished within `drain_time`, the rest is cut.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::activity::Activity;
use super::address::{Bound, ListenAddress};
use super::connection::{self, Accepted, Protocols};
use super::error::Error;
use super::handler::Handler;
use super::inherited::Inherited;
use super::listener::{Listener, Transport};
use super::roster::Roster;
use super::tls::Tls;
use crate::http::limits::Limits;

/// Pause after an accept that failed because files or memory were short; trying again at once would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections over the limit, for the moment until an idle one has closed. If all are busy, somebody who asks for the server's health is let
/// in here.
const SPARE_CONNECTIONS: usize = 16;

/// What to listen on, and how.
pub(in crate::http) struct Door<'a> {
    pub(in crate::http) addresses: &'a [ListenAddress],
    /// The mode of socket files.
    pub(in crate::http) mode: u32,
    /// For connections of TCP.
    pub(in crate::http) tls: Option<Arc<Tls>>,
    /// Whether others than this machine may reach it.
    pub(in crate::http) public: bool,
    /// At one time.
    pub(in crate::http) connections: usize,
}

/// A server that listens and does not yet serve.
pub(in crate::http) struct Server<H> {
    listeners: Vec<Listener>,
    /// The sockets are others' too, who go on with what waits in them.
    handed_over: bool,
    shared: Arc<Shared<H>>,
    roster: Arc<Roster>,
    /// Whose idle connections go first if the system has no room for one more.
    crowd: Arc<Roster>,
}

/// A server that accepts no more and still has connections.
pub(in crate::http) struct Draining {
    connections: JoinSet<()>,
    end: Instant,
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
    tls: Option<Arc<Tls>>,
    connections: usize,
}

impl<H: Handler> Server<H> {
    /// Listens; connections wait in the backlog until `serve`.
    ///
    /// # Errors
    /// Those of the socket, and `NeedsKeys` if others would reach it who may not.
    pub(in crate::http) async fn bind(door: Door<'_>, sockets: &mut Inherited, limits: Limits, handler: Arc<H>) -> Result<Self, Error> {
        let Door { addresses, mode, tls, public, connections } = door;
        let mut listeners = Vec::new();
        for address in addresses {
            listeners.extend(Listener::bind(address, mode, sockets).await?);
        }
        // Of a socket that was handed over only the socket itself says where it is.
        if let Some(reached) = listeners.iter().find(|listener| !public && !listener.is_local()) {
            return Err(Error::NeedsKeys(reached.bound(false).to_string()));
        }
        let handed_over = addresses.iter().any(|address| matches!(address, ListenAddress::Fd(_)));
        let protocols = Protocols::new(&limits, &handler);
        let shared = Arc::new(Shared { limits, protocols, handler, tls, connections });
        let roster: Arc<Roster> = Arc::default();
        Ok(Self { listeners, handed_over, shared, crowd: Arc::clone(&roster), roster })
    }

    /// If the system has no room for a connection to this one, an idle one of that other server goes.
    pub(in crate::http) fn goes_before(&mut self, other: &Self) {
        self.crowd = Arc::clone(&other.roster);
    }

    /// Where it listens.
    pub(in crate::http) fn bound(&self) -> Vec<Bound> {
        self.listeners.iter().map(|listener| listener.bound(self.shared.tls.is_some())).collect()
    }

    /// Serves until `shutdown` is ready, and then takes no new connection. Dropping the future cuts everything.
    ///
    /// # Errors
    /// `Accept` if the listening socket breaks; connections are cut then.
    pub(in crate::http) async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<Draining, Error> {
        let mut shutdown = pin!(shutdown);
        let permits = Arc::new(Semaphore::new(self.shared.connections + SPARE_CONNECTIONS));
        let (stop, stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut next_listener = 0;
        loop {
            let next = async {
                let permit = permit(&permits, &self.roster).await;
                (poll_fn(|cx| self.poll_accept(&mut next_listener, cx)).await, permit)
            };
            let (accepted, permit) = tokio::select! {
                biased;
                () = shutdown.as_mut() => break,
                next = next => next,
            };
            match accepted {
                Ok(accepted) => self.enter(accepted, permit, &stopping, &mut connections),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(Error::Accept(error)),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    if !is_of_one_connection(&error) {
                        // Descriptors are short, most likely: an idle connection has one.
                        let _ = self.crowd.make_room() || self.roster.make_room();
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
            while connections.try_join_next().is_some() {}
        }
        self.shared.handler.drain_begins();
        // Whoever waits in a socket that goes with this process is let in, and those of the others' sockets are theirs.
        while !self.handed_over
            && let Ok(permit) = Arc::clone(&permits).try_acquire_owned()
            && let Some(Ok(accepted)) = poll_fn(|cx| self.poll_accept(&mut next_listener, cx)).now_or_never()
        {
            self.enter(accepted, permit, &stopping, &mut connections);
        }
        stop.send_replace(true);
        Ok(Draining { connections, end: Instant::now() + self.shared.limits.drain_time })
    }

    /// The next connection of any listener; the one after the last that had one comes first.
    fn poll_accept(&self, next: &mut usize, cx: &mut Context<'_>) -> Poll<io::Result<(Transport, IpAddr)>> {
        let count = self.listeners.len();
        for at in (*next..).take(count) {
            if let Poll::Ready(accepted) = self.listeners[at % count].poll_accept(cx) {
                *next = (at + 1) % count;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }

    fn enter(
        &self,
        (transport, network): (Transport, IpAddr),
        permit: OwnedSemaphorePermit,
        stopping: &watch::Receiver<bool>,
        connections: &mut JoinSet<()>,
    ) {
        if self.roster.len() >= self.shared.connections {
            // If nobody can go, the new one takes one of the spare ones.
            self.roster.make_room();
        }
        let counted = CountedConnection::new(Arc::clone(&self.shared.handler));
        let (shared, stopping) = (Arc::clone(&self.shared), stopping.clone());
        let activity = Arc::new(Activity::new(Instant::now()));
        let member = self.roster.enter(network, Arc::clone(&activity));
        connections.spawn(async move {
            let Shared { handler, protocols, limits, tls, .. } = &*shared;
            let tls = tls.as_deref().filter(|_| matches!(transport, Transport::Left(_)));
            connection::run(Accepted { transport, network, tls }, activity, handler, protocols, limits, stopping).await;
            drop((member, counted, permit));
        });
    }
}

impl Draining {
    /// Waits for the connections to finish, and cuts those that have not when the time is over.
    pub(in crate::http) async fn finish(mut self) -> Drain {
        let finishing = async { while self.connections.join_next().await.is_some() {} };
        // Out of time or not, what is left is counted and cut.
        let _ = tokio::time::timeout_at(self.end, finishing).await;
        let cut = self.connections.len();
        self.connections.shutdown().await;
        Drain { cut }
    }
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
