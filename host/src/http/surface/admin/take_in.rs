//! `POST /api/v1/gateway/apis/{id}/knowledge/upload`: files are read and what is in them is stored, one after the other, each whole or not at all:
//! before the answer, or of a large upload after it.
//! Invariant: one that is refused does not undo the others, and each one's outcome is told.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::jobs::Job;
use super::knowledge::{api, timely, within};
use super::upload::{self, File, Upload};
use crate::chat::Client;
use crate::chat::codec::to_json;
use crate::http::bodies::Reserved;
use crate::http::body::Content;
use crate::http::echo::cut;
use crate::http::error::{Failure, Refusal};
use crate::http::jobs::{NewJob, Ticket};
use crate::http::operation::{Answer, Media, Operation, Parameter, RequestBody, schema};
use crate::http::request_log::RequestLog;
use crate::http::respond::{self, Envelope, ErrorDetail};
use crate::http::route::Call;
use crate::http::shared::{Shared, State};
use crate::http::taken::{RefusedFile, StoredDocument};
use crate::pipeline;
use crate::rag::{Document, Error, Extracted, Metadata, Namespace, Receipt};

/// Characters of a message, which names what was stored.
const MESSAGE_CHARS: usize = 4_000;

pub(super) const UPLOAD: Operation = Operation {
    summary: "Read files and store what is in them; a document of the same name is replaced",
    body: Some(RequestBody::Multipart(schema::<upload::UploadForm>)),
    parameters: &[Parameter {
        name: "wait",
        location: "query",
        description: "`true`: the answer comes when all is stored. `false`: it comes at once, with a job. By default it depends on the size.",
    }],
    answers: &[
        Answer { status: 200, description: "What was stored.", contents: &[Media::Json(schema::<Stored<'static>>)] },
        Answer { status: 202, description: "It goes on in the background.", contents: &[Media::Json(schema::<Job>)] },
        Answer { status: 4, description: REFUSED, contents: &[Media::Json(schema::<Outcome>)] },
        Answer { status: 5, description: REFUSED, contents: &[Media::Json(schema::<Outcome>)] },
    ],
};

const REFUSED: &str = "A failure; of several files the first one's, with the outcome of each.";

/// What `/upload` answers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Stored<'a> {
    /// `list`
    object: &'static str,
    namespace: &'a str,
    data: Vec<StoredDocument>,
}

/// The answer if some of several files were refused: an error's envelope, which tells of the first of them, and the outcome of each.
#[derive(Serialize, JsonSchema)]
pub(super) struct Mixed<'a> {
    #[schemars(with = "ErrorDetail<'static>")]
    error: Value,
    #[serde(flatten)]
    stored: Stored<'a>,
    errors: Vec<RefusedFile>,
}

/// What is answered if not all is stored.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "each is written by itself; here for the schema of both")]
enum Outcome {
    Mixed(Mixed<'static>),
    Failure(Envelope<'static>),
}

/// When the answer comes, and so what a file waits for.
#[derive(Clone, Copy)]
enum Way {
    /// When all is stored, by then at last.
    Answer(Instant),
    /// At once; a file waits for its place.
    Job(Instant),
}

pub(super) async fn upload(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let shared = call.shared;
    let pipeline = api(shared, &call.id)?;
    let waits = waits(call.head.uri.query())?;
    let client = call.log.client.clone();
    let reserved = Arc::new(Reserved::open(&shared.shares.bodies_bytes, &client));
    call.log.body = Some(Arc::clone(&reserved));
    let uploaded = upload::read(&shared.limits, call.head, call.body, &reserved).await?;
    let namespace = within(&pipeline, uploaded.namespace.clone())?;
    let bytes: usize = uploaded.files.iter().map(|file| file.bytes.len()).sum();
    let ticket = match waits {
        Some(true) => None,
        Some(false) => Some(shared.jobs.take(&client, bytes)?),
        // Who did not ask for a job is answered as ever if there is no room for one.
        None if bytes > shared.limits.background_bytes => shared.jobs.take(&client, bytes).ok(),
        None => None,
    };
    match ticket {
        Some(ticket) => Ok(afterwards(shared, call.log, ticket, namespace, uploaded)),
        None => at_once(shared, &client, &namespace, uploaded).await,
    }
}

/// Whether a client wants to wait, if it says so. Whatever else stands in the query was never looked at.
fn waits(query: Option<&str>) -> Result<Option<bool>, Refusal> {
    let mut said = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).filter(|(name, _)| name == "wait").map(|(_, value)| value);
    match (said.next().as_deref(), said.next()) {
        (None, _) => Ok(None),
        (Some("true"), None) => Ok(Some(true)),
        (Some("false"), None) => Ok(Some(false)),
        _ => Err(Refusal::field("wait", "must be true or false, once")),
    }
}

async fn at_once(shared: &Shared, client: &Client, namespace: &Namespace, uploaded: Upload) -> Result<Response<Content>, Failure> {
    let Upload { files, metadata, .. } = uploaded;
    // One deadline for all files, so that the connection is not kept for longer than one request may take.
    let way = Way::Answer(Instant::now() + shared.limits.request_time);
    let alone = files.len() == 1;
    let mut stored = Stored { object: "list", namespace: &namespace.name, data: Vec::with_capacity(files.len()) };
    let mut refused = Vec::new();
    for file in files {
        let name = file.shown_name();
        match take_in(&shared.state, namespace, file, &metadata, client, way).await {
            Ok(document) => stored.data.push(document),
            Err(failure) if alone => return Err(failure),
            Err(failure) => refused.push((name, failure)),
        }
    }
    Ok(if refused.is_empty() { respond::json(StatusCode::OK, &stored) } else { mixed(stored, refused) })
}

/// Answers, and goes on.
fn afterwards(shared: &Shared, log: &RequestLog, ticket: Ticket, namespace: Namespace, uploaded: Upload) -> Response<Content> {
    let Upload { files, metadata, .. } = uploaded;
    let (state, client, time) = (shared.state.clone(), log.client.clone(), shared.limits.job_time);
    let new = NewJob {
        api: namespace.api.clone(),
        namespace: namespace.name.clone(),
        names: files.iter().map(File::shown_name).collect(),
        request: log.id.clone(),
        tell: |name, failure| respond::refused_file(name, failure).0,
    };
    let job = shared.jobs.start(ticket, new, move |job| async move {
        let way = Way::Job(Instant::now() + time);
        for file in files {
            if job.stopping() {
                return;
            }
            let name = file.shown_name();
            match take_in(&state, &namespace, file, &metadata, &client, way).await {
                Ok(document) => job.stored(document),
                Err(failure) => job.refused(name, &failure),
            }
        }
    });
    respond::json(StatusCode::ACCEPTED, &Job::of(&job))
}

async fn take_in(
    state: &State,
    namespace: &Namespace,
    file: File,
    metadata: &Metadata,
    client: &Client,
    way: Way,
) -> Result<StoredDocument, Failure> {
    let (Way::Answer(end) | Way::Job(end)) = way;
    let added: Result<StoredDocument, Failure> = async {
        let File { name, declared, bytes } = file;
        let name = name?;
        let Extracted { title, kind, markdown, pages } =
            timely(end, state.extractor.extract(&name, declared.as_deref(), bytes, client)).await??;
        let document = Document { title, pages, metadata: metadata.clone(), ..Document::new(name.clone(), kind, markdown) };
        let adding = async {
            match way {
                Way::Answer(_) => state.knowledge.add(namespace, document, client).await,
                Way::Job(_) => state.knowledge.add_in_turn(namespace, document, client).await,
            }
        };
        let Receipt { document_id, chunks, bytes, replaced, unchanged } = timely(end, adding).await??;
        Ok(StoredDocument { id: document_id, object: "document", name, chunks, bytes, replaced, unchanged })
    }
    .await;
    state.metrics.rag_document(outcome(&added));
    match (added, way) {
        (Err(failure), Way::Job(_)) if is_late(&failure) => Err(Refusal::JobSlow.into()),
        (added, _) => added,
    }
}

fn is_late(failure: &Failure) -> bool {
    matches!(failure, Failure::Pipeline(error) if matches!(**error, pipeline::Error::Deadline))
}

/// What became of a document, as a label of the metrics.
fn outcome(added: &Result<StoredDocument, Failure>) -> &'static str {
    match added {
        Ok(document) if document.replaced => "replaced",
        Ok(document) if document.unchanged => "unchanged",
        Ok(_) => "stored",
        Err(Failure::Rag(Error::Busy)) => "busy",
        Err(Failure::Rag(
            Error::DiskFull
            | Error::Embed(_)
            | Error::EmbedderGone { .. }
            | Error::BeingReindexed { .. }
            | Error::Store(_)
            | Error::Index(_)
            | Error::Extractor(_),
        )) => "failed",
        Err(failure) if is_late(failure) => "timeout",
        Err(_) => "refused",
    }
}

/// The answer with the status and the headers of the first failure.
fn mixed(stored: Stored<'_>, refused: Vec<(String, Failure)>) -> Response<Content> {
    let mut first = None;
    let mut errors = Vec::with_capacity(refused.len());
    for (name, failure) in refused {
        let (refused, parts) = respond::refused_file(name, &failure);
        errors.push(refused);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whether_a_client_waits_is_said_once_and_plainly() {
        for (query, said) in [(None, None), (Some("wait=true"), Some(true)), (Some("a=b&wait=false"), Some(false)), (Some("waits=1"), None)] {
            assert_eq!(waits(query), Ok(said), "{query:?}");
        }
        for query in ["wait", "wait=", "wait=1", "wait=TRUE", "wait=true&wait=true"] {
            assert!(matches!(waits(Some(query)), Err(Refusal::Field { param, .. }) if param == "wait"), "{query}");
        }
    }
}
