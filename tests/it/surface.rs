//! The HTTP surface through the real server: models, errors, stage switches, keys, limits, knowledge, probes.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Client, text_of};
use crate::server::Server;

const CONFIG: &str = r#"
    [[pipelines]]
    id = "kb"
    pipeline = [
        { stage = "rag", config = { top_k = 2, score_threshold = 0.3 } },
        { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } },
    ]
    [[pipelines]]
    id = "guarded"
    pipeline = [
        { stage = "llm", config = { primary = { provider = "builtin", model = "extractive" } } },
        { stage = "post_hook", locked = true, config = { function_id = "stamp" } },
    ]
"#;

#[tokio::test]
async fn models_are_the_pipelines() {
    let server = Server::with(CONFIG).start();
    let client = Client::of(server.address);
    let models = client.get("/v1/models").await.ok().json();
    let ids: Vec<&str> = models["data"].as_array().expect("a list").iter().filter_map(|model| model["id"].as_str()).collect();
    assert_eq!((ids, &models["object"]), (vec!["guarded", "kb"], &json!("list")));
    assert_eq!(client.get("/v1/models/kb").await.ok().json()["object"], "model");
    assert_eq!(client.get("/v1/models/none").await.refused(404), "model_not_found");
}

#[tokio::test]
async fn a_mistake_is_answered_with_the_field_and_the_remedy() {
    let server = Server::with(CONFIG).start();
    let client = Client::of(server.address);
    let chat = |body: &'static str| client.send(Method::POST, "/v1/chat/completions", Some("application/json"), Bytes::from(body));
    for (body, param) in [
        (r#"{"model":"kb","messages":[{"role":7}]}"#, "messages[0].role"),
        (r#"{"model":"kb","messages":[]}"#, "messages"),
        (r#"{"messages":[{"role":"user","content":"x"}]}"#, "model"),
        (r#"{"model":"kb","messages":[{"role":"user","content":"x"}],"pipeline":{"rag":1}}"#, "pipeline.rag"),
        (r#"{"model":"kb","messages":[{"role":"user","content":"x"}],"pipeline":{"llm":false}}"#, "pipeline.llm"),
        (r#"{"model":"kb","messages":[{"role":"user","content":"x"}],"pipeline":{"raag":true}}"#, "pipeline.raag"),
    ] {
        let answer = chat(body).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["error"]["param"]), (400, &json!(param)), "{body}");
    }
    assert_eq!(chat("{").await.refused(400), "invalid_json");
    let unknown = client.chat("nobody", "x", json!({})).await;
    assert_eq!((unknown.refused(404).as_str(), &unknown.json()["error"]["param"]), ("model_not_found", &json!("model")));
    assert_eq!(client.get("/v2").await.refused(404), "not_found");
    assert_eq!(client.get("/v1/chat/completions").await.refused(405), "method_not_allowed");
}

#[tokio::test]
async fn a_request_id_is_taken_over_or_made() {
    let server = Server::with(CONFIG).start();
    let named = Client::of(server.address).header("x-request-id", "mine-1").get("/healthz").await;
    assert_eq!(named.header("x-request-id"), Some("mine-1"));
    let forged = Client::of(server.address).header("x-request-id", "a b").get("/healthz").await;
    assert_ne!(forged.header("x-request-id"), Some("a b"));
}

#[tokio::test]
async fn knowledge_goes_in_is_found_and_is_injected_exactly_as_tested() {
    let server = Server::with(CONFIG).start();
    let client = Client::of(server.address);
    let text = b"# Refunds\n\nA refund is paid within fourteen days.\n\n# Parking\n\nThe car park closes at ten.\n";
    let receipt = client.upload("kb", "faq.md", text).await.ok().json();
    assert!(receipt.to_string().contains("faq.md"), "{receipt}");
    let test = json!({"query": "How long does a refund take?"});
    let found = client.post("/api/v1/gateway/apis/kb/knowledge/test", &test).await.ok().json();
    let first = &found["data"][0];
    assert_eq!(first["source"], "faq.md");
    assert!(first["text"].as_str().expect("text").contains("fourteen days") && first["score"].as_f64().expect("a score") >= 0.3, "{found}");
    let answer = client.chat("kb", "How long does a refund take?", json!({})).await.ok().content();
    assert!(answer.contains("A refund is paid within fourteen days.") && answer.contains("faq.md"), "{answer}");
    let without = client.chat("kb", "How long does a refund take?", json!({"pipeline": {"rag": false}})).await.ok().content();
    assert!(!without.contains("fourteen"), "switched off by the body: {without}");
    let switch = client.clone().header("x-cofferdam-stages", "rag=off");
    assert!(!switch.chat("kb", "How long does a refund take?", json!({})).await.ok().content().contains("fourteen"));
    let elsewhere = client.post("/api/v1/gateway/apis/guarded/knowledge/test", &test).await.ok().json();
    assert_eq!(elsewhere["data"], json!([]), "another API's knowledge is its own");
}

#[tokio::test]
async fn uploads_that_cannot_be_read_say_so() {
    let server = Server::with(&format!("{CONFIG}\n[limits.rag]\ndocument_bytes = 1024\n")).start();
    let client = Client::of(server.address);
    client.upload("kb", "a.pdf", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR").await.refused(415);
    client.upload("kb", "a.txt", b"%PDF-1.7\n").await.refused(422);
    client.upload("kb", "a.txt", b"").await.refused(422);
    client.upload("kb", "a.txt", b"\xff\xfe").await.refused(422);
    client.upload("nobody", "a.txt", b"x").await.refused(404);
    client.upload("kb", "fits.txt", &b"words of\n".repeat(128)[..1024]).await.ok();
    client.upload("kb", "over.txt", &b"words of\n".repeat(128)[..1025]).await.refused(413);
}

#[tokio::test]
async fn a_locked_stage_cannot_be_switched_off() {
    let server = Server::with(CONFIG).plugin_as("stamp_1", "stamp").start();
    let client = Client::of(server.address);
    let refused = client.chat("guarded", "x", json!({"pipeline": {"post_hook": false}})).await;
    assert_eq!((refused.refused(403).as_str(), &refused.json()["error"]["param"]), ("stage_locked", &json!("pipeline.post_hook")));
    let by_header = client.clone().header("x-cofferdam-stages", "post_hook=off").chat("guarded", "x", json!({})).await;
    assert_eq!(by_header.refused(403), "stage_locked");
    client.chat("guarded", "x", json!({"pipeline": {"post_hook": true}})).await.ok();
}

#[tokio::test]
async fn a_pipeline_put_through_the_api_is_used_kept_and_given_back() {
    let server = Server::with(CONFIG).start();
    let (client, path) = (Client::of(server.address), "/api/v1/gateway/apis/mine/pipeline");
    assert_eq!(client.get(path).await.refused(404), "api_not_found");
    let definition =
        json!({"pipeline": [{"stage": "llm", "enabled": true, "config": {"primary": {"provider": "builtin", "model": "extractive"}}}]});
    assert_eq!(client.put(path, &definition).await.ok().status, 201);
    assert_eq!(client.put(path, &definition).await.ok().status, 200);
    client.chat("mine", "x", json!({})).await.ok();
    let folder = server.folder.clone();
    drop(server);
    let server = Server::with(CONFIG).folder(folder).start();
    let client = Client::of(server.address);
    assert_eq!(client.get(path).await.ok().json()["pipeline"], definition["pipeline"]);
    let wrong = json!({"pipeline": [{"stage": "llm", "config": {"primary": {"provider": "nobody", "model": "m"}}}]});
    let refused = client.put(path, &wrong).await;
    assert!(refused.json()["error"]["message"].as_str().expect("a message").contains("nobody"), "{refused:?}");
    refused.refused(400);
    client.put("/api/v1/gateway/apis/kb/pipeline", &definition).await.refused(409);
}

#[tokio::test]
async fn the_number_of_kept_pipelines_is_limited_at_its_edge() {
    let server = Server::with(&format!("{CONFIG}\n[limits]\npipelines = 1\n")).start();
    let client = Client::of(server.address);
    let definition = json!([{"stage": "llm", "config": {"primary": {"provider": "builtin", "model": "m"}}}]);
    client.put("/api/v1/gateway/apis/one/pipeline", &definition).await.ok();
    client.put("/api/v1/gateway/apis/one/pipeline", &definition).await.ok();
    let refused = client.put("/api/v1/gateway/apis/two/pipeline", &definition).await;
    assert!(refused.status.is_client_error() && refused.text().contains("limits.pipelines"), "{refused:?}");
}

/// SHA-256 of `client-key` and `admin-key`.
fn keys(client: bool, admin: bool) -> String {
    let entry = |name: &str| {
        use sha2::Digest;
        let hash: String = sha2::Sha256::digest(format!("{name}-key")).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{name} = [{{ name = \"the-{name}\", sha256 = \"{hash}\" }}]\n")
    };
    let lines: String = [("client", client), ("admin", admin)].iter().filter(|(_, on)| *on).map(|(name, _)| entry(name)).collect();
    format!("[keys]\n{lines}\n{CONFIG}")
}

#[tokio::test]
async fn keys_open_what_they_are_for() {
    let server = Server::with(&keys(true, true)).start();
    let of = |key: &str| Client::of(server.address).header("authorization", &format!("Bearer {key}"));
    assert_eq!(Client::of(server.address).get("/v1/models").await.refused(401), "invalid_api_key");
    assert_eq!(of("wrong").get("/v1/models").await.refused(401), "invalid_api_key");
    of("client-key").get("/v1/models").await.ok();
    of("client-key").chat("kb", "x", json!({})).await.ok();
    assert_eq!(of("client-key").get("/api/v1/plugins").await.refused(403), "admin_key_required");
    of("admin-key").get("/api/v1/plugins").await.ok();
    of("admin-key").get("/v1/models").await.ok();
    Client::of(server.address).get("/healthz").await.ok();
    let log = server.log();
    assert!(!log.contains("client-key") && !log.contains("admin-key"), "keys never reach the log");
    let server = Server::with(&keys(true, false)).start();
    let client = Client::of(server.address).header("authorization", "Bearer client-key");
    assert_eq!(client.get("/api/v1/plugins").await.refused(403), "no_admin_keys");
}

#[tokio::test]
async fn without_keys_only_this_machine_may_ask() {
    let server = Server::with(CONFIG).start();
    let foreign = Client::of(server.address).header("origin", "https://evil.example");
    assert_eq!(foreign.chat("kb", "x", json!({})).await.refused(403), "foreign_origin");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("c.toml");
    std::fs::write(&file, CONFIG).expect("written");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    let ended =
        command.args(["serve", "--listen", "0.0.0.0:0", "--config"]).arg(file).current_dir(folder.path()).output().expect("it runs");
    let words = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && words.contains("[keys]"), "{words}");
}

#[tokio::test]
async fn a_body_is_limited_at_its_edge() {
    let body = json!({"model": "kb", "messages": [{"role": "user", "content": "x".repeat(2_000)}]}).to_string();
    for (limit, status) in [(body.len(), 200), (body.len() - 1, 413)] {
        let server = Server::with(&format!("{CONFIG}\n[limits.http]\nbody_bytes = {limit}\n")).start();
        let answer =
            Client::of(server.address).send(Method::POST, "/v1/chat/completions", Some("application/json"), body.clone().into()).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
    }
}

#[tokio::test]
async fn a_configuration_is_checked_whole_and_printed_without_secrets() {
    let check = |text: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cofferdam.toml");
        std::fs::write(&file, text).expect("written");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cofferdam"));
        let ended = command.arg("check-config").arg(file).output().expect("it runs");
        (ended.status.code(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
    };
    let (code, printed) = check(&keys(true, true));
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("[limits.http]") && printed.contains("the-client"), "{printed}");
    let (code, problems) = check("listn = 1\n[plugins.x]\non_failure = \"maybe\"\n[plugins.x.limits]\ntime = 5\n");
    assert_eq!(code, Some(64), "{problems}");
    for path in ["listn", "plugins.x.on_failure", "plugins.x.limits.time"] {
        assert!(problems.contains(path), "{path} is missing: {problems}");
    }
}

#[tokio::test]
async fn with_no_file_at_all_it_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::without_file(folder);
    let client = Client::of(server.address);
    assert_eq!(client.get("/v1/models").await.ok().json()["data"][0]["id"], "default");
    let answer = client.chat("default", "What is a cofferdam?", json!({})).await.ok();
    assert!(answer.content().contains("built-in answerer"));
    let events = client.chat_stream("default", "hello", json!({"stream_options": {"include_usage": true}})).await.all().await;
    let events = events.expect("a whole stream");
    text_of(&events);
    let last: Value = serde_json::from_str(&events[events.len() - 2]).expect("JSON");
    assert!(last["usage"].is_object() && last["choices"] == json!([]), "{last}");
    client.get("/readyz").await.ok();
    let metrics = client.get("/metrics").await.ok().text();
    assert!(metrics.contains("cofferdam_") && metrics.ends_with("# EOF\n"), "{metrics}");
}

#[tokio::test]
async fn two_servers_do_not_share_a_data_directory() {
    let server = Server::with(&format!("limits.handover_time = \"0s\"\n{CONFIG}")).start();
    let mut second = std::process::Command::new(env!("CARGO_BIN_EXE_cofferdam"));
    let folder = server.folder.path();
    let ended = second.args(["serve", "--listen", "127.0.0.1:0"]).current_dir(folder).output().expect("it runs");
    let words = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && words.contains("in use by another server"), "{words}");
}

#[tokio::test]
async fn a_definition_of_a_million_mistakes_is_answered_briefly() {
    let server = Server::with(CONFIG).start();
    let stages: Value = vec![0; 1_000_000].into();
    let answer = Client::of(server.address).put("/api/v1/gateway/apis/x/pipeline", &stages).await;
    answer.refused(400);
    let keys: serde_json::Map<String, Value> = (0..100_000).map(|i| (format!("k{i}"), Value::Null)).collect();
    let answer = Client::of(server.address).put("/api/v1/gateway/apis/x/pipeline", &json!([{"stage": "llm", "config": keys}])).await;
    answer.refused(400);
    assert!(answer.body.len() < 100_000, "{} bytes", answer.body.len());
}

#[tokio::test]
async fn a_body_of_repeated_keys_is_read_in_one_pass() {
    // More than is taken by default.
    let server = Server::with(&format!("{CONFIG}\n[limits.http]\nbody_values = 1_000_000\nbody_fields = 1_000_000\n")).start();
    // Half repeated, half distinct: removing one by one would shift the rest each time, for minutes.
    let distinct: String = (0..200_000).map(|i| format!("\"k{i}\":0,")).collect();
    let body = format!(r#"{{{}{distinct}"model":"kb","messages":[{{"role":"user","content":"x"}}]}}"#, "\"\":0,".repeat(400_000));
    let sent = Client::of(server.address).send(Method::POST, "/v1/chat/completions", Some("application/json"), body.into()).await;
    sent.ok();
}
