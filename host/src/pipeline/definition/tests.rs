//! The definition reads the JSON of pipelines and names every problem at once.

use serde_json::json;

use std::time::Duration;

use super::llm::{EQUALS_MAX, FALLBACKS_MAX, WEIGHT_MAX};
use super::*;
use crate::rag::{Filter, Mode, Spread};

fn example() -> Value {
    json!({"pipeline": [
        {"stage": "rag", "enabled": true, "config": {"top_k": 5, "score_threshold": 0.75}},
        {"stage": "pre_hook", "enabled": false, "config": {"function_id": null}},
        {"stage": "llm", "enabled": true, "config": {
            "primary": {"provider": "openai", "model": "gpt-4o", "secret_key_name": "OPENAI_API_KEY"},
            "fallbacks": [{"provider": "workers-ai", "model": "@cf/meta/llama-3.1-8b-instruct", "on_status": [429, 503]}]}},
        {"stage": "post_hook", "enabled": false, "config": {"function_id": null}}]})
}

/// The example with one value changed.
fn with(pointer: &str, value: Value) -> Value {
    let mut source = example();
    *source.pointer_mut(pointer).expect("the example has it") = value;
    source
}

#[track_caller]
fn refused(source: &Value, path: &str) {
    let problems = Definition::parse(source).expect_err("must be refused");
    assert!(problems.iter().any(|problem| problem.path == path), "{problems:?}");
}

#[test]
fn the_documented_example_is_read_and_given_back_as_it_came() {
    let definition = Definition::parse(&example()).expect("valid");
    let rag = definition.rag.as_ref().expect("a rag stage");
    assert_eq!((rag.top_k, rag.score_threshold, rag.namespace.as_str(), rag.locked), (5, 0.75, "default", false));
    assert!(!definition.pre_hook.as_ref().expect("a stage").enabled);
    assert_eq!(definition.llm.targets[1].on_status.as_deref(), Some(&[429, 503][..]));
    assert_eq!(definition.llm.targets[0].secret_key_name.as_deref(), Some("OPENAI_API_KEY"));
    assert_eq!(*definition.source(), example());
}

#[test]
fn a_list_without_the_key_pipeline_and_defaults_work() {
    let definition = Definition::parse(&json!([
        {"stage": "rag"},
        {"stage": "pre_hook", "locked": true, "config": {"function_ids": ["a", "b"]}},
        {"stage": "llm", "config": {"primary": {"provider": "p", "model": "m"}}}
    ]))
    .expect("valid");
    let rag = definition.rag.expect("a rag stage");
    assert_eq!((rag.enabled, rag.top_k, rag.score_threshold), (true, TOP_K, SCORE_THRESHOLD));
    let pre = definition.pre_hook.expect("a stage");
    assert_eq!((pre.locked, pre.plugins), (true, vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn a_rag_stage_says_how_it_searches_and_what_it_shows() {
    let config = json!({"mode": "keyword", "mmr": 0.5, "neighbours": 10, "budget_tokens": 128, "filter": {"language": "en"}});
    let rag = Definition::parse(&with("/pipeline/0/config", config)).expect("valid").rag.expect("a rag stage");
    assert_eq!((rag.mode, rag.mmr, rag.spread), (Mode::Keyword, 0.5, Spread { neighbours: 10, budget_tokens: 128 }));
    assert_eq!(rag.filter, Filter::of(&json!({"language": "en"})).expect("a filter"));
    let rag = Definition::parse(&with("/pipeline/0/config", json!({}))).expect("valid").rag.expect("a rag stage");
    assert_eq!((rag.mode, rag.mmr, rag.spread, rag.filter.is_empty()), (Mode::Hybrid, 1.0, Spread::default(), true));
    let edge = json!({"mmr": 0, "neighbours": 0, "budget_tokens": 100_000});
    assert!(Definition::parse(&with("/pipeline/0/config", edge)).is_ok());
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    refused(&json!(7), "pipeline");
    refused(&json!([]), "pipeline");
    refused(&with("/pipeline/0/stage", json!("ragg")), "pipeline[0].stage");
    refused(&with("/pipeline/0/enabled", json!("yes")), "pipeline[0].enabled");
    refused(&with("/pipeline/0/config/top_k", json!(0)), "pipeline[0].config.top_k");
    refused(&with("/pipeline/0/config/top_k", json!(51)), "pipeline[0].config.top_k");
    refused(&with("/pipeline/0/config/score_threshold", json!(1.1)), "pipeline[0].config.score_threshold");
    refused(&with("/pipeline/0/config", json!({"namespace": "a/b"})), "pipeline[0].config.namespace");
    refused(&with("/pipeline/0/config", json!({"topk": 5})), "pipeline[0].config.topk");
    for (key, wrong) in [
        ("mode", json!("both")),
        ("mode", json!(1)),
        ("mmr", json!(-0.1)),
        ("mmr", json!(1.1)),
        ("neighbours", json!(11)),
        ("neighbours", json!(-1)),
        ("budget_tokens", json!(127)),
        ("budget_tokens", json!(100_001)),
        ("filter", json!({"a": {"gt": 1}})),
        ("filter", json!("a")),
    ] {
        refused(&with("/pipeline/0/config", json!({key: wrong})), &format!("pipeline[0].config.{key}"));
    }
    refused(&with("/pipeline/1/enabled", json!(true)), "pipeline[1].config.function_id");
    refused(&with("/pipeline/1/config", json!({"function_id": "a", "function_ids": ["b"]})), "pipeline[1].config.function_ids");
    refused(&with("/pipeline/2/enabled", json!(false)), "pipeline[2].enabled");
    refused(&with("/pipeline/2/config/primary/provider", json!("")), "pipeline[2].config.primary.provider");
    refused(&with("/pipeline/2/config/primary", json!({"provider": "p"})), "pipeline[2].config.primary.model");
    for climbing in ["../KEY", "/etc/passwd", ".KEY", "", "A B"] {
        refused(&with("/pipeline/2/config/primary/secret_key_name", json!(climbing)), "pipeline[2].config.primary.secret_key_name");
    }
    refused(&with("/pipeline/2/config/fallbacks/0/on_status", json!([200])), "pipeline[2].config.fallbacks[0].on_status");
    refused(&with("/pipeline/3/stage", json!("rag")), "pipeline[3].stage");
}

/// The example's llm stage with one more key.
fn with_llm(key: &str, value: Value) -> Value {
    let mut source = example();
    source["pipeline"][2]["config"][key] = value;
    source
}

#[test]
fn equals_stand_between_the_primary_and_the_fallbacks_with_their_weights() {
    let mut source = with_llm("equals", json!([{"provider": "b", "model": "m", "weight": 0}, {"provider": "c", "model": "m"}]));
    source["pipeline"][2]["config"]["primary"]["weight"] = json!(7);
    let llm = Definition::parse(&source).expect("valid").llm;
    assert_eq!(llm.weights, [7, 0, 1]);
    let keys: Vec<_> = llm.keys().map(|(key, target)| format!("{key} {}", target.provider)).collect();
    assert_eq!(keys, ["primary openai", "equals[0] b", "equals[1] c", "fallbacks[0] workers-ai"]);
    let alone = Definition::parse(&example()).expect("valid").llm;
    assert_eq!((alone.weights.as_slice(), alone.hedge_after), (&[1][..], None));
    assert_eq!(alone.keys().map(|(key, _)| key).collect::<Vec<_>>(), ["primary", "fallbacks[0]"]);
}

#[test]
fn what_is_wrong_with_equals_is_named_by_its_path() {
    let equal = |value: Value| with_llm("equals", json!([{"provider": "a", "model": "m"}, value]));
    refused(&with_llm("equals", json!({})), "pipeline[2].config.equals");
    refused(&equal(json!({"model": "m"})), "pipeline[2].config.equals[1].provider");
    refused(&equal(json!({"provider": "b", "model": "m", "on_status": [429]})), "pipeline[2].config.equals[1].on_status");
    refused(&equal(json!({"provider": "b", "model": "m", "weight": -1})), "pipeline[2].config.equals[1].weight");
    refused(&equal(json!({"provider": "b", "model": "m", "weight": 0.5})), "pipeline[2].config.equals[1].weight");
    let fallbacks = json!([{"provider": "b", "model": "m", "weight": 1}]);
    refused(&with_llm("fallbacks", fallbacks), "pipeline[2].config.fallbacks[0].weight");
}

#[test]
fn a_hedge_is_a_time_of_text_and_needs_somebody_to_ask() {
    for (text, time) in [("1ms", Duration::from_millis(1)), ("800ms", Duration::from_millis(800)), ("10m", Duration::from_secs(600))] {
        let llm = Definition::parse(&with_llm("hedge_after", json!(text))).expect("valid").llm;
        assert_eq!(llm.hedge_after, Some(time));
    }
    for wrong in [json!("0s"), json!("999us"), json!("601s"), json!("soon"), json!(800), json!(true)] {
        refused(&with_llm("hedge_after", wrong), "pipeline[2].config.hedge_after");
    }
    let mut alone = with_llm("hedge_after", json!("800ms"));
    alone["pipeline"][2]["config"]["fallbacks"] = json!([]);
    refused(&alone, "pipeline[2].config.hedge_after");
}

#[test]
fn all_problems_are_reported_at_once() {
    let mut source = with("/pipeline/0/config/top_k", json!("five"));
    source["pipeline"][2]["config"]["primary"]["model"] = json!(null);
    let problems = Definition::parse(&source).expect_err("must be refused");
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn lists_are_limited_at_the_edge() {
    let fallback = json!({"provider": "p", "model": "m"});
    let fallbacks = |n: usize| with("/pipeline/2/config/fallbacks", Value::Array(vec![fallback.clone(); n]));
    assert!(Definition::parse(&fallbacks(FALLBACKS_MAX)).is_ok());
    refused(&fallbacks(FALLBACKS_MAX + 1), "pipeline[2].config.fallbacks");
    let equals = |n: usize| with_llm("equals", Value::Array(vec![fallback.clone(); n]));
    assert!(Definition::parse(&equals(EQUALS_MAX)).is_ok());
    refused(&equals(EQUALS_MAX + 1), "pipeline[2].config.equals");
    let weight = |n: u32| with_llm("primary", json!({"provider": "p", "model": "m", "weight": n}));
    assert!(Definition::parse(&weight(WEIGHT_MAX)).is_ok());
    refused(&weight(WEIGHT_MAX + 1), "pipeline[2].config.primary.weight");
    let hooks = |n: usize| with("/pipeline/1/config", json!({"function_ids": vec!["a"; n]}));
    assert!(Definition::parse(&hooks(HOOKS_MAX)).is_ok());
    refused(&hooks(HOOKS_MAX + 1), "pipeline[1].config.function_ids");
    let name = |n: usize| with("/pipeline/0/config", json!({"namespace": "n".repeat(n)}));
    assert!(Definition::parse(&name(64)).is_ok());
    refused(&name(65), "pipeline[0].config.namespace");
}

#[test]
fn where_what_was_found_stands_and_what_is_said_of_it_are_the_operators_choice() {
    let rag = |config: Value| Definition::parse(&with("/pipeline/0/config", config)).expect("valid").rag.expect("a rag stage");
    let open = rag(json!({}));
    assert_eq!((open.inject, open.citations, open.turns), (crate::stages::Inject::Question, true, TURNS));
    let chosen = rag(json!({"inject": "system", "citations": false, "turns": 1}));
    assert_eq!((chosen.inject, chosen.citations, chosen.turns), (crate::stages::Inject::System, false, 1));
    assert_eq!(rag(json!({"turns": TURNS_MAX})).turns, TURNS_MAX);
    for (key, value) in
        [("inject", json!("start")), ("inject", json!(1)), ("citations", json!("yes")), ("turns", json!(0)), ("turns", json!(11))]
    {
        refused(&with("/pipeline/0/config", json!({key: value})), &format!("pipeline[0].config.{key}"));
    }
}
