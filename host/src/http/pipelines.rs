//! `GET` and `PUT /api/v1/gateway/apis/{id}/pipeline`: the seed's JSON in, the same out. Must not know what makes a definition valid.

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::body::Content;
use super::error::{Failure, Refusal};
use super::server::Shared;
use super::{request_body, respond};
use crate::pipeline::{Catalog, Origin, Pipeline};

pub(super) fn get(catalog: &Catalog, id: &str) -> Result<Response<Content>, Failure> {
    let pipeline = catalog.get(id).ok_or_else(|| Refusal::NoApi(id.into()))?;
    Ok(respond::json(StatusCode::OK, &shown(&pipeline)))
}

/// 201 for a new one, 200 for a changed one; warnings beside it.
pub(super) async fn put(shared: &Shared, head: &Parts, body: &mut Incoming, id: &str) -> Result<Response<Content>, Failure> {
    let (limits, catalog) = (&shared.limits, &shared.state.catalog);
    request_body::expect_json(&head.headers)?;
    let bytes = request_body::collect(body, limits.body_bytes, "limits.http.body_bytes", limits.body_time).await?;
    let source: Value = request_body::json(&bytes)?;
    let put = catalog.put(id, &source).await?;
    let mut reply = catalog.get(id).map_or_else(|| json!({"id": id}), |pipeline| shown(&pipeline));
    reply["warnings"] = json!(put.warnings);
    Ok(respond::json(if put.created { StatusCode::CREATED } else { StatusCode::OK }, &reply))
}

/// The source, with the id and where it is defined beside it.
fn shown(pipeline: &Pipeline) -> Value {
    let mut reply = pipeline.definition.source().clone();
    reply["id"] = json!(&*pipeline.id);
    reply["object"] = json!("pipeline");
    reply["origin"] = json!(match pipeline.origin {
        Origin::File => "file",
        Origin::Api => "api",
    });
    reply
}
