//! Traces for an OpenTelemetry collector: spans are gathered as they end, wait in a bounded queue, and are posted in batches as OTLP/HTTP JSON.
//! A request never waits for any of it: if the queue is full or the collector is down, spans are lost and counted. Without an endpoint
//! there is no queue. Source: the OTLP specification, 1.x.

mod collect;
mod context;
mod json;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

pub use collect::Collecting;
pub(super) use collect::{Value, adopt, attributes};

use super::Metrics;
use collect::Finished;

/// What the operator says about traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The collector's URL without `/v1/traces`; none switches all of it off.
    pub otlp_endpoint: Option<String>,
    /// The secret with headers for the collector.
    pub otlp_headers_secret: Option<String>,
    /// What the collector calls this server.
    pub service_name: String,
    /// Spans that wait to be sent.
    pub otlp_queue: usize,
    /// Spans of one POST.
    pub otlp_batch: usize,
    /// How long a batch waits for more spans.
    pub otlp_delay: Duration,
    /// One POST; also what the last spans get when the server stops.
    pub otlp_timeout: Duration,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            otlp_headers_secret: None,
            service_name: "cofferdam".into(),
            // OpenTelemetry's own defaults for batches, except for its delay of 5 s: people look at a trace just after they made it.
            otlp_queue: 2_048,
            otlp_batch: 512,
            otlp_delay: Duration::from_secs(1),
            otlp_timeout: Duration::from_secs(10),
        }
    }
}

/// Sends a batch to the collector.
pub trait Deliver: Send + Sync {
    /// Posts JSON; the error says what went wrong, for the log.
    fn deliver(&self, json: Vec<u8>) -> BoxFuture<'_, Result<(), String>>;
}

/// The end of the queue that the sending task holds.
pub struct Spans {
    waiting: Receiver<Finished>,
    /// Spans that found the queue full since this was last read.
    lost: Arc<AtomicU64>,
    export: Export,
}

/// Both ends of the queue; none if no endpoint is given.
pub fn queue(export: &Export) -> Option<(Collecting, Spans)> {
    export.otlp_endpoint.as_ref()?;
    let (sender, waiting) = channel(export.otlp_queue);
    let lost = Arc::new(AtomicU64::new(0));
    Some((Collecting::new(sender, Arc::clone(&lost)), Spans { waiting, lost, export: export.clone() }))
}

impl Spans {
    pub fn export(&self) -> &Export {
        &self.export
    }

    /// Sends batches until `stop` is fired or dropped, then what still waits, within `otlp_timeout`.
    pub async fn send(mut self, collector: impl Deliver, metrics: Arc<Metrics>, mut stop: oneshot::Receiver<()>) {
        let mut sender =
            Sender { collector, metrics, lost: Arc::clone(&self.lost), service: self.export.service_name.clone(), down: false };
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                biased;
                _ = &mut stop => break,
                () = gather(&mut self.waiting, &mut batch, &self.export) => {}
            }
            sender.send(&mut batch).await;
        }
        self.waiting.close();
        let most = self.export.otlp_batch;
        let rest = async {
            loop {
                while let Some(span) = (batch.len() < most).then(|| self.waiting.try_recv().ok()).flatten() {
                    batch.push(span);
                }
                if batch.is_empty() {
                    break;
                }
                sender.send(&mut batch).await;
            }
        };
        if timeout(self.export.otlp_timeout, rest).await.is_err() {
            tracing::warn!("the last spans were not sent within `telemetry.otlp_timeout`");
        }
    }
}

/// Waits for a span, and then a little for more. If this is dropped, what it gathered stays in `batch`.
async fn gather(waiting: &mut Receiver<Finished>, batch: &mut Vec<Finished>, export: &Export) {
    if batch.is_empty() {
        match waiting.recv().await {
            Some(span) => batch.push(span),
            // The other end is the process's subscriber, which never ends before this.
            None => return std::future::pending().await,
        }
    }
    let end = Instant::now() + export.otlp_delay;
    while batch.len() < export.otlp_batch
        && let Ok(Some(span)) = timeout_at(end, waiting.recv()).await
    {
        batch.push(span);
    }
}

struct Sender<D> {
    collector: D,
    metrics: Arc<Metrics>,
    lost: Arc<AtomicU64>,
    service: String,
    /// The last batch did not arrive. This is logged once, not for each batch.
    down: bool,
}

impl<D: Deliver> Sender<D> {
    async fn send(&mut self, batch: &mut Vec<Finished>) {
        let count = batch.len() as u64;
        let sent = self.collector.deliver(json::traces(&self.service, batch)).await;
        batch.clear();
        self.metrics.spans("dropped", self.lost.swap(0, Ordering::Relaxed));
        match sent {
            Ok(()) => {
                self.metrics.spans("sent", count);
                if std::mem::take(&mut self.down) {
                    tracing::info!("the collector of traces takes spans again");
                }
            }
            Err(error) => {
                self.metrics.spans("dropped", count);
                if !std::mem::replace(&mut self.down, true) {
                    tracing::warn!("spans are dropped until the collector of traces takes them: {error}");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
