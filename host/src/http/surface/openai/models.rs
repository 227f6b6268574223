//! `GET /v1/models` and `/v1/models/{id}`: what an OpenAI client can name as its model: the pipelines, and the providers' models that the
//! operator offers. The built-in embedder is not among them, lest somebody picks it for a chat.

use std::collections::BTreeMap;

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::http::access;
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::respond;
use crate::http::route::Call;
use crate::http::shared::Shared;
use crate::http::surface::pipelines::entries::{Entry, PipelineEntry, entries};
use crate::llm::OfferedModel;

/// Who owns a pipeline.
const OURS: &str = "cofferdam";

/// One model in OpenAI's form.
#[derive(Serialize, JsonSchema)]
pub(super) struct Model {
    id: String,
    /// `model`
    object: &'static str,
    /// Required by OpenAI's schema; no model here has such a date, so it is 0.
    created: u64,
    /// The provider, or `cofferdam` for a pipeline.
    owned_by: String,
    /// What people call it, if its plugin says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// What Open WebUI knows of it, if it is a filter or a pipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pipeline: Option<PipelineEntry>,
    /// What else its plugin says of it.
    #[serde(flatten)]
    extra: BTreeMap<String, Value>,
}

/// All of them, in OpenAI's form.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ModelList")]
pub(in crate::http::surface) struct Models {
    /// `list`
    object: &'static str,
    data: Vec<Model>,
    /// `true` if Open WebUI finds its Pipelines here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pipelines: bool,
}

/// The fields that no plugin fills in with what it says of a model.
const OWN: [&str; 6] = ["id", "object", "created", "owned_by", "name", "pipeline"];

/// What a client can name. Whoever has the key of Open WebUI's surface, or an admin key, gets what Open WebUI needs.
pub(super) async fn list(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let with_filters = access::manages(&call.shared.keys, &call.head.headers);
    Ok(listed(call.shared, with_filters))
}

/// The same with all filters, which nobody can ask: Open WebUI looks for them in its list of models.
pub(in crate::http::surface) async fn list_with_filters(call: Call<'_>) -> Result<Response<Content>, Failure> {
    Ok(listed(call.shared, true))
}

fn listed(shared: &Shared, with_filters: bool) -> Response<Content> {
    let catalog = &shared.state.catalog;
    let pipelines = catalog.list().into_iter().map(|pipeline| model(&pipeline.id, OURS));
    let offers = catalog.offers().map(|(offered, provider)| told(offered, provider));
    let embeddings = catalog.embeddings().map(|entry| model(&entry.id, &entry.target.provider));
    let mut data: Vec<Model> = pipelines.chain(offers).chain(embeddings).collect();
    for entry in entries(shared).into_iter().filter(|entry| with_filters || !entry.pipeline.is_filter()) {
        // Whoever is asked by that name already, is asked.
        if data.iter().all(|known| known.id != entry.id) {
            data.push(of_open_webui(entry));
        }
    }
    let pipelines = with_filters && shared.open_webui.enabled;
    respond::json(StatusCode::OK, &Models { object: "list", data, pipelines })
}

pub(super) async fn one(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let (catalog, id) = (&call.shared.state.catalog, &*call.id);
    if catalog.get(id).is_none()
        && let Some((offered, provider)) = catalog.offers().find(|(offered, _)| offered.name == id)
    {
        return Ok(respond::json(StatusCode::OK, &told(offered, provider)));
    }
    let owner = match (catalog.get(id), catalog.named(id)) {
        (Some(_), _) => OURS.to_owned(),
        (None, Some(offered)) => offered.definition.llm.targets.first().map(|target| target.provider.clone()).unwrap_or_default(),
        (None, None) => match catalog.embeddings().find(|entry| &*entry.id == id) {
            Some(entry) => entry.target.provider.clone(),
            None => return of_entry(call.shared, id).map(|model| respond::json(StatusCode::OK, &model)),
        },
    };
    Ok(respond::json(StatusCode::OK, &model(id, &owner)))
}

fn of_entry(shared: &Shared, id: &str) -> Result<Model, Failure> {
    let entry = entries(shared).into_iter().find(|entry| entry.id == id);
    entry.map(of_open_webui).ok_or_else(|| Refusal::NoModel(id.into()).into())
}

fn of_open_webui(Entry { id, name, pipeline }: Entry) -> Model {
    Model { name: Some(name), pipeline: Some(pipeline), ..model(&id, OURS) }
}

fn model(id: &str, owner: &str) -> Model {
    Model { id: id.into(), object: "model", created: 0, owned_by: owner.into(), name: None, pipeline: None, extra: BTreeMap::new() }
}

/// With what its plugin says of it, if it is one's.
fn told(offered: OfferedModel, owner: &str) -> Model {
    let OfferedModel { name: id, title: name, extra } = offered;
    let others = extra.into_iter().filter(|(field, _)| !OWN.contains(&field.as_str()));
    // The plugin's text was checked when it was asked.
    let extra = others.filter_map(|(field, json)| Some((field, serde_json::from_str(json.get()).ok()?))).collect();
    Model { name, extra, ..model(&id, owner) }
}
