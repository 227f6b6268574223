//! `GET /v1/models` and `/v1/models/{id}`: what an OpenAI client can name as its model: the pipelines, and the providers' models that the
//! operator offers. The built-in embedder is not among them, lest somebody picks it for a chat.

use std::collections::BTreeMap;

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::respond;
use crate::http::route::Call;
use crate::http::surface::list::List;
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
    /// What else its plugin says of it.
    #[serde(flatten)]
    extra: BTreeMap<String, Value>,
}

/// The fields that no plugin fills in with what it says of a model.
const OWN: [&str; 5] = ["id", "object", "created", "owned_by", "name"];

pub(super) async fn list(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let catalog = &call.shared.state.catalog;
    let pipelines = catalog.list().into_iter().map(|pipeline| model(&pipeline.id, OURS));
    let offers = catalog.offers().map(|(offered, provider)| told(offered, provider));
    let embeddings = catalog.embeddings().map(|entry| model(&entry.id, &entry.target.provider));
    let data: Vec<Model> = pipelines.chain(offers).chain(embeddings).collect();
    Ok(respond::json(StatusCode::OK, &List::of(data)))
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
            None => return Err(Refusal::NoModel(id.into()).into()),
        },
    };
    Ok(respond::json(StatusCode::OK, &model(id, &owner)))
}

fn model(id: &str, owner: &str) -> Model {
    Model { id: id.into(), object: "model", created: 0, owned_by: owner.into(), name: None, extra: BTreeMap::new() }
}

/// With what its plugin says of it, if it is one's.
fn told(offered: OfferedModel, owner: &str) -> Model {
    let OfferedModel { name: id, title: name, extra } = offered;
    let others = extra.into_iter().filter(|(field, _)| !OWN.contains(&field.as_str()));
    // The plugin's text was checked when it was asked.
    let extra = others.filter_map(|(field, json)| Some((field, serde_json::from_str(json.get()).ok()?))).collect();
    Model { name, extra, ..model(&id, owner) }
}
