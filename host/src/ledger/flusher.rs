//! Writing the book down every few seconds, off the request's path, and once more at the end.
//! Must not know what is in the book.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Ledger;

/// Writes as long as it lives; what is left is written when it is dropped.
pub struct Flusher {
    ledger: Arc<Ledger>,
    task: JoinHandle<()>,
}

impl Flusher {
    /// Begins to write every `period`. Needs a runtime.
    pub fn start(ledger: Arc<Ledger>, period: Duration) -> Self {
        let flushed = Arc::clone(&ledger);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(period).await;
                Self::written(Arc::clone(&flushed)).await;
            }
        });
        Self { ledger, task }
    }

    /// Writes what is left, off this thread.
    pub async fn finish(&self) {
        Self::written(Arc::clone(&self.ledger)).await;
    }

    async fn written(ledger: Arc<Ledger>) {
        // A panic there is shown by the runtime; the next period tries again.
        let _ = tokio::task::spawn_blocking(move || flush(&ledger)).await;
    }
}

impl Drop for Flusher {
    /// On this thread: there may be no runtime any more. After `finish` there is nothing left to write.
    fn drop(&mut self) {
        self.task.abort();
        flush(&self.ledger);
    }
}

fn flush(ledger: &Ledger) {
    if let Err(error) = ledger.flush() {
        tracing::error!("what was used could not be written down; it is kept for the next try: {error}");
    }
}
