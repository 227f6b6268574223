//! `GET`, `PUT` and `DELETE /api/v1/gateway/apis/{id}/pipeline`: the seed's JSON in, the same out.
//! Invariant: what was put comes back as it was written, with `id`, `object` and `origin` beside it.

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::apis;
use super::page::Deleted;
use crate::chat::codec::Form;
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::json_body::Reading;
use crate::http::respond;
use crate::http::route::Call;
use crate::pipeline::{Definition, Pipeline, Problem, PutError};
use crate::rag::Knowledge;

/// What a pipeline is put as: `{"pipeline": [...]}`, or the list of stages alone.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by the pipeline's own parser; here for its schema")]
pub(super) enum PipelineBody {
    Object { pipeline: Vec<Stage> },
    List(Vec<Stage>),
}

/// What is shown of a pipeline.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "written as the source with keys beside it; here for its schema")]
pub(super) struct PipelineDocument {
    pipeline: Vec<Stage>,
    id: String,
    /// `pipeline`
    object: String,
    /// `file` or `api`: the place of its definition.
    origin: String,
    /// After a PUT: what is allowed and yet perhaps not meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    warnings: Option<Vec<String>>,
}

/// One stage; the order is fixed and `llm` is always there.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "as above")]
pub(super) struct Stage {
    /// `rag`, `pre_hook`, `llm` or `post_hook`
    stage: String,
    /// Of a stage of that name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    enabled: Option<bool>,
    /// Whether clients may not switch it off.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    locked: Option<bool>,
}

pub(super) async fn get(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let pipeline = call.shared.state.catalog.get(&call.id).ok_or_else(|| Refusal::NoApi(call.id.as_ref().into()))?;
    Ok(respond::json(StatusCode::OK, &shown(&pipeline)))
}

/// 201 for a new one, 200 for a changed one; warnings beside it.
pub(super) async fn put(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let Call { shared, head, body, log, id, .. } = call;
    let catalog = &shared.state.catalog;
    let source: Value = Reading { shared, head, body, log }.value(Form::Closed).await?;
    check_reranker(&shared.state.knowledge, &source)?;
    let put = catalog.put(&id, &source).await?;
    let mut reply = catalog.get(&id).map_or_else(|| json!({"id": id}), |pipeline| shown(&pipeline));
    reply["warnings"] = json!(put.warnings);
    Ok(respond::json(if put.created { StatusCode::CREATED } else { StatusCode::OK }, &reply))
}

/// What else is wrong with a definition is the catalogue's to say.
fn check_reranker(knowledge: &Knowledge, source: &Value) -> Result<(), PutError> {
    let definition = Definition::parse(source).ok();
    let Some(name) = definition.and_then(|definition| definition.rag?.rerank).filter(|name| !knowledge.has_reranker(name)) else {
        return Ok(());
    };
    let message = format!("there is no reranker `{name}` in the operator's file (`[rag.rerankers]`)");
    Err(PutError::Invalid(vec![Problem { path: "pipeline.rag.config.rerank".into(), message }]))
}

pub(super) async fn delete(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let id = &*call.id;
    if !call.shared.state.catalog.delete(id).await? {
        return Err(Refusal::NoSuchApi(id.into()).into());
    }
    Ok(respond::json(StatusCode::OK, &Deleted { id, object: "pipeline", deleted: true }))
}

/// The source, with the id and the place of its definition beside it.
fn shown(pipeline: &Pipeline) -> Value {
    let mut reply = pipeline.definition.source().clone();
    reply["id"] = json!(&*pipeline.id);
    reply["object"] = json!("pipeline");
    reply["origin"] = json!(apis::word(pipeline.origin));
    reply
}
