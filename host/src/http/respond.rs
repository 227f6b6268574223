//! Answers in their wire form. A failure is mapped by `table`, the one place that knows statuses, and written by its surface's encoder.
//! Detail that is the operator's business goes to the log under the request's id; the client gets what it can act on.

pub(super) mod error_response;
mod table;

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::http::Extensions;
use hyper::http::response::Parts;
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::body::Content;
use super::echo::cut;
use super::error::{Failure, Refusal};
use super::taken::RefusedFile;
use crate::chat::codec::to_json;
use crate::chat::{StreamError, is_name};
use crate::pipeline;
use crate::stages::along::CUT;
use crate::telemetry::chain;
pub(super) use error_response::{Detail, Envelope, ErrorDetail, ErrorResponse, detail, openai_envelope};

/// OpenAI's clients obey it before their own rules on statuses.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Characters of a message, which may list every problem of a definition.
const MESSAGE_CHARS: usize = 4_000;
/// Characters of a code and of the name of a field.
const WORD_CHARS: usize = 200;

/// What the log says of a failure that has neither a code nor a type that is a plain word.
const OTHER_CODE: &str = "other";

/// How a surface writes an error's body, as JSON, and what else of it the connection is told.
pub(super) type ErrorEncoder = fn(&ErrorResponse, &mut Extensions) -> Bytes;

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

/// The answer to a request that failed, and its code for the log. What is the fault of the server or of a provider is logged here, once.
pub(super) fn failure(failure: &Failure, encode: ErrorEncoder) -> (Response<Content>, Cow<'static, str>) {
    let error = short(table::response(failure));
    if error.status >= 500 && !matches!(failure, Failure::Refused(_)) {
        tracing::warn!(status = error.status, code = %error.code, "the request failed: {}", chain(failure));
    }
    let mut extensions = Extensions::new();
    let mut response = typed(Content::Whole(encode(&error, &mut extensions)), "application/json");
    *response.extensions_mut() = extensions;
    *response.status_mut() = StatusCode::from_u16(error.status).expect("the table and a rejection's status hold 400 to 599");
    let headers = response.headers_mut();
    if let Some(seconds) = error.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if error.hopeless {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    match failure {
        Failure::Refused(Refusal::Method { allow, .. }) => {
            headers.insert(ALLOW, HeaderValue::from_str(allow).expect("methods are plain words"));
        }
        Failure::Refused(Refusal::NoKey | Refusal::WrongKey) => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    (response, code_to_log(error))
}

/// What is told of one file of several, with the status and the headers of the answer that it would have had alone.
pub(super) fn refused_file(name: String, failure: &Failure) -> (RefusedFile, Parts) {
    let (response, _) = self::failure(failure, openai_envelope);
    let (parts, content) = response.into_parts();
    let Content::Whole(body) = content else { unreachable!("an error is written whole") };
    let error = serde_json::from_slice::<Value>(&body).map(|mut body| body["error"].take()).unwrap_or_default();
    (RefusedFile { name, status: parts.status.as_u16(), error }, parts)
}

/// The same of a stream whose head is out: what its last event tells.
pub(super) fn late(failure: &Failure) -> StreamError {
    let error = short(table::response(failure));
    let plugin = failure.plugin();
    let name = plugin.map(|plugin| &**plugin);
    if error.status >= 500 {
        tracing::warn!(status = error.status, code = %error.code, plugin = name, "the stream failed while it was waited for: {}", chain(failure));
    } else {
        tracing::info!(status = error.status, code = %error.code, plugin = name, "the stream was refused while it was waited for");
    }
    let code = match (error.code, failure) {
        (_, Failure::Pipeline(failed)) if matches!(**failed, pipeline::Error::Rejected { .. }) => CUT,
        (Cow::Borrowed(code), _) => code,
        (Cow::Owned(_), _) if plugin.is_some() => "plugin_failed",
        (Cow::Owned(_), _) => "upstream_error",
    };
    StreamError { message: error.message.into_owned(), code }
}

/// Plugins and providers choose codes of their own. One that is no plain word may quote what it is about, and its type stands for it.
fn code_to_log(error: ErrorResponse) -> Cow<'static, str> {
    let plain = |text: &Cow<'static, str>| is_name(text);
    [error.code, error.kind].into_iter().find(plain).unwrap_or(Cow::Borrowed(OTHER_CODE))
}

/// What a message may quote, for example the names of fields, is the client's. Here all of it passes, whoever made it.
fn short(mut error: ErrorResponse) -> ErrorResponse {
    if error.message.len() > MESSAGE_CHARS {
        error.message = cut(&error.message, MESSAGE_CHARS).into_owned().into();
    }
    for text in [Some(&mut error.code), error.param.as_mut()].into_iter().flatten() {
        if text.len() > WORD_CHARS {
            *text = cut(text, WORD_CHARS).into_owned().into();
        }
    }
    error
}

#[cfg(test)]
mod tests;
