//! `done-hook`'s record `exchange`, as a view of what is kept, so that no text is copied on its way to the guest. It must fit
//! `wit/done-hook.wit`; every plugin is compared with it when it is loaded.

use std::time::Duration;

use wasmtime::component::{ComponentType, Lower};

use super::told::{self, Done};
use crate::sandbox::scope::{Channels, Data};
use crate::sandbox::shapes::{Context, Field, Message, Usage};

#[derive(ComponentType, Lower)]
#[component(record)]
pub(in crate::sandbox) struct Exchange<'a> {
    context: Context<'a>,
    request: Vec<Message<'a>>,
    replies: Vec<Message<'a>>,
    target: Option<&'a str>,
    model: &'a str,
    usage: Option<Usage<'a>>,
    status: u16,
    error: Option<&'a str>,
    timing: Timing,
    metadata: Vec<Field<'a>>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(in crate::sandbox) struct Timing {
    #[component(name = "first-byte-ms")]
    first_byte_ms: u32,
    #[component(name = "total-ms")]
    total_ms: u32,
    #[component(name = "started-at-ms")]
    started_at_ms: f64,
}

impl<'a> Exchange<'a> {
    /// What the hook reads of it. `time` is what the call may take in all.
    pub(super) fn of(done: &'a Done, time: Duration, reads: &Data) -> Self {
        let (window, last) = reads.window(&done.request);
        let replies = done.replies.iter().filter(|_| reads.reply != Channels::NONE);
        let context = Context {
            request_id: &done.id,
            pipeline: &done.pipeline,
            caller: done.caller.as_deref(),
            streamed: done.streamed,
            attempt: done.attempts,
            deadline_ms: millis(time),
        };
        let told::Timing { first_byte, total, started_at } = done.timing;
        Self {
            context,
            request: window.map(|at| Message::shown(&done.request[at], reads.of_message(at, last))).collect(),
            replies: replies.map(|reply| Message::shown(reply, reads.reply)).collect(),
            target: done.target.as_deref(),
            model: &done.model,
            usage: done.usage.as_deref().filter(|_| reads.usage).and_then(Usage::of),
            status: done.status,
            error: done.error.as_deref(),
            timing: Timing {
                first_byte_ms: millis(first_byte.unwrap_or(total)),
                total_ms: millis(total),
                // Whole milliseconds, exact for two hundred thousand years.
                started_at_ms: (started_at.as_secs_f64() * 1e3).floor(),
            },
            metadata: done
                .metadata
                .iter()
                .filter(|(name, _)| reads.metadata.has(name))
                .map(|(name, value)| Field::of(name, value))
                .collect(),
        }
    }
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}
