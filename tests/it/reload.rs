//! The configuration is changed while the server runs: what changes, what stays, what a bad file does, and that no request notices.
//! What each room makes of a next configuration is tested there; these tests show what an operator and a client see.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hyper::Method;
use serde_json::{Value, json};
use sha2::Digest;

use crate::client::{Answer, Client, text_of};
use crate::server::{PATIENCE, Server};
use crate::upstream::{Script, Signal, Upstream, delta, finish};

/// What a test changes of a configuration with one provider `a` and a pipeline `p` that asks it.
#[derive(Default)]
pub struct File<'a> {
    /// Each key is its name; more of an entry may follow after a comma.
    pub clients: &'a [&'a str],
    pub url: &'a str,
    pub more: &'a str,
}

impl File<'_> {
    pub fn text(&self) -> String {
        let entry = |entry: &str| {
            let (name, more) = entry.split_once(',').unwrap_or((entry, ""));
            let hash: String = sha2::Sha256::digest(name).iter().map(|byte| format!("{byte:02x}")).collect();
            let comma = if more.is_empty() { "" } else { "," };
            format!("{{ name = \"{name}\", sha256 = \"{hash}\"{comma}{more} }}")
        };
        let clients: Vec<_> = self.clients.iter().map(|name| entry(name)).collect();
        format!(
            "[keys]\nclient = [{}]\nadmin = [{}]\n{}\n[providers.a]\nkind = \"openai\"\nbase_url = \"{}\"\n[[pipelines]]\nid = \"p\"\n\
             pipeline = [ {{ stage = \"llm\", config = {{ primary = {{ provider = \"a\", model = \"m\" }} }} }} ]\n",
            clients.join(", "),
            entry("boss"),
            self.more,
            self.url
        )
    }
}

pub fn with_key(server: &Server, key: &str) -> Client {
    Client::of(server.address).header("authorization", &format!("Bearer {key}"))
}

pub async fn ask(server: &Server) -> Answer {
    with_key(server, "boss").send(Method::POST, "/api/v1/reload", None, Default::default()).await
}

async fn reload(server: &Server, file: &File<'_>) -> Value {
    server.reconfigure(&file.text());
    ask(server).await.ok().json()
}

pub fn changed(report: &Value) -> Vec<String> {
    let changed = report["changed"].as_array().expect("a list").iter();
    changed.map(|change| format!("{} {}", change["key"].as_str().expect("a key"), change["change"].as_str().expect("a word"))).collect()
}

#[tokio::test]
async fn a_hangup_reads_the_file_again_and_ends_nothing() {
    let (old, new) = (Upstream::start().await, Upstream::start().await);
    old.always(Script::says("old"));
    new.always(Script::says("new"));
    let file = |upstream: &Upstream| File { clients: &["app"], url: &upstream.url(), ..File::default() }.text();
    let server = Server::with(&file(&old)).start();
    let app = with_key(&server, "app");
    assert_eq!(app.chat("p", "hi", json!({})).await.ok().content(), "old");
    server.reconfigure(&file(&new));
    server.hang_up();
    let line = server.wait_for_log("configuration read again");
    assert!(line.contains("providers.a.base_url (changed)"), "{line}");
    assert_eq!(app.chat("p", "hi", json!({})).await.ok().content(), "new");
    let metrics = Client::of(server.address).get("/metrics").await.text();
    assert!(metrics.contains("cofferdam_config_reloads_total{outcome=\"applied\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_its_lines_and_keys_are_named() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("yes"));
    let good = File { clients: &["app"], url: &upstream.url(), ..File::default() };
    let server = Server::with(&good.text()).start();
    // Of several problems, in a file in which much else is different, each is named, and a text that may be a secret is not.
    let bad =
        "[limits.http]\nrequests = 0\n[plugins.x]\non_failure = \"maybe\"\n[providers.b]\nkind = \"openai\"\napi_key = \"sk-secret\"\n";
    server.reconfigure(&File { clients: &["other"], url: "http://127.0.0.1:1/v1", more: bad }.text());
    let answer = ask(&server).await;
    assert_eq!(answer.refused(422), "invalid_configuration");
    let text = answer.text();
    for part in ["cofferdam.toml:5: limits.http.requests", "cofferdam.toml:7: plugins.x.on_failure", ":10: providers.b.api_key"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert!(!text.contains("sk-secret"), "{text}");
    with_key(&server, "app").chat("p", "hi", json!({})).await.ok();
    assert_eq!(with_key(&server, "other").chat("p", "hi", json!({})).await.refused(401), "invalid_api_key");
    // A file that is being saved is empty for a moment, and would open the server to whoever reaches it.
    for (text, why) in [
        ("no toml [", "cofferdam.toml:1"),
        ("", "the running server has keys and this file has none"),
        (&format!("x = {}", "[".repeat(9_000)), "more, which"),
    ] {
        server.reconfigure(text);
        let answer = ask(&server).await;
        assert_eq!(answer.refused(422), "invalid_configuration");
        assert!(answer.text().contains(why), "{answer:?}");
    }
    std::fs::remove_file(server.folder.path().join("cofferdam.toml")).expect("removed");
    assert_eq!(ask(&server).await.refused(422), "invalid_configuration");
    assert_eq!(Client::of(server.address).get("/v1/models").await.refused(401), "invalid_api_key");
    server.hang_up();
    server.wait_for_log("the configuration was not changed, because the new one is wrong: cannot read the configuration file");
    assert!(!server.log().contains("sk-secret"));
}

#[tokio::test]
async fn a_key_that_is_removed_opens_nothing_and_one_that_is_rotated_is_another_under_the_same_name() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("yes"));
    let url = upstream.url();
    let file = |clients| File { clients, url: &url, ..File::default() };
    let server = Server::with(&file(&["app", "gone"]).text()).start();
    let report = reload(&server, &file(&["app", "new"])).await;
    assert_eq!(changed(&report), ["keys.client.gone removed", "keys.client.new added"]);
    assert_eq!(with_key(&server, "gone").chat("p", "hi", json!({})).await.refused(401), "invalid_api_key");
    for key in ["app", "new"] {
        with_key(&server, key).chat("p", "hi", json!({})).await.ok();
    }
    // The key `app` under a new hash.
    let hash = |key: &str| sha2::Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    server.reconfigure(&file(&["app", "new"]).text().replace(&hash("app"), &hash("rotated")));
    let report = ask(&server).await.ok();
    assert_eq!(changed(&report.json()), ["keys.client.app changed"]);
    assert!(!report.text().contains(&hash("rotated")[..8]), "no value is shown");
    with_key(&server, "rotated").chat("p", "hi", json!({})).await.ok();
    assert_eq!(with_key(&server, "app").chat("p", "hi", json!({})).await.refused(401), "invalid_api_key");
}

#[tokio::test]
async fn a_client_key_may_not_reload() {
    let server = Server::with(&File { clients: &["app"], url: "http://127.0.0.1:1/v1", ..File::default() }.text()).start();
    let send = |key| async move { with_key(key, "app").send(Method::POST, "/api/v1/reload", None, Default::default()).await };
    assert_eq!(send(&server).await.refused(403), "admin_key_required");
    let nobody = Client::of(server.address).send(Method::POST, "/api/v1/reload", None, Default::default()).await;
    assert_eq!(nobody.refused(401), "invalid_api_key");
}

#[tokio::test]
async fn what_needs_a_restart_is_named_again_until_it_was_restarted_and_the_rest_takes_effect() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("yes"));
    let url = upstream.url();
    let server = Server::with(&File { clients: &["app"], url: &url, ..File::default() }.text()).start();
    let text = File { clients: &["app"], url: &url, more: "[limits.http]\nconnections = 7\nbody_bytes = \"1KiB\"" }.text();
    server.reconfigure(&format!("data_dir = \"elsewhere\"\n{text}"));
    for round in 0..2 {
        let report = ask(&server).await.ok().json();
        assert_eq!(changed(&report), if round == 0 { vec!["limits.http.body_bytes changed"] } else { vec![] });
        assert_eq!(report["needs_restart"], json!(["data_dir", "limits.http.connections"]), "{report}");
    }
    server.wait_for_log("these keys of the configuration need a restart: data_dir, limits.http.connections");
    let long = with_key(&server, "app").chat("p", &"x".repeat(2_000), json!({})).await;
    assert_eq!(long.refused(413), "body_too_large");
    assert!(!server.folder.path().join("elsewhere").exists());
}

#[tokio::test]
async fn budgets_and_rates_go_on_counting() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("yes"));
    let url = upstream.url();
    let file = |clients| File { clients, url: &url, ..File::default() };
    let server = Server::with(&file(&["app, limits = { requests_per_minute = 3, tokens_per_day = 100000 }"]).text()).start();
    let app = with_key(&server, "app");
    for _ in 0..2 {
        app.chat("p", "hi", json!({})).await.ok();
    }
    let left = |answer: &Answer| answer.header("x-ratelimit-remaining-requests").map(str::to_owned);
    let report = reload(&server, &file(&["app, limits = { requests_per_minute = 4, tokens_per_day = 100000 }"])).await;
    assert_eq!(changed(&report), ["keys.client.app changed"]);
    let answer = app.chat("p", "hi", json!({})).await.ok();
    assert_eq!(left(&answer).as_deref(), Some("1"), "three of four were taken");
    assert_eq!(answer.header("x-ratelimit-remaining-tokens"), Some("99991"), "three replies of three tokens");
    reload(&server, &file(&["app, limits = { requests_per_minute = 2, tokens_per_day = 5 }"])).await;
    assert_eq!(app.chat("p", "hi", json!({})).await.refused(429), "insufficient_quota");
}

#[tokio::test]
async fn prices_hold_for_requests_that_begin_after_them() {
    let upstream = Upstream::start().await;
    let (begun, go) = (Signal::default(), Signal::default());
    let usage = r#"{"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":0,"completion_tokens":1000000,"total_tokens":1000000}}"#;
    let slow = Script::stream().event(&delta("a")).wait(&go).event(&finish()).event(usage).event("[DONE]").end();
    upstream.next(slow);
    let url = upstream.url();
    let priced = |dollars: u32| format!("[prices.m]\ninput = 0\noutput = {dollars}\n");
    let server = Server::with(&File { clients: &["app"], url: &url, more: &priced(1) }.text()).start();
    let app = with_key(&server, "app");
    let mut stream = app.chat_stream("p", "hi", json!({"stream_options": {"include_usage": true}})).await;
    stream.next().await.expect("an event");
    begun.fire();
    let report = reload(&server, &File { clients: &["app"], url: &url, more: &priced(5) }).await;
    assert_eq!(changed(&report), ["prices.m.output changed"]);
    go.fire();
    stream.all().await.expect("a whole stream");
    upstream.next(Script::stream().event(&delta("a")).event(&finish()).event(usage).event("[DONE]").end());
    app.chat_stream("p", "hi", json!({"stream_options": {"include_usage": true}})).await.all().await.expect("a whole stream");
    let usage = with_key(&server, "boss").get("/api/v1/usage").await.ok().json();
    assert_eq!(usage["data"][0]["cost_usd"].as_f64(), Some(6.0), "one dollar, then five: {usage}");
}

#[tokio::test]
async fn a_stream_goes_on_under_the_configuration_that_it_began_with() {
    let (old, new) = (Upstream::start().await, Upstream::start().await);
    let go = Signal::default();
    old.always(Script::stream().event(&delta("one ")).wait(&go).event(&delta("two")).event(&finish()).event("[DONE]").end());
    new.always(Script::says("new"));
    let server = Server::with(&File { clients: &["app"], url: &old.url(), ..File::default() }.text()).start();
    let app = with_key(&server, "app");
    let mut stream = app.chat_stream("p", "hi", json!({})).await;
    let first = stream.next().await.expect("an event").expect("there is one");
    // Its key is gone, and its provider is another one.
    reload(&server, &File { clients: &["other"], url: &new.url(), ..File::default() }).await;
    assert_eq!(app.chat("p", "hi", json!({})).await.refused(401), "invalid_api_key");
    assert_eq!(with_key(&server, "other").chat("p", "hi", json!({})).await.ok().content(), "new");
    go.fire();
    let rest = stream.all().await.expect("the old stream ends well");
    assert_eq!(text_of(&[vec![first], rest].concat()), "one two");
}

#[tokio::test]
async fn connections_and_circuits_of_a_provider_that_stays_go_on_and_those_of_another_url_begin_anew() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.always(Script::says("yes"));
    let limits = "[limits.providers]\nretries = 0\ncircuit_failures = 1\n";
    let url = a.url();
    let server = Server::with(&File { clients: &["app"], url: &url, more: limits }.text()).start();
    let app = with_key(&server, "app");
    app.chat("p", "hi", json!({})).await.ok();
    let retries = limits.replace("retries = 0", "retries = 0\nretry_backoff = \"20ms\"");
    let report = reload(&server, &File { clients: &["app", "new"], url: &url, more: &retries }).await;
    assert_eq!(changed(&report), ["keys.client.new added", "limits.providers.retry_backoff changed"]);
    app.chat("p", "hi", json!({})).await.ok();
    assert_eq!(a.connections(), 1, "the connection was kept");
    a.forget_responders();
    a.always(Script::reply(503, &[("retry-after", "3600")], ""));
    assert_eq!(app.chat("p", "hi", json!({})).await.refused(503), "provider_failed");
    assert_eq!(app.chat("p", "hi", json!({})).await.refused(503), "provider_benched");
    reload(&server, &File { clients: &["app"], url: &url, more: &retries }).await;
    assert_eq!(app.chat("p", "hi", json!({})).await.refused(503), "provider_benched", "its circuit is still open");
    b.always(Script::says("b"));
    reload(&server, &File { clients: &["app"], url: &b.url(), more: &retries }).await;
    assert_eq!(app.chat("p", "hi", json!({})).await.ok().content(), "b");
    let metrics = app.get("/metrics").await.text();
    assert!(metrics.contains("cofferdam_llm_circuit_open{provider=\"a\"} 0"), "{metrics}");
}

#[tokio::test]
async fn pipelines_of_the_file_come_and_go_and_those_of_the_api_stay() {
    let upstream = Upstream::start().await;
    upstream.always(Script::says("yes"));
    let url = upstream.url();
    let pipeline = |id: &str, provider: &str| {
        format!(
            "[[pipelines]]\nid = \"{id}\"\npipeline = [ {{ stage = \"llm\", config = {{ primary = {{ provider = \"{provider}\", model = \"x\" }} }} }} ]\n"
        )
    };
    let other = format!("[providers.b]\nkind = \"openai\"\nbase_url = \"{url}\"\n");
    let more = format!("{other}{}", pipeline("q", "b"));
    let server = Server::with(&File { clients: &["app"], url: &url, more: &more }.text()).start();
    let (app, boss) = (with_key(&server, "app"), with_key(&server, "boss"));
    let kept = json!([{"stage": "llm", "config": {"primary": {"provider": "b", "model": "kept"}}}]);
    boss.put("/api/v1/gateway/apis/kept/pipeline", &kept).await.ok();
    for id in ["p", "q", "kept"] {
        app.chat(id, "hi", json!({})).await.ok();
    }
    let more = format!("{other}{}", pipeline("r", "b"));
    let report = reload(&server, &File { clients: &["app"], url: &url, more: &more }).await;
    assert_eq!((changed(&report), &report["warnings"]), (vec!["pipelines.q removed".into(), "pipelines.r added".into()], &json!([])));
    for id in ["p", "r", "kept"] {
        app.chat(id, "hi", json!({})).await.ok();
    }
    assert_eq!(app.chat("q", "hi", json!({})).await.refused(404), "model_not_found");
    // A pipeline of the API may name what the file no longer has.
    let report = reload(&server, &File { clients: &["app"], url: &url, ..File::default() }).await;
    assert_eq!(report["warnings"], json!(["pipeline `kept`: there is no provider `b`"]));
    assert_eq!(app.chat("kept", "hi", json!({})).await.refused(500), "provider_unknown");
    // One of the file stands in for it, and gives it free again.
    let more = pipeline("kept", "a");
    reload(&server, &File { clients: &["app"], url: &url, more: &more }).await;
    app.chat("kept", "hi", json!({})).await.ok();
    assert_eq!(boss.put("/api/v1/gateway/apis/kept/pipeline", &kept).await.refused(400), "invalid_pipeline");
    reload(&server, &File { clients: &["app"], url: &url, more: &other }).await;
    let shown = boss.get("/api/v1/gateway/apis/kept/pipeline").await.ok().json();
    assert_eq!((&shown["origin"], &shown["pipeline"]), (&json!("api"), &kept));
}

#[tokio::test]
async fn pages_of_an_origin_are_let_in_and_shut_out() {
    let file = |more| File { clients: &["app"], url: "http://127.0.0.1:1/v1", more };
    let server = Server::with(&file("").text()).start();
    let page = with_key(&server, "app").header("origin", "https://chat.example");
    let allowed = |answer: Answer| answer.header("access-control-allow-origin").map(str::to_owned);
    assert_eq!(allowed(page.get("/v1/models").await.ok()), None);
    let report = reload(&server, &file("[http]\ncors_origins = [\"https://chat.example\"]")).await;
    assert_eq!(changed(&report), ["http.cors_origins changed"]);
    assert_eq!(allowed(page.get("/v1/models").await.ok()).as_deref(), Some("https://chat.example"));
    reload(&server, &file("")).await;
    assert_eq!(allowed(page.get("/v1/models").await.ok()), None);
}

const PLUGGED: &str = r#"
    [[pipelines]]
    id = "plugged"
    pipeline = [
        { stage = "pre_hook", config = { function_id = "echo-config" } },
        { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } },
    ]
"#;

#[tokio::test]
async fn a_plugin_has_its_new_settings_at_once_and_is_not_compiled_again() {
    let file = |settings: &str| format!("{PLUGGED}\n[plugins.echo-config]\n{settings}");
    let server = Server::with(&file("config = { word = \"old\" }")).plugin("echo_config").start();
    let client = Client::of(server.address);
    let word = || async { client.chat("plugged", "word", json!({})).await };
    assert!(word().await.ok().content().ends_with("\"old\""));
    let compiled = || server.log().matches("compiling").count();
    let before = (client.get("/api/v1/plugins").await.json()["data"][0]["hash"].clone(), compiled());
    let renew = |settings: &str| {
        server.reconfigure(&file(settings));
        let client = client.clone();
        async move { client.send(Method::POST, "/api/v1/reload", None, Default::default()).await.ok().json() }
    };
    let report = renew("config = { word = \"new\" }").await;
    assert_eq!(changed(&report), ["plugins.echo-config.config.word changed"], "{report}");
    assert!(word().await.ok().content().ends_with("\"new\""));
    renew("config = { word = \"new\" }\nlimits = { fuel = 1 }").await;
    assert_eq!(word().await.refused(502), "plugin_fuel_exhausted");
    renew("on_failure = \"skip\"\nconfig = { word = \"new\" }\nlimits = { fuel = 1 }").await;
    assert_eq!(word().await.ok().header("x-cofferdam-skipped"), Some("echo-config"));
    server.reconfigure(PLUGGED);
    let report = ask(&server).await.ok().json();
    assert_eq!(changed(&report), ["plugins.echo-config removed"]);
    assert!(word().await.ok().content().ends_with("none"));
    let after = (client.get("/api/v1/plugins").await.json()["data"][0]["hash"].clone(), compiled());
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_plugin_that_its_settings_kept_out_comes_in_when_they_are_right() {
    let file = |limits: &str| format!("{PLUGGED}\n[plugins.echo-config.limits]\n{limits}\n");
    let server = Server::with(&file("memory = \"64KiB\"")).plugin("echo_config").start();
    let client = Client::of(server.address);
    let state = || async { client.get("/api/v1/plugins").await.json()["data"][0]["state"].clone() };
    assert_eq!(state().await, "refused");
    server.reconfigure(&file("memory = \"64MiB\""));
    ask(&server).await.ok();
    let comes = async { while state().await != "live" {} };
    tokio::time::timeout(PATIENCE, comes).await.expect("it is tried again");
    client.chat("plugged", "word", json!({})).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_that_come_together_take_turns_and_one_too_many_is_refused() {
    let text = |n: usize| format!("[limits]\npipelines = {n}\n[limits.http]\nreloads = 1\nadmin_requests = 1000\n");
    let server = Server::with(&text(1)).start();
    let all: Vec<_> = (0..60)
        .map(|n| {
            server.reconfigure(&text(n));
            let client = Client::of(server.address);
            tokio::spawn(async move { client.send(Method::POST, "/api/v1/reload", None, Default::default()).await })
        })
        .collect();
    let mut applied = 0;
    for answer in all {
        let answer = answer.await.expect("no panic");
        match answer.status.as_u16() {
            200 => applied += 1,
            _ => assert!(answer.refused(503) == "overloaded" && answer.text().contains("limits.http.reloads"), "{answer:?}"),
        }
    }
    assert!(applied > 0);
    let report = ask(&server).await.ok().json();
    assert_eq!(report["needs_restart"], json!([]));
    assert_eq!(changed(&ask(&server).await.ok().json()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_reloads_under_sixteen_streaming_clients_fail_nothing() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    a.always(Script::streams(&["from", " a"]));
    b.always(Script::streams(&["from", " b"]));
    let more = |n: usize| format!("[limits.http]\nrequests = {}\n[prices.m]\ninput = {n}\ncached_input = 0\noutput = 1\n", 400 + n);
    let clients = ["app, limits = { tokens_per_day = 100000000 }"];
    let server = Server::with(&File { clients: &clients, url: &a.url(), more: &more(0) }.text()).start();
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let streaming: Vec<_> = (0..16)
        .map(|_| {
            let (app, stop, answered) = (with_key(&server, "app"), stop.clone(), answered.clone());
            tokio::spawn(async move {
                let mut seen = std::collections::BTreeSet::new();
                while !stop.load(Ordering::Relaxed) {
                    let stream = app.chat_stream("p", "hello", json!({})).await;
                    assert_eq!(stream.status, 200);
                    seen.insert(text_of(&stream.all().await.expect("a whole stream")));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                seen
            })
        })
        .collect();
    for round in 1..=50 {
        let upstream = [&a, &b][round % 2];
        // One in five is wrong, and changes nothing.
        if round % 5 == 0 {
            server.reconfigure("[limits.http]\nrequests = 0\n");
            assert_eq!(ask(&server).await.refused(422), "invalid_configuration");
        }
        let report = reload(&server, &File { clients: &clients, url: &upstream.url(), more: &more(round) }).await;
        assert_eq!(
            changed(&report),
            ["limits.http.requests changed", "prices.m.input changed", "providers.a.base_url changed"],
            "{report}"
        );
        let before = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < before + 4 {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut seen = std::collections::BTreeSet::new();
    for client in streaming {
        seen.extend(client.await.expect("no client saw a failure"));
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["from a", "from b"]);
}

#[tokio::test]
async fn a_server_without_a_file_is_not_ended_by_a_hangup_and_reads_one_that_comes() {
    let server = Server::without_file(tempfile::tempdir().expect("a folder"));
    server.hang_up();
    server.wait_for_log("what changed: nothing");
    server.reconfigure("[limits]\npipelines = 3\n");
    let report = ask(&server).await.ok().json();
    assert_eq!(changed(&report), ["limits.pipelines changed"]);
}

#[tokio::test]
async fn the_log_says_more_and_less_as_the_file_wants() {
    let file = |filter: &str| format!("[telemetry]\nlog_filter = \"{filter}\"\n");
    let server = Server::with(&file("info")).without_env("COFFERDAM_LOG").start();
    let client = Client::of(server.address);
    let said = || server.log().matches("GET models answered 200").count();
    client.get("/v1/models").await.ok();
    server.wait_for_log("GET models answered 200");
    server.reconfigure(&file("error"));
    assert_eq!(changed(&ask(&server).await.ok().json()), ["telemetry.log_filter changed"]);
    let before = said();
    client.get("/v1/models").await.ok();
    server.reconfigure(&file("info"));
    ask(&server).await.ok();
    client.get("/readyz").await.ok();
    server.wait_for_log("GET readyz answered 200");
    assert_eq!(said(), before, "lines stand in their order, so this one would be there");
}
