//! `POST /api/v1/gateway/apis/{id}/knowledge/upload`: files are read and what is in them is stored, one after the other, each whole or not at all:
//! before the answer, or of a large upload after it. Files are read before it is decided, so that one that is refused alone is refused at once.
//! Invariant: one that is refused does not undo the others, and each one's outcome is told.

use std::collections::VecDeque;
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

/// Who puts documents where.
#[derive(Clone)]
struct Taking {
    state: State,
    namespace: Namespace,
    metadata: Metadata,
    client: Client,
}

/// A file that was read.
struct Read {
    name: String,
    extracted: Extracted,
}

/// An upload on its way.
struct Progress {
    names: Vec<String>,
    stored: Vec<StoredDocument>,
    refused: Vec<(String, Failure)>,
    /// Read and not yet stored.
    at_hand: Option<Read>,
    files: VecDeque<File>,
}

pub(super) async fn upload(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let shared = call.shared;
    let pipeline = api(shared, &call.id)?;
    let waits = waits(call.head.uri.query())?;
    let client = call.log.client.clone();
    let reserved = Arc::new(Reserved::open(&shared.shares.bodies_bytes, &client));
    call.log.body = Some(Arc::clone(&reserved));
    let Upload { namespace, files, metadata } = upload::read(&shared.limits, call.head, call.body, &reserved).await?;
    let namespace = within(&pipeline, namespace)?;
    let taking = Taking { state: shared.state.clone(), namespace, metadata, client };
    let names = files.iter().map(File::shown_name).collect();
    let progress = Progress { names, stored: Vec::new(), refused: Vec::new(), at_hand: None, files: files.into() };
    if waits == Some(false) {
        let ticket = shared.jobs.take(&taking.client, progress.bytes())?;
        return Ok(afterwards(shared, call.log, ticket, taking, progress));
    }
    at_once(shared, call.log, taking, progress, waits.is_none()).await
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

/// Answers when all is stored, or as soon as the texts have come to more than goes before the answer, if `may_go_on` allows that.
async fn at_once(
    shared: &Shared,
    log: &RequestLog,
    taking: Taking,
    mut progress: Progress,
    may_go_on: bool,
) -> Result<Response<Content>, Failure> {
    // One deadline for all files, so that the connection is not kept for longer than one request may take.
    let way = Way::Answer(Instant::now() + shared.limits.request_time);
    let (alone, mut texts) = (progress.files.len() == 1, 0);
    while let Some(file) = progress.files.pop_front() {
        let name = file.shown_name();
        let taken = match taking.read(file, way).await {
            Ok(read) => {
                texts += read.extracted.markdown.len();
                if may_go_on && texts > shared.limits.background_bytes {
                    progress.at_hand = Some(read);
                    // Who did not ask for a job is answered as ever if there is no room for one.
                    if let Ok(ticket) = shared.jobs.take(&taking.client, progress.bytes()) {
                        return Ok(afterwards(shared, log, ticket, taking, progress));
                    }
                    taking.store(progress.at_hand.take().expect("it was put there"), way).await
                } else {
                    taking.store(read, way).await
                }
            }
            Err(failure) => Err(failure),
        };
        match taken {
            Ok(document) => progress.stored.push(document),
            Err(failure) if alone => return Err(failure),
            Err(failure) => progress.refused.push((name, failure)),
        }
    }
    let stored = Stored { object: "list", namespace: &taking.namespace.name, data: progress.stored };
    Ok(if progress.refused.is_empty() { respond::json(StatusCode::OK, &stored) } else { mixed(stored, progress.refused) })
}

/// Answers, and goes on.
fn afterwards(shared: &Shared, log: &RequestLog, ticket: Ticket, taking: Taking, progress: Progress) -> Response<Content> {
    let Progress { names, stored, refused, at_hand, files } = progress;
    let time = shared.limits.job_time;
    let new = NewJob {
        api: taking.namespace.api.clone(),
        namespace: taking.namespace.name.clone(),
        names,
        stored,
        refused: refused.into_iter().map(|(name, failure)| respond::refused_file(name, &failure).0).collect(),
        request: log.id.clone(),
        tell: |name, failure| respond::refused_file(name, failure).0,
    };
    let job = shared.jobs.start(ticket, new, move |job| async move {
        let way = Way::Job(Instant::now() + time);
        let told = |name: String, taken: Result<StoredDocument, Failure>| match taken {
            Ok(document) => job.stored(document),
            Err(failure) => job.refused(name, &failure),
        };
        if let Some(read) = at_hand {
            told(read.name.clone(), taking.store(read, way).await);
        }
        for file in files {
            if job.stopping() {
                return;
            }
            let name = file.shown_name();
            let taken = match taking.read(file, way).await {
                Ok(read) => taking.store(read, way).await,
                Err(failure) => Err(failure),
            };
            told(name, taken);
        }
    });
    respond::json(StatusCode::ACCEPTED, &Job::of(&job))
}

impl Progress {
    /// What is left to do holds so much.
    fn bytes(&self) -> usize {
        let files = self.files.iter().map(|file| file.bytes.len());
        files.chain(self.at_hand.iter().map(|read| read.extracted.markdown.len())).sum()
    }
}

impl Taking {
    async fn read(&self, file: File, way: Way) -> Result<Read, Failure> {
        let read: Result<Read, Failure> = async {
            let File { name, declared, bytes } = file;
            let name = name?;
            let extracting = self.state.extractor.extract(&name, declared.as_deref(), bytes, &self.client);
            let extracted = timely(way.end(), extracting).await??;
            Ok(Read { name, extracted })
        }
        .await;
        read.map_err(|failure| self.refused(failure, way))
    }

    async fn store(&self, Read { name, extracted }: Read, way: Way) -> Result<StoredDocument, Failure> {
        let Extracted { title, kind, markdown, pages } = extracted;
        let document = Document { title, pages, metadata: self.metadata.clone(), ..Document::new(name.clone(), kind, markdown) };
        let adding = async {
            let knowledge = &self.state.knowledge;
            match way {
                Way::Answer(_) => knowledge.add(&self.namespace, document, &self.client).await,
                Way::Job(_) => knowledge.add_in_turn(&self.namespace, document, &self.client).await,
            }
        };
        let added = timely(way.end(), adding).await.map_err(Failure::from).and_then(|added| added.map_err(Failure::from));
        let Receipt { document_id, chunks, bytes, replaced, unchanged } = added.map_err(|failure| self.refused(failure, way))?;
        let outcome = if replaced {
            "replaced"
        } else if unchanged {
            "unchanged"
        } else {
            "stored"
        };
        self.state.metrics.rag_document(outcome);
        Ok(StoredDocument { id: document_id, object: "document", name, chunks, bytes, replaced, unchanged })
    }

    /// Counts it, and says it as the answer, or the job, has to.
    fn refused(&self, failure: Failure, way: Way) -> Failure {
        self.state.metrics.rag_document(outcome(&failure));
        match way {
            Way::Job(_) if is_late(&failure) => Refusal::JobSlow.into(),
            Way::Job(_) | Way::Answer(_) => failure,
        }
    }
}

impl Way {
    fn end(self) -> Instant {
        let (Self::Answer(end) | Self::Job(end)) = self;
        end
    }
}

fn is_late(failure: &Failure) -> bool {
    matches!(failure, Failure::Pipeline(error) if matches!(**error, pipeline::Error::Deadline))
}

/// Why a document was not taken, as a label of the metrics.
fn outcome(failure: &Failure) -> &'static str {
    match failure {
        Failure::Rag(Error::Busy) => "busy",
        Failure::Rag(
            Error::DiskFull
            | Error::Embed(_)
            | Error::EmbedderGone { .. }
            | Error::BeingReindexed { .. }
            | Error::Store(_)
            | Error::Index(_)
            | Error::Extractor(_),
        ) => "failed",
        failure if is_late(failure) => "timeout",
        _ => "refused",
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
        for (query, said) in [(None, None), (Some("wait=true"), Some(true)), (Some("a=b&wait=false"), Some(false)), (Some("waits=1"), None)]
        {
            assert_eq!(waits(query), Ok(said), "{query:?}");
        }
        for query in ["wait", "wait=", "wait=1", "wait=TRUE", "wait=true&wait=true"] {
            assert!(matches!(waits(Some(query)), Err(Refusal::Field { param, .. }) if param == "wait"), "{query}");
        }
    }
}
