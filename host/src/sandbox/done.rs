//! The done-hook: a plugin is told of an exchange that is over. Nothing waits for it, so it has permits, memory and a queue of its own, and its
//! turns come behind those of hooks that a client waits for.

mod queue;
pub(super) mod shape;
mod told;

use std::sync::Arc;

use wasmtime::Store;

use super::bindings::types::HookError;
use super::call::Verdict;
use super::outcome::reported;
use super::plugin::Plugin;
use super::store::State;
use super::{Fault, FaultKind};
use crate::fair::Share;
use crate::outbound::Calls;
pub use queue::{DoneQueue, DoneRoom, Listener};
pub use told::{Done, Timing, message_bytes};

/// A done-hook that ended well.
struct Told;

impl Plugin {
    /// Tells the plugin of an exchange, for which it has sent `http_calls` so far. `permits` are one of the plugin's and one of all done-hooks.
    ///
    /// # Errors
    /// How the call failed.
    async fn done_hook(&self, done: Arc<Done>, http_calls: Arc<Calls>, permits: [Share; 2]) -> Result<(), Fault> {
        let call = self.callee.call_afterwards(&done.id, &done.client, http_calls);
        let Some(hook) = self.exports.done_hook else { return Err(call.failed(FaultKind::NoHook)) };
        let (guest, exports, scope) = (call.background(permits), self.exports.clone(), self.scope.clone());
        let (bytes, time) = (done.bytes_of(&scope.reads), self.callee.limits.time.saturating_add(self.callee.limits.wait));
        let work = async move {
            let ran = {
                let exchange = shape::Exchange::of(&done, time, &scope.reads);
                guest.run(async |store: &mut Store<State>| exports.call::<_, Result<(), HookError>>(store, hook, (&exchange,)).await).await
            };
            ((), ran.check(|returned, _| returned.map(|()| Told).map_err(reported)))
        };
        call.settle(bytes, work).await.1.map(drop)
    }
}

impl Verdict for Told {
    fn word(&self) -> &'static str {
        "ok"
    }
}
