//! A model's order of the hits: what it is asked, what its answer changes, and what happens without one.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::*;

/// Scores texts by a table, and notes what it was asked. Without a table it never answers.
#[derive(Default)]
struct Judge {
    scores: Option<Vec<(&'static str, f32)>>,
    asked: Mutex<Vec<(String, Vec<String>)>>,
}

impl AskRelevance for Judge {
    fn relevance<'a>(&'a self, _: &'a RerankModel, question: &'a str, texts: Vec<String>) -> BoxFuture<'a, Result<Vec<f32>, String>> {
        self.asked.lock().unwrap().push((question.to_owned(), texts.clone()));
        let Some(scores) = self.scores.clone() else { return Box::pin(std::future::pending()) };
        let score = move |text: &String| scores.iter().find(|(word, _)| text.contains(word)).map(|(_, score)| *score);
        let scores: Vec<f32> = texts.iter().filter_map(score).collect();
        Box::pin(std::future::ready(if scores.is_empty() { Err("it is down".into()) } else { Ok(scores) }))
    }
}

async fn house(judge: &Arc<Judge>, candidates: usize) -> House {
    let mut house = House::new();
    let time = Duration::from_secs(5);
    let model = RerankModel { provider: "a".into(), model: "m".into(), secret_key_name: None, candidates, time };
    let rerankers = Rerankers { named: BTreeMap::from([("judge".to_owned(), model)]), port: judge.clone() };
    house.knowledge = house.knowledge.take().map(|knowledge| knowledge.with_rerankers(rerankers));
    for (name, text) in [("a.txt", "pump valve"), ("b.txt", "pump valve hose"), ("c.txt", "pump valve hose rope clamp")] {
        house.add(name, text).await;
    }
    house
}

fn judged(text: &str) -> Query {
    Query { rerank: Some("judge".into()), ..query(text) }
}

async fn found(house: &House, query: Query) -> Found {
    house.knowledge().search(&space("default"), query).await.unwrap()
}

fn judge(scores: &[(&'static str, f32)]) -> Arc<Judge> {
    Arc::new(Judge { scores: Some(scores.to_vec()), ..Judge::default() })
}

#[tokio::test]
async fn hits_come_in_the_models_order_and_equals_stay_as_they_were() {
    let judge = judge(&[("clamp", 0.9), ("pump", -2.0)]);
    let house = house(&judge, 20).await;
    let hits = found(&house, judged("pump valve")).await;
    assert_eq!((sources(&hits), hits.reranking), (vec!["c.txt", "a.txt", "b.txt"], Some(Reranking::Done)));
    let evidence = &hits.evidence[0];
    assert_eq!((evidence.rerank_score, evidence.rerank_rank, evidence.rank_score), (Some(0.9), Some(1), 0.9));
    let [(question, texts)] = &judge.asked.lock().unwrap()[..] else { panic!("asked once") };
    assert_eq!((question.as_str(), texts.len(), texts[0].as_str()), ("pump valve", 3, "pump valve"));
}

#[tokio::test]
async fn the_best_hits_alone_are_handed_over_at_least_as_many_as_are_wanted() {
    let judge = judge(&[("clamp", 0.9), ("hose", 0.5), ("pump", 0.1)]);
    let house = house(&judge, 2).await;
    let of = async |top_k| {
        let hits = found(&house, Query { top_k, ..judged("pump valve") }).await;
        let handed_over = judge.asked.lock().unwrap().last().map_or(0, |(_, texts)| texts.len());
        (sources(&hits).join(" "), handed_over)
    };
    assert_eq!(of(1).await, ("b.txt".to_owned(), 2));
    assert_eq!(of(3).await, ("c.txt b.txt a.txt".to_owned(), 3));
}

#[tokio::test]
async fn what_is_no_hit_is_not_handed_over_and_one_hit_alone_is_in_order() {
    let judge = judge(&[("pump", 0.1)]);
    let house = house(&judge, 20).await;
    let all = found(&house, query("pump valve")).await;
    let score_threshold = all.hits[0].score;
    let alone = found(&house, Query { score_threshold, ..judged("pump valve") }).await;
    assert_eq!((sources(&alone), alone.reranking), (vec!["a.txt"], None));
    assert!(judge.asked.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_order_stays_if_the_model_fails_says_too_little_or_nothing_or_is_not_known() {
    let order = ["a.txt", "b.txt", "c.txt"];
    for scores in [Some(vec![]), Some(vec![("clamp", 0.9)]), None] {
        let judge = Arc::new(Judge { scores, ..Judge::default() });
        let house = house(&judge, 20).await;
        let hits = found(&house, judged("pump valve")).await;
        assert_eq!((sources(&hits), hits.reranking), (order.to_vec(), Some(Reranking::Failed)));
        assert!(hits.evidence.iter().all(|evidence| evidence.rerank_score.is_none()));
    }
    let house = house(&judge(&[]), 20).await;
    let hits = found(&house, Query { rerank: Some("nobody".into()), ..query("pump valve") }).await;
    assert_eq!((sources(&hits), hits.reranking), (order.to_vec(), Some(Reranking::Failed)));
    assert!(house.knowledge().has_reranker("judge") && !house.knowledge().has_reranker("nobody"));
}

#[tokio::test]
async fn a_long_question_and_a_long_chunk_are_handed_over_from_their_starts() {
    let judge = judge(&[("pump", 0.1)]);
    let house = house(&judge, 20).await;
    let long = format!("pump valve {}", "é".repeat(3_000));
    found(&house, Query { score_threshold: 0.0, ..judged(&long) }).await;
    let asked = judge.asked.lock().unwrap();
    assert!(asked[0].0.len() <= 4_096 && asked[0].0.len() > 4_090);
}
