//! One request's way through the door: its id, its record, its route, leave to come in, a place, the endpoint, the answer.
//! All of it is one future, polled by the connection: nothing is spawned, so hanging up drops everything. Must not know any endpoint's inside.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use tracing::Instrument;

use super::body::{Body, Content};
use super::connection::Busy;
use super::error::{Failure, Refusal};
use super::request_log::RequestLog;
use super::routes::{Access, Endpoint};
use super::server::Shared;
use super::{
    access, chat, embeddings, health, knowledge, models, pipelines, plugins, quota, request_body, respond, responses, routes, run_chat,
    usage,
};
use crate::chat::RequestId;
use crate::chat::is_name;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers one request; there is no other end.
pub(super) async fn answer(shared: Arc<Shared>, busy: Busy, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (head, mut body) = request.into_parts();
    let id = request_id(&head.headers);
    let header = HeaderValue::from_str(&id).expect("letters, digits and `.`, `_`, `-`");
    let mut record = RequestLog::open(shared, id, &head, busy.began);
    let span = record.span.clone();
    let answering = async {
        let dispatched = AssertUnwindSafe(dispatch(&head, &mut body, &mut record)).catch_unwind().await;
        match dispatched.unwrap_or(Err(Failure::Panicked)) {
            Ok(response) => response,
            Err(failure) => {
                if !matches!(failure, Failure::Refused(Refusal::BodySlow)) {
                    request_body::discard(&mut body, &head.headers).await;
                }
                let mut response = respond::failure(&failure);
                run_chat::tell_tries(response.headers_mut(), record.tries.begun());
                response
            }
        }
    };
    let mut response = answering.instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, header);
    if let Some(standing) = record.standing() {
        quota::tell(response.headers_mut(), &standing);
    }
    record.answered(response.status().as_u16());
    let (mut parts, mut content) = response.into_parts();
    if head.method == Method::HEAD
        && let Content::Whole(bytes) = &content
    {
        parts.headers.insert(CONTENT_LENGTH, bytes.len().into());
        content = Content::Over;
    }
    Ok(Response::from_parts(parts, Body::new(content, record, busy)))
}

async fn dispatch(head: &Parts, body: &mut Incoming, record: &mut RequestLog) -> Result<Response<Content>, Failure> {
    let shared = Arc::clone(&record.shared);
    let (endpoint, segment) = routes::find(&head.method, head.uri.path())?;
    record.route = endpoint.name();
    let access = endpoint.access();
    record.caller = access::authorize(access, &shared.keys, head)?;
    if endpoint.metered() {
        record.meter()?;
    }
    if access != Access::Open {
        record.take_place()?;
    }
    // An id with wrong escapes names nothing, like the empty id.
    let id = routes::percent_decoded(segment).unwrap_or_default();
    record.pipeline = is_name(&id).then(|| id.as_str().into());
    // The rare ones are boxed: every request's future is as large as the largest of these.
    match endpoint {
        Endpoint::ChatCompletions => chat::completions(&shared, head, body, record).await,
        Endpoint::Embeddings => Box::pin(embeddings::create(&shared, head, body, record)).await,
        Endpoint::Responses => responses::create(&shared, head, body, record).await,
        Endpoint::Models => Ok(models::list(&shared.state.catalog)),
        Endpoint::Model => models::one(&shared.state.catalog, &id),
        Endpoint::PutPipeline => Box::pin(pipelines::put(&shared, head, body, &id)).await,
        Endpoint::GetPipeline => pipelines::get(&shared.state.catalog, &id),
        Endpoint::Upload => Box::pin(knowledge::upload(&shared, head, body, &id)).await,
        Endpoint::TestKnowledge => Box::pin(knowledge::test(&shared, head, body, &id)).await,
        Endpoint::Usage => Box::pin(usage::report(&shared.state.ledger, head.uri.query())).await,
        Endpoint::Plugins => Ok(plugins::list(&shared.state.registry)),
        Endpoint::Health => Ok(health::alive()),
        Endpoint::Ready => Ok(health::ready(&shared)),
        Endpoint::Metrics => Ok(health::metrics(&shared.state)),
    }
}

/// The client's own id where it is fit for a log line, else a new one that sorts by time.
fn request_id(headers: &HeaderMap) -> RequestId {
    let fit = |id: &&[u8]| (1..=64).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    match headers.get(REQUEST_ID).map(HeaderValue::as_bytes).filter(fit) {
        Some(id) => String::from_utf8_lossy(id).into(),
        None => RequestId::from(&*uuid::Uuid::now_v7().as_hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_request_id_is_kept_and_another_is_replaced() {
        let id = |value: &str| request_id(&HeaderMap::from_iter([(REQUEST_ID, value.parse().expect("a value"))]));
        assert_eq!(&*id("Trace_1.a-b"), "Trace_1.a-b");
        assert_eq!(&*id(&"x".repeat(64)), "x".repeat(64));
        for unfit in ["", "a b", "a/b", &"x".repeat(65)] {
            assert_eq!(id(unfit).len(), 36, "{unfit}");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }
}
