//! Settings of plugins, through the real server: checked by the plugin's own schema when it is loaded and when they change, seen by the next
//! call, secrets masked; and settings that do not fit take no live plugin down.

use serde_json::{Value, json};

use crate::client::Client;
use crate::components::components;
use crate::deploy::wait_for;
use crate::plugin_kv::{house, house_text, with_key};
use crate::server::{Builder, Server, deploy};

const PATH: &str = "/api/v1/plugins/keeper/settings";

fn keeper(config: &str) -> Builder {
    house(&["keeper"], &entry(config))
}

fn entry(config: &str) -> String {
    format!("[limits.plugins]\ndebounce = \"20ms\"\n[plugins.keeper]\ngrants = {{ kv = {{}} }}\nconfig = {config}\n")
}

/// The settings that the plugin sees.
async fn seen(server: &Server) -> Value {
    let text = with_key(server, "anna").chat("keeper", "settings", json!({})).await.ok().content();
    serde_json::from_str(&text).expect("JSON")
}

async fn delete(client: &Client, path: &str) -> crate::client::Answer {
    client.send(hyper::Method::DELETE, path, None, bytes::Bytes::new()).await
}

#[tokio::test]
async fn what_is_put_the_next_call_sees_and_a_restart_keeps() {
    let mut server = keeper(r#"{ region = "eu" }"#).start();
    let boss = with_key(&server, "boss");
    assert_eq!(seen(&server).await, json!({"region": "eu", "window": 60}));
    let put = boss.put(PATH, &json!({"window": 5})).await.ok().json();
    let expected = json!({"object": "plugin.settings", "id": "keeper", "settings": {"window": 5}, "effective": {"region": "eu", "window": 5}, "fixed": ["region"]});
    assert_eq!((&put, boss.get(PATH).await.ok().json()), (&expected, expected.clone()));
    assert_eq!(seen(&server).await, json!({"region": "eu", "window": 5}));
    server.kill();
    let server = keeper(r#"{ region = "us" }"#).folder(server.folder.clone()).start();
    assert_eq!(seen(&server).await, json!({"region": "us", "window": 5}), "what is kept survives a kill, and the file comes first");
    let deleted = delete(&with_key(&server, "boss"), PATH).await.ok().json();
    assert_eq!(deleted, json!({"id": "keeper", "object": "plugin.settings", "deleted": true}));
    assert_eq!(seen(&server).await, json!({"region": "us", "window": 60}));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_name_and_changes_nothing() {
    let server = keeper(r#"{ region = "eu" }"#).start();
    let boss = with_key(&server, "boss");
    boss.put(PATH, &json!({"window": 5})).await.ok();
    for (sent, param, word) in [
        (json!({"window": 0}), "/window", "minimum"),
        (json!({"window": "5"}), "/window", "integer"),
        (json!({"window": 5, "windows": 5}), "", "windows"),
        (json!({"region": "us"}), "/region", "the operator's file fixes it"),
        (json!({"token": "********"}), "/token", "mask"),
        (json!({"token": "short"}), "/token", "8"),
    ] {
        let answer = boss.put(PATH, &sent).await;
        assert_eq!(answer.refused(400), "invalid_settings", "{sent}");
        let error = &answer.json()["error"];
        let message = error["message"].as_str().expect("a message");
        assert!(error["param"] == param && message.contains(word) && !message.contains("short\""), "{sent}: {error}");
    }
    assert_eq!(boss.put(PATH, &json!([1])).await.refused(400), "invalid_value");
    assert_eq!(seen(&server).await, json!({"region": "eu", "window": 5}));
    for path in ["/api/v1/plugins/nobody/settings", "/api/v1/plugins/..%2Fkeeper/settings"] {
        assert_eq!(boss.get(path).await.refused(404), "plugin_not_found");
        assert_eq!(boss.put(path, &json!({})).await.refused(404), "plugin_not_found");
        assert_eq!(delete(&boss, path).await.refused(404), "plugin_not_found");
    }
    let anna = with_key(&server, "anna");
    assert_eq!(anna.put(PATH, &json!({"window": 9})).await.refused(403), "admin_key_required");
    assert_eq!(anna.get(PATH).await.refused(403), "admin_key_required");
}

#[tokio::test]
async fn a_secret_is_masked_for_whoever_reads_and_the_mask_sent_back_leaves_it() {
    let mut server = keeper("{}").start();
    let boss = with_key(&server, "boss");
    let put = boss.put(PATH, &json!({"token": "tok-7Qx2Lm9R"})).await.ok();
    assert_eq!(put.json()["settings"], json!({"token": "********"}));
    let read = boss.get(PATH).await.ok();
    assert_eq!(read.json()["effective"], json!({"token": "********", "window": 60}));
    let mut settings = read.json()["settings"].clone();
    settings["window"] = json!(7);
    let again = boss.put(PATH, &settings).await.ok();
    assert_eq!(seen(&server).await, json!({"token": "tok-7Qx2Lm9R", "window": 7}));
    let listed = boss.get("/api/v1/plugins").await.ok();
    for answer in [put.text(), read.text(), again.text(), listed.text()] {
        assert!(!answer.contains("7Qx2Lm9R"), "{answer}");
    }
    server.terminate();
    assert!(!server.output().contains("7Qx2Lm9R"));
}

#[tokio::test]
async fn a_file_with_settings_that_do_not_fit_refuses_the_plugin_and_says_which() {
    let server = keeper(r#"{ window = "long", token = "tok-7Qx2Lm9R" }"#).start();
    let plugins = with_key(&server, "boss").get("/api/v1/plugins").await.ok().json();
    let reason = plugins["data"][0]["reason"].as_str().expect("a reason");
    assert_eq!(plugins["data"][0]["state"], "refused");
    assert!(reason.contains("its settings do not fit: /window: ") && reason.contains("`[plugins.keeper]`"), "{reason}");
    assert!(!reason.contains("long") && !reason.contains("tok-"), "no value stands in a message: {reason}");
}

#[tokio::test]
async fn a_schema_that_would_keep_a_validator_busy_for_years_is_refused_at_load() {
    let server = house(&["schema-bomb"], "").start();
    let plugins = with_key(&server, "boss").get("/api/v1/plugins").await.ok().json();
    let reason = plugins["data"][0]["reason"].as_str().expect("a reason");
    assert!(plugins["data"][0]["state"] == "refused" && reason.contains("the schema cannot be used"), "{reason}");
}

#[tokio::test]
async fn a_plugin_that_declares_no_settings_takes_none() {
    let server = house(&["noop-pre"], "").start();
    let boss = with_key(&server, "boss");
    let path = "/api/v1/plugins/noop-pre/settings";
    assert_eq!(boss.put(path, &json!({"a": 1})).await.refused(409), "settings_not_declared");
    assert_eq!(boss.get(path).await.ok().json()["effective"], json!({}));
}

#[tokio::test]
async fn a_version_that_what_is_kept_does_not_fit_is_refused_beside_the_live_one_and_loads_once_that_is_deleted() {
    let server = keeper("{}").start();
    let boss = with_key(&server, "boss");
    boss.put(PATH, &json!({"window": 5})).await.ok();
    deploy(&components().path("strict_keeper"), &server.plugin_dir(), "keeper");
    let plugin = wait_for(&boss, "keeper.wasm", |entry| entry["state"] == "stale").await;
    let reason = plugin["reason"].as_str().expect("a reason");
    assert!(plugin["state"] == "stale" && reason.contains("its settings do not fit: /window: "), "{plugin}");
    assert_eq!(seen(&server).await, json!({"window": 5}), "the version before goes on with its settings");
    delete(&boss, PATH).await.ok();
    wait_for(&boss, "keeper.wasm", |entry| entry["state"] == "live" && entry["version"] == "2").await;
    assert_eq!(seen(&server).await, json!({"window": "short"}));
    assert_eq!(boss.put(PATH, &json!({"window": "long"})).await.ok().json()["effective"], json!({"window": "long"}));
}

#[tokio::test]
async fn a_reload_with_settings_that_do_not_fit_leaves_the_plugin_live_with_those_that_it_had() {
    let server = keeper(r#"{ region = "eu" }"#).start();
    let boss = with_key(&server, "boss");
    boss.put(PATH, &json!({"window": 5})).await.ok();
    let reload = async |config: &str| {
        server.reconfigure(&house_text(&["keeper"], &entry(config)));
        boss.send(hyper::Method::POST, "/api/v1/reload", None, bytes::Bytes::new()).await.ok();
    };
    reload("{ region = 5 }").await;
    assert_eq!(seen(&server).await, json!({"region": "eu", "window": 5}));
    let plugin = wait_for(&boss, "keeper.wasm", |entry| entry["state"] == "stale").await;
    assert!(plugin["reason"].as_str().expect("a reason").contains("/region: "), "{plugin}");
    assert_eq!(seen(&server).await, json!({"region": "eu", "window": 5}));
    reload(r#"{ region = "us" }"#).await;
    wait_for(&boss, "keeper.wasm", |entry| entry["state"] == "live").await;
    assert_eq!(seen(&server).await, json!({"region": "us", "window": 5}));
}
