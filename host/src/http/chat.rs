//! `POST /v1/chat/completions`: the body becomes a request, the pipeline runs, its reply becomes bytes.
//! Parsed once, here; a reply that nobody read is not parsed at all. Must not know the stages.

use hyper::Response;
use hyper::body::Incoming;
use hyper::http::request::Parts;

use super::body::Content;
use super::error::Failure;
use super::request_log::RequestLog;
use super::run_chat;
use super::shared::Shared;
use crate::chat::codec;
use crate::chat::{Reply, Whole};

pub(super) async fn completions(
    shared: &Shared,
    head: &Parts,
    body: &mut Incoming,
    record: &mut RequestLog,
) -> Result<Response<Content>, Failure> {
    let request = codec::parse_request(&run_chat::body(shared, head, body).await?)?;
    let outcome = run_chat::run(shared, &head.headers, record, request).await?;
    run_chat::response(outcome, |reply, _| Ok(content(reply)))
}

/// The reply's form follows what was asked for; the pipeline sees to that.
fn content(reply: Reply) -> Content {
    match reply {
        Reply::Whole(Whole::Raw(bytes)) => Content::Whole(bytes),
        Reply::Whole(Whole::Parsed(completion)) => Content::Whole(codec::to_json(&completion)),
        Reply::PassThrough(pieces) => Content::PassThrough(pieces),
        Reply::Chunks(pieces) => Content::Chunks(pieces),
    }
}
