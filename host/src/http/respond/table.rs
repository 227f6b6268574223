//! Every failure with its status, type, code and message. Every `match` names every variant, so that a new one does not compile before
//! somebody decides. OpenAI's clients try 408, 409, 429 and 5xx again; `hopeless` tells them when that is no use.

use std::borrow::Cow;
use std::time::Duration;

use super::error_response::{ErrorResponse, Text};
use crate::chat::codec::Invalid;
use crate::http::error::{Failure, Refusal};
use crate::http::reload::ReloadError;
use crate::ledger::Remedy;
use crate::llm::{BudgetRemedy, Phase};
use crate::pipeline::{self, PutError};
use crate::sandbox::settings::ChangeError;
use crate::sandbox::{DeployError, Exhausted, Fault, FaultKind, Rejection};
use crate::{ledger, llm, rag};

const REQUEST: &str = "invalid_request_error";
const PERMISSION: &str = "permission_error";
const NOT_FOUND: &str = "not_found_error";
const RATE: &str = "rate_limit_error";
const SERVER: &str = "server_error";
const PROVIDER: &str = "provider_error";
const PLUGIN: &str = "plugin_error";

/// The message of a failure whose cause only the operator may see.
const INTERNAL: &str = "the server failed; its log says why, under this request's id";

pub(super) fn response(failure: &Failure) -> ErrorResponse {
    match failure {
        Failure::Refused(refusal) => refused(refusal),
        Failure::Invalid(invalid) => unreadable(invalid),
        Failure::Pipeline(error) => pipeline(error),
        Failure::Put(error) => put(error),
        Failure::Rag(error) => knowledge(error),
        Failure::Plugin(error) => changed(error),
        Failure::Ledger(error) => report(error),
        Failure::Settings(error) => settings(error),
        Failure::Reload(error) => reload(error),
        Failure::Panicked => ErrorResponse::new(500, SERVER, "internal_error", INTERNAL),
    }
}

fn refused(refusal: &Refusal) -> ErrorResponse {
    let message = refusal.to_string();
    let (status, kind, code) = match refusal {
        Refusal::NotFound { .. } => (404, NOT_FOUND, "not_found"),
        Refusal::Method { .. } => (405, REQUEST, "method_not_allowed"),
        Refusal::NoKey | Refusal::WrongKey => (401, "authentication_error", "invalid_api_key"),
        Refusal::NotAdmin | Refusal::NotManager => (403, PERMISSION, "admin_key_required"),
        Refusal::NoAdminKeys => (403, PERMISSION, "no_admin_keys"),
        Refusal::ForeignHost(_) => (403, PERMISSION, "foreign_host"),
        Refusal::ForeignOrigin(_) => (403, PERMISSION, "foreign_origin"),
        Refusal::Overloaded { .. } => return ErrorResponse::new(503, SERVER, "overloaded", message).after(1),
        Refusal::JobsFull { .. } => return ErrorResponse::new(503, SERVER, "jobs_full", message).after(1),
        Refusal::JobSlow => (504, SERVER, "job_timeout"),
        Refusal::Stopping => return ErrorResponse::new(503, SERVER, "stopping", message).after(1),
        Refusal::RateLimited(refused) => return used_up(refused, message),
        Refusal::HeadTooLarge { .. } => (431, REQUEST, "head_too_large"),
        Refusal::BodyTooLarge { .. } => (413, REQUEST, "body_too_large"),
        Refusal::BodySlow => (408, REQUEST, "body_timeout"),
        Refusal::BodyBroken => (400, REQUEST, "body_incomplete"),
        Refusal::ContentType { .. } => (415, REQUEST, "unsupported_content_type"),
        Refusal::ContentEncoding(_) => (415, REQUEST, "unsupported_content_encoding"),
        Refusal::Field { param, .. } => return ErrorResponse::new(400, REQUEST, "invalid_value", message).param(param.clone()),
        Refusal::NoModel(_) | Refusal::NoEmbedding(_) => {
            return ErrorResponse::new(404, NOT_FOUND, "model_not_found", message).param("model");
        }
        Refusal::NoApi(_) | Refusal::NoSuchApi(_) => (404, NOT_FOUND, "api_not_found"),
        Refusal::NoDocument(_) => (404, NOT_FOUND, "document_not_found"),
        Refusal::NoNamespace(_) => (404, NOT_FOUND, "namespace_not_found"),
        Refusal::NoPipe(_) => (404, NOT_FOUND, "plugin_not_found"),
        Refusal::NoValves(_) => (404, NOT_FOUND, "valves_not_found"),
        Refusal::Answered(_) => (403, "plugin_rejection", "plugin_answered"),
        Refusal::NoComponent { .. } => (400, REQUEST, "not_a_component"),
        Refusal::NotFetched(_) => (400, REQUEST, "component_not_fetched"),
        Refusal::FetchSlow => (504, SERVER, "component_fetch_timeout"),
        Refusal::NoJob(_) => (404, NOT_FOUND, "job_not_found"),
        Refusal::Multipart(_) => (400, REQUEST, "invalid_multipart"),
        Refusal::NotUtf8 { .. } => return ErrorResponse::new(400, REQUEST, "not_utf8", message).param("file"),
    };
    ErrorResponse::new(status, kind, code, message)
}

/// As OpenAI does: a client waits for a rate, and does not wait for a budget.
fn used_up(refused: &ledger::Refused, message: String) -> ErrorResponse {
    let remedy = match refused.remedy() {
        Remedy::Wait => BudgetRemedy::Wait,
        Remedy::Later => BudgetRemedy::Later,
        Remedy::OtherModel => BudgetRemedy::OtherModel,
    };
    over_budget(message, remedy, refused.retry_after)
}

fn over_budget(message: String, remedy: BudgetRemedy, retry_after: Duration) -> ErrorResponse {
    match remedy {
        BudgetRemedy::Wait => ErrorResponse::new(429, RATE, "rate_limit_exceeded", message).after(whole_seconds(retry_after)),
        BudgetRemedy::Later => ErrorResponse::new(429, RATE, "insufficient_quota", message).after(whole_seconds(retry_after)).hopeless(),
        BudgetRemedy::OtherModel => ErrorResponse::new(403, PERMISSION, "model_not_priced", message).hopeless(),
    }
}

fn unreadable(invalid: &Invalid) -> ErrorResponse {
    let code = if invalid.param.is_some() { "invalid_value" } else { "invalid_json" };
    ErrorResponse { param: invalid.param.clone().map(Cow::Owned), ..ErrorResponse::new(400, REQUEST, code, invalid.message.clone()) }
}

fn pipeline(error: &pipeline::Error) -> ErrorResponse {
    match error {
        pipeline::Error::Locked(stage) => {
            ErrorResponse::new(403, PERMISSION, "stage_locked", error.to_string()).param(format!("pipeline.{stage}"))
        }
        pipeline::Error::Rejected { plugin: _, rejection } => rejected(rejection),
        pipeline::Error::Fault(fault) => faulted(fault),
        pipeline::Error::Rag(error) => knowledge(error),
        pipeline::Error::Llm(error) => provider(error),
        pipeline::Error::Deadline => ErrorResponse::new(504, SERVER, "deadline_exceeded", error.to_string()),
    }
}

/// The plugin's own message. Its status is kept if it is one of 4xx; 403 stands for any other, as `types.wit` says.
fn rejected(rejection: &Rejection) -> ErrorResponse {
    let Rejection { status, code, message, retry_after } = rejection;
    let status = if (400..=499).contains(status) { *status } else { 403 };
    let code = if code.is_empty() { Text::Borrowed("rejected") } else { code.clone().into() };
    ErrorResponse { retry_after: retry_after.map(u64::from), ..ErrorResponse::new(status, "plugin_rejection", code, message.clone()) }
}

/// Names the plugin and the limit; a trap's backtrace and the host's own errors stay in the log.
fn faulted(fault: &Fault) -> ErrorResponse {
    let message = || fault.to_string().lines().next().unwrap_or_default().to_owned();
    let blamed = |code: Text| ErrorResponse::new(502, PLUGIN, code, message());
    match &fault.kind {
        FaultKind::Reported(_) => blamed("plugin_reported_error".into()),
        // A slow moment passes; fuel, memory and traps come again with the same request.
        FaultKind::Exhausted(limit @ (Exhausted::Time(_) | Exhausted::Wait(_))) => {
            blamed(format!("plugin_{}_exhausted", limit.limit()).into())
        }
        FaultKind::Exhausted(limit) => blamed(format!("plugin_{}_exhausted", limit.limit()).into()).hopeless(),
        FaultKind::Trapped(_) => blamed("plugin_trapped".into()).hopeless(),
        FaultKind::Invalid(_) => blamed("plugin_invalid_outcome".into()).hopeless(),
        FaultKind::Busy => ErrorResponse::new(503, PLUGIN, "plugin_busy", message()).after(1),
        // It comes when the operator brings it; a client that asks again at once only asks in vain.
        FaultKind::NotLoaded => ErrorResponse::new(503, PLUGIN, "plugin_not_loaded", message()).hopeless(),
        FaultKind::Loading => ErrorResponse::new(503, PLUGIN, "plugin_not_loaded", message()).after(1),
        FaultKind::NoHook => ErrorResponse::new(503, PLUGIN, "plugin_no_hook", message()).hopeless(),
        FaultKind::NoModel(_) => ErrorResponse::new(404, NOT_FOUND, "model_not_found", message()).param("model"),
        FaultKind::Deadline => ErrorResponse::new(504, SERVER, "deadline_exceeded", fault.kind.to_string()),
        FaultKind::Host(_) => {
            let message = format!("the host failed while it ran plugin `{}`; its log says why, under this request's id", fault.plugin);
            ErrorResponse::new(500, PLUGIN, "plugin_host_error", message)
        }
    }
}

fn provider(error: &llm::Error) -> ErrorResponse {
    match error {
        llm::Error::Status { provider, status, message, kind, code, param, retry_after, exhausted } => {
            let answered = answered(provider, *status, message, [kind, code, param].map(Option::as_deref));
            // A used-up quota does not come back while a client library tries again.
            let hopeless = answered.hopeless || *exhausted;
            ErrorResponse { retry_after: retry_after.map(whole_seconds), hopeless, ..answered }
        }
        llm::Error::NoEmbeddings { .. } => ErrorResponse::new(400, REQUEST, "unsupported_model", error.to_string()).param("model"),
        llm::Error::UnsupportedField { param, .. } => {
            ErrorResponse::new(400, REQUEST, "unsupported_parameter", error.to_string()).param(param.clone())
        }
        // The cause may hold addresses of the operator's network.
        llm::Error::Unreachable { provider, .. } => {
            ErrorResponse::new(502, PROVIDER, "provider_unreachable", format!("provider `{provider}` cannot be reached"))
        }
        llm::Error::Timeout { phase, .. } => match phase {
            // The same as when the time runs out in another stage; which one notices is chance.
            Phase::Deadline => ErrorResponse::new(504, SERVER, "deadline_exceeded", error.to_string()),
            Phase::Connect | Phase::FirstByte | Phase::Idle | Phase::Total => {
                ErrorResponse::new(504, PROVIDER, "provider_timeout", error.to_string())
            }
        },
        llm::Error::InvalidReply { provider, .. } => {
            ErrorResponse::new(502, PROVIDER, "provider_garbled", format!("provider `{provider}` sent a reply that cannot be used"))
        }
        llm::Error::Overloaded { .. } => ErrorResponse::new(503, SERVER, "overloaded", error.to_string()).after(1),
        llm::Error::SecretMissing { .. } => ErrorResponse::new(500, SERVER, "provider_secret_missing", error.to_string()).hopeless(),
        // The provider's own message went to the request that got it; here stands why its circuit is open.
        llm::Error::CircuitOpen { limited: true, retry_after, .. } => {
            ErrorResponse::new(429, "rate_limit_error", "rate_limit_exceeded", error.to_string()).after(whole_seconds(*retry_after))
        }
        llm::Error::CircuitOpen { limited: false, retry_after, .. } => {
            ErrorResponse::new(503, PROVIDER, "provider_benched", error.to_string()).after(whole_seconds(*retry_after))
        }
        // Whoever asks plugins gives their faults; anything else would be a mistake of this server's.
        llm::Error::Plugin { cause, .. } => match cause.downcast_ref::<Fault>() {
            Some(fault) => faulted(fault),
            None => ErrorResponse::new(500, SERVER, "internal_error", INTERNAL),
        },
        llm::Error::Refused { status, code, message, retry_after, .. } => {
            let (code, message) = (code.clone(), message.clone());
            rejected(&Rejection { status: *status, code, message, retry_after: *retry_after })
        }
        llm::Error::OverBudget { message, remedy, retry_after } => over_budget(message.clone(), *remedy, *retry_after),
        llm::Error::UnknownProvider { .. } => ErrorResponse::new(500, SERVER, "provider_unknown", error.to_string()).hopeless(),
    }
}

/// A provider's error status. If the client can mend it, it gets the provider's own message; if the operator must, it does not, because the
/// message may quote a key.
fn answered(provider: &str, status: u16, message: &str, [kind, code, param]: [Option<&str>; 3]) -> ErrorResponse {
    let through = |default_kind: &'static str, default_code: &'static str| {
        let message = if message.is_empty() { format!("provider `{provider}` answered {status}") } else { message.to_owned() };
        let text = |own: Option<&str>, default: &'static str| own.map_or(Cow::Borrowed(default), |own| Cow::Owned(own.to_owned()));
        ErrorResponse {
            kind: text(kind, default_kind),
            param: param.map(|param| Cow::Owned(param.to_owned())),
            ..ErrorResponse::new(status, default_kind, text(code, default_code), message)
        }
    };
    let failed = |ours: u16| ErrorResponse::new(ours, PROVIDER, "provider_failed", format!("provider `{provider}` answered {status}"));
    match status {
        _ if code == Some("model_failed") => ErrorResponse::new(502, PROVIDER, "model_failed", message.to_owned()),
        400 | 413 | 422 => through(REQUEST, "provider_refused"),
        404 => through(NOT_FOUND, "provider_refused"),
        429 => through(RATE, "rate_limit_exceeded"),
        401..=403 => {
            let message =
                format!("provider `{provider}` refused the server's credentials with {status}; the operator must look at its key");
            ErrorResponse::new(502, PROVIDER, "provider_auth", message).hopeless()
        }
        503 | 529 => failed(503),
        _ => failed(502),
    }
}

fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn knowledge(error: &rag::Error) -> ErrorResponse {
    match error {
        rag::Error::Unsupported { .. } => ErrorResponse::new(415, REQUEST, "unsupported_document", error.to_string()).param("file"),
        rag::Error::Unreadable { .. } => ErrorResponse::new(422, REQUEST, "unreadable_document", error.to_string()).param("file"),
        rag::Error::Encrypted { .. } => ErrorResponse::new(422, REQUEST, "encrypted_document", error.to_string()).param("file"),
        rag::Error::Scanned { .. } => ErrorResponse::new(422, REQUEST, "scanned_document", error.to_string()).param("file"),
        rag::Error::Extractor(_) => ErrorResponse::new(503, SERVER, "extractor_failed", error.to_string()).after(1),
        rag::Error::Empty { .. } => ErrorResponse::new(422, REQUEST, "empty_document", error.to_string()).param("file"),
        rag::Error::TooLarge { .. } => ErrorResponse::new(413, REQUEST, "knowledge_too_large", error.to_string()),
        rag::Error::Busy => ErrorResponse::new(503, SERVER, "knowledge_busy", error.to_string()).after(1),
        // The operator reads it where the client does: the remedy is a route, and names of namespaces and embedders are no secrets.
        rag::Error::EmbedderGone { .. } => ErrorResponse::new(503, SERVER, "embedder_gone", error.to_string()).hopeless(),
        rag::Error::BeingReindexed { .. } => ErrorResponse::new(503, SERVER, "namespace_reindexing", error.to_string()).after(10),
        rag::Error::ReindexRuns { .. } | rag::Error::TooManyReindexes { .. } => {
            ErrorResponse::new(409, REQUEST, "reindex_running", error.to_string()).hopeless()
        }
        rag::Error::Embed(_) => ErrorResponse::new(500, SERVER, "embedder_failed", INTERNAL),
        rag::Error::DiskFull => ErrorResponse::new(507, SERVER, "disk_full", error.to_string()),
        rag::Error::Store(_) => ErrorResponse::new(500, SERVER, "knowledge_store_failed", INTERNAL),
        rag::Error::Index(_) => ErrorResponse::new(500, SERVER, "knowledge_index_failed", INTERNAL),
    }
}

fn report(error: &ledger::Error) -> ErrorResponse {
    match error {
        ledger::Error::TooMany { .. } => ErrorResponse::new(400, REQUEST, "report_too_large", error.to_string()),
        ledger::Error::Store(_) => ErrorResponse::new(500, SERVER, "usage_store_failed", INTERNAL),
    }
}

fn settings(error: &ChangeError) -> ErrorResponse {
    match error {
        ChangeError::NoPlugin(_) => ErrorResponse::new(404, NOT_FOUND, "plugin_not_found", error.to_string()),
        ChangeError::NoSchema(_) => ErrorResponse::new(409, REQUEST, "settings_not_declared", error.to_string()).hopeless(),
        ChangeError::Invalid(problems) => {
            let response = ErrorResponse::new(400, REQUEST, "invalid_settings", error.to_string());
            ErrorResponse { param: problems.first().map(|problem| problem.path.clone().into()), ..response }
        }
        ChangeError::Store(_) => ErrorResponse::new(500, SERVER, "settings_store_failed", INTERNAL),
    }
}

/// Whoever may reload is the operator, who is told everything.
fn reload(error: &ReloadError) -> ErrorResponse {
    match error {
        ReloadError::Invalid(_) => ErrorResponse::new(422, REQUEST, "invalid_configuration", error.to_string()),
        ReloadError::Failed(_) => ErrorResponse::new(500, SERVER, "reload_failed", error.to_string()),
    }
}

/// A change of the plugin directory. What the operator's disk is short of stays in the log.
fn changed(error: &DeployError) -> ErrorResponse {
    let (status, kind, code) = match error {
        DeployError::Name => return ErrorResponse::new(400, REQUEST, "invalid_value", error.to_string()).param("name"),
        DeployError::NotFound(_) => (404, NOT_FOUND, "plugin_not_found"),
        DeployError::Refused(_) => (422, REQUEST, "plugin_refused"),
        DeployError::Full(_) => return ErrorResponse::new(409, REQUEST, "too_many_plugins", error.to_string()).hopeless(),
        DeployError::Link(_) | DeployError::ReadOnly => {
            return ErrorResponse::new(409, REQUEST, "plugin_read_only", error.to_string()).hopeless();
        }
        DeployError::NoPrevious(_) => return ErrorResponse::new(409, REQUEST, "no_previous_version", error.to_string()).hopeless(),
        DeployError::Busy | DeployError::Later(_) => return ErrorResponse::new(503, SERVER, "plugins_busy", error.to_string()).after(1),
        DeployError::Io(_) => return ErrorResponse::new(500, SERVER, "plugin_store_failed", INTERNAL),
    };
    ErrorResponse::new(status, kind, code, error.to_string())
}

fn put(error: &PutError) -> ErrorResponse {
    match error {
        PutError::Name => ErrorResponse::new(400, REQUEST, "invalid_value", error.to_string()).param("id"),
        PutError::Invalid(problems) => {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let response = ErrorResponse::new(400, REQUEST, "invalid_pipeline", format!("{error}: {}", all.join("; ")));
            ErrorResponse { param: problems.first().map(|problem| problem.path.clone().into()), ..response }
        }
        PutError::ReadOnly => ErrorResponse::new(409, REQUEST, "pipeline_read_only", error.to_string()).hopeless(),
        PutError::Full(_) => ErrorResponse::new(409, REQUEST, "too_many_pipelines", error.to_string()).hopeless(),
        PutError::Store(_) => ErrorResponse::new(500, SERVER, "pipeline_store_failed", INTERNAL),
    }
}
