//! A second opinion on what was found: a model that reads question and chunk together, at a provider. It changes the order of the hits, and which
//! of them come first; whether a chunk is a hit is the threshold's to say. If it cannot be had, the order stays. Who asks is behind a port.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::document::Reranking;
use super::fusion::Ranked;

/// Bytes of a chunk and of a question that are handed over: such models read 512 tokens of both.
const TEXT_BYTES: usize = 4_096;

/// A model that ranks, as the operator's file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RerankModel {
    pub provider: String,
    pub model: String,
    pub secret_key_name: Option<String>,
    /// The best so many hits are handed over; those behind them are dropped, if there are as many as are wanted.
    pub candidates: usize,
    /// For one request, with all that is tried again.
    pub time: Duration,
}

/// Asks providers for the relevance of texts.
pub trait AskRelevance: Send + Sync + 'static {
    /// One score for each text, in their order; the larger, the more relevant.
    ///
    /// # Errors
    /// Says what failed, without the texts.
    fn relevance<'a>(&'a self, model: &'a RerankModel, question: &'a str, texts: Vec<String>) -> BoxFuture<'a, Result<Vec<f32>, String>>;
}

/// The models by the names that pipelines have for them, and who asks them.
#[derive(Clone)]
pub struct Rerankers {
    pub named: BTreeMap<String, RerankModel>,
    pub port: Arc<dyn AskRelevance>,
}

/// The hits in the model's order, the first `wanted` at least; those of equal score stay as they were.
pub(super) async fn reranked(
    rerankers: Option<&Rerankers>,
    name: &str,
    question: &str,
    wanted: usize,
    mut ranked: Vec<Ranked>,
) -> (Vec<Ranked>, Option<Reranking>) {
    if ranked.len() < 2 {
        return (ranked, None);
    }
    let Some((rerankers, model)) = rerankers.and_then(|rerankers| Some((rerankers, rerankers.named.get(name)?))) else {
        tracing::warn!(
            reranker = name,
            "a pipeline names a reranker that the configuration does not have; hits stay in the order of the search"
        );
        return (ranked, Some(Reranking::Failed));
    };
    let count = model.candidates.max(wanted).min(ranked.len());
    let texts: Vec<String> = ranked[..count].iter().map(|ranked| start(&ranked.hit.text).to_owned()).collect();
    let asked = rerankers.port.relevance(model, start(question), texts);
    let scores = match tokio::time::timeout(model.time, asked).await {
        Ok(Ok(scores)) if scores.len() == count => scores,
        Ok(Ok(scores)) => return failed(name, &format!("{} scores for {count} texts", scores.len()), ranked),
        Ok(Err(why)) => return failed(name, &why, ranked),
        Err(_) => return failed(name, &format!("no answer within {:?}", model.time), ranked),
    };
    ranked.truncate(count);
    for (ranked, score) in ranked.iter_mut().zip(scores) {
        ranked.evidence.rerank_score = Some(score);
        ranked.evidence.rank_score = score;
    }
    ranked.sort_by(|a, b| b.evidence.rank_score.total_cmp(&a.evidence.rank_score));
    for (at, ranked) in ranked.iter_mut().enumerate() {
        ranked.evidence.rerank_rank = Some(at + 1);
    }
    (ranked, Some(Reranking::Done))
}

fn failed(name: &str, why: &str, ranked: Vec<Ranked>) -> (Vec<Ranked>, Option<Reranking>) {
    tracing::warn!(reranker = name, "hits stay in the order of the search, for they could not be ranked: {why}");
    (ranked, Some(Reranking::Failed))
}

fn start(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES)]
}
