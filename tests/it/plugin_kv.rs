//! What plugins keep, through the real server: each plugin and each caller meets its own keys only, no increment is lost, quotas hold, and
//! without a grant nothing is there.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::client::Client;
use crate::server::{Builder, Server};
use crate::upstream::{Script, Upstream};

/// A line of `[keys]`; the key is its name.
pub(crate) fn key(name: &str) -> String {
    use sha2::Digest;
    let hash: String = sha2::Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{{ name = \"{name}\", sha256 = \"{hash}\" }}")
}

pub(crate) fn with_key(server: &Server, key: &str) -> Client {
    Client::of(server.address).header("authorization", &format!("Bearer {key}"))
}

/// A server with the client keys `anna` and `ben` and the admin key `boss`, and a pipeline `NAME` with the pre-hook of each plugin.
pub(crate) fn house(plugins: &[&str], extra: &str) -> Builder {
    let config = house_text(plugins, extra);
    plugins.iter().fold(Server::with(&config), |server, plugin| server.plugin(&plugin.replace('-', "_")))
}

/// The same as a configuration file.
pub(crate) fn house_text(plugins: &[&str], extra: &str) -> String {
    let mut config = format!("[keys]\nclient = [{}, {}]\nadmin = [{}]\n{extra}\n", key("anna"), key("ben"), key("boss"));
    for plugin in plugins {
        config += &format!(
            r#"
            [[pipelines]]
            id = "{plugin}"
            pipeline = [
                {{ stage = "pre_hook", config = {{ function_id = "{plugin}" }} }},
                {{ stage = "llm", config = {{ primary = {{ provider = "builtin", model = "extractive" }} }} }},
            ]
            "#
        );
    }
    config
}

/// What the plugin answers.
async fn says(client: &Client, said: &str) -> String {
    client.chat("keeper", said, json!({})).await.ok().content()
}

const GRANTED: &str = "[plugins.keeper.grants]\nkv = {}\n";

#[tokio::test]
async fn what_a_call_keeps_the_next_one_finds_also_after_a_kill() {
    let mut server = house(&["keeper"], GRANTED).start();
    let anna = with_key(&server, "anna");
    assert_eq!(says(&anna, "get plugin k").await, "none");
    assert_eq!(says(&anna, "set plugin k v").await, "()");
    assert_eq!(says(&anna, "bytes plugin b").await, "()");
    assert_eq!(says(&anna, "sure plugin n 2").await, "2");
    assert_eq!(says(&anna, "swap plugin s").await, "true false true false");
    assert_eq!(says(&anna, "keys plugin  10").await, "b,k,n,s");
    server.kill();
    let server = house(&["keeper"], GRANTED).folder(server.folder.clone()).start();
    let anna = with_key(&server, "anna");
    assert_eq!((says(&anna, "get plugin k").await, says(&anna, "get plugin b").await), ("v".into(), "[255, 0]".into()));
    assert_eq!(says(&anna, "add plugin n 3").await, "5");
    assert_eq!((says(&anna, "delete plugin k").await, says(&anna, "delete plugin k").await), ("true".into(), "false".into()));
}

#[tokio::test]
async fn neither_another_caller_nor_another_plugin_meets_a_callers_keys() {
    let grants = "[plugins.keeper.grants]\nkv = {}\n[plugins.other-keeper.grants]\nkv = {}\n";
    let server = house(&["keeper", "other-keeper"], grants).start();
    let (anna, ben) = (with_key(&server, "anna"), with_key(&server, "ben"));
    assert_eq!(says(&anna, "set caller mine anna's").await, "()");
    assert_eq!(says(&anna, "set plugin shared all's").await, "()");
    assert_eq!((says(&ben, "get caller mine").await, says(&ben, "keys caller  9").await), ("none".into(), "none".into()));
    assert_eq!(says(&ben, "get plugin shared").await, "all's");
    // A key that looks like another bucket's is a key.
    assert_eq!(says(&ben, "get caller key:anna/mine").await, "none");
    assert_eq!(says(&ben, "keys plugin  9").await, "shared", "a caller's keys are not among the plugin's");
    assert_eq!(says(&ben, "add caller mine 1").await, "1");
    assert_eq!(says(&anna, "get caller mine").await, "anna's");
    for client in [&anna, &ben] {
        let seen = client.chat("other-keeper", "show", json!({})).await.ok().content();
        assert_eq!(seen, "[] [] [None, None]");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_increments_by_thirty_two_clients_none_is_lost() {
    let server = house(&["keeper"], GRANTED).start();
    let (each, clients) = (32, 32);
    let client = |_| {
        let anna = with_key(&server, "anna");
        async move {
            let mut sums = Vec::new();
            for _ in 0..each {
                sums.push(says(&anna, "add plugin n 1").await.parse::<u32>().expect("a sum"));
            }
            sums
        }
    };
    let mut sums = join_all((0..clients).map(client)).await.concat();
    sums.sort_unstable();
    assert_eq!(sums, (1..=each * clients).collect::<Vec<_>>(), "each sum was handed out once");
}

#[tokio::test]
async fn without_a_grant_the_plugin_is_refused_with_the_lines_to_add() {
    let server = house(&["keeper"], "").start();
    let plugins = with_key(&server, "boss").get("/api/v1/plugins").await.ok().json();
    let plugin = &plugins["data"][0];
    assert_eq!(plugin["state"], "refused");
    let reason = plugin["reason"].as_str().expect("a reason");
    let lines = "add `grants.kv = { bytes = \"16MiB\", keys = 10000 }` to `[plugins.keeper]`";
    assert!(reason.contains("it imports cofferdam:hooks/kv@0.2.0") && reason.contains(lines), "{reason}");
    assert_eq!(with_key(&server, "anna").chat("keeper", "hi", json!({})).await.refused(503), "plugin_not_loaded");
}

#[tokio::test]
async fn a_flood_of_keys_ends_at_the_quota_and_what_is_there_can_still_be_read_and_deleted() {
    let grant = "[plugins.keeper.grants]\nkv = { keys = 500 }\n[plugins.keeper.limits]\ntime = \"20s\"\nwait = \"20s\"\n";
    let server = house(&["keeper"], grant).start();
    let (anna, ben) = (with_key(&server, "anna"), with_key(&server, "ben"));
    let flood = says(&anna, "flood caller").await;
    assert!(flood.starts_with("500 Failure::Exhausted(") && flood.contains("grants.kv.keys"), "{flood}");
    let full = says(&ben, "set caller k v").await;
    assert!(full.contains("grants.kv.keys"), "the quota is the plugin's, over all callers: {full}");
    assert_eq!((says(&anna, "get caller flood-7").await, says(&anna, "delete caller flood-7").await), ("x".into(), "true".into()));
    assert_eq!(says(&ben, "set caller k v").await, "()");
    assert_eq!(says(&anna, "keys caller  4000000000").await.split(',').count(), 499);
}

#[tokio::test]
async fn values_and_keys_are_taken_up_to_their_edge_and_a_gigabyte_ends_the_call() {
    let grant = "[plugins.keeper.grants]\nkv = { value_bytes = 1000, key_bytes = 100 }\n[plugins.keeper.limits]\ntime = \"20s\"\n";
    let server = house(&["keeper"], grant).start();
    let anna = with_key(&server, "anna");
    assert_eq!((says(&anna, "large plugin 1000").await, says(&anna, "long plugin 100").await), ("()".into(), "()".into()));
    for (said, key) in
        [("large plugin 1001", "grants.kv.value_bytes"), ("long plugin 101", "grants.kv.key_bytes"), ("long plugin 0", "a key has")]
    {
        let refused = says(&anna, said).await;
        assert!(refused.starts_with("Failure::Invalid(") && refused.contains(key), "{said}: {refused}");
    }
    // More than one host call may be handed, and more than the plugin's memory.
    for (bytes, code) in [(20 << 20, "plugin_output_exhausted"), (1 << 30, "plugin_memory_exhausted")] {
        let answer = anna.chat("keeper", &format!("large plugin {bytes}"), json!({})).await;
        assert_eq!(answer.refused(502), code, "{bytes}");
    }
    assert_eq!(says(&anna, "add plugin k 9007199254740992").await, "9007199254740992");
    assert!(says(&anna, "add plugin k 1").await.starts_with("Failure::Invalid("), "no number passes 2^53");
}

#[tokio::test]
async fn describe_may_use_nothing_but_the_log() {
    let grant = "[plugins.keeper-in-describe.grants]\nkv = {}\n";
    let server = house(&["keeper-in-describe"], grant).start();
    let boss = with_key(&server, "boss");
    let plugins: Value = boss.get("/api/v1/plugins").await.ok().json();
    let summary = plugins["data"][0]["summary"].as_str().expect("a summary");
    assert!(summary.contains("Denied") && summary.contains("`describe` may not use `kv`"), "{summary}");
    assert!(!boss.get("/metrics").await.text().contains("in_describe"));
}

#[tokio::test]
async fn a_store_that_fails_is_told_of_once_however_many_calls_meet_it() {
    let mut server = house(&["keeper"], GRANTED).start();
    let anna = with_key(&server, "anna");
    assert_eq!(says(&anna, "set plugin k v").await, "()");
    let file = rusqlite::Connection::open(server.folder.path().join("data/kv.db")).expect("the database opens");
    file.execute_batch("ALTER TABLE kv RENAME TO elsewhere").expect("the table is there");
    const CALLS: usize = 8;
    for _ in 0..CALLS {
        let failed = says(&anna, "get plugin k").await;
        assert!(failed.starts_with("Failure::Unavailable(") && failed.contains("the server's log says why"), "{failed}");
    }
    server.wait_for_log("what plugins keep cannot be read or written");
    let metrics = anna.get("/metrics").await.text();
    let line = format!("cofferdam_plugin_host_calls_total{{plugin=\"keeper\",capability=\"kv\",outcome=\"unavailable\"}} {CALLS}");
    assert!(metrics.contains(&line), "no line {line} in {metrics}");
    server.terminate();
    let output = server.output();
    // More than one only if the machine took more than a minute for it.
    assert!((1..CALLS).contains(&output.matches("what plugins keep cannot be read or written").count()), "{output}");
}

#[tokio::test]
async fn host_calls_are_counted_by_what_came_of_them() {
    let server = house(&["keeper"], GRANTED).start();
    let anna = with_key(&server, "anna");
    says(&anna, "add plugin n 1").await;
    says(&anna, "long plugin 0").await;
    let metrics = anna.get("/metrics").await.text();
    for (outcome, count) in [("ok", 1), ("invalid", 1)] {
        let line = format!("cofferdam_plugin_host_calls_total{{plugin=\"keeper\",capability=\"kv\",outcome=\"{outcome}\"}} {count}");
        assert!(metrics.contains(&line), "no line {line} in {metrics}");
    }
}

#[tokio::test]
async fn rate_limit_refuses_a_caller_over_its_requests_and_no_other_one_and_takes_new_settings_at_once() {
    let config = "[plugins.rate-limit]\ngrants = { kv = {} }\nconfig = { window_seconds = 3000 }\n";
    let server = house(&["rate-limit"], config).start();
    let [anna, ben, boss] = ["anna", "ben", "boss"].map(|key| with_key(&server, key));
    let settings = "/api/v1/plugins/rate-limit/settings";
    boss.put(settings, &json!({"requests": 2})).await.ok();
    let ask = async |client: &Client| client.chat("rate-limit", "hello", json!({})).await;
    ask(&anna).await.ok();
    ask(&anna).await.ok();
    let refused = ask(&anna).await;
    assert_eq!((refused.refused(429).as_str(), refused.header("retry-after")), ("rate_limited", Some("3000")));
    let streamed = anna.chat_stream("rate-limit", "hello", json!({})).await.answer().await;
    assert_eq!(streamed.refused(429), "rate_limited");
    ask(&ben).await.ok();
    boss.put(settings, &json!({"requests": 5})).await.ok();
    ask(&anna).await.ok();
    assert_eq!(ask(&anna).await.refused(429), "rate_limited", "five of the window are over, the refused ones among them");
    let refused = boss.put(settings, &json!({"requests": 5, "window_seconds": 1})).await;
    assert_eq!(refused.json()["error"]["param"], "/window_seconds");
    let metrics = boss.get("/metrics").await.text();
    assert!(metrics.contains("cofferdam_plugin_custom_total{plugin=\"rate-limit\",name=\"refused\"} 3.0"), "{metrics}");
}

#[tokio::test]
async fn response_cache_answers_a_caller_again_and_no_other_one() {
    let upstream = Upstream::start().await;
    for text in ["for anna", "for ben", "another"] {
        upstream.next(Script::says(text));
    }
    let server = Server::with(&format!(
        r#"
        [keys]
        client = [{}, {}]
        admin = [{}]
        [providers.up]
        kind = "openai"
        base_url = "{}"
        [plugins.response-cache.grants]
        kv = {{}}
        [[pipelines]]
        id = "p"
        pipeline = [
            {{ stage = "rag", config = {{ score_threshold = 0.0 }} }},
            {{ stage = "pre_hook", config = {{ function_id = "response-cache" }} }},
            {{ stage = "llm", config = {{ primary = {{ provider = "up", model = "m" }} }} }},
            {{ stage = "post_hook", config = {{ function_id = "response-cache" }} }},
        ]
        "#,
        key("anna"),
        key("ben"),
        key("boss"),
        upstream.url()
    ));
    let server = server.plugin("response-cache").start();
    let text = b"The house says hello to whoever comes in.";
    with_key(&server, "boss").upload("p", "house.txt", text).await.ok();
    let (anna, ben) = (with_key(&server, "anna"), with_key(&server, "ben"));
    let ask = async |client: &Client, said: &str| client.chat("p", said, json!({})).await.ok().content();
    assert_eq!((ask(&anna, "hello").await, ask(&ben, "hello").await), ("for anna".into(), "for ben".into()));
    assert_eq!((ask(&anna, "hello").await, ask(&ben, "hello").await), ("for anna".into(), "for ben".into()));
    assert_eq!(ask(&anna, "hello?").await, "another");
    assert_eq!(upstream.requests().len(), 3);
    assert!(
        upstream.requests()[0].json()["messages"].to_string().contains("whoever comes in"),
        "the excerpts, whose code is new each time, are there"
    );
}
