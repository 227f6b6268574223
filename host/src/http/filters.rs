//! Plugins as Open WebUI's filters and pipes: which there are, for which models, in which order, and what runs of them in the gateway's own chats.
//! A plugin that a pipeline of this gateway names has its place there. So it is no filter for other models until somebody says so, and no pipe that a
//! client could ask without that pipeline's guards.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::open_webui::RunFilters;
use super::shared::Shared;
use crate::llm::Target;
use crate::pipeline::{Catalog, Definition, Origin, Pipeline};
use crate::sandbox::{Hook, Plugin, Plugins};
use crate::stages::HookStage;

/// The settings that every filter has.
pub(super) const PIPELINES: &str = "pipelines";
pub(super) const PRIORITY: &str = "priority";

/// All models.
pub(super) const ALL: &str = "*";

/// For which models a filter is, and where among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) pipelines: Vec<String>,
    pub(super) priority: i64,
}

impl Placement {
    /// Whether it is for that model, as Open WebUI decides it: `*` counts only if it stands alone.
    fn is_for(&self, model: &str) -> bool {
        matches!(&self.pipelines[..], [all] if all == ALL) || self.pipelines.iter().any(|id| id == model)
    }
}

/// Whether the plugin has a hook that Open WebUI can call.
pub(super) fn is_filter(plugin: &Plugin) -> bool {
    plugin.has(Hook::Pre) || plugin.sees_reply()
}

/// The plugin's schema of its settings, if it has one that is an object.
pub(super) fn schema(plugin: &Plugin) -> Option<Map<String, Value>> {
    serde_json::from_str(plugin.config_schema()?).ok()
}

/// Whether the plugin's own schema has a setting of that name, which then is the filter's.
pub(super) fn is_own(schema: Option<&Map<String, Value>>, name: &str) -> bool {
    schema.and_then(|schema| schema.get("properties")?.get(name)).is_some()
}

/// Where the filter stands: by its own settings if it has them, else by those that the host keeps for it.
pub(super) fn placement(shared: &Shared, plugin: &Plugin) -> Placement {
    let registry = &shared.state.registry;
    let schema = schema(plugin);
    let owns = [PIPELINES, PRIORITY].map(|name| is_own(schema.as_ref(), name));
    let own = if owns == [false, false] { None } else { registry.settings(plugin.name()).ok() };
    let beside = registry.beside(plugin.name()).unwrap_or_default();
    let said =
        |name: &str, owned: bool| if owned { own.as_ref().and_then(|own| own.effective.get(name)) } else { beside.get(name) }.cloned();
    let pipelines = said(PIPELINES, owns[0]).and_then(|value| serde_json::from_value::<Vec<String>>(value).ok());
    let priority = said(PRIORITY, owns[1]).and_then(|value| value.as_i64());
    Placement { pipelines: pipelines.unwrap_or_else(|| default_pipelines(&shared.state.catalog, plugin)), priority: priority.unwrap_or(0) }
}

/// For all models, as the original's examples are, unless the plugin has a place already: in a pipeline of this gateway, or as a model's own hooks.
pub(super) fn default_pipelines(catalog: &Catalog, plugin: &Plugin) -> Vec<String> {
    let placed = !plugin.models().is_empty() || used(catalog).contains(plugin.name());
    if placed { Vec::new() } else { vec![ALL.to_owned()] }
}

/// The plugins that pipelines of this gateway name.
fn used(catalog: &Catalog) -> BTreeSet<String> {
    let pipelines = catalog.list();
    pipelines.iter().flat_map(|pipeline| catalog.plugins(&pipeline.definition)).map(str::to_owned).collect()
}

/// The models of plugins that Open WebUI, and any client, may ask by themselves: those of plugins that no pipeline names, each with its plugin.
pub(super) fn pipes(catalog: &Catalog, plugins: &Plugins) -> Vec<(Arc<Plugin>, crate::sandbox::ModelInfo)> {
    let used = used(catalog);
    let free = plugins.all().into_iter().filter(|plugin| !used.contains(plugin.name()));
    free.flat_map(|plugin| plugin.models().into_iter().map(move |model| (plugin.clone(), model))).collect()
}

/// The id by which Open WebUI knows a plugin's model.
pub(super) fn pipe_id(plugin: &str, model: &str) -> String {
    if model.is_empty() { plugin.to_owned() } else { format!("{plugin}.{model}") }
}

/// An id without the prefix that Open WebUI puts before it if a connection has a `prefix_id`. The prefix is no plugin's name.
pub(super) fn without_prefix<'a>(plugins: &Plugins, id: &'a str) -> Option<&'a str> {
    let (prefix, rest) = id.split_once('.')?;
    (!rest.is_empty() && plugins.find(prefix).is_none()).then_some(rest)
}

/// The pipeline that a client's `model` names: one of the gateway's, or one that asks a pipe and nothing else.
pub(super) fn named(shared: &Shared, model: &str) -> Option<Arc<Pipeline>> {
    let catalog = &shared.state.catalog;
    if let Some(pipeline) = catalog.named(model) {
        return Some(with_filters(shared, pipeline));
    }
    if !shared.open_webui.enabled {
        return None;
    }
    let provider = catalog.plugin_provider()?;
    let plugins = shared.state.registry.snapshot();
    let pipes = pipes(catalog, &plugins);
    let pipe = |id: &str| pipes.iter().find(|(plugin, model)| pipe_id(plugin.name(), &model.id) == id);
    let found = pipe(model).or_else(|| without_prefix(&plugins, model).and_then(pipe));
    let Some((plugin, info)) = found else {
        let rest = without_prefix(&plugins, model)?;
        return catalog.named(rest).map(|pipeline| with_filters(shared, pipeline));
    };
    let id: Arc<str> = pipe_id(plugin.name(), &info.id).into();
    let model = if info.id.is_empty() { plugin.name().to_owned() } else { format!("{}/{}", plugin.name(), info.id) };
    let target = Target { provider: provider.to_owned(), model, secret_key_name: None, on_status: None };
    let mut definition = Definition::of(target);
    if shared.open_webui.run_filters == RunFilters::Gateway {
        // As Open WebUI does: filters first, and then the pipe itself.
        definition.pre_hook = plugin.has(Hook::Pre).then(|| stage(vec![plugin.name().to_owned()]));
        definition.post_hook = plugin.sees_reply().then(|| stage(vec![plugin.name().to_owned()]));
    }
    Some(with_filters(shared, Arc::new(Pipeline { id, definition, origin: Origin::File })))
}

fn stage(plugins: Vec<String>) -> HookStage {
    // A client that could switch it off would choose its filters itself.
    HookStage { enabled: true, locked: true, plugins }
}

/// With the filters that are for this model, if the gateway runs them: before the pipeline's own hooks in the order of their priority, and after
/// its own on the reply.
fn with_filters(shared: &Shared, pipeline: Arc<Pipeline>) -> Arc<Pipeline> {
    if !shared.open_webui.enabled || shared.open_webui.run_filters != RunFilters::Gateway {
        return pipeline;
    }
    let plugins = shared.state.registry.snapshot();
    let filters = filters_of(shared, &plugins, &pipeline.id);
    let named = |pass: fn(&Plugin) -> bool, own: &Option<HookStage>| -> Vec<String> {
        let there = |name: &str| own.as_ref().is_some_and(|own| own.plugins.iter().any(|known| known == name));
        filters.iter().filter(|plugin| pass(plugin) && !there(plugin.name())).map(|plugin| plugin.name().to_owned()).collect()
    };
    let before = named(|plugin| plugin.has(Hook::Pre), &pipeline.definition.pre_hook);
    let after = named(Plugin::sees_reply, &pipeline.definition.post_hook);
    if before.is_empty() && after.is_empty() {
        return pipeline;
    }
    let mut changed = Pipeline::clone(&pipeline);
    let Definition { pre_hook, post_hook, .. } = &mut changed.definition;
    if !before.is_empty() {
        let own = pre_hook.take().filter(|stage| stage.enabled).map(|stage| stage.plugins).unwrap_or_default();
        *pre_hook = Some(stage(before.into_iter().chain(own).collect()));
    }
    if !after.is_empty() {
        let own = post_hook.take().filter(|stage| stage.enabled).map(|stage| stage.plugins).unwrap_or_default();
        *post_hook = Some(stage(own.into_iter().chain(after).collect()));
    }
    Arc::new(changed)
}

/// The filters for one model, the lowest priority first, and of one priority by name.
fn filters_of(shared: &Shared, plugins: &Plugins, model: &str) -> Vec<Arc<Plugin>> {
    let filters = plugins.all().into_iter().filter(|plugin| is_filter(plugin));
    let placed = filters.map(|plugin| (placement(shared, &plugin), plugin)).filter(|(placement, _)| placement.is_for(model));
    let mut placed: Vec<(i64, Arc<Plugin>)> = placed.map(|(placement, plugin)| (placement.priority, plugin)).collect();
    placed.sort_by_key(|(priority, _)| *priority);
    placed.into_iter().map(|(_, plugin)| plugin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_alone() {
        let is_for = |pipelines: &[&str], model: &str| {
            Placement { pipelines: pipelines.iter().map(|id| (*id).to_owned()).collect(), priority: 0 }.is_for(model)
        };
        assert!(is_for(&["*"], "m") && is_for(&["x", "m"], "m"));
        assert!(!is_for(&["*", "x"], "m") && !is_for(&[], "m") && !is_for(&["n"], "m"));
    }
}
