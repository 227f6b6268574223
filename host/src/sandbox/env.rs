//! What one call takes along: whose call it is, of which hook, for which request, under which limits, with its log and its clocks.
//! Made in one place for every hook (`Callee::call`), and shared by the call itself and by the host functions that the guest calls.

use std::sync::Arc;

use super::behalf::Behalf;
use super::bindings::log::Level;
use super::capability::llm::replies::Replies;
use super::capability::log::{Log, harmless};
use super::capability::reply::Reply;
use super::clocks::{Clocks, Over};
use super::errands::Errands;
use super::settings::Texts;
use super::{Fault, FaultKind, Hook, Limits};
use crate::chat::{Client, RequestId};
use crate::outbound::Calls;
use crate::telemetry::{PluginFigures, Seldom};

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
    /// What the log was told of the plugin, whichever call it was in.
    pub(super) told: Arc<Seldom>,
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

    /// Says in the plugin's log what became of something that it asked for, which could be told with each of its calls.
    pub(super) fn tell(&self, level: Level, what: &str) {
        match self.told.due(what, 1) {
            None => {}
            Some(1) => self.log.write(level, what),
            Some(times) => self.log.write(level, &format!("{what} ({times} times since this was told, or others that are not told apart)")),
        }
    }

    pub(super) fn report_dropped_lines(&self, figures: &PluginFigures) {
        let dropped = self.log.dropped();
        if dropped == 0 {
            return;
        }
        figures.log_dropped(dropped);
        if let Some(dropped) = self.told.due("dropped lines", dropped) {
            let (plugin, request) = (&*self.plugin, &*self.request);
            tracing::warn!(plugin, request, dropped, "log lines over the limit were dropped");
        }
    }
}
