//! `/healthz`, `/readyz`, `/metrics`: for supervisors and scrapers. Open, and never refused for want of a place: an overloaded server still says
//! that it is alive. Must not hold content or secrets.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use serde_json::json;

use super::State;
use super::body::Content;
use super::respond;
use super::server::Shared;
use crate::telemetry::CONTENT_TYPE;

/// The process answers.
pub(super) fn alive() -> Response<Content> {
    respond::json(StatusCode::OK, &json!({"status": "ok"}))
}

/// It may be sent requests: it is not about to stop. The plugins are loaded, for it listens only after that.
pub(super) fn ready(shared: &Shared) -> Response<Content> {
    let (status, word) =
        if shared.draining.load(Ordering::Relaxed) { (StatusCode::SERVICE_UNAVAILABLE, "draining") } else { (StatusCode::OK, "ready") };
    respond::json(status, &json!({"status": word}))
}

pub(super) fn metrics(state: &State) -> Response<Content> {
    let metrics = &state.metrics;
    metrics.embed_queue(state.knowledge.queued());
    respond::typed(Content::Whole(Bytes::from(metrics.render())), CONTENT_TYPE)
}
