//! `POST /api/v1/gateway/apis/{id}/knowledge/test`: exactly the chunks that a question would have injected.
//! What a request leaves open comes from the pipeline's rag stage.

use std::sync::Arc;

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::chat::codec::Form;
use crate::chat::{Hit, is_name};
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::json_body::Reading;
use crate::http::respond;
use crate::http::route::Call;
use crate::http::shared::Shared;
use crate::pipeline::definition::{SCORE_THRESHOLD, TOP_K};
use crate::pipeline::{self, Pipeline};
use crate::rag::{Namespace, Query, TOP_K_MAX};
use crate::stages::RagStage;

/// The body of `/test`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    query: String,
    top_k: Option<usize>,
    score_threshold: Option<f32>,
    namespace: Option<String>,
}

/// What `/test` answers. A structure of its own, because an `f32` that passes through `Value` comes out as 0.699999988.
#[derive(Serialize, JsonSchema)]
pub(super) struct Found<'a> {
    /// `list`
    object: &'static str,
    query: &'a str,
    namespace: &'a str,
    /// As it was used: `limits.rag.top_k` may be less than the request's.
    top_k: usize,
    score_threshold: f32,
    /// Of all chunks, those under the threshold included, which helps to choose one.
    best_score: Option<f32>,
    data: Vec<Chunk<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct Chunk<'a> {
    source: &'a str,
    ordinal: u32,
    score: f32,
    text: &'a str,
}

impl<'a> Chunk<'a> {
    fn of(hit: &'a Hit) -> Self {
        Self { source: &hit.source, ordinal: hit.ordinal, score: hit.score, text: &hit.text }
    }
}

pub(super) async fn test(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let Call { shared, head, body, log, id, .. } = call;
    let pipeline = api(shared, &id)?;
    let question: Question = Reading { shared, head, body, log: &mut *log }.value_by_curl(Form::Closed).await?;
    let (top_k, score_threshold) = search_options(&question, pipeline.definition.rag.as_ref())?;
    let namespace = within(&pipeline, question.namespace)?;
    let text = question.query;
    let query = Query { text: text.clone(), top_k, score_threshold, client: log.client.clone() };
    let found = timely(Instant::now() + shared.limits.request_time, shared.state.knowledge.search(&namespace, query)).await??;
    let reply = Found {
        object: "list",
        query: &text,
        namespace: &namespace.name,
        top_k: found.top_k,
        score_threshold,
        best_score: found.best_score,
        data: found.hits.iter().map(Chunk::of).collect(),
    };
    Ok(respond::json(StatusCode::OK, &reply))
}

/// `top_k` and `score_threshold`, the stage's if the question leaves them open.
fn search_options(question: &Question, stage: Option<&RagStage>) -> Result<(usize, f32), Refusal> {
    if question.query.trim().is_empty() {
        return Err(Refusal::field("query", "must hold text"));
    }
    let top_k = match question.top_k {
        None => stage.map_or(TOP_K, |stage| stage.top_k),
        Some(k @ 1..=TOP_K_MAX) => k,
        Some(_) => return Err(Refusal::field("top_k", format!("must be a whole number from 1 to {TOP_K_MAX}"))),
    };
    let score_threshold = match question.score_threshold {
        None => stage.map_or(SCORE_THRESHOLD, |stage| stage.score_threshold),
        Some(score) if (0.0..=1.0).contains(&score) => score,
        Some(_) => return Err(Refusal::field("score_threshold", "must be a number from 0 to 1")),
    };
    Ok((top_k, score_threshold))
}

/// Bounds work that has no deadline of its own.
pub(super) async fn timely<T>(end: Instant, work: impl Future<Output = T>) -> Result<T, pipeline::Error> {
    tokio::time::timeout_at(end, work).await.map_err(|_| pipeline::Error::Deadline)
}

pub(super) fn api(shared: &Shared, id: &str) -> Result<Arc<Pipeline>, Refusal> {
    shared.state.catalog.get(id).ok_or_else(|| Refusal::NoApi(id.into()))
}

/// The namespace that was named, else the rag stage's, else `default`.
pub(super) fn within(pipeline: &Pipeline, named: Option<String>) -> Result<Namespace, Refusal> {
    let stage = pipeline.definition.rag.as_ref().map(|stage| stage.namespace.clone());
    let name = named.or(stage).unwrap_or_else(|| "default".into());
    if !is_name(&name) {
        return Err(Refusal::field("namespace", "must be 1 to 64 letters, digits, `-`, `_` or `.`"));
    }
    Ok(Namespace { api: pipeline.id.to_string(), name })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::pipeline::{Definition, Origin};

    fn question(json: &str) -> Question {
        serde_json::from_str(json).expect("a question")
    }

    fn pipeline(rag: &Value) -> Pipeline {
        let llm = json!({"stage": "llm", "config": {"primary": {"provider": "builtin", "model": "m"}}});
        let mut stages = vec![llm];
        stages.extend(rag.as_object().map(|_| rag.clone()));
        let definition = Definition::parse(&json!({"pipeline": stages})).expect("a definition");
        Pipeline { id: "support".into(), definition, origin: Origin::Api }
    }

    #[test]
    fn what_a_question_leaves_open_comes_from_the_rag_stage() {
        let with = pipeline(&json!({"stage": "rag", "config": {"top_k": 3, "score_threshold": 0.5, "namespace": "docs"}}));
        let bare = pipeline(&Value::Null);
        let open = question(r#"{"query":"q"}"#);
        assert_eq!(search_options(&open, with.definition.rag.as_ref()), Ok((3, 0.5)));
        assert_eq!(search_options(&open, None), Ok((TOP_K, SCORE_THRESHOLD)));
        assert_eq!(
            search_options(&question(r#"{"query":"q","top_k":50,"score_threshold":0}"#), with.definition.rag.as_ref()),
            Ok((50, 0.0))
        );
        let name = |pipeline, named: Option<&str>| within(pipeline, named.map(str::to_owned)).map(|n| n.name);
        assert_eq!(name(&with, None), Ok("docs".into()));
        assert_eq!(name(&with, Some("other")), Ok("other".into()));
        assert_eq!(name(&bare, None), Ok("default".into()));
        assert!(name(&bare, Some("a/b")).is_err());
    }

    #[test]
    fn an_invalid_question_names_its_field() {
        let cases = [(r#"{"query":" "}"#, "query"), (r#"{"query":"q","top_k":0}"#, "top_k"), (r#"{"query":"q","top_k":51}"#, "top_k")];
        for (json, field) in cases.into_iter().chain([(r#"{"query":"q","score_threshold":1.5}"#, "score_threshold")]) {
            assert!(matches!(search_options(&question(json), None), Err(Refusal::Field { param, .. }) if param == field), "{json}");
        }
    }
}
