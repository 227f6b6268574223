//! `GET …/knowledge/namespaces`, `DELETE …/knowledge?namespace=NAME` and `POST …/knowledge/reindex?namespace=NAME`.
//! A namespace is there as long as it holds a document. Which one to delete or to embed anew is always said: there is no default for that.

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use super::knowledge::timely;
use super::page::{AFTER, LIMIT, Page};
use super::{apis, page};
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::operation::{Answer, Media, Operation, Parameter, schema};
use crate::http::respond;
use crate::http::route::Call;
use crate::http::shared::Shared;
use crate::rag::{self, NamespaceState, Progress, ReindexStart, Reindexed};

/// `GET …/knowledge/namespaces`.
pub(super) const LIST: Operation = Operation {
    summary: "List the namespaces of an API that hold documents",
    body: None,
    parameters: &[LIMIT, AFTER],
    answers: &[Answer { status: 200, description: "One page, by name.", contents: &[Media::Json(schema::<Page<Namespace>>)] }],
};

/// `DELETE …/knowledge`.
pub(super) const DELETE: Operation = Operation {
    summary: "Delete every document of a namespace",
    body: None,
    parameters: &[Parameter { name: "namespace", location: "query", description: "Which one; there is no default." }],
    answers: &[Answer { status: 200, description: "All of them are gone.", contents: &[Media::Json(schema::<Cleared<'static>>)] }],
};

/// `POST …/knowledge/reindex`.
pub(super) const REINDEX: Operation = Operation {
    summary: "Embed the documents of a namespace anew, by the embedder that the operator wants for it; the old vectors serve until it is done",
    body: None,
    parameters: &[Parameter { name: "namespace", location: "query", description: "Which one; there is no default." }],
    answers: &[
        Answer {
            status: 200,
            description: "There is nothing to do: its vectors are of that embedder.",
            contents: &[Media::Json(schema::<Begun<'static>>)],
        },
        Answer { status: 202, description: "It has begun.", contents: &[Media::Json(schema::<Begun<'static>>)] },
    ],
};

/// A namespace that holds documents.
#[derive(Serialize, JsonSchema)]
pub(super) struct Namespace {
    /// Its name.
    id: String,
    /// `namespace`
    object: &'static str,
    documents: usize,
    /// The embedder of its vectors: `builtin`, a name from `[rag.embedders]`, or one that stood there once. Null if nobody knows it.
    embedder: Option<String>,
    /// That embedder's model. Null if the vectors are of several.
    model: Option<String>,
    /// The embedder that the operator's file names for it. If it is another one, the namespace waits for a reindex.
    wanted: String,
    /// Whether it can be searched by vectors and takes documents: whether an embedder makes vectors such as it has.
    searchable: bool,
    /// How far it is being embedded anew; null if it is not.
    reindexing: Option<Reindexing>,
}

/// A reindex that is under way, or that failed.
#[derive(Serialize, JsonSchema)]
struct Reindexing {
    /// `waiting`, `running` or `failed`
    status: &'static str,
    /// The embedder of the new vectors.
    embedder: String,
    /// Chunks that have a new vector.
    done: usize,
    /// All chunks, when it began.
    of: usize,
    /// Why it failed; null if it did not. What was embedded is kept for the next one.
    error: Option<String>,
}

/// What became of the wish to embed a namespace anew.
#[derive(Serialize, JsonSchema)]
pub(super) struct Begun<'a> {
    /// The namespace's name.
    id: &'a str,
    /// `namespace`
    object: &'static str,
    /// The embedder that the operator's file names for it, and that now embeds it.
    wanted: &'a str,
    /// How far that is; null if there is nothing to do, or if it is done already.
    reindexing: Option<Reindexing>,
}

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
    let namespaces = found.into_iter().map(shown).collect();
    Ok(respond::json(StatusCode::OK, &asked.of(namespaces, |namespace: &Namespace| &namespace.id)))
}

fn shown(state: NamespaceState) -> Namespace {
    let NamespaceState { name, documents, embedder, model, wanted, searchable, reindexing } = state;
    let [embedder, model] = [embedder, model].map(|text| Some(text).filter(|text| !text.is_empty()));
    let reindexing = reindexing.map(Reindexing::of);
    Namespace { id: name, object: "namespace", documents, embedder, model, wanted, searchable, reindexing }
}

impl Reindexing {
    fn of(Progress { state, embedder, done, of }: Progress) -> Self {
        let (status, error) = match state {
            Reindexed::Waiting => ("waiting", None),
            Reindexed::Running => ("running", None),
            Reindexed::Failed(why) => ("failed", Some(why)),
        };
        Self { status, embedder, done, of, error }
    }
}

pub(super) async fn reindex(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let (shared, namespace) = named(&call, "embedded anew").await?;
    let end = Instant::now() + shared.limits.request_time;
    let knowledge = &shared.state.knowledge;
    let asked = timely(end, knowledge.reindex(&namespace)).await??;
    let status = match asked.ok_or_else(|| Refusal::NoNamespace(namespace.name.as_str().into()))? {
        ReindexStart::Begun => StatusCode::ACCEPTED,
        ReindexStart::NothingToDo => StatusCode::OK,
    };
    let (wanted, reindexing) = (knowledge.wanted(&namespace), knowledge.reindexing(&namespace).map(Reindexing::of));
    Ok(respond::json(status, &Begun { id: &namespace.name, object: "namespace", wanted, reindexing }))
}

/// The namespace that the request names, of an API that is there.
async fn named<'a>(call: &Call<'a>, what: &str) -> Result<(&'a Shared, rag::Namespace), Failure> {
    let named = page::parameters(call.head.uri.query(), &["namespace"])?.pop();
    let missing = || Refusal::field("namespace", format!("is missing; name the namespace whose documents are to be {what}"));
    let (_, name) = named.ok_or_else(missing)?;
    apis::known(call.shared, &call.id).await?;
    Ok((call.shared, rag::Namespace { api: call.id.as_ref().into(), name }))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let (shared, namespace) = named(&call, "deleted").await?;
    let end = Instant::now() + shared.limits.request_time;
    let cleared = timely(end, shared.state.knowledge.clear(&namespace)).await??;
    let documents = cleared.ok_or_else(|| Refusal::NoNamespace(namespace.name.as_str().into()))?;
    Ok(respond::json(StatusCode::OK, &Cleared { id: &namespace.name, object: "namespace", deleted: true, documents }))
}
