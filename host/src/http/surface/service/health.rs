//! `/healthz`, `/readyz`, `/metrics`, `/openapi.json`: what the server says of itself.
//! Invariant: nothing here holds content or secrets, for none of it takes a key.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::body::Content;
use crate::http::error::Failure;
use crate::http::respond;
use crate::http::route::Call;
use crate::telemetry::CONTENT_TYPE;

#[derive(Serialize, JsonSchema)]
pub(super) struct Status {
    /// `ok`, `ready`, `loading` or `draining`
    status: &'static str,
}

/// The process answers.
pub(super) async fn alive(_call: Call<'_>) -> Result<Response<Content>, Failure> {
    Ok(respond::json(StatusCode::OK, &Status { status: "ok" }))
}

/// Requests may be sent here: the server is not about to stop, and no plugin that a pipeline names still waits for its first try.
pub(super) async fn ready(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let status = if call.shared.draining.load(Ordering::Relaxed) {
        "draining"
    } else if call.shared.loaded() {
        "ready"
    } else {
        "loading"
    };
    let code = if status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(respond::json(code, &Status { status }))
}

pub(super) async fn metrics(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let state = &call.shared.state;
    state.metrics.embed_queue(state.knowledge.queued());
    Ok(respond::typed(Content::Whole(Bytes::from(state.metrics.render())), CONTENT_TYPE))
}

pub(super) async fn openapi(call: Call<'_>) -> Result<Response<Content>, Failure> {
    call.log.answers_with_what_is_kept();
    Ok(respond::typed(Content::Whole(Bytes::clone(&call.shared.openapi)), "application/json"))
}
