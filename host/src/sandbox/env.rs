//! What one call takes along: whose call it is, of which hook, for which request, under which limits, with its log and its clocks.
//! Made in one place for every hook (`Callee::call`), and shared by the call itself and by the host functions that the guest calls.

use std::sync::Arc;

use super::behalf::Behalf;
use super::capability::llm::replies::Replies;
use super::capability::log::{Log, harmless};
use super::capability::reply::Reply;
use super::clocks::{Clocks, Over};
use super::errands::Errands;
use super::settings::Texts;
use super::{Fault, FaultKind, Hook, Limits};
use crate::chat::{Client, RequestId};
use crate::outbound::Calls;
use crate::telemetry::PluginFigures;

/// Bytes of a guest's own text that a fault keeps.
const TEXT_BYTES: usize = 500;

/// One call's environment.
pub(super) struct CallEnv {
    pub(super) plugin: Arc<str>,
    pub(super) version: Arc<str>,
    pub(super) hook: Hook,
    pub(super) request: RequestId,
    /// The exchange for which it is called; none if there is none, or if it is over.
    pub(super) behalf: Option<Behalf>,
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
    /// Where a model writes its answer; other calls have none.
    pub(super) reply: Option<Reply>,
    /// The replies of other models that it reads.
    pub(super) replies: Replies,
}

impl CallEnv {
    /// Drives the guest, and beside it what the host does for it, as `Clocks::bound` says.
    ///
    /// # Errors
    /// The limit that was reached.
    pub(super) async fn bound<T>(&self, guest: impl Future<Output = T>) -> Result<T, Over> {
        self.clocks.bound(self.errands.beside(guest)).await
    }

    /// A guest's text in it is cut and made harmless, because it goes to the log and to the client.
    pub(super) fn fault(&self, kind: FaultKind) -> Fault {
        let kind = match kind {
            FaultKind::Reported(text) => FaultKind::Reported(harmless(&text, TEXT_BYTES)),
            FaultKind::Trapped(text) => FaultKind::Trapped(harmless(&text, TEXT_BYTES)),
            FaultKind::Invalid(text) => FaultKind::Invalid(harmless(&text, TEXT_BYTES)),
            other => other,
        };
        Fault { plugin: self.plugin.clone(), version: self.version.clone(), hook: self.hook, kind }
    }

    pub(super) fn report_dropped_lines(&self, figures: &PluginFigures) {
        let dropped = self.log.dropped();
        if dropped > 0 {
            let (plugin, request) = (&*self.plugin, &*self.request);
            tracing::warn!(plugin, request, dropped, "log lines over the limit were dropped");
            figures.log_dropped(dropped);
        }
    }
}
