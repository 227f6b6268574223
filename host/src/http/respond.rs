//! Answers in their wire form, and the one place where a failure becomes a status: `table` maps, this file writes and logs.
//! Detail that is the operator's business goes to the log under the request's id; the client gets what it can act on. Must not decide anything
//! about a request that went well.

mod table;

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::body::Content;
use super::error::{Failure, Refusal};
use crate::chat::codec::to_json;
use crate::telemetry::chain;

/// OpenAI's clients obey it before their own rules on statuses.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

type Text = Cow<'static, str>;

/// A failure as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ErrorResponse {
    status: u16,
    /// `type` in the envelope.
    kind: Text,
    code: Text,
    param: Option<Text>,
    message: Text,
    /// Seconds.
    retry_after: Option<u64>,
    /// The same request would fail the same way; a client library that tries again on 5xx is told not to.
    hopeless: bool,
}

/// OpenAI's error envelope; all four keys are always there.
#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    r#type: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

/// A whole answer of that media type, 200.
pub(super) fn typed(content: Content, media: &'static str) -> Response<Content> {
    let mut response = Response::new(content);
    // As many as a chat reply has, so that the map never grows.
    *response.headers_mut() = HeaderMap::with_capacity(8);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response<Content> {
    let mut response = typed(Content::Whole(to_json(value)), "application/json");
    *response.status_mut() = status;
    response
}

/// The answer to a request that failed; what the server or a provider is to blame for is logged here, where it stops travelling.
pub(super) fn failure(failure: &Failure) -> Response<Content> {
    let response = table::response(failure);
    if response.status >= 500 && !matches!(failure, Failure::Refused(_)) {
        tracing::warn!(status = response.status, code = %response.code, "the request failed: {}", chain(failure));
    }
    let mut response = envelope(&response);
    let headers = response.headers_mut();
    match failure {
        Failure::Refused(Refusal::Method { allow, .. }) => {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        Failure::Refused(Refusal::NoKey | Refusal::WrongKey) => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}

fn envelope(error: &ErrorResponse) -> Response<Content> {
    let ErrorResponse { kind, code, param, message, .. } = error;
    let body: Bytes = to_json(&Envelope { error: Inner { message, r#type: kind, param: param.as_deref(), code } });
    let mut response = typed(Content::Whole(body), "application/json");
    *response.status_mut() = StatusCode::from_u16(error.status).expect("the table and a rejection's status hold 400 to 599");
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    if error.hopeless {
        response.headers_mut().insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}

#[cfg(test)]
mod tests;
