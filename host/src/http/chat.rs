//! `POST /v1/chat/completions`: the body becomes an exchange, the pipeline runs, its reply becomes bytes.
//! Parsed once, here; a reply that nobody read is not parsed at all. Must not know the stages.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use super::body::Content;
use super::error::{Failure, Refusal};
use super::record::Record;
use super::server::Shared;
use super::{intake, respond, toggles};
use crate::chat::codec::{self, ChatRequest};
use crate::chat::{Deadline, Exchange, Metadata, Reply, Whole};
use crate::pipeline::Outcome;

const PROVIDER: HeaderName = HeaderName::from_static("x-cofferdam-provider");
const MODEL: HeaderName = HeaderName::from_static("x-cofferdam-model");
const ATTEMPTS: HeaderName = HeaderName::from_static("x-cofferdam-attempts");
const SKIPPED: HeaderName = HeaderName::from_static("x-cofferdam-skipped");
/// Tells nginx and its kin to pass events on as they come.
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(super) async fn completions(
    shared: &Shared,
    head: &Parts,
    body: &mut Incoming,
    record: &mut Record,
) -> Result<Response<Content>, Failure> {
    let limits = &shared.limits;
    intake::expect_json(&head.headers)?;
    let bytes = intake::collect(body, limits.body_bytes, "limits.http.body_bytes", limits.body_time).await?;
    let ChatRequest { model, messages, stream, toggles, params } = codec::parse_request(&bytes)?;
    drop(bytes);
    let Some(pipeline) = shared.state.catalog.named(&model) else {
        return Err(Refusal::NoModel(model).into());
    };
    record.pipeline = Some(Arc::clone(&pipeline.id));
    let toggles = toggles::read(toggles.as_ref(), &head.headers)?;
    let exchange = Exchange {
        id: Arc::clone(&record.id),
        caller: record.caller.clone(),
        pipeline: Arc::clone(&pipeline.id),
        deadline: Deadline::after(limits.request_time.saturating_sub(record.began.elapsed())),
        stream,
        model: None,
        messages,
        params,
        metadata: Metadata::new(),
        hits: Vec::new(),
        skipped: Vec::new(),
        attempt: 0,
    };
    let outcome = shared.state.runner.run(&pipeline, toggles, exchange).await?;
    Ok(response(outcome, stream))
}

/// The reply's form follows what was asked for; the pipeline sees to that.
fn response(outcome: Outcome, stream: bool) -> Response<Content> {
    let Outcome { reply, answered_by, attempts, skipped } = outcome;
    debug_assert_eq!(stream, !matches!(reply, Reply::Whole(_)), "a reply has the form that was asked for");
    let (content, media) = match reply {
        Reply::Whole(Whole::Raw(bytes)) => (Content::Whole(bytes), "application/json"),
        Reply::Whole(Whole::Parsed(completion)) => (Content::Whole(codec::to_json(&completion)), "application/json"),
        Reply::PassThrough(pieces) => (Content::PassThrough(pieces), "text/event-stream"),
        Reply::Chunks(pieces) => (Content::Chunks(pieces), "text/event-stream"),
    };
    let mut response = respond::typed(content, media);
    let headers = response.headers_mut();
    if media == "text/event-stream" {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(BUFFERING, HeaderValue::from_static("no"));
    }
    if let Some((provider, model)) = answered_by {
        name(headers, PROVIDER, provider);
        name(headers, MODEL, model);
    }
    if attempts > 0 {
        headers.insert(ATTEMPTS, attempts.into());
    }
    if !skipped.is_empty() {
        name(headers, SKIPPED, skipped.join(", "));
    }
    response
}

/// A header of a name out of a configuration; one that no header can hold is left out, for it would only be a hint.
fn name(headers: &mut HeaderMap, header: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
        headers.insert(header, value);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use hyper::header::CONTENT_TYPE;

    use super::*;

    fn outcome(reply: Reply) -> Outcome {
        Outcome { reply, answered_by: Some(("openai".into(), "gpt-4o".into())), attempts: 2, skipped: vec!["a".into(), "b".into()] }
    }

    #[test]
    fn a_whole_reply_is_json_and_says_who_answered() {
        let response = response(outcome(Reply::Whole(Whole::Raw(Bytes::from_static(b"{}")))), false);
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().expect("ASCII"));
        assert_eq!(header(CONTENT_TYPE.as_str()), Some("application/json"));
        assert_eq!(header("x-cofferdam-provider"), Some("openai"));
        assert_eq!(header("x-cofferdam-model"), Some("gpt-4o"));
        assert_eq!(header("x-cofferdam-attempts"), Some("2"));
        assert_eq!(header("x-cofferdam-skipped"), Some("a, b"));
        assert_eq!(header("cache-control"), None);
    }

    #[test]
    fn a_streamed_reply_is_events_that_no_proxy_holds_back() {
        let response = response(outcome(Reply::Chunks(Box::pin(stream::empty()))), true);
        let header = |name: &str| response.headers().get(name).map(|v| v.to_str().expect("ASCII"));
        assert_eq!(header(CONTENT_TYPE.as_str()), Some("text/event-stream"));
        assert_eq!((header("cache-control"), header("x-accel-buffering")), (Some("no-cache"), Some("no")));
    }
}
