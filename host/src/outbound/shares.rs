//! What guards have in common: lookups of names, the memory of replies and kept connections of all plugins, and what of one plugin outlives its guards, of which
//! there is a new one whenever its entry in the operator's file changes.

use super::replies::Replies;
use crate::chat::Client;
use crate::fair::Shares;

/// Lookups at once. Each takes a thread for as long as the system's resolver does, also when nobody waits for it any more.
const LOOKUPS_MAX: usize = 64;
/// The same for one plugin: the servers of a domain that it chose may never answer.
const LOOKUPS_OF_ONE: usize = 4;

/// What all plugins share. Clones are the same.
#[derive(Clone)]
pub struct Common {
    pub(super) lookups: Shares,
    pub(super) replies: Replies,
    /// Connections that are kept, which plugins share as clients share other things.
    pub(super) idle: Shares,
}

/// What the guards of one plugin share.
pub struct Own {
    /// As whom it has its share of what all plugins have.
    pub(super) plugin: Client,
    /// Its requests at once.
    pub places: Shares,
    pub(super) lookups: Shares,
}

impl Common {
    /// `replies_bytes` is for the replies of all plugins together, and `idle_connections` how many they keep.
    pub fn new(replies_bytes: usize, idle_connections: usize) -> Self {
        Self { lookups: Shares::new(LOOKUPS_MAX), replies: Replies::new(replies_bytes), idle: Shares::new(idle_connections) }
    }

    /// There is so much from now on.
    pub fn resize(&self, replies_bytes: usize, idle_connections: usize) {
        self.replies.resize(replies_bytes);
        self.idle.resize(idle_connections);
    }
}

impl Own {
    pub fn new(plugin: &str, connections: usize) -> Self {
        Self { plugin: Client::Key(plugin.into()), places: Shares::new(connections), lookups: Shares::new(LOOKUPS_OF_ONE) }
    }
}
