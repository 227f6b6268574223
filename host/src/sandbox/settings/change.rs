//! What operators read and change of a live plugin's settings through the API. Nothing is kept that would not fit, and what the file
//! fixes is not changed here, so what was answered with success is what the next call sees.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::book::Book;
use super::live::Live;
use super::problem::{Problem, told};
use super::store::StoreError;

/// One plugin's settings, with `MASK` in place of each that is `writeOnly`.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingsView {
    /// What was set through the API.
    pub settings: Map<String, Value>,
    /// What the plugin sees: the file's, those, and the schema's defaults.
    pub effective: Map<String, Value>,
    /// The names that the operator's file fixes.
    pub fixed: Vec<String>,
}

/// Why settings were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("no plugin `{0}` is live; GET /api/v1/plugins says what became of each file")]
    NoPlugin(String),
    #[error("the plugin `{0}` declares no schema of its settings; what it gets is `config` in `[plugins.{0}]` of the operator's file")]
    NoSchema(String),
    #[error("{}", told(.0))]
    Invalid(Vec<Problem>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

pub(in crate::sandbox) fn view(plugin: &str, live: &Live, book: &Book) -> SettingsView {
    let kept = book.of(plugin).map(|kept| kept.values.clone()).unwrap_or_default();
    let mask = |values: Map<String, Value>| live.schema().map_or_else(|| values.clone(), |schema| schema.mask(&values));
    let kept = if live.schema().is_some() { kept } else { Map::new() };
    SettingsView { settings: mask(kept), effective: mask(live.values()), fixed: live.fixed().keys().cloned().collect() }
}

/// Keeps `sent` in place of what was kept.
///
/// # Errors
/// Nothing was changed.
pub(in crate::sandbox) async fn put(plugin: &str, live: &Arc<Live>, book: &Book, sent: Map<String, Value>) -> Result<(), ChangeError> {
    let writing = book.writing().await;
    let kept = book.of(plugin).map(|kept| kept.values.clone()).unwrap_or_default();
    let (checking, name) = (live.clone(), plugin.to_owned());
    let values = apart(move || checked(&name, &checking, &sent, &kept)).await?;
    writing.keep(plugin, values).await?;
    let (live, kept) = (live.clone(), book.of(plugin));
    apart(move || live.refresh(kept.as_deref()).map_err(ChangeError::Invalid)).await
}

/// What would be kept of what was sent.
fn checked(plugin: &str, live: &Live, sent: &Map<String, Value>, kept: &Map<String, Value>) -> Result<Map<String, Value>, ChangeError> {
    let Some(schema) = live.schema() else { return Err(ChangeError::NoSchema(plugin.to_owned())) };
    let values = schema.unmask(sent, kept).map_err(ChangeError::Invalid)?;
    let fixed = |name: &&String| live.fixed().contains_key(*name);
    if let Some(name) = values.keys().find(fixed) {
        let message = format!("`config` in `[plugins.{plugin}]` of the operator's file fixes it; leave it out here, or take it out there");
        return Err(ChangeError::Invalid(vec![Problem::new(format!("/{name}"), message)]));
    }
    live.filled(Some(&values)).map_err(ChangeError::Invalid)?;
    Ok(values)
}

/// Off the threads that serve connections: the schema is the plugin's, and however well bounded, it may be dear to check.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, ChangeError> + Send + 'static) -> Result<T, ChangeError> {
    let failed = |error| Err(StoreError(format!("the check of settings failed: {error}")).into());
    tokio::task::spawn_blocking(work).await.unwrap_or_else(failed)
}

/// Forgets what was kept. `live` is none if no such plugin is; what is kept of it can be deleted all the same.
///
/// # Errors
/// Nothing was changed.
pub(in crate::sandbox) async fn delete(plugin: &str, live: Option<&Arc<Live>>, book: &Book) -> Result<(), ChangeError> {
    let writing = book.writing().await;
    match live {
        Some(live) => {
            let live = live.clone();
            apart(move || live.filled(None).map(drop).map_err(ChangeError::Invalid)).await?;
        }
        None if book.of(plugin).is_none() => return Err(ChangeError::NoPlugin(plugin.to_owned())),
        None => {}
    }
    writing.forget(plugin).await?;
    let Some(live) = live.cloned() else { return Ok(()) };
    apart(move || live.refresh(None).map_err(ChangeError::Invalid)).await
}

/// Under which name the host's own settings for a plugin are kept. No plugin has such a name.
pub(in crate::sandbox) fn beside(plugin: &str) -> String {
    format!("host:{plugin}")
}

/// Keeps what the host has beside a plugin's settings, in place of what was there.
///
/// # Errors
/// Nothing was changed.
pub(in crate::sandbox) async fn put_beside(beside: &str, book: &Book, values: Map<String, Value>) -> Result<(), ChangeError> {
    Ok(book.writing().await.keep(beside, values).await?)
}
