//! `POST /pipelines/add`, `/upload` and `/reload`, `DELETE /pipelines/delete`: plugins put in and taken out as Open WebUI's page does it. The same
//! code changes the directory as for `/api/v1/plugins`, so all other plugins keep running and a bad file replaces no good one.

use bytes::Bytes;
use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::found;
use crate::chat::codec::Form;
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::fetch::{FetchError, Fetched};
use crate::http::json_body::Reading;
use crate::http::request_log::RequestLog;
use crate::http::respond;
use crate::http::route::Call;
use crate::http::shared::Shared;
use crate::http::surface::admin::deploy;

/// How every WebAssembly binary begins.
const MAGIC: &[u8] = b"\0asm";

/// Where a component is.
#[derive(Deserialize, JsonSchema)]
pub(super) struct AddRequest {
    url: String,
}

/// Which pipeline.
#[derive(Deserialize, JsonSchema)]
pub(super) struct DeleteRequest {
    id: String,
}

/// What became of a change.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PipelinesChanged")]
pub(super) struct Changed {
    /// `true`
    status: bool,
    detail: String,
}

/// That the directory was read.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PipelinesReloaded")]
pub(super) struct Reloaded {
    message: &'static str,
}

pub(super) async fn add(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let Call { shared, head, body, log, .. } = call;
    let AddRequest { url } = Reading { shared, head, body, log: &mut *log }.value(Form::Closed).await?;
    let (url, name) = (raw_of_blob(&url), file_of(&url));
    if name.is_empty() {
        return Err(Refusal::field("url", "must end in the name of a file, such as https://example.com/NAME.wasm").into());
    }
    let what = Fetched {
        url,
        private: shared.open_webui.private_urls,
        bytes_max: shared.state.registry.file_bytes(),
        time: shared.open_webui.fetch_time.min(shared.limits.request_time),
    };
    let bytes = shared.state.fetch.fetch(what).await.map_err(|error| match error {
        FetchError::Refused(why) => Refusal::NotFetched(why),
        FetchError::Slow => Refusal::FetchSlow,
    })?;
    put(shared, log, &name, bytes.into(), "added successfully from").await
}

pub(super) async fn upload(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let Call { shared, head, body, log, .. } = call;
    let (name, bytes) = deploy::uploaded(shared, head, body, log).await?;
    let name = name.ok_or_else(|| Refusal::field("file", "must be sent as a form's file with its name"))?;
    put(shared, log, &name, bytes, "uploaded successfully to").await
}

async fn put(shared: &Shared, log: &RequestLog, name: &str, bytes: Bytes, done: &str) -> Result<Response<Content>, Failure> {
    if !bytes.starts_with(MAGIC) {
        return Err(Refusal::NoComponent { what: format!("`{name}`").into() }.into());
    }
    // Open WebUI's page lets only names pass that end in `.py`.
    let stem = name.strip_suffix(".py").unwrap_or(name);
    let stem = stem.strip_suffix(".wasm").unwrap_or(stem);
    let (status, _) = deploy::put(shared, log, stem.to_owned(), bytes).await?;
    let later = if status.state == "compiling" { "; it is still being compiled" } else { "" };
    Ok(respond::json(StatusCode::OK, &Changed { status: true, detail: format!("Pipeline {done} {}{later}", status.file) }))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let Call { shared, head, body, log, .. } = call;
    let DeleteRequest { id } = Reading { shared, head, body, log: &mut *log }.value(Form::Closed).await?;
    let plugins = shared.state.registry.snapshot();
    let name = found::find(&plugins, &id).map(|plugin| plugin.name().to_owned()).ok_or_else(|| Refusal::NoPipe(id.clone().into()))?;
    deploy::remove(shared, log, name).await?;
    Ok(respond::json(StatusCode::OK, &Changed { status: true, detail: format!("Pipeline {id} deleted successfully") }))
}

pub(super) async fn reload(call: Call<'_>) -> Result<Response<Content>, Failure> {
    deploy::read_directory(call.shared, call.log).await?;
    Ok(respond::json(StatusCode::OK, &Reloaded { message: "Pipelines reloaded successfully." }))
}

/// The file itself in place of GitHub's page about it.
fn raw_of_blob(url: &str) -> String {
    let rest = url.trim().strip_prefix("https://github.com/").and_then(|rest| {
        let (owner, rest) = rest.split_once('/')?;
        let (repository, path) = rest.split_once("/blob/")?;
        (!owner.is_empty() && !repository.contains('/')).then(|| format!("https://raw.githubusercontent.com/{owner}/{repository}/{path}"))
    });
    rest.unwrap_or_else(|| url.trim().to_owned())
}

/// The last segment of a URL's path.
fn file_of(url: &str) -> String {
    let path = url.trim().split(['?', '#']).next().unwrap_or_default();
    let after_host = path.split_once("://").map_or("", |(_, rest)| rest).split_once('/').map_or("", |(_, path)| path);
    after_host.rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_github_s_becomes_the_file() {
        let raw = "https://raw.githubusercontent.com/o/r/main/a/x.wasm";
        assert_eq!([raw_of_blob("https://github.com/o/r/blob/main/a/x.wasm"), raw_of_blob(raw)], [raw, raw]);
        for other in ["https://github.com/o/r", "https://example.com/o/r/blob/x", "https://github.com/o/a/b/blob/x"] {
            assert_eq!(raw_of_blob(other), other);
        }
    }

    #[test]
    fn a_file_is_named_by_the_end_of_its_url() {
        let names = ["https://h/a/x.wasm?raw=1#y", "http://h/x.py", "https://h", "https://h/", "x.wasm", "https://h/a/"].map(file_of);
        assert_eq!(names, ["x.wasm", "x.py", "", "", "", ""]);
    }
}
