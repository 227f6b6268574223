//! What a request holds while it is answered: its place, and the bytes of its answer.
//! Invariant: both are given back by dropping, so that they last exactly as long as what they stand for.

use std::sync::Arc;

use bytes::Bytes;

use crate::fair::Share;
use crate::telemetry::Metrics;

/// A place among the requests under way, seen in the metrics.
pub(super) struct Place {
    _share: Share,
    metrics: Arc<Metrics>,
}

impl Place {
    pub(super) fn new(share: Share, metrics: &Arc<Metrics>) -> Self {
        metrics.in_flight(1);
        Self { _share: share, metrics: Arc::clone(metrics) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.in_flight(-1);
    }
}

/// An answer's bytes with what they hold. The connection gets views of them; the last one to go gives all back, for it alone frees the memory.
pub(super) struct CountedAnswer {
    pub(super) bytes: Bytes,
    pub(super) _share: Share,
    pub(super) _place: Option<Place>,
}

impl AsRef<[u8]> for CountedAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
