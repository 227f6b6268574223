//! What each plugin has used of its `http` for one exchange: the budget is the same for all of its hooks there.

use std::sync::Arc;

use crate::chat::Kept;
use crate::outbound::Calls;
use crate::sandbox::behalf::used;

/// What the plugin has used for the exchange with which that is kept.
pub(in crate::sandbox) fn of(plugin: &Arc<str>, kept: &Kept) -> Arc<Calls> {
    used(plugin, kept)
}
