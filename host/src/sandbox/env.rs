//! What one call takes along: whose call it is, of which hook, for which request, under which limits, with its log and its clocks.
//! Made in one place for every hook (`Callee::call`), and shared by the call itself and by the host functions that the guest calls.

use std::sync::Arc;

use super::capability::log::Log;
use super::capability::reply::Reply;
use super::clocks::Clocks;
use super::{Hook, Limits};
use crate::chat::RequestId;

/// One call's environment.
pub(super) struct CallEnv {
    pub(super) plugin: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) hook: Hook,
    pub(super) request: RequestId,
    pub(super) limits: Limits,
    pub(super) log: Log,
    pub(super) clocks: Arc<Clocks>,
    /// Where a model writes its answer; other calls have none.
    pub(super) reply: Option<Reply>,
}
