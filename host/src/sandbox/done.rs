//! The done-hook: a plugin is told of an exchange that is over. Nothing waits for it, so it has permits, memory and a queue of its own, and its
//! turns come behind those of hooks that a client waits for.

mod queue;
pub(super) mod shape;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;

use super::bindings::types::HookError;
use super::call::Verdict;
use super::outcome::reported;
use super::plugin::Plugin;
use super::shapes;
use super::store::State;
use super::{Fault, FaultKind, Hook};
use crate::chat::{Client, Json, Message, Metadata, RequestId};
use crate::fair::Share;
pub use queue::{DoneQueue, DoneRoom};

/// An exchange that is over, as done-hooks are told of it.
#[derive(Debug)]
pub struct Done {
    pub id: RequestId,
    pub pipeline: Arc<str>,
    pub caller: Option<Arc<str>>,
    /// Whose share of the queue it uses.
    pub client: Client,
    pub streamed: bool,
    /// Tries at providers.
    pub attempts: u32,
    /// As the client sent them.
    pub request: Vec<Message>,
    /// As the client saw them.
    pub replies: Vec<Message>,
    pub target: Option<String>,
    pub model: String,
    /// In OpenAI's form.
    pub usage: Option<Json>,
    pub status: u16,
    pub error: Option<Cow<'static, str>>,
    pub timing: Timing,
    pub metadata: Metadata,
}

/// When it was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// None if there was no byte.
    pub first_byte: Option<Duration>,
    pub total: Duration,
    /// Since 1970.
    pub started_at: Duration,
}

/// A done-hook that ended well.
struct Told;

/// About how many bytes a message takes.
pub fn message_bytes(message: &Message) -> usize {
    shapes::message_bytes(message)
}

impl Done {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize {
        let messages = self.request.iter().chain(&self.replies).map(message_bytes).sum::<usize>();
        let metadata = self.metadata.iter().map(|(name, value)| name.len() + value.get().len()).sum::<usize>();
        size_of::<Self>() + messages + metadata
    }
}

impl Plugin {
    /// Tells the plugin of an exchange. `permits` are one of the plugin's and one of all done-hooks.
    ///
    /// # Errors
    /// How the call failed.
    async fn done_hook(&self, done: Arc<Done>, permits: [Share; 2]) -> Result<(), Fault> {
        let call = self.callee.call(Hook::Done, &done.id);
        let Some(hook) = self.exports.done_hook else { return Err(call.failed(FaultKind::NoHook)) };
        let (guest, exports) = (call.background(permits), self.exports.clone());
        let (bytes, time) = (done.bytes(), self.callee.limits.time.saturating_add(self.callee.limits.wait));
        let work = async move {
            let ran = {
                let exchange = shape::Exchange::of(&done, time);
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
