//! What can go wrong with one request. Nothing here knows a status code: `respond/table.rs` maps each failure to one.

use std::sync::Arc;

use super::echo::Echo;
use super::reload::ReloadError;
use crate::chat::codec::Invalid;
use crate::sandbox::DeployError;
use crate::sandbox::settings::ChangeError;
use crate::{ledger, pipeline, rag};

/// Why a request got no answer of its own.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Refused(Refusal),
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Boxed because every handler's result is as large as the largest failure.
    #[error(transparent)]
    Pipeline(Box<pipeline::Error>),
    #[error(transparent)]
    Put(#[from] pipeline::PutError),
    #[error(transparent)]
    Rag(#[from] rag::Error),
    #[error(transparent)]
    Plugin(#[from] DeployError),
    #[error(transparent)]
    Ledger(#[from] ledger::Error),
    #[error(transparent)]
    Settings(#[from] ChangeError),
    #[error(transparent)]
    Reload(#[from] ReloadError),
    /// A panic of ours, caught so that others on the connection go on.
    #[error("the handler panicked")]
    Panicked,
}

/// What is refused before a pipeline or a store has a say.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("there is nothing at {path}; GET /v1/models lists the models, POST /v1/chat/completions talks to one")]
    NotFound { path: String },
    #[error("{path} does not take that method; it takes {allow}")]
    Method { path: String, allow: String },
    #[error("no API key was given; send `authorization: Bearer KEY`")]
    NoKey,
    #[error("the API key is not valid")]
    WrongKey,
    #[error("this key is a client key; the routes under /api need an admin key")]
    NotAdmin,
    #[error("this key is a client key; plugins and their settings need the key of `[surfaces.pipelines]` or an admin key")]
    NotManager,
    #[error("the routes under /api need an admin key and none is configured; add one under `[keys]` in the operator's file")]
    NoAdminKeys,
    #[error(
        "without keys the server answers only to loopback names, not to `{0}`; call it as 127.0.0.1 or localhost, or configure `[keys]`"
    )]
    ForeignHost(String),
    #[error("without keys the server takes no requests from pages of other sites (`{0}`); configure `[keys]`")]
    ForeignOrigin(String),
    #[error("the server has as many requests as it can take, or as many of yours (`{key}`); try again shortly")]
    Overloaded { key: &'static str },
    #[error("as many uploads go on in the background as may, or as many of yours (`{key}`); send it again later, or with `?wait=true`")]
    JobsFull { key: &'static str },
    /// A file of an upload in the background.
    #[error("the upload did not end in time (`limits.http.job_time`)")]
    JobSlow,
    /// The next server may have what the server keeps by now.
    #[error("the server is about to stop and changes nothing any more; send it again, on a new connection")]
    Stopping,
    #[error(transparent)]
    RateLimited(ledger::Refused),
    #[error("the head of the request is larger than {limit} bytes (`limits.http.header_bytes`)")]
    HeadTooLarge { limit: usize },
    #[error("the body is larger than {limit} bytes (`{key}`)")]
    BodyTooLarge { limit: usize, key: &'static str },
    #[error("the body did not arrive in time (`limits.http.body_time`)")]
    BodySlow,
    #[error("the body ended before its end")]
    BodyBroken,
    #[error("the body's type is `{got}`; send `content-type: {want}`")]
    ContentType { got: String, want: &'static str },
    #[error("the body's encoding is `{0}`; send it uncompressed, or as gzip or zstd where a body is JSON or documents")]
    ContentEncoding(String),
    /// A field or a header is invalid.
    #[error("{param}: {message}")]
    Field { param: String, message: String },
    #[error("there is no model `{0}`; GET /v1/models lists the ids")]
    NoModel(Echo),
    #[error("there is no model `{0}` for embeddings; the operator names them under `[[embeddings]]`")]
    NoEmbedding(Echo),
    #[error("there is no API `{0}`; PUT /api/v1/gateway/apis/{0}/pipeline makes it")]
    NoApi(Echo),
    /// Nothing has that id: no pipeline and no document.
    #[error("there is no API `{0}`; GET /api/v1/gateway/apis lists them")]
    NoSuchApi(Echo),
    #[error("the API has no document `{0}`; GET /api/v1/gateway/apis/ID/knowledge/documents lists them")]
    NoDocument(Echo),
    #[error("the API has no documents in a namespace `{0}`; GET /api/v1/gateway/apis/ID/knowledge/namespaces lists them")]
    NoNamespace(Echo),
    /// It may be another client's, too.
    #[error(
        "the API has no job `{0}` of yours; one that has ended is remembered for `limits.http.jobs_kept_time` at most, and none longer than the server runs"
    )]
    NoJob(Echo),
    #[error("the multipart body cannot be read: {0}")]
    Multipart(Echo),
    /// Neither a filter nor a pipe.
    #[error("there is no pipeline `{0}`; GET /pipelines lists them")]
    NoPipe(Echo),
    #[error("the pipeline `{0}` has no valves")]
    NoValves(Echo),
    /// A filter that answers in place of the model, where no answer can be given.
    #[error("{0}")]
    Answered(String),
    #[error(
        "{what} is no WebAssembly component. Pipelines are components here: a Python one is built with componentize-py, which docs/open-webui.md shows; send the `.wasm`, also under a name that ends in `.wasm.py`"
    )]
    NoComponent { what: Echo },
    #[error("the component cannot be fetched: {0}")]
    NotFetched(String),
    #[error("the component cannot be fetched in time (`surfaces.pipelines.fetch_time`)")]
    FetchSlow,
    #[error("`{name}` is not UTF-8: byte {at} starts no character")]
    NotUtf8 { name: Echo, at: usize },
}

impl Failure {
    /// The plugin that rejected the request, or that failed it.
    pub(super) fn plugin(&self) -> Option<&Arc<str>> {
        let Self::Pipeline(error) = self else { return None };
        match &**error {
            pipeline::Error::Rejected { plugin, .. } => Some(plugin),
            pipeline::Error::Fault(fault) => Some(&fault.plugin),
            _ => None,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<pipeline::Error> for Failure {
    fn from(error: pipeline::Error) -> Self {
        Self::Pipeline(Box::new(error))
    }
}

impl Refusal {
    /// A field that is invalid; the message goes after its name.
    pub(super) fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Field { param: Echo::from(param.into()).into(), message: message.into() }
    }
}
