//! `/healthz`, `/readyz`, `/metrics`, `/openapi.json`: what the server says of itself.
//! Invariant: what is told without an admin key holds no content and no secret.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::access::{self, Access};
use crate::http::body::Content;
use crate::http::cors::Origins;
use crate::http::error::Failure;
use crate::http::respond;
use crate::http::route::Call;
use crate::pipeline::{Blocked, Catalog};
use crate::telemetry::CONTENT_TYPE;

/// Pipelines that one answer names; each of the others has its line in the log.
const BLOCKED_MAX: usize = 20;

#[derive(Serialize, JsonSchema)]
pub(super) struct Status {
    /// `ok`, `ready`, `loading`, `blocked` or `draining`
    status: &'static str,
    /// Under `blocked`: the pipelines of the operator's file that cannot run and the names of `[[embeddings]]` that cannot be asked for, at most 20, and
    /// the plugin for want of which each cannot.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pipelines: Vec<BlockedPipeline>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct BlockedPipeline {
    id: String,
    plugin: String,
    /// `pre_hook`, `post_hook`, `model` or `embed`: what the plugin is needed for.
    hook: &'static str,
    /// Why the plugin cannot do it.
    reason: String,
}

/// The process answers.
pub(super) async fn alive(_call: Call<'_>) -> Result<Response<Content>, Failure> {
    Ok(respond::json(StatusCode::OK, &Status { status: "ok", pipelines: Vec::new() }))
}

/// Requests may be sent here: the server is not about to stop, no plugin that a pipeline names still waits for its first try, and every pipeline
/// of the operator's file has its plugins, if the operator wants that.
pub(super) async fn ready(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let shared = call.shared;
    let pipelines = if shared.ready_requires_plugins { blocked(&shared.state.catalog) } else { Vec::new() };
    let status = if shared.draining.load(Ordering::Relaxed) {
        "draining"
    } else if !shared.loaded() {
        "loading"
    } else if pipelines.is_empty() {
        "ready"
    } else {
        "blocked"
    };
    let pipelines = if status == "blocked" { pipelines } else { Vec::new() };
    let code = if status == "ready" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(respond::json(code, &Status { status, pipelines }))
}

fn blocked(catalog: &Catalog) -> Vec<BlockedPipeline> {
    let shown = |Blocked { pipeline, fault }: Blocked| BlockedPipeline {
        id: pipeline.to_string(),
        plugin: fault.plugin.to_string(),
        hook: fault.hook.word(),
        reason: fault.kind.to_string(),
    };
    catalog.blocked().into_iter().take(BLOCKED_MAX).map(shown).collect()
}

pub(super) async fn metrics(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let state = &call.shared.state;
    state.metrics.embed_queue(state.knowledge.queued());
    let is_operator = access::authorize(Access::Admin, &call.shared.keys, &Origins::default(), call.head).is_ok();
    let figures = if is_operator { state.metrics.render() } else { state.metrics.render_for_everybody() };
    Ok(respond::typed(Content::Whole(Bytes::from(figures)), CONTENT_TYPE))
}

pub(super) async fn openapi(call: Call<'_>) -> Result<Response<Content>, Failure> {
    call.log.answers_with_what_is_kept();
    Ok(respond::typed(Content::Whole(Bytes::clone(&call.shared.openapi)), "application/json"))
}
