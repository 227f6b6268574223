//! `GET /` and `GET /pipelines`: that the surface is there, and what Open WebUI's page for administrators lists. Models are listed by `GET /models`,
//! which is the list that OpenAI's clients get.

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::http::body::Content;
use crate::http::error::Failure;
use crate::http::filters::is_filter;
use crate::http::respond;
use crate::http::route::Call;

/// That the surface is there.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PipelinesStatus")]
pub(super) struct Status {
    /// `true`
    status: bool,
}

/// What can be configured.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PipelinesList")]
pub(super) struct Listing {
    data: Vec<Listed>,
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ListedPipeline")]
struct Listed {
    id: String,
    name: String,
    /// `filter`, `pipe` or `manifold`.
    r#type: &'static str,
    /// Whether it has settings.
    valves: bool,
}

pub(super) async fn status(_: Call<'_>) -> Result<Response<Content>, Failure> {
    Ok(respond::json(StatusCode::OK, &Status { status: true }))
}

/// One entry a plugin, however many models it has.
pub(super) async fn list(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let plugins = call.shared.state.registry.snapshot();
    let listed = |plugin: &std::sync::Arc<crate::sandbox::Plugin>| {
        let models = plugin.models();
        let r#type = match &models[..] {
            [] if is_filter(plugin) => "filter",
            [] => return None,
            [only] if only.id.is_empty() => "pipe",
            _ => "manifold",
        };
        let valves = plugin.config_schema().is_some() || is_filter(plugin);
        Some(Listed { id: plugin.name().to_owned(), name: plugin.name().to_owned(), r#type, valves })
    };
    Ok(respond::json(StatusCode::OK, &Listing { data: plugins.all().iter().filter_map(listed).collect() }))
}
