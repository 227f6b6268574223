//! `GET …/knowledge/namespaces` and `DELETE …/knowledge?namespace=NAME`.
//! A namespace is there as long as it holds a document. Which one to delete is always said: there is no default for that.

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use super::knowledge::timely;
use super::{apis, page};
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::operation::{Answer, Media, Operation, Parameter, schema};
use crate::http::respond;
use crate::http::route::Call;
use crate::rag;

/// A namespace that holds documents.
#[derive(Serialize, JsonSchema)]
pub(super) struct Namespace {
    /// Its name.
    id: String,
    /// `namespace`
    object: &'static str,
    documents: usize,
}

pub(super) const DELETE: Operation = Operation {
    summary: "Delete every document of a namespace",
    body: None,
    parameters: &[Parameter { name: "namespace", location: "query", description: "Which one; there is no default." }],
    answers: &[Answer { status: 200, description: "All of them are gone.", contents: &[Media::Json(schema::<Cleared<'static>>)] }],
};

/// That all documents of a namespace are gone.
#[derive(Serialize, JsonSchema)]
pub(super) struct Cleared<'a> {
    /// The namespace's name.
    id: &'a str,
    /// `namespace`
    object: &'static str,
    /// `true`
    deleted: bool,
    /// How many there were.
    documents: usize,
}

pub(super) async fn list(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let asked = page::asked(call.head.uri.query(), &["limit", "after"])?;
    apis::known(call.shared, &call.id).await?;
    let found = call.shared.state.knowledge.namespaces(&call.id, asked.page()).await?;
    let shown = |rag::NamespaceInfo { name, documents }| Namespace { id: name, object: "namespace", documents };
    let namespaces = found.into_iter().map(shown).collect();
    Ok(respond::json(StatusCode::OK, &asked.of(namespaces, |namespace: &Namespace| &namespace.id)))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let shared = call.shared;
    let named = page::parameters(call.head.uri.query(), &["namespace"])?.pop();
    let (_, name) = named.ok_or_else(|| Refusal::field("namespace", "is missing; name the namespace whose documents are to be deleted"))?;
    apis::known(shared, &call.id).await?;
    let namespace = rag::Namespace { api: call.id.as_ref().into(), name };
    let end = Instant::now() + shared.limits.request_time;
    let cleared = timely(end, shared.state.knowledge.clear(&namespace)).await??;
    let documents = cleared.ok_or_else(|| Refusal::NoNamespace(namespace.name.as_str().into()))?;
    Ok(respond::json(StatusCode::OK, &Cleared { id: &namespace.name, object: "namespace", deleted: true, documents }))
}
