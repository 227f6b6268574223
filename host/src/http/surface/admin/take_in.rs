//! `POST /api/v1/gateway/apis/{id}/knowledge/upload`: files are read and what is in them is stored, one after the other, each whole or not at all.
//! Invariant: one that is refused does not undo the others, and each one's outcome is told.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::knowledge::{api, timely, within};
use super::upload::{self, File, Upload};
use crate::chat::Client;
use crate::chat::codec::to_json;
use crate::http::bodies::Reserved;
use crate::http::body::Content;
use crate::http::echo::cut;
use crate::http::error::Failure;
use crate::http::respond::{self, openai_envelope};
use crate::http::route::Call;
use crate::http::shared::Shared;
use crate::pipeline;
use crate::rag::{Document, Error, Extracted, Metadata, Namespace, Receipt};

/// Characters of a message, which names what was stored.
const MESSAGE_CHARS: usize = 4_000;

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

/// The answer if some of several files were refused: an error's envelope, which tells of the first of them, and the outcome of each.
#[derive(Serialize)]
struct Mixed<'a> {
    error: Value,
    #[serde(flatten)]
    stored: Stored<'a>,
    errors: Vec<RefusedFile>,
}

#[derive(Serialize)]
struct RefusedFile {
    name: String,
    /// The answer's, had the file come alone.
    status: u16,
    error: Value,
}

pub(super) async fn upload(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let shared = call.shared;
    let pipeline = api(shared, &call.id)?;
    let reserved = Arc::new(Reserved::open(&shared.shares.bodies_bytes, &call.log.client));
    call.log.body = Some(Arc::clone(&reserved));
    let Upload { namespace, files, metadata } = upload::read(&shared.limits, call.head, call.body, &reserved).await?;
    let namespace = within(&pipeline, namespace)?;
    // One deadline for all files, so that the connection is not kept for longer than one request may take.
    let end = Instant::now() + shared.limits.request_time;
    let alone = files.len() == 1;
    let mut stored = Stored { object: "list", namespace: &namespace.name, data: Vec::with_capacity(files.len()) };
    let mut refused = Vec::new();
    for file in files {
        let name = file.shown_name();
        let taken = match take_in(shared, &namespace, file, &metadata, &call.log.client, end).await {
            Err(failure) if alone => return Err(failure),
            taken => taken,
        };
        match taken {
            Ok(document) => stored.data.push(document),
            Err(failure) => refused.push((name, failure)),
        }
    }
    Ok(if refused.is_empty() { respond::json(StatusCode::OK, &stored) } else { mixed(stored, refused) })
}

async fn take_in(
    shared: &Shared,
    namespace: &Namespace,
    file: File,
    metadata: &Metadata,
    client: &Client,
    end: Instant,
) -> Result<StoredDocument, Failure> {
    let added: Result<StoredDocument, Failure> = async {
        let File { name, declared, bytes } = file;
        let name = name?;
        let extractor = &shared.state.extractor;
        let Extracted { title, kind, markdown, pages } =
            timely(end, extractor.extract(&name, declared.as_deref(), bytes, client)).await??;
        let document = Document { title, pages, metadata: metadata.clone(), ..Document::new(name.clone(), kind, markdown) };
        let Receipt { document_id, chunks, bytes, replaced } =
            timely(end, shared.state.knowledge.add(namespace, document, client)).await??;
        Ok(StoredDocument { id: document_id, object: "document", name, chunks, bytes, replaced })
    }
    .await;
    shared.state.metrics.rag_document(outcome(&added));
    added
}

/// What became of a document, as a label of the metrics.
fn outcome(added: &Result<StoredDocument, Failure>) -> &'static str {
    match added {
        Ok(document) if document.replaced => "replaced",
        Ok(_) => "stored",
        Err(Failure::Rag(Error::Busy)) => "busy",
        Err(Failure::Rag(
            Error::Embed(_)
            | Error::EmbedderGone { .. }
            | Error::BeingReindexed { .. }
            | Error::Store(_)
            | Error::Index(_)
            | Error::Extractor(_),
        )) => "failed",
        Err(Failure::Pipeline(error)) if matches!(**error, pipeline::Error::Deadline) => "timeout",
        Err(_) => "refused",
    }
}

/// The answer with the status and the headers of the first failure.
fn mixed(stored: Stored<'_>, refused: Vec<(String, Failure)>) -> Response<Content> {
    let mut first = None;
    let mut errors = Vec::with_capacity(refused.len());
    for (name, failure) in refused {
        let (response, _) = respond::failure(&failure, openai_envelope);
        let (parts, content) = response.into_parts();
        let Content::Whole(body) = content else { unreachable!("an error is written whole") };
        let error = serde_json::from_slice::<Value>(&body).map(|mut body| body["error"].take()).unwrap_or_default();
        errors.push(RefusedFile { name, status: parts.status.as_u16(), error });
        first.get_or_insert(parts);
    }
    let mut error = errors.first().map(|refused| refused.error.clone()).unwrap_or_default();
    let (count, of) = (errors.len(), errors.len() + stored.data.len());
    let names: Vec<&str> = stored.data.iter().map(|document| document.name.as_str()).collect();
    let kept = if names.is_empty() { "none is stored".to_owned() } else { format!("stored are {}", names.join(", ")) };
    let message = format!(
        "{}; {count} of {of} files were refused, each of which `errors` names, and {kept}",
        error["message"].as_str().unwrap_or_default()
    );
    error["message"] = cut(&message, MESSAGE_CHARS).into();
    let body = to_json(&Mixed { error, stored, errors });
    Response::from_parts(first.expect("at least one file was refused"), Content::Whole(body))
}
