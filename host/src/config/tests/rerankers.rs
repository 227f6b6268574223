//! `[rag.rerankers]`: models that pipelines may have their hits ranked by.

use super::*;

const PROVIDERS: &str = "[providers.a]\nkind = \"openai\"\nbase_url = \"http://a/v1\"\n";

fn with(line: &str) -> String {
    format!("{PROVIDERS}[rag.rerankers.r]\nprovider = \"a\"\nmodel = \"m\"\n{line}\n")
}

#[test]
fn a_reranker_is_read_and_printed_with_its_defaults() {
    let config = Config::parse(&with(""), Path::new("/")).unwrap();
    let time = Duration::from_secs(5);
    let plain = rag::RerankModel { provider: "a".into(), model: "m".into(), secret_key_name: None, candidates: 20, time };
    assert_eq!(config.rerankers["r"], plain);
    let config = Config::parse(&with("secret_key_name = \"KEY\"\ncandidates = 100\ntimeout_seconds = 60"), Path::new("/")).unwrap();
    let all = rag::RerankModel { secret_key_name: Some("KEY".into()), candidates: 100, time: Duration::from_secs(60), ..plain };
    assert_eq!(config.rerankers["r"], all);
    assert_eq!(Config::parse(&config.effective(), Path::new("/")).unwrap().rerankers, config.rerankers);
}

#[test]
fn what_is_wrong_with_a_reranker_is_said_with_its_key() {
    let without = |key: &str| with("").replace(&format!("{key} = "), &format!("# {key} = "));
    let stage = |name: &str| {
        let llm = "{ stage = \"llm\", config = { primary = { provider = \"builtin\", model = \"extractive\" } } }";
        with(&format!("[[pipelines]]\nid = \"p\"\npipeline = [{{ stage = \"rag\", config = {{ rerank = {name} }} }}, {llm}]"))
    };
    assert!(Config::parse(&stage("\"r\""), Path::new("/")).is_ok());
    for (text, path, wanted) in [
        (without("model"), "rag.rerankers.r.model", "is missing"),
        (format!("{PROVIDERS}[rag.rerankers.r]\nmodel = \"m\""), "rag.rerankers.r.provider", "is missing"),
        (with("candidates = 1"), "rag.rerankers.r.candidates", "from 2 to 100"),
        (with("candidates = 101"), "rag.rerankers.r.candidates", "from 2 to 100"),
        (with("timeout_seconds = 0"), "rag.rerankers.r.timeout_seconds", "from 1 to 60"),
        (with("timeout_seconds = 61"), "rag.rerankers.r.timeout_seconds", "from 1 to 60"),
        (with("secret_key_name = \"sk live\""), "rag.rerankers.r.secret_key_name", "a secret's name"),
        (with("top_n = 3"), "rag.rerankers.r.top_n", "unknown"),
        (with("").replace("rerankers.r]", "rerankers.\"a b\"]"), "rag.rerankers.\"a b\"", "a reranker's name"),
        (with("").replace("provider = \"a\"", "provider = \"nobody\""), "rag.rerankers.r.provider", "no provider \"nobody\""),
        (with("").replace("provider = \"a\"", "provider = \"anthropic\""), "rag.rerankers.r.provider", "ranks no documents"),
        (with("").replace("provider = \"a\"", "provider = \"builtin\""), "rag.rerankers.r.provider", "ranks no documents"),
        (stage("\"s\""), "pipelines[0].pipeline[0].config.rerank", "no reranker \"s\""),
        (stage("7"), "pipelines[0].pipeline[0].config.rerank", "must be a string"),
    ] {
        let [problem] = &problems(&text)[..] else { panic!("not one problem: {text}: {:?}", problems(&text)) };
        assert!(problem.contains(path) && problem.contains(wanted), "{text}: {problem}");
    }
}
