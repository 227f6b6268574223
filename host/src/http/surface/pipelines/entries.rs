//! Filters and pipes as entries of lists of models. Of every filter all of `type`, `pipelines` and `priority` are there: Open WebUI reads them
//! without looking whether they are, for every chat.

use schemars::JsonSchema;
use serde::Serialize;

use super::found::FILTER;
use crate::http::filters::{self, Placement, is_filter, pipe_id};
use crate::http::shared::Shared;

/// What Open WebUI knows of a model that is a filter or a pipe.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PipelineEntry")]
pub(in crate::http::surface) struct PipelineEntry {
    /// `filter`, `pipe` or `manifold`.
    pub(super) r#type: &'static str,
    /// Whether it has settings.
    pub(super) valves: bool,
    /// Of a filter: the ids of the models that it is for, or `*` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pipelines: Option<Vec<String>>,
    /// Of a filter: the lowest runs first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) priority: Option<i64>,
}

impl PipelineEntry {
    pub(in crate::http::surface) fn is_filter(&self) -> bool {
        self.pipelines.is_some()
    }
}

/// An entry with its id and what people call it.
pub(in crate::http::surface) struct Entry {
    pub(in crate::http::surface) id: String,
    pub(in crate::http::surface) name: String,
    pub(in crate::http::surface) pipeline: PipelineEntry,
}

/// Every pipe, and behind these every filter. None if the surface is off.
pub(in crate::http::surface) fn entries(shared: &Shared) -> Vec<Entry> {
    if !shared.open_webui.enabled {
        return Vec::new();
    }
    let plugins = shared.state.registry.snapshot();
    let pipes = filters::pipes(&shared.state.catalog, &plugins);
    let valves = |plugin: &crate::sandbox::Plugin| plugin.config_schema().is_some() || is_filter(plugin);
    let mut entries: Vec<Entry> = pipes
        .iter()
        .map(|(plugin, model)| {
            let id = pipe_id(plugin.name(), &model.id);
            let of = |r#type| PipelineEntry { r#type, valves: valves(plugin), pipelines: None, priority: None };
            let pipeline = of(if model.id.is_empty() { "pipe" } else { "manifold" });
            Entry { name: model.title.clone().unwrap_or_else(|| id.clone()), id, pipeline }
        })
        .collect();
    for plugin in plugins.all().iter().filter(|plugin| is_filter(plugin)) {
        let Placement { pipelines, priority } = filters::placement(shared, plugin);
        let pipeline = PipelineEntry { r#type: "filter", valves: true, pipelines: Some(pipelines), priority: Some(priority) };
        let taken = entries.iter().any(|entry| entry.id == plugin.name());
        let id = if taken { format!("{}.{FILTER}", plugin.name()) } else { plugin.name().to_owned() };
        entries.push(Entry { id, name: plugin.name().to_owned(), pipeline });
    }
    entries
}
