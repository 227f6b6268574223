//! A failure as a client sees it, and OpenAI's envelope around it.
//! Made by `table` alone; it holds nothing that a client must not read.

use std::borrow::Cow;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

use crate::chat::codec::to_json;

pub(super) type Text = Cow<'static, str>;

/// A failure as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) struct ErrorResponse {
    pub(super) status: u16,
    /// `type` in the envelope.
    pub(super) kind: Text,
    pub(super) code: Text,
    pub(super) param: Option<Text>,
    pub(super) message: Text,
    /// Seconds.
    pub(super) retry_after: Option<u64>,
    /// The same request would fail the same way; a client library that tries again on 5xx is told not to.
    pub(super) hopeless: bool,
}

impl ErrorResponse {
    pub(super) fn new(status: u16, kind: &'static str, code: impl Into<Text>, message: impl Into<Text>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { status, kind: kind.into(), code, param: None, message, retry_after: None, hopeless: false }
    }

    pub(super) fn param(self, param: impl Into<Text>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    pub(super) fn after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    pub(super) fn hopeless(self) -> Self {
        Self { hopeless: true, ..self }
    }
}

/// OpenAI's error envelope; all four keys are always there.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub(in crate::http) struct Envelope<'a> {
    error: ErrorDetail<'a>,
}

/// What an error says.
#[derive(Serialize, JsonSchema)]
pub(in crate::http) struct ErrorDetail<'a> {
    /// What went wrong and, if the client can mend it, how.
    message: &'a str,
    /// The kind of failure, such as `invalid_request_error`.
    r#type: &'a str,
    /// The field that is wrong, if it is one.
    param: Option<&'a str>,
    /// The failure itself, such as `invalid_api_key`.
    code: &'a str,
}

/// An error's body as OpenAI writes it.
pub(in crate::http) fn openai_envelope(error: &ErrorResponse) -> Bytes {
    let ErrorResponse { kind, code, param, message, .. } = error;
    to_json(&Envelope { error: ErrorDetail { message, r#type: kind, param: param.as_deref(), code } })
}
