//! Connections that one guard keeps for its plugin's next requests. One is given out only for a server of the same scheme, name and port, if its
//! address is among those that were just allowed, and under the settings under which it was opened; the guard goes with its grant, and with the
//! guard all that it keeps. Invariants: no more are kept than the grant and the server allow, and none longer than the grant's time.

use std::any::Any;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::exchange::Connection;
use super::rules::Server;
use crate::chat::Client;
use crate::fair::{Share, Shares};

/// What a call sees as its plugin's settings: the same value for as long as they do not change.
pub type UnderSettings = Arc<dyn Any + Send + Sync>;

/// Where a connection leads, and for whom.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) server: Server,
    pub(super) address: IpAddr,
    pub(super) settings: UnderSettings,
}

/// The connections that nothing is asked over at the moment, the one that was used last at the end.
pub(super) struct Kept {
    /// How many, and how long.
    most: usize,
    time: Duration,
    /// The places of all plugins, and as whom this one takes them.
    all: Shares,
    plugin: Client,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: VecDeque<Idle>,
    /// A task waits for the time of the oldest one.
    watched: bool,
}

struct Idle {
    way: Way,
    connection: Connection,
    until: Instant,
    _place: Share,
}

impl Kept {
    pub(super) fn new(most: usize, time: Duration, all: Shares, plugin: Client) -> Arc<Self> {
        Arc::new(Self { most, time, all, plugin, state: Mutex::default() })
    }

    /// The one that was used last for that server, at one of these addresses.
    pub(super) fn take(&self, server: &Server, addresses: &[IpAddr], settings: &UnderSettings) -> Option<(Connection, IpAddr)> {
        let now = Instant::now();
        let mut state = self.state();
        let before = std::mem::take(&mut state.idle);
        // What was opened under other settings is of no use to anybody any more.
        let (mut fit, over): (VecDeque<_>, VecDeque<_>) = before.into_iter().partition(|idle| idle.until > now && idle.is_under(settings));
        let at = fit.iter().rposition(|Idle { way, .. }| way.server == *server && addresses.contains(&way.address));
        let found = at.and_then(|at| fit.remove(at));
        state.idle = fit;
        drop(state);
        drop(over);
        found.map(|Idle { connection, way, .. }| (connection, way.address))
    }

    /// Keeps it in the place of the oldest one, if there is no other place.
    pub(super) fn put(self: &Arc<Self>, way: Way, connection: Connection) {
        if self.most == 0 {
            return;
        }
        let mut state = self.state();
        let oldest = if state.idle.len() < self.most { None } else { state.idle.pop_front() };
        // Its place is not given back in between: another plugin could take it.
        let (place, closed) = match oldest {
            Some(Idle { _place: place, connection, .. }) => (Some(place), Some(connection)),
            None => match self.all.take(&self.plugin, 1) {
                Some(place) => (Some(place), None),
                None => state.idle.pop_front().map(|Idle { _place: place, connection, .. }| (place, connection)).unzip(),
            },
        };
        if let Some(place) = place {
            state.idle.push_back(Idle { way, connection, until: Instant::now() + self.time, _place: place });
            if !std::mem::replace(&mut state.watched, true) {
                tokio::spawn(watch(Arc::downgrade(self)));
            }
        }
        drop(state);
        drop(closed);
    }

    /// Closes what is over its time; when the next one is, if there is any.
    fn close_old(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.state();
        // All have the same time, so the oldest is the first.
        let old = state.idle.iter().take_while(|idle| idle.until <= now).count();
        let old: Vec<Idle> = state.idle.drain(..old).collect();
        let next = state.idle.front().map(|idle| idle.until);
        state.watched = next.is_some();
        drop(state);
        drop(old);
        next
    }

    /// Each change is complete when the lock is given back.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn is_under(&self, settings: &UnderSettings) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.way.settings), Arc::as_ptr(settings))
    }
}

/// Closes connections as their time comes, for as long as there are any and somebody may still use them.
async fn watch(kept: Weak<Kept>) {
    loop {
        let next = kept.upgrade().and_then(|kept| kept.close_old());
        let Some(next) = next else { return };
        sleep_until(next).await;
    }
}
