//! Stage post_hook, after the last byte: its plugins with a done-hook are told of the exchange, whatever became of it.
//! Invariants: where no plugin has a done-hook nothing is kept; what is kept counts against its caller's share until it is told. The plugins are
//! those of the snapshot that the exchange began with.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::HookStage;
use crate::chat::account::{Closing, Teller, Told};
use crate::chat::gathered::Replies;
use crate::chat::{Client, Exchange, Message, RequestId, Tries, codec};
use crate::sandbox::{Done, DoneQueue, DoneRoom, Hook, Listener, Plugins, Timing, message_bytes};

/// What is known of the exchange when it begins.
struct Pending {
    queue: Arc<DoneQueue>,
    listeners: Vec<Listener>,
    id: RequestId,
    pipeline: Arc<str>,
    caller: Option<Arc<str>>,
    client: Client,
    streamed: bool,
    tries: Tries,
    /// What is kept of it.
    room: DoneRoom,
}

/// Opens the exchange's account if a plugin of the stage is to be told of it.
pub fn begin(stage: &HookStage, plugins: &Plugins, exchange: &Exchange, queue: &Arc<DoneQueue>) {
    let named = stage.plugins.iter().filter_map(|name| plugins.get(name, Hook::Post).ok());
    let told = named.filter(|plugin| plugin.has(Hook::Done));
    let listeners: Vec<Listener> = told.map(|plugin| Listener::of(plugin, exchange)).collect();
    if listeners.is_empty() {
        return;
    }
    let bytes = exchange.messages.iter().map(message_bytes).sum();
    let Some(room) = queue.keep(&exchange.client, bytes) else { return queue.refuse(&listeners, &exchange.id) };
    let pending = Pending {
        queue: queue.clone(),
        listeners,
        id: exchange.id.clone(),
        pipeline: exchange.pipeline.clone(),
        caller: exchange.caller.clone(),
        client: exchange.client.clone(),
        streamed: exchange.stream,
        tries: exchange.tries.clone(),
        room,
    };
    exchange.account.open(exchange.messages.clone(), queue.reply_bytes(), Box::new(pending));
}

/// Whether every plugin of the stage is there and has a done-hook only, so that the reply need not be whole before it is sent.
pub fn is_all(stage: &HookStage, plugins: &Plugins) -> bool {
    stage.plugins.iter().all(|name| plugins.get(name, Hook::Post).is_ok_and(|plugin| !plugin.sees_reply()))
}

impl Teller for Pending {
    fn grow(&mut self, bytes: usize) -> bool {
        self.room.grow(bytes)
    }

    fn tell(self: Box<Self>, told: Told) {
        let queue = self.queue.clone();
        // The connection does not wait for a reply to be read again.
        queue.prepare(async move {
            // Its room is given back when it counts in the queue of each plugin.
            let (done, Self { queue, listeners, room, .. }) = (Arc::new(self.done(told)), *self);
            queue.push(listeners, &done);
            drop(room);
        });
    }

    fn give_up(self: Box<Self>) {
        self.queue.refuse(&self.listeners, &self.id);
    }
}

impl Pending {
    fn done(&self, told: Told) -> Done {
        let Told { request, metadata, replies, closing } = told;
        let Closing { status, error, first_byte, total, .. } = closing;
        let known = self.tries.known();
        let (target, model) = known.asked.map_or((None, String::new()), |asked| (Some(asked.provider), asked.model));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Done {
            id: self.id.clone(),
            pipeline: self.pipeline.clone(),
            caller: self.caller.clone(),
            client: self.client.clone(),
            streamed: self.streamed,
            attempts: self.tries.begun(),
            request,
            replies: messages(replies),
            target,
            model,
            usage: known.usage.map(|usage| usage.json()),
            status,
            error,
            timing: Timing { first_byte, total, started_at: now.saturating_sub(total) },
            metadata,
        }
    }
}

/// What the client was sent, read.
fn messages(replies: Replies) -> Vec<Message> {
    match replies {
        Replies::Messages(messages) => messages,
        // What cannot be read was passed on as it came; then there is no message to tell of.
        Replies::Raw(body) => codec::parse_completion(&body)
            .map(|completion| completion.choices.into_iter().map(|choice| choice.message).collect())
            .unwrap_or_default(),
    }
}
