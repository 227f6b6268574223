//! `GET /v1/models` and `/v1/models/{id}`: the pipelines as the models that an OpenAI client can pick.
//! Must not know what a pipeline does.

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::Content;
use super::error::{Failure, Refusal};
use super::respond;
use crate::pipeline::Catalog;

pub(super) fn list(catalog: &Catalog) -> Response<Content> {
    let data: Vec<Value> = catalog.list().iter().map(|pipeline| model(&pipeline.id)).collect();
    respond::json(StatusCode::OK, &json!({"object": "list", "data": data}))
}

pub(super) fn one(catalog: &Catalog, id: &str) -> Result<Response<Content>, Failure> {
    let pipeline = catalog.get(id).ok_or_else(|| Refusal::NoModel(id.into()))?;
    Ok(respond::json(StatusCode::OK, &model(&pipeline.id)))
}

/// `created` is required by OpenAI's schema; a pipeline has no such date.
fn model(id: &str) -> Value {
    json!({"id": id, "object": "model", "created": 0, "owned_by": "cofferdam"})
}
