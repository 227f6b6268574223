//! `GET /api/v1/gateway/apis`: every API id that has a pipeline or knowledge, and where its pipeline is defined.
//! Knowledge outlives its pipeline, so an id whose pipeline was deleted stands here until its documents are deleted too.

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::page;
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::respond;
use crate::http::route::Call;
use crate::http::shared::Shared;
use crate::pipeline::Origin;

/// One API.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Api {
    id: String,
    /// `api`
    object: &'static str,
    /// `file` or `api`: the place of its pipeline's definition. Null if it has none, and only its knowledge is left.
    origin: Option<&'static str>,
}

pub(super) async fn list(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let asked = page::asked(call.head.uri.query(), &["limit", "after"])?;
    let state = &call.shared.state;
    let with_pipeline = state.catalog.list().into_iter().map(|pipeline| (pipeline.id.to_string(), word(pipeline.origin))).collect();
    let with_knowledge = state.knowledge.apis(asked.page()).await?;
    let apis = merged(with_pipeline, with_knowledge, &asked.after, asked.page().count);
    Ok(respond::json(StatusCode::OK, &asked.of(apis, |api| &api.id)))
}

/// The first `count` ids after `after`, of two sorted lists; the second one is a page already.
fn merged(with_pipeline: Vec<(String, &'static str)>, with_knowledge: Vec<String>, after: &str, count: usize) -> Vec<Api> {
    let mut apis: Vec<Api> = with_pipeline.into_iter().map(|(id, origin)| Api { id, object: "api", origin: Some(origin) }).collect();
    let without = with_knowledge.into_iter().map(|id| Api { id, object: "api", origin: None });
    apis.extend(without);
    // Of two of one id the one with a pipeline comes first, because the sort is stable.
    apis.sort_by(|a, b| a.id.cmp(&b.id));
    apis.dedup_by(|later, first| later.id == first.id);
    apis.into_iter().filter(|api| api.id.as_str() > after).take(count).collect()
}

/// Where a pipeline is defined, in the words of the answers.
pub(super) fn word(origin: Origin) -> &'static str {
    match origin {
        Origin::File => "file",
        Origin::Api => "api",
    }
}

/// Refuses an id that has neither a pipeline nor a document.
pub(super) async fn known(shared: &Shared, id: &str) -> Result<(), Failure> {
    let first = crate::rag::Page { after: "", count: 1 };
    if shared.state.catalog.get(id).is_none() && shared.state.knowledge.namespaces(id, first).await?.is_empty() {
        return Err(Refusal::NoSuchApi(id.into()).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_with_knowledge_alone_stands_between_those_with_a_pipeline() {
        let ids = |after: &str, count: usize| {
            let pipelines = vec![("a".to_owned(), "file"), ("c".to_owned(), "api")];
            let knowledge = ["a", "b", "d"].iter().filter(|id| **id > after).map(|id| (*id).to_owned()).take(count).collect();
            let apis = merged(pipelines, knowledge, after, count);
            apis.into_iter().map(|api| format!("{} {}", api.id, api.origin.unwrap_or("-"))).collect::<Vec<_>>()
        };
        assert_eq!(ids("", 9), ["a file", "b -", "c api", "d -"]);
        assert_eq!(ids("", 2), ["a file", "b -"]);
        assert_eq!(ids("b", 1), ["c api"]);
        assert_eq!(ids("bb", 9), ["c api", "d -"]);
        assert_eq!(ids("d", 9), [""; 0]);
    }
}
