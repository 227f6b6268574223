//! `GET /v1/models` and `/v1/models/{id}`: what an OpenAI client can name as its model: the pipelines, and the providers' models that the
//! operator offers. The built-in embedder is not among them, lest somebody picks it for a chat. Must not know what a pipeline does.

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::Content;
use super::error::{Failure, Refusal};
use super::respond;
use crate::pipeline::Catalog;

/// Who owns a pipeline.
const OURS: &str = "cofferdam";

pub(super) fn list(catalog: &Catalog) -> Response<Content> {
    let pipelines = catalog.list().into_iter().map(|pipeline| model(&pipeline.id, OURS));
    let offers = catalog.offers().map(|(name, provider)| model(&name, provider));
    let embeddings = catalog.embeddings().map(|entry| model(&entry.id, &entry.target.provider));
    let data: Vec<Value> = pipelines.chain(offers).chain(embeddings).collect();
    respond::json(StatusCode::OK, &json!({"object": "list", "data": data}))
}

pub(super) fn one(catalog: &Catalog, id: &str) -> Result<Response<Content>, Failure> {
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

/// `created` is required by OpenAI's schema; none of these has such a date.
fn model(id: &str, owner: &str) -> Value {
    json!({"id": id, "object": "model", "created": 0, "owned_by": owner})
}
