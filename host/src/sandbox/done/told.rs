//! What done-hooks are told of an exchange: everything that is known when it is over, as the domain has it.
//! Its size is counted as it is handed over, because it waits in a queue that is bounded in bytes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::chat::{Client, Json, Message, Metadata, RequestId};
use crate::sandbox::scope::{Channels, Data};
use crate::sandbox::shapes;

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

/// About how many bytes a message takes.
pub fn message_bytes(message: &Message) -> usize {
    shapes::message_bytes(message, Channels::ALL)
}

impl Done {
    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let messages = self.request.iter().chain(&self.replies).map(message_bytes).sum::<usize>();
        let metadata = self.metadata.iter().map(|(name, value)| name.len() + value.get().len()).sum::<usize>();
        size_of::<Self>() + messages + metadata
    }

    /// About how many bytes it takes to hand over what a hook reads of it.
    pub(super) fn bytes_of(&self, reads: &Data) -> usize {
        let (window, last) = reads.window(&self.request);
        let request = window.map(|at| shapes::message_bytes(&self.request[at], reads.of_message(at, last)));
        let replies = self.replies.iter().map(|reply| shapes::message_bytes(reply, reads.reply));
        let metadata = self.metadata.iter().filter(|(name, _)| reads.metadata.has(name));
        request.chain(replies).sum::<usize>() + metadata.map(|(name, value)| name.len() + value.get().len()).sum::<usize>()
    }
}
