//! The capability `reply`: where a plugin that is a model writes its answer. It works in `answer` alone and needs no grant. A write waits while
//! what was written before has not been taken; that uses up no limit of the plugin's, and ends with the request's time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wasmtime::component::{HasData, Linker};

use super::log::harmless;
use crate::chat::Delta;
use crate::sandbox::FaultKind;
use crate::sandbox::bindings::reply::{self, Host, Status};
use crate::sandbox::bindings::types;
use crate::sandbox::clocks::Clocks;
use crate::sandbox::written::Written;

/// What a component imports to have it.
pub(in crate::sandbox) const INTERFACE: &str = "cofferdam:hooks/reply@0.2.0";

/// Bytes of one answer that are written and not yet taken; one write may be larger, if it is alone.
const ROOM: u32 = 64 << 10;
/// Bytes of a status that are shown.
const STATUS_BYTES: usize = 500;

/// A piece of an answer.
#[derive(Debug)]
pub enum Said {
    Deltas(Vec<Delta>),
    /// A line for the client to show while it waits.
    Status {
        text: String,
        done: bool,
    },
}

/// A piece with its room, which is free again when it is taken.
pub(in crate::sandbox) struct Held(pub(in crate::sandbox) Said, #[expect(dead_code, reason = "it is held")] Option<OwnedSemaphorePermit>);

impl Held {
    /// The piece, whose room is free from now on.
    pub(in crate::sandbox) fn taken(self) -> Said {
        self.0
    }
}

/// One answer on its way.
pub(in crate::sandbox) struct Reply {
    said: UnboundedSender<Held>,
    room: Arc<Semaphore>,
    written: Mutex<Written>,
    /// When the request's time is over.
    until: Instant,
}

/// What of a call its functions need.
pub(in crate::sandbox) struct View<'a> {
    pub(in crate::sandbox) reply: Option<&'a Reply>,
    pub(in crate::sandbox) clocks: &'a Clocks,
}

/// Adds its functions; `view` finds the call's answer in the store's data.
pub(in crate::sandbox) fn link<T: Send + 'static>(linker: &mut Linker<T>, view: fn(&mut T) -> View<'_>) -> wasmtime::Result<()> {
    reply::add_to_linker::<T, HasReply>(linker, view)
}

struct HasReply;

impl HasData for HasReply {
    type Data<'a> = View<'a>;
}

impl Host for View<'_> {
    async fn write(&mut self, deltas: Vec<types::Delta>) -> wasmtime::Result<()> {
        let reply = self.reply()?;
        let (deltas, bytes) = reply.written().take(deltas)?;
        if deltas.is_empty() {
            return Ok(());
        }
        reply.say(Said::Deltas(deltas), bytes, self.clocks).await
    }

    async fn set_status(&mut self, Status { text, done }: Status) -> wasmtime::Result<()> {
        let reply = self.reply()?;
        let text = harmless(&text, STATUS_BYTES);
        let bytes = text.len() + size_of::<Held>();
        reply.written().count(bytes)?;
        reply.say(Said::Status { text, done }, bytes, self.clocks).await
    }

    async fn set_usage(&mut self, usage: types::Usage) -> wasmtime::Result<()> {
        Ok(self.reply()?.written().set_usage(usage)?)
    }
}

impl<'a> View<'a> {
    fn reply(&self) -> Result<&'a Reply, FaultKind> {
        self.reply.ok_or_else(|| FaultKind::Invalid("it called `reply` outside of `answer`, where nobody reads it".into()))
    }
}

impl Reply {
    /// An answer that has not begun, and where it is read.
    pub(in crate::sandbox) fn open(written: Written, until: Instant) -> (Self, UnboundedReceiver<Held>) {
        let (said, heard) = unbounded_channel();
        (Self { said, room: Arc::new(Semaphore::new(ROOM as usize)), written: Mutex::new(written), until }, heard)
    }

    /// The answer is over and was whole: says what was left to say.
    ///
    /// # Errors
    /// It holds nothing at all.
    pub(in crate::sandbox) fn end(&self) -> Result<(), FaultKind> {
        let last = self.written().end()?;
        // Nobody reads it any more if the client has left.
        let _ = self.said.send(Held(Said::Deltas(last), None));
        Ok(())
    }

    /// Waits for room, which is there at once unless the client is slow.
    async fn say(&self, said: Said, bytes: usize, clocks: &Clocks) -> wasmtime::Result<()> {
        let wanted = u32::try_from(bytes).unwrap_or(ROOM).min(ROOM);
        let room = match self.room.clone().try_acquire_many_owned(wanted) {
            Ok(room) => Some(room),
            Err(_) => {
                let waiting = timeout_at(self.until, self.room.clone().acquire_many_owned(wanted));
                // The semaphore is never closed.
                clocks.for_client(waiting).await.map_err(|_| FaultKind::Deadline)?.ok()
            }
        };
        let _ = self.said.send(Held(said, room));
        Ok(())
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        // A panic elsewhere leaves what was counted so far.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sandbox::Limits;

    #[tokio::test(start_paused = true)]
    async fn a_write_waits_until_there_is_room_and_no_longer_than_the_request_lasts() {
        let clocks = Clocks::new(&Limits::default(), Duration::from_secs(1));
        let until = Instant::now() + Duration::from_secs(100);
        let (reply, mut heard) = Reply::open(Written::new(1, usize::MAX), until);
        let say = |bytes: u32| reply.say(Said::Status { text: "x".into(), done: false }, bytes as usize, &clocks);
        say(ROOM).await.expect("it fits");
        let (said, ()) = tokio::join!(say(1), async { drop(heard.recv().await.expect("a piece").taken()) });
        said.expect("there is room again");
        say(ROOM - 1).await.expect("it fits");
        let late = say(1).await.expect_err("nobody takes anything");
        assert_eq!((late.downcast_ref::<FaultKind>(), Instant::now()), (Some(&FaultKind::Deadline), until));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_of_any_size_passes_if_it_is_alone() {
        let clocks = Clocks::new(&Limits::default(), Duration::from_secs(1));
        let (reply, mut heard) = Reply::open(Written::new(1, usize::MAX), Instant::now() + Duration::from_secs(100));
        for _ in 0..2 {
            reply.say(Said::Status { text: "x".into(), done: false }, 100 * ROOM as usize, &clocks).await.expect("alone");
            drop(heard.recv().await.expect("a piece").taken());
        }
    }
}
