//! Which keys differ between two configurations, and which of them are kept until a restart.

use super::limits::KEYS;
use super::*;

/// Keys whose values a running server keeps.
const RESTART: &[&str] = &[
    "data_dir",
    "limits.handover_time",
    "limits.http.admin_connections",
    "limits.http.certificate_time",
    "limits.http.connections",
    "limits.http.drain_time",
    "limits.http.handshake_time",
    "limits.http.handshakes",
    "limits.http.header_bytes",
    "limits.http.header_time",
    "limits.http.idle_time",
    "limits.http.reloads",
    "limits.http.request_time",
    "limits.http.streams",
    "limits.http.write_time",
    "limits.ledger.budget_parts",
    "limits.ledger.days",
    "limits.ledger.flush",
    "limits.ledger.rows",
    "limits.plugins.calls",
    "limits.plugins.done_calls",
    "limits.plugins.model_calls",
    "limits.plugins.streams",
    "limits.plugins.threads",
    "limits.rag.embed_threads",
    "limits.rag.source_bytes",
    "limits.rag.source_time",
    "listen",
    "plugin_dir",
];

/// Tables of which no key changes before a restart.
const RESTART_TABLES: &[&str] = &["limits.kv.", "telemetry."];

fn keys(changes: Vec<Change>) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

/// What differs in the next configuration and takes effect, and what differs and does not.
fn split(text: &str) -> (Vec<String>, Vec<String>) {
    let (running, file) = (Config::default(), parse(text));
    let mut next = file.clone();
    next.keep_what_needs_a_restart(&running);
    (keys(running.changes(&next)), keys(next.changes(&file)))
}

#[test]
fn every_limit_takes_effect_or_is_named_as_one_that_needs_a_restart() {
    let mut met = Vec::new();
    for (table, key, least, most, ..) in KEYS.iter().filter(|(table, ..)| table.starts_with("limits") || *table == "telemetry") {
        let differs = |value: &&&str| !Config::default().changes(&parse(&format!("[{table}]\n{key} = {value}"))).is_empty();
        let value = [least, most].into_iter().find(|value| differs(value)).expect("one of both is not the default");
        let path = format!("{table}.{key}");
        let changed = vec![format!("{path} (changed)")];
        let restart = RESTART.contains(&&*path) || RESTART_TABLES.iter().any(|table| path.starts_with(table));
        let expected = if restart { (vec![], changed) } else { (changed, vec![]) };
        assert_eq!(split(&format!("[{table}]\n{key} = {value}")), expected, "{path}");
        met.push(path);
    }
    for (text, path) in [("listen = \"127.0.0.1:9\"", "listen"), ("data_dir = \"d\"", "data_dir"), ("plugin_dir = \"p\"", "plugin_dir")] {
        assert_eq!(split(text), (vec![], vec![format!("{path} (changed)")]));
        met.push(path.to_owned());
    }
    for path in RESTART {
        assert!(met.iter().any(|met| met == path), "{path} is no key");
    }
}

#[test]
fn another_embedder_waits_for_a_restart() {
    let text = "[rag]\nembedder = \"e\"\n[rag.embedders.e]\nkind = \"static\"\npath = \"m\"\n[rag.namespaces.docs]\nembedder = \"e\"";
    let (changed, kept) = split(text);
    let expected = ["rag.embedder (changed)", "rag.embedders (added)", "rag.namespaces (added)"].map(str::to_owned);
    assert_eq!((changed, kept), (vec![], expected.to_vec()));
}

#[test]
fn other_sources_wait_for_a_restart() {
    let (changed, kept) = split("[[rag.sources]]\napi = \"kb\"\nurls = [\"https://a.example\"]");
    assert_eq!((changed, kept), (vec![], vec!["rag.sources (added)".to_owned()]));
}

#[test]
fn everything_that_is_no_limit_takes_effect() {
    let key = |name: &str, digit: char| format!("{{ name = \"{name}\", sha256 = \"{}\" }}", digit.to_string().repeat(64));
    let text = format!(
        "secret_dir = \"/s\"\n[keys]\nclient = [{}]\nadmin = [{}]\nend_users = {{ from = \"user\" }}\n[http]\ncors_origins = [\"https://a.example\"]\n\
         [providers.x]\nkind = \"openai\"\nbase_url = \"http://x\"\n[prices.m]\ninput = 1\noutput = 2\n[plugins.p]\non_failure = \"skip\"\n\
         [[embeddings]]\nid = \"e\"\nprovider = \"x\"\nmodel = \"m\"\n\
         [[pipelines]]\nid = \"q\"\npipeline = [{{ stage = \"llm\", config = {{ primary = {{ provider = \"x\", model = \"m\" }} }} }}]\n",
        key("app", '1'),
        key("boss", '2')
    );
    let (changed, restart) = split(&text);
    let added = ["embeddings.e", "embeddings.minilm", "keys.admin.boss", "keys.client.app", "keys.end_users", "pipelines.default"];
    for part in added.into_iter().chain(["pipelines.q", "plugins.p", "prices.m", "providers.x", "secret_dir", "http.cors_origins"]) {
        assert!(changed.iter().any(|change| change.starts_with(&format!("{part} ("))), "{part} is missing in {changed:?}");
    }
    assert_eq!((changed.len(), restart), (12, vec![]), "{changed:?}");
}

#[test]
fn changes_name_keys_and_never_values() {
    let text = |hash: char, url: &str, more: &str| {
        let hash = hash.to_string().repeat(64);
        format!(
            "[keys]\nclient = [{{ name = \"a\", sha256 = \"{hash}\" }}]\n[providers.\"x.y\"]\nkind = \"openai\"\nbase_url = \"{url}\"\n{more}"
        )
    };
    let (before, after) = (parse(&text('1', "http://one", "[prices.\"a/b\"]\ninput = 1\noutput = 1")), parse(&text('2', "http://two", "")));
    let expected = ["keys.client.a (changed)", "prices.\"a/b\" (removed)", "providers.\"x.y\".base_url (changed)"];
    assert_eq!(keys(before.changes(&after)), expected);
    assert_eq!(keys(before.changes(&before)), Vec::<String>::new());
}

#[test]
fn a_pipeline_that_changed_inside_and_one_that_moved_are_told_apart() {
    let pipeline = |id: &str, model: &str| {
        format!(
            "[[pipelines]]\nid = \"{id}\"\npipeline = [{{ stage = \"llm\", config = {{ primary = {{ provider = \"builtin\", model = \"{model}\" }} }} }}]\n"
        )
    };
    let before = parse(&(pipeline("a", "m") + &pipeline("b", "m")));
    assert_eq!(keys(before.changes(&parse(&(pipeline("b", "m") + &pipeline("a", "m"))))), Vec::<String>::new());
    assert_eq!(keys(before.changes(&parse(&(pipeline("b", "n") + &pipeline("a", "m"))))), ["pipelines.b (changed)"]);
}

#[test]
fn another_reranker_takes_effect() {
    let (changed, kept) = split("[rag.rerankers.r]\nprovider = \"openai\"\nmodel = \"m\"");
    assert_eq!((changed, kept), (vec!["rag.rerankers (added)".to_owned()], vec![]));
}
