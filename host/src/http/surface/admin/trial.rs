//! `POST /api/v1/gateway/apis/{id}/knowledge/test`: what a question finds and why, and the very text that a chat with it would be given.
//! What a request leaves open comes from the pipeline's rag stage, so that the answer is what a chat gets.

use hyper::{Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::knowledge::{api, timely, within};
use crate::chat::Hit;
use crate::chat::codec::Form;
use crate::http::body::Content;
use crate::http::error::{Failure, Refusal};
use crate::http::json_body::Reading;
use crate::http::respond;
use crate::http::route::Call;
use crate::pipeline::definition::{BUDGET_TOKENS_RANGE, NEIGHBOURS_MAX, SCORE_THRESHOLD, TOP_K, TURNS};
use crate::rag::{Evidence, Excerpt, Filter, MMR, Mode, Query, Reranking, Spread, TOP_K_MAX};
use crate::stages::{RagStage, retrieve};

/// The body of `/test`. What it leaves open is as in the pipeline's rag stage.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    query: String,
    /// What was asked before it in the same conversation, the newest first; as many as the stage's `turns` allow are looked at.
    earlier: Option<Vec<String>>,
    /// `vector`, `keyword` or `hybrid`
    mode: Option<String>,
    top_k: Option<usize>,
    score_threshold: Option<f32>,
    namespace: Option<String>,
    /// The weight of a hit's own rank against its likeness to better hits: 0 to 1.
    mmr: Option<f32>,
    /// Chunks before and after each hit that are shown too.
    neighbours: Option<u32>,
    /// Tokens of everything that is injected.
    budget_tokens: Option<usize>,
    /// Metadata that a document must have: `{"name": value, "other": {"in": [values]}}`
    #[schemars(with = "Option<std::collections::BTreeMap<String, Value>>")]
    filter: Option<Value>,
    /// The name of a reranker of the configuration.
    rerank: Option<String>,
}

/// What `/test` answers. A structure of its own, because an `f32` that passes through `Value` comes out as 0.699999988.
#[derive(Serialize, JsonSchema)]
pub(super) struct Found<'a> {
    /// `list`
    object: &'static str,
    query: &'a str,
    namespace: &'a str,
    /// `vector`, `keyword` or `hybrid`
    mode: &'static str,
    /// As it was used: `limits.rag.top_k` may be less than the request's.
    top_k: usize,
    score_threshold: f32,
    /// Of all chunks, those under the threshold included, which helps to choose one.
    best_score: Option<f32>,
    /// Whether a model ranked the hits: `ok`, or `failed`, and the order is that of the search. Null if none was asked.
    reranking: Option<&'static str>,
    /// The hits, best first.
    data: Vec<Chunk<'a>>,
    /// What would have been a hit but for the threshold, best first.
    below: Vec<Chunk<'a>>,
    /// What a chat is given, the best first: hits with their neighbours, joined where they touch.
    excerpts: Vec<Shown<'a>>,
    /// The whole message that a chat is given; its code is another one in every request. Null if there is nothing to give.
    injection: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Chunk<'a> {
    /// The document's name.
    source: &'a str,
    /// The document's id.
    document: &'a str,
    ordinal: u32,
    /// The headings that it stands under, `A > B`.
    heading: &'a str,
    page: Option<u32>,
    /// How well it fits the question, 0 to 1: what the threshold is compared with, whichever model embeds.
    score: f32,
    /// Cosine similarity, which each model has its own scale of. Null if the search was by words alone.
    cosine: Option<f32>,
    /// By how much that is above the cosines of texts which the question has nothing to do with, on a scale that all models have in common.
    likeness: Option<f32>,
    /// Its place by similarity alone, from 1.
    vector_rank: Option<usize>,
    /// Its place by words alone, from 1.
    keyword_rank: Option<usize>,
    /// By BM25.
    keyword_score: f32,
    /// The share of the question's words that it has, the rare ones counting for more: 0 to 1.
    coverage: f32,
    /// What the reranker says of it, and its place by that, from 1.
    rerank_score: Option<f32>,
    rerank_rank: Option<usize>,
    /// What it was ranked by.
    rank_score: f32,
    /// Whether a chat is given it: it is a hit, and the budget has room for it.
    injected: bool,
    text: &'a str,
}

/// A part of a document that a chat is given.
#[derive(Serialize, JsonSchema)]
struct Shown<'a> {
    source: &'a str,
    document: &'a str,
    /// Its first chunk.
    first: u32,
    /// Its last chunk.
    last: u32,
    page: Option<u32>,
    text: &'a str,
}

/// How a question is searched for.
#[derive(Debug, PartialEq)]
struct Options {
    mode: Mode,
    top_k: usize,
    score_threshold: f32,
    mmr: f32,
    spread: Spread,
    filter: Filter,
    rerank: Option<String>,
}

pub(super) async fn test(call: Call<'_>) -> Result<Response<Content>, Failure> {
    let Call { shared, head, body, log, id, .. } = call;
    let pipeline = api(shared, &id)?;
    let question: Question = Reading { shared, head, body, log: &mut *log }.value_by_curl(Form::Closed).await?;
    let turns = pipeline.definition.rag.as_ref().map_or(TURNS, |stage| stage.turns);
    let Options { mode, top_k, score_threshold, mmr, spread, filter, rerank } = options(&question, pipeline.definition.rag.as_ref())?;
    let namespace = within(&pipeline, question.namespace)?;
    if let Some(unknown) = question.rerank.as_deref().filter(|name| !shared.state.knowledge.has_reranker(name)) {
        return Err(Refusal::field("rerank", format!("there is no reranker {unknown:?} in the operator's file")).into());
    }
    let text = question.query;
    let mut earlier = question.earlier.unwrap_or_default();
    earlier.truncate(turns - 1);
    let query = Query { text: text.clone(), earlier, mode, top_k, score_threshold, mmr, filter, rerank, client: log.client.clone() };
    let knowledge = &shared.state.knowledge;
    let searching = async {
        let found = knowledge.search(&namespace, query).await?;
        let excerpts = knowledge.excerpts(&found.hits, spread).await?;
        Ok::<_, crate::rag::Error>((found, excerpts))
    };
    let (found, excerpts) = timely(Instant::now() + shared.limits.request_time, searching).await??;
    let injected = |at: usize| excerpts.iter().any(|excerpt| excerpt.of.contains(&at));
    let hits = found.hits.iter().zip(&found.evidence).enumerate();
    let reply = Found {
        object: "list",
        query: &text,
        namespace: &namespace.name,
        mode: mode.word(),
        top_k: found.top_k,
        score_threshold,
        best_score: found.best_score,
        reranking: found.reranking.map(Reranking::word),
        data: hits.map(|(at, (hit, evidence))| Chunk::of(hit, evidence, injected(at))).collect(),
        below: found.below.iter().map(|(hit, evidence)| Chunk::of(hit, evidence, false)).collect(),
        excerpts: excerpts.iter().map(Shown::of).collect(),
        injection: retrieve::injection(&retrieve::named(excerpts.clone())).map(|injection| injection.text),
    };
    Ok(respond::json(StatusCode::OK, &reply))
}

impl<'a> Chunk<'a> {
    fn of(hit: &'a Hit, evidence: &Evidence, injected: bool) -> Self {
        let Hit { document, source, ordinal, heading, page, text, score, cosine, .. } = hit;
        let Evidence { likeness, vector_rank, keyword_rank, keyword_score, coverage, rerank_score, rerank_rank, rank_score } = *evidence;
        let (ordinal, page, score, cosine) = (*ordinal, *page, *score, *cosine);
        Self {
            source,
            document,
            ordinal,
            heading,
            page,
            score,
            cosine,
            likeness,
            vector_rank,
            keyword_rank,
            keyword_score,
            coverage,
            rerank_score,
            rerank_rank,
            rank_score,
            injected,
            text,
        }
    }
}

impl<'a> Shown<'a> {
    fn of(excerpt: &'a Excerpt) -> Self {
        let Excerpt { hit, last, .. } = excerpt;
        Self { source: &hit.source, document: &hit.document, first: hit.ordinal, last: *last, page: hit.page, text: &hit.text }
    }
}

/// What the question says, the stage's for what it leaves open.
fn options(question: &Question, stage: Option<&RagStage>) -> Result<Options, Refusal> {
    if question.query.trim().is_empty() {
        return Err(Refusal::field("query", "must hold text"));
    }
    let mode = match question.mode.as_deref() {
        None => stage.map_or(Mode::default(), |stage| stage.mode),
        Some(word) => Mode::of(word).ok_or_else(|| Refusal::field("mode", format!("must be one of {}", Mode::WORDS.join(", "))))?,
    };
    let top_k = match question.top_k {
        None => stage.map_or(TOP_K, |stage| stage.top_k),
        Some(k @ 1..=TOP_K_MAX) => k,
        Some(_) => return Err(Refusal::field("top_k", format!("must be a whole number from 1 to {TOP_K_MAX}"))),
    };
    let share = |value: Option<f32>, name, default| match value {
        None => Ok(default),
        Some(share) if (0.0..=1.0).contains(&share) => Ok(share),
        Some(_) => Err(Refusal::field(name, "must be a number from 0 to 1")),
    };
    let score_threshold = share(question.score_threshold, "score_threshold", stage.map_or(SCORE_THRESHOLD, |stage| stage.score_threshold))?;
    let mmr = share(question.mmr, "mmr", stage.map_or(MMR, |stage| stage.mmr))?;
    let filter = match &question.filter {
        None => stage.map_or_else(Filter::default, |stage| stage.filter.clone()),
        Some(filter) => Filter::of(filter).map_err(|why| Refusal::field("filter", why))?,
    };
    let rerank = question.rerank.clone().or_else(|| stage.and_then(|stage| stage.rerank.clone()));
    Ok(Options { mode, top_k, score_threshold, mmr, spread: spread(question, stage)?, filter, rerank })
}

fn spread(question: &Question, stage: Option<&RagStage>) -> Result<Spread, Refusal> {
    let spread = stage.map_or_else(Spread::default, |stage| stage.spread);
    let neighbours = question.neighbours.unwrap_or(spread.neighbours);
    if neighbours > NEIGHBOURS_MAX {
        return Err(Refusal::field("neighbours", format!("must be a whole number from 0 to {NEIGHBOURS_MAX}")));
    }
    let budget_tokens = question.budget_tokens.unwrap_or(spread.budget_tokens);
    if !BUDGET_TOKENS_RANGE.contains(&budget_tokens) {
        let (least, most) = (BUDGET_TOKENS_RANGE.start(), BUDGET_TOKENS_RANGE.end());
        return Err(Refusal::field("budget_tokens", format!("must be a whole number from {least} to {most}")));
    }
    Ok(Spread { neighbours, budget_tokens })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::{Definition, Origin, Pipeline};

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
        let shown = |question: &Question, stage| options(question, stage).map(|options| (options.top_k, options.score_threshold));
        assert_eq!(shown(&open, with.definition.rag.as_ref()), Ok((3, 0.5)));
        assert_eq!(shown(&open, None), Ok((TOP_K, SCORE_THRESHOLD)));
        assert_eq!(shown(&question(r#"{"query":"q","top_k":50,"score_threshold":0}"#), with.definition.rag.as_ref()), Ok((50, 0.0)));
        let name = |pipeline, named: Option<&str>| within(pipeline, named.map(str::to_owned)).map(|n| n.name);
        assert_eq!(name(&with, None), Ok("docs".into()));
        assert_eq!(name(&with, Some("other")), Ok("other".into()));
        assert_eq!(name(&bare, None), Ok("default".into()));
        assert!(name(&bare, Some("a/b")).is_err());
    }

    #[test]
    fn how_it_searches_and_what_it_shows_comes_from_the_question_or_the_stage() {
        let config = json!({"mode": "vector", "mmr": 0.5, "neighbours": 0, "budget_tokens": 200, "filter": {"a": 1}});
        let stage = pipeline(&json!({"stage": "rag", "config": config}));
        let of_stage = options(&question(r#"{"query":"q"}"#), stage.definition.rag.as_ref()).expect("valid");
        assert_eq!((of_stage.mode, of_stage.mmr, of_stage.spread), (Mode::Vector, 0.5, Spread { neighbours: 0, budget_tokens: 200 }));
        assert!(!of_stage.filter.is_empty());
        let said = r#"{"query":"q","mode":"keyword","mmr":1,"neighbours":10,"budget_tokens":128,"filter":{}}"#;
        let said = options(&question(said), stage.definition.rag.as_ref()).expect("valid");
        assert_eq!((said.mode, said.mmr, said.spread), (Mode::Keyword, 1.0, Spread { neighbours: 10, budget_tokens: 128 }));
        assert!(said.filter.is_empty());
    }

    #[test]
    fn an_invalid_question_names_its_field() {
        let cases = [(r#"{"query":" "}"#, "query"), (r#"{"query":"q","top_k":0}"#, "top_k"), (r#"{"query":"q","top_k":51}"#, "top_k")];
        let more = [
            (r#"{"query":"q","score_threshold":1.5}"#, "score_threshold"),
            (r#"{"query":"q","mode":"both"}"#, "mode"),
            (r#"{"query":"q","mmr":-0.1}"#, "mmr"),
            (r#"{"query":"q","neighbours":11}"#, "neighbours"),
            (r#"{"query":"q","budget_tokens":127}"#, "budget_tokens"),
            (r#"{"query":"q","budget_tokens":100001}"#, "budget_tokens"),
            (r#"{"query":"q","filter":{"a":{"gt":1}}}"#, "filter"),
        ];
        for (json, field) in cases.into_iter().chain(more) {
            assert!(matches!(options(&question(json), None), Err(Refusal::Field { param, .. }) if param == field), "{json}");
        }
    }
}
