//! `GET …/knowledge/documents`, `GET` and `DELETE …/knowledge/documents/{document}`: what an API's knowledge consists of.
//! Invariant: nothing here shows or deletes a document of another API, and none needs a pipeline, because knowledge outlives it.

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use super::knowledge::timely;
use super::page::Deleted;
use super::{apis, page};
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::respond;
use crate::http::route::Call;
use crate::rag::{DocumentInfo, StoredDocument};

/// What is known of a document.
#[derive(Serialize, JsonSchema)]
pub(super) struct Document {
    /// Another one with each upload that changes it, even under the same name.
    id: String,
    /// `document`
    object: &'static str,
    name: String,
    namespace: String,
    chunks: usize,
    /// Of its text.
    bytes: u64,
    /// Of its text, in hex.
    sha256: String,
    /// When it was uploaded, as Unix time in seconds.
    created: u64,
    /// The embedder's, that made the vectors of its chunks.
    model: String,
    title: Option<String>,
    /// What was said of it at its upload.
    metadata: serde_json::Map<String, serde_json::Value>,
}

pub(super) async fn list(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let asked = page::asked(call.head.uri.query(), &["limit", "after", "namespace"])?;
    apis::known(call.shared, &call.id).await?;
    let found = call.shared.state.knowledge.documents(&call.id, asked.namespace.as_deref(), asked.page()).await?;
    let documents = found.into_iter().map(shown).collect();
    Ok(respond::json(StatusCode::OK, &asked.of(documents, |document: &Document| &document.id)))
}

pub(super) async fn get(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let found = call.shared.state.knowledge.document(&call.id, &call.document).await?;
    let document = found.ok_or_else(|| Refusal::NoDocument(call.document.as_ref().into()))?;
    Ok(respond::json(StatusCode::OK, &shown(document)))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let (shared, id) = (call.shared, &*call.document);
    let end = Instant::now() + shared.limits.request_time;
    if !timely(end, shared.state.knowledge.delete(&call.id, id)).await?? {
        return Err(Refusal::NoDocument(id.into()).into());
    }
    Ok(respond::json(StatusCode::OK, &Deleted { id, object: "document", deleted: true }))
}

fn shown(document: StoredDocument) -> Document {
    let StoredDocument { info, namespace, model, chunks } = document;
    let DocumentInfo { id, name, sha256, bytes, created, title, metadata, .. } = info;
    Document { id, object: "document", name, namespace, chunks, bytes, sha256, created, model, title, metadata: metadata.fields().clone() }
}
