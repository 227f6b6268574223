//! What the knowledge routes share: which pipeline and which namespace a request means, and how long its work may take.
//! A namespace that a request leaves open is that of the pipeline's rag stage.

use std::sync::Arc;

use tokio::time::Instant;

use crate::chat::is_name;
use crate::http::error::Refusal;
use crate::http::shared::Shared;
use crate::pipeline::{self, Pipeline};
use crate::rag::Namespace;

/// Bounds work that has no deadline of its own.
pub(super) async fn timely<T>(end: Instant, work: impl Future<Output = T>) -> Result<T, pipeline::Error> {
    tokio::time::timeout_at(end, work).await.map_err(|_| pipeline::Error::Deadline)
}

pub(super) fn api(shared: &Shared, id: &str) -> Result<Arc<Pipeline>, Refusal> {
    shared.state.catalog.get(id).ok_or_else(|| Refusal::NoApi(id.into()))
}

/// The namespace that was named, else the rag stage's, else `default`.
pub(super) fn within(pipeline: &Pipeline, named: Option<String>) -> Result<Namespace, Refusal> {
    let stage = pipeline.definition.rag.as_ref().map(|stage| stage.namespace.clone());
    let name = named.or(stage).unwrap_or_else(|| "default".into());
    if !is_name(&name) {
        return Err(Refusal::field("namespace", "must be 1 to 64 letters, digits, `-`, `_` or `.`"));
    }
    Ok(Namespace { api: pipeline.id.to_string(), name })
}
