//! `GET …/knowledge/jobs` and `…/knowledge/jobs/{job}`: uploads that go on in the background, and those that have ended lately.
//! Invariant: nobody learns of another client's job, nor of one of another API, not even that it is there.

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::page::{AFTER, LIMIT, Page};
use super::{apis, page};
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::jobs::{self, Standing};
use crate::http::operation::{Answer, Media, Operation, schema};
use crate::http::respond;
use crate::http::route::Call;
use crate::http::taken::{RefusedFile, StoredDocument};

pub(super) const LIST: Operation = Operation {
    summary: "List your uploads to an API that go on in the background, or have ended lately",
    body: None,
    parameters: &[LIMIT, AFTER],
    answers: &[Answer {
        status: 200,
        description: "One page, in the order in which they came.",
        contents: &[Media::Json(schema::<Page<Job>>)],
    }],
};

pub(super) const GET: Operation = Operation {
    summary: "Show what became of the files of an upload in the background",
    body: None,
    parameters: &[],
    answers: &[Answer { status: 200, description: "It.", contents: &[Media::Json(schema::<Job>)] }],
};

/// An upload that goes on after its answer.
#[derive(Serialize, JsonSchema)]
pub(super) struct Job {
    pub(super) id: String,
    /// `job`
    object: &'static str,
    /// `queued`, `in_progress`, `completed` if every file is stored, `failed` if one of them is not
    status: &'static str,
    namespace: String,
    /// When it came, as Unix time in seconds.
    created: u64,
    /// When it ended; null before.
    finished: Option<u64>,
    files: jobs::Counts,
    /// What is stored, if one job was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Vec<StoredDocument>>,
    /// What was refused, if one job was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<RefusedFile>>,
}

impl Job {
    pub(super) fn of(job: &jobs::Job) -> Self {
        let Standing { status, finished, counts, stored, refused } = job.standing();
        let (id, namespace, created) = (job.id.clone(), job.namespace.clone(), job.created);
        Self { id, object: "job", status, namespace, created, finished, files: counts, data: Some(stored), errors: Some(refused) }
    }

    fn in_list(job: &jobs::Job) -> Self {
        Self { data: None, errors: None, ..Self::of(job) }
    }
}

pub(super) async fn list(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let asked = page::asked(call.head.uri.query(), &["limit", "after"])?;
    let found = call.shared.jobs.page(&call.id, &call.log.client, &asked.after, asked.page().count);
    if found.is_empty() {
        apis::known(call.shared, &call.id).await?;
    }
    let jobs = found.iter().map(|job| Job::in_list(job)).collect();
    Ok(respond::json(StatusCode::OK, &asked.of(jobs, |job: &Job| &job.id)))
}

pub(super) async fn get(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let found = call.shared.jobs.find(&call.id, &call.log.client, &call.document);
    let job = found.ok_or_else(|| Refusal::NoJob(call.document.as_ref().into()))?;
    Ok(respond::json(StatusCode::OK, &Job::of(&job)))
}
