//! The memory of replies to plugins, which clients share. Invariant: what a reply holds is counted before more of it is read, and until whoever
//! has the reply drops it.

use std::fmt;
use std::sync::Arc;

use super::error::Error;
use crate::chat::Client;
use crate::fair::{Share, Shares};

/// The bytes of one unit that is shared, about what the smallest reply takes with all that belongs to it.
const STEP: usize = 4 << 10;

/// All bytes that may be held. Clones are the same bytes.
#[derive(Clone)]
pub(super) struct Replies(Shares);

/// The bytes of a reply that is coming in.
pub(super) struct Receiving {
    replies: Replies,
    client: Client,
    bytes: usize,
    share: Option<Share>,
}

/// The bytes of a whole reply: they are given back when the last clone is dropped.
#[derive(Clone, Default)]
pub struct Held(Option<Arc<Share>>);

impl Replies {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Shares::new(bytes / STEP))
    }

    pub(super) fn resize(&self, bytes: usize) {
        self.0.resize(bytes / STEP);
    }

    /// A reply that has not begun.
    pub(super) fn reply(&self, client: &Client) -> Receiving {
        Receiving { replies: self.clone(), client: client.clone(), bytes: 0, share: None }
    }

    #[cfg(test)]
    pub(super) fn steps_held(&self) -> usize {
        self.0.held()
    }
}

impl Receiving {
    /// Counts so many bytes more.
    ///
    /// # Errors
    /// `Exhausted` if they are not the client's to hold now.
    pub(super) fn more(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes += bytes;
        // A reply that is larger than a client's share is received if nothing else of this client is.
        let wanted = self.bytes.div_ceil(STEP).min(self.replies.0.most());
        let held = match &mut self.share {
            Some(share) => share.amount() >= wanted || share.grow(wanted - share.amount()),
            none => {
                *none = self.replies.0.take(&self.client, wanted);
                none.is_some()
            }
        };
        let full =
            || Error::Exhausted("the server has no room for the reply now (`limits.plugins.replies_bytes`); try again shortly".into());
        if held { Ok(()) } else { Err(full()) }
    }

    pub(super) fn whole(self) -> Held {
        Held(self.share.map(Arc::new))
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Held").field(&self.0.as_ref().map(|share| share.amount())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_passes_and_one_more_does_not_until_what_is_held_is_dropped() {
        let replies = Replies::new(4 * STEP);
        let [mut first, mut second, mut other] = ["a", "a", "b"].map(|name| replies.reply(&Client::Key(name.into())));
        first.more(2 * STEP).unwrap();
        first.more(STEP).unwrap();
        assert!(matches!(second.more(1), Err(Error::Exhausted(why)) if why.contains("limits.plugins.replies_bytes")));
        other.more(STEP).unwrap();
        assert!(other.more(1).is_err(), "nothing is free");
        let held = first.whole();
        let clone = held.clone();
        drop((held, other));
        assert_eq!(replies.steps_held(), 3, "the clone holds it");
        drop(clone);
        assert_eq!(replies.steps_held(), 0);
        second.more(1).unwrap();
    }

    #[test]
    fn a_reply_that_is_larger_than_a_share_is_received_alone() {
        let replies = Replies::new(STEP);
        let mut reply = replies.reply(&Client::Host);
        reply.more(50 * STEP).unwrap();
        assert!(replies.reply(&Client::Host).more(1).is_err());
    }
}
