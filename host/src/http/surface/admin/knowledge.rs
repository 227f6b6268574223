//! `POST /api/v1/gateway/apis/{id}/knowledge/upload`: documents in, and what the knowledge routes share.
//! A namespace that a request leaves open is that of the pipeline's rag stage.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use super::upload::{self, Upload};
use crate::chat::is_name;
use crate::http::bodies::Reserved;
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::respond;
use crate::http::route::Call;
use crate::http::shared::Shared;
use crate::pipeline::{self, Pipeline};
use crate::rag::{self, Namespace, Receipt};

/// What `/upload` answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Stored<'a> {
    /// `list`
    object: &'static str,
    namespace: &'a str,
    data: Vec<StoredDocument>,
}

#[derive(Serialize, JsonSchema)]
struct StoredDocument {
    id: String,
    /// `document`
    object: &'static str,
    name: String,
    chunks: usize,
    /// Of its text.
    bytes: usize,
    /// Whether a document of the same name was there and is gone.
    replaced: bool,
}

/// Stores the files one by one, each whole or not at all; all are checked before the first is stored.
pub(super) async fn upload(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let shared = call.shared;
    let pipeline = api(shared, &call.id)?;
    let reserved = Arc::new(Reserved::open(&shared.shares.bodies_bytes, &call.log.client));
    call.log.body = Some(Arc::clone(&reserved));
    let Upload { namespace, documents } = upload::read(&shared.limits, call.head, call.body, &reserved).await?;
    let namespace = within(&pipeline, namespace)?;
    let mut data = Vec::with_capacity(documents.len());
    let mut stored = Vec::new();
    // One deadline for all files, so that the connection is not kept for longer than one request may take.
    let end = Instant::now() + shared.limits.request_time;
    for document in documents {
        let name = document.name.clone();
        let added = timely(end, shared.state.knowledge.add(&namespace, document, &call.log.client)).await;
        shared.state.metrics.rag_document(outcome(&added));
        match added? {
            Ok(Receipt { document_id, chunks, bytes, replaced }) => {
                data.push(StoredDocument { id: document_id, object: "document", name: name.clone(), chunks, bytes, replaced });
            }
            Err(source) => return Err(Failure::Upload { stored, source }),
        }
        stored.push(name);
    }
    Ok(respond::json(StatusCode::OK, &Stored { object: "list", namespace: &namespace.name, data }))
}

/// What became of a document, as a label of the metrics.
fn outcome(added: &Result<Result<Receipt, rag::Error>, pipeline::Error>) -> &'static str {
    match added {
        Ok(Ok(receipt)) if receipt.replaced => "replaced",
        Ok(Ok(_)) => "stored",
        Ok(Err(rag::Error::Unsupported { .. } | rag::Error::Empty { .. } | rag::Error::TooLarge { .. })) => "refused",
        Ok(Err(rag::Error::Busy)) => "busy",
        Ok(Err(rag::Error::Embed(_) | rag::Error::Store(_) | rag::Error::Index(_))) => "failed",
        Err(_) => "timeout",
    }
}

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
