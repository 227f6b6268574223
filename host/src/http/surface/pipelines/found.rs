//! Which plugin an id of Open WebUI's means: `NAME`, `NAME.MODEL` of a plugin that has models, and both with a connection's `prefix_id` before them.
//! Names of plugins hold no dot, so one id never means two things.

use std::sync::Arc;

use crate::http::error::{Failure, Refusal};
use crate::http::filters::{self, is_filter};
use crate::http::route::Call;
use crate::sandbox::{Plugin, Plugins};

/// The filter of a plugin that is a model by its own name, too.
pub(super) const FILTER: &str = "filter";

/// # Errors
/// `NoPipe`.
pub(super) fn plugin(call: &mut Call<'_>) -> Result<Arc<Plugin>, Failure> {
    // No pipeline's name for the log.
    call.log.pipeline = None;
    let plugins = call.shared.state.registry.snapshot();
    find(&plugins, &call.id).ok_or_else(|| Refusal::NoPipe((&*call.id).into()).into())
}

/// The plugin of that id, if it is a filter or a pipe.
pub(super) fn find(plugins: &Plugins, id: &str) -> Option<Arc<Plugin>> {
    let exact = |id: &str| {
        let (name, model) = id.split_once('.').unwrap_or((id, ""));
        let plugin = plugins.find(name)?;
        let models = plugin.models();
        let is_it = match model {
            "" => is_filter(plugin) || !models.is_empty(),
            FILTER if is_filter(plugin) => true,
            model => models.iter().any(|known| known.id == model),
        };
        is_it.then(|| plugin.clone())
    };
    exact(id).or_else(|| filters::without_prefix(plugins, id).and_then(exact))
}
