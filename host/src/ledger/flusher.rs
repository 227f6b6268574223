//! Writing what was used every few seconds, off the request's path, and once more at the end.
//! Whoever drops it has lost nothing: what is left is written then, with or without a runtime.

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
                flush(&flushed).await;
            }
        });
        Self { ledger, task }
    }

    /// Writes what is left.
    pub async fn finish(&self) {
        close(&self.ledger).await;
    }
}

impl Drop for Flusher {
    /// After `finish` there is little or nothing left to write. There may be no runtime any more, and the one there is must not be waited for
    /// on its own thread: so the last rows are written from a thread and a runtime of their own.
    fn drop(&mut self) {
        self.task.abort();
        let ledger = &self.ledger;
        std::thread::scope(|scope| {
            let last = std::thread::Builder::new().spawn_scoped(scope, || match tokio::runtime::Builder::new_current_thread().build() {
                Ok(runtime) => runtime.block_on(close(ledger)),
                Err(error) => tracing::error!("what was used last could not be written: {error}"),
            });
            match last {
                // A panic there was shown by its own thread.
                Ok(last) => drop(last.join()),
                Err(error) => tracing::error!("what was used last could not be written: {error}"),
            }
        });
    }
}

async fn close(ledger: &Arc<Ledger>) {
    if let Err(error) = ledger.close().await {
        tracing::error!("what was used last could not be written down: {error}");
    }
}

async fn flush(ledger: &Arc<Ledger>) {
    if let Err(error) = ledger.flush().await {
        tracing::error!("what was used could not be written down; it is kept for the next try: {error}");
    }
}
