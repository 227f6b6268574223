//! Whether hooks hold a reply back whose client waits for a stream: from then on the host may tell the client that it is still there, although
//! a rejection has no status of its own any more after that.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Of one exchange, among the things that it keeps.
#[derive(Debug, Default)]
pub struct Held {
    begun: AtomicBool,
    told: Notify,
}

impl Held {
    /// From now on.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.told.notify_one();
    }

    /// Waits until it begins, for one who waits.
    pub async fn begins(&self) {
        while !self.begun.load(Ordering::Acquire) {
            self.told.notified().await;
        }
    }
}
