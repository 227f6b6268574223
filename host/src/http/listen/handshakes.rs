//! How many TLS handshakes of one peer go on at once; its others wait for their turn. A handshake costs more of the processor than most
//! requests do, and one that stands still costs its own peer a turn, and nobody else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) struct Handshakes {
    each: usize,
    /// Only peers that have a handshake going on or waiting.
    peers: Mutex<HashMap<IpAddr, Turns>>,
}

struct Turns {
    semaphore: Arc<Semaphore>,
    /// Handshakes that go on or wait.
    members: usize,
}

/// A handshake's turn, until it is dropped.
pub(super) struct Turn<'a> {
    _permit: OwnedSemaphorePermit,
    _member: Member<'a>,
}

struct Member<'a> {
    of: &'a Handshakes,
    peer: IpAddr,
}

impl Handshakes {
    /// So many of each peer.
    pub(super) fn new(each: usize) -> Self {
        Self { each, peers: Mutex::default() }
    }

    /// Waits until that peer may begin one more. Dropping the future ends the wait.
    pub(super) async fn turn(&self, peer: IpAddr) -> Turn<'_> {
        let semaphore = {
            let mut peers = self.peers();
            let turns = peers.entry(peer).or_insert_with(|| Turns { semaphore: Arc::new(Semaphore::new(self.each)), members: 0 });
            turns.members += 1;
            Arc::clone(&turns.semaphore)
        };
        let member = Member { of: self, peer };
        let permit = semaphore.acquire_owned().await.expect("nobody closes the semaphore");
        Turn { _permit: permit, _member: member }
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<IpAddr, Turns>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        let mut peers = self.of.peers();
        if let Some(turns) = peers.get_mut(&self.peer) {
            turns.members -= 1;
            if turns.members == 0 {
                peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn each_peer_has_so_many_turns_and_those_that_are_over_leave_nothing() {
        let (handshakes, [one, other]) = (Handshakes::new(2), [1, 2].map(|last| IpAddr::from([10, 0, 0, last])));
        let (first, second) = (handshakes.turn(one).await, handshakes.turn(one).await);
        let mut third = Box::pin(handshakes.turn(one));
        assert!(third.as_mut().now_or_never().is_none(), "one more than there may be");
        drop(handshakes.turn(other).await);
        drop(handshakes.turn(one).now_or_never());
        drop(first);
        let third = third.await;
        drop((second, third));
        assert!(handshakes.peers().is_empty());
    }
}
