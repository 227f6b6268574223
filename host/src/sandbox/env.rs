//! What one call takes along: whose call it is, of which hook, for which request, under which limits, with its log and its clocks.
//! Made in one place for every hook (`Callee::call`), and shared by the call itself and by the host functions that the guest calls.

use std::sync::Arc;

use super::capability::log::Log;
use super::clocks::Clocks;
use super::errands::Errands;
use super::settings::Texts;
use super::{Hook, Limits};
use crate::chat::{Client, RequestId};
use crate::outbound::Calls;
use crate::telemetry::PluginFigures;

/// One call's environment.
pub(super) struct CallEnv {
    pub(super) plugin: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) hook: Hook,
    pub(super) request: RequestId,
    /// Whose share of the server it uses.
    pub(super) client: Client,
    /// What the plugin has asked of other servers for the exchange; none if there is no exchange.
    pub(super) http_calls: Option<Arc<Calls>>,
    pub(super) limits: Limits,
    /// As they were when the call began: no call sees two versions.
    pub(super) settings: Arc<Texts>,
    pub(super) figures: PluginFigures,
    pub(super) log: Log,
    pub(super) clocks: Arc<Clocks>,
    /// What the host does for the guest while the guest goes on.
    pub(super) errands: Errands,
}
