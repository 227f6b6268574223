//! Spans, metrics, one line per request. Any room may use it; it knows none.

mod metrics;

pub use metrics::Metrics;
