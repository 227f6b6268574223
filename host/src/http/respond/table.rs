//! Every failure and its status, type, code and words. Every `match` names every variant, so that a new one does not compile before
//! somebody decides. OpenAI's clients try 408, 409, 429 and 5xx again; `hopeless` tells them where that is no use.

use std::borrow::Cow;
use std::time::Duration;

use super::{Text, Trouble};
use crate::chat::codec::Invalid;
use crate::http::error::{Failure, Refusal};
use crate::llm::Phase;
use crate::pipeline::{self, PutError};
use crate::sandbox::{Exhausted, Fault, FaultKind, Rejection};
use crate::{llm, rag};

const REQUEST: &str = "invalid_request_error";
const PERMISSION: &str = "permission_error";
const NOT_FOUND: &str = "not_found_error";
const SERVER: &str = "server_error";
const PROVIDER: &str = "provider_error";
const PLUGIN: &str = "plugin_error";

/// What a client is told where the reason is none of its business.
const INTERNAL: &str = "the server failed; its log says why, under this request's id";

impl Trouble {
    fn new(status: u16, kind: &'static str, code: impl Into<Text>, message: impl Into<Text>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { status, kind: kind.into(), code, param: None, message, retry_after: None, hopeless: false }
    }

    fn param(self, param: impl Into<Text>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    fn after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    fn hopeless(self) -> Self {
        Self { hopeless: true, ..self }
    }
}

pub(super) fn trouble(failure: &Failure) -> Trouble {
    match failure {
        Failure::Refused(refusal) => refused(refusal),
        Failure::Invalid(invalid) => unreadable(invalid),
        Failure::Pipeline(error) => pipeline(error),
        Failure::Put(error) => put(error),
        Failure::Rag(error) => knowledge(error),
        Failure::Upload { stored, source } => {
            let mut trouble = knowledge(source);
            if !stored.is_empty() {
                trouble.message = format!("{}; stored before it: {}", trouble.message, stored.join(", ")).into();
            }
            trouble
        }
        Failure::Panicked => Trouble::new(500, SERVER, "internal_error", INTERNAL),
    }
}

fn refused(refusal: &Refusal) -> Trouble {
    let message = refusal.to_string();
    let (status, kind, code) = match refusal {
        Refusal::NotFound { .. } => (404, NOT_FOUND, "not_found"),
        Refusal::Method { .. } => (405, REQUEST, "method_not_allowed"),
        Refusal::NoKey | Refusal::WrongKey => (401, "authentication_error", "invalid_api_key"),
        Refusal::NotAdmin => (403, PERMISSION, "admin_key_required"),
        Refusal::NoAdminKeys => (403, PERMISSION, "no_admin_keys"),
        Refusal::ForeignHost(_) => (403, PERMISSION, "foreign_host"),
        Refusal::ForeignOrigin(_) => (403, PERMISSION, "foreign_origin"),
        Refusal::Overloaded => return Trouble::new(503, SERVER, "overloaded", message).after(1),
        Refusal::BodyTooLarge { .. } => (413, REQUEST, "body_too_large"),
        Refusal::BodySlow => (408, REQUEST, "body_timeout"),
        Refusal::BodyBroken => (400, REQUEST, "body_incomplete"),
        Refusal::ContentType { .. } => (415, REQUEST, "unsupported_content_type"),
        Refusal::ContentEncoding(_) => (415, REQUEST, "unsupported_content_encoding"),
        Refusal::Field { param, .. } => return Trouble::new(400, REQUEST, "invalid_value", message).param(param.clone()),
        Refusal::NoModel(_) | Refusal::NoEmbedding(_) => return Trouble::new(404, NOT_FOUND, "model_not_found", message).param("model"),
        Refusal::NoApi(_) => (404, NOT_FOUND, "api_not_found"),
        Refusal::Multipart(_) => (400, REQUEST, "invalid_multipart"),
        Refusal::NotUtf8 { .. } => return Trouble::new(400, REQUEST, "not_utf8", message).param("file"),
    };
    Trouble::new(status, kind, code, message)
}

fn unreadable(invalid: &Invalid) -> Trouble {
    let code = if invalid.param.is_some() { "invalid_value" } else { "invalid_json" };
    Trouble { param: invalid.param.clone().map(Cow::Owned), ..Trouble::new(400, REQUEST, code, invalid.message.clone()) }
}

fn pipeline(error: &pipeline::Error) -> Trouble {
    match error {
        pipeline::Error::Locked(stage) => {
            Trouble::new(403, PERMISSION, "stage_locked", error.to_string()).param(format!("pipeline.{stage}"))
        }
        pipeline::Error::Rejected { plugin: _, rejection } => rejected(rejection),
        pipeline::Error::Fault(fault) => faulted(fault),
        pipeline::Error::Rag(error) => knowledge(error),
        pipeline::Error::Llm(error) => provider(error),
        pipeline::Error::Deadline => Trouble::new(504, SERVER, "deadline_exceeded", error.to_string()),
    }
}

/// A plugin's own words; its status is held to the 4xx, and 403 stands for any other, as `types.wit` says.
fn rejected(rejection: &Rejection) -> Trouble {
    let Rejection { status, code, message, retry_after } = rejection;
    let status = if (400..=499).contains(status) { *status } else { 403 };
    let code = if code.is_empty() { Text::Borrowed("rejected") } else { code.clone().into() };
    Trouble { retry_after: retry_after.map(u64::from), ..Trouble::new(status, "plugin_rejection", code, message.clone()) }
}

/// Which plugin and which limit; a trap's backtrace and the host's own troubles stay in the log.
fn faulted(fault: &Fault) -> Trouble {
    let message = || fault.to_string().lines().next().unwrap_or_default().to_owned();
    let blamed = |code: Text| Trouble::new(502, PLUGIN, code, message());
    match &fault.kind {
        FaultKind::Reported(_) => blamed("plugin_reported_error".into()),
        // A slow moment passes; fuel, memory and traps come again with the same request.
        FaultKind::Exhausted(limit @ Exhausted::Time(_)) => blamed(format!("plugin_{}_exhausted", limit.limit()).into()),
        FaultKind::Exhausted(limit) => blamed(format!("plugin_{}_exhausted", limit.limit()).into()).hopeless(),
        FaultKind::Trapped(_) => blamed("plugin_trapped".into()).hopeless(),
        FaultKind::Invalid(_) => blamed("plugin_invalid_outcome".into()).hopeless(),
        FaultKind::Busy => Trouble::new(503, PLUGIN, "plugin_busy", message()).after(1),
        FaultKind::NotLoaded => Trouble::new(503, PLUGIN, "plugin_not_loaded", message()),
        FaultKind::NoHook => Trouble::new(503, PLUGIN, "plugin_no_hook", message()),
        FaultKind::Host(_) => {
            let message = format!("the host failed while it ran plugin `{}`; its log says why, under this request's id", fault.plugin);
            Trouble::new(500, PLUGIN, "plugin_host_error", message)
        }
    }
}

fn provider(error: &llm::Error) -> Trouble {
    match error {
        llm::Error::Status { provider, status, message, kind, code, param, retry_after, exhausted } => {
            let answered = answered(provider, *status, message, [kind, code, param].map(Option::as_deref));
            // A used-up quota does not come back while a client library tries again.
            let hopeless = answered.hopeless || *exhausted;
            Trouble { retry_after: retry_after.map(whole_seconds), hopeless, ..answered }
        }
        llm::Error::NoEmbeddings { .. } => Trouble::new(400, REQUEST, "unsupported_model", error.to_string()).param("model"),
        llm::Error::Unfit { param, .. } => Trouble::new(400, REQUEST, "unsupported_parameter", error.to_string()).param(param.clone()),
        // The cause may hold addresses of the operator's network.
        llm::Error::Unreachable { provider, .. } => {
            Trouble::new(502, PROVIDER, "provider_unreachable", format!("provider `{provider}` cannot be reached"))
        }
        llm::Error::Timeout { phase, .. } => match phase {
            // The same as when the time runs out in another stage; which one notices is chance.
            Phase::Deadline => Trouble::new(504, SERVER, "deadline_exceeded", error.to_string()),
            Phase::Connect | Phase::FirstByte | Phase::Idle | Phase::Total => {
                Trouble::new(504, PROVIDER, "provider_timeout", error.to_string())
            }
        },
        llm::Error::Garbled { provider, .. } => {
            Trouble::new(502, PROVIDER, "provider_garbled", format!("provider `{provider}` sent a reply that cannot be used"))
        }
        llm::Error::SecretMissing { .. } => Trouble::new(500, SERVER, "provider_secret_missing", error.to_string()).hopeless(),
        // What the provider said when it was asked; its own words went to the request that heard them.
        llm::Error::Benched { limited: true, retry_after, .. } => {
            Trouble::new(429, "rate_limit_error", "rate_limit_exceeded", error.to_string()).after(whole_seconds(*retry_after))
        }
        llm::Error::Benched { limited: false, retry_after, .. } => {
            Trouble::new(503, PROVIDER, "provider_benched", error.to_string()).after(whole_seconds(*retry_after))
        }
        llm::Error::UnknownProvider { .. } => Trouble::new(500, SERVER, "provider_unknown", error.to_string()).hopeless(),
    }
}

/// A provider's error status. What the client can mend comes through in the provider's words; what the operator must mend does not, for it
/// may quote a key.
fn answered(provider: &str, status: u16, message: &str, [kind, code, param]: [Option<&str>; 3]) -> Trouble {
    let through = |default_kind: &'static str, default_code: &'static str| {
        let message = if message.is_empty() { format!("provider `{provider}` answered {status}") } else { message.to_owned() };
        let text = |own: Option<&str>, default: &'static str| own.map_or(Cow::Borrowed(default), |own| Cow::Owned(own.to_owned()));
        Trouble {
            kind: text(kind, default_kind),
            param: param.map(|param| Cow::Owned(param.to_owned())),
            ..Trouble::new(status, default_kind, text(code, default_code), message)
        }
    };
    let failed = |ours: u16| Trouble::new(ours, PROVIDER, "provider_failed", format!("provider `{provider}` answered {status}"));
    match status {
        400 | 413 | 422 => through(REQUEST, "provider_refused"),
        404 => through(NOT_FOUND, "provider_refused"),
        429 => through("rate_limit_error", "rate_limit_exceeded"),
        401..=403 => {
            let message =
                format!("provider `{provider}` refused the server's credentials with {status}; the operator must look at its key");
            Trouble::new(502, PROVIDER, "provider_auth", message).hopeless()
        }
        503 | 529 => failed(503),
        _ => failed(502),
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn knowledge(error: &rag::Error) -> Trouble {
    match error {
        rag::Error::Unsupported { .. } => Trouble::new(415, REQUEST, "unsupported_document", error.to_string()).param("file"),
        rag::Error::Empty { .. } => Trouble::new(422, REQUEST, "empty_document", error.to_string()).param("file"),
        rag::Error::TooLarge { .. } => Trouble::new(413, REQUEST, "knowledge_too_large", error.to_string()),
        rag::Error::Busy => Trouble::new(503, SERVER, "knowledge_busy", error.to_string()).after(1),
        rag::Error::Embed(_) => Trouble::new(500, SERVER, "embedder_failed", INTERNAL),
        rag::Error::Store(_) => Trouble::new(500, SERVER, "knowledge_store_failed", INTERNAL),
        rag::Error::Index(_) => Trouble::new(500, SERVER, "knowledge_index_failed", INTERNAL),
    }
}

fn put(error: &PutError) -> Trouble {
    match error {
        PutError::Name => Trouble::new(400, REQUEST, "invalid_value", error.to_string()).param("id"),
        PutError::Invalid(problems) => {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let trouble = Trouble::new(400, REQUEST, "invalid_pipeline", format!("{error}: {}", all.join("; ")));
            Trouble { param: problems.first().map(|problem| problem.path.clone().into()), ..trouble }
        }
        PutError::ReadOnly => Trouble::new(409, REQUEST, "pipeline_read_only", error.to_string()).hopeless(),
        PutError::Full(_) => Trouble::new(409, REQUEST, "too_many_pipelines", error.to_string()).hopeless(),
        PutError::Store(_) => Trouble::new(500, SERVER, "pipeline_store_failed", INTERNAL),
    }
}
