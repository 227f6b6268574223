//! `POST /api/v1/reload`: reads the operator's file again, and says what is different now.
//! Invariant: keys are named, values never.

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::reload::Reloaded;
use crate::http::respond;
use crate::http::route::Call;

/// What a reload did.
#[derive(Serialize, JsonSchema)]
pub(super) struct ReloadReport<'a> {
    /// `reload`
    object: &'static str,
    /// What is in force now and was not before.
    changed: Vec<ChangedKey<'a>>,
    /// Keys whose new values are not in force before a restart.
    needs_restart: &'a [String],
    /// What is in force and does not work.
    warnings: &'a [String],
}

#[derive(Serialize, JsonSchema)]
struct ChangedKey<'a> {
    /// Its path in the file.
    key: &'a str,
    /// `added`, `removed` or `changed`
    change: &'static str,
}

pub(super) async fn reload(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let over = call.shared.state.reloads.ask().await.ok_or(Refusal::Overloaded { key: "limits.http.reloads" })?;
    let Reloaded { changed, needs_restart, warnings } = over?;
    let changed = changed.iter().map(|(key, change)| ChangedKey { key, change }).collect();
    Ok(respond::json(StatusCode::OK, &ReloadReport { object: "reload", changed, needs_restart: &needs_restart, warnings: &warnings }))
}
