//! One thread for all indexes that merges what was added to a large one, beside everything else. One at a time, because a merge holds the graph
//! twice in memory.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::vector_index::VectorIndex;

/// The thread begins with the first merge, and ends with this value.
#[derive(Default)]
pub(super) struct Merger {
    /// Each index is in it at most once.
    queue: Mutex<Option<Sender<Weak<VectorIndex>>>>,
}

impl Merger {
    /// Merges the index when those before it are done. Without a thread the next change of it tries again.
    pub(super) fn soon(&self, index: &Arc<VectorIndex>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.is_none() {
            let (sender, waiting) = channel();
            match std::thread::Builder::new().name("merge".into()).spawn(move || work(&waiting)) {
                Ok(_) => *queue = Some(sender),
                Err(error) => tracing::warn!(%error, "there is no thread to merge vector indexes; searches get slower until there is one"),
            }
        }
        if let Some(queue) = &*queue
            && index.tell()
        {
            // It ends only with this value.
            let _ = queue.send(Arc::downgrade(index));
        }
    }
}

fn work(waiting: &Receiver<Weak<VectorIndex>>) {
    // Searches come first. On Linux it is this thread's priority and not the process's.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICENESS);
    for index in waiting {
        let Some(index) = index.upgrade() else { continue };
        index.was_told();
        while index.is_due() {
            if let Err(error) = index.merge() {
                tracing::warn!(%error, "a vector index could not be merged; searches of it get slower until the next change of it tries again");
                break;
            }
        }
    }
}

#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;
