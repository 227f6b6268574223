//! What guards have in common: lookups of names and the memory of replies of all plugins, and what of one plugin outlives its guards, of which
//! there is a new one whenever its entry in the operator's file changes.

use crate::fair::Shares;

use super::replies::Replies;

/// Lookups at once. Each takes a thread for as long as the system's resolver does, also when nobody waits for it any more.
const LOOKUPS_MAX: usize = 64;
/// The same for one plugin: the servers of a domain that it chose may never answer.
const LOOKUPS_OF_ONE: usize = 4;

/// What all plugins share. Clones are the same.
#[derive(Clone)]
pub struct Common {
    pub(super) lookups: Shares,
    pub(super) replies: Replies,
}

/// What the guards of one plugin share.
pub struct Own {
    /// Its requests at once.
    pub places: Shares,
    pub(super) lookups: Shares,
}

impl Common {
    /// `replies_bytes` is for the replies of all plugins together.
    pub fn new(replies_bytes: usize) -> Self {
        Self { lookups: Shares::new(LOOKUPS_MAX), replies: Replies::new(replies_bytes) }
    }

    /// There are so many bytes from now on.
    pub fn resize(&self, replies_bytes: usize) {
        self.replies.resize(replies_bytes);
    }
}

impl Own {
    pub fn new(connections: usize) -> Self {
        Self { places: Shares::new(connections), lookups: Shares::new(LOOKUPS_OF_ONE) }
    }
}
