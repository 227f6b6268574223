//! `GET`, `PUT` and `DELETE /api/v1/plugins/{name}/settings`: what the operator's file leaves open of a plugin's settings, changed while it runs.
//! No secret leaves: what the plugin's schema calls `writeOnly` is a mask here, and the mask sent back means that it stays as it is.

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::page::Deleted;
use crate::chat::codec::Form;
use crate::http::body::Content;
use crate::http::error::Failure;
use crate::http::json_body::Reading;
use crate::http::respond;
use crate::http::route::Call;
use crate::sandbox::settings::SettingsView;

/// What a plugin's settings are put as: the object itself, without what the file fixes. It takes the place of what was set before.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "checked against the plugin's own schema; here for its schema")]
pub(super) struct SettingsBody(Map<String, Value>);

/// The settings of one plugin. Where its schema says `writeOnly`, there is a mask in place of the value.
#[derive(Serialize, JsonSchema)]
pub(super) struct Settings<'a> {
    /// `plugin.settings`
    object: &'static str,
    /// The plugin's name.
    id: &'a str,
    /// What was set through the API; this, changed, is what can be put.
    settings: Map<String, Value>,
    /// What the plugin sees: what the operator's file says, what was set through the API, and the schema's defaults.
    effective: Map<String, Value>,
    /// The settings that the operator's file fixes.
    fixed: Vec<String>,
}

pub(super) async fn get(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let view = call.shared.state.registry.settings(&call.id)?;
    Ok(shown(&call.id, view))
}

pub(super) async fn put(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let Call { shared, head, body, log, id, .. } = call;
    let sent: Map<String, Value> = Reading { shared, head, body, log }.value(Form::Closed).await?;
    let view = shared.state.registry.put_settings(&id, sent).await?;
    Ok(shown(&id, view))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let id = &*call.id;
    call.shared.state.registry.delete_settings(id).await?;
    Ok(respond::json(StatusCode::OK, &Deleted { id, object: "plugin.settings", deleted: true }))
}

fn shown(id: &str, SettingsView { settings, effective, fixed }: SettingsView) -> Response<Content> {
    respond::json(StatusCode::OK, &Settings { object: "plugin.settings", id, settings, effective, fixed })
}
