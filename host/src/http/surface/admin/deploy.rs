//! `POST /api/v1/plugins`, `DELETE …/{name}`, `POST …/{name}/rollback` and `POST …/reload`: plugins deployed without a shell on the machine.
//! The directory stays the source of truth: each of these changes a file of it, and answers what the server made of that. Every change leaves a line
//! in the log that says who made it.

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use multer::{Constraints, Multipart, SizeLimit};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::page::parameters;
use super::plugins::{Plugin, shown};
use crate::http::bodies::Reserved;
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::operation::{Answer, Media, Operation, Parameter, RequestBody, schema};
use crate::http::request_body;
use crate::http::request_log::RequestLog;
use crate::http::respond;
use crate::http::route::Call;
use crate::http::shared::Shared;
use crate::http::surface::list::List;
use crate::sandbox::{DeployError, PluginStatus};

const KEY: &str = "limits.plugins.file_bytes";
/// What a form has around its file.
const FORM_BYTES: usize = 16 << 10;

/// `POST /api/v1/plugins`.
pub(super) const UPLOAD: Operation = Operation {
    summary: "Put a component into the plugin directory, and say what became of it",
    body: Some(RequestBody::File(schema::<PluginForm>, "application/wasm")),
    parameters: &[Parameter { name: "name", location: "query", description: "The plugin's name; that of the form's file by default." }],
    answers: &[
        Answer { status: 200, description: "Another version of it is live.", contents: &[Media::Json(schema::<Plugin<'static>>)] },
        Answer { status: 201, description: "It is new, and live.", contents: &[Media::Json(schema::<Plugin<'static>>)] },
        Answer {
            status: 202,
            description: "It is still being compiled; its entry in the list tells when it is live.",
            contents: &[Media::Json(schema::<Plugin<'static>>)],
        },
    ],
};

/// `POST /api/v1/plugins/reload`.
pub(super) const RELOAD: Operation = Operation {
    summary: "Read the plugin directory now",
    body: None,
    parameters: &[],
    answers: &[Answer { status: 200, description: "One entry a file.", contents: &[Media::Json(schema::<List<Plugin<'static>>>)] }],
};

/// `DELETE /api/v1/plugins/{name}`.
pub(super) const DELETE: Operation = Operation {
    summary: "Remove a plugin's file",
    body: None,
    parameters: &[],
    answers: &[Answer {
        status: 200,
        description: "It is gone; the warnings name the pipelines that want it.",
        contents: &[Media::Json(schema::<Removed<'static>>)],
    }],
};

/// `POST /api/v1/plugins/{name}/rollback`.
pub(super) const ROLLBACK: Operation = Operation {
    summary: "Go back to the version before the last upload, or in place of a bad file",
    body: None,
    parameters: &[],
    answers: &[
        Answer { status: 200, description: "The version before it is live.", contents: &[Media::Json(schema::<Plugin<'static>>)] },
        Answer { status: 202, description: "It is still being compiled.", contents: &[Media::Json(schema::<Plugin<'static>>)] },
    ],
};

/// The form, as a client may send it in place of the bytes alone.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "read field by field; here for its schema")]
pub(in crate::http::surface) struct PluginForm {
    /// The component. Its file's name without `.wasm` is the plugin's, unless the query has a `name`.
    #[schemars(extend("contentMediaType" = "application/wasm"))]
    file: String,
}

/// That a plugin's file is gone.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "DeletedPlugin")]
pub(super) struct Removed<'a> {
    /// The plugin's name.
    id: &'a str,
    /// `plugin`
    object: &'static str,
    /// `true`
    deleted: bool,
    file: &'a str,
    /// Pipelines that name the plugin.
    warnings: Vec<String>,
}

/// 201 for a new plugin, 200 for another version, 202 if it is still being compiled.
pub(super) async fn upload(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let Call { shared, head, body, log, .. } = call;
    let name = parameters(head.uri.query(), &["name"])?.pop().map(|(_, name)| name);
    let (file, bytes) = uploaded(shared, head, body, log).await?;
    let missing = || Refusal::field("name", "is missing; send `?name=NAME`, or a form with a file of that name");
    let name = name.or(file).ok_or_else(missing)?;
    // The file's name is as good.
    let name = name.strip_suffix(".wasm").map(str::to_owned).unwrap_or(name);
    let (status, created) = put(shared, log, name, bytes).await?;
    let code = match status.state {
        "compiling" => StatusCode::ACCEPTED,
        _ if created => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    Ok(respond::json(code, &shown(&status)))
}

/// The component that a request brings, and the name of its file if it is one of a form. Its bytes are reserved until the request is over.
pub(in crate::http::surface) async fn uploaded(
    shared: &Shared,
    head: &Parts,
    body: &mut Incoming,
    log: &mut RequestLog,
) -> Result<(Option<String>, Bytes), Failure> {
    let reserved = Arc::new(Reserved::open(&shared.shares.bodies_bytes, &log.client));
    let read = read(shared, head, body, &reserved).await?;
    log.body = Some(reserved);
    Ok(read)
}

/// Puts a component into the directory, to its end. The flag says that there was none of that name.
pub(in crate::http::surface) async fn put(
    shared: &Shared,
    log: &RequestLog,
    name: String,
    bytes: Bytes,
) -> Result<(PluginStatus, bool), Failure> {
    let (registry, until, caller) = (shared.state.registry.clone(), until(shared), log.caller.clone());
    to_its_end(async move {
        let put = registry.put(&name, bytes, until).await;
        audit("upload", &name, caller.as_deref(), put.as_ref().map(|(status, _)| status));
        put
    })
    .await
}

/// Takes a plugin's file out of the directory, to its end. Gives what it was.
pub(in crate::http::surface) async fn remove(shared: &Shared, log: &RequestLog, name: String) -> Result<PluginStatus, Failure> {
    let (registry, until, caller) = (shared.state.registry.clone(), until(shared), log.caller.clone());
    to_its_end(async move {
        let removed = registry.remove(&name, until).await;
        audit("delete", &name, caller.as_deref(), removed.as_ref());
        removed
    })
    .await
}

/// Reads the directory now.
pub(in crate::http::surface) async fn read_directory(shared: &Shared, log: &RequestLog) -> Result<(), Failure> {
    shared.state.registry.reload(until(shared)).await?;
    tracing::info!(caller = log.caller.as_deref(), "the plugin directory was read on demand");
    Ok(())
}

pub(super) async fn get(mut call: Call<'_>) -> Result<Response<Content>, Failure> {
    let name = plugin(&mut call);
    let status = call.shared.state.registry.file(&name).ok_or(DeployError::NotFound(name))?;
    Ok(respond::json(StatusCode::OK, &shown(&status)))
}

pub(super) async fn delete(mut call: Call<'_>) -> Result<Response<Content>, Failure> {
    let (name, shared) = (plugin(&mut call), call.shared);
    let PluginStatus { name, file, .. } = remove(shared, call.log, name).await?;
    let catalog = &shared.state.catalog;
    let pipelines = catalog.list();
    let users = pipelines.iter().filter(|pipeline| catalog.plugins(&pipeline.definition).any(|plugin| plugin == name));
    let warnings = users.map(|pipeline| format!("pipeline `{}` names the plugin", pipeline.id));
    let embeddings = catalog.embedding_plugins().filter(|(_, plugin)| *plugin == name);
    let warnings = warnings.chain(embeddings.map(|(id, _)| format!("embeddings `{id}` name the plugin"))).collect();
    Ok(respond::json(StatusCode::OK, &Removed { id: &name, object: "plugin", deleted: true, file: &file, warnings }))
}

pub(super) async fn rollback(mut call: Call<'_>) -> Result<Response<Content>, Failure> {
    let (name, shared) = (plugin(&mut call), call.shared);
    let (registry, until, caller) = (shared.state.registry.clone(), until(shared), call.log.caller.clone());
    let status = to_its_end(async move {
        let back = registry.rollback(&name, until).await;
        audit("rollback", &name, caller.as_deref(), back.as_ref());
        back
    })
    .await?;
    let code = if status.state == "compiling" { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(respond::json(code, &shown(&status)))
}

pub(super) async fn reload(call: Call<'_>) -> Result<Response<Content>, Failure> {
    read_directory(call.shared, call.log).await?;
    let status = call.shared.state.registry.status();
    Ok(respond::json(StatusCode::OK, &List::of(status.iter().map(shown).collect())))
}

/// The plugin that the path names, which is no pipeline's name for the log.
fn plugin(call: &mut Call<'_>) -> String {
    call.log.pipeline = None;
    call.id.clone().into_owned()
}

/// How long an answer may wait for the plugin to be tried.
fn until(shared: &Shared) -> Instant {
    Instant::now() + shared.limits.admission_time.min(shared.limits.request_time)
}

/// A change that is made is told of in the log, also if its client has left.
async fn to_its_end<T: Send + 'static>(change: impl Future<Output = Result<T, DeployError>> + Send + 'static) -> Result<T, Failure> {
    match tokio::spawn(change.in_current_span()).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Failure::Panicked),
    }
}

/// Who changed what, and what came of it.
fn audit(change: &'static str, name: &str, caller: Option<&str>, outcome: Result<&PluginStatus, &DeployError>) {
    let plugin: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    match outcome {
        Ok(PluginStatus { file, hash, state, .. }) => {
            let hash = hash.as_deref();
            tracing::info!(change, plugin, caller, file, hash, state, "the plugin directory was changed");
        }
        Err(error) => tracing::warn!(change, plugin, caller, %error, "a change of the plugin directory came to nothing"),
    }
}

/// The component, and the name of its file if it came as one.
async fn read(shared: &Shared, head: &Parts, body: &mut Incoming, reserved: &Reserved) -> Result<(Option<String>, Bytes), Failure> {
    request_body::expect_plain(&head.headers)?;
    let (limit, time) = (shared.state.registry.file_bytes(), shared.limits.body_time);
    let value = head.headers.get(CONTENT_TYPE);
    let given = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" | "application/wasm" | "application/octet-stream" => Ok((None, request_body::collect(body, reserved, limit, KEY, time).await?)),
        "multipart/form-data" => {
            let whole = request_body::collect(body, reserved, limit.saturating_add(FORM_BYTES), KEY, time).await?;
            form(given, whole, limit, reserved).await
        }
        _ => {
            let got = value.map(request_body::shown).unwrap_or_default();
            Err(Refusal::ContentType { got, want: "application/wasm" }.into())
        }
    }
}

/// The one file of a form.
async fn form(content_type: &str, whole: Bytes, limit: usize, reserved: &Reserved) -> Result<(Option<String>, Bytes), Failure> {
    let broken = |error: multer::Error| match error {
        multer::Error::FieldSizeExceeded { .. } => Refusal::BodyTooLarge { limit, key: KEY },
        other => Refusal::Multipart(other.to_string().into()),
    };
    // The file is copied out of the form.
    reserved.grow(whole.len())?;
    let boundary = multer::parse_boundary(content_type).map_err(broken)?;
    let sizes = SizeLimit::new().for_field("file", limit as u64);
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(whole)]);
    let mut parts = Multipart::with_constraints(stream, boundary, Constraints::new().size_limit(sizes));
    let mut file = None;
    while let Some(field) = parts.next_field().await.map_err(broken)? {
        if field.name() != Some("file") || file.is_some() {
            return Err(Refusal::field("file", "must be the one field of the form, once").into());
        }
        let name = field.file_name().map(str::to_owned);
        file = Some((name, field.bytes().await.map_err(broken)?));
    }
    file.ok_or_else(|| Refusal::field("file", "is missing").into())
}
