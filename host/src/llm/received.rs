//! The memory of replies that are coming in from providers: whole ones, and events of streams before they are passed on. Clients share it.
//! Invariant: what one reply holds over `UNCOUNTED_BYTES` is counted before more of it is read, and for as long as it is held.

use crate::chat::Client;
use crate::fair::{Share, Shares};

/// What a reply may hold uncounted. Nearly every reply is smaller, so that nearly none waits for the lock that all share.
pub(super) const UNCOUNTED_BYTES: usize = 64 << 10;

/// The bytes of one unit that is shared: a large reply takes the lock once for many reads, and the rule of shares counts units.
const STEP: usize = 64 << 10;

/// All bytes that may be held: `limits.providers.replies_bytes`. Clones are the same bytes.
#[derive(Clone)]
pub(super) struct ReplyMemory {
    shares: Shares,
}

/// The bytes that one reply holds.
pub(super) struct Received {
    memory: ReplyMemory,
    client: Client,
    share: Option<Share>,
}

impl ReplyMemory {
    pub(super) fn new(bytes: usize) -> Self {
        Self { shares: Shares::new(bytes / STEP) }
    }

    /// There are so many bytes from now on, for all clones.
    pub(super) fn resize(&self, bytes: usize) {
        self.shares.resize(bytes / STEP);
    }

    /// A reply to `client` that has not begun.
    pub(super) fn reply(&self, client: &Client) -> Received {
        Received { memory: self.clone(), client: client.clone(), share: None }
    }
}

impl Received {
    /// Counts that the reply holds so many bytes now; false if it must not, because they are not the client's to hold.
    #[must_use]
    pub(super) fn hold(&mut self, bytes: usize) -> bool {
        if bytes <= UNCOUNTED_BYTES {
            self.share = None;
            return true;
        }
        // A reply that is larger than a client's share is received if nothing else of this client is.
        let wanted = bytes.div_ceil(STEP).min(self.memory.shares.most());
        match &mut self.share {
            Some(share) => share.amount() >= wanted || share.grow(wanted - share.amount()),
            none => {
                *none = self.memory.shares.take(&self.client, wanted);
                none.is_some()
            }
        }
    }

    /// What was counted, given back when this is dropped; none if nothing was.
    pub(super) fn into_share(self) -> Option<Share> {
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str) -> Client {
        Client::Key(name.into())
    }

    #[test]
    fn small_replies_are_not_counted_and_larger_ones_in_steps() {
        let memory = ReplyMemory::new(16 * STEP);
        let mut reply = memory.reply(&client("a"));
        for (bytes, held) in [(1, 0), (UNCOUNTED_BYTES, 0), (UNCOUNTED_BYTES + 1, 2), (2 * STEP, 2), (2 * STEP + 1, 3)] {
            assert!(reply.hold(bytes));
            assert_eq!(memory.shares.held(), held, "{bytes}");
        }
        // It keeps what it has while it is large, for the next event is likely to be as large; then it gives all back.
        assert!(reply.hold(UNCOUNTED_BYTES + 1));
        assert_eq!(memory.shares.held(), 3);
        assert!(reply.hold(UNCOUNTED_BYTES));
        assert_eq!(memory.shares.held(), 0);
    }

    #[test]
    fn the_last_step_passes_and_one_byte_more_does_not() {
        let memory = ReplyMemory::new(4 * STEP);
        let [mut first, mut second, mut other] = ["a", "a", "b"].map(|name| memory.reply(&client(name)));
        assert!(first.hold(3 * STEP) && !second.hold(UNCOUNTED_BYTES + 1), "one client has its share");
        assert!(!other.hold(UNCOUNTED_BYTES + 1), "two steps are not free");
        drop(first);
        assert!(other.hold(2 * STEP) && second.hold(2 * STEP));
        assert!(!other.hold(2 * STEP + 1), "nothing is free");
        assert_eq!(memory.shares.held(), 4, "who is refused keeps what it has");
        drop((second, other.into_share()));
        assert_eq!(memory.shares.held(), 0);
    }

    #[test]
    fn a_reply_that_is_larger_than_a_share_is_received_alone() {
        let memory = ReplyMemory::new(STEP);
        let mut reply = memory.reply(&client("a"));
        assert!(reply.hold(50 * STEP) && reply.hold(100 * STEP));
        assert!(!memory.reply(&client("a")).hold(UNCOUNTED_BYTES + 1) && memory.reply(&client("a")).hold(UNCOUNTED_BYTES));
    }
}
